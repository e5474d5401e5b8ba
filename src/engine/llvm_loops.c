/* Loops that count (llvm_ir.h): how often one goes round is known when it is entered, so that one
 * look at the fuel does for all rounds. Such a loop is lowered twice: as it is, and without
 * looking, for when there is enough.
 *
 * What counts is found in the program as it stands: a stretch of slots that is entered at its head
 * only, without calls or other ways back, whose last slot goes back until a register that one
 * addition changes, on every way through, is what another that nothing changes, or a number, is.
 */
#include "engine/llvm_ir.h"
#include "engine/resolve.h"

#define LOOP_SLOTS_MAX 128u

/* Both bits must be below what keeps their product in 64 bits. */
#define ROUNDS_MAX (1ull << 31)

static bool changes(const struct fort_insn *insn, uint8_t reg)
{
	bool dst = fort_insn_uses(insn, 'D') || fort_insn_uses(insn, 'b');

	return (dst && insn->dst == reg) || (fort_insn_uses(insn, 's') && insn->src == reg) ||
	       (fort_insn_uses(insn, '0') && reg == FORT_R0);
}

static bool is_jump(const struct fort_insn *insn)
{
	return insn->kind == FORT_JA || insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X;
}

/* The slot of the only instruction in [head, latch) that changes the register; `latch` if there
 * are more, UINT32_MAX if there is none. */
static uint32_t only_change(const struct fort_insn *insns, uint32_t head, uint32_t latch,
			    uint8_t reg)
{
	uint32_t found = UINT32_MAX;

	for (uint32_t pc = head; pc < latch; pc++)
		if (changes(&insns[pc], reg))
			found = found == UINT32_MAX ? pc : latch;
	return found;
}

/* No way leads back, calls, or around the addition; none leads in but to the head. */
static bool goes_through(const struct fort_llvm *x, uint32_t head, uint32_t latch, uint32_t add)
{
	const struct fort_insn *insns = x->request->program->insns;

	for (uint32_t pc = head; pc < latch; pc++) {
		int64_t target = fort_insn_target(&insns[pc], pc);

		if (insns[pc].kind == FORT_CALL || insns[pc].kind == FORT_CALLX ||
		    fort_insn_writes_frame_pointer(&insns[pc]))
			return false;
		if (is_jump(&insns[pc]) &&
		    (target <= pc || (pc < add && target > add && target <= latch)))
			return false;
	}
	for (uint32_t pc = head + 1; pc <= latch; pc++)
		if (x->ways[pc].there && (x->ways[pc].first < head || x->ways[pc].last > latch))
			return false;
	return true;
}

static bool counts(const struct fort_llvm *x, uint32_t latch)
{
	const struct fort_insn *insns = x->request->program->insns, *test = &insns[latch];
	uint32_t head = (uint32_t)fort_insn_target(test, latch), add;

	if (test->op != FORT_OP_JNE || head > latch || latch - head > LOOP_SLOTS_MAX)
		return false;
	add = only_change(insns, head, latch, test->dst);
	if (add >= latch || insns[add].kind != FORT_ALU_K || insns[add].op != FORT_OP_ADD ||
	    insns[add].bits != test->bits || !insns[add].imm || insns[add].imm == INT32_MIN)
		return false;
	if (test->kind == FORT_JCC_X &&
	    (test->src == test->dst || only_change(insns, head, latch, test->src) != UINT32_MAX))
		return false;
	return goes_through(x, head, latch, add);
}

/* Where jumps to each slot come from. */
static void find_ways(struct fort_llvm *x, const struct fort_subprog *subprog)
{
	for (uint32_t pc = subprog->start; pc < subprog->end; pc++) {
		const struct fort_insn *insn = &x->request->program->insns[pc];
		struct fort_llvm_ways *ways;

		if (!is_jump(insn))
			continue;
		ways = &x->ways[fort_insn_target(insn, pc)];
		if (!ways->there)
			ways->first = pc;
		ways->there = true;
		ways->last = pc;
	}
}

void fort_llvm_find_loops(struct fort_llvm *x, const struct fort_subprog *subprog)
{
	find_ways(x, subprog);
	for (uint32_t pc = subprog->start; pc < subprog->end; pc++) {
		const struct fort_insn *insn = &x->request->program->insns[pc];

		if ((insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X) && counts(x, pc))
			x->latches[fort_insn_target(insn, pc)] = pc;
	}
}

/* Is there fuel for all rounds of the loop at `head`, as it is entered now? */
LLVMValueRef fort_llvm_is_rich(struct fort_llvm *x, uint32_t head)
{
	const struct fort_insn *insns = x->request->program->insns, *test;
	uint32_t latch = x->latches[head];
	LLVMValueRef end, left, rounds, step, whole, few, enough;
	int64_t by;

	test = &insns[latch];
	by = insns[only_change(insns, head, latch, test->dst)].imm;
	end = test->kind == FORT_JCC_K
		      ? x->api->ConstInt(fort_llvm_int(x, test->bits), (uint64_t)test->imm, false)
		      : fort_llvm_get_low(x, test->src, test->bits);
	left = fort_llvm_get_low(x, test->dst, test->bits);
	left = by > 0 ? fort_llvm_binary(x, LLVMSub, end, left)
		      : fort_llvm_binary(x, LLVMSub, left, end);
	left = fort_llvm_cast(x, LLVMZExt, left, x->i64);
	step = fort_llvm_const(x, (uint64_t)(by > 0 ? by : -by));
	rounds = fort_llvm_binary(x, LLVMUDiv, left, step);
	whole = fort_llvm_compare(x, LLVMIntEQ, fort_llvm_binary(x, LLVMMul, rounds, step), left);
	/* None left: it goes round until the register wraps. */
	few = fort_llvm_compare(x, LLVMIntULT,
				fort_llvm_binary(x, LLVMSub, rounds, fort_llvm_const(x, 1)),
				fort_llvm_const(x, ROUNDS_MAX));
	enough = fort_llvm_compare(
		x, LLVMIntUGE, fort_llvm_read(x, x->i64, x->fuel),
		fort_llvm_binary(x, LLVMMul, rounds,
				 fort_llvm_const(x, fort_resolve_loop_slots(x->loop_ends, head))));
	return fort_llvm_binary(x, LLVMAnd, whole, fort_llvm_binary(x, LLVMAnd, few, enough));
}
