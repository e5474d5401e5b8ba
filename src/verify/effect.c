#include "verify/effect.h"

#include <string.h>

#include "abi/uapi.h"

static uint16_t bit(unsigned reg)
{
	return (uint16_t)(1u << reg);
}

static bool is_number(const struct fort_state *state, unsigned reg)
{
	return fort_state_reg(state, reg)->type == FORT_NUM;
}

/* --- stack memory --- */

/* Slots that [low, high) touches. */
static uint64_t slots_of(int64_t low, int64_t high)
{
	uint64_t mask = 0;

	if (low < -(int64_t)FORT_STACK_BYTES)
		low = -(int64_t)FORT_STACK_BYTES;
	for (int64_t off = low; off < high && off < 0; off++)
		mask |= 1ull << ((-off - 1) / 8);
	return mask;
}

/* Slots that it covers completely. */
static uint64_t whole_slots_of(int64_t low, int64_t high)
{
	return slots_of(low, high) & ~slots_of(low - 7, low) & ~slots_of(high, high + 7) &
	       (low % 8 ? ~slots_of(low, low + 1) : ~0ull) &
	       (high % 8 ? ~slots_of(high - 1, high) : ~0ull);
}

/* The entry of a frame, new if need be; a spare one when the list is full. */
static struct fort_cells *cells_of(struct fort_cell_list *list, uint32_t frame)
{
	for (unsigned i = 0; i < list->n; i++)
		if (list->cells[i].frame == frame)
			return &list->cells[i];
	if (list->n == FORT_EFFECT_CELLS) {
		list->over = true;
		return &list->cells[FORT_EFFECT_CELLS - 1];
	}
	list->cells[list->n] = (struct fort_cells){.frame = (uint8_t)frame};
	return &list->cells[list->n++];
}

static void add_cells(struct fort_cell_list *list, uint32_t frame, uint16_t regs, uint64_t slots)
{
	struct fort_cells *cells = cells_of(list, frame);

	cells->regs |= regs;
	cells->slots |= slots;
}

static void add_reg(struct fort_cell_list *list, const struct fort_state *state, uint32_t frame,
		    unsigned reg)
{
	struct fort_cells *cells = cells_of(list, frame);

	cells->regs |= bit(reg);
	if (fort_value_is_pointer(&state->frames[frame]->regs[reg]))
		cells->pointer_regs |= bit(reg);
}

static void add_slot(struct fort_cell_list *list, const struct fort_state *state, uint32_t frame,
		     uint32_t slot)
{
	struct fort_cells *cells = cells_of(list, frame);

	cells->slots |= 1ull << slot;
	if (fort_value_is_pointer(&state->frames[frame]->slots[slot].spill))
		cells->pointer_slots |= 1ull << slot;
}

/* Where an access of `bytes` through a register goes, if it goes to a stack. */
static bool stack_access(const struct fort_state *state, unsigned reg, int32_t off, uint64_t bytes,
			 int64_t *low, int64_t *high)
{
	const struct fort_value *base = fort_state_reg(state, reg);

	if (base->type != FORT_STACK || bytes > FORT_STACK_BYTES)
		return false;
	/* Far away from any stack: it is not allowed. */
	if (fort_scalar_smin(&base->num) < -(int64_t)FORT_PTR_OFFSET_MAX ||
	    fort_scalar_smax(&base->num) > (int64_t)FORT_PTR_OFFSET_MAX)
		return false;
	*low = fort_scalar_smin(&base->num) + off;
	*high = fort_scalar_smax(&base->num) + off + (int64_t)bytes;
	return true;
}

static void read_stack(const struct fort_state *state, unsigned reg, int32_t off, uint64_t bytes,
		       struct fort_effect *effect)
{
	int64_t low, high;

	if (stack_access(state, reg, off, bytes, &low, &high))
		add_cells(&effect->reads, fort_state_reg(state, reg)->frame, 0,
			  slots_of(low, high));
}

static void load_effect(const struct fort_state *state, const struct fort_insn *insn,
			struct fort_effect *effect)
{
	effect->uses |= bit(insn->src);
	effect->defs |= bit(insn->dst);
	effect->reads_flow = true;
	read_stack(state, insn->src, insn->off, insn->bits / 8, effect);
}

static void store_effect(const struct fort_state *state, const struct fort_insn *insn,
			 struct fort_effect *effect)
{
	int64_t low, high;

	effect->uses |= bit(insn->dst);
	if (insn->kind != FORT_ST) {
		effect->uses |= bit(insn->src);
		effect->flow |= bit(insn->src);
	}
	if (!stack_access(state, insn->dst, insn->off, insn->bits / 8, &low, &high))
		return;
	effect->slot_frame = fort_state_reg(state, insn->dst)->frame;
	effect->slots_touched = slots_of(low, high);
	if (high - low == insn->bits / 8)
		effect->slots_written = whole_slots_of(low, high);
}

static void atomic_effect(const struct fort_state *state, const struct fort_insn *insn,
			  struct fort_effect *effect)
{
	effect->uses |= bit(insn->dst) | bit(insn->src);
	if (fort_insn_uses(insn, '0')) {
		effect->uses |= bit(FORT_R0);
		effect->defs |= bit(FORT_R0);
	}
	if (fort_insn_uses(insn, 's'))
		effect->defs |= bit(insn->src);
	effect->reads_exact = true;
	read_stack(state, insn->dst, insn->off, insn->bits / 8, effect);
}

/* --- arithmetic --- */

/* Packet pointers that are made of this number already may lend their proven bytes. */
static void lenders(const struct fort_state *state, uint32_t sym, struct fort_effect *effect)
{
	for (uint32_t f = 0; sym && f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		for (unsigned r = 0; r < FORT_R10; r++)
			if (fort_value_is_pointer(&frame->regs[r]) && frame->regs[r].sym == sym)
				add_reg(&effect->reads, state, f, r);
		for (uint32_t s = 0; s < frame->n_slots; s++)
			if (fort_value_is_pointer(&frame->slots[s].spill) &&
			    frame->slots[s].spill.sym == sym)
				add_slot(&effect->reads, state, f, s);
	}
}

static void alu_effect(const struct fort_state *state, const struct fort_insn *insn,
		       struct fort_effect *effect)
{
	bool copies =
		insn->kind == FORT_MOV_K || insn->kind == FORT_MOV_X || insn->kind == FORT_MOVSX;
	bool reads_src =
		insn->kind == FORT_ALU_X || insn->kind == FORT_MOV_X || insn->kind == FORT_MOVSX;
	uint16_t sources = 0;

	if (reads_src)
		sources |= bit(insn->src);
	if (!copies)
		sources |= bit(insn->dst);
	effect->uses |= sources;
	effect->flow |= sources;
	effect->defs |= bit(insn->dst);
	/* A number that moves a pointer becomes part of it. */
	if (insn->kind == FORT_ALU_X &&
	    is_number(state, insn->src) != is_number(state, insn->dst)) {
		unsigned number = is_number(state, insn->src) ? insn->src : insn->dst;

		effect->exact |= bit(number);
		lenders(state, fort_state_reg(state, number)->sym, effect);
	}
}

/* --- comparisons --- */

static bool is_relative(const struct fort_value *value, const uint32_t syms[2])
{
	return value->type != FORT_NONE && value->sym &&
	       (value->sym == syms[0] || value->sym == syms[1]);
}

static void add_relatives(const struct fort_state *state, const uint32_t syms[2],
			  struct fort_cell_list *links)
{
	for (uint32_t f = 0; f < state->n_frames; f++) {
		const struct fort_frame *frame = state->frames[f];

		for (unsigned r = 0; r < FORT_R10; r++)
			if (is_relative(&frame->regs[r], syms))
				add_reg(links, state, f, r);
		for (uint32_t s = 0; s < frame->n_slots; s++)
			if (frame->slots[s].bytes[0] == FORT_BYTE_SPILL &&
			    is_relative(&frame->slots[s].spill, syms))
				add_slot(links, state, f, s);
	}
}

static void branch_effect(const struct fort_state *state, const struct fort_insn *insn,
			  struct fort_effect *effect)
{
	uint16_t operands = bit(insn->dst);
	uint32_t syms[2] = {fort_state_reg(state, insn->dst)->sym, 0};
	bool numbers = is_number(state, insn->dst);

	if (insn->kind == FORT_JCC_X) {
		operands |= bit(insn->src);
		syms[1] = fort_state_reg(state, insn->src)->sym;
		/* A pointer compared with a number: which number decides. */
		if (numbers != is_number(state, insn->src))
			effect->exact |= numbers ? bit(insn->dst) : bit(insn->src);
		numbers &= is_number(state, insn->src);
	}
	effect->uses |= operands;
	if (!numbers)
		return;
	effect->compares = true;
	add_cells(&effect->links, state->n_frames - 1, operands, 0);
	add_relatives(state, syms, &effect->links);
}

/* --- calls --- */

/* A global function is not entered: all that is left of it is a number. */
static void local_effect(const struct fort_env *env, const struct fort_insn *insn, uint32_t pc,
			 struct fort_effect *effect)
{
	const struct fort_program *program = &env->graph->program;
	int callee = fort_subprog_at(program, fort_insn_target(insn, pc));

	if (callee >= 0 && fort_env_linkage(env, (uint32_t)callee) == FORT_LINKAGE_GLOBAL)
		effect->defs |= 0x3f; /* r0 to r5 */
	else
		effect->kind = FORT_EFFECT_CALL;
}

/* Bytes of memory that an argument is about, as far as the state says; 0 for no memory. */
static uint64_t memory_bytes(const struct fort_state *state, const struct fort_helper_info *helper,
			     const struct fort_map_shape *map, unsigned reg)
{
	const struct fort_arg_info *info = &fort_args[helper->args[reg - 1]];

	switch (info->base) {
	case FORT_BASE_KEY: return map ? map->key_bytes : 0;
	case FORT_BASE_VALUE: return map ? map->value_bytes : 0;
	case FORT_BASE_MEM:
		return info->bytes ? info->bytes
				   : fort_scalar_umax(&fort_state_reg(state, reg + 1)->num);
	default: return 0;
	}
}

/* The map argument, if it is there. */
static const struct fort_map_shape *map_of(const struct fort_env *env,
					   const struct fort_state *state,
					   const struct fort_helper_info *helper)
{
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++) {
		const struct fort_value *value = fort_state_reg(state, reg);

		if (helper->args[reg - 1] == FORT_ARG_MAP && value->type == FORT_MAP &&
		    value->object < env->n_maps + env->n_inner)
			return &env->maps[value->object];
	}
	return NULL;
}

static void helper_effect(const struct fort_env *env, const struct fort_state *state,
			  const struct fort_insn *insn, struct fort_effect *effect)
{
	const struct fort_helper_info *helper = fort_helper_for((uint32_t)insn->imm, &env->hook);
	const struct fort_map_shape *map = helper ? map_of(env, state, helper) : NULL;

	for (unsigned reg = FORT_R1; helper && reg <= FORT_R5; reg++) {
		const struct fort_arg_info *info = &fort_args[helper->args[reg - 1]];

		if (info->base == FORT_BASE_NONE || info->base == FORT_BASE_ANY_OPT)
			continue;
		effect->uses |= bit(reg);
		if (info->base == FORT_BASE_SIZE || info->base == FORT_BASE_CONST_SIZE)
			effect->exact |= bit(reg);
		if (!(info->flags & FORT_ARG_UNINIT))
			read_stack(state, reg, 0, memory_bytes(state, helper, map, reg), effect);
		/* Which index decides whether there is a value. */
		if (info->base == FORT_BASE_KEY && map && helper->returns == FORT_RET_MAP_VALUE)
			effect->reads_exact |= map->type == BPF_MAP_TYPE_ARRAY ||
					       map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
	}
	effect->defs |= 0x3f; /* r0 to r5 */
}

static void legacy_effect(const struct fort_insn *insn, struct fort_effect *effect)
{
	effect->uses |= bit(FORT_R6) | (insn->kind == FORT_LDIND ? bit(insn->src) : 0);
	effect->defs |= 0x3f;
}

void fort_effect_before(const struct fort_env *env, const struct fort_state *state, uint32_t pc,
			struct fort_effect_room *room, struct fort_effect *out)
{
	const struct fort_insn *insn = &env->graph->program.insns[pc];

	memset(out, 0, sizeof(*out));
	out->reads.cells = room->reads;
	out->links.cells = room->links;
	out->frame = (uint8_t)(state->n_frames - 1);
	switch (insn->kind) {
	case FORT_LDIMM: out->defs |= bit(insn->dst); break;
	case FORT_LDX:
	case FORT_LDACQ: load_effect(state, insn, out); break;
	case FORT_ST:
	case FORT_STX:
	case FORT_STREL: store_effect(state, insn, out); break;
	case FORT_ATOMIC: atomic_effect(state, insn, out); break;
	case FORT_JCC_K:
	case FORT_JCC_X: branch_effect(state, insn, out); break;
	case FORT_CALL:
		if (insn->op == FORT_OP_LOCAL)
			local_effect(env, insn, pc, out);
		else
			helper_effect(env, state, insn, out);
		break;
	case FORT_EXIT:
		if (state->n_frames > 1)
			out->kind = FORT_EFFECT_RETURN;
		else
			out->uses |= bit(FORT_R0);
		break;
	case FORT_LDABS:
	case FORT_LDIND: legacy_effect(insn, out); break;
	case FORT_JA:
	case FORT_MAY_GOTO: break;
	default: alu_effect(state, insn, out); break;
	}
}

void fort_effect_after(const struct fort_step *step, struct fort_effect *effect)
{
	/* One side cannot happen: the numbers said so, or those related to them. */
	effect->decided = effect->compares && step->outcome != FORT_STEP_FORK;
}
