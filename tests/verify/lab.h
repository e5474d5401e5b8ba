/* A laboratory for the verifier's tests: a program from assembly, its environment, the search, the
 * checker.
 */
#pragma once

#include "base/log.h"
#include "isa/asm.h"
#include "verify/verify.h"

#define LAB_INSNS     4096
#define LAB_FUNCTIONS 16
#define LAB_ALL_RIGHTS \
	(FORT_MAY_USE_PERF_HELPERS | FORT_MAY_READ_UNINIT_STACK | FORT_MAY_LEAK_POINTERS)

/* The maps of every program, by number. */
enum lab_map {
	LAB_ARRAY,  /* array: 4 values of 48 bytes */
	LAB_HASH,   /* hash: keys of 8, values of 16 bytes */
	LAB_RING,   /* ring buffer of a page */
	LAB_GLOBAL, /* array: 1 value of 64 bytes */
	LAB_RDONLY, /* the same, BPF_F_RDONLY_PROG */
	LAB_WRONLY, /* the same, BPF_F_WRONLY_PROG */
	LAB_PERCPU, /* per-CPU array: 2 values of 24 bytes */
	LAB_WIDE,   /* hash: keys of 64, values of 200 bytes */
	LAB_BYTE,   /* array: 1 value of 1 byte */
	LAB_MAPS,
	/* Those that nothing can be run with: only of programs that name one of them. */
	LAB_PROGS = LAB_MAPS, /* 2 programs */
	LAB_LOCK,             /* array: 1 value of 16 bytes, with a lock at 4 */
	LAB_LOCKS,            /* hash: keys of 8, the same values */
	LAB_TIMERS,           /* hash: keys of 8, values of 24 bytes, with a timer at 8 */
	LAB_TIMERS_TOO,       /* another of the kind */
	LAB_ALL_MAPS
};

extern const struct fort_map_shape lab_shapes[LAB_ALL_MAPS];
extern const struct fort_map_fields lab_fields[LAB_ALL_MAPS];

struct lab {
	struct fort_arena arena;
	struct fort_raw_insn raw[LAB_INSNS];
	uint32_t n_insns;
	struct fort_insn *insns;
	struct fort_graph graph;
	struct fort_map_shape maps[LAB_ALL_MAPS];
	struct fort_prototype prototypes[LAB_FUNCTIONS];
	struct fort_prototype_words words[LAB_FUNCTIONS];
	char names[LAB_FUNCTIONS][32];
	struct fort_env env;
	struct fort_verify_result result;
	struct fort_check check;
	struct fort_proven proven;
	char error[256]; /* of assembling; of decoding and building the graph, in the kernel's words
			  */
	struct fort_violation form; /* of decoding and building the graph; else no diag */
};

/* Prepares a program of this type; false with lab->error. Free with lab_free in any case. */
bool lab_open(struct lab *lab, const char *type, const char *assembly);
bool lab_open_raw(struct lab *lab, const char *type, const struct fort_raw_insn *raw, uint32_t n);
void lab_free(struct lab *lab);

/* Says what its functions are, of a program that was opened: for each subprogram but the first
 *
 *   static NAME; global NAME(PARAM, ...)
 *
 * (`main` before them: the program itself is declared static)
 * with parameters number, ctx, mem:BYTES, mem?:BYTES (may be NULL), any (untrusted memory), struct,
 * dynptr, arena, bad (the prototype is refused). False for other words. */
bool lab_describe(struct lab *lab, const char *functions);

/* Searches; true with a verdict in lab->result. */
bool lab_search(struct lab *lab, enum fort_sabotage sabotage);
/* Checks certificate bytes against the program, in fresh memory. */
bool lab_check(struct lab *lab, const void *bytes, size_t n_bytes);
