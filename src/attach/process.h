/* A process as the loader sees it from outside: its place in /proc, its memory, its mappings. */
#pragma once

#include <sys/types.h>

#include "base/text.h"

struct fort_process {
	pid_t pid;
	int proc_fd; /* /proc/PID */
	int pid_fd;
	int mem_fd;     /* its memory, read and write; of the program that ran when it was opened */
	char name[32];  /* "bash", for messages */
	int32_t thread; /* one that lives: the main thread, unless that has ended */
};

/* Opens a process that may be attached to. On failure why says what is in the way and what helps:
 * -ESRCH no such process, -EPERM no right, -EBUSY someone else traces it, -EAGAIN it is stopped,
 * -EOPNOTSUPP a kind of process that is not supported.
 */
FORT_CHECKED int fort_process_open(pid_t pid, struct fort_process *out, struct fort_text *why);
void fort_process_close(struct fort_process *process);

/* Memory of the process, wholly or not at all (-EFAULT). */
FORT_CHECKED int fort_process_read(const struct fort_process *process, uint64_t address, void *data,
				   size_t bytes);
FORT_CHECKED int fort_process_write(const struct fort_process *process, uint64_t address,
				    const void *data, size_t bytes);

/* Does the processor check returns of this process against a shadow stack? */
bool fort_process_has_shadow_stack(const struct fort_process *process);

/* One line of /proc/PID/maps. */
struct fort_region {
	uint64_t start, end, offset, inode;
	uint64_t device;
	int rights;       /* PROT_* */
	const char *path; /* "" for anonymous memory; in the list's memory */
	bool shared;
};

struct fort_regions {
	struct fort_region *region; /* in ascending order */
	size_t n;
	char *text;
};

/* The mappings of the process now. Freed by fort_regions_free. */
FORT_CHECKED int fort_regions_read(const struct fort_process *process, struct fort_regions *out);
void fort_regions_free(struct fort_regions *regions);

/* The mapping that starts at `start` now, without its path. Allocates nothing: a process that
 * shares the loader's memory may ask while the target stands still. False when there is none.
 */
FORT_CHECKED bool fort_regions_at(const struct fort_process *process, uint64_t start,
				  struct fort_region *out);

/* Room for `bytes` (whole pages) such that all of it is within `reach` of `near`, away from where
 * the heap and stacks grow. 0 when there is none.
 */
uint64_t fort_regions_gap(const struct fort_regions *regions, uint64_t near, uint64_t bytes,
			  uint64_t reach);
