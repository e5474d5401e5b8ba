/* Tail calls: another program goes on in the place of the one that runs.
 *
 * A program has a window of its own, and what is compiled for it names nothing else. So the program
 * that goes on runs in its own, and the run is bound to that: window, maps, counters. What a run
 * has of memory (stack, context, packet) lies at the same offsets in both windows, and is the same
 * memory (isolate/domain.h); nothing is copied, and a pointer into it that the context holds means
 * the same to whoever follows, by its low 32 bits under confinement, by all of them without.
 *
 * bpf_tail_call is a helper like others, which checks its arguments and finds the program; it
 * leaves that in run->tails.next, and 1 in r0. Engines look there behind it:
 *
 *   program   its outermost frame ends, and with it everything of it: the next one is entered as if
 *             it were the first (fort_tail_enter). No engine grows its stack for that.
 *   function  its frame ends, and the next program returns to its caller, as in the kernel. The
 *             caller's window and maps are its own: so this is a run inside of the run
 *             (fort_tail_nest), on a stack of its own: the next level of the slot. There are as
 *             many as FORT_TAIL_CALLS_MAX lets go down.
 *
 * Fuel, the time limit and the count of tail calls are the run's. What a program still holds when
 * it ends, it loses. An abort is that of the program it happened in (run->tails.at).
 */
#pragma once

#include "engine/engine.h"

/* A program that can be called. Whoever runs keeps it from going away meanwhile. */
struct fort_tail {
	const struct fort_engine *engine;
	const struct fort_code *code;
	const struct fort_domain *domain;
	struct fort_map *const *maps;
	uint32_t n_maps;
	uint64_t ctx, stack_top; /* of slot 0, in which programs that are called run */
	uint32_t id;             /* for reports */
	uint64_t *counts;
	uint32_t stack_bytes; /* that its frames may come to */
	enum fort_isolation isolation;
	/* It is not called any more once this many runs of it ended early (0: never mind). They are
	 * the low half of *crashes, as long as the upper half is the generation. */
	uint32_t crashes_max, generation;
	const uint64_t *crashes;
};

static inline bool fort_tail_is_barred(const struct fort_tail *tail)
{
	uint64_t word;

	if (FORT_LIKELY(!tail->crashes_max))
		return false;
	word = __atomic_load_n(tail->crashes, __ATOMIC_RELAXED);
	return word >> 32 != tail->generation || (uint32_t)word >= tail->crashes_max;
}

/* The run is this program's. */
static inline void fort_tail_bind(struct fort_run *run, const struct fort_tail *tail)
{
	run->domain = tail->domain;
	run->maps = tail->maps;
	run->n_maps = tail->n_maps;
	run->counts = tail->counts;
	run->ctx = tail->ctx;
	run->tails.at = tail;
}

/* The same where there is something to be given back, cleared or refused. */
FORT_CHECKED bool fort_tail_enter_slowly(struct fort_run *run, const struct fort_engine *engine);

/* Takes what is to be entered next, and binds the run to it. False, with the run aborted as a trap,
 * when there is nothing that this engine could enter: code that has gone wrong.
 */
FORT_CHECKED static inline bool fort_tail_enter(struct fort_run *run,
						const struct fort_engine *engine)
{
	const struct fort_tail *tail = run->tails.next;

	if (FORT_UNLIKELY(!tail || tail->engine != engine || run->n_held > run->tails.n_held ||
			  tail->stack_bytes > run->tails.zeroed))
		return fort_tail_enter_slowly(run, engine);
	run->tails.next = NULL;
	fort_tail_bind(run, tail);
	return true;
}

/* Enters it from a function's frame, to its end; the run is bound as before, then. Returns r0.
 * Where the slot has no such level, it ends the run. run->engine is as it was. */
uint64_t fort_tail_nest(struct fort_run *run, const struct fort_engine *engine);
