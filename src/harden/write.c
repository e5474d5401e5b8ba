#include "harden/write.h"

#include <errno.h>
#include <string.h>

struct fort_write *fort_write_open(const struct fort_program *program, struct fort_arena *arena)
{
	struct fort_write *w = FORT_ARENA_NEW(arena, struct fort_write);

	if (!w)
		return NULL;
	w->program = program;
	w->arena = arena;
	w->targets = FORT_ARENA_ARRAY(arena, program->n_insns, bool);
	w->known = FORT_ARENA_ARRAY(arena, program->n_insns, uint32_t);
	w->starts = FORT_ARENA_ARRAY(arena, program->n_insns, uint32_t);
	w->far = FORT_ARENA_ARRAY(arena, program->n_insns, bool);
	return w->targets && w->known && w->starts && w->far ? w : NULL;
}

/* Slots of a jump that is far: what it does not jump over. */
#define FAR_SLOTS 3

static bool jumps_by_16_bits(const struct fort_insn *insn)
{
	return insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X ||
	       (insn->kind == FORT_JA && insn->op != FORT_OP_JA32);
}

static int64_t distance_of(const struct fort_write *w, uint32_t pc)
{
	int64_t target = fort_insn_target(&w->program->insns[pc], pc);

	return (int64_t)w->starts[target] - w->starts[pc] - 1;
}

/* Those that stay have room for all that they jump over to become FAR_SLOTS times as long. */
bool fort_write_stretches(struct fort_write *w)
{
	const struct fort_program *program = w->program;
	bool too_far = false;

	for (uint32_t pc = 0; pc < program->n_insns; pc++)
		if (jumps_by_16_bits(&program->insns[pc])) {
			int64_t distance = distance_of(w, pc);

			too_far |= distance != (int16_t)distance;
			w->far[pc] = distance > INT16_MAX / FAR_SLOTS ||
				     distance < INT16_MIN / FAR_SLOTS;
		}
	if (too_far)
		w->n = w->n_subprogs = 0;
	else
		memset(w->far, 0, program->n_insns * sizeof(w->far[0]));
	return too_far;
}

int fort_write_again(struct fort_write *w)
{
	w->insns = FORT_ARENA_ARRAY(w->arena, w->n, struct fort_insn);
	w->origin = FORT_ARENA_ARRAY(w->arena, w->n, uint32_t);
	w->sights = FORT_ARENA_ARRAY(w->arena, w->n, uint8_t);
	w->subprogs = FORT_ARENA_ARRAY(w->arena, w->program->n_subprogs, struct fort_subprog);
	if (!w->insns || !w->origin || !w->sights || !w->subprogs)
		return -ENOMEM;
	w->n = w->n_subprogs = 0;
	return 0;
}

void fort_write_subprog(struct fort_write *w, uint32_t k)
{
	w->pc = w->program->subprogs[k].start;
	w->entries[k] = w->n;
}

void fort_write_subprog_end(struct fort_write *w, uint32_t k)
{
	if (w->insns)
		w->subprogs[w->n_subprogs] = (struct fort_subprog){w->entries[k], w->n};
	w->n_subprogs++;
}

void fort_write_begin(struct fort_write *w, uint32_t pc)
{
	w->pc = pc;
	w->starts[pc] = w->n;
	w->sight = FORT_SIGHT_BEGINS;
}

void fort_write_sight(struct fort_write *w, enum fort_sight sight)
{
	w->sight = (uint8_t)sight;
}

static void put(struct fort_write *w, struct fort_insn insn)
{
	if (w->insns) {
		w->insns[w->n] = insn;
		w->origin[w->n] = w->pc;
		w->sights[w->n] = w->sight;
	}
	w->sight = FORT_SIGHT_NONE;
	w->n++;
}

void fort_write(struct fort_write *w, enum fort_row row, uint8_t dst, uint8_t src, int16_t off,
		int64_t imm)
{
	struct fort_insn insn = fort_insn_make(row, dst, src, off, imm);

	put(w, insn);
	if (insn.kind == FORT_LDIMM)
		put(w, fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0));
}

/* What one instruction becomes. */
_Static_assert(3 * FORT_SUBPROGS_MAX + 64 < INT16_MAX, "labels are near");

/* Where the jump at slot `from` goes. */
static void aim(struct fort_write *w, uint32_t from, uint32_t to)
{
	struct fort_insn *insn;
	int64_t distance = (int64_t)to - from - 1;

	if (!w->insns)
		return;
	insn = &w->insns[from];
	if (insn->op == FORT_OP_JA32 || insn->kind == FORT_CALL)
		insn->imm = distance;
	else
		insn->off = (int16_t)distance;
}

void fort_write_goto(struct fort_write *w, uint32_t target)
{
	fort_write(w, FORT_ROW_JA32, 0, 0, 0, 0);
	aim(w, w->n - 1, w->starts[target]);
}

/* Conditions have no opposite in general: the jump goes to a longer one, which is passed else. */
static void write_far(struct fort_write *w, const struct fort_insn *insn)
{
	struct fort_insn jump = *insn;

	if (insn->kind != FORT_JA) {
		jump.off = 1;
		put(w, jump);
		fort_write(w, FORT_ROW_JA, 0, 0, 1, 0);
	}
	fort_write_goto(w, (uint32_t)fort_insn_target(insn, w->pc));
}

void fort_write_copy(struct fort_write *w, const struct fort_insn *insn)
{
	uint32_t at = w->n;
	int64_t target = fort_insn_target(insn, w->pc);

	if (w->far[w->pc]) {
		write_far(w, insn);
		return;
	}
	put(w, *insn);
	if (insn->kind == FORT_LDIMM)
		put(w, insn[1]);
	else if (fort_insn_jumps(insn))
		aim(w, at, w->starts[target]);
	else if (fort_insn_names_subprog(insn))
		aim(w, at, w->entries[fort_subprog_at(w->program, target)]);
}

void fort_write_jump(struct fort_write *w, enum fort_row row, uint8_t dst, uint8_t src, int64_t imm,
		     enum fort_label label)
{
	struct fort_label_uses *uses = &w->labels[label];

	if (label == FORT_LABEL_HEAD) {
		fort_write(w, row, dst, src, 0, imm);
		aim(w, w->n - 1, uses->at);
		return;
	}
	uses->jumps[uses->n_jumps++] = w->n;
	fort_write(w, row, dst, src, 0, imm);
}

void fort_write_label(struct fort_write *w, enum fort_label label)
{
	struct fort_label_uses *uses = &w->labels[label];

	uses->at = w->n;
	while (uses->n_jumps)
		aim(w, uses->jumps[--uses->n_jumps], w->n);
}

void fort_write_call(struct fort_write *w, uint32_t k)
{
	fort_write(w, FORT_ROW_CALL_LOCAL, 0, 0, 0, 0);
	aim(w, w->n - 1, w->entries[k]);
}
