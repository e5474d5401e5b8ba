/* Arithmetic, conditions and accesses (llvm_ir.h). */
#include "engine/llvm_ir.h"

/* --- arithmetic --- */

static LLVMValueRef number(LLVMTypeRef type, const struct fort_llvm *x, uint64_t value)
{
	return x->api->ConstInt(type, value, false);
}

static LLVMValueRef source(struct fort_llvm *x, const struct fort_insn *insn)
{
	bool imm = insn->kind == FORT_ALU_K || insn->kind == FORT_JCC_K ||
		   insn->kind == FORT_MOV_K || insn->kind == FORT_ST;

	if (!imm)
		return fort_llvm_get_low(x, insn->src, insn->bits);
	return fort_llvm_number(x, fort_llvm_int(x, insn->bits), (uint64_t)insn->imm);
}

/* Of a division: what it is for divisors for which the machine has no answer. */
static LLVMValueRef divide(struct fort_llvm *x, uint8_t op, LLVMValueRef a, LLVMValueRef b,
			   LLVMTypeRef type)
{
	LLVMBuilderRef to = x->builder;
	bool sign = op == FORT_OP_SDIV || op == FORT_OP_SMOD;
	bool rest = op == FORT_OP_MOD || op == FORT_OP_SMOD;
	LLVMValueRef zero = number(type, x, 0), one = number(type, x, 1), safe, value;
	LLVMValueRef by_zero = fort_llvm_compare(x, LLVMIntEQ, b, zero);
	LLVMValueRef by_minus = fort_llvm_compare(x, LLVMIntEQ, b, number(type, x, UINT64_MAX));

	safe = x->api->BuildSelect(to, by_zero, one, b, "");
	if (sign)
		safe = x->api->BuildSelect(to, by_minus, one, safe, "");
	value = fort_llvm_binary(x,
				 rest   ? sign ? LLVMSRem : LLVMURem
				 : sign ? LLVMSDiv
					: LLVMUDiv,
				 a, safe);
	if (sign)
		value = x->api->BuildSelect(to, by_minus,
					    rest ? zero : fort_llvm_binary(x, LLVMSub, zero, a),
					    value, "");
	return x->api->BuildSelect(to, by_zero, rest ? a : zero, value, "");
}

static LLVMValueRef shift(struct fort_llvm *x, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b,
			  LLVMTypeRef type, unsigned bits)
{
	return fort_llvm_binary(x, op, a,
				fort_llvm_binary(x, LLVMAnd, b, number(type, x, bits - 1)));
}

void fort_llvm_alu(struct fort_llvm *x, const struct fort_insn *insn)
{
	LLVMTypeRef type = fort_llvm_int(x, insn->bits);
	LLVMValueRef a = fort_llvm_get_low(x, insn->dst, insn->bits), b, value;

	if (insn->kind == FORT_NEG) {
		fort_llvm_set(x, insn->dst, fort_llvm_binary(x, LLVMSub, number(type, x, 0), a));
		return;
	}
	b = source(x, insn);
	switch (insn->op) {
	case FORT_OP_ADD: value = fort_llvm_binary(x, LLVMAdd, a, b); break;
	case FORT_OP_SUB: value = fort_llvm_binary(x, LLVMSub, a, b); break;
	case FORT_OP_MUL: value = fort_llvm_binary(x, LLVMMul, a, b); break;
	case FORT_OP_OR: value = fort_llvm_binary(x, LLVMOr, a, b); break;
	case FORT_OP_AND: value = fort_llvm_binary(x, LLVMAnd, a, b); break;
	case FORT_OP_XOR: value = fort_llvm_binary(x, LLVMXor, a, b); break;
	case FORT_OP_LSH: value = shift(x, LLVMShl, a, b, type, insn->bits); break;
	case FORT_OP_RSH: value = shift(x, LLVMLShr, a, b, type, insn->bits); break;
	case FORT_OP_ARSH: value = shift(x, LLVMAShr, a, b, type, insn->bits); break;
	default: value = divide(x, insn->op, a, b, type); /* DIV, SDIV, MOD, SMOD */
	}
	fort_llvm_set(x, insn->dst, value);
}

void fort_llvm_move(struct fort_llvm *x, const struct fort_insn *insn)
{
	unsigned from = insn->op == FORT_OP_MOVSX8 ? 8 : insn->op == FORT_OP_MOVSX16 ? 16 : 32;
	uint32_t map = insn->kind == FORT_MOV_X && insn->bits == 64 ? x->map_of[insn->src] : 0;
	LLVMValueRef value;

	if (insn->kind == FORT_MOVSX)
		value = fort_llvm_cast(x, LLVMSExt, fort_llvm_get_low(x, insn->src, from),
				       fort_llvm_int(x, insn->bits));
	else
		value = source(x, insn);
	fort_llvm_set(x, insn->dst, value);
	x->map_of[insn->dst] = map;
}

void fort_llvm_end(struct fort_llvm *x, const struct fort_insn *insn)
{
	static const char swap[] = "llvm.bswap";
	LLVMTypeRef type = fort_llvm_int(x, insn->bits);
	LLVMValueRef value = fort_llvm_get_low(x, insn->dst, insn->bits), function;

	if (insn->op != FORT_OP_LE) {
		function = x->api->GetIntrinsicDeclaration(
			x->module, x->api->LookupIntrinsicID(swap, sizeof(swap) - 1), &type, 1);
		value = fort_llvm_call_function(x, x->api->FunctionType(type, &type, 1, false),
						function, &value, 1);
	}
	fort_llvm_set(x, insn->dst, value);
}

/* --- conditions --- */

LLVMValueRef fort_llvm_condition(struct fort_llvm *x, const struct fort_insn *insn)
{
	static const LLVMIntPredicate predicates[] = {
		[FORT_OP_JEQ] = LLVMIntEQ,   [FORT_OP_JNE] = LLVMIntNE,
		[FORT_OP_JGT] = LLVMIntUGT,  [FORT_OP_JGE] = LLVMIntUGE,
		[FORT_OP_JLT] = LLVMIntULT,  [FORT_OP_JLE] = LLVMIntULE,
		[FORT_OP_JSGT] = LLVMIntSGT, [FORT_OP_JSGE] = LLVMIntSGE,
		[FORT_OP_JSLT] = LLVMIntSLT, [FORT_OP_JSLE] = LLVMIntSLE,
	};
	LLVMValueRef a = fort_llvm_get_low(x, insn->dst, insn->bits), b = source(x, insn);

	if (insn->op == FORT_OP_JSET)
		return fort_llvm_compare(x, LLVMIntNE, fort_llvm_binary(x, LLVMAnd, a, b),
					 number(fort_llvm_int(x, insn->bits), x, 0));
	return fort_llvm_compare(x, predicates[insn->op], a, b);
}

/* --- accesses --- */

static LLVMAtomicRMWBinOp update_of(uint8_t op)
{
	switch (op) {
	case FORT_OP_A_ADD:
	case FORT_OP_A_FETCH_ADD: return LLVMAtomicRMWBinOpAdd;
	case FORT_OP_A_OR:
	case FORT_OP_A_FETCH_OR: return LLVMAtomicRMWBinOpOr;
	case FORT_OP_A_AND:
	case FORT_OP_A_FETCH_AND: return LLVMAtomicRMWBinOpAnd;
	case FORT_OP_A_XOR:
	case FORT_OP_A_FETCH_XOR: return LLVMAtomicRMWBinOpXor;
	default: return LLVMAtomicRMWBinOpXchg;
	}
}

static void atomic(struct fort_llvm *x, const struct fort_insn *insn, LLVMValueRef place)
{
	LLVMValueRef word = source(x, insn), old;

	if (insn->op == FORT_OP_A_CMPXCHG) {
		old = x->api->BuildAtomicCmpXchg(x->builder, place,
						 fort_llvm_get_low(x, FORT_R0, insn->bits), word,
						 LLVMAtomicOrderingSequentiallyConsistent,
						 LLVMAtomicOrderingSequentiallyConsistent, false);
		x->api->SetVolatile(old, true);
		old = x->api->BuildExtractValue(x->builder, old, 0, "");
		fort_llvm_set(x, FORT_R0, old);
		return;
	}
	/* An update that changes nothing would become a load, and not fault where nothing may be
	 * written. */
	if (x->confines_stores)
		word = fort_llvm_opaque(x, fort_llvm_int(x, insn->bits), word);
	old = x->api->BuildAtomicRMW(x->builder, update_of(insn->op), place, word,
				     LLVMAtomicOrderingSequentiallyConsistent, false);
	x->api->SetVolatile(old, true);
	if (fort_insn_uses(insn, 's'))
		fort_llvm_set(x, insn->src, old);
}

static void store(struct fort_llvm *x, const struct fort_insn *insn, LLVMValueRef place)
{
	LLVMValueRef done = x->api->BuildStore(x->builder, source(x, insn), place);

	if (insn->kind == FORT_STREL)
		x->api->SetOrdering(done, LLVMAtomicOrderingRelease);
	x->api->SetAlignment(done, insn->kind == FORT_STREL ? insn->bits / 8u : 1);
	x->api->SetVolatile(done, x->confines_stores || insn->kind == FORT_STREL);
}

static void load(struct fort_llvm *x, const struct fort_insn *insn, LLVMValueRef place)
{
	LLVMTypeRef type = fort_llvm_int(x, insn->bits);
	LLVMValueRef word;

	if (insn->kind == FORT_LDACQ) {
		word = fort_llvm_read(x, type, place);
		x->api->SetOrdering(word, LLVMAtomicOrderingAcquire);
		x->api->SetAlignment(word, insn->bits / 8u);
		x->api->SetVolatile(word, true);
	} else {
		word = fort_llvm_load(x, type, place, x->confines_loads);
	}
	if (insn->op == FORT_OP_LDXS)
		word = fort_llvm_cast(x, LLVMSExt, word, x->i64);
	/* It must not become a part of what comes next: where it faults is told by its line. */
	if (x->confines_loads) {
		if (insn->op != FORT_OP_LDXS && insn->bits < 64)
			word = fort_llvm_cast(x, LLVMZExt, word, x->i64);
		word = fort_llvm_opaque(x, x->i64, word);
	}
	fort_llvm_set(x, insn->dst, word);
}

void fort_llvm_access(struct fort_llvm *x, const struct fort_insn *insn)
{
	bool loads = insn->kind == FORT_LDX || insn->kind == FORT_LDACQ;
	bool confined = loads ? x->confines_loads : x->confines_stores;
	LLVMValueRef base = fort_llvm_get(x, loads ? insn->src : insn->dst);
	LLVMValueRef place = fort_llvm_place(x, base, insn->off, confined);

	if (loads)
		load(x, insn, place);
	else if (insn->kind == FORT_ATOMIC)
		atomic(x, insn, place);
	else
		store(x, insn, place);
}
