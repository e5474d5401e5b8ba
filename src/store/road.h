/* The road: what the store asks of the layers that verify, compile and run programs.
 *
 * The store has checked everything that does not need to understand the program: attributes,
 * descriptors, BTF records. It hands over a request in which maps are objects and every map
 * reference in the instructions is an index into them. All pointers of a request stay valid until
 * fort_road_unload of what was loaded, or until the call returns if it fails, except `log` and
 * `report`, which are for the call.
 */
#pragma once

#include <pthread.h>

#include "abi/progs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/span.h"
#include "btf/info.h"
#include "engine/engine.h"
#include "load/loaded.h"
#include "verify/print.h"

struct fort_btf_record;
struct fort_kernel;
struct fort_host;
struct fort_map;
struct fort_road_program; /* a program that may run; the road's own */

enum fort_load_verdict { FORT_LOAD_UNDECIDED, FORT_LOAD_ACCEPTED, FORT_LOAD_REJECTED };

/* An instruction, and the source line that it comes from; file and text are "" when unknown. */
struct fort_load_place {
	uint32_t insn, line, column;
	uint32_t caret; /* the column in `text`, from 1; 0 when unknown */
	char file[256], text[256];
};

/* A decision on the way to a rejection. */
struct fort_load_step {
	struct fort_load_place place;
	bool taken;   /* the jump was taken */
	bool matters; /* an event was learned by it */
};

/* An earlier event that the rejection comes from. */
struct fort_load_event {
	struct fort_load_place place;
	char role[16], text[256]; /* as verify/events.def has them */
};

/* What a register of the rejected instruction held, as the log has it. */
struct fort_load_register {
	char name[8], value[160];
};

/* A number with which it happens: a register's, or the offset of its pointer; "packet": its length.
 */
struct fort_load_example {
	char name[8];
	bool is_offset;
	int64_t number;
};

/* Where the search's work went: a loop (its head) or a branch. */
struct fort_load_cost {
	struct fort_load_place place;
	char kind[8], apart[3][48]; /* registers and slots that kept states apart */
	uint32_t percent, states, turns, n_apart;
	uint64_t insns;
};

/* What was found before states were kept apart; `code` "" for nothing. */
struct fort_load_doubt {
	char code[8], message[256];
	struct fort_load_place place;
};

#define FORT_LOAD_COSTS     5u
#define FORT_LOAD_EVENTS    8u
#define FORT_LOAD_REGISTERS 6u
#define FORT_LOAD_FIXES     4u
#define FORT_LOAD_EXAMPLE   7u

/* Why a program was rejected, in words that outlive the load. `code` "" when nothing is to say. */
struct fort_load_diag {
	char code[8];  /* of diag.def */
	bool is_later; /* bpfort does not support it yet */
	char title[128], message[512], needed[256], known[256], kernel_line[256];
	char hint[256]; /* the first of the fixes */
	char fixes[FORT_LOAD_FIXES][256];
	char class[16];   /* who has to change something (verify/explain.h) */
	char pattern[32]; /* the well-known kind that it is (verify/patterns.def), or "" */
	int errno_value;  /* positive */
	uint32_t n_fixes, n_events, n_registers, n_example, n_costs, subprog;
	struct fort_load_place place;
	struct fort_load_event events[FORT_LOAD_EVENTS]; /* oldest first */
	struct fort_load_register registers[FORT_LOAD_REGISTERS];
	struct fort_load_example example[FORT_LOAD_EXAMPLE]; /* all of these at once; or none */
	struct fort_load_cost costs[FORT_LOAD_COSTS]; /* most first; of what is too complex */
	struct fort_load_doubt doubt;
	/* The newest conditional jumps before it, oldest first, and how many there were. */
	struct fort_load_step path[FORT_REPORT_STEPS_MAX];
	uint32_t n_path;
	uint64_t n_decisions;
};

/* What a load came to. bpf(2) has no room for it, so the store keeps it for whoever asks. */
struct fort_load_report {
	uint32_t verdict; /* enum fort_load_verdict; NONE: it did not get as far as the verifier */
	int err;          /* of the load, 0 or negative */
	char name[FORT_NAME_BYTES];
	const struct fort_prog_info *type;
	uint32_t insns;
	uint64_t insns_processed, states, peak_states;
	uint64_t verify_ns, check_ns, compile_ns;
	uint64_t certificate_bytes, memory_bytes; /* of the search, at its end */
	struct fort_load_diag diag;
	char log_tail[FORT_LOG_TAIL_BYTES + 1]; /* the store fills it */
};

/* Memory that loads work in, kept from one to the next: a load takes it, and others that come
 * meanwhile have their own. All zero but for the lock: nothing is kept yet. */
struct fort_road_memory {
	pthread_mutex_t *lock;
	struct fort_arena proof, check, scratch;
};

struct fort_road_request {
	const struct fort_prog_info *type;
	uint32_t expected_attach_type; /* BPF_* as the loader gave it */
	uint32_t flags;                /* BPF_F_* of PROG_LOAD */
	bool gpl;
	const char *name;
	struct fort_host *host; /* outlives the program */
	struct fort_road_memory *memory;
	struct fort_code_pool *pool; /* of machine code; outlives the program */
	struct fort_spares *spares;  /* windows of programs that are gone; outlive the program */
	const struct fort_engine *engine;
	enum fort_isolation isolation;
	struct fort_crash_policy crash;
	struct fort_crash_place crash_place; /* in the host's shared table */
	bool seal;                           /* machine code stays for ever (engine/engine.h) */
	bool blind;             /* constants are hidden in machine code (engine/engine.h) */
	struct fort_keys *keys; /* for isolations that have them; outlives the program */
	bool counts;            /* how often instructions run is counted (engine/run.h) */
	/* Pseudo sources MAP_FD and MAP_VALUE do not occur: imm of MAP_IDX forms indexes maps. */
	const struct fort_raw_insn *insns;
	uint32_t n_insns;
	struct fort_map *const *maps;
	uint32_t n_maps;
	/* Behind them, n_inner maps that show what is in maps of maps. Of each of all, 1 + the
	 * index of the map in it, or 0; and the special fields of its values, or NULL. */
	uint32_t n_inner;
	const uint32_t *inner;
	const struct fort_btf_record *const *records;
	const struct fort_kernel *kernel; /* or NULL: its types are not known */
	uint32_t target_id;               /* what it is attached to, in the kernel's types; or 0 */
	const char *target_name;          /* or NULL */
	bool vet;                         /* only to be judged */
	struct fort_print_names names;    /* of maps, for the log */
	const struct fort_info *info;     /* btf NULL: none; still to be matched with subprograms */
	uint32_t log_level;               /* FORT_LOG_* */
	struct fort_log *log;
};

/* Verifies and compiles. Returns 0 with *out, owned by the caller, or the command's errno. With
 * `vet`, what is safe but cannot run is accepted, and *out is NULL. Fills all of *report but err,
 * name, type, insns and log_tail either way.
 */
FORT_CHECKED int fort_road_load(const struct fort_road_request *request,
				struct fort_load_report *report, struct fort_road_program **out);
/* NULL is fine. */
void fort_road_unload(struct fort_road_program *program);

/* What PROG_TEST_RUN asks. Input is a private copy. */
struct fort_test_request {
	const void *data_in; /* packet; NULL for types without */
	uint32_t data_in_bytes;
	const void *ctx_in; /* the ABI's context (struct __sk_buff, xdp_md, arguments), or NULL */
	uint32_t ctx_in_bytes;
	uint32_t repeat; /* at least 1 */
	uint32_t flags;
	/* Where results go; rooms of FORT_TEST_DATA_BYTES and of the context's size. */
	void *data_out, *ctx_out;
};

struct fort_test_result {
	uint32_t retval;
	uint32_t duration_ns; /* of one run */
	uint32_t data_out_bytes, ctx_out_bytes;
	/* For whoever asks beyond bpf(2). */
	uint32_t runs; /* that were started */
	uint64_t total_ns;
	struct fort_abort abort;
	uint32_t ended_in; /* id of the program that was aborted, when another was entered; or 0 */
};

/* Runs a program. Returns 0, or -EINVAL for a context that its type does not take, -EFAULT when
 * the run was aborted, -ENOMEM.
 */
FORT_CHECKED int fort_road_test_run(struct fort_road_program *program,
				    const struct fort_test_request *request,
				    struct fort_test_result *result);

/* What programs of one type that may call each other have in common (store/area.h). */
struct fort_area;

/* Makes the program one of an area; `id` is its own. Not while it runs: waits for test runs. `area`
 * must outlive it. Returns 0, -ENOTSUP for programs that are only judged, or the system call's
 * error.
 */
FORT_CHECKED int fort_road_join(struct fort_road_program *program, struct fort_area *area,
				uint32_t id);
/* The same once more, when the area has other memory; there are no other threads. */
FORT_CHECKED int fort_road_rejoin(struct fort_road_program *program);
/* As others call it. */
const struct fort_tail *fort_road_tail(const struct fort_road_program *program);

/* What runs, for those who look at it (load/loaded.h); valid while it is loaded. */
const struct fort_loaded *fort_road_loaded(const struct fort_road_program *program);
/* The program as another process takes it in (load/package.h); valid while it is loaded. It is made
 * when somebody first asks. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_road_package(struct fort_road_program *program, struct fort_span *out);

/* What an attachment needs: where, what, and the program. */
struct fort_attach_request {
	const char *path; /* file that the probe lies in; valid while attached */
	uint64_t offset;  /* in the file */
	uint64_t ref_ctr_offset;
	bool returns; /* at the function's return */
	int32_t pid;  /* -1: every process */
	uint64_t cookie;
	struct fort_road_program *program;
	struct fort_map *const *maps; /* of the program, in its order */
	uint32_t n_maps;
};
