/* Crashes of a store's programs: where each counts its own, and what comes in from the processes
 * that they run in.
 */
#pragma once

#include <pthread.h>

#include "load/crash.h"

struct fort_event_object;
struct fort_prog_object;
struct fort_store;

struct fort_crashes {
	struct fort_map *ring;
	pthread_mutex_t lock; /* of the reader */
	struct fort_ring_reader reader;
	uint64_t lost; /* records that made no sense */
	/* Under the store's lock: who has which place of the shared table, and where a free one is
	 * looked for. */
	struct fort_prog_object *progs[FORT_CRASH_PLACES];
	uint32_t next;
};

FORT_CHECKED int fort_crashes_open(struct fort_store *store);
void fort_crashes_close(struct fort_store *store);

/* Gives a program a place to count in (prog->crash_place): none when all are taken. It is given
 * back before the program is freed. */
void fort_crashes_enter(struct fort_prog_object *prog);
void fort_crashes_leave(const struct fort_prog_object *prog);

/* Has the program's policy detached it? It cannot be attached any more. */
bool fort_crash_has_detached(const struct fort_prog_object *prog);
