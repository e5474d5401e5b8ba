#include "verify/origin.h"

#include <string.h>

#include "base/limits.h"

#define ROOM_MIN 256u

/* --- the list --- */

static bool grow(struct fort_origins *o)
{
	uint32_t room = o->room ? o->room * 2 : ROOM_MIN;
	struct fort_origin *list = FORT_ARENA_ARRAY(o->arena, room, struct fort_origin);

	if (!list)
		return false;
	if (o->room)
		memcpy(list, o->list, o->room * sizeof(*list));
	o->list = list;
	o->room = room;
	return true;
}

/* Places are used from 1 until there is no more room, then again. */
static uint32_t add(struct fort_origins *o, const struct fort_origin *origin)
{
	uint32_t id = ++o->n;

	o->list[id % o->room] = *origin;
	return id;
}

const struct fort_origin *fort_origins_at(const struct fort_origins *o, uint32_t origin)
{
	if (!origin || origin > o->n || o->n - origin >= o->room)
		return NULL;
	return &o->list[origin % o->room];
}

/* --- cells --- */

static uint32_t *place_of(struct fort_origins *o, struct fort_cell cell)
{
	return cell.kind == FORT_CELL_REG ? &o->regs[cell.frame][cell.index]
					  : &o->slots[cell.frame][cell.index];
}

uint32_t fort_origins_of(const struct fort_origins *o, struct fort_cell cell)
{
	return cell.kind == FORT_CELL_REG ? o->regs[cell.frame][cell.index]
					  : o->slots[cell.frame][cell.index];
}

static struct fort_cell reg_cell(uint32_t frame, unsigned reg)
{
	return (struct fort_cell){FORT_CELL_REG, (uint8_t)frame, (uint8_t)reg};
}

static struct fort_cell slot_cell(uint32_t frame, uint32_t slot)
{
	return (struct fort_cell){FORT_CELL_SLOT, (uint8_t)frame, (uint8_t)slot};
}

static void set(struct fort_origins *o, struct fort_cell cell, enum fort_origin_kind kind,
		uint32_t from, uint32_t with)
{
	const struct fort_origin origin = {.number = o->number,
					   .pc = o->pc,
					   .kind = (uint8_t)kind,
					   .cell = cell,
					   .from = from,
					   .with = with};

	*place_of(o, cell) = add(o, &origin);
}

/* What was there becomes something else. */
static void change(struct fort_origins *o, struct fort_cell cell, enum fort_origin_kind kind,
		   uint32_t with)
{
	set(o, cell, kind, *place_of(o, cell), with);
}

/* --- what changed --- */

bool fort_value_differs(const struct fort_value *a, const struct fort_value *b)
{
	return a->type != b->type || a->flags != b->flags ||
	       (a->type != FORT_NONE && memcmp(&a->num, &b->num, sizeof(a->num)) != 0);
}

static bool slot_differs(const struct fort_frame *was, const struct fort_frame *now, uint32_t slot)
{
	const struct fort_slot *a, *b;

	if (slot >= was->n_slots || slot >= now->n_slots)
		return was->n_slots != now->n_slots;
	a = &was->slots[slot];
	b = &now->slots[slot];
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) != 0 ||
	       (fort_slot_has_value(a) && fort_value_differs(&a->spill, &b->spill));
}

/* It is nothing any more, or a pointer that became a number. */
static bool ended(const struct fort_value *was, const struct fort_value *now)
{
	return now->type == FORT_NONE || (fort_value_is_pointer(was) && now->type == FORT_NUM);
}

static bool slot_ended(const struct fort_slot *was, const struct fort_slot *now)
{
	if (!fort_slot_has_value(was))
		return false;
	return !fort_slot_has_value(now) || ended(&was->spill, &now->spill);
}

/* Every register and slot of frame f that changed. What ended gets `end`, other things `kind`. */
static void mark_changes(struct fort_origins *o, const struct fort_state *state, uint32_t f,
			 enum fort_origin_kind kind, enum fort_origin_kind end, uint32_t with)
{
	const struct fort_frame *was = o->was->frames[f], *now = state->frames[f];

	for (unsigned r = 0; r < FORT_R10; r++)
		if (fort_value_differs(&was->regs[r], &now->regs[r]))
			change(o, reg_cell(f, r), ended(&was->regs[r], &now->regs[r]) ? end : kind,
			       with);
	for (uint32_t i = 0; i < now->n_slots; i++) {
		if (!slot_differs(was, now, i))
			continue;
		change(o, slot_cell(f, i),
		       i < was->n_slots && slot_ended(&was->slots[i], &now->slots[i]) ? end : kind,
		       with);
	}
}

/* --- kinds of instructions --- */

static const struct fort_insn *insn_of(const struct fort_origins *o)
{
	return &o->env->graph->program.insns[o->pc];
}

/* Both operands, and whatever else the comparison changed. */
static void after_branch(struct fort_origins *o, const struct fort_state *state)
{
	const struct fort_insn *insn = insn_of(o);
	uint32_t top = state->n_frames - 1;
	bool two = insn->kind == FORT_JCC_X && insn->src != insn->dst;
	uint32_t left = o->regs[top][insn->dst], right = two ? o->regs[top][insn->src] : 0;

	for (uint32_t f = 0; f < state->n_frames; f++)
		mark_changes(o, state, f, FORT_ORIGIN_LEARNED, FORT_ORIGIN_LEARNED, right);
	set(o, reg_cell(top, insn->dst), FORT_ORIGIN_LEARNED, left, right);
	if (two)
		set(o, reg_cell(top, insn->src), FORT_ORIGIN_LEARNED, right, left);
}

/* A function begins: its arguments are the caller's, or its caller is a helper. */
static void after_entry(struct fort_origins *o, const struct fort_state *state)
{
	uint32_t top = state->n_frames - 1;
	const struct fort_frame *now = state->frames[top];

	memset(o->slots[top], 0, sizeof(o->slots[top]));
	for (unsigned r = 0; r < FORT_REGS; r++) {
		bool passed = now->kind == FORT_FRAME_CALLED && r >= FORT_R1 && r <= FORT_R5;

		o->regs[top][r] = 0;
		if (now->regs[r].type != FORT_NONE)
			set(o, reg_cell(top, r), passed ? FORT_ORIGIN_PASSED : FORT_ORIGIN_START,
			    passed ? o->regs[top - 1][r] : 0, 0);
	}
	for (uint32_t f = 0; f < top; f++)
		mark_changes(o, state, f, FORT_ORIGIN_MADE, FORT_ORIGIN_GONE, 0);
}

static void after_return(struct fort_origins *o, const struct fort_state *state)
{
	uint32_t top = state->n_frames - 1, result = o->regs[top + 1][FORT_R0];

	for (uint32_t f = 0; f <= top; f++)
		mark_changes(o, state, f, FORT_ORIGIN_MADE, FORT_ORIGIN_GONE, 0);
	if (fort_state_reg(state, FORT_R0)->type != FORT_NONE)
		set(o, reg_cell(top, FORT_R0), FORT_ORIGIN_PASSED, result, 0);
}

static void after_helper(struct fort_origins *o, const struct fort_state *state)
{
	uint32_t top = state->n_frames - 1;

	for (uint32_t f = 0; f < state->n_frames; f++)
		mark_changes(o, state, f, FORT_ORIGIN_MADE, FORT_ORIGIN_GONE, 0);
	if (fort_state_reg(state, FORT_R0)->type != FORT_NONE)
		set(o, reg_cell(top, FORT_R0), FORT_ORIGIN_MADE, 0, 0);
}

static void after_call(struct fort_origins *o, const struct fort_state *state)
{
	if (state->n_frames > o->frames)
		after_entry(o, state);
	else if (state->n_frames < o->frames)
		after_return(o, state);
	else
		after_helper(o, state);
}

/* The origin of stack memory that is read. */
static uint32_t read_origin(const struct fort_origins *o)
{
	const struct fort_cells *cells = o->effect.reads.cells;

	for (unsigned i = 0; i < o->effect.reads.n; i++)
		if (cells[i].slots)
			return o->slots[cells[i].frame][__builtin_ctzll(cells[i].slots)];
	return 0;
}

/* The first and the second thing that flow into what the instruction makes. */
static void sources(const struct fort_origins *o, uint32_t *from, uint32_t *with)
{
	const struct fort_insn *insn = insn_of(o);
	const uint32_t *regs = o->regs[o->effect.frame];
	uint16_t flow = o->effect.flow;

	*from = *with = 0;
	switch (insn->kind) {
	case FORT_LDX:
	case FORT_LDACQ:
		*from = read_origin(o);
		*with = *from ? 0 : regs[insn->src];
		return;
	case FORT_ATOMIC: *from = read_origin(o); return;
	case FORT_STX:
	case FORT_STREL:
	case FORT_MOV_X:
	case FORT_MOVSX: *from = regs[insn->src]; return;
	case FORT_ST:
	case FORT_MOV_K:
	case FORT_LDIMM: return;
	default: break;
	}
	*from = flow >> insn->dst & 1 ? regs[insn->dst] : 0;
	if (insn->kind == FORT_ALU_X)
		*with = regs[insn->src];
}

static void after_plain(struct fort_origins *o)
{
	uint32_t from, with, made = 0;

	sources(o, &from, &with);
	for (uint64_t slots = o->effect.slots_touched; slots; slots &= slots - 1) {
		struct fort_cell cell =
			slot_cell(o->effect.slot_frame, (uint32_t)__builtin_ctzll(slots));

		if (!made) { /* one for all of them */
			set(o, cell, FORT_ORIGIN_MADE, from, with);
			made = *place_of(o, cell);
		}
		*place_of(o, cell) = made;
	}
	for (unsigned r = 0; r < FORT_R10; r++)
		if (o->effect.defs >> r & 1)
			set(o, reg_cell(o->effect.frame, r), FORT_ORIGIN_MADE, from, with);
}

/* --- the path --- */

bool fort_origins_begin(struct fort_origins *o, const struct fort_env *env,
			struct fort_arena *arena, struct fort_pool *pool,
			const struct fort_state *state, uint32_t pc)
{
	memset(o, 0, sizeof(*o));
	o->env = env;
	o->arena = arena;
	o->pool = pool;
	o->pc = pc;
	if (!grow(o))
		return false;
	for (unsigned r = 0; r < FORT_REGS; r++)
		if (fort_state_reg(state, r)->type != FORT_NONE)
			set(o, reg_cell(0, r), FORT_ORIGIN_START, 0, 0);
	return true;
}

/* Room for all that one instruction can change. */
static bool make_room(struct fort_origins *o)
{
	const uint32_t most = FORT_FRAMES_MAX * (FORT_REGS + FORT_STACK_SLOTS) + 2;

	while (o->room < FORT_ORIGINS_MAX && o->n + most >= o->room)
		if (!grow(o))
			return false;
	return true;
}

static bool is_branch(const struct fort_insn *insn)
{
	return insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X;
}

bool fort_origins_before(struct fort_origins *o, const struct fort_state *state, uint32_t pc,
			 uint32_t number)
{
	const struct fort_insn *insn = &o->env->graph->program.insns[pc];

	o->pc = pc;
	o->number = number;
	o->frames = state->n_frames;
	fort_state_free(o->pool, o->was);
	o->was = NULL;
	if (!make_room(o))
		return false;
	fort_effect_before(o->env, state, pc, &o->effect_room, &o->effect);
	if (!is_branch(insn) && insn->kind != FORT_CALL && insn->kind != FORT_EXIT)
		return true;
	o->was = fort_state_clone(o->pool, state);
	return o->was;
}

bool fort_origins_after(struct fort_origins *o, const struct fort_state *state)
{
	if (!o->was)
		after_plain(o);
	else if (is_branch(insn_of(o)))
		after_branch(o, state);
	else
		after_call(o, state);
	return true;
}

bool fort_origins_joined(struct fort_origins *o, const struct fort_state *was,
			 const struct fort_state *state, uint32_t pc, uint32_t number)
{
	if (!make_room(o))
		return false;
	fort_state_free(o->pool, o->was);
	o->was = fort_state_clone(o->pool, was);
	if (!o->was)
		return false;
	o->pc = pc;
	o->number = number;
	for (uint32_t f = 0; f < state->n_frames; f++)
		mark_changes(o, state, f, FORT_ORIGIN_JOINED, FORT_ORIGIN_JOINED, 0);
	return true;
}
