#include "verify/join_parts.h"

#include "step/rate.h"
#include "step/relate.h"

struct cells {
	struct fort_cell
		list[FORT_FRAMES_MAX * (FORT_REGS + FORT_STACK_SLOTS + 2) + 2 + FORT_GHOSTS_MAX];
	uint32_t n;
};

/* Cells that have a value in all three states. */
static void list_cells(struct cells *cells, const struct fort_join *join)
{
	const struct fort_state *out = join->out;

	cells->n = 0;
	for (uint32_t f = 0; f < out->n_frames; f++) {
		for (unsigned r = 0; r < FORT_R10; r++)
			if (out->frames[f]->regs[r].type)
				cells->list[cells->n++] =
					(struct fort_cell){FORT_CELL_REG, (uint8_t)f, (uint8_t)r};
		for (uint32_t s = 0; s < out->frames[f]->n_slots; s++)
			if (fort_slot_has_value(&out->frames[f]->slots[s]))
				cells->list[cells->n++] =
					(struct fort_cell){FORT_CELL_SLOT, (uint8_t)f, (uint8_t)s};
	}
	for (uint32_t f = 0; f < out->n_frames; f++) {
		cells->list[cells->n++] = (struct fort_cell){FORT_CELL_TURNS, (uint8_t)f, 0};
		cells->list[cells->n++] = (struct fort_cell){FORT_CELL_GOES, (uint8_t)f, 0};
	}
	cells->list[cells->n++] = (struct fort_cell){.kind = FORT_CELL_PACKET};
	cells->list[cells->n++] = (struct fort_cell){.kind = FORT_CELL_META};
	for (uint32_t i = 0; i < out->n_ghosts; i++)
		cells->list[cells->n++] =
			(struct fort_cell){.kind = FORT_CELL_GHOST, .index = (uint8_t)i};
}

/* Is as much of the slot a value in `state` as in the result? */
static bool same_width(const struct fort_join *join, const struct fort_state *state,
		       struct fort_cell cell)
{
	const struct fort_frame *frame = state->frames[cell.frame];

	return cell.index < frame->n_slots &&
	       fort_slot_spilled(&frame->slots[cell.index]) ==
		       fort_slot_spilled(&join->out->frames[cell.frame]->slots[cell.index]);
}

/* The value of a cell of the result in one of the two. A slot that was all zeroes has none. */
static const struct fort_value *value_in(const struct fort_join *join,
					 const struct fort_state *state, struct fort_cell cell)
{
	const struct fort_ghost *ghost;

	if (cell.kind == FORT_CELL_SLOT && !same_width(join, state, cell))
		return NULL;
	if (cell.kind != FORT_CELL_GHOST)
		return fort_state_cell(state, cell);
	ghost = fort_join_ghost(state, join->out->ghosts[cell.index].owner);
	return ghost ? &ghost->value : NULL;
}

/* The first cell whose value in `state` has this symbol, or -1. */
static int carrier_of(const struct fort_join *join, const struct cells *cells,
		      const struct fort_state *state, uint32_t sym)
{
	for (uint32_t i = 0; i < cells->n; i++) {
		const struct fort_value *value = value_in(join, state, cells->list[i]);

		if (value && value->type && value->sym == sym && !fort_scalar_is_const(&value->num))
			return (int)i;
	}
	return -1;
}

/* Numbers that are further apart say nothing that matters; and what is so near to where integers
 * end may not be shown again, when it comes about by other sums. */
#define FAR_APART (INT64_MAX / 4)

/* What holds in both of the values at three cells, -1 for none. */
static void keep_order(struct fort_join *join, const struct cells *cells, const int at[3])
{
	const struct fort_value *in_a[3] = {NULL}, *in_b[3] = {NULL};
	struct fort_value now[3];
	int64_t most_a, most_b;

	for (unsigned k = 0; k < 3; k++) {
		struct fort_value *cell;

		if (at[k] < 0)
			continue;
		in_a[k] = value_in(join, join->a, cells->list[at[k]]);
		in_b[k] = value_in(join, join->b, cells->list[at[k]]);
		cell = fort_state_cell(join->out, cells->list[at[k]]);
		if (!in_a[k] || !in_b[k] || !cell)
			return;
		if (!cell->sym)
			cell->sym = join->out->next_id++;
		now[k] = *cell;
	}
	most_a = fort_relate_most(join->a, in_a[0], in_a[1], in_a[2]);
	most_b = fort_relate_most(join->b, in_b[0], in_b[1], in_b[2]);
	if (most_a > FAR_APART || most_b > FAR_APART || (join->widening && most_b > most_a))
		return;
	fort_relate_note(join->out, &now[0], at[1] < 0 ? NULL : &now[1], at[2] < 0 ? NULL : &now[2],
			 most_a > most_b ? most_a : most_b);
}

static void keep_facts(struct fort_join *join, const struct cells *cells,
		       const struct fort_state *of)
{
	for (uint32_t i = 0; i < of->n_facts; i++) {
		const struct fort_fact *fact = &of->facts[i];
		int at[3] = {carrier_of(join, cells, of, fact->a),
			     fact->b ? carrier_of(join, cells, of, fact->b) : -1,
			     fact->c ? carrier_of(join, cells, of, fact->c) : -1};

		if (at[0] < 0 || (fact->b && at[1] < 0) || (fact->c && at[2] < 0))
			continue;
		keep_order(join, cells, at);
	}
}

/* --- rates --- */

/* What is kept of a form over three cells, -1 for none, with these factors. */
struct rate {
	int at[FORT_RATE_TERMS];
	int64_t factor[FORT_RATE_TERMS];
};

static int64_t gcd(int64_t a, int64_t b)
{
	while (b) {
		int64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a < 0 ? -a : a;
}

/* The form over the values of a state; false when one is missing, or a factor is too large. */
static bool form_in(const struct fort_join *join, const struct cells *cells,
		    const struct fort_state *state, const struct rate *rate, struct fort_form *out)
{
	int64_t by = gcd(gcd(rate->factor[0], rate->factor[1]), rate->factor[2]);

	*out = (struct fort_form){0};
	for (unsigned k = 0; by && k < FORT_RATE_TERMS; k++) {
		int64_t factor = rate->factor[k] / by;

		if (!factor)
			continue;
		if (factor > INT32_MAX || factor < -INT32_MAX)
			return false;
		out->factor[k] = (int32_t)factor;
		out->of[k] = value_in(join, state, cells->list[rate->at[k]]);
		if (!out->of[k] || !out->of[k]->type)
			return false;
	}
	return by;
}

/* Values of the result have symbols, if only for this. */
static void name_cells(struct fort_join *join, const struct cells *cells, const struct rate *rate)
{
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		struct fort_value *value =
			rate->factor[k] ? fort_state_cell(join->out, cells->list[rate->at[k]])
					: NULL;

		if (value && !value->sym)
			value->sym = join->out->next_id++;
	}
}

/* Keeps what holds in both. False when it does not: *more is by how much it grew. */
static bool keep_rate(struct fort_join *join, const struct cells *cells, const struct rate *rate,
		      int64_t *more)
{
	struct fort_form in_a, in_b, in_out;
	int64_t most_a, most_b;

	*more = 0;
	if (!form_in(join, cells, join->a, rate, &in_a) ||
	    !form_in(join, cells, join->b, rate, &in_b))
		return false;
	most_a = fort_rate_most(join->a, &in_a);
	most_b = fort_rate_most(join->b, &in_b);
	if (most_a > FAR_APART || most_b > FAR_APART)
		return false;
	if (join->widening && most_b > most_a)
		return __builtin_sub_overflow(most_b, most_a, more) && false;
	name_cells(join, cells, rate);
	if (form_in(join, cells, join->out, rate, &in_out))
		fort_rate_note(join->out, &in_out, most_a > most_b ? most_a : most_b);
	return true;
}

/* Does the number at the cell differ by one number in the two states? */
static bool is_shifted(const struct fort_join *join, const struct cells *cells, int at, int64_t *by)
{
	const struct fort_value *a = value_in(join, join->a, cells->list[at]);
	const struct fort_value *b = value_in(join, join->b, cells->list[at]);
	int64_t low;

	return a && b && a->type && a->type == b->type &&
	       !__builtin_sub_overflow(fort_scalar_smax(&b->num), fort_scalar_smax(&a->num), by) &&
	       !__builtin_sub_overflow(fort_scalar_smin(&b->num), fort_scalar_smin(&a->num),
				       &low) &&
	       *by == low && *by && *by >= -INT32_MAX && *by <= INT32_MAX;
}

/* The place in the list of a cell that counts rounds, and by how much it moved; or -1. */
static int find_counter(const struct fort_join *join, const struct cells *cells, int64_t *by)
{
	const struct fort_counters *counters = join->widening->counters;

	for (uint32_t c = 0; counters && c < counters->n; c++)
		for (uint32_t i = 0; i < cells->n; i++)
			if (fort_same_cell(cells->list[i], counters->list[c].cell) &&
			    is_shifted(join, cells, (int)i, by))
				return (int)i;
	return -1;
}

/* A form that grows by `more` while the counter moves by `by` does not, less so many counters. */
static bool keep_with_counter(struct fort_join *join, const struct cells *cells, struct rate *rate,
			      int64_t more, int counter, int64_t by)
{
	int64_t times = by < 0 ? -by : by;
	unsigned free = FORT_RATE_TERMS;

	if (more <= 0 || more > INT32_MAX)
		return false;
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		rate->factor[k] *= times;
		if (rate->factor[k] && rate->at[k] == counter)
			return false;
		free = rate->factor[k] ? free : k;
	}
	if (free == FORT_RATE_TERMS)
		return false;
	rate->at[free] = counter;
	rate->factor[free] = by < 0 ? more : -more;
	return keep_rate(join, cells, rate, &more);
}

/* As carrier_of; where a loop counts with one of several, that one. */
static int counter_of(const struct fort_join *join, const struct cells *cells,
		      const struct fort_state *state, uint32_t sym)
{
	const struct fort_counters *counters = join->widening ? join->widening->counters : NULL;

	for (uint32_t c = 0; counters && c < counters->n; c++)
		for (uint32_t i = 0; i < cells->n; i++) {
			const struct fort_value *value;

			if (!fort_same_cell(cells->list[i], counters->list[c].cell))
				continue;
			value = value_in(join, state, cells->list[i]);
			if (value && value->type && value->sym == sym &&
			    !fort_scalar_is_const(&value->num))
				return (int)i;
		}
	return carrier_of(join, cells, state, sym);
}

/* Keeps the form, or what it is with the counter. */
static void keep_either(struct fort_join *join, const struct cells *cells, struct rate rate,
			int counter, int64_t by)
{
	int64_t more;

	if (!keep_rate(join, cells, &rate, &more) && counter >= 0)
		(void)keep_with_counter(join, cells, &rate, more, counter, by);
}

/* The same of other cells that have the symbol of one of the form's in this state, and parted from
 * it. */
static void keep_of_others(struct fort_join *join, const struct cells *cells,
			   const struct fort_state *of, const struct rate *rate, int counter,
			   int64_t by)
{
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		const struct fort_value *first, *its;

		if (!rate->factor[k])
			continue;
		first = value_in(join, of, cells->list[rate->at[k]]);
		its = fort_state_cell(join->out, cells->list[rate->at[k]]);
		for (uint32_t i = 0; i < cells->n; i++) {
			const struct fort_value *value = value_in(join, of, cells->list[i]);
			struct rate other = *rate;

			if (!value || !value->type || value->sym != first->sym ||
			    fort_scalar_is_const(&value->num) ||
			    fort_state_cell(join->out, cells->list[i])->sym == its->sym)
				continue;
			other.at[k] = (int)i;
			keep_either(join, cells, other, counter, by);
		}
	}
}

static void keep_rates(struct fort_join *join, const struct cells *cells,
		       const struct fort_state *of, int counter, int64_t by)
{
	for (uint32_t i = 0; i < of->n_rates; i++) {
		struct rate rate = {{-1, -1, -1}, {0}};
		bool good = true;

		for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
			if (!of->rates[i].sym[k])
				continue;
			rate.at[k] = counter_of(join, cells, of, of->rates[i].sym[k]);
			rate.factor[k] = of->rates[i].factor[k];
			good = good && rate.at[k] >= 0;
		}
		if (!good)
			continue;
		keep_either(join, cells, rate, counter, by);
		keep_of_others(join, cells, of, &rate, counter, by);
	}
}

/* Is there an end to what the counter comes to, in the direction in which it moves? */
static bool has_limit(const struct fort_join *join, const struct cells *cells, int counter,
		      int64_t by)
{
	const struct fort_scalar *num = &fort_state_cell(join->out, cells->list[counter])->num;
	const int64_t far = 1ll << 32;

	return by > 0 ? fort_scalar_smax(num) < far : fort_scalar_smin(num) > -far;
}

/* A bound that follows from the counter's does not stop anywhere else. */
static void let_go(struct fort_join *join, const struct cells *cells, uint32_t at)
{
	const struct fort_value *a = value_in(join, join->a, cells->list[at]);
	const struct fort_value *b = value_in(join, join->b, cells->list[at]);
	struct fort_scalar both = fort_scalar_join(&a->num, &b->num);

	fort_state_cell(join->out, cells->list[at])->num =
		fort_scalar_widen(&a->num, &both, NULL, 0);
}

/* What moves out of where it was while a counter moves: by as much each time, as it seems. */
static void find_rates(struct fort_join *join, const struct cells *cells, int counter, int64_t by,
		       bool pointers)
{
	for (uint32_t i = 0; i < cells->n; i++) {
		const struct fort_value *a = value_in(join, join->a, cells->list[i]);
		const struct fort_value *b = value_in(join, join->b, cells->list[i]);
		const struct fort_value *out = fort_state_cell(join->out, cells->list[i]);
		struct rate up = {{(int)i, -1, -1}, {1, 0, 0}},
			    down = {{(int)i, -1, -1}, {-1, 0, 0}};
		bool found = false;
		int64_t high, low;

		if ((int)i == counter || cells->list[i].kind == FORT_CELL_GHOST || !a || !b ||
		    !a->type || a->type != b->type || (a->type == FORT_NUM) == pointers ||
		    !out->type || fort_scalar_is_const(&out->num))
			continue;
		if (!__builtin_sub_overflow(fort_scalar_smax(&b->num), fort_scalar_smax(&a->num),
					    &high))
			found = keep_with_counter(join, cells, &up, high, counter, by);
		if (!__builtin_sub_overflow(fort_scalar_smin(&a->num), fort_scalar_smin(&b->num),
					    &low))
			found |= keep_with_counter(join, cells, &down, low, counter, by);
		if (found && has_limit(join, cells, counter, by) && join->widening->reduces)
			let_go(join, cells, i);
	}
}

static void join_rates(struct fort_join *join, const struct cells *cells)
{
	int64_t by = 0;
	int counter = join->widening ? find_counter(join, cells, &by) : -1;

	keep_rates(join, cells, join->a, counter, by);
	if (!join->widening)
		keep_rates(join, cells, join->b, -1, 0);
	if (counter < 0)
		return;
	find_rates(join, cells, counter, by, true);
	find_rates(join, cells, counter, by, false);
}

/* --- what shows progress --- */

/* A number that is as far from a ghost as before in one state, and farther in the other, is at
 * least somewhere: that is what shows progress. */
static void keep_progress(struct fort_join *join, const struct cells *cells)
{
	for (uint32_t g = 0; g < cells->n; g++) {
		const struct fort_value *ghost;

		if (cells->list[g].kind != FORT_CELL_GHOST)
			continue;
		ghost = value_in(join, join->a, cells->list[g]);
		for (uint32_t i = 0; ghost && ghost->sym && i < cells->n; i++) {
			const struct fort_value *value = value_in(join, join->a, cells->list[i]);

			if (i == g || cells->list[i].kind == FORT_CELL_GHOST || !value ||
			    value->sym != ghost->sym)
				continue;
			keep_order(join, cells, (int[]){(int)g, -1, (int)i});
			keep_order(join, cells, (int[]){(int)i, -1, (int)g});
		}
	}
}

/* Of so many numbers the order is looked for. */
#define ORDERED_MAX 10u

/* A number of the running function in both, not a known one; *moves: the loop moves it out of where
 * it was. */
static bool is_number(const struct fort_join *join, struct fort_cell cell, bool *moves)
{
	const struct fort_value *a = value_in(join, join->a, cell);
	const struct fort_value *b = value_in(join, join->b, cell);

	if (cell.kind != FORT_CELL_REG || cell.frame + 1u != join->out->n_frames || !a || !b ||
	    a->type != FORT_NUM || b->type != FORT_NUM ||
	    fort_scalar_is_const(&fort_state_cell(join->out, cell)->num))
		return false;
	*moves = !fort_scalar_covers(&a->num, &b->num);
	return true;
}

/* What numbers say before they are given up: when a loop is entered both of two counters are 0, and
 * after a round one is not more than the other. As a fact, that holds however far they come. */
static void find_orders(struct fort_join *join, const struct cells *cells)
{
	int at[ORDERED_MAX];
	bool moves[ORDERED_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < cells->n && n < ORDERED_MAX; i++)
		if (is_number(join, cells->list[i], &moves[n]))
			at[n++] = (int)i;
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < n; j++)
			if (i != j && (moves[i] || moves[j]))
				keep_order(join, cells, (int[]){at[i], -1, at[j]});
}

void fort_join_relations(struct fort_join *join)
{
	struct cells cells;

	join->out->n_facts = 0;
	join->out->n_rates = 0;
	if (!join->a->n_facts && !join->b->n_facts && !join->a->n_rates && !join->b->n_rates &&
	    !join->out->n_ghosts && !join->widening)
		return;
	list_cells(&cells, join);
	if (join->widening)
		find_orders(join, &cells);
	keep_progress(join, &cells);
	keep_facts(join, &cells, join->a);
	if (!join->widening)
		keep_facts(join, &cells, join->b);
	join_rates(join, &cells);
	/* Never dead: it covers states that runs have. */
	if (join->widening && join->widening->reduces)
		(void)!fort_rate_spread(join->out, 0);
}
