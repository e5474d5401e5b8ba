/* Verification of one file, program by program, in a process of its own: what it comes to is
 * written down piece by piece, so that of a process that crashes all is there but the program that
 * did it.
 */
#pragma once

#include "cli/object.h"
#include "cli/kernel_types.h"

enum fort_vet_verdict {
	FORT_VET_ACCEPT,
	FORT_VET_REJECT,
	FORT_VET_UNSUPPORTED, /* it needs what bpfort does not know yet */
	FORT_VET_ERROR,       /* it was not judged */
};

/* What the running kernel says of it. */
struct fort_vet_kernel {
	bool asked;
	uint8_t verdict; /* enum fort_vet_verdict: ACCEPT, REJECT, ERROR */
	uint64_t us, insns_processed, states, peak_states;
	char words[512]; /* the last line of a rejection, or why there is no verdict */
};

/* One program. Plain: it goes from process to process as it is. */
struct fort_vetted {
	char name[128], section[128], type[32];
	uint8_t verdict; /* enum fort_vet_verdict */
	uint64_t insns;
	struct fort_loading loading;
	struct fort_vet_kernel kernel;
	char words[1024]; /* libbpf's, of a program that was not judged */
	char hint[512];   /* what is missing by its name, and what is near; or "" */
	uint64_t log_bytes;
};

/* What is seen of the work while it is done; shared memory. */
struct fort_vet_page {
	uint32_t n_done, n_programs;
	char now[128];  /* program at work, or "" */
	char why[1024]; /* the file was not read */
};

struct fort_vet_request {
	const char *prog; /* only this program; NULL: all */
	const char *type; /* of programs whose section says none; NULL: none */
	/* Is this program wanted? */
	bool (*wants)(void *owner, const char *path, const char *prog);
	void *owner;
	uint32_t log_level; /* FORT_LOG_* */
	bool kernel;        /* ask the running kernel too */
	const struct fort_kernel_types *types;
};

/* Appends a struct fort_vetted for each program to `fd`, each with log_bytes of log behind it.
 * Returns 0 or a negative errno with page->why. */
FORT_CHECKED int fort_vet_file(const struct fort_vet_request *request, const char *path, int fd,
			       struct fort_vet_page *page);

const char *fort_vet_verdict_name(uint8_t verdict);
