/* Files verified by several processes at once, one process for each file. A process that crashes
 * takes its file with it, not the others, and not what it had found out before.
 */
#pragma once

#include "cli/vet.h"

struct fort_job {
	const char *path;
	/* What it came to. */
	struct fort_vetted **programs; /* in the file's order */
	char **logs;                   /* of each, or NULL */
	size_t n_programs;
	char *error; /* why the file was not read to its end, or NULL */
	/* While it runs. */
	pid_t pid; /* 0: it does not */
	int fd;
	struct fort_vet_page *page;
};

/* Does all jobs, of which only `path` is set, `n_workers` at a time. With `progress`, a bar on
 * standard error says how far it is. Returns 0, or a negative errno if not even that. */
FORT_CHECKED int fort_jobs_run(const struct fort_vet_request *request, struct fort_job *jobs,
			       size_t n_jobs, uint32_t n_workers, bool progress);
void fort_jobs_free(struct fort_job *jobs, size_t n_jobs);
