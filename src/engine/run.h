/* One run of a program: its place in the domain, its fuel, what it holds, how it ended.
 *
 * A run lives in host memory, never in the window. Engines keep BPF registers to themselves; all
 * that helpers and the abort path need is here.
 */
#pragma once

#include "base/compiler.h"
#include "base/limits.h"
#include "isolate/domain.h"

struct fort_run;
struct fort_held;
struct fort_map;
struct fort_services;
struct fort_tail;

/* Why a run ended early. ABI of reports: add at the end. */
enum fort_abort_code {
	FORT_ABORT_NONE,
	FORT_ABORT_FUEL,       /* the budget of back edges and calls is used up */
	FORT_ABORT_MEMORY,     /* access outside what the domain allows */
	FORT_ABORT_HELPER_ARG, /* a helper refused an argument; `detail` is its position, 1..5 */
	FORT_ABORT_HELPER,     /* a helper that the program may not call; `detail` its number */
	FORT_ABORT_DEPTH,      /* more than FORT_FRAMES_MAX frames */
	FORT_ABORT_INSN,       /* an instruction no engine runs */
	FORT_ABORT_HELD,       /* more references held than FORT_CLEANUPS_MAX */
	FORT_ABORT_UNWIND,     /* a helper asked for the end of the program (conformance tests) */
	FORT_ABORT_STATE,      /* a value outside what the verifier claimed (checked runs) */
	FORT_ABORT_TIME,       /* stopped from outside: it took too long (engine/watch.h) */
	FORT_ABORT_TRAP, /* machine code trapped where it should not: a defect of the engine */
	FORT_ABORT_QUARANTINE, /* it was not run: too many runs before ended early */
	FORT_ABORT_CODES
};

/* "fuel", "memory", ... for reports. */
const char *fort_abort_name(enum fort_abort_code code);

struct fort_abort {
	uint32_t code;    /* enum fort_abort_code */
	uint32_t pc;      /* slot of the instruction */
	uint64_t address; /* MEMORY: offset in the window, never a host address */
	uint32_t bytes;   /* MEMORY: size of the access */
	uint32_t detail;
};

/* Something that must be given back when the run ends early, newest last. */
struct fort_held {
	void (*release)(struct fort_run *run, struct fort_held *held); /* must not fail */
	void *object;
	uint64_t address, bytes; /* for ring memory: where in the window, how much */
};

/* A helper: five words in, one out. `run` is the sixth so that BPF's argument registers are the
 * C calling convention's. A helper that must end the program calls fort_run_abort and returns.
 */
typedef uint64_t fort_helper_fn(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
				struct fort_run *run);

/* Where a program is attached and what just happened there; zero for test runs. */
struct fort_hit {
	uint64_t cookie, ip;
};

/* The packet of a run, for loads of the old kind: in the host's memory or in the window. */
struct fort_run_packet {
	const uint8_t *start;   /* with its link-layer header */
	uint32_t bytes;         /* from there */
	uint32_t data, network; /* where the program's packet, and the network header, start */
};

/* Tail calls of one run (engine/tail.h). */
struct fort_run_tails {
	const struct fort_tail *next; /* what is entered next: a helper has found it */
	const struct fort_tail *at;   /* what was entered last; NULL: the run's first program */
	uint32_t n;                   /* that were made */
	uint32_t level;               /* of the slot's stacks: so many programs are returned to */
	uint32_t deepest;             /* level that was entered */
	uint32_t zeroed; /* bytes of the level's stack, from its top, that nobody finds anything of
			  * earlier runs in */
	uint32_t n_held; /* of what is held: the frames' that it returns to */
	bool told; /* the run was aborted in a program that returns to a frame: abort.pc is its */
};

struct fort_run {
	const struct fort_domain *domain;
	struct fort_map *const *maps; /* the program's maps, in its order */
	uint32_t n_maps;
	uint32_t slot;
	/* How often each instruction began, counted by the interpreter alone, and not atomically;
	 * NULL: not counted. */
	uint64_t *counts;
	uint64_t fuel;       /* what is left */
	void *engine;        /* the engine's own, while it runs */
	uint64_t ctx;        /* address of the context image: r1 at entry */
	uint64_t ctx_length; /* r2 at entry (conformance tests), else 0 */
	struct fort_abort abort;
	struct fort_hit hit;
	struct fort_run_packet packet; /* zero: there is none */
	uint32_t n_held;
	struct fort_held held[FORT_CLEANUPS_MAX];
	struct fort_services *services; /* what helpers use beyond the program: trace, clocks */
	struct fort_run_tails tails;
};

/* r10 of the outermost frame of the program that runs. */
static inline uint64_t fort_run_stack_top(const struct fort_run *run)
{
	return fort_domain_stack_top(run->domain, run->slot) + run->tails.level * FORT_LEVEL_BYTES;
}

/* Marks the run as aborted; the first reason stays. The engine stops at the next instruction. */
void fort_run_abort(struct fort_run *run, enum fort_abort_code code, uint32_t detail);

/* Remembers something to give back. False (and the run aborted) when too much is held. */
FORT_CHECKED bool fort_run_hold(struct fort_run *run, struct fort_held held);
/* The newest entry with this address, removed from the list; false if there is none. */
FORT_CHECKED bool fort_run_unhold(struct fort_run *run, uint64_t address, struct fort_held *out);
/* Gives everything back, newest first. Called by whoever ran the engine, after every run. */
void fort_run_release_all(struct fort_run *run);
/* The same, but for the oldest `kept` of them. */
void fort_run_release_to(struct fort_run *run, uint32_t kept);

/* Registers hold maps as handles, not addresses: a tag no pointer has, and the index. */
#define FORT_HANDLE_TAG 0xf047ull
static inline uint64_t fort_map_handle(uint32_t index)
{
	return FORT_HANDLE_TAG << 48 | 1ull << 32 | index;
}

static inline struct fort_map *fort_run_map(const struct fort_run *run, uint64_t handle)
{
	uint32_t index = (uint32_t)handle;

	if (handle >> 32 != (FORT_HANDLE_TAG << 16 | 1) || index >= run->n_maps)
		return NULL;
	return run->maps[index];
}
