/* Layers: the states at the head of a loop, and what shows that it ends. */
#include "step/kernel.h"
#include "step/relate.h"
#include "verify/search.h"

bool fort_layer_is_probe(const struct fort_layer *layer)
{
	return !layer->turn || fort_is_power_of_two(layer->turn);
}

/* Does the instruction ask an iterator for its next element? */
static bool draws(const struct fort_env *env, const struct fort_insn *insn)
{
	const struct fort_kfunc_ref *ref = NULL;

	if (insn->kind == FORT_CALL && insn->op == FORT_OP_KFUNC)
		ref = fort_env_kfunc(env, insn);
	return ref && !ref->diag && fort_kfuncs[ref->id].flags & FORT_KFUNC_ITER_NEXT;
}

/* The next place from `place` on where the loop takes an element from an iterator, `own`: itself,
 * not a loop inside of it; or n_places. */
static uint32_t next_draw(const struct fort_search *s, const struct fort_point *head, bool own,
			  uint32_t place)
{
	const struct fort_loops *loops = s->loops;
	uint32_t loop = fort_loop_headed(loops, head->pc);

	for (; place < loops->n_places; place++) {
		uint32_t pc = loops->at[place];

		if (!fort_loop_has(loops, loop, pc))
			break;
		if ((!own || loops->loop_of[pc] == loop) &&
		    draws(s->env, &s->env->graph->program.insns[pc]))
			return place;
	}
	return loops->n_places;
}

/* Such a loop ends when its iterator does, however often that is. */
static bool takes_elements(const struct fort_search *s, const struct fort_point *head)
{
	return next_draw(s, head, true, head->place) < s->loops->n_places;
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
	layer->draws = before ? before->draws : takes_elements(s, point);
	layer->wide = turn >= (layer->draws ? s->policy->draws : s->policy->turns);
	layer->number = s->n_layers++;
	layer->next = point->layers;
	if (layer->next)
		layer->next->before = layer;
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
		if (!spot->dead && !spot->layer)
			spot->point->n_spots--;
		spot->dead = true;
		spot->pending = false;
	}
}

/* The layer is done for; what it came to is where its loop begins when it is entered again. */
static void kill_layer(struct fort_search *s, struct fort_layer *layer)
{
	struct fort_point *point = layer->point;

	if (layer->wide && layer->visits && layer->members->state) {
		fort_state_free(&s->pool, point->memory);
		point->memory = layer->members->state;
		point->memory_of = layer->outer;
		point->memory_number = layer->outer ? layer->outer->number : 0;
		layer->members->state = NULL;
	}
	if (layer->next)
		layer->next->before = layer->before;
	if (layer->before)
		layer->before->next = layer->next;
	else
		point->layers = layer->next;
}

void fort_layer_clear(struct fort_search *s, struct fort_layer *layer)
{
	struct fort_layer *todo = layer->inside;

	kill_spots(layer->derived);
	layer->derived = NULL;
	layer->inside = NULL;
	while (todo) {
		struct fort_layer *inner = todo, *last = inner->inside;

		todo = inner->beside;
		kill_spots(inner->derived);
		kill_layer(s, inner);
		if (!last)
			continue;
		while (last->beside)
			last = last->beside;
		last->beside = todo;
		todo = inner->inside;
	}
}

/* --- what goes on --- */

/* What the instructions of a loop do to registers and slots of their frame. The number that is
 * compared by the jump back to the head is most likely the one that counts. */
enum { SCORE_MOVED = 1, SCORE_COMPARED = 2, SCORE_DECIDES = 4 };

struct scan {
	const struct fort_search *s;
	bool goes; /* counts how often a may_goto went on */
	uint32_t head;
	uint8_t regs[FORT_REGS], slots[FORT_STACK_SLOTS]; /* scores */
	uint8_t holds[FORT_REGS]; /* the slot that was last loaded into it, + 1 */
};

static void scan_compared(struct scan *scan, uint32_t pc, unsigned reg)
{
	const struct fort_insn *insn = &scan->s->env->graph->program.insns[pc];
	uint8_t score = SCORE_COMPARED;

	if (fort_insn_target(insn, pc) == scan->head)
		score |= SCORE_DECIDES;
	scan->regs[reg] |= score;
	if (scan->holds[reg])
		scan->slots[scan->holds[reg] - 1] |= score;
}

static void scan_insn(struct scan *scan, uint32_t pc)
{
	const struct fort_insn *insn = &scan->s->env->graph->program.insns[pc];
	uint8_t slot;

	switch (insn->kind) {
	case FORT_ALU_K:
	case FORT_ALU_X: scan->regs[insn->dst] |= SCORE_MOVED; break;
	case FORT_JCC_X:
		scan_compared(scan, pc, insn->src);
		scan_compared(scan, pc, insn->dst);
		break;
	case FORT_JCC_K: scan_compared(scan, pc, insn->dst); break;
	case FORT_MAY_GOTO: scan->goes = true; break;
	case FORT_LDX: scan->holds[insn->dst] = fort_slot_accessed(insn, insn->src); break;
	case FORT_MOV_X: scan->holds[insn->dst] = scan->holds[insn->src]; break;
	case FORT_MOV_K: scan->holds[insn->dst] = 0; break;
	case FORT_STX:
		slot = fort_slot_accessed(insn, insn->dst);
		if (!slot)
			break;
		scan->slots[slot - 1] |= SCORE_MOVED;
		scan->holds[insn->src] = slot;
		break;
	default: break;
	}
}

static void scan_loop(struct scan *scan, uint32_t from)
{
	const struct fort_loops *loops = scan->s->loops;
	uint32_t loop = fort_loop_headed(loops, scan->head);

	for (uint32_t place = from; place < loops->n_places; place++) {
		if (!fort_loop_has(loops, loop, loops->at[place]))
			return;
		scan_insn(scan, loops->at[place]);
	}
}

static bool is_rank(const struct fort_state *state, struct fort_cell cell)
{
	const struct fort_value *value = fort_state_cell(state, cell);

	return value && value->type != FORT_NONE;
}

/* The likeliest cell above `least` that was not taken before; its score is returned, and used up.
 * 0 when none is left. */
static uint8_t best_cell(struct scan *scan, const struct fort_state *state, uint8_t least,
			 struct fort_cell *out)
{
	uint8_t frame = (uint8_t)(state->n_frames - 1), best = least, *score = NULL;

	for (unsigned i = 0; i < FORT_R10 + FORT_STACK_SLOTS; i++) {
		bool reg = i < FORT_R10;
		unsigned index = reg ? i : i - FORT_R10;
		uint8_t *at = reg ? &scan->regs[index] : &scan->slots[index];
		struct fort_cell cell = {reg ? FORT_CELL_REG : FORT_CELL_SLOT, frame,
					 (uint8_t)index};

		if (!(*at & SCORE_MOVED) || *at <= best || !is_rank(state, cell))
			continue;
		best = *at;
		score = at;
		*out = cell;
	}
	if (!score)
		return 0;
	*score = 0;
	return best;
}

/* The slot of this frame that the call gets: its address is computed right before. -1: elsewhere.
 */
static int slot_before(const struct fort_search *s, uint32_t call)
{
	const struct fort_insn *insns = s->env->graph->program.insns;
	const struct fort_insn *move = call >= 2 ? &insns[call - 2] : NULL, *add = &insns[call - 1];

	if (!move || move->kind != FORT_MOV_X || move->dst != FORT_R1 || move->src != FORT_R10 ||
	    add->kind != FORT_ALU_K || add->op != FORT_OP_ADD || add->dst != FORT_R1 ||
	    add->imm >= 0 || add->imm < -(int64_t)FORT_STACK_BYTES)
		return -1;
	return (int)((-add->imm - 1) / 8);
}

static bool is_iterator(const struct fort_frame *frame, uint32_t slot)
{
	return slot < frame->n_slots && frame->slots[slot].bytes[0] == FORT_BYTE_OBJECT &&
	       frame->slots[slot].spill.type == FORT_ITER && !frame->slots[slot].spill.frame;
}

static void add_iterator(struct fort_layer *layer, const struct fort_state *state, uint32_t f,
			 uint32_t slot)
{
	struct fort_cell cell = {FORT_CELL_SLOT, (uint8_t)f, (uint8_t)slot};

	if (is_iterator(state->frames[f], slot) && layer->n_ranks < FORT_RANKS_MAX)
		layer->ranks[layer->n_ranks++] = (struct fort_rank){cell, true, true};
}

/* How many elements iterators gave: the loop's own, if it is known which they are. One that takes
 * none itself may be a part of a loop that does. */
static void choose_iterators(const struct fort_search *s, struct fort_layer *layer,
			     const struct fort_state *state)
{
	const struct fort_point *head = layer->point;
	uint32_t place = next_draw(s, head, layer->draws, head->place);

	for (; place < s->loops->n_places; place = next_draw(s, head, layer->draws, place + 1)) {
		int slot = slot_before(s, s->loops->at[place]);

		if (slot >= 0)
			add_iterator(layer, state, state->n_frames - 1, (uint32_t)slot);
	}
	for (uint32_t f = state->n_frames; layer->draws && !layer->n_ranks && f-- > 0;)
		for (uint32_t i = 0; i < state->frames[f]->n_slots; i++)
			add_iterator(layer, state, f, i);
}

/* Does it show that a loop around ends? */
static bool counts_outside(const struct fort_layer *layer, uint32_t frame, uint32_t slot)
{
	for (layer = layer->outer; layer; layer = layer->outer)
		for (uint32_t i = 0; i < layer->n_ranks; i++) {
			const struct fort_cell *cell = &layer->ranks[i].cell;

			if (cell->kind == FORT_CELL_SLOT && cell->frame == frame &&
			    cell->index == slot)
				return true;
		}
	return false;
}

void fort_layer_forget_counts(const struct fort_search *s, const struct fort_layer *layer,
			      struct fort_state *state)
{
	const struct fort_point *head = layer->point;
	const struct fort_frame *top = fort_state_top(state);
	uint32_t place = layer->draws ? next_draw(s, head, true, head->place) : s->loops->n_places;

	for (; place < s->loops->n_places; place = next_draw(s, head, true, place + 1)) {
		int slot = slot_before(s, s->loops->at[place]);
		struct fort_value *count;

		if (slot < 0 || !is_iterator(top, (uint32_t)slot) ||
		    counts_outside(layer, state->n_frames - 1, (uint32_t)slot))
			continue;
		count = &top->slots[slot].spill;
		count->num = fort_value_counter().num;
		count->sym = 0;
		count->delta = 0;
	}
}

static void add_rank(struct fort_layer *layer, const struct fort_state *state, uint8_t kind)
{
	struct fort_cell cell = {.kind = kind, .frame = (uint8_t)(state->n_frames - 1)};

	layer->ranks[layer->n_ranks++] = (struct fort_rank){cell, true, true};
}

/* What the state counts comes first. Where a jump back decides by a number, others are not tried:
 * loops around this one have their places in the list of ghosts already, and those inside want
 * some. */
static void choose_ranks(const struct fort_search *s, struct fort_layer *layer)
{
	const struct fort_state *state = layer->members->state;
	struct scan scan = {.s = s, .head = layer->point->pc};
	struct fort_cell cell;
	uint8_t score, least = 0;

	if (s->env->graph->marks[layer->point->pc] & FORT_MARK_CALLS_BACK) {
		add_rank(layer, state, FORT_CELL_TURNS);
		return;
	}
	choose_iterators(s, layer, state);
	scan_loop(&scan, layer->point->place);
	if (scan.goes)
		add_rank(layer, state, FORT_CELL_GOES);
	while (layer->n_ranks < FORT_RANKS_MAX && (score = best_cell(&scan, state, least, &cell))) {
		layer->ranks[layer->n_ranks++] = (struct fort_rank){cell, true, true};
		least = score & SCORE_DECIDES ? SCORE_DECIDES : 0;
	}
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

		if (!is_rank(state, rank->cell) ||
		    !fort_state_remember(&s->pool, state, owner_of(layer, i),
					 fort_state_cell(state, rank->cell)))
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

static bool has_rank(const struct fort_layer *layer, struct fort_cell cell)
{
	for (uint32_t i = 0; i < layer->n_ranks; i++)
		if (fort_same_cell(layer->ranks[i].cell, cell))
			return true;
	return false;
}

/* Adds a cell whose number after a round is past all that it was before. */
static void add_moved(struct fort_layer *layer, const struct fort_state *before,
		      const struct fort_state *after, struct fort_cell cell)
{
	const struct fort_value *a = fort_state_cell(before, cell);
	const struct fort_value *b = fort_state_cell(after, cell);

	if (layer->n_ranks < FORT_RANKS_MAX && a && b && a->type && a->type == b->type &&
	    (fort_scalar_smin(&b->num) > fort_scalar_smax(&a->num) ||
	     fort_scalar_smax(&b->num) < fort_scalar_smin(&a->num)) &&
	    !has_rank(layer, cell))
		layer->ranks[layer->n_ranks++] = (struct fort_rank){cell, true, true};
}

void fort_layer_choose_again(struct fort_search *s, struct fort_layer *layer,
			     const struct fort_counters *counters, const struct fort_state *before,
			     const struct fort_state *after)
{
	uint8_t frame = (uint8_t)(before->n_frames - 1);
	uint32_t n = 0;

	for (uint32_t i = 0; i < layer->n_ranks; i++)
		if (layer->ranks[i].rises || layer->ranks[i].falls)
			layer->ranks[n++] = layer->ranks[i];
	if (n != layer->n_ranks)
		layer->number = s->n_layers++;
	layer->n_ranks = n;
	for (uint32_t i = 0; !n && i < counters->n; i++)
		add_moved(layer, before, after, counters->list[i].cell);
	for (uint8_t r = 0; !n && r < FORT_R10; r++)
		add_moved(layer, before, after, (struct fort_cell){FORT_CELL_REG, frame, r});
	for (uint8_t slot = 0; !n && slot < FORT_STACK_SLOTS; slot++)
		add_moved(layer, before, after, (struct fort_cell){FORT_CELL_SLOT, frame, slot});
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
