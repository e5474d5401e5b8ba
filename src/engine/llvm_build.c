/* What instructions are made with: values, blocks, accesses, ends (llvm_ir.h). */
#include <stdio.h>
#include <string.h>

#include "engine/llvm_ir.h"
#include "engine/x64_run.h"

LLVMTypeRef fort_llvm_int(struct fort_llvm *x, unsigned bits)
{
	return x->api->IntTypeInContext(x->context, bits);
}

/* --- numbers --- */

/* No code, with a word as its operand; `stays`: and is there although nobody needs it. */
static LLVMValueRef assembly(struct fort_llvm *x, LLVMTypeRef result, const char *operands,
			     size_t operand_bytes, LLVMValueRef word, LLVMTypeRef type, bool stays)
{
	static const char nothing[] = "";
	LLVMTypeRef function = x->api->FunctionType(result, &type, 1, false);
	LLVMValueRef code = x->api->GetInlineAsm(function, nothing, 0, operands, operand_bytes,
						 stays, false, LLVMInlineAsmDialectATT, false);

	return fort_llvm_call_function(x, function, code, &word, 1);
}

LLVMValueRef fort_llvm_opaque(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef word)
{
	static const char same[] = "=r,0";

	return assembly(x, type, same, sizeof(same) - 1, word, type, false);
}

/* No byte of a key begins a barred sequence, and each time another one is tried. */
static uint64_t key_of_hidden(uint8_t times)
{
	return 0x0101010101010101ull * (0x51u + times);
}

/* In a whole register: half of one that is written leaves what was in the other, which may be what
 * nothing is computed with. */
static LLVMValueRef hidden_number(struct fort_llvm *x, LLVMTypeRef type, uint64_t value)
{
	LLVMTypeRef wide = type == x->i64 ? x->i64 : x->i32;
	LLVMValueRef number = fort_llvm_opaque(x, wide, x->api->ConstInt(wide, value, false));

	return wide == type ? number : fort_llvm_cast(x, LLVMTrunc, number, type);
}

LLVMValueRef fort_llvm_number(struct fort_llvm *x, LLVMTypeRef type, uint64_t value)
{
	uint8_t times = x->hidden ? x->hidden[x->pc] : 0;
	uint64_t key = key_of_hidden(times);

	if (!times)
		return x->api->ConstInt(type, value, false);
	return fort_llvm_binary(x, LLVMXor, hidden_number(x, type, value ^ key),
				hidden_number(x, type, key));
}

LLVMValueRef fort_llvm_const(struct fort_llvm *x, uint64_t value)
{
	return fort_llvm_number(x, x->i64, value);
}

void fort_llvm_shift(struct fort_llvm *x)
{
	static const char in[] = "r";
	uint8_t times = x->hidden ? x->hidden[x->pc] : 0;

	for (uint8_t i = 0; i < times; i++)
		assembly(x, x->nothing, in, sizeof(in) - 1,
			 x->api->ConstInt(x->i32, key_of_hidden(i), false), x->i32, true);
}

/* --- what is done with them --- */

LLVMValueRef fort_llvm_binary(struct fort_llvm *x, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b)
{
	return x->api->BuildBinOp(x->builder, op, a, b, "");
}

LLVMValueRef fort_llvm_cast(struct fort_llvm *x, LLVMOpcode op, LLVMValueRef a, LLVMTypeRef to)
{
	return x->api->BuildCast(x->builder, op, a, to, "");
}

LLVMValueRef fort_llvm_compare(struct fort_llvm *x, LLVMIntPredicate is, LLVMValueRef a,
			       LLVMValueRef b)
{
	return x->api->BuildICmp(x->builder, is, a, b, "");
}

LLVMValueRef fort_llvm_call_function(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef function,
				     LLVMValueRef *args, unsigned n)
{
	return x->api->BuildCall2(x->builder, type, function, args, n, "");
}

/* --- registers --- */

LLVMValueRef fort_llvm_get(struct fort_llvm *x, unsigned reg)
{
	return fort_llvm_read(x, x->i64, x->regs[reg]);
}

LLVMValueRef fort_llvm_get_low(struct fort_llvm *x, unsigned reg, unsigned bits)
{
	LLVMValueRef value = fort_llvm_get(x, reg);

	return bits == 64 ? value : fort_llvm_cast(x, LLVMTrunc, value, fort_llvm_int(x, bits));
}

void fort_llvm_set(struct fort_llvm *x, unsigned reg, LLVMValueRef value)
{
	fort_llvm_write(x, x->regs[reg], fort_llvm_cast(x, LLVMZExt, value, x->i64));
	x->map_of[reg] = 0;
}

/* --- memory --- */

LLVMValueRef fort_llvm_place(struct fort_llvm *x, LLVMValueRef base, int64_t off, bool confined)
{
	LLVMValueRef sum = fort_llvm_binary(x, LLVMAdd, base, fort_llvm_const(x, (uint64_t)off));
	LLVMTypeRef gs;

	if (!confined)
		return fort_llvm_cast(x, LLVMIntToPtr, sum, x->pointer);
	gs = x->api->PointerTypeInContext(x->context, FORT_LLVM_GS);
	sum = fort_llvm_cast(x, LLVMZExt, fort_llvm_cast(x, LLVMTrunc, sum, x->i32), x->i64);
	return fort_llvm_cast(x, LLVMIntToPtr, sum, gs);
}

LLVMValueRef fort_llvm_load(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef place,
			    bool confined)
{
	LLVMValueRef value = fort_llvm_read(x, type, place);

	x->api->SetAlignment(value, 1);
	if (!confined)
		return x->api->BuildFreeze(x->builder, value, "");
	x->api->SetVolatile(value, true);
	return value;
}

LLVMValueRef fort_llvm_member(struct fort_llvm *x, LLVMValueRef object, uint64_t offset)
{
	LLVMValueRef index = x->api->ConstInt(x->i64, offset, false);

	return x->api->BuildGEP2(x->builder, x->i8, object, &index, 1, "");
}

LLVMValueRef fort_llvm_read(struct fort_llvm *x, LLVMTypeRef type, LLVMValueRef place)
{
	return x->api->BuildLoad2(x->builder, type, place, "");
}

void fort_llvm_write(struct fort_llvm *x, LLVMValueRef place, LLVMValueRef value)
{
	x->api->BuildStore(x->builder, value, place);
}

/* --- from outside --- */

/* Called through a word of the image: no function of the host is within reach of a short call. */
LLVMValueRef fort_llvm_function(struct fort_llvm *x, const char *name, LLVMTypeRef type)
{
	const struct fort_llvm_api *api = x->api;
	LLVMValueRef function = api->GetNamedFunction(x->module, name);
	static const char eager[] = "nonlazybind";
	unsigned kind = api->GetEnumAttributeKindForName(eager, sizeof(eager) - 1);

	if (function)
		return function;
	function = api->AddFunction(x->module, name, type);
	api->AddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
				 api->CreateEnumAttribute(x->context, kind, 0));
	return function;
}

LLVMValueRef fort_llvm_outside(struct fort_llvm *x, char kind, uint32_t number)
{
	char name[16];
	LLVMValueRef object;

	snprintf(name, sizeof(name), "%c%u", kind, number);
	if (kind != FORT_LLVM_VALUES)
		return fort_llvm_function(x, name, x->helper);
	object = x->api->GetNamedGlobal(x->module, name);
	return object ? object : x->api->AddGlobal(x->module, x->i8, name);
}

/* --- control --- */

LLVMBasicBlockRef fort_llvm_block(struct fort_llvm *x)
{
	return x->api->AppendBasicBlockInContext(x->context, x->function, "");
}

void fort_llvm_at(struct fort_llvm *x, LLVMBasicBlockRef block)
{
	x->api->PositionBuilderAtEnd(x->builder, block);
}

void fort_llvm_jump(struct fort_llvm *x, LLVMBasicBlockRef to)
{
	x->api->BuildBr(x->builder, to);
}

void fort_llvm_unless(struct fort_llvm *x, LLVMValueRef condition, LLVMBasicBlockRef *then)
{
	LLVMBasicBlockRef next = fort_llvm_block(x);

	*then = fort_llvm_block(x);
	x->api->BuildCondBr(x->builder, condition, *then, next);
	fort_llvm_at(x, next);
}

void fort_llvm_abort(struct fort_llvm *x, uint32_t code, uint32_t pc, LLVMValueRef detail)
{
	LLVMValueRef leave = fort_llvm_function(x, FORT_LLVM_LEAVE, x->leave);
	LLVMValueRef args[] = {x->entry, fort_llvm_number(x, x->i32, code),
			       fort_llvm_number(x, x->i32, pc), detail};

	/* A helper has left in the run what fuel there is. */
	if (code != FORT_ABORT_CODES)
		fort_llvm_write(x, fort_llvm_member(x, x->run, offsetof(struct fort_run, fuel)),
				fort_llvm_read(x, x->i64, x->fuel));
	fort_llvm_call_function(x, x->leave, leave, args, FORT_LEN(args));
	x->api->BuildUnreachable(x->builder);
}

void fort_llvm_charge(struct fort_llvm *x, uint32_t cost, uint32_t pc)
{
	LLVMValueRef fuel = fort_llvm_read(x, x->i64, x->fuel), price = fort_llvm_const(x, cost);
	LLVMBasicBlockRef empty, next;

	fort_llvm_unless(x, fort_llvm_compare(x, LLVMIntULT, fuel, price), &empty);
	fort_llvm_write(x, x->fuel, fort_llvm_binary(x, LLVMSub, fuel, price));
	next = fort_llvm_block(x);
	fort_llvm_jump(x, next);
	fort_llvm_at(x, empty);
	fort_llvm_abort(x, FORT_ABORT_FUEL, pc, x->api->ConstInt(x->i32, 0, false));
	fort_llvm_at(x, next);
}

void fort_llvm_line(struct fort_llvm *x, bool key)
{
	LLVMMetadataRef at = x->api->DIBuilderCreateDebugLocation(x->context, 2 * x->pc + 1 + key,
								  0, x->scope, NULL);

	x->api->SetCurrentDebugLocation2(x->builder, at);
}
