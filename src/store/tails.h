/* Program arrays of a store: which programs are in them, and how long.
 *
 * A program in an array is alive, also when nothing else has it; and a program that names an array
 * has that. So that neither keeps the other for ever, an array gives up its programs when its last
 * descriptor goes (K: map_release_uref); until there is a descriptor again, it takes none.
 *
 * A run finds programs in an array without a lock. What was taken out goes away when the runs are
 * over that might have found it (struct fort_grace).
 */
#pragma once

#include "store/call.h"

/* The commands on elements, of program arrays that run. In the kernel's order of checks. */
FORT_CHECKED int fort_tails_lookup(struct fort_map_object *map, uint32_t index, uint32_t *id);
FORT_CHECKED int fort_tails_update(struct fort_map_object *map, uint32_t index, int prog_fd,
				   uint64_t flags);
FORT_CHECKED int fort_tails_delete(struct fort_map_object *map, uint32_t index);

/* Is a program, loaded but not published, one for all arrays that it names? 0 or -EINVAL. Of those
 * that were nobody's it is the first (K: bpf_check_tail_call). */
FORT_CHECKED int fort_tails_check(struct fort_prog_object *prog);
/* Once it has its id: prepares a program that names arrays to call others. */
FORT_CHECKED int fort_tails_prepare(struct fort_prog_object *prog);

/* Has it tail calls to make? */
bool fort_tails_has(const struct fort_prog_object *prog);

/* All programs go. */
void fort_tails_clear(struct fort_map_object *map);
/* With an array that is freed, which is empty. */
void fort_tails_free(struct fort_map_object *map);

/* In the child of a fork. */
void fort_tails_forked(struct fort_store *store);
void fort_tails_close(struct fort_store *store);
