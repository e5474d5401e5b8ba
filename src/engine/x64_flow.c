/* Jumps, calls, and the ways out of a run. */
#include "engine/x64_code.h"

#include <stddef.h>

#include "engine/resolve.h"
#include "engine/x64_run.h"

#define RUN(member)                                  \
	((struct fort_x64_mem){.base = FORT_X64_RUN, \
			       .disp = (int32_t)offsetof(struct fort_run, member)})
#define ENTRY(member)                                  \
	((struct fort_x64_mem){.base = FORT_X64_FREE2, \
			       .disp = (int32_t)offsetof(struct fort_x64_entry, member)})
#define FRAMES_LEFT ((struct fort_x64_mem){.base = FORT_X64_RSP, .disp = 8})

static const uint8_t conditions[] = {
#define FORT_X64_JCC(op, cc) [FORT_OP_##op] = cc,
#include "engine/x64.def"
};

/* --- the ways out --- */

struct fort_x64_stop *fort_x64_leave(struct fort_x64 *x, enum fort_x64_cc cc, uint8_t code)
{
	struct fort_x64_stop *stop = &x->stops[x->n_stops++];

	*stop = (struct fort_x64_stop){
		.from = fort_x64_jump(&x->bytes, cc, 4, 0),
		.pc = x->pc,
		.code = code,
	};
	return stop;
}

/* With the pc in FREE1: tells the entry why, and returns to whoever entered, out of all frames. */
static void put_way_out(struct fort_x64 *x, uint8_t code)
{
	struct fort_x64_bytes *to = &x->bytes;

	fort_x64_rm(to, FORT_X64_LOAD, 64, FORT_X64_FREE2, RUN(engine));
	fort_x64_rmi(to, FORT_X64_MOV_I32, 32, 0, ENTRY(stop), code);
	fort_x64_rm(to, FORT_X64_MOV, 32, FORT_X64_FREE1, ENTRY(pc));
	fort_x64_rm(to, FORT_X64_LOAD, 64, FORT_X64_RSP, ENTRY(stack));
	fort_x64_plain(to, FORT_X64_RET, 32);
}

static void give_back(struct fort_x64 *x, uint32_t refund)
{
	uint32_t part = x->bytes.careful < refund ? x->bytes.careful : 0;

	if (FORT_UNLIKELY(part))
		fort_x64_alu_imm(&x->bytes, FORT_X64_ADD, 64, FORT_X64_FUEL, (int32_t)part);
	fort_x64_alu_imm(&x->bytes, FORT_X64_ADD, 64, FORT_X64_FUEL, (int32_t)(refund - part));
}

static void put_stop(struct fort_x64 *x, const struct fort_x64_stop *stop, uint32_t way_out)
{
	struct fort_x64_bytes *to = &x->bytes;

	fort_x64_patch(to, stop->from, 4, to->at);
	fort_x64_shift(to);
	if (stop->code == FORT_ABORT_FUEL)
		give_back(x, stop->refund);
	if (stop->code == FORT_ABORT_HELPER) {
		fort_x64_rm(to, FORT_X64_LOAD, 64, FORT_X64_FREE2, RUN(engine));
		fort_x64_rmi(to, FORT_X64_MOV_I32, 32, 0, ENTRY(detail), (int32_t)stop->detail);
	}
	fort_x64_const(to, FORT_X64_FREE1, stop->pc);
	fort_x64_jump(to, FORT_X64_ALWAYS, 4, way_out);
}

void fort_x64_stops(struct fort_x64 *x)
{
	uint32_t ways_out[FORT_X64_STOPS] = {0};

	x->bytes.careful = x->careful[x->request->program->n_insns];

	for (uint32_t i = 0; i < x->n_stops; i++)
		if (!ways_out[x->stops[i].code]) {
			ways_out[x->stops[i].code] = x->bytes.at;
			put_way_out(x, x->stops[i].code);
		}
	for (uint32_t i = 0; i < x->n_stops; i++)
		put_stop(x, &x->stops[i], ways_out[x->stops[i].code]);
}

/* --- jumps --- */

/* To the code of a slot, by the short form where it is sure to reach. */
static void jump_to(struct fort_x64 *x, enum fort_x64_cc cc, uint32_t target)
{
	struct fort_x64_fixup *fixup;
	uint32_t bytes;

	if (target <= x->pc) {
		/* From the end of the short form. */
		bytes = x->bytes.at + 2 - x->offsets[target] <= 128 ? 1 : 4;
		fort_x64_jump(&x->bytes, cc, bytes, x->offsets[target]);
		return;
	}
	bytes = x->last && x->offsets[target] - x->estimate <= INT8_MAX ? 1 : 4;
	fixup = &x->fixups[x->n_fixups++];
	*fixup = (struct fort_x64_fixup){fort_x64_jump(&x->bytes, cc, bytes, 0), bytes, target};
}

/* Fuel for a jump back or a call. The subtraction's borrow tells that it was not there. A cost that
 * may not be spelled is taken in two parts, and neither if it is not all there. */
static void take_fuel(struct fort_x64 *x, uint32_t cost)
{
	uint32_t part = x->bytes.careful < cost ? x->bytes.careful : 0;

	if (FORT_UNLIKELY(part)) {
		fort_x64_alu_imm(&x->bytes, FORT_X64_SUB, 64, FORT_X64_FUEL, (int32_t)part);
		fort_x64_leave(x, FORT_X64_BELOW, FORT_ABORT_FUEL)->refund = part;
		cost -= part;
	}
	fort_x64_alu_imm(&x->bytes, FORT_X64_SUB, 64, FORT_X64_FUEL, (int32_t)cost);
}

/* Back to `target` if there is fuel; subtraction and jump are one operation of the processor. */
static void jump_back(struct fort_x64 *x, uint32_t target)
{
	uint32_t cost = x->pc - target + 1;

	take_fuel(x, cost);
	jump_to(x, FORT_X64_NOT_BELOW, target);
	fort_x64_leave(x, FORT_X64_ALWAYS, FORT_ABORT_FUEL)->refund = cost;
}

void fort_x64_ja(struct fort_x64 *x, const struct fort_insn *insn)
{
	uint32_t target = (uint32_t)fort_insn_target(insn, x->pc);

	if (target <= x->pc)
		jump_back(x, target);
	else if (target != x->pc + 1)
		jump_to(x, FORT_X64_ALWAYS, target);
}

/* After a comparison. */
static void jump_if(struct fort_x64 *x, const struct fort_insn *insn)
{
	uint32_t target = (uint32_t)fort_insn_target(insn, x->pc), skip;
	enum fort_x64_cc cc = conditions[insn->op];

	if (target > x->pc) {
		jump_to(x, cc, target);
		return;
	}
	skip = fort_x64_skip(x, cc ^ 1);
	jump_back(x, target);
	fort_x64_land(x, skip);
}

void fort_x64_jcc_x(struct fort_x64 *x, const struct fort_insn *insn)
{
	enum fort_x64_row row = insn->op == FORT_OP_JSET ? FORT_X64_TEST : FORT_X64_CMP;

	fort_x64_rr(&x->bytes, row, insn->bits, fort_x64_home(insn->src), fort_x64_home(insn->dst));
	jump_if(x, insn);
}

void fort_x64_jcc_k(struct fort_x64 *x, const struct fort_insn *insn)
{
	enum fort_x64_reg dst = fort_x64_home(insn->dst);
	int32_t imm = (int32_t)insn->imm;

	if (insn->op == FORT_OP_JSET)
		fort_x64_rri(&x->bytes, FORT_X64_TEST_I32, insn->bits, 0, dst, imm);
	else if (!imm) /* the same flags */
		fort_x64_rr(&x->bytes, FORT_X64_TEST, insn->bits, dst, dst);
	else
		fort_x64_alu_imm(&x->bytes, FORT_X64_CMP, insn->bits, dst, imm);
	jump_if(x, insn);
}

/* --- calls --- */

/* Runs around a call of the host: fuel and the run's end are in the run, all registers but the
 * callee-saved are lost, r1 to r5 to the pattern that engines agree on. */
static void before_helper(struct fort_x64 *x)
{
	fort_x64_rm(&x->bytes, FORT_X64_MOV, 64, FORT_X64_FUEL, RUN(fuel));
	fort_x64_reg(&x->bytes, FORT_X64_PUSH, 32, FORT_X64_RUN);
}

static void after_helper(struct fort_x64 *x)
{
	struct fort_x64_bytes *to = &x->bytes;

	fort_x64_reg(to, FORT_X64_POP, 32, FORT_X64_RUN);
	fort_x64_rm(to, FORT_X64_LOAD, 64, FORT_X64_FUEL, RUN(fuel));
	fort_x64_rmi(to, FORT_X64_ALU_I8, 32, 7, RUN(abort.code), 0); /* cmp */
	fort_x64_leave(x, FORT_X64_NOT_EQUAL, FORT_X64_STOP_HELPER);
	fort_x64_const(to, fort_x64_home(FORT_R1), FORT_POISON);
	for (uint8_t reg = FORT_R2; reg <= FORT_R5; reg++)
		fort_x64_mov(to, 64, fort_x64_home(reg), fort_x64_home(FORT_R1));
}

static void call_helper(struct fort_x64 *x, uint32_t number)
{
	fort_helper_fn *helper = x->request->helper(number);

	if (!helper) {
		fort_x64_leave(x, FORT_X64_ALWAYS, FORT_ABORT_HELPER)->detail = number;
		return;
	}
	before_helper(x);
	fort_x64_call_slot(&x->bytes, fort_x64_slot(x, helper));
	after_helper(x);
}

static const uint8_t kept[] = {FORT_R6, FORT_R7, FORT_R8, FORT_R9};

/* The caller keeps r6 to r9 on the machine's stack; the callee is entered as any frame is. */
static void call_local(struct fort_x64 *x, uint32_t target)
{
	uint32_t cost = fort_resolve_callee_slots(x->request->program, target);
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg r10 = fort_x64_home(FORT_R10);

	fort_x64_rm(to, FORT_X64_LOAD, 64, FORT_X64_FREE1, FRAMES_LEFT);
	fort_x64_alu_imm(to, FORT_X64_SUB, 64, FORT_X64_FREE1, 1);
	fort_x64_leave(x, FORT_X64_BELOW, FORT_ABORT_DEPTH);
	take_fuel(x, cost);
	fort_x64_leave(x, FORT_X64_BELOW, FORT_ABORT_FUEL)->refund = cost;
	for (unsigned i = 0; i < FORT_LEN(kept); i++)
		fort_x64_reg(to, FORT_X64_PUSH, 32, fort_x64_home(kept[i]));
	fort_x64_reg(to, FORT_X64_PUSH, 32, FORT_X64_FREE1);
	fort_x64_alu_imm(to, FORT_X64_SUB, 64, r10, FORT_STACK_BYTES);
	if (target <= x->pc) {
		fort_x64_call(to, x->offsets[target]);
	} else {
		struct fort_x64_fixup *fixup = &x->fixups[x->n_fixups++];

		*fixup = (struct fort_x64_fixup){fort_x64_call(to, 0), 4, target};
	}
	fort_x64_alu_imm(to, FORT_X64_ADD, 64, r10, FORT_STACK_BYTES);
	fort_x64_reg(to, FORT_X64_POP, 32, FORT_X64_FREE1);
	for (unsigned i = FORT_LEN(kept); i-- > 0;)
		fort_x64_reg(to, FORT_X64_POP, 32, fort_x64_home(kept[i]));
}

void fort_x64_calls(struct fort_x64 *x, const struct fort_insn *insn)
{
	if (insn->op == FORT_OP_LOCAL)
		call_local(x, (uint32_t)fort_insn_target(insn, x->pc));
	else
		call_helper(x, (uint32_t)insn->imm);
}

/* Which helper is known only now: a function of the host finds and calls it. The whole register
 * counts. */
void fort_x64_callx(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_bytes *to = &x->bytes;

	fort_x64_rm(to, FORT_X64_LOAD, 64, FORT_X64_FREE2, RUN(engine));
	fort_x64_rm(to, FORT_X64_MOV, 64, fort_x64_home(insn->dst), ENTRY(number));
	fort_x64_rm(to, FORT_X64_MOV, 64, fort_x64_home(FORT_R0), ENTRY(r0));
	before_helper(x);
	fort_x64_call_slot(to, fort_x64_slot(x, fort_x64_call_by_number));
	after_helper(x);
}

void fort_x64_exit(struct fort_x64 *x, const struct fort_insn *insn)
{
	fort_x64_plain(&x->bytes, FORT_X64_RET, 32);
}
