/* Small files of /proc, read without libc: by the loader about its target, and by the agent about
 * the process it lives in. Paths are relative to an open /proc/PID, because a target may see
 * another /proc, or none.
 */
#pragma once

#include "base/compiler.h"

#define FORT_STATUS_BYTES 4096u /* /proc/PID/status is about 1.5 KiB */
#define FORT_PATH_BYTES   48u   /* "task/4194304/status" */

/* Reads a file from its start, as much as fits, and ends it with NUL. The number of bytes, or
 * -errno.
 */
FORT_CHECKED long fort_procfs_read(int dir_fd, const char *path, char *text, size_t room);

/* "task/TID/name" */
void fort_procfs_task_path(char path[FORT_PATH_BYTES], int32_t tid, const char *name);

/* The number behind "NAME:" at the start of a line of a status file. False when there is none. */
FORT_CHECKED bool fort_procfs_field(const char *text, const char *name, unsigned base,
				    uint64_t *out);

/* Word `index` (from 0) behind "NAME:", in decimal: "Uid:" has four. */
FORT_CHECKED bool fort_procfs_field_word(const char *text, const char *name, unsigned index,
					 uint64_t *out);

/* The one-letter state of a thread ('R', 'S', 'D', 'T', 't', 'Z', ...), 0 when it is gone. */
char fort_procfs_state(const char *status);

/* Reads the next thread ids of an open "task" directory into tids. The number read, 0 at the end,
 * or -errno. `fd` is at the position where the last call stopped.
 */
FORT_CHECKED long fort_procfs_tids(int task_fd, int32_t *tids, size_t room);
