#include "verify/example.h"

#include <errno.h>

#include "step/relate.h"
#include "verify/effect.h"
#include "verify/render.h"

/* Of a number the ends are tried, signed and not: what is refused for some, is for one of these. */
enum { ENDS = 4 };
/* So many numbers that vary are tried in all combinations; of others the greatest is taken. */
#define VARYING_MAX 3u

static bool is_about_numbers(enum fort_diag diag)
{
	switch (diag) {
	case FORT_DIAG_MISALIGNED_ATOMIC:
	case FORT_DIAG_ARG_MISALIGNED:
	case FORT_DIAG_MEM_MIN_NEGATIVE:
	case FORT_DIAG_MEM_MIN:
	case FORT_DIAG_MEM_UNBOUNDED:
	case FORT_DIAG_MEM_MAX:
	case FORT_DIAG_VALUE_BOUNDS:
	case FORT_DIAG_RING_BOUNDS:
	case FORT_DIAG_MEM_BOUNDS:
	case FORT_DIAG_KEY_BOUNDS:
	case FORT_DIAG_STACK_BOUNDS:
	case FORT_DIAG_STACK_VAR_BOUNDS:
	case FORT_DIAG_STACK_UNBOUNDED:
	case FORT_DIAG_PACKET_MIN_NEGATIVE:
	case FORT_DIAG_PACKET_BOUNDS:
	case FORT_DIAG_SIZE_NEGATIVE:
	case FORT_DIAG_SIZE_ZERO:
	case FORT_DIAG_SIZE_UNBOUNDED:
	case FORT_DIAG_RESULT_RANGE:
	case FORT_DIAG_CALLBACK_RETURN:
	case FORT_DIAG_ASYNC_RETURN: return true;
	default: return false;
	}
}

static bool is_null_use(const struct fort_violation *v)
{
	return v->reg < FORT_REGS && v->value.flags & FORT_MAYBE_NULL;
}

/* --- what is to get a number --- */

static struct fort_value *value_of(const struct fort_state *state,
				   const struct fort_example_item *item)
{
	return item->kind == FORT_EXAMPLE_PACKET ? (struct fort_value *)&state->packet
						 : fort_state_reg(state, item->reg);
}

static void add_item(struct fort_example *out, enum fort_example_kind kind, unsigned reg)
{
	if (out->n < FORT_EXAMPLE_MAX)
		out->items[out->n++] =
			(struct fort_example_item){.kind = (uint8_t)kind, .reg = (uint8_t)reg};
}

static void add_register(const struct fort_violation *v, const struct fort_state *state,
			 unsigned reg, struct fort_example *out)
{
	const struct fort_value *value = fort_state_reg(state, reg);

	if (is_null_use(v) && reg == v->reg)
		add_item(out, FORT_EXAMPLE_NULL, reg);
	else if (value->type == FORT_NUM)
		add_item(out, FORT_EXAMPLE_NUMBER, reg);
	else if (fort_value_is_pointer(value) && reg != FORT_R10)
		add_item(out, FORT_EXAMPLE_OFFSET, reg);
}

/* What the instruction uses; of NULL only the pointer matters. */
static void find_items(const struct fort_search *s, struct fort_example *out)
{
	const struct fort_violation *v = &s->result->violation;
	const struct fort_state *state = s->result->state;
	struct fort_effect_room room;
	struct fort_effect effect;
	uint16_t regs;

	fort_effect_before(s->env, state, v->pc, &room, &effect);
	regs = is_null_use(v) ? 0 : effect.uses;
	if (v->reg < FORT_REGS)
		regs |= (uint16_t)(1u << v->reg);
	for (unsigned r = 0; r < FORT_REGS; r++)
		if (regs >> r & 1)
			add_register(v, state, r, out);
	if (v->diag == FORT_DIAG_PACKET_BOUNDS)
		add_item(out, FORT_EXAMPLE_PACKET, FORT_REGS);
}

/* --- trying numbers --- */

static uint64_t end_of(const struct fort_scalar *num, unsigned end)
{
	switch (end) {
	case 0: return (uint64_t)fort_scalar_smax(num);
	case 1: return (uint64_t)fort_scalar_smin(num);
	case 2: return fort_scalar_umax(num);
	default: return fort_scalar_umin(num);
	}
}

/* The item gets one of its numbers; false when what is known leaves none such. */
static bool assign(struct fort_state *state, struct fort_example_item *item, unsigned end)
{
	struct fort_value *value = value_of(state, item);
	struct fort_scalar exact;

	if (item->kind == FORT_EXAMPLE_NULL) {
		*value = fort_value_const(0);
		return true;
	}
	item->number = (int64_t)end_of(&value->num, end);
	if (!fort_scalar_has(&value->num, (uint64_t)item->number))
		return false; /* an end of a range that has gaps */
	exact = fort_scalar_const((uint64_t)item->number);
	return value->sym ? fort_relate_narrow(state, value->sym, value->delta, &exact)
			  : fort_scalar_meet(&value->num, &exact);
}

/* With these numbers: does the instruction do harm? */
static bool is_refused(struct fort_search *s, struct fort_state *state)
{
	struct fort_step step = {0};

	s->err = fort_step(s->env, &s->pool, state, s->result->violation.pc, &step);
	if (s->err)
		return false;
	if (step.outcome == FORT_STEP_FORK)
		fort_state_free(&s->pool, step.other);
	return step.outcome == FORT_STEP_BAD &&
	       fort_diag_info((enum fort_diag)step.violation.diag)->class <= FORT_CLASS_RULE;
}

/* `choice` has two bits for each number that varies: which of its ends. */
static bool try(struct fort_search *s, unsigned choice, struct fort_example *out)
{
	struct fort_state *state = fort_state_clone(&s->pool, s->result->state);
	bool good = state != NULL;

	if (!state)
		s->err = -ENOMEM;
	for (uint32_t i = 0; good && i < out->n; i++) {
		bool varies = !fort_scalar_is_const(&value_of(state, &out->items[i])->num);

		good = assign(state, &out->items[i], varies ? choice % ENDS : 0);
		choice = varies ? choice / ENDS : choice;
	}
	good = good && is_refused(s, state);
	if (state)
		fort_state_free(&s->pool, state);
	return good;
}

int fort_example_find(struct fort_search *s, struct fort_example *out)
{
	const struct fort_violation *v = &s->result->violation;
	unsigned choices = 1;

	*out = (struct fort_example){0};
	if (!s->result->retraced || !s->result->state ||
	    (!is_about_numbers((enum fort_diag)v->diag) && !is_null_use(v)))
		return 0;
	find_items(s, out);
	for (uint32_t i = 0; i < out->n && i < VARYING_MAX; i++)
		choices *= ENDS;
	for (unsigned choice = 0; out->n && choice < choices; choice++) {
		if (try(s, choice, out))
			return 0;
		if (s->err)
			return s->err;
	}
	out->n = 0;
	return 0;
}
