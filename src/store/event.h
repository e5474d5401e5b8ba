/* Perf events of the uprobe PMU: a place in a file, and the program that runs there while the
 * event is enabled.
 */
#pragma once

#include "store/object.h"

/* The kernel's type number for such events, or a free one if it has none. */
uint32_t fort_event_uprobe_type(void);

/* Gives an event its program; the event takes a reference. Attaches if the event is enabled.
 * Returns 0; -EEXIST when it has one; -EINVAL for a program that does not fit; or the attacher's
 * error, without change.
 */
FORT_CHECKED int fort_event_set_prog(struct fort_event_object *event, struct fort_prog_object *prog,
				     uint64_t cookie);
/* Detaches if it is this program's; it stays so until it is enabled anew. */
void fort_event_detach(struct fort_event_object *event, const struct fort_prog_object *prog);
/* Detaches, and takes it back. */
void fort_event_clear_prog(struct fort_event_object *event);
/* Returns 0 or the attacher's error, without change. */
FORT_CHECKED int fort_event_enable(struct fort_event_object *event, bool enable);

/* In the child of a fork: what is attached is the parent's. */
void fort_event_forked(struct fort_store *store);
