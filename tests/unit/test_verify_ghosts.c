/* What a claim says of a ghost, a number that a loop remembers, must hold of one that was set. If a
 * ghost that was never set were any number for each of the facts by itself, a certificate could
 * bound real numbers by it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proof/cover.h"
#include "step/rate.h"
#include "step/relate.h"

#define LAST 7

struct world {
	struct fort_arena arena;
	struct fort_pool pool;
};

/* r0 is in [0, 1000]; with a ghost in [0, LAST], if there is one. */
static struct fort_state *new_state(struct world *w, bool with_ghost)
{
	struct fort_state *state = fort_state_new(&w->pool);
	struct fort_value number = fort_value_number(fort_scalar_range(0, 1000)), ghost;

	assert_non_null(state);
	assert_true(fort_state_push_frame(&w->pool, state, 0, 0));
	state->packet = state->meta = fort_value_number(fort_scalar_of_width(32));
	number.sym = 1;
	*fort_state_reg(state, FORT_R0) = number;
	state->next_id = 3;
	state->unset_below = 1;
	ghost = fort_value_number(fort_scalar_range(0, LAST));
	ghost.sym = 2;
	if (with_ghost)
		assert_true(fort_state_remember(&w->pool, state, 0, &ghost));
	return state;
}

/* r0 is at most the ghost. */
static void relate(struct fort_state *state, bool by_rate)
{
	const struct fort_value *r0 = fort_state_reg(state, FORT_R0);
	const struct fort_value *ghost = &state->ghosts[0].value;
	const struct fort_form form = {.of = {r0, ghost}, .factor = {1, -1}};

	if (by_rate)
		fort_rate_note(state, &form, 0);
	else
		fort_relate_note(state, r0, NULL, ghost, 0);
	assert_true(fort_relate_most(state, r0, NULL, NULL) == 1000);
	assert_int_equal(by_rate ? state->n_rates : state->n_facts, 1);
}

static void open_world(struct world *w)
{
	*w = (struct world){0};
	fort_arena_init(&w->arena, 1u << 24);
	fort_pool_init(&w->pool, &w->arena);
}

static void claimed_ghosts_were_set(void **unused)
{
	struct world w;

	(void)unused;
	open_world(&w);
	for (unsigned by_rate = 0; by_rate < 2; by_rate++) {
		struct fort_state *claimed = new_state(&w, true), *set = new_state(&w, true);
		struct fort_state *unset = new_state(&w, false);

		assert_true(fort_state_covers(&w.pool, claimed, set));
		assert_false(fort_state_covers(&w.pool, claimed, unset));
		relate(claimed, by_rate);
		assert_false(fort_state_covers(&w.pool, claimed, unset));
		assert_false(fort_state_covers(&w.pool, claimed, set));
		relate(set, by_rate);
		assert_true(fort_state_covers(&w.pool, claimed, set));
	}
	fort_arena_free(&w.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(claimed_ghosts_were_set)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
