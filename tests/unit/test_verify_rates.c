/* Rates against runs: states are made around a run's words, so whatever is concluded of them must
 * hold of these words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "step/rate.h"
#include "step/relate.h"

#define ROUNDS  100000
#define SYMBOLS 4u
#define VALUES  7u /* registers, and one more for sums */

static uint64_t random_state;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int64_t between(int64_t low, int64_t high)
{
	return low + (int64_t)(random_number() % (uint64_t)(high - low + 1));
}

/* A state, and the words that it is about. */
struct world {
	struct fort_arena arena;
	struct fort_pool pool;
	struct fort_state *state;
	uint64_t symbols[SYMBOLS + 2]; /* by their numbers, from 1; the last is that of a sum */
	uint64_t words[VALUES];
};

static struct fort_scalar around(uint64_t word)
{
	int64_t low = (int64_t)word, high = (int64_t)word;

	switch (random_number() % 4) {
	case 0: return fort_scalar_unknown();
	case 1: break;
	default:
		if (__builtin_sub_overflow(low, between(0, 20), &low))
			low = INT64_MIN;
		if (__builtin_add_overflow(high, between(0, 20), &high))
			high = INT64_MAX;
	}
	return fort_scalar_signed_range(low, high);
}

/* Mostly small; some are where sums of words wrap. */
static uint64_t some_word(void)
{
	if (random_number() % 8)
		return (uint64_t)between(-40, 40);
	return (random_number() % 2 ? INT64_MAX : (uint64_t)INT64_MIN) + (uint64_t)between(-4, 4);
}

static void make_values(struct world *w)
{
	for (uint32_t i = 1; i <= SYMBOLS; i++)
		w->symbols[i] = some_word();
	for (unsigned i = 0; i + 1 < VALUES; i++) {
		struct fort_value value = fort_value_unknown();

		value.sym = (uint32_t)between(1, SYMBOLS);
		value.delta = between(-6, 6);
		w->words[i] = w->symbols[value.sym] + (uint64_t)value.delta;
		value.num = around(w->words[i]);
		*fort_state_reg(w->state, i) = value;
	}
}

static struct fort_form some_form(const struct world *w, unsigned values, __int128 *is)
{
	struct fort_form form = {0};

	*is = 0;
	for (unsigned k = 0; k < FORT_RATE_TERMS; k++) {
		unsigned reg = (unsigned)between(0, values - 1);

		form.factor[k] = (int32_t)between(-3, 3);
		form.of[k] = form.factor[k] ? fort_state_reg(w->state, reg) : NULL;
		*is += (__int128)form.factor[k] * (int64_t)w->words[reg];
	}
	return form;
}

static void learn(struct world *w, unsigned n)
{
	while (n--) {
		__int128 is;
		struct fort_form form = some_form(w, VALUES - 1, &is);

		is += between(0, 3);
		if (is < INT64_MAX && is > INT64_MIN)
			fort_rate_note(w->state, &form, (int64_t)is);
	}
}

static void rates_hold(const struct world *w)
{
	for (uint32_t i = 0; i < w->state->n_rates; i++) {
		const struct fort_rate *rate = &w->state->rates[i];
		__int128 sum = 0;

		for (unsigned k = 0; k < FORT_RATE_TERMS; k++)
			sum += (__int128)rate->factor[k] * (int64_t)w->symbols[rate->sym[k]];
		assert_true(sum <= rate->most);
	}
	assert_true(fort_state_validate(w->state));
}

static void values_hold(const struct world *w, unsigned values)
{
	for (unsigned i = 0; i < values; i++)
		assert_true(fort_scalar_has(&fort_state_reg(w->state, i)->num, w->words[i]));
}

/* True when rates say more than numbers do. */
static bool asks(const struct world *w, unsigned values)
{
	__int128 is;
	struct fort_form form = some_form(w, values, &is);
	int64_t most = fort_rate_most(w->state, &form), numbers;
	uint32_t n = w->state->n_rates;

	w->state->n_rates = 0;
	numbers = fort_rate_most(w->state, &form);
	w->state->n_rates = n;
	assert_true(most == INT64_MAX || is <= most);
	assert_true(most <= numbers);
	return most < numbers;
}

/* r6 = one register plus another, as the rule for sums has it. */
static void add_up(struct world *w)
{
	unsigned a = (unsigned)between(0, VALUES - 2), b = (unsigned)between(0, VALUES - 2);
	struct fort_value x = *fort_state_reg(w->state, a), y = *fort_state_reg(w->state, b);
	struct fort_value sum = fort_value_unknown();

	if (!fort_value_is_near(&x) || !fort_value_is_near(&y))
		return;
	sum.num = fort_scalar_alu(FORT_OP_ADD, 64, &x.num, &y.num, false);
	sum.sym = SYMBOLS + 1;
	w->words[VALUES - 1] = w->symbols[SYMBOLS + 1] = w->words[a] + w->words[b];
	*fort_state_reg(w->state, VALUES - 1) = sum;
	fort_rate_moved(w->state, &x, &y, &sum);
	fort_rate_moved(w->state, &y, &x, &sum);
}

static bool one_world(struct world *w)
{
	bool more = false;

	fort_pool_init(&w->pool, &w->arena);
	w->state = fort_state_new(&w->pool);
	assert_non_null(w->state);
	assert_true(fort_state_push_frame(&w->pool, w->state, 0, 0));
	w->state->packet = w->state->meta = fort_value_number(fort_scalar_of_width(32));
	w->state->next_id = SYMBOLS + 2;
	make_values(w);
	learn(w, (unsigned)between(1, FORT_RATES_MAX + 2));
	rates_hold(w);
	for (unsigned i = 0; i < 4; i++)
		more |= asks(w, VALUES - 1);
	add_up(w);
	rates_hold(w);
	more |= fort_state_reg(w->state, VALUES - 1)->type && asks(w, VALUES);
	assert_true(fort_rate_spread(w->state, (uint32_t)between(0, SYMBOLS)));
	values_hold(w, fort_state_reg(w->state, VALUES - 1)->type ? VALUES : VALUES - 1);
	rates_hold(w);
	return more;
}

static void conclusions_hold(void **unused)
{
	struct world w = {0};
	struct fort_arena_mark mark;
	unsigned more = 0;

	(void)unused;
	fort_arena_init(&w.arena, 1u << 24);
	mark = fort_arena_mark(&w.arena);
	random_state = 0x2545f4914f6cdd1d;
	for (unsigned i = 0; i < ROUNDS; i++) {
		more += one_world(&w);
		fort_arena_rewind(&w.arena, mark);
	}
	print_message("# rates said more than numbers in %u of %u states\n", more, ROUNDS);
	assert_true(more > ROUNDS / 10);
	fort_arena_free(&w.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(conclusions_hold)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
