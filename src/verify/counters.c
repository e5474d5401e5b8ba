#include "verify/counters.h"

#include <errno.h>

struct scan {
	const struct fort_program *program;
	const struct fort_loops *loops;
	uint32_t loop;
	uint8_t frame;
	uint8_t holds[FORT_REGS]; /* the slot that the register was last loaded from, or put in; + 1
				   */
	struct fort_counters *out;
};

uint8_t fort_slot_accessed(const struct fort_insn *insn, unsigned base)
{
	int32_t off = insn->off;

	if (base != FORT_R10 || off >= 0 || off < -(int32_t)FORT_STACK_BYTES)
		return 0;
	return (uint8_t)((uint32_t)(-off - 1) / 8 + 1);
}

int fort_loads_find(struct fort_arena *arena, const struct fort_program *program,
		    const uint64_t **out)
{
	uint64_t *loads = FORT_ARENA_ARRAY(arena, program->n_subprogs, uint64_t);

	if (!loads)
		return -ENOMEM;
	for (uint32_t i = 0; i < program->n_subprogs; i++) {
		const struct fort_subprog *of = &program->subprogs[i];

		loads[i] = 0;
		for (uint32_t pc = of->start; pc < of->end;
		     pc += fort_insn_slots(&program->insns[pc])) {
			const struct fort_insn *insn = &program->insns[pc];
			uint8_t slot =
				insn->kind == FORT_LDX ? fort_slot_accessed(insn, insn->src) : 0;

			loads[i] |= slot ? 1ull << (slot - 1) : 0;
		}
	}
	*out = loads;
	return 0;
}

static void add(struct fort_counters *out, struct fort_counter counter)
{
	for (uint32_t i = 0; i < out->n; i++) {
		const struct fort_counter *known = &out->list[i];

		if (fort_same_cell(known->cell, counter.cell) &&
		    known->limited == counter.limited && known->limit == counter.limit)
			return;
	}
	if (out->n < FORT_COUNTERS_MAX)
		out->list[out->n++] = counter;
}

static void compared(struct scan *scan, const struct fort_insn *insn, uint8_t reg)
{
	struct fort_counter counter = {.cell = {FORT_CELL_REG, scan->frame, reg},
				       .limited = insn->kind == FORT_JCC_K,
				       .limit = insn->kind == FORT_JCC_K ? insn->imm : 0};

	add(scan->out, counter);
	if (!scan->holds[reg])
		return;
	counter.cell.kind = FORT_CELL_SLOT;
	counter.cell.index = (uint8_t)(scan->holds[reg] - 1);
	add(scan->out, counter);
}

/* What is copied to or from a register that counts, counts too. */
static void copied(struct scan *scan, const struct fort_insn *insn)
{
	uint32_t n = scan->out->n;

	for (uint32_t i = 0; i < n; i++) {
		struct fort_counter counter = scan->out->list[i];

		if (counter.cell.kind != FORT_CELL_REG ||
		    (counter.cell.index != insn->dst && counter.cell.index != insn->src))
			continue;
		counter.cell.index = insn->dst == counter.cell.index ? insn->src : insn->dst;
		add(scan->out, counter);
	}
}

static bool leaves(const struct scan *scan, const struct fort_insn *insn, uint32_t pc)
{
	return !fort_loop_has(scan->loops, scan->loop, fort_insn_target(insn, pc)) ||
	       !fort_loop_has(scan->loops, scan->loop, pc + fort_insn_slots(insn));
}

static void scan_insn(struct scan *scan, uint32_t pc)
{
	const struct fort_insn *insn = &scan->program->insns[pc];

	switch (insn->kind) {
	case FORT_JCC_K:
		if (leaves(scan, insn, pc))
			compared(scan, insn, insn->dst);
		break;
	case FORT_JCC_X:
		if (leaves(scan, insn, pc)) {
			compared(scan, insn, insn->dst);
			compared(scan, insn, insn->src);
		}
		break;
	case FORT_LDX: scan->holds[insn->dst] = fort_slot_accessed(insn, insn->src); break;
	case FORT_STX:
		if (fort_slot_accessed(insn, insn->dst))
			scan->holds[insn->src] = fort_slot_accessed(insn, insn->dst);
		break;
	case FORT_MOV_X: scan->holds[insn->dst] = scan->holds[insn->src]; break;
	case FORT_MOV_K:
	case FORT_LDIMM: scan->holds[insn->dst] = 0; break;
	case FORT_CALL:
		for (unsigned r = FORT_R0; r <= FORT_R5; r++)
			scan->holds[r] = 0;
		break;
	default: break;
	}
}

void fort_counters_find(const struct fort_program *program, const struct fort_loops *loops,
			uint32_t head, uint8_t frame, struct fort_counters *out)
{
	struct scan scan = {.program = program,
			    .loops = loops,
			    .loop = fort_loop_headed(loops, head),
			    .frame = frame,
			    .out = out};
	uint32_t first = loops->order[head], end = first;

	out->n = 0;
	for (; end < loops->n_places && fort_loop_has(loops, scan.loop, loops->at[end]); end++)
		scan_insn(&scan, loops->at[end]);
	for (uint32_t place = first; out->n && place < end; place++)
		if (program->insns[loops->at[place]].kind == FORT_MOV_X)
			copied(&scan, &program->insns[loops->at[place]]);
}

/* So often a loop goes around that is not worth an invariant; or whose counter skips numbers, so
 * that an interval does not tell that it meets its limit. */
#define FEW_ROUNDS  2u
#define FEW_STRIDES 4u

static bool ends_soon(const struct fort_counter *counter, const struct fort_state *before,
		      const struct fort_state *after)
{
	const struct fort_value *a = fort_state_cell(before, counter->cell);
	const struct fort_value *b = fort_state_cell(after, counter->cell);
	uint64_t from, to, by, way;

	if (!counter->limited || !a || !b || !fort_value_known(a, &from) ||
	    !fort_value_known(b, &to) || from == to)
		return false;
	by = to - from;
	way = (uint64_t)counter->limit - from;
	if ((int64_t)by < 0) {
		by = 0 - by;
		way = 0 - way;
	}
	return way && !(way % by) &&
	       way / by <= (fort_is_power_of_two(by) ? FEW_ROUNDS : FEW_STRIDES);
}

bool fort_counters_end_soon(const struct fort_counters *counters, const struct fort_state *before,
			    const struct fort_state *after)
{
	for (uint32_t i = 0; i < counters->n; i++)
		if (ends_soon(&counters->list[i], before, after))
			return true;
	return false;
}
