/* An engine turns a program into something that runs, and runs it. Engines know nothing of maps,
 * helpers' meaning or attachment; isolation modes are orthogonal (an engine lists those it has).
 *
 * All engines agree on what a program can see, also when it misbehaves:
 *
 *   start     r1 = run->ctx, r2 = run->ctx_length, r10 = the slot's stack top, all others 0.
 *   fuel      a jump taken to `target`, at or before its own slot, costs as many slots as there
 *             are from there to the last jump back to it (its loop); a local call the callee's
 *             slots. When less than the cost is left, nothing is charged and the run ends with
 *             FORT_ABORT_FUEL at the target, or at the call.
 *   local     r0-r5 pass through in both directions; r6-r9 and r10 are restored at exit; r10 is
 *   call      FORT_STACK_BYTES lower in the callee. A frame too many ends the run with
 *             FORT_ABORT_DEPTH, before fuel is looked at.
 *   helper    r0 is the result, r1-r5 are FORT_POISON afterwards. No function: FORT_ABORT_HELPER.
 *             A helper sees and may lower run->fuel; if it aborted the run, nothing more executes.
 *   aborts    r0 is 0.
 *   r10       an instruction that writes it ends the run with FORT_ABORT_INSN.
 *   memory    of an access that the isolation confines, the address is the window's base plus the
 *             low 32 bits of register + offset. Without the right to all bytes the run ends with
 *             FORT_ABORT_MEMORY, no byte is changed, and `address` is the offset in the window.
 *
 * The program must have been decoded and have a graph: engines rely on targets that are
 * instructions and on paths that end in exit.
 */
#pragma once

#include "base/arena.h"
#include "engine/run.h"
#include "isa/graph.h"
#include "isolate/isolation.h"

struct fort_code_pool;
struct fort_code; /* what compile made; each engine has its own */

/* What a helper call leaves in r1-r5, so that nothing of the host does. Not an address, and its
 * low half lies where no window has memory.
 */
#define FORT_POISON 0xbad0bad000000badull

/* The function behind helper `number`, or NULL: the call then aborts the run. */
typedef fort_helper_fn *fort_helper_lookup(uint32_t number);

/* What an engine may do itself where a program calls a helper, with the same result. */
enum fort_inline {
	FORT_INLINE_NOTHING,
	FORT_INLINE_LOOKUP, /* map in r1, pointer to a key in r2 */
	FORT_INLINE_CPU,    /* the number of the current processor */
	FORT_INLINE_CACHED, /* the 64-bit word at `offset` of *run->services, unless that is 0 */
	FORT_INLINE_TAIL,   /* not inlined: calls where r0 is not 0 then go on (engine/tail.h) */
};

struct fort_helper_shape {
	uint8_t n_args;  /* arguments it looks at */
	uint8_t inlines; /* enum fort_inline */
	uint32_t offset;
	fort_helper_fn *function; /* does the same, faster; or NULL */
};
typedef struct fort_helper_shape fort_helper_shaper(uint32_t number);

/* How lookups in a map can be done without asking which map it is.
 *
 * In an array by the engine itself: element i of processor c is at the map's start in the window +
 * i * stride + c * cpu_bytes, for 4-byte keys i below n (and c below n_cpus). In others by a
 * function that does what the helper does for maps of their type; it relies on its first argument.
 */
struct fort_map_lookup {
	uint32_t n;      /* 0: not an array */
	uint32_t n_cpus; /* 0: all processors have the same */
	uint32_t stride;
	uint64_t cpu_bytes;
	fort_helper_fn *function; /* or NULL */
};

struct fort_compile {
	const struct fort_program *program;
	const struct fort_domain *domain;
	enum fort_isolation isolation;
	fort_helper_lookup *helper;
	fort_helper_shaper *shape;             /* NULL: nothing is known of helpers */
	const struct fort_map_lookup *lookups; /* one for each map of the domain, or NULL */
	bool callx; /* allow calls by register, which holds a helper's number (isa profile) */
	/* A certificate of the program was checked. Without one, what machine code an engine makes
	 * is read back (engine/inspect.h), and isolations that rest on one are refused. */
	bool proven;
	/* Where machine code goes if it fits (code_pool.h), unless it is sealed; outlives the code.
	 * NULL: files of its own. */
	struct fort_code_pool *pool;
	/* To work in; what is taken from it is the caller's to give back. NULL: the engine finds
	 * memory of its own. */
	struct fort_arena *scratch;
	const char *cache; /* directory for what an engine may keep (llvm_cache.h), or NULL */
	bool inspect;      /* machine code is read back also of proven programs */
	/* Constants of the program do not appear in machine code as they are: who writes programs
	 * does not choose bytes that an attack elsewhere could run. */
	bool blind;
	/* Memory of machine code is sealed (mseal(2)): nobody can unmap it, map over it or change
	 * its protection any more, and so it stays when the program is freed. -ENOSYS without it.
	 */
	bool seal;
};

/* Where the code of an instruction starts, in the machine code. Parts of one instruction may lie in
 * several places, and an instruction that was taken in by another has none. */
#define FORT_CODE_LEAVES UINT32_MAX /* as `pc`: code that ends runs, of no instruction */
struct fort_code_place {
	uint32_t at, pc;
};

/* Machine code, for those who look at it; valid as long as the code is. What comes before the first
 * place enters the program. */
struct fort_code_view {
	const uint8_t *bytes;
	uint32_t n_bytes;
	const struct fort_code_place *places; /* ascending */
	uint32_t n_places;
	/* Functions of the host that it calls. Calls go through words that end `gap` bytes before
	 * the code, the first one nearest. */
	uint64_t gap;
	fort_helper_fn *const *slots;
	uint32_t n_slots;
};

struct fort_engine {
	const char *name;
	uint32_t isolations; /* bits 1 << enum fort_isolation */
	bool vague;          /* after a fault fuel is what it was some time before */
	const char *absent;  /* why it was not built in, or NULL; compile returns -ENOSYS then */
	/* Domain and program may go once it returns, the window must stay. Returns 0, -ENOMEM (or
	 * what else the kernel says to memory for code, such as -EACCES where it allows none),
	 * -EOPNOTSUPP for an isolation or instruction that the engine does not have, -EPERM for a
	 * program without proof under an isolation that rests on one, -EINVAL for maps by
	 * descriptor (they must have been rewritten to indexes) or by an index that the domain does
	 * not have, or -ENOEXEC when what came out is not what may come out: a defect of the
	 * engine.
	 */
	int (*compile)(const struct fort_compile *request, struct fort_code **out);
	void (*free)(struct fort_code *code);
	/* Runs to the end; r0, or 0 when run->abort.code is set. Does not release what the run
	 * holds. */
	uint64_t (*run)(const struct fort_code *code, struct fort_run *run);
	/* NULL: the engine makes no machine code. */
	void (*view)(const struct fort_code *code, struct fort_code_view *out);
};

extern const struct fort_engine fort_engine_interp;
/* Machine code. Host programs only: it catches faults by signals (x64_faults.h). */
extern const struct fort_engine fort_engine_x64;

/* Machine code by LLVM, for host programs. Where LLVM's library is not there when a program is
 * compiled, compile returns -ELIBACC. */
extern const struct fort_engine fort_engine_llvm;

/* All engines, NULL-terminated; the first is the default. */
extern const struct fort_engine *const fort_engines[];
/* Does this engine have the isolation, on this machine? */
bool fort_engine_has(const struct fort_engine *engine, enum fort_isolation isolation);
/* "interp", "x64", "llvm"; NULL if unknown. */
const struct fort_engine *fort_engine_by_name(const char *name);
