/* From a program to a module of LLVM (llvm_ir.h). */
#include <errno.h>
#include <stdlib.h>

#include "engine/llvm_ir.h"
#include "engine/llvm_tail.h"
#include "engine/resolve.h"
#include "engine/x64_run.h"

#define PARAMS     (FORT_REGS + 4)
#define RUN_PARAMS 6u

/* A calling convention that keeps no register but rbp: fort_llvm_enter keeps those of its caller
 * anyway, for when a run ends early. */
#define PRESERVE_NONE 21u

/* --- one instruction --- */

/* Where a way from x->pc to `target` leads: in the copy of a loop, to the copy of its slots. */
static LLVMBasicBlockRef block_of(const struct fort_llvm *x, uint32_t target)
{
	if (x->copying && x->copies[target])
		return x->copies[target];
	return x->latches[target] && x->latches[target] == x->pc ? x->heads[target]
								 : x->blocks[target];
}

/* To a slot of this function; back costs fuel. */
static void go_to(struct fort_llvm *x, uint32_t target)
{
	uint32_t cost;

	if (target <= x->pc) {
		cost = fort_resolve_loop_slots(x->loop_ends, target);
		if (x->copying) /* it is there */
			fort_llvm_write(x, x->fuel,
					fort_llvm_binary(x, LLVMSub,
							 fort_llvm_read(x, x->i64, x->fuel),
							 fort_llvm_const(x, cost)));
		else
			fort_llvm_charge(x, cost, target);
	}
	fort_llvm_jump(x, block_of(x, target));
}

static void branch(struct fort_llvm *x, const struct fort_insn *insn)
{
	LLVMBasicBlockRef next = block_of(x, x->pc + 1), taken = fort_llvm_block(x);

	x->api->BuildCondBr(x->builder, fort_llvm_condition(x, insn), taken, next);
	fort_llvm_at(x, taken);
	fort_llvm_shift(x);
	go_to(x, (uint32_t)fort_insn_target(insn, x->pc));
}

void fort_llvm_give_back(struct fort_llvm *x)
{
	LLVMValueRef result = x->api->ConstNull(x->result);

	for (unsigned reg = 0; reg < FORT_LLVM_PASSED; reg++)
		result = x->api->BuildInsertValue(x->builder, result, fort_llvm_get(x, reg), reg,
						  "");
	result = x->api->BuildInsertValue(x->builder, result, fort_llvm_read(x, x->i64, x->fuel),
					  FORT_LLVM_PASSED, "");
	x->api->BuildRet(x->builder, result);
}

static int constant(struct fort_llvm *x, const struct fort_insn *insn)
{
	uint32_t map = (uint32_t)insn->imm;
	LLVMValueRef value;
	int64_t imm;
	int err = fort_resolve_imm(x->request, insn, &imm);

	if (err)
		return err;
	value = fort_llvm_const(x, (uint64_t)imm);
	if (insn->op == FORT_OP_MAP_IDX_VALUE)
		value = fort_llvm_binary(x, LLVMAdd,
					 fort_llvm_cast(x, LLVMPtrToInt,
							fort_llvm_outside(x, FORT_LLVM_VALUES, map),
							x->i64),
					 fort_llvm_const(x, (uint64_t)insn->imm >> 32));
	fort_llvm_set(x, insn->dst, value);
	if (insn->op == FORT_OP_MAP_IDX)
		x->map_of[insn->dst] = map + 1;
	return 0;
}

/* Whether control goes on behind it. */
static bool falls_through(const struct fort_insn *insn)
{
	return insn->kind != FORT_JA && insn->kind != FORT_EXIT && insn->kind != FORT_JCC_K &&
	       insn->kind != FORT_JCC_X && !fort_insn_writes_frame_pointer(insn);
}

static int lower_one(struct fort_llvm *x, const struct fort_insn *insn)
{
	int err = fort_resolve_check(x->request, insn);

	if (err)
		return err;
	fort_llvm_shift(x);
	if (fort_insn_writes_frame_pointer(insn)) {
		fort_llvm_abort(x, FORT_ABORT_INSN, x->pc, x->api->ConstInt(x->i32, 0, false));
		return 0;
	}
	switch ((enum fort_kind)insn->kind) {
	case FORT_ALU_K:
	case FORT_ALU_X:
	case FORT_NEG: fort_llvm_alu(x, insn); return 0;
	case FORT_MOV_K:
	case FORT_MOV_X:
	case FORT_MOVSX: fort_llvm_move(x, insn); return 0;
	case FORT_END: fort_llvm_end(x, insn); return 0;
	case FORT_LDX:
	case FORT_ST:
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_LDACQ:
	case FORT_STREL: fort_llvm_access(x, insn); return 0;
	case FORT_LDIMM: return constant(x, insn);
	case FORT_JA: go_to(x, (uint32_t)fort_insn_target(insn, x->pc)); return 0;
	case FORT_JCC_K:
	case FORT_JCC_X: branch(x, insn); return 0;
	case FORT_CALL:
	case FORT_CALLX: fort_llvm_call(x, insn); return 0;
	case FORT_EXIT: fort_llvm_give_back(x); return 0;
	case FORT_LDIMM_HIGH:
	case FORT_LDABS:
	case FORT_LDIND:
	case FORT_MAY_GOTO: break;
	}
	return -EOPNOTSUPP;
}

/* --- one subprogram --- */

static void forget_maps(struct fort_llvm *x)
{
	for (unsigned reg = 0; reg < FORT_REGS; reg++)
		x->map_of[reg] = 0;
}

static void add_block(struct fort_llvm *x, int64_t pc)
{
	if (!x->blocks[pc])
		x->blocks[pc] = fort_llvm_block(x);
}

static void add_blocks(struct fort_llvm *x, const struct fort_subprog *subprog)
{
	for (uint32_t pc = subprog->start; pc < subprog->end; pc++) {
		const struct fort_insn *insn = &x->request->program->insns[pc];

		if (insn->kind != FORT_JA && insn->kind != FORT_JCC_K && insn->kind != FORT_JCC_X)
			continue;
		add_block(x, fort_insn_target(insn, pc));
		if (pc + 1 < subprog->end)
			add_block(x, pc + 1);
	}
}

/* As debug information every function is one of its own. */
static LLVMMetadataRef describe(struct fort_llvm *x, LLVMValueRef function)
{
	LLVMMetadataRef type =
		x->api->DIBuilderCreateSubroutineType(x->lines, x->file, NULL, 0, LLVMDIFlagZero);
	LLVMMetadataRef scope =
		x->api->DIBuilderCreateFunction(x->lines, x->file, "f", 1, "", 0, x->file, 1, type,
						true, true, 1, LLVMDIFlagZero, true);

	x->api->SetSubprogram(function, scope);
	return scope;
}

static LLVMValueRef variable(struct fort_llvm *x, LLVMValueRef first)
{
	LLVMValueRef place = x->api->BuildAlloca(x->builder, x->i64, "");

	fort_llvm_write(x, place, first);
	return place;
}

static void enter_function(struct fort_llvm *x, LLVMValueRef function)
{
	x->function = function;
	x->scope = describe(x, function);
	fort_llvm_at(x, fort_llvm_block(x));
	fort_llvm_line(x, false);
}

/* A loop that counts is entered by asking which of the two it is to be. */
static void enter_loop(struct fort_llvm *x)
{
	x->heads[x->pc] = fort_llvm_block(x);
	x->copies[x->pc] = fort_llvm_block(x);
	x->api->BuildCondBr(x->builder, fort_llvm_is_rich(x, x->pc), x->copies[x->pc],
			    x->heads[x->pc]);
	fort_llvm_at(x, x->heads[x->pc]);
}

/* Slots [x->pc, end). */
static int lower_slots(struct fort_llvm *x, uint32_t end)
{
	bool open = !x->copying; /* does the block before go on here? */
	int err = 0;

	while (x->pc < end && !err) {
		const struct fort_insn *insn = &x->request->program->insns[x->pc];
		LLVMBasicBlockRef block = (x->copying ? x->copies : x->blocks)[x->pc];

		fort_llvm_line(x, false);
		if (block) {
			if (open)
				fort_llvm_jump(x, block);
			fort_llvm_at(x, block);
			forget_maps(x);
			if (x->latches[x->pc] && !x->copying)
				enter_loop(x);
		} else if (!open) {
			fort_llvm_at(x, fort_llvm_block(x)); /* nobody gets here */
		}
		err = lower_one(x, insn);
		open = falls_through(insn);
		x->pc += fort_insn_slots(insn);
	}
	return err;
}

static int copy_loop(struct fort_llvm *x, uint32_t head)
{
	uint32_t end = x->latches[head] + 1;
	int err;

	for (uint32_t pc = head + 1; pc < end; pc++)
		if (x->blocks[pc])
			x->copies[pc] = fort_llvm_block(x);
	x->copying = true;
	x->pc = head;
	err = lower_slots(x, end);
	x->copying = false;
	return err;
}

static int lower_subprog(struct fort_llvm *x, uint32_t index)
{
	const struct fort_subprog *subprog = &x->request->program->subprogs[index];
	LLVMValueRef function = x->functions[index];
	int err;

	x->pc = subprog->start;
	enter_function(x, function);
	for (unsigned reg = 0; reg < FORT_REGS; reg++)
		x->regs[reg] = variable(x, x->api->GetParam(function, reg));
	x->fuel = variable(x, x->api->GetParam(function, FORT_REGS));
	x->run = x->api->GetParam(function, FORT_REGS + 1);
	x->entry = x->api->GetParam(function, FORT_REGS + 2);
	x->depth = x->api->GetParam(function, FORT_REGS + 3);
	add_blocks(x, subprog);
	fort_llvm_find_loops(x, subprog);
	forget_maps(x);
	err = lower_slots(x, subprog->end);
	for (uint32_t pc = subprog->start; pc < subprog->end && !err; pc++)
		if (x->latches[pc])
			err = copy_loop(x, pc);
	return err;
}

/* --- the module --- */

static void attribute(struct fort_llvm *x, LLVMValueRef function, const char *name, unsigned bytes)
{
	unsigned kind = x->api->GetEnumAttributeKindForName(name, bytes);

	x->api->AddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
				    x->api->CreateEnumAttribute(x->context, kind, 0));
}

#define ATTRIBUTE(x, function, name) attribute(x, function, name, sizeof(name) - 1)

#define TEXT_ATTRIBUTE(x, function, name, value)                                                \
	(x)->api->AddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, \
				      (x)->api->CreateStringAttribute((x)->context, name,       \
								      sizeof(name) - 1, value,  \
								      sizeof(value) - 1))

/* Null is an address like another. There are no tables of jumps, no functions of a C library, and
 * no registers of vectors: whoever calls programs does not save those. */
static LLVMValueRef add_function(struct fort_llvm *x, const char *name, LLVMTypeRef type)
{
	LLVMValueRef function = x->api->AddFunction(x->module, name, type);

	ATTRIBUTE(x, function, "nounwind");
	ATTRIBUTE(x, function, "null_pointer_is_valid");
	ATTRIBUTE(x, function, "noimplicitfloat");
	TEXT_ATTRIBUTE(x, function, "no-jump-tables", "true");
	TEXT_ATTRIBUTE(x, function, "no-builtins", "");
	return function;
}

static void add_leave(struct fort_llvm *x)
{
	LLVMValueRef leave = fort_llvm_function(x, FORT_LLVM_LEAVE, x->leave);

	ATTRIBUTE(x, leave, "noreturn");
	ATTRIBUTE(x, leave, "cold");
	ATTRIBUTE(x, leave, "nounwind");
}

static void make_types(struct fort_llvm *x)
{
	const struct fort_llvm_api *api = x->api;
	LLVMTypeRef words[PARAMS];

	x->i1 = fort_llvm_int(x, 1);
	x->i8 = fort_llvm_int(x, 8);
	x->i32 = fort_llvm_int(x, 32);
	x->i64 = fort_llvm_int(x, 64);
	x->nothing = api->VoidTypeInContext(x->context);
	x->pointer = api->PointerTypeInContext(x->context, FORT_LLVM_FLAT);
	for (unsigned i = 0; i < PARAMS; i++)
		words[i] = x->i64;
	x->result = api->StructTypeInContext(x->context, words, FORT_LLVM_PASSED + 1, false);
	words[FORT_REGS + 1] = words[FORT_REGS + 2] = x->pointer;
	words[FORT_REGS + 3] = x->i32;
	x->subprogram = api->FunctionType(x->result, words, PARAMS, false);
	words[FORT_R5] = x->pointer;
	x->helper = api->FunctionType(x->i64, words, FORT_R5 + 1, false);
	words[0] = x->pointer;
	words[1] = words[2] = words[3] = x->i32;
	x->leave = api->FunctionType(x->nothing, words, 4, false);
}

static void add_module_flag(struct fort_llvm *x, const char *name, size_t bytes, uint32_t value)
{
	x->api->AddModuleFlag(x->module, LLVMModuleFlagBehaviorWarning, name, bytes,
			      x->api->ValueAsMetadata(x->api->ConstInt(x->i32, value, false)));
}

static void describe_module(struct fort_llvm *x)
{
	static const char name[] = "program", version[] = "Debug Info Version",
			  dwarf[] = "Dwarf Version";

	x->lines = x->api->CreateDIBuilder(x->module);
	x->file = x->api->DIBuilderCreateFile(x->lines, name, sizeof(name) - 1, "", 0);
	x->api->DIBuilderCreateCompileUnit(x->lines, LLVMDWARFSourceLanguageC99, x->file, "", 0,
					   true, "", 0, 0, "", 0, LLVMDWARFEmissionLineTablesOnly,
					   0, false, false, "", 0, "", 0);
	add_module_flag(x, version, sizeof(version) - 1, 3);
	add_module_flag(x, dwarf, sizeof(dwarf) - 1, 4);
}

/* What the host calls: the program with its first registers. */
static void add_entry(struct fort_llvm *x)
{
	LLVMTypeRef types[RUN_PARAMS] = {x->i64, x->i64, x->i64, x->pointer, x->pointer, x->i64};
	LLVMTypeRef type = x->api->FunctionType(x->i64, types, RUN_PARAMS, false);
	LLVMValueRef run = add_function(x, "run", type), args[PARAMS], result, fuel;

	x->api->SetFunctionCallConv(run, PRESERVE_NONE);
	x->pc = 0;
	enter_function(x, run);
	for (unsigned reg = 0; reg < FORT_REGS; reg++)
		args[reg] = fort_llvm_const(x, 0);
	args[FORT_R1] = x->api->GetParam(run, 0);
	args[FORT_R2] = x->api->GetParam(run, 1);
	args[FORT_R10] = x->api->GetParam(run, 2);
	args[FORT_REGS] = x->api->GetParam(run, 5);
	args[FORT_REGS + 1] = x->api->GetParam(run, 3);
	args[FORT_REGS + 2] = x->api->GetParam(run, 4);
	args[FORT_REGS + 3] = x->api->ConstInt(x->i32, 0, false);
	result = fort_llvm_call_function(x, x->subprogram, x->functions[0], args, PARAMS);
	fuel = x->api->BuildExtractValue(x->builder, result, FORT_LLVM_PASSED, "");
	fort_llvm_write(x,
			fort_llvm_member(x, args[FORT_REGS + 1], offsetof(struct fort_run, fuel)),
			fuel);
	x->api->BuildRet(x->builder, x->api->BuildExtractValue(x->builder, result, 0, ""));
}

static int lower_all(struct fort_llvm *x)
{
	const struct fort_program *program = x->request->program;
	int err = 0;

	make_types(x);
	describe_module(x);
	add_leave(x);
	fort_resolve_loops(program, x->loop_ends);
	for (uint32_t i = 0; i < program->n_subprogs; i++) {
		x->functions[i] = add_function(x, "", x->subprogram);
		x->api->SetLinkage(x->functions[i], LLVMInternalLinkage);
	}
	add_entry(x);
	for (uint32_t i = 0; i < program->n_subprogs && !err; i++)
		err = lower_subprog(x, i);
	x->api->DIBuilderFinalize(x->lines);
	return err;
}

static bool get_room(struct fort_llvm *x)
{
	size_t n = x->request->program->n_insns + 1u;

	x->functions = calloc(x->request->program->n_subprogs, sizeof(LLVMValueRef));
	x->blocks = calloc(n, sizeof(LLVMBasicBlockRef));
	x->heads = calloc(n, sizeof(LLVMBasicBlockRef));
	x->copies = calloc(n, sizeof(LLVMBasicBlockRef));
	x->loop_ends = calloc(n, sizeof(*x->loop_ends));
	x->latches = calloc(n, sizeof(*x->latches));
	x->ways = calloc(n, sizeof(*x->ways));
	return x->functions && x->blocks && x->heads && x->copies && x->loop_ends && x->latches &&
	       x->ways;
}

int fort_llvm_lower(struct fort_llvm *x)
{
	int err;

	x->confines_loads = fort_isolations[x->request->isolation].loads;
	x->confines_stores = fort_isolations[x->request->isolation].stores;
	err = get_room(x) ? lower_all(x) : -ENOMEM;
	free(x->functions);
	free(x->blocks);
	free(x->heads);
	free(x->copies);
	free(x->loop_ends);
	free(x->latches);
	free(x->ways);
	return err;
}
