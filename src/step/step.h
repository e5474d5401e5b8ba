/* The abstract semantics of BPF: one instruction applied to one state.
 *
 * This is the only place that says what an instruction does to what is known, and when it is
 * safe. The search uses it to find a proof, the checker to check one, tests to hold it against
 * the interpreter. It is trusted; it keeps no history and decides nothing about exploration.
 */
#pragma once

#include "abi/ctx.h"
#include "abi/helpers.h"
#include "btf/args.h"
#include "btf/record.h"
#include "isa/graph.h"
#include "step/diag.h"
#include "step/state.h"

/* Rights that change verdicts (access spec, "verifier features"). */
enum fort_verifier_right {
	FORT_MAY_USE_PERF_HELPERS = 1,  /* helpers that read outside the program, or print */
	FORT_MAY_READ_UNINIT_STACK = 2, /* may show pointers of calls that ended: needs LEAK */
	FORT_MAY_LEAK_POINTERS = 4,     /* they show the window's base, nothing else */
	FORT_MAY_DESTROY = 8,           /* functions of the kernel that may stop the machine */
	FORT_ALL_VERIFIER_RIGHTS = 15,
};

struct fort_kernel;
struct fort_btf_target;
struct fort_kfunc_ref;

/* What harden must know of each instruction, found while checking. */
enum fort_access_kind {
	FORT_ACCESS_UNSEEN,
	FORT_ACCESS_PLAIN,       /* any memory access that runs as it is written */
	FORT_ACCESS_CTX_POINTER, /* load of a context pointer: field in `which` */
	FORT_ACCESS_KERNEL,      /* of what the kernel's BTF describes */
	FORT_ACCESS_OBJECT,      /* of a socket, of kind `which` (enum fort_regtype) */
};

/* Where a processor that guesses may see what the program may not: for code that no window confines
 * (isolation `none`), of programs that are not trusted. */
enum fort_barrier {
	FORT_BARRIER_BEFORE = 1, /* only a comparison says that the access is inside: one that was
				  * guessed may not. (K: Spectre v1, nospec) */
	FORT_BARRIER_AFTER = 2,  /* the store changes what the slot is: loads may still see what it
				  * was.  (K: Spectre v4, sanitize_stack_spill) */
};

struct fort_access {
	uint8_t kind;     /* enum fort_access_kind */
	uint8_t which;    /* by kind */
	uint8_t barriers; /* enum fort_barrier */
	bool reached;     /* some path leads to the instruction */
};

/* Where runs begin. */
enum fort_root_kind {
	FORT_ROOT_MAIN,   /* the program; subprog 0 */
	FORT_ROOT_GLOBAL, /* a global function, with whatever its prototype lets callers pass */
	FORT_ROOT_ASYNC,  /* a function that a timer of map `object` calls, some time */
	FORT_ROOTS
};

struct fort_root {
	uint8_t kind; /* enum fort_root_kind */
	uint32_t subprog, object;
};

enum fort_linkage {
	FORT_LINKAGE_UNKNOWN, /* nothing is known of the function: like a static one */
	FORT_LINKAGE_STATIC,  /* proven anew at each call */
	FORT_LINKAGE_GLOBAL,  /* proven once: a root of its own */
	FORT_LINKAGES
};

/* A parameter of a global function (btf/args.h). */
struct fort_param {
	uint8_t kind;         /* enum fort_func_arg_kind */
	uint8_t may_be_null;  /* 0, 1 */
	uint8_t is_untrusted; /* 0, 1 */
	uint8_t reserved;     /* 0 */
	uint32_t bytes, type;
};

/* What its author says of a subprogram: its function in the program's BTF. Without padding: it
 * travels as it is. */
struct fort_prototype {
	uint8_t linkage;  /* enum fort_linkage */
	uint8_t err;      /* GLOBAL: 0, or the errno that its prototype is refused with */
	uint8_t n_params; /* GLOBAL */
	uint8_t is_void;  /* 1: it returns nothing, or no number; else 0 */
	struct fort_param params[FORT_BTF_FUNC_ARGS_MAX];
};
_Static_assert(sizeof(struct fort_prototype) == 64, "no padding");

/* For messages: nothing is decided by them. */
struct fort_prototype_words {
	const char *name;
	struct fort_btf_remark why; /* of err */
};

/* What the instructions of a subprogram may do, and those of all that it calls, now or later. */
struct fort_summary {
	bool moves_packet; /* pointers into the packet are worth nothing after it */
	bool may_sleep;
	bool tail_calls; /* its own instructions: another program may take this one's place */
};

/* All that the semantics of a program depend on, besides its instructions. A certificate is bound
 * to it. `access`, `stacks`, `demands` and `uses_kernel` are outputs.
 */
struct fort_env {
	const struct fort_graph *graph;
	struct fort_hook hook; /* program type, and where it is attached */
	/* The maps that instructions name, then those that are in them (fort_map_shape.inner). */
	const struct fort_map_shape *maps;
	uint32_t n_maps, n_inner;
	/* Of each of them that has BTF the special fields of its values; else NULL. NULL altogether
	 * when no map has BTF. */
	const struct fort_btf_record *const *records;
	/* Of each map whose shape says frozen: its only value, value_bytes long, for ever the same;
	 * else NULL. NULL altogether when there is none. */
	const uint8_t *const *constants;
	uint32_t rights; /* enum fort_verifier_right */
	uint32_t cpus;   /* numbers of processors are less */
	bool gpl, sleepable;
	/* The kernel's types, and what the program has to do with them (kernel.h, fort_env_meet).
	 * NULL where they are not known: what needs them is refused. */
	const struct fort_kernel *kernel;
	const struct fort_btf_target *target; /* what it is attached to; NULL: nothing typed */
	const struct fort_kfunc_ref *kfuncs;
	uint32_t n_kfuncs;
	/* One per subprogram. Of prototypes and words perhaps nothing is known: NULL. */
	const struct fort_prototype *prototypes;
	const struct fort_prototype_words *words;
	const struct fort_summary *summaries; /* of fort_env_complete */
	struct fort_access *access;           /* one per slot */
	uint32_t *stacks; /* per subprogram: bytes of its stack that are used, at most; of
			   * fort_env_complete */
	/* Roots that instructions rely on, each once: whoever proves the program proves these too.
	 * Room for FORT_DEMANDS_MAX. */
	struct fort_root *demands;
	uint32_t n_demands;
	bool uses_kernel; /* an instruction relied on the kernel's types */
};

/* The special fields of a map's values; its only value, if that is constant. Or NULL. */
static inline const struct fort_btf_record *fort_env_record(const struct fort_env *env,
							    uint32_t map)
{
	return env->records ? env->records[map] : NULL;
}

static inline const uint8_t *fort_env_constant(const struct fort_env *env, uint32_t map)
{
	return map < env->n_maps && env->maps[map].frozen && env->constants ? env->constants[map]
									    : NULL;
}

enum fort_outcome {
	FORT_STEP_NEXT, /* the state goes on at `pc` */
	FORT_STEP_FORK, /* and `other`, new, owned by the caller, at `other_pc` */
	FORT_STEP_END,  /* the program ended */
	FORT_STEP_DEAD, /* no concrete run gets here */
	FORT_STEP_BAD,  /* `violation` says why */
};

struct fort_step {
	uint8_t outcome; /* enum fort_outcome */
	bool decided;    /* NEXT after a conditional jump: the other side cannot happen */
	uint32_t pc, other_pc;
	struct fort_state *other;
	struct fort_violation violation;
};

/* Completes an environment whose program, hook and functions are there: marks calls that call back
 * in the graph, fills `summaries`, and makes room for `stacks`, both the arena's. Returns 0 or
 * -ENOMEM. */
FORT_CHECKED int fort_env_complete(struct fort_env *env, struct fort_arena *arena);

/* The linkage of a subprogram. */
static inline enum fort_linkage fort_env_linkage(const struct fort_env *env, uint32_t subprog)
{
	return env->prototypes ? (enum fort_linkage)env->prototypes[subprog].linkage
			       : FORT_LINKAGE_UNKNOWN;
}

static inline bool fort_root_is(const struct fort_root *a, const struct fort_root *b)
{
	return a->kind == b->kind && a->subprog == b->subprog && a->object == b->object;
}

/* The state before a root's first instruction: arguments in r1 to r5, stack in r10. Returns 0,
 * -ENOMEM, or -EINVAL for what is no root of this program. */
FORT_CHECKED int fort_step_enter(const struct fort_env *env, struct fort_pool *pool,
				 const struct fort_root *root, struct fort_state **out);

/* Applies the instruction at `pc`. The state is changed in place; on FORK it is the side that
 * falls through. After END, DEAD and BAD it means nothing. Returns 0 or -ENOMEM.
 */
FORT_CHECKED int fort_step(struct fort_env *env, struct fort_pool *pool, struct fort_state *state,
			   uint32_t pc, struct fort_step *out);
