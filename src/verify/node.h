/* Nodes: the states at which the search looked for a covering one, and how they hang together.
 *
 * A node is a state on arrival at a cut point. Its region is what can happen from it until paths
 * end, or arrive at further nodes. When its last path ends it is finished: then it is known what
 * of it mattered, and it may end other paths.
 */
#pragma once

#include "verify/trace.h"

struct fort_node;

/* How a path of a region went on: into a new node, or ended at a finished one. */
struct fort_arrival {
	struct fort_arrival *next;
	struct fort_node *node;
	bool child;
};

struct fort_node {
	struct fort_node *parent;
	struct fort_trace_entry *came_from; /* last instruction of the parent's path */
	struct fort_node *next;             /* finished node at the same instruction */
	struct fort_arrival *arrivals, *last_arrival;
	struct fort_trace_mark mark; /* the trace when it began */
	struct fort_span full;       /* claim of all that is known */
	struct fort_span claim;      /* of what mattered; when finished */
	struct fort_need need;       /* when finished */
	uint64_t key;                /* hash of the call chain */
	uint32_t pc, open, hits;     /* open: paths that have not ended */
	uint32_t order;              /* of finishing; place in the certificate if hits > 0 */
	bool finished;
};

/* Writes the certificate of a finished root. `finished` holds all nodes in the order in which
 * they finished. Returns 0, -ENOMEM, or -EFBIG. */
FORT_CHECKED int fort_emit_certificate(const struct fort_env *env, struct fort_arena *arena,
				       struct fort_node *root, struct fort_node **finished,
				       uint32_t n_finished, uint64_t steps, struct fort_buf *out);
