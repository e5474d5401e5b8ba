/* The attacher: attaches the programs of a store to running processes, and knows what becomes of
 * those. It opens each process once, however many probes go there, loads each program into it once,
 * and leaves it when the last probe is detached.
 *
 * Any thread may call. The store's hooks and the functions here take turns.
 */
#pragma once

#include "attach/attach.h"
#include "store/store.h"

struct fort_attacher;

struct fort_attacher_options {
	struct fort_span agent;        /* as fort_target_options: outlives the attacher */
	struct fort_store_rings rings; /* of the store, which outlives the attacher */
};

/* Returns 0, -ENOMEM, or what the system refused. The caller owns *out. */
FORT_CHECKED int fort_attacher_create(const struct fort_attacher_options *options,
				      struct fort_attacher **out);
/* Detaches what is still attached, leaves all processes. The store's hooks must be off by then
 * (fort_store_set_attacher with no functions), or its events gone. */
void fort_attacher_free(struct fort_attacher *attacher);

/* For fort_store_set_attacher. Attaching returns -EOPNOTSUPP for what cannot be attached here, or
 * an error of attach.h; fort_attacher_why says what it was. */
struct fort_store_attacher fort_attacher_hooks(struct fort_attacher *attacher);

/* Adds to `text` why the last attempt to attach failed, "" if none did. */
void fort_attacher_why(struct fort_attacher *attacher, struct fort_text *text);

/* Opens a process and keeps it open until the end: probes for every process (pid -1) go to all that
 * were opened so; without one, such probes are refused. At most FORT_ATTACH_PROCESSES_MAX.
 */
FORT_CHECKED int fort_attacher_open(struct fort_attacher *attacher, pid_t pid,
				    struct fort_text *why);
/* The same for a program that is started: it waits, its libraries in place, before its first
 * instruction, until fort_attacher_start. A child of the caller, who waits for its end (waitpid).
 */
FORT_CHECKED int fort_attacher_spawn(struct fort_attacher *attacher, char *const argv[], pid_t *pid,
				     struct fort_text *why);
FORT_CHECKED int fort_attacher_start(struct fort_attacher *attacher, pid_t pid,
				     struct fort_text *why);

/* Readable when a process may have ended, or a program has crashed in one (store.h). */
int fort_attacher_fd(const struct fort_attacher *attacher);

struct fort_attacher_event {
	pid_t pid;
	char name[32];
	enum fort_target_state state; /* not OPEN: what became of it */
};
/* Takes the next event; false when there is none. What was attached there runs no more; detaching
 * it is still up to its owner. */
bool fort_attacher_next(struct fort_attacher *attacher, struct fort_attacher_event *out);

/* Takes in what the agents have said, so that fort_attacher_fd is readable only for what comes
 * after.
 */
void fort_attacher_listen(struct fort_attacher *attacher);

/* One program at one place in one process. */
struct fort_attacher_row {
	pid_t pid;
	const char *process, *path;
	uint64_t offset, address, cookie;
	bool returns;
	struct fort_probe_counts counts;
};
/* Calls visit for each, oldest first. Nothing of the attacher may be called from there. */
void fort_attacher_visit(struct fort_attacher *attacher,
			 void (*visit)(const struct fort_attacher_row *row, void *arg), void *arg);
