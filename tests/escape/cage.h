/* A place for programs that nothing was proven about: real maps and helpers, a domain, and around
 * it memory of the host that must stay as it is. Programs go straight to the engines, which is a
 * way that only tests have (tools/lint.py: unproven).
 */
#pragma once

#include "helper_test.h"

#include "engine/engine.h"
#include "harden/expand.h"
#include "isa/asm.h"
#include "isa/graph.h"

enum {
	CAGE_HASH,
	CAGE_ARRAY,
	CAGE_PERCPU,
	CAGE_RING,
	CAGE_RODATA,
	CAGE_WRONLY,
	CAGE_PROGS, /* of CAGE_TAILS entries, empty unless a test fills them */
	CAGE_MAPS
};
#define CAGE_TAILS 4u

#define CAGE_CTX_BYTES    64u
#define CAGE_PACKET_BYTES 4096u
#define CAGE_VALUE_BYTES  64u /* of each map that has values */
#define CAGE_CANARY_BYTES 16384u
#define CAGE_AREAS_MAX    32u

/* Memory, and what it held at the start. */
struct cage_area {
	const char *what;
	void *at;
	size_t bytes;
	uint8_t *was;
};

struct cage {
	struct world world;
	struct fort_domain other; /* of another program */
	/* What programs may change, and what goes with it: set back before each run. */
	struct cage_area own[CAGE_AREAS_MAX];
	uint32_t n_own;
	/* What nobody may change. */
	struct cage_area host[CAGE_AREAS_MAX];
	uint32_t n_host;
	uint8_t *heap;
};

/* Fails the test; in a child, which must not go on with other tests, by its exit. */
void cage_fail(const char *format, ...) FORT_PRINTF(1, 2) __attribute__((noreturn));
/* This process is a child from now on. */
void cage_is_child(void);

void cage_open(struct cage *cage);
/* For runs inside of runs (engine/tail.h). */
void cage_open_levels(struct cage *cage, uint32_t n_levels);
void cage_close(struct cage *cage);

/* A program in an arena of its own. */
struct caged {
	struct fort_arena arena;
	struct fort_graph graph;
	struct fort_expanded expanded; /* what runs */
};
/* From assembly text, which must be a program. */
void caged_assemble(struct caged *caged, const char *source);
/* From instructions; false if they are none. */
bool caged_build(struct caged *caged, const struct fort_insn *insns, uint32_t n);
void caged_free(struct caged *caged);

struct outcome {
	uint64_t r0, fuel, memory; /* memory: all that programs may change, as one number */
	struct fort_abort abort;
};

/* Sets the cage back, compiles, runs once and lets go of what was held. `proven` as in struct
 * fort_compile. The context is as the caller left it in cage_ctx. Fails the test when the engine
 * does not compile, or anything of the host has changed. */
struct outcome cage_run(struct cage *cage, const struct fort_engine *engine,
			enum fort_isolation isolation, bool proven, const struct caged *caged,
			uint64_t fuel);
/* The same on an image that is there. */
struct outcome cage_run_code(struct cage *cage, const struct fort_engine *engine,
			     const struct fort_code *code, uint64_t fuel);
struct fort_compile cage_compile(const struct cage *cage, enum fort_isolation isolation,
				 bool proven, const struct caged *caged);

/* Fails the test unless everything that was reserved in the ring is there, discarded, and the
 * consumer gets past it. */
void cage_ring_is_free(struct cage *cage, const char *what);

/* The helpers' shapes in a request: nothing but what makes a tail call. */
struct fort_helper_shape cage_shape(uint32_t number);

/* What the context will hold when a program starts. */
uint64_t *cage_ctx(struct cage *cage);
void cage_reset(struct cage *cage);
/* The first area of the host that has changed, or NULL. */
const char *cage_damage(const struct cage *cage);

/* Both engines, which every test goes through. */
extern const struct fort_engine *const cage_engines[2];

/* Where code of an image lies: the first that is mapped from "bpfort-code". */
struct cage_image {
	uint8_t *code;
	size_t bytes;
	uint32_t n_slots;
};
bool cage_find_image(struct cage_image *out);

/* What a process has: counted before and after, to see that nothing is left behind. */
struct cage_counts {
	unsigned descriptors, mappings, threads;
};
struct cage_counts cage_count(void);

/* Addresses that programs should not get anywhere with, and some that they may: where a window has
 * memory the low half decides. */
struct bad_address {
	const char *what;
	uint64_t address;
};
#define BAD_ADDRESSES_MAX 48u
uint32_t bad_addresses(const struct cage *cage, struct bad_address out[BAD_ADDRESSES_MAX]);
