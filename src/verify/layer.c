/* Layers: the states at the head of a loop, and what shows that it ends. */
#include "step/relate.h"
#include "verify/search.h"

bool fort_layer_is_probe(const struct fort_layer *layer)
{
	return !layer->turn || fort_is_power_of_two(layer->turn);
}

struct fort_layer *fort_layer_new(struct fort_search *s, struct fort_point *point,
				  struct fort_layer *outer, struct fort_layer *before)
{
	struct fort_layer *layer = FORT_ARENA_NEW(s->arena, struct fort_layer);
	uint32_t turn = before ? before->turn + 1 : 0;

	if (!layer)
		return NULL;
	layer->point = point;
	layer->outer = outer;
	layer->turn = turn;
	layer->probe = fort_layer_is_probe(layer) ? layer : before->probe;
	layer->wide = turn >= s->policy->turns;
	layer->number = s->n_layers++;
	layer->next = point->layers;
	point->layers = layer;
	if (outer) {
		layer->beside = outer->inside;
		outer->inside = layer;
	}
	return layer;
}

/* --- around --- */

static bool is_inside(const struct fort_search *s, const struct fort_layer *layer,
		      const struct fort_context *context, uint32_t pc)
{
	uint32_t loop = fort_loop_headed(s->loops, layer->point->pc);

	/* In a function that is called from the loop, or called from there, and so on. */
	while (context != layer->point->context && context->caller) {
		pc = context->call_pc;
		context = context->caller;
	}
	return context == layer->point->context && fort_loop_has(s->loops, loop, pc);
}

struct fort_layer *fort_layer_around(const struct fort_search *s, struct fort_layer *layer,
				     const struct fort_context *context, uint32_t pc)
{
	while (layer && !is_inside(s, layer, context, pc))
		layer = layer->outer;
	return layer;
}

/* --- clearing --- */

static void kill_spots(struct fort_spot *spot)
{
	for (; spot; spot = spot->next_derived) {
		if (spot->pending && !spot->dead)
			spot->point->n_waiting--;
		spot->dead = true;
		spot->pending = false;
	}
}

static void kill_layer(struct fort_layer *layer)
{
	struct fort_layer **at = &layer->point->layers;

	while (*at && *at != layer)
		at = &(*at)->next;
	if (*at)
		*at = layer->next;
}

void fort_layer_clear(struct fort_layer *layer)
{
	struct fort_layer *todo = layer->inside;

	kill_spots(layer->derived);
	layer->derived = NULL;
	layer->inside = NULL;
	while (todo) {
		struct fort_layer *inner = todo, *last = inner->inside;

		todo = inner->beside;
		kill_spots(inner->derived);
		kill_layer(inner);
		if (!last)
			continue;
		while (last->beside)
			last = last->beside;
		last->beside = todo;
		todo = inner->inside;
	}
}

/* --- what goes on --- */

/* How much the instructions of a loop do to registers and slots of their frame. */
struct scan {
	bool goes; /* counts how often a may_goto went on */
	uint32_t moved[FORT_REGS], compared[FORT_REGS], stored[FORT_STACK_SLOTS];
};

static void scan_insn(const struct fort_insn *insn, struct scan *scan)
{
	int32_t off = insn->off;

	switch (insn->kind) {
	case FORT_ALU_K:
	case FORT_ALU_X:
		scan->moved[insn->dst] += insn->op == FORT_OP_ADD || insn->op == FORT_OP_SUB ||
					  insn->op == FORT_OP_RSH || insn->op == FORT_OP_DIV;
		break;
	case FORT_JCC_X: scan->compared[insn->src]++; __attribute__((fallthrough));
	case FORT_JCC_K: scan->compared[insn->dst]++; break;
	case FORT_MAY_GOTO: scan->goes = true; break;
	case FORT_STX:
		if (insn->dst == FORT_R10 && off < 0 && off >= -(int32_t)FORT_STACK_BYTES)
			scan->stored[(uint32_t)(-off - 1) / 8]++;
		break;
	default: break;
	}
}

static void scan_loop(const struct fort_search *s, const struct fort_layer *layer,
		      struct scan *scan)
{
	uint32_t loop = fort_loop_headed(s->loops, layer->point->pc);

	for (uint32_t place = layer->point->place; place < s->loops->n_places; place++) {
		uint32_t pc = s->loops->at[place];

		if (!fort_loop_has(s->loops, loop, pc))
			return;
		scan_insn(&s->env->graph->program.insns[pc], scan);
	}
}

static bool is_rank(const struct fort_state *state, struct fort_cell cell)
{
	const struct fort_value *value = fort_state_cell(state, cell);

	return value && value->type != FORT_NONE;
}

static void add_rank(struct fort_layer *layer, const struct fort_state *state, uint8_t kind,
		     uint8_t index)
{
	struct fort_cell cell = {kind, (uint8_t)(state->n_frames - 1), index};

	if (layer->n_ranks < FORT_RANKS_MAX && is_rank(state, cell))
		layer->ranks[layer->n_ranks++] = (struct fort_rank){cell, true, true};
}

/* The likeliest first: what the state counts, registers that are moved and compared, others that
 * are moved, slots that are stored to. */
static void choose_ranks(const struct fort_search *s, struct fort_layer *layer)
{
	const struct fort_state *state = layer->members->state;
	struct scan scan = {0};

	scan_loop(s, layer, &scan);
	if (s->env->graph->marks[layer->point->pc] & FORT_MARK_CALLS_BACK)
		add_rank(layer, state, FORT_CELL_TURNS, 0);
	if (scan.goes)
		add_rank(layer, state, FORT_CELL_GOES, 0);
	for (unsigned compared = 2; compared-- > 0;)
		for (uint8_t r = 0; r < FORT_R10; r++)
			if (scan.moved[r] && !scan.compared[r] == !compared)
				add_rank(layer, state, FORT_CELL_REG, r);
	for (uint8_t i = 0; i < FORT_STACK_SLOTS; i++)
		if (scan.stored[i])
			add_rank(layer, state, FORT_CELL_SLOT, i);
}

static uint32_t owner_of(const struct fort_layer *layer, uint32_t rank)
{
	return layer->number * FORT_RANKS_MAX + rank;
}

void fort_layer_enter(struct fort_search *s, struct fort_layer *layer, struct fort_state *state)
{
	if (!layer->wide)
		return;
	if (!layer->begun)
		choose_ranks(s, layer);
	layer->begun = true;
	for (uint32_t i = 0; i < layer->n_ranks; i++) {
		struct fort_rank *rank = &layer->ranks[i];

		if (is_rank(state, rank->cell) && state->n_ghosts < FORT_GHOSTS_MAX)
			fort_state_remember(state, owner_of(layer, i),
					    fort_state_cell(state, rank->cell));
		else
			rank->rises = rank->falls = false;
	}
}

static struct fort_ghost *ghost_of(struct fort_state *state, uint32_t owner)
{
	for (uint32_t i = 0; i < state->n_ghosts; i++)
		if (state->ghosts[i].owner == owner)
			return &state->ghosts[i];
	return NULL;
}

static void drop_ghost(struct fort_state *state, struct fort_ghost *ghost)
{
	state->n_ghosts--;
	for (; ghost < state->ghosts + state->n_ghosts; ghost++)
		*ghost = ghost[1];
}

void fort_layer_around_again(struct fort_layer *layer, struct fort_state *state)
{
	layer->closed = true;
	for (uint32_t i = 0; i < layer->n_ranks; i++) {
		struct fort_rank *rank = &layer->ranks[i];
		struct fort_ghost *ghost = ghost_of(state, owner_of(layer, i));
		const struct fort_value *now = fort_state_cell(state, rank->cell);
		bool known = ghost && now && now->type != FORT_NONE;

		rank->rises = rank->rises && known &&
			      fort_relate_most(state, &ghost->value, NULL, now) < 0;
		rank->falls = rank->falls && known &&
			      fort_relate_most(state, now, NULL, &ghost->value) < 0;
		if (ghost)
			drop_ghost(state, ghost);
	}
}

static bool owns(const struct fort_layer *layer, uint32_t owner)
{
	for (; layer; layer = layer->outer)
		if (owner / FORT_RANKS_MAX == layer->number)
			return true;
	return false;
}

void fort_layer_leave(struct fort_state *state, const struct fort_layer *origin)
{
	for (uint32_t i = 0; i < state->n_ghosts;)
		if (owns(origin, state->ghosts[i].owner))
			i++;
		else
			drop_ghost(state, &state->ghosts[i]);
}

const struct fort_rank *fort_layer_rank(const struct fort_layer *layer)
{
	for (uint32_t i = 0; i < layer->n_ranks; i++)
		if (layer->ranks[i].rises || layer->ranks[i].falls)
			return &layer->ranks[i];
	return NULL;
}
