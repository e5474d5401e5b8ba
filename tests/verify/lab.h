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
	LAB_RUN_MAPS,

	LAB_TEXTS = LAB_RUN_MAPS, /* array: lab_texts, for ever */
	LAB_ARRAYS,               /* array of maps like LAB_ARRAY */
	LAB_HASHES,               /* hash of maps like LAB_HASH; keys of 4 bytes */
	LAB_PROGS,                /* program array */
	LAB_SOCKETS,              /* sockmap */
	LAB_SOCKHASH,             /* keys of 4 bytes */
	LAB_XSKS,                 /* AF_XDP sockets */
	LAB_CPUS,                 /* processors to redirect to */
	LAB_DEVICES,              /* devices to redirect to */
	LAB_QUEUE,                /* of 8 bytes */
	LAB_BLOOM,                /* of 8 bytes */
	LAB_EVENTS,               /* perf events */
	LAB_STACKS,               /* stack traces of 16 words */
	LAB_GROUPS,               /* control groups */
	LAB_GROUP_STORAGE,        /* of the control group: 16 bytes */
	LAB_SOCKET_STORAGE,       /* of sockets: 16 bytes */
	LAB_PORTS,                /* sockets that share a port */
	LAB_LOCKED,               /* array: struct lab_locked */
	LAB_OWNER,                /* array: struct lab_owner */
	LAB_ARENA,                /* of four pages */
	LAB_SIZES,                /* array of maps like LAB_ARRAY, of any number of values */
	LAB_LOCK,                 /* array: 1 struct lab_locked */
	LAB_LOCKS,                /* hash: keys of 8, the same values */
	LAB_TIMERS,               /* hash: keys of 8, struct lab_timed */
	LAB_TIMERS_TOO,           /* another of the kind */
	LAB_MAPS,
	LAB_INNER = 3
};

/* Values that are more than bytes. */
struct lab_locked {
	uint32_t count;
	uint32_t lock; /* struct bpf_spin_lock */
	uint64_t total;
};

struct lab_timed {
	uint64_t count;
	uint64_t timer[2]; /* struct bpf_timer */
};

struct lab_owner {
	uint64_t count;
	uint64_t task; /* struct task_struct *, tagged as a kptr */
};

#define LAB_TEXT_BYTES 64
extern const char lab_texts[LAB_TEXT_BYTES];

/* The maps, then those that maps of maps hold. */
extern const struct fort_map_shape lab_shapes[LAB_MAPS + LAB_INNER];

struct lab {
	struct fort_arena arena;
	struct fort_raw_insn raw[LAB_INSNS];
	uint32_t n_insns;
	struct fort_insn *insns;
	struct fort_graph graph;
	struct fort_map_shape maps[LAB_MAPS + LAB_INNER];
	struct fort_prototype prototypes[LAB_FUNCTIONS];
	struct fort_prototype_words words[LAB_FUNCTIONS];
	char names[LAB_FUNCTIONS][32];
	struct fort_env env;
	uint32_t target; /* what it is attached to, of the kernel's types; 0: nothing */
	struct fort_verify_result result;
	struct fort_check check;
	struct fort_proven proven;
	char error[256]; /* of assembling; of decoding and building the graph, in the kernel's words
			  */
	struct fort_violation form; /* of decoding and building the graph; else no diag */
};

/* Prepares a program of this type; false with lab->error. Free with lab_free in any case. Maps from
 * LAB_RUN_MAPS on are there only for programs that name one of them. */
bool lab_open(struct lab *lab, const char *type, const char *assembly);
bool lab_open_raw(struct lab *lab, const char *type, const struct fort_raw_insn *raw, uint32_t n);
void lab_free(struct lab *lab);

/* The types of the running kernel; NULL: it has none. In assembly, `call kfunc NAME`, `btf_var
 * NAME` and `struct NAME` stand for the numbers of their types, `struct NAME.MEMBER` for its offset. */
const struct fort_kernel *lab_kernel(void);
/* Tells the program's environment of them, and of what it is attached to: a function of the kernel
 * or a tracepoint, or NULL. Its hook is known. False: there is no such target. */
bool lab_meet(struct lab *lab, const char *target);

/* Says what its functions are, of a program that was opened: for each subprogram but the first
 *
 *   static NAME; void NAME; global NAME(PARAM, ...)
 *
 * (`void`: static, and returns nothing; `main` before them: the program itself is declared static)
 * with parameters number, ctx, mem:BYTES, mem?:BYTES (may be NULL), any (untrusted memory), task (a
 * trusted task_struct), task? (may be NULL), task! (untrusted), dynptr, arena, bad (the prototype is
 * refused). False for other words. */
bool lab_describe(struct lab *lab, const char *functions);

/* Searches; true with a verdict in lab->result. */
bool lab_search(struct lab *lab, enum fort_sabotage sabotage);
/* Checks certificate bytes against the program, in fresh memory. */
bool lab_check(struct lab *lab, const void *bytes, size_t n_bytes);
