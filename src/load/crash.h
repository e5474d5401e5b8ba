/* Runs that end early: what becomes of the program, and how its owner hears of it.
 *
 * A run that is aborted was proven not to need it (or was not proven): the next one is not likely
 * to do better. The policy that a program is loaded with says after how many of them something is
 * done about it, and what. They are counted by all processes of a store together, in the table that
 * these share, so that the policy is applied at exactly that number, once; each is told as one
 * record of a ring that the store reads.
 *
 * Whoever shares the table can make others count wrongly: a program that is stopped too early or
 * too late. The program itself cannot reach it.
 */
#pragma once

#include "engine/run.h"
#include "map/ring.h"

enum fort_crash_action {
#define FORT_CRASH_ACTION(id, bit, name, stops, text) FORT_CRASH_##id = 1u << (bit),
#include "load/crash.def"
};

/* All of them; and those that end the program's runs. */
enum {
	FORT_CRASH_ALL = 0
#define FORT_CRASH_ACTION(id, bit, name, stops, text) | 1u << (bit)
#include "load/crash.def"
	,
	FORT_CRASH_STOPPING = 0
#define FORT_CRASH_ACTION(id, bit, name, stops, text) | (stops) << (bit)
#include "load/crash.def"
};

/* Zeros: crashes are counted and told, and nothing is done. */
struct fort_crash_policy {
	uint32_t after;   /* at so many runs that ended early; 0: never */
	uint32_t actions; /* FORT_CRASH_* */
};

/* The bits of "quarantine", "detach,mark", ... or of "keep", none of them. 0, or -EINVAL. */
FORT_CHECKED int fort_crash_actions_by_name(const char *names, uint32_t *out);
const char *fort_crash_action_name(uint32_t bit);
const char *fort_crash_action_text(uint32_t bit);

/* Where the crashes of a program are counted: a place of the shared table, as long as its
 * generation is this one. */
struct fort_crash_place {
	uint32_t index; /* FORT_CRASH_PLACES: none, this process counts by itself */
	uint32_t generation;
};

struct fort_crash_counter {
	struct fort_crash_place place;
	uint64_t *word;
};

/* What the count begins with, in a place that is given to another program; its new generation. */
uint32_t fort_crash_place_open(struct fort_shared *shared, uint32_t index);

/* How many there were; UINT32_MAX when the place has been given to another program. */
static inline uint32_t fort_crash_count(const struct fort_crash_counter *counter)
{
	uint64_t word = __atomic_load_n(counter->word, __ATOMIC_RELAXED);

	return word >> 32 == counter->place.generation ? (uint32_t)word : UINT32_MAX;
}
/* Is the program stopped? */
static inline bool fort_crash_stopped(const struct fort_crash_policy *policy,
				      const struct fort_crash_counter *counter)
{
	return policy->after && policy->actions & FORT_CRASH_STOPPING &&
	       fort_crash_count(counter) >= policy->after;
}

/* One crash, as it is in the ring. The store fills in what it knows of the place's program. */
struct fort_crash_event {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t address; /* as struct fort_abort has these */
	uint32_t code, pc, bytes, detail;
	struct fort_crash_place place;
	uint32_t pid, tid;
	uint32_t crashes; /* with this one */
	uint32_t actions; /* that it was the occasion of: FORT_CRASH_* */
	char comm[16];    /* of the thread; filled with zeros, terminated */
};
_Static_assert(sizeof(struct fort_crash_event) == 72, "shared layout");

/* The ring. Its reader is a fort_ring_reader with room for one event. */
FORT_CHECKED int fort_crash_ring_create(struct fort_shared *shared, struct fort_map **out);
FORT_CHECKED int fort_crash_ring_open(int values_fd, int meta_fd, struct fort_shared *shared,
				      struct fort_map **out);

/* A run of a program with these maps has ended early: counts it, does to its maps what the policy
 * says, and tells. Called by the thread that ran, with nothing of the run held any more. */
void fort_crash_note(const struct fort_crash_policy *policy,
		     const struct fort_crash_counter *counter, const struct fort_run *run);
