/* What the files of this layer know of an open target. */
#pragma once

#include "attach/attach.h"
#include "attach/image.h"
#include "attach/module.h"
#include "attach/protocol.h"

struct fort_target_site {
	struct fort_site_plan plan;
	bool known; /* the agent has it */
};

struct fort_target_block {
	uint64_t address;
	uint32_t used; /* bytes given away */
};

struct fort_target {
	struct fort_process process;
	struct fort_image image;
	int socket, poll_fd;
	struct fort_hello hello;
	enum fort_target_state state;
	bool has_left; /* FORT_LEFT came */
	struct fort_left left;
	uint32_t next_id;

	int counters_fd;
	uint64_t *counters; /* FORT_COUNTER_ROWS rows of `probes` */
	uint32_t probes;
	struct fort_probe **probe; /* by index; NULL: free */

	struct fort_module **module; /* opened so far */
	size_t n_modules;
	struct fort_target_site *site;
	uint32_t n_sites;
	struct fort_target_block block[FORT_BLOCKS_MAX];
	uint32_t n_blocks;
	bool shadow_stack, guarded;
};

/* Asks the agent and waits for the answer. Returns its error, explained in why, or -EPIPE when the
 * agent is gone, -ETIMEDOUT. */
FORT_CHECKED int fort_target_ask(struct fort_target *target, unsigned type, const void *body,
				 const int *fds, uint32_t n_fds, struct fort_answer *answer,
				 struct fort_text *why);

/* Opens the agent's end in a process. `traced`: see inject.h. Owns *process from here on. */
FORT_CHECKED int fort_target_enter(const struct fort_process *process, int32_t traced,
				   const struct fort_target_options *options,
				   struct fort_target **out, struct fort_text *why);

/* The module that `wanted` names (attach.h), opened once. */
FORT_CHECKED int fort_target_module(struct fort_target *target, const char *wanted,
				    struct fort_module **out, struct fort_text *why);

/* A site at a function, planned and known to the agent; *index is its number. */
FORT_CHECKED int fort_target_site(struct fort_target *target, const struct fort_module *module,
				  const struct fort_function *function, enum fort_site_kind kind,
				  uint32_t *index, struct fort_text *why);

/* Forgets the plan of a site, whose code has changed: the next call makes another. */
void fort_target_forget_site(struct fort_target *target, uint32_t index);

/* May the return of this function be probed? Guards the process's unwinders first. */
FORT_CHECKED int fort_target_guard(struct fort_target *target, const struct fort_module *module,
				   const struct fort_function *function, bool *keep_pending,
				   struct fort_text *why);
