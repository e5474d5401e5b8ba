#include "verify/live.h"

#include <errno.h>
#include <string.h>

#include "step/kernel.h"

/* What a register may hold, as far as the stack is concerned. */
enum { UNSEEN = INT16_MIN, ANYWHERE = INT16_MIN + 1, NO_ADDRESS = INT16_MIN + 2 };
/* Else: r10 plus this many bytes. */

struct where {
	int16_t reg[FORT_REGS];
};

/* What an instruction does to liveness. */
struct effect {
	uint16_t uses, defs;
	uint64_t reads, writes; /* slots; writes: all of them surely */
};

struct finder {
	const struct fort_env *env;
	const struct fort_insn *insns;
	struct where *where; /* before each instruction */
	struct fort_live *live;
	bool *returns; /* of each instruction: something later in the order leads to it */
	const struct fort_loops *loops;
	const uint32_t *by_order; /* instructions of the function, in order */
	uint64_t always;          /* slots of the function that an escaped address leads to */
};

static uint16_t bit(unsigned reg)
{
	return (uint16_t)(1u << reg);
}

/* Slots that [low, high) touches; offsets from r10. */
static uint64_t slots_of(int32_t low, int32_t high)
{
	uint64_t mask = 0;

	for (int32_t off = low & ~7; off < high && off < 0; off += 8)
		if (off >= -(int32_t)FORT_STACK_BYTES)
			mask |= 1ull << ((uint32_t)(-off - 1) / 8);
	return mask;
}

/* Everything from an address upwards; all of the stack if it may be anywhere. */
static uint64_t slots_from(int16_t where)
{
	if (where == NO_ADDRESS || where == UNSEEN)
		return 0;
	return where == ANYWHERE ? ~0ull : slots_of(where, 0);
}

/* --- where addresses of the stack are --- */

static int16_t moved(int16_t where, int64_t by)
{
	if (where == NO_ADDRESS || where == UNSEEN || where == ANYWHERE)
		return where;
	by += where;
	return by > 0 || by < -(int64_t)FORT_STACK_BYTES ? ANYWHERE : (int16_t)by;
}

static int16_t joined(int16_t a, int16_t b)
{
	if (a == UNSEEN || a == b)
		return b;
	if (b == UNSEEN)
		return a;
	return ANYWHERE;
}

static int16_t arithmetic(const struct fort_insn *insn, const struct where *where)
{
	int16_t left = where->reg[insn->dst];
	int16_t right = insn->kind == FORT_ALU_X ? where->reg[insn->src] : NO_ADDRESS;

	if (left == NO_ADDRESS && right == NO_ADDRESS)
		return NO_ADDRESS;
	if (insn->kind == FORT_ALU_K && insn->bits == 64 && insn->op == FORT_OP_ADD)
		return moved(left, insn->imm);
	if (insn->kind == FORT_ALU_K && insn->bits == 64 && insn->op == FORT_OP_SUB)
		return moved(left, -insn->imm);
	return ANYWHERE;
}

/* Where addresses are after an instruction; `always` grows by what it lets escape. */
static void transfer(struct finder *f, const struct fort_insn *insn, struct where *where)
{
	switch (insn->kind) {
	case FORT_MOV_X: where->reg[insn->dst] = where->reg[insn->src]; break;
	case FORT_MOV_K:
	case FORT_LDIMM:
	case FORT_NEG:
	case FORT_END:
	case FORT_MOVSX: where->reg[insn->dst] = NO_ADDRESS; break;
	case FORT_ALU_K:
	case FORT_ALU_X: where->reg[insn->dst] = arithmetic(insn, where); break;
	case FORT_LDX:
	case FORT_LDACQ: where->reg[insn->dst] = f->always ? ANYWHERE : NO_ADDRESS; break;
	case FORT_STX:
	case FORT_STREL: f->always |= slots_from(where->reg[insn->src]); break;
	case FORT_ATOMIC:
		f->always |= slots_from(where->reg[insn->src]);
		where->reg[insn->src] = f->always ? ANYWHERE : NO_ADDRESS;
		where->reg[FORT_R0] = joined(where->reg[FORT_R0], where->reg[insn->src]);
		break;
	case FORT_CALL:
		for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++) {
			if (insn->op == FORT_OP_LOCAL)
				f->always |= slots_from(where->reg[reg]);
			where->reg[reg] = NO_ADDRESS;
		}
		where->reg[FORT_R0] = f->always ? ANYWHERE : NO_ADDRESS;
		break;
	case FORT_LDABS:
	case FORT_LDIND:
		for (unsigned reg = FORT_R0; reg <= FORT_R5; reg++)
			where->reg[reg] = NO_ADDRESS;
		break;
	default: break;
	}
	where->reg[FORT_R10] = 0;
}

static bool merge(struct where *into, const struct where *from)
{
	bool changed = false;

	if (into->reg[FORT_R10] == UNSEEN) {
		*into = *from;
		return true;
	}
	if (!memcmp(into, from, sizeof(*into)))
		return false;

	for (unsigned reg = 0; reg < FORT_REGS; reg++) {
		int16_t now = joined(into->reg[reg], from->reg[reg]);

		changed |= now != into->reg[reg];
		into->reg[reg] = now;
	}
	return changed;
}

/* One pass in order; true when something changed that an earlier instruction depends on. */
static bool pass_forward(struct finder *f, uint32_t n)
{
	uint64_t always = f->always;
	bool again = false;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t pc = f->by_order[i], next[2];
		unsigned n_next = fort_successors(f->insns, pc, next);
		struct where after = f->where[pc];

		transfer(f, &f->insns[pc], &after);
		/* What comes later in the order is still to be looked at in this pass. */
		for (unsigned k = 0; k < n_next; k++) {
			bool back = f->loops->order[next[k]] <= f->loops->order[pc];

			f->returns[next[k]] |= back;
			again |= merge(&f->where[next[k]], &after) && back;
		}
	}
	return again || always != f->always;
}

/* --- effects --- */

static uint16_t call_uses(const struct fort_env *env, const struct fort_insn *insn)
{
	const struct fort_helper_info *helper =
		insn->op == FORT_OP_HELPER ? fort_helper_for((uint32_t)insn->imm, &env->hook)
					   : NULL;
	const struct fort_kfunc_ref *kfunc =
		insn->op == FORT_OP_KFUNC ? fort_env_kfunc(env, insn) : NULL;
	uint16_t uses = 0;

	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		if (helper ? helper->args[reg - 1] != FORT_ARG_NONE
			   : !kfunc || kfunc->diag || reg - FORT_R1 < kfunc->proto.n_params)
			uses |= bit(reg);
	return uses;
}

static uint64_t read_through(const struct fort_insn *insn, int16_t where)
{
	if (where == NO_ADDRESS || where == UNSEEN)
		return 0;
	if (where == ANYWHERE)
		return ~0ull;
	return slots_of(where + insn->off, where + insn->off + insn->bits / 8);
}

static void memory_effect(const struct fort_insn *insn, const struct where *where, struct effect *e)
{
	int16_t at = where->reg[insn->dst];

	switch (insn->kind) {
	case FORT_LDX:
	case FORT_LDACQ:
		e->uses = bit(insn->src);
		e->defs = bit(insn->dst);
		e->reads = read_through(insn, where->reg[insn->src]);
		break;
	case FORT_ATOMIC:
		e->uses = bit(insn->dst) | bit(insn->src) |
			  (fort_insn_uses(insn, '0') ? bit(FORT_R0) : 0);
		e->reads = read_through(insn, at);
		break;
	default:
		e->uses = bit(insn->dst) | (insn->kind == FORT_ST ? 0 : bit(insn->src));
		if (at > NO_ADDRESS && insn->bits == 64 && !((at + insn->off) & 7))
			e->writes = read_through(insn, at);
	}
}

static struct effect effect_of(const struct fort_env *env, const struct fort_insn *insn,
			       const struct where *where)
{
	struct effect e = {0};

	switch (insn->kind) {
	case FORT_MOV_K:
	case FORT_LDIMM: e.defs = bit(insn->dst); break;
	case FORT_MOV_X:
	case FORT_MOVSX:
		e.defs = bit(insn->dst);
		e.uses = bit(insn->src);
		break;
	case FORT_ALU_K:
	case FORT_NEG:
	case FORT_END:
	case FORT_JCC_K: e.uses = bit(insn->dst); break;
	case FORT_ALU_X:
	case FORT_JCC_X: e.uses = bit(insn->dst) | bit(insn->src); break;
	case FORT_EXIT: e.uses = bit(FORT_R0); break;
	case FORT_CALL:
		e.uses = call_uses(env, insn);
		e.defs = 0x3f; /* r0 to r5 */
		for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
			e.reads |= slots_from(where->reg[reg]);
		break;
	case FORT_MAY_GOTO: e.uses = FORT_LIVE_GOES; break;
	case FORT_LDABS:
	case FORT_LDIND:
		e.uses = bit(FORT_R6) | (insn->kind == FORT_LDIND ? bit(insn->src) : 0);
		e.defs = 0x3f;
		break;
	case FORT_JA: break;
	default: memory_effect(insn, where, &e);
	}
	return e;
}

/* --- backward --- */

static bool pass_backward(struct finder *f, uint32_t n)
{
	bool again = false;

	for (uint32_t i = n; i-- > 0;) {
		uint32_t pc = f->by_order[i], next[2];
		unsigned n_next = fort_successors(f->insns, pc, next);
		const struct effect e = effect_of(f->env, &f->insns[pc], &f->where[pc]);
		struct fort_live live = {0, f->always};

		for (unsigned k = 0; k < n_next; k++) {
			live.regs |= f->live[next[k]].regs;
			live.slots |= f->live[next[k]].slots;
		}
		live.regs = (uint16_t)((live.regs & ~e.defs) | e.uses | bit(FORT_R10));
		live.slots = (live.slots & ~e.writes) | e.reads | f->always;
		/* What comes earlier is still to be looked at in this pass. */
		again |= f->returns[pc] &&
			 (live.regs != f->live[pc].regs || live.slots != f->live[pc].slots);
		f->live[pc] = live;
	}
	return again;
}

/* --- a function --- */

/* Until nothing changes: a few passes more than loops are nested, but for graphs that no compiler
 * makes. */
static bool repeat(bool (*pass)(struct finder *f, uint32_t n), struct finder *f, uint32_t n)
{
	for (unsigned i = 0; i < FORT_LIVE_PASSES_MAX; i++)
		if (!pass(f, n))
			return true;
	return false;
}

/* Instructions of a function are neighbours in the order, its first one first. */
static uint32_t count(const struct finder *f, const struct fort_subprog *of)
{
	uint32_t n = 0;

	for (uint32_t pc = of->start; pc < of->end; pc += fort_insn_slots(&f->insns[pc]))
		n++;
	return n;
}

static void find_function(struct finder *f, const struct fort_subprog *of)
{
	uint32_t n = count(f, of);
	struct where *entry = &f->where[of->start];

	f->by_order = &f->loops->at[f->loops->order[of->start]];
	f->always = 0;
	for (uint32_t i = 0; i < n; i++) /* the others do not count then */
		f->where[f->by_order[i]].reg[FORT_R10] = UNSEEN;
	for (unsigned reg = 0; reg < FORT_R10; reg++)
		entry->reg[reg] = NO_ADDRESS;
	entry->reg[FORT_R10] = 0;
	if (!repeat(pass_forward, f, n)) {
		f->always = ~0ull;
		for (uint32_t i = 0; i < n; i++)
			for (unsigned reg = 0; reg < FORT_REGS; reg++)
				f->where[f->by_order[i]].reg[reg] = ANYWHERE;
	}
	if (!repeat(pass_backward, f, n))
		for (uint32_t i = 0; i < n; i++)
			f->live[f->by_order[i]] = (struct fort_live){UINT16_MAX, ~0ull};
}

int fort_live_find(struct fort_arena *arena, const struct fort_env *env,
		   const struct fort_loops *loops, const struct fort_live **out)
{
	const struct fort_program *program = &env->graph->program;
	uint32_t n = program->n_insns;
	struct finder f = {.env = env,
			   .insns = program->insns,
			   .where = fort_arena_room(arena, n * sizeof(struct where)),
			   .live = FORT_ARENA_ARRAY(arena, n, struct fort_live),
			   .returns = FORT_ARENA_ARRAY(arena, n, bool),
			   .loops = loops};

	if (!f.where || !f.live || !f.returns)
		return -ENOMEM;
	for (uint32_t i = 0; i < program->n_subprogs; i++)
		find_function(&f, &program->subprogs[i]);
	*out = f.live;
	return 0;
}
