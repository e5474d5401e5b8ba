/* The embedded object store: maps, programs, links, BTF and perf events of this process, behind
 * bpf(2), perf_event_open(2) and ioctl(2) as the kernel has them.
 *
 * A store hangs off its handle: two in one process do not know each other. Objects are real file
 * descriptors (spec: a map is its values memfd, all others are one end of a socket pair) and are
 * recognised by what they are (device and inode), never by their number, so that dup, fork and
 * passing them need no help. An object lives as long as a descriptor, a mapping or another object
 * uses it. The last close is noticed without a hook: at the next call, or by fort_store_reap.
 *
 * Any thread may call. Functions return a value or a negative errno, and leave errno alone.
 */
#pragma once

#include <linux/perf_event.h>
#include <sys/types.h>

#include "store/caller.h"
#include "store/road.h"

struct fort_kernel;
struct fort_store;
struct fort_map;

/* Returns 0, -ENOMEM, or what the system refused. The caller owns *out. */
FORT_CHECKED int fort_store_create(struct fort_store **out);
/* Detaches what is attached and frees everything. Descriptors that clients hold stay valid as
 * descriptors, but belong to nothing any more. */
void fort_store_free(struct fort_store *store);

/* bpf(2) of the calling process, or of `caller`. */
long fort_store_bpf(struct fort_store *store, int cmd, void *attr, unsigned int size);
long fort_store_bpf_for(struct fort_store *store, const struct fort_caller *caller, int cmd,
			uint64_t attr, unsigned int size);

/* perf_event_open(2) for events of the uprobe PMU; -ENOENT for all other types. */
long fort_store_perf_event_open(struct fort_store *store, const void *attr, pid_t pid, int cpu,
				int group_fd, unsigned long flags);
/* The type number of that PMU: the kernel's if it has one, a free number otherwise. */
uint32_t fort_store_uprobe_type(const struct fort_store *store);

/* ioctl(2) on a perf event. False when `fd` is none of ours: the call belongs to the kernel. */
bool fort_store_ioctl(struct fort_store *store, int fd, unsigned long request, unsigned long arg,
		      long *result);

/* Drops objects whose last descriptor was closed. Calls do it on their own; a process that makes
 * none for long waits for fort_store_poll_fd to become readable, and maps once a second. */
void fort_store_reap(struct fort_store *store);
int fort_store_poll_fd(const struct fort_store *store);

/* Around fork, as for pthread_atfork: the child has a store of its own on the same objects. */
void fort_store_before_fork(struct fort_store *store);
void fort_store_after_fork(struct fort_store *store, bool child);

/* What attaches programs. `attach` returns 0 and what `detach` takes, or a negative errno. Both
 * are called without locks held, one at a time for each event. */
struct fort_store_attacher {
	int (*attach)(void *owner, const struct fort_attach_request *request, void **attachment);
	void (*detach)(void *owner, void *attachment);
	void *owner;
};
void fort_store_set_attacher(struct fort_store *store, const struct fort_store_attacher *attacher);

/* What the last PROG_LOAD came to; `listener` is called after each. The report is valid until the
 * next load. */
typedef void fort_store_listener(void *owner, const struct fort_load_report *report);
void fort_store_set_listener(struct fort_store *store, fort_store_listener *listener, void *owner);
const struct fort_load_report *fort_store_last_load(const struct fort_store *store);
/* What the last PROG_TEST_RUN came to, also when it was aborted; valid until the next. */
const struct fort_test_result *fort_store_last_run(const struct fort_store *store);

/* How programs that are loaded from now on run. The default is the interpreter under SFI. Returns
 * 0, -EOPNOTSUPP for an isolation that the engine does not have, or fort_keys_open's errors for one
 * that the machine does not have. */
FORT_CHECKED int fort_store_set_engine(struct fort_store *store, const struct fort_engine *engine,
				       enum fort_isolation isolation);
const struct fort_engine *fort_store_engine(const struct fort_store *store);
enum fort_isolation fort_store_isolation(const struct fort_store *store);

/* What becomes of programs, loaded from now on, whose runs end early (load/crash.h). The default is
 * that crashes are told and nothing is done. The policy goes with a program into all processes. */
void fort_store_set_crash_policy(struct fort_store *store, const struct fort_crash_policy *policy);

/* A crash, and what it was that crashed: names are "" and numbers 0 when it is not known any more.
 */
struct fort_store_crash {
	struct fort_crash_event event;
	uint32_t prog_id;
	char prog[FORT_NAME_BYTES];
	char file[256], text[256]; /* the source line of the instruction */
	uint32_t line;
	bool attached; /* in another process, not in a test run */
};
/* Takes the next crash; false when there is none. A program whose policy says so is detached from
 * what it is attached to here; processes that it runs in do that on their own. */
bool fort_store_next_crash(struct fort_store *store, struct fort_store_crash *out);
/* Readable when there may be a crash to take: of this process at once, of others when the last was
 * taken; of their first, fort_attacher_fd tells. */
int fort_store_crash_fd(const struct fort_store *store);
/* Crashes that found no room in the ring. */
uint64_t fort_store_crashes_lost(const struct fort_store *store);

/* Are constants of programs loaded from now on kept out of machine code as they are (engine.h)? For
 * programs of those who are not trusted; costs some speed. The default is no: whoever embeds a
 * store loads for itself. */
void fort_store_set_blinding(struct fort_store *store, bool blind);

/* Is machine code of programs loaded from now on sealed in memory (engine.h)? For processes that
 * load what they need and keep it: it stays when programs are unloaded, and after FORT_SEALED_MAX
 * programs loads fail with -ENOSPC. Returns 0, or -EOPNOTSUPP where the kernel has no mseal(2). */
FORT_CHECKED int fort_store_set_sealing(struct fort_store *store, bool seals);

/* From now on the store only judges: maps of every type that the kernel has can be made, and are
 * shapes (map.h, hollow); programs of every type are verified and their certificates checked, those
 * that are safe get a descriptor, and none of them can run. `kernel`: the types of the kernel that
 * they are meant for (step/kernel.h), which may be shared and outlive the store; NULL: not known.
 */
void fort_store_set_vetting(struct fort_store *store, const struct fort_kernel *kernel);

/* Do programs that are loaded from now on count how often each of their instructions runs? Only the
 * interpreter does. */
void fort_store_set_counting(struct fort_store *store, bool counts);

/* What is behind a program's descriptor, for readers that go past bpf(2). Valid while it is open.
 */
struct fort_store_program {
	const char *name;
	const struct fort_loaded *loaded; /* load/loaded.h; NULL: it cannot run */
	const struct fort_info *info;
	uint8_t tag[8];
	uint32_t verified_insns;
	uint32_t n_maps; /* that it names */
	const char *maps[FORT_MAPS_PER_PROG_MAX];
};

/* Returns 0, -EBADF or -EINVAL. */
FORT_CHECKED int fort_store_program(struct fort_store *store, int fd,
				    struct fort_store_program *out);

/* The rings that all programs of the store write to, in all processes; the store's. Whoever reads
 * the trace is alone; the store reads of crashes. */
struct fort_store_rings {
	struct fort_map *trace;   /* lines of trace_printk (helper/trace.h) */
	struct fort_map *crashes; /* load/crash.h */
};
struct fort_store_rings fort_store_rings(const struct fort_store *store);

/* The map behind a descriptor, for readers that go past bpf(2). Valid while the descriptor is
 * open. Returns 0, -EBADF or -EINVAL. */
FORT_CHECKED int fort_store_map(struct fort_store *store, int fd, struct fort_map **out);
