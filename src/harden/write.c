#include "harden/write.h"

#include <errno.h>

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
	return w->targets && w->known && w->starts ? w : NULL;
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

/* Where the jump at slot `from` goes. What does not fit in a jump's 16 bits is noted. */
static void aim(struct fort_write *w, uint32_t from, uint32_t to)
{
	struct fort_insn *insn;
	int64_t distance = (int64_t)to - from - 1;

	if (!w->insns)
		return;
	insn = &w->insns[from];
	if (insn->op == FORT_OP_JA32 || insn->kind == FORT_CALL)
		insn->imm = distance;
	else if (distance == (int16_t)distance)
		insn->off = (int16_t)distance;
	else
		w->too_far = true;
}

void fort_write_copy(struct fort_write *w, const struct fort_insn *insn)
{
	uint32_t at = w->n;
	int64_t target = fort_insn_target(insn, w->pc);

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

void fort_write_goto(struct fort_write *w, uint32_t target)
{
	fort_write(w, FORT_ROW_JA, 0, 0, 0, 0);
	aim(w, w->n - 1, w->starts[target]);
}

void fort_write_call(struct fort_write *w, uint32_t k)
{
	fort_write(w, FORT_ROW_CALL_LOCAL, 0, 0, 0, 0);
	aim(w, w->n - 1, w->entries[k]);
}
