/* Calls of helpers as text: for each argument of a prototype, values that it takes and values that
 * it does not, so that the kernel can be asked what it expects.
 */
#pragma once

#include "abi/helpers.h"
#include "kernel_hooks.h"

/* Maps of every program here, by number. */
enum proto_map {
	PROTO_HASH,   /* keys and values of 8 bytes */
	PROTO_ARRAY,  /* one value of 64 bytes */
	PROTO_TEXT,   /* the same, frozen: "%d" and zeros; programs may not write */
	PROTO_FIELDS, /* array: a value with a lock, one with a timer, one with a pointer */
	PROTO_TIMER,
	PROTO_KPTR,
	PROTO_PERCPU,
	PROTO_RING,
	PROTO_USER_RING,
	PROTO_PROGS,
	PROTO_EVENTS,
	PROTO_STACKS,
	PROTO_CGROUPS,
	PROTO_DEVICES,
	PROTO_SOCKMAP,
	PROTO_SOCKHASH,
	PROTO_REUSEPORT,
	PROTO_QUEUE,
	PROTO_CG_STORAGE,
	PROTO_SK_STORAGE,
	PROTO_INODE_STORAGE,
	PROTO_TASK_STORAGE,
	PROTO_CGRP_STORAGE,
	PROTO_MAPS
};

struct proto_lab {
	int fds[PROTO_MAPS];
	/* What MAP arguments get in place of the helper's own, and whether its values are sockets.
	 */
	bool other_map, of_sockets;
	uint32_t map_index;
	uint32_t percpu_id;   /* BTF id of a per-CPU variable that programs may name; 0 for none */
	uint32_t path_offset; /* of f_path in struct file */
};

/* Returns 0 or -errno. */
FORT_CHECKED int proto_lab_open(struct proto_lab *lab);
void proto_lab_close(struct proto_lab *lab);

/* The map that a helper's MAP argument gets. */
enum proto_map proto_map_of(const struct fort_helper_info *helper);

/* Instructions before the call that make what argument `arg` (from 0) needs, in r8 (the context is
 * in r6), and those that put it into its register. False when it cannot be made for this kind of
 * program. */
bool proto_argument(const struct proto_lab *lab, const struct kernel_hook *hook,
		    const struct fort_helper_info *helper, unsigned arg, struct fort_text *before,
		    struct fort_text *at);
