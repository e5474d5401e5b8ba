/* Probes in running processes, seen from above: open a target, load program packages into it,
 * attach programs to functions.
 *
 *   fort_target_open or _spawn ─▶ fort_target_load ─▶ fort_probe_attach ... fort_probe_detach ─▶
 *   fort_target_close
 *
 * A target belongs to one thread at a time. Every function that can fail for a reason that a user
 * should read adds it to `why` (what, why, what helps) and returns a negative errno beside.
 */
#pragma once

#include <sys/types.h>

#include "base/span.h"
#include "base/text.h"

struct fort_target; /* a process with our agent in it */
struct fort_probe;  /* one program at one function */

struct fort_target_options {
	struct fort_span agent; /* the agent's image; lives as long as the target */
	uint32_t probes;        /* how many may be attached, at most FORT_PROBES_MAX; 0: 1024 */
};

/* Opens a running process of ours: brings an agent into it. Its threads stand still for less than a
 * millisecond; nothing of it changes that it could see. Several loaders may have one target open.
 */
FORT_CHECKED int fort_target_open(pid_t pid, const struct fort_target_options *options,
				  struct fort_target **out, struct fort_text *why);

/* Starts a program and opens it: it waits, its libraries mapped and initialised, before its own
 * first instruction, until fort_target_start. If the loader dies before that, it runs unprobed.
 */
FORT_CHECKED int fort_target_spawn(char *const argv[], const struct fort_target_options *options,
				   struct fort_target **out, struct fort_text *why);
/* Also 0 when the program has ended since: fort_target_poll knows. */
FORT_CHECKED int fort_target_start(struct fort_target *target, struct fort_text *why);

/* Detaches everything, takes the agent away and frees the target. Returns 0 when the process is as
 * it was; -EBUSY when the agent has work left that it will do by itself (why says what); the
 * programs are off in any case. Probes that are still attached are freed with it.
 */
int fort_target_close(struct fort_target *target, struct fort_text *why);

pid_t fort_target_pid(const struct fort_target *target);

enum fort_target_state {
	FORT_TARGET_OPEN,
	FORT_TARGET_EXITED,   /* the process ended */
	FORT_TARGET_REPLACED, /* it runs another program now (execve) */
	FORT_TARGET_LEFT,     /* the agent left by itself: the process changed its user */
};

/* Readable when the state may have changed; fort_target_poll then says what it is. */
int fort_target_fd(const struct fort_target *target);
enum fort_target_state fort_target_poll(struct fort_target *target);

/* Loads a package: opaque bytes, and descriptors that its maps and rings are in. All stay the
 * caller's. *package is its number in this target.
 */
FORT_CHECKED int fort_target_load(struct fort_target *target, struct fort_span package,
				  const int *fds, uint32_t n_fds, uint32_t *number,
				  struct fort_text *why);
/* -EBUSY while a program of it is attached or runs. */
FORT_CHECKED int fort_target_unload(struct fort_target *target, uint32_t package,
				    struct fort_text *why);

struct fort_probe_spec {
	/* Where: a function of a file that the target has mapped. */
	const char *module;   /* path, "libc.so.6", "libc", or NULL: the program itself */
	const char *function; /* name, or name@VERSION; NULL: by offset */
	uint64_t offset;      /* file offset of a function's first instruction */
	/* What: program `program` of a loaded package. */
	bool is_return;
	uint32_t package, program;
	uint64_t cookie;
};

FORT_CHECKED int fort_probe_attach(struct fort_target *target, const struct fort_probe_spec *spec,
				   struct fort_probe **out, struct fort_text *why);

/* Detaches and frees. When it returns 0, no run of the program for this probe is under way;
 * -EBUSY: one is, in a thread that does not run. If the code could not be restored now, that is
 * done when the target is closed. */
int fort_probe_detach(struct fort_probe *probe, struct fort_text *why);

struct fort_probe_counts {
	uint64_t hits;    /* runs of the program */
	uint64_t missed;  /* calls (or returns) while the thread was in a hit, and the like */
	uint64_t aborted; /* of the hits: runs ended early, for fuel or a bad argument */
};
/* May be read at any time, also after the target has ended. */
struct fort_probe_counts fort_probe_counts(const struct fort_probe *probe);
/* Address of the function in the process. */
uint64_t fort_probe_address(const struct fort_probe *probe);
