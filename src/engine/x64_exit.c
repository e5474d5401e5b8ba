#include "engine/x64_exit.h"

#include "engine/x64_tail.h"

/* --- what is seldom done --- */

struct fort_x64_stop *fort_x64_leave(struct fort_x64 *x, enum fort_x64_cc cc, uint32_t pc,
				     uint8_t code)
{
	struct fort_x64_stop *stop = &x->stops[x->n_stops++];

	*stop = (struct fort_x64_stop){.label = fort_x64_label(x), .pc = pc, .code = code};
	fort_x64_jump_to(x, cc, stop->label);
	return stop;
}

uint32_t fort_x64_seldom(struct fort_x64 *x, enum fort_x64_cc cc, const struct fort_x64_op *op,
			 fort_x64_emitter *emit)
{
	struct fort_x64_cold *cold = &x->colds[x->n_colds++];

	*cold = (struct fort_x64_cold){
		.from = fort_x64_label(x), .back = fort_x64_label(x), .op = op, .emit = emit};
	fort_x64_jump_to(x, cc, cold->from);
	return cold->back;
}

void fort_x64_take_fuel(struct fort_x64 *x, uint32_t cost)
{
	fort_x64_put_alu(x, FORT_X64_SUB, 64, FORT_X64_FUEL, (int32_t)cost);
}

void fort_x64_load_entry(struct fort_x64 *x)
{
	fort_x64_rm(&x->bytes, FORT_X64_LOAD, 64, FORT_X64_FREE2, FORT_X64_RUN_MEM(engine));
}

/* --- in and out --- */

/* Callee-saved registers in the order in which they are pushed: bits of x->saved. */
static const uint8_t saved[] = {FORT_X64_RBX, FORT_X64_RBP, FORT_X64_R12,
				FORT_X64_R13, FORT_X64_R14, FORT_X64_R15};

#define FUEL_BIT 4u
_Static_assert(FORT_X64_FUEL == FORT_X64_R12, "its place among them");

static bool saves(const struct fort_x64 *x, enum fort_x64_reg reg)
{
	for (unsigned i = 0; i < FORT_LEN(saved); i++)
		if (saved[i] == reg)
			return x->saved & 1u << i;
	return false;
}

/* Registers of BPF that operations name, a bit each; what is none has a bit that nobody asks for.
 */
static uint32_t named(const struct fort_x64_op *op)
{
	return 1u << (op->dst & 31) | 1u << (op->a & 31) | 1u << (op->b & 31) |
	       1u << (op->base & 31) | 1u << (op->index & 31);
}

void fort_x64_find_saved(struct fort_x64 *x)
{
	uint32_t names = 0;
	bool fuel = false;

	for (uint32_t i = 0; i < x->n_ops; i++) {
		const struct fort_x64_op *op = &x->ops[i];

		names |= op->kind != FORT_X64_OP_NOTHING ? named(op) : 0;
		fuel |= op->kind == FORT_X64_OP_LOCAL || op->flags & FORT_X64_BACK;
	}
	x->fuel |= fuel;
	if (x->request->program->n_subprogs > 1 || x->main_is_called)
		names |= 1u << FORT_R10;
	for (unsigned i = 0; i < FORT_LEN(saved); i++)
		for (uint8_t reg = FORT_R6; reg <= FORT_R10; reg++)
			if (names & 1u << reg && fort_x64_home(reg) == saved[i])
				x->saved |= (uint8_t)(1u << i);
	if (x->fuel)
		x->saved |= FUEL_BIT;
}

/* An even number of pushes leaves rsp as far off as it was. */
static bool needs_pad(const struct fort_x64 *x)
{
	return (__builtin_popcount(x->saved) & 1) != x->main_is_called;
}

void fort_x64_put_registers_back(struct fort_x64 *x)
{
	struct fort_x64_bytes *to = &x->bytes;

	if (x->fuel)
		fort_x64_rm(to, FORT_X64_MOV, 64, FORT_X64_FUEL, FORT_X64_RUN_MEM(fuel));
	if (needs_pad(x))
		fort_x64_alu_imm(to, FORT_X64_ADD, 64, FORT_X64_RSP, 8);
	for (unsigned i = FORT_LEN(saved); i-- > 0;)
		if (x->saved & 1u << i)
			fort_x64_reg(to, FORT_X64_POP, 32, saved[i]);
}

static void put_epilogue(struct fort_x64 *x)
{
	fort_x64_put_registers_back(x);
	fort_x64_plain(&x->bytes, FORT_X64_RET, 32);
}

/* A function of (ctx, ctx_length, r10, run, entry, fuel): the first two are where r1 and r2 are.
 * Registers that the program reads before it writes them are 0. */
void fort_x64_prologue(struct fort_x64 *x)
{
	struct fort_x64_bytes *to = &x->bytes;
	const struct fort_x64_join *start = &x->joins[x->join_at[0]];

	for (unsigned i = 0; i < FORT_LEN(saved); i++)
		if (x->saved & 1u << i)
			fort_x64_reg(to, FORT_X64_PUSH, 32, saved[i]);
	if (needs_pad(x))
		fort_x64_alu_imm(to, FORT_X64_SUB, 64, FORT_X64_RSP, 8);
	if (x->fuel)
		fort_x64_mov(to, 64, FORT_X64_FUEL, FORT_X64_R9);
	fort_x64_mov(to, 64, FORT_X64_RUN, FORT_X64_RCX);
	if (saves(x, FORT_X64_RBP))
		fort_x64_mov(to, 64, FORT_X64_RBP, FORT_X64_RDX);
	fort_x64_rm(to, FORT_X64_MOV, 64, FORT_X64_RSP,
		    fort_x64_at(FORT_X64_R8, (int32_t)offsetof(struct fort_x64_entry, stack)));
	for (uint8_t reg = FORT_R0; reg < FORT_R10; reg++)
		if (reg != FORT_R1 && reg != FORT_R2 && start->live & FORT_X64_BOTH(reg))
			fort_x64_rr(to, FORT_X64_XOR, 32, fort_x64_home(reg), fort_x64_home(reg));
	if (x->main_is_called) {
		fort_x64_call_label(x, start->label);
		put_epilogue(x);
	}
}

void fort_x64_exit(struct fort_x64 *x, const struct fort_x64_op *op)
{
	if (op->target || x->main_is_called) {
		fort_x64_plain(&x->bytes, FORT_X64_RET, 32);
	} else if (x->epilogue) {
		fort_x64_jump_to(x, FORT_X64_ALWAYS, x->epilogue);
	} else {
		x->epilogue = fort_x64_label_here(x);
		put_epilogue(x);
	}
}

void fort_x64_stop(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_x64_leave(x, FORT_X64_ALWAYS, op->pc, FORT_ABORT_INSN);
}

/* --- endings --- */

static void put_stop(struct fort_x64 *x, const struct fort_x64_stop *stop, uint32_t way_out)
{
	struct fort_x64_bytes *to = &x->bytes;

	fort_x64_bind(x, stop->label);
	if (stop->code == FORT_ABORT_FUEL)
		fort_x64_put_alu(x, FORT_X64_ADD, 64, FORT_X64_FUEL, (int32_t)stop->refund);
	if (stop->code == FORT_ABORT_HELPER) {
		fort_x64_load_entry(x);
		fort_x64_put(x, FORT_X64_FREE1, stop->detail);
		fort_x64_rm(to, FORT_X64_MOV, 32, FORT_X64_FREE1, FORT_X64_ENTRY_MEM(detail));
	}
	fort_x64_put(x, FORT_X64_FREE1, stop->pc);
	fort_x64_jump_to(x, FORT_X64_ALWAYS, way_out);
}

/* With the pc in FREE1: tells the entry why. */
static void put_way_out(struct fort_x64 *x, uint32_t label, uint8_t code)
{
	struct fort_x64_bytes *to = &x->bytes;

	fort_x64_bind(x, label);
	fort_x64_load_entry(x);
	fort_x64_rmi(to, FORT_X64_MOV_I32, 32, 0, FORT_X64_ENTRY_MEM(stop), code);
	fort_x64_rm(to, FORT_X64_MOV, 32, FORT_X64_FREE1, FORT_X64_ENTRY_MEM(pc));
	fort_x64_jump_to(x, FORT_X64_ALWAYS, x->way_out);
}

/* Out of all frames, to whoever entered. */
static void put_landing(struct fort_x64 *x)
{
	fort_x64_bind(x, x->way_out);
	fort_x64_load_entry(x);
	fort_x64_rm(&x->bytes, FORT_X64_LOAD, 64, FORT_X64_RSP, FORT_X64_ENTRY_MEM(stack));
	fort_x64_rr(&x->bytes, FORT_X64_XOR, 32, FORT_X64_RAX, FORT_X64_RAX);
	put_epilogue(x);
}

static void put_out_of_fuel(struct fort_x64 *x)
{
	for (uint32_t i = 1; i <= x->n_joins; i++) {
		struct fort_x64_join *join = &x->joins[i];

		if (!join->out_of_fuel)
			continue;
		x->stops[x->n_stops++] = (struct fort_x64_stop){.label = join->out_of_fuel,
								.pc = join->pc,
								.refund = join->cost,
								.code = FORT_ABORT_FUEL};
	}
}

void fort_x64_endings(struct fort_x64 *x)
{
	uint32_t ways_out[FORT_X64_STOPS] = {0};

	if (x->tries)
		fort_x64_pad(x); /* jumps to what follows get other distances */
	for (x->cold_at = 0; x->cold_at < x->n_colds; x->cold_at++) {
		struct fort_x64_cold *cold = &x->colds[x->cold_at];

		fort_x64_bind(x, cold->from);
		cold->emit(x, cold->op);
		if (!x->colds[x->cold_at].ends)
			fort_x64_jump_to(x, FORT_X64_ALWAYS, cold->back);
	}
	x->stops_at = x->bytes.at;
	if (x->tail_exit)
		fort_x64_tail_exit(x);
	put_out_of_fuel(x);
	x->way_out = fort_x64_label(x);
	for (uint32_t i = 0; i < x->n_stops; i++) {
		uint32_t *way_out = &ways_out[x->stops[i].code];

		if (!*way_out)
			*way_out = fort_x64_label(x);
		put_stop(x, &x->stops[i], *way_out);
	}
	if (x->tries)
		fort_x64_pad(x); /* nor is one stop as far from its way out as before */
	for (uint8_t code = 0; code < FORT_X64_STOPS; code++)
		if (ways_out[code])
			put_way_out(x, ways_out[code], code);
	put_landing(x);
}
