#include "verify/tally.h"

#include <string.h>

static bool is_cell(struct fort_cell a, struct fort_cell b)
{
	return a.kind == b.kind && a.frame == b.frame && a.index == b.index;
}

/* When all places are taken, each of the others loses as much as the new one has. */
static void outvote(struct fort_aparts *aparts, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < aparts->n; i++)
		if (aparts->items[i].n > n) {
			aparts->items[kept] = aparts->items[i];
			aparts->items[kept++].n -= n;
		}
	aparts->n = kept;
}

static void note(struct fort_aparts *aparts, struct fort_cell cell, uint32_t n)
{
	for (uint32_t i = 0; i < aparts->n; i++)
		if (is_cell(aparts->items[i].cell, cell)) {
			aparts->items[i].n += n;
			return;
		}
	if (aparts->n < FORT_APART_MAX)
		aparts->items[aparts->n++] = (struct fort_apart){cell, n};
	else
		outvote(aparts, n);
}

/* Alike as far as joining them would lose nothing. Names of values do not count. */
static bool is_alike(const struct fort_value *a, const struct fort_value *b)
{
	if (!a || !b)
		return !a == !b;
	return a->type == b->type && a->flags == b->flags && a->object == b->object &&
	       (a->type == FORT_NONE || !memcmp(&a->num, &b->num, sizeof(a->num)));
}

static void compare_cell(struct fort_aparts *aparts, const struct fort_state *a,
			 const struct fort_state *b, struct fort_cell cell)
{
	if (is_alike(fort_state_cell(a, cell), fort_state_cell(b, cell)))
		return;
	cell.frame = (uint8_t)(a->n_frames - 1 - cell.frame);
	note(aparts, cell, 1);
}

static void compare_frame(struct fort_aparts *aparts, const struct fort_state *a,
			  const struct fort_state *b, uint8_t frame)
{
	uint32_t slots = a->frames[frame]->n_slots;

	if (slots < b->frames[frame]->n_slots)
		slots = b->frames[frame]->n_slots;
	for (uint8_t i = 0; i < FORT_R10; i++)
		compare_cell(aparts, a, b, (struct fort_cell){FORT_CELL_REG, frame, i});
	for (uint32_t i = 0; i < slots; i++)
		compare_cell(aparts, a, b, (struct fort_cell){FORT_CELL_SLOT, frame, (uint8_t)i});
	compare_cell(aparts, a, b, (struct fort_cell){FORT_CELL_TURNS, frame, 0});
	compare_cell(aparts, a, b, (struct fort_cell){FORT_CELL_GOES, frame, 0});
}

void fort_aparts_compare(struct fort_aparts *aparts, const struct fort_state *a,
			 const struct fort_state *b)
{
	if (a->n_frames != b->n_frames)
		return;
	aparts->compared++;
	for (uint32_t f = 0; f < a->n_frames; f++)
		compare_frame(aparts, a, b, (uint8_t)f);
	if (a->n_refs != b->n_refs)
		note(aparts, (struct fort_cell){FORT_CELL_KINDS, 0, 0}, 1);
}

void fort_aparts_add(struct fort_aparts *aparts, const struct fort_aparts *more)
{
	aparts->compared += more->compared;
	for (uint32_t i = 0; i < more->n; i++)
		note(aparts, more->items[i].cell, more->items[i].n);
}
