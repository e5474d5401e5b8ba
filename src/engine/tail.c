#include "engine/tail.h"

#include <string.h>

static void clear(const struct fort_run *run, const struct fort_tail *tail, uint32_t from,
		  uint32_t to)
{
	uint64_t top = fort_domain_stack_top(tail->domain, run->slot) +
		       run->tails.level * FORT_LEVEL_BYTES;

	memset(fort_window_at(&tail->domain->window, top - to), 0, to - from);
}

/* What the program may find in its frames is its own, or of programs before it in this run. A level
 * that is returned to, and may be entered again, is cleared for all that this run enters there. */
static void clear_stack(struct fort_run *run, const struct fort_tail *tail)
{
	struct fort_run_tails *tails = &run->tails;
	uint32_t bytes = tails->level ? FORT_LEVEL_STACK_BYTES : tail->stack_bytes;

	if (tails->level > tails->deepest) {
		clear(run, tail, 0, bytes);
		tails->deepest = tails->level;
	} else if (!tails->level && bytes > tails->zeroed) {
		clear(run, tail, tails->zeroed, bytes);
	}
	if (bytes > tails->zeroed)
		tails->zeroed = bytes;
}

static void clear_and_bind(struct fort_run *run, const struct fort_tail *tail)
{
	uint32_t rights = fort_domain_enter(tail->domain);

	clear_stack(run, tail);
	fort_domain_leave(tail->domain, rights);
	fort_tail_bind(run, tail);
}

static const struct fort_tail *take(struct fort_run *run, const struct fort_engine *engine)
{
	const struct fort_tail *tail = run->tails.next;

	run->tails.next = NULL;
	if (tail && tail->engine == engine && run->tails.level < tail->domain->shape.n_levels)
		return tail;
	fort_run_abort(run, tail && tail->engine == engine ? FORT_ABORT_DEPTH : FORT_ABORT_TRAP, 0);
	return NULL;
}

bool fort_tail_enter_slowly(struct fort_run *run, const struct fort_engine *engine)
{
	const struct fort_tail *tail;

	fort_run_release_to(run, run->tails.n_held);
	tail = take(run, engine);
	if (tail)
		clear_and_bind(run, tail);
	return tail;
}

static void go_down(struct fort_run *run)
{
	run->tails.level++;
	run->tails.zeroed = 0;
	run->tails.n_held = run->n_held;
}

/* What the caller's frames go on with. */
struct binding {
	const struct fort_domain *domain;
	struct fort_map *const *maps;
	uint32_t n_maps;
	uint64_t *counts;
	void *engine;
	uint64_t ctx;
	const struct fort_tail *at;
	uint32_t level, zeroed, n_held;
};

static struct binding binding_of(const struct fort_run *run)
{
	return (struct binding){.domain = run->domain,
				.maps = run->maps,
				.n_maps = run->n_maps,
				.counts = run->counts,
				.engine = run->engine,
				.ctx = run->ctx,
				.at = run->tails.at,
				.level = run->tails.level,
				.zeroed = run->tails.zeroed,
				.n_held = run->tails.n_held};
}

static void bind_again(struct fort_run *run, const struct binding *binding)
{
	run->domain = binding->domain;
	run->maps = binding->maps;
	run->n_maps = binding->n_maps;
	run->counts = binding->counts;
	run->engine = binding->engine;
	run->ctx = binding->ctx;
	run->tails.level = binding->level;
	run->tails.zeroed = binding->zeroed;
	run->tails.n_held = binding->n_held;
	if (!run->tails.told)
		run->tails.at = binding->at;
}

uint64_t fort_tail_nest(struct fort_run *run, const struct fort_engine *engine)
{
	const struct binding caller = binding_of(run);
	const struct fort_tail *tail;
	uint64_t result = 0;

	go_down(run);
	tail = take(run, engine);
	if (tail) {
		clear_and_bind(run, tail);
		result = engine->run(tail->code, run);
		fort_run_release_to(run, run->tails.n_held);
		run->tails.told = run->abort.code;
	}
	bind_again(run, &caller);
	return result;
}
