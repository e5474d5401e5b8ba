/* A loaded program: proven, rewritten, placed in a domain of its own, compiled. It runs in slots,
 * several at a time.
 */
#pragma once

#include "engine/tail.h"
#include "harden/harden.h"
#include "load/crash.h"

struct fort_map;
struct fort_services;

struct fort_loaded;

/* Which of its runs a thread is in: odd while it is in one. Programs that were called by tail calls
 * may go once the number is another one, or even. One thread runs at a time. */
struct fort_grace {
	uint64_t serial;
};

struct fort_load_request {
	const struct fort_proven *proven; /* only for the call: what is needed is copied */
	struct fort_map *const *maps;     /* in the proof's order; they must outlive the program */
	const struct fort_engine *engine;
	enum fort_isolation isolation;
	uint32_t n_slots;
	uint32_t packet_bytes; /* largest packet of test runs; 0 for none */
	uint64_t fuel;         /* of one run */
	struct fort_crash_policy crash;
	/* Where crashes are counted; index FORT_CRASH_PLACES: by this program alone. */
	struct fort_crash_place crash_place;
	struct fort_shared *shared;  /* has the place; outlives the program; or NULL */
	bool seal;                   /* machine code stays for ever (engine/engine.h) */
	bool blind;                  /* constants are hidden in machine code (engine/engine.h) */
	struct fort_keys *keys;      /* if the isolation has them; they must outlive the program */
	bool counts;                 /* how often instructions run is counted (engine/run.h) */
	struct fort_code_pool *pool; /* as in struct fort_compile */
	const char *cache;           /* the same */
	struct fort_arena *scratch;  /* the same */
	bool tails;                  /* it may be part of tail calls: stacks have room for that */
	struct fort_spares *spares;  /* as in struct fort_domain_layout */
	/* What the program lies in as far as it goes: aligned to 16, outlives it. NULL: pages of
	 * its own. */
	void *memory;
	size_t memory_bytes;
};

/* What a program of so many instructions and few maps lies in. */
#define FORT_LOADED_BYTES(n_insns) \
	(sizeof(struct fort_loaded) + (n_insns) * sizeof(struct fort_insn) + 1024)

struct fort_loaded {
	struct fort_arena arena; /* of everything here but maps */
	struct fort_hardened hardened;
	struct fort_domain domain;
	const struct fort_engine *engine;
	struct fort_code *code;
	enum fort_isolation isolation;
	struct fort_map *const *maps;
	uint32_t n_maps;
	uint64_t fuel;
	struct fort_crash_policy crash;
	struct fort_crash_counter crashes;
	uint64_t own_crashes;     /* counted here without a place */
	uint64_t *counts;         /* of each slot of the program, by all runs; or NULL */
	uint32_t stack_bytes;     /* to be zeroed before a run */
	struct fort_tail tail;    /* itself, for those that call it */
	struct fort_grace *grace; /* of runs that may make tail calls, not owned; or NULL */
	bool pins;                /* some map needs a seat to be entered */
	uint8_t binding[FORT_SHA256_BYTES];
};

/* Returns 0, -ENOMEM, -ENOSPC (the maps do not fit a 4 GiB window), -EBADMSG when the maps are not
 * those of the proof, -EOPNOTSUPP for a program that cannot run yet (load/runs.h), or what the
 * engine says. */
FORT_CHECKED int fort_loaded_open(const struct fort_load_request *request,
				  struct fort_loaded **out);
/* Not while it runs. NULL is fine. */
void fort_loaded_close(struct fort_loaded *loaded);

/* Where the context image of a slot is, in this process. */
void *fort_loaded_ctx(const struct fort_loaded *loaded, uint32_t slot);

/* Runs once in a slot that is the caller's for the time. The context image is in place; `run` is
 * overwritten but for `hit` and `packet`. Whatever the program held at its end was given back.
 * Returns r0, which means nothing when run->abort.code says that the run ended early, or,
 * FORT_ABORT_QUARANTINE, that it did not begin.
 */
uint64_t fort_loaded_run(const struct fort_loaded *loaded, uint32_t slot,
			 struct fort_services *services, struct fort_run *run);

/* Waits until no run is under way that was when this is called: not by a thread that runs. */
void fort_grace_wait(const struct fort_grace *grace);

/* Did its policy end its runs, after too many that ended early? */
static inline bool fort_loaded_is_stopped(const struct fort_loaded *loaded)
{
	return fort_crash_stopped(&loaded->crash, &loaded->crashes);
}
/* And is nothing of it to stay attached? */
static inline bool fort_loaded_is_detached(const struct fort_loaded *loaded)
{
	return loaded->crash.actions & FORT_CRASH_DETACH && fort_loaded_is_stopped(loaded);
}
