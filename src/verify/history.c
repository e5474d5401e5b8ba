#include "verify/history.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "step/relate.h"

struct history {
	struct fort_search *s;
	const struct fort_origins *origins;
	struct fort_past *items;
	uint32_t n, at; /* at: the first that is not measured */
	uint8_t *marks; /* one bit per origin that is kept */
	struct fort_history *out;
};

const struct fort_past *fort_history_find(const struct fort_history *history, uint32_t origin)
{
	for (uint32_t i = 0; origin && i < history->n; i++)
		if (history->items[i].id == origin)
			return &history->items[i];
	return NULL;
}

static const struct fort_insn *insn_at(const struct history *h, uint32_t pc)
{
	return &h->s->env->graph->program.insns[pc];
}

/* --- the focus --- */

static void add_focus(struct history *h, uint32_t origin)
{
	struct fort_history *out = h->out;

	for (uint32_t i = 0; i < out->n_focus; i++)
		if (out->focus[i] == origin)
			return;
	if (fort_origins_at(h->origins, origin) && out->n_focus < FORT_LEN(out->focus))
		out->focus[out->n_focus++] = origin;
}

static void focus_on_reg(struct history *h, const struct fort_state *state, unsigned reg)
{
	add_focus(h, h->origins->regs[state->n_frames - 1][reg]);
}

static bool is_size(enum fort_arg arg)
{
	return arg == FORT_ARG_SIZE || arg == FORT_ARG_SIZE_OR_ZERO;
}

/* A pointer that is passed with a size behind it, and the reverse. */
static void focus_on_argument(struct history *h, const struct fort_violation *v,
			      const struct fort_state *state)
{
	const struct fort_insn *insn = insn_at(h, v->pc);
	const struct fort_helper_info *helper;

	focus_on_reg(h, state, v->reg);
	if (insn->kind != FORT_CALL || insn->op != FORT_OP_HELPER || v->reg < FORT_R1 ||
	    v->reg > FORT_R5)
		return;
	helper = fort_helper_for((uint32_t)insn->imm, &h->s->env->hook);
	if (helper && v->reg < FORT_R5 && is_size(helper->args[v->reg]))
		focus_on_reg(h, state, v->reg + 1u);
}

static void focus_on_slots(struct history *h, const struct fort_violation *v,
			   const struct fort_state *state)
{
	uint32_t frame = state->n_frames - 1;

	if (v->reg < FORT_REGS && fort_state_reg(state, v->reg)->type == FORT_STACK)
		frame = fort_state_reg(state, v->reg)->frame;
	for (int64_t off = v->args[0]; off < v->args[0] + v->args[1]; off++)
		if (off < 0 && off >= -(int64_t)FORT_STACK_BYTES && frame < state->n_frames)
			add_focus(h, h->origins->slots[frame][(-off - 1) / 8]);
}

/* The newest result of this instruction. */
static void focus_on_acquired(struct history *h, uint32_t pc)
{
	for (uint32_t id = h->origins->n; fort_origins_at(h->origins, id); id--) {
		const struct fort_origin *origin = fort_origins_at(h->origins, id);

		if (origin->pc == pc && origin->kind == FORT_ORIGIN_MADE &&
		    origin->cell.kind == FORT_CELL_REG && origin->cell.index == FORT_R0) {
			add_focus(h, id);
			return;
		}
	}
}

/* What was compared in the last time around. */
static void focus_on_loop(struct history *h, const struct fort_violation *v)
{
	const struct fort_loops *loops = h->s->loops;
	uint32_t loop = fort_loop_headed(loops, v->pc), last = UINT32_MAX;

	for (uint32_t id = h->origins->n; fort_origins_at(h->origins, id); id--) {
		const struct fort_origin *origin = fort_origins_at(h->origins, id);

		if (loop == FORT_NO_LOOP || !fort_loop_has(loops, loop, origin->pc) ||
		    (origin->pc == v->pc && last != UINT32_MAX && origin->number < last))
			return;
		last = origin->number;
		if (origin->kind == FORT_ORIGIN_LEARNED && origin->cell.kind == FORT_CELL_REG)
			add_focus(h, id);
	}
}

/* The register that is wrong; where none is named, the one that the address is in. */
static void focus_on_named(struct history *h, const struct fort_violation *v,
			   const struct fort_state *state)
{
	const struct fort_insn *insn = insn_at(h, v->pc);

	if (v->reg < FORT_REGS)
		focus_on_argument(h, v, state);
	else if (insn->kind == FORT_LDX || insn->kind == FORT_LDACQ)
		focus_on_reg(h, state, insn->src);
	else if (insn->kind == FORT_ST || insn->kind == FORT_STX || insn->kind == FORT_STREL ||
		 insn->kind == FORT_ATOMIC)
		focus_on_reg(h, state, insn->dst);
}

static void find_focus(struct history *h, const struct fort_violation *v, enum fort_focus focus,
		       const struct fort_state *state)
{
	switch (focus) {
	case FORT_FOCUS_NONE: break;
	case FORT_FOCUS_REG: focus_on_named(h, v, state); break;
	case FORT_FOCUS_SLOTS: focus_on_slots(h, v, state); break;
	case FORT_FOCUS_ACQUIRED: focus_on_acquired(h, (uint32_t)v->args[1]); break;
	case FORT_FOCUS_LOOP: focus_on_loop(h, v); break;
	}
}

/* --- what flowed into it --- */

static void mark(struct history *h, uint32_t origin)
{
	if (fort_origins_at(h->origins, origin))
		h->marks[origin % h->origins->room / 8] |= (uint8_t)(1u << origin % 8);
}

static bool is_marked(const struct history *h, uint32_t origin)
{
	return h->marks[origin % h->origins->room / 8] >> origin % 8 & 1;
}

/* The newest of those that happen at one instruction to one cell is enough. */
static bool is_new(const struct history *h, const struct fort_origin *origin)
{
	for (uint32_t i = 0; i < h->n; i++) {
		const struct fort_origin *other = &h->items[i].origin;

		if (other->pc == origin->pc && other->kind == origin->kind &&
		    !memcmp(&other->cell, &origin->cell, sizeof(origin->cell)))
			return false;
	}
	return true;
}

static void follow(struct history *h, const struct fort_origin *origin)
{
	const struct fort_insn *insn = insn_at(h, origin->pc);
	bool sums = origin->kind == FORT_ORIGIN_MADE && insn->kind == FORT_ALU_X;

	mark(h, origin->from);
	if (sums)
		mark(h, origin->with);
}

static void include(struct history *h, uint32_t id, bool flows)
{
	const struct fort_origin *origin = fort_origins_at(h->origins, id);

	if (h->n < FORT_PAST_MAX && is_new(h, origin))
		h->items[h->n++] = (struct fort_past){.id = id, .origin = *origin, .flows = flows};
}

/* Origins flow from older ones only, so that one pass from the newest meets all. */
static void collect_flow(struct history *h)
{
	for (uint32_t i = 0; i < h->out->n_focus; i++)
		mark(h, h->out->focus[i]);
	for (uint32_t id = h->origins->n; fort_origins_at(h->origins, id); id--) {
		if (!is_marked(h, id))
			continue;
		include(h, id, true);
		follow(h, fort_origins_at(h->origins, id));
	}
}

/* Comparisons of other values, the newest of each instruction. */
static void collect_checks(struct history *h)
{
	uint32_t n = 0;

	for (uint32_t id = h->origins->n; fort_origins_at(h->origins, id) && n < FORT_CHECKS_MAX;
	     id--) {
		const struct fort_origin *origin = fort_origins_at(h->origins, id);
		uint32_t before = h->n;

		if (origin->kind != FORT_ORIGIN_LEARNED || is_marked(h, id) ||
		    origin->cell.kind != FORT_CELL_REG ||
		    origin->cell.index != insn_at(h, origin->pc)->dst)
			continue;
		include(h, id, false);
		n += h->n - before;
	}
}

static void sort_by_id(struct history *h)
{
	for (uint32_t i = 1; i < h->n; i++)
		for (uint32_t k = i; k && h->items[k - 1].id > h->items[k].id; k--) {
			struct fort_past swap = h->items[k];

			h->items[k] = h->items[k - 1];
			h->items[k - 1] = swap;
		}
}

/* --- numbers --- */

static struct fort_value value_at(const struct fort_state *state, struct fort_cell cell)
{
	const struct fort_value *value =
		cell.frame < state->n_frames ? fort_state_cell(state, cell) : NULL;

	return value ? *value : (struct fort_value){0};
}

static void measure_before(const struct history *h, const struct fort_state *state,
			   struct fort_past *past)
{
	const struct fort_insn *insn = insn_at(h, past->origin.pc);

	past->before = value_at(state, past->origin.cell);
	past->left = *fort_state_reg(state, insn->dst);
	past->right = *fort_state_reg(state, insn->src);
}

static void measure_after(const struct fort_state *state, uint32_t next_pc, struct fort_past *past)
{
	past->after = value_at(state, past->origin.cell);
	past->taken = next_pc != past->origin.pc + 1;
	past->length_most = fort_scalar_smin(&state->packet.num);
	if (past->after.type == FORT_PACKET || past->after.type == FORT_PACKET_META)
		past->proven = fort_packet_proven(state, &past->after);
}

/* Those of the path's instruction `number` that began when the path did, or came by a join. */
static bool is_of_arrival(const struct fort_past *past)
{
	return past->origin.kind == FORT_ORIGIN_JOINED ||
	       (past->origin.kind == FORT_ORIGIN_START && !past->origin.number);
}

/* Items are in the order of the path: those of arrivals come before those of the instruction. */
static void measure_arrival(struct history *h, const struct fort_walk *walk)
{
	while (h->at < h->n && h->items[h->at].origin.number < walk->number)
		h->at++;
	for (uint32_t i = h->at; i < h->n && h->items[i].origin.number == walk->number; i++)
		if (is_of_arrival(&h->items[i]))
			measure_after(walk->state, walk->pc + 1, &h->items[i]);
}

static enum fort_walk_move measure_step(struct history *h, struct fort_walk *walk)
{
	uint32_t number = walk->number;
	enum fort_walk_move move;
	struct fort_step step;

	if (fort_walk_is_over(walk))
		return FORT_WALK_ENDS;
	while (h->at < h->n && h->items[h->at].origin.number < number)
		h->at++;
	for (uint32_t i = h->at; i < h->n && h->items[i].origin.number == number; i++)
		if (!is_of_arrival(&h->items[i]))
			measure_before(h, walk->state, &h->items[i]);
	move = fort_walk_next(walk, &step);
	if (move != FORT_WALK_ON)
		return move;
	for (uint32_t i = h->at; i < h->n && h->items[i].origin.number == number; i++)
		if (!is_of_arrival(&h->items[i]))
			measure_after(walk->state, walk->pc, &h->items[i]);
	move = fort_walk_arrive(walk);
	if (move == FORT_WALK_JOINED) {
		h->out->joined = true;
		h->out->joined_pc = walk->pc;
		h->out->joins = walk->spots[walk->at_spot]->joins;
		measure_arrival(h, walk);
	}
	return move;
}

static int measure(struct history *h)
{
	enum fort_walk_move move = FORT_WALK_ON;
	struct fort_walk walk;
	int err = fort_walk_start(&walk, h->s);

	if (err)
		return err;
	measure_arrival(h, &walk);
	while (move == FORT_WALK_ON || move == FORT_WALK_JOINED) {
		if (walk.number > h->s->options->budget_insns)
			break;
		move = measure_step(h, &walk);
	}
	fort_walk_end(&walk);
	return move == FORT_WALK_FAILS ? h->s->err : 0;
}

int fort_history_make(struct fort_search *s, const struct fort_origins *origins,
		      const struct fort_violation *violation, enum fort_focus focus,
		      const struct fort_state *state, struct fort_history *out)
{
	struct history h = {.s = s, .origins = origins, .out = out};
	int err;

	*out = (struct fort_history){.origins = origins};
	h.items = FORT_ARENA_ARRAY(s->arena, FORT_PAST_MAX, struct fort_past);
	h.marks = fort_arena_alloc(s->arena, origins->room / 8);
	if (!h.items || !h.marks)
		return -ENOMEM;
	find_focus(&h, violation, focus, state);
	collect_flow(&h);
	collect_checks(&h);
	sort_by_id(&h);
	err = measure(&h);
	out->items = h.items;
	out->n = h.n;
	return err;
}
