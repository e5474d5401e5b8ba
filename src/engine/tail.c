#include "engine/tail.h"

#include <string.h>

/* What the program may find in its frames is its own, or of programs before it in this run. */
static void clear_stack(struct fort_run *run, const struct fort_tail *tail)
{
	uint32_t end = run->tails.used + tail->stack_bytes, zeroed = run->tails.zeroed;
	uint64_t top = fort_domain_stack_top(tail->domain, run->slot);

	if (end <= zeroed)
		return;
	memset(fort_window_at(&tail->domain->window, top - end), 0, end - zeroed);
	run->tails.zeroed = end;
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
	if (tail && tail->engine == engine &&
	    run->tails.used + tail->stack_bytes <= tail->domain->shape.stack_bytes)
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

/* r10 is the engine's own, not the program's: it lies in the slot's stack. */
static void go_down(struct fort_run *run, uint64_t r10)
{
	run->tails.used = (uint32_t)fort_domain_stack_top(run->domain, run->slot) - (uint32_t)r10;
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
	uint32_t used, n_held;
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
				.used = run->tails.used,
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
	run->tails.used = binding->used;
	run->tails.n_held = binding->n_held;
	if (!run->tails.told)
		run->tails.at = binding->at;
}

uint64_t fort_tail_nest(struct fort_run *run, const struct fort_engine *engine, uint64_t r10)
{
	const struct binding caller = binding_of(run);
	const struct fort_tail *tail;
	uint64_t result = 0;

	go_down(run, r10);
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
