/* Calls: of helpers, of subprograms, and what is done instead of calling (llvm_ir.h). */
#include "engine/llvm_tail.h"
#include "engine/resolve.h"
#include "engine/x64_run.h"

static void poison(struct fort_llvm *x)
{
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		fort_llvm_set(x, reg, fort_llvm_const(x, FORT_POISON));
}

static LLVMValueRef of_run(struct fort_llvm *x, uint64_t offset)
{
	return fort_llvm_member(x, x->run, offset);
}

/* --- helpers --- */

void fort_llvm_call_host(struct fort_llvm *x, LLVMValueRef function)
{
	LLVMValueRef fuel = of_run(x, offsetof(struct fort_run, fuel)), code, aborted;
	LLVMValueRef none = x->api->ConstInt(x->i32, 0, false);
	LLVMValueRef args[FORT_R5 + 1];
	LLVMBasicBlockRef stop, next;

	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		args[reg - FORT_R1] = fort_llvm_get(x, reg);
	args[FORT_R5] = x->run;
	fort_llvm_write(x, fuel, fort_llvm_read(x, x->i64, x->fuel));
	fort_llvm_set(x, FORT_R0,
		      fort_llvm_call_function(x, x->helper, function, args, FORT_LEN(args)));
	fort_llvm_write(x, x->fuel, fort_llvm_read(x, x->i64, fuel));
	poison(x);
	code = fort_llvm_read(x, x->i32, of_run(x, offsetof(struct fort_run, abort.code)));
	aborted = fort_llvm_compare(x, LLVMIntNE, code, none);
	fort_llvm_unless(x, aborted, &stop);
	next = fort_llvm_block(x);
	fort_llvm_jump(x, next);
	fort_llvm_at(x, stop);
	fort_llvm_abort(x, FORT_X64_STOP_HELPER, x->pc, none);
	fort_llvm_at(x, next);
}

static void call_helper(struct fort_llvm *x, uint32_t number)
{
	LLVMBasicBlockRef next;

	if (x->request->helper(number)) {
		fort_llvm_call_host(x, fort_llvm_outside(x, FORT_LLVM_HELPER, number));
		return;
	}
	next = fort_llvm_block(x); /* nobody gets there */
	fort_llvm_abort(x, FORT_ABORT_HELPER, x->pc, fort_llvm_number(x, x->i32, number));
	fort_llvm_at(x, next);
}

/* Which helper is known only when it runs. */
static void call_by_number(struct fort_llvm *x, const struct fort_insn *insn)
{
	fort_llvm_write(x, fort_llvm_member(x, x->entry, offsetof(struct fort_x64_entry, number)),
			fort_llvm_get(x, insn->dst));
	fort_llvm_call_host(x, fort_llvm_function(x, FORT_LLVM_BY_NUMBER, x->helper));
}

/* --- instead of helpers --- */

/* Goes on in a block where `r0` is what was found, if the condition holds; in one that calls the
 * helper, if not. Both lead to *done. */
static void or_call(struct fort_llvm *x, LLVMValueRef good, uint32_t number,
		    LLVMBasicBlockRef *done)
{
	LLVMBasicBlockRef slow = fort_llvm_block(x), fast = fort_llvm_block(x);

	*done = fort_llvm_block(x);
	x->api->BuildCondBr(x->builder, good, fast, slow);
	fort_llvm_at(x, slow);
	call_helper(x, number);
	fort_llvm_jump(x, *done);
	fort_llvm_at(x, fast);
}

static void finish(struct fort_llvm *x, LLVMValueRef r0, LLVMBasicBlockRef done)
{
	fort_llvm_set(x, FORT_R0, r0);
	poison(x);
	fort_llvm_jump(x, done);
	fort_llvm_at(x, done);
}

static void cached(struct fort_llvm *x, uint32_t number, uint32_t offset)
{
	LLVMValueRef services =
		fort_llvm_read(x, x->pointer, of_run(x, offsetof(struct fort_run, services)));
	LLVMValueRef word = fort_llvm_read(x, x->i64, fort_llvm_member(x, services, offset));
	LLVMBasicBlockRef done;

	or_call(x, fort_llvm_compare(x, LLVMIntNE, word, fort_llvm_const(x, 0)), number, &done);
	finish(x, word, done);
}

/* Where the C library has the kernel keep the current processor's number, for this thread. It
 * may be another one each time. */
static LLVMValueRef this_cpu(struct fort_llvm *x)
{
	LLVMTypeRef fs = x->api->PointerTypeInContext(x->context, FORT_LLVM_FS);
	LLVMValueRef at =
		fort_llvm_cast(x, LLVMIntToPtr,
			       x->api->ConstInt(x->i64, (uint64_t)(int64_t)x->cpu_offset, false),
			       fs);
	LLVMValueRef cpu = fort_llvm_read(x, x->i32, at);

	x->api->SetVolatile(cpu, true);
	return fort_llvm_cast(x, LLVMZExt, cpu, x->i64);
}

static void cpu(struct fort_llvm *x, uint32_t number)
{
	LLVMValueRef this = this_cpu(x);
	LLVMBasicBlockRef done;

	or_call(x, fort_llvm_compare(x, LLVMIntULT, this, fort_llvm_const(x, FORT_CPUS_MAX)),
		number, &done);
	finish(x, this, done);
}

static LLVMValueRef key_of(struct fort_llvm *x)
{
	LLVMValueRef place = fort_llvm_place(x, fort_llvm_get(x, FORT_R2), 0, x->confines_loads);
	LLVMValueRef key;

	fort_llvm_line(x, true);
	key = fort_llvm_load(x, x->i32, place, x->confines_loads);
	fort_llvm_line(x, false);
	return fort_llvm_cast(x, LLVMZExt, key, x->i64);
}

static LLVMValueRef scaled(struct fort_llvm *x, LLVMValueRef a, uint64_t by)
{
	return fort_llvm_binary(x, LLVMMul, a, fort_llvm_const(x, by));
}

/* The engine's own knowledge: it made the address, of a place in the window. */
static void is_somewhere(struct fort_llvm *x, LLVMValueRef address)
{
	static const char assume[] = "llvm.assume";
	LLVMValueRef there = fort_llvm_compare(x, LLVMIntNE, address, fort_llvm_const(x, 0));
	LLVMValueRef function = x->api->GetIntrinsicDeclaration(
		x->module, x->api->LookupIntrinsicID(assume, sizeof(assume) - 1), NULL, 0);

	fort_llvm_call_function(x, x->api->FunctionType(x->nothing, &x->i1, 1, false), function,
				&there, 1);
}

static void array_lookup(struct fort_llvm *x, uint32_t number, uint32_t map)
{
	const struct fort_map_lookup *array = &x->request->lookups[map];
	LLVMValueRef element = fort_llvm_cast(x, LLVMPtrToInt,
					      fort_llvm_outside(x, FORT_LLVM_VALUES, map), x->i64);
	LLVMBasicBlockRef done, missing, found;
	LLVMValueRef this, key;

	if (array->n_cpus) {
		this = this_cpu(x);
		or_call(x,
			fort_llvm_compare(x, LLVMIntULT, this, fort_llvm_const(x, array->n_cpus)),
			number, &done);
		element = fort_llvm_binary(x, LLVMAdd, element, scaled(x, this, array->cpu_bytes));
	} else {
		done = fort_llvm_block(x);
	}
	key = key_of(x);
	missing = fort_llvm_block(x);
	found = fort_llvm_block(x);
	x->api->BuildCondBr(x->builder,
			    fort_llvm_compare(x, LLVMIntULT, key, fort_llvm_const(x, array->n)),
			    found, missing);
	fort_llvm_at(x, missing);
	fort_llvm_set(x, FORT_R0, fort_llvm_const(x, 0));
	poison(x);
	fort_llvm_jump(x, done);
	fort_llvm_at(x, found);
	element = fort_llvm_binary(x, LLVMAdd, element, scaled(x, key, array->stride));
	is_somewhere(x, element);
	finish(x, element, done);
}

/* True when a lookup in this map was done without asking which it is. */
static bool lookup(struct fort_llvm *x, uint32_t number)
{
	uint32_t map = x->map_of[FORT_R1];
	const struct fort_map_lookup *known;

	if (!map || !x->request->lookups || !x->request->helper(number))
		return false;
	known = &x->request->lookups[--map];
	if (known->n && (!known->n_cpus || x->cpu_offset))
		array_lookup(x, number, map);
	else if (known->function && x->request->proven) /* it relies on its first argument */
		fort_llvm_call_host(x, fort_llvm_outside(x, FORT_LLVM_FIND, map));
	else
		return false;
	return true;
}

static void helper(struct fort_llvm *x, uint32_t number)
{
	struct fort_helper_shape shape = {0};

	if (x->request->shape && x->request->helper(number))
		shape = x->request->shape(number);
	switch (shape.inlines) {
	case FORT_INLINE_LOOKUP:
		if (!lookup(x, number))
			call_helper(x, number);
		break;
	case FORT_INLINE_CPU:
		if (x->cpu_offset)
			cpu(x, number);
		else
			call_helper(x, number);
		break;
	case FORT_INLINE_CACHED: cached(x, number, shape.offset); break;
	case FORT_INLINE_TAIL:
		call_helper(x, number);
		fort_llvm_tail(x);
		break;
	default: call_helper(x, number);
	}
}

/* --- subprograms --- */

static void check_depth(struct fort_llvm *x)
{
	LLVMValueRef most = x->api->ConstInt(x->i32, FORT_FRAMES_MAX - 1, false);
	LLVMBasicBlockRef stop, next;

	fort_llvm_unless(x, fort_llvm_compare(x, LLVMIntUGE, x->depth, most), &stop);
	next = fort_llvm_block(x);
	fort_llvm_jump(x, next);
	fort_llvm_at(x, stop);
	fort_llvm_abort(x, FORT_ABORT_DEPTH, x->pc, x->api->ConstInt(x->i32, 0, false));
	fort_llvm_at(x, next);
}

static void local(struct fort_llvm *x, const struct fort_insn *insn)
{
	const struct fort_program *program = x->request->program;
	uint32_t target = (uint32_t)fort_insn_target(insn, x->pc);
	LLVMValueRef callee = x->functions[fort_subprog_of(program, target)], result;
	LLVMValueRef args[FORT_REGS + 4];

	check_depth(x);
	fort_llvm_charge(x, fort_resolve_callee_slots(program, target), x->pc);
	for (unsigned reg = 0; reg < FORT_REGS; reg++)
		args[reg] = fort_llvm_get(x, reg);
	args[FORT_R10] =
		fort_llvm_binary(x, LLVMSub, args[FORT_R10], fort_llvm_const(x, FORT_STACK_BYTES));
	args[FORT_REGS] = fort_llvm_read(x, x->i64, x->fuel);
	args[FORT_REGS + 1] = x->run;
	args[FORT_REGS + 2] = x->entry;
	args[FORT_REGS + 3] =
		fort_llvm_binary(x, LLVMAdd, x->depth, x->api->ConstInt(x->i32, 1, false));
	result = fort_llvm_call_function(x, x->subprogram, callee, args, FORT_LEN(args));
	for (unsigned reg = 0; reg < FORT_LLVM_PASSED; reg++)
		fort_llvm_set(x, reg, x->api->BuildExtractValue(x->builder, result, reg, ""));
	fort_llvm_write(x, x->fuel,
			x->api->BuildExtractValue(x->builder, result, FORT_LLVM_PASSED, ""));
}

void fort_llvm_call(struct fort_llvm *x, const struct fort_insn *insn)
{
	if (insn->kind == FORT_CALLX)
		call_by_number(x, insn);
	else if (insn->op == FORT_OP_LOCAL)
		local(x, insn);
	else
		helper(x, (uint32_t)insn->imm);
}
