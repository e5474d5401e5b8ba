/* Inside verify/: one attempt of the search, shared by the files that make it up. */
#pragma once

#include "verify/join.h"
#include "verify/narrate.h"
#include "verify/point.h"
#include "verify/verify.h"

/* How much an attempt keeps apart. */
struct fort_policy {
	uint32_t keep;  /* states at one point that only numbers tell apart */
	uint32_t turns; /* times around a loop before an invariant is looked for */
	uint32_t draws; /* the same, of loops that take elements from an iterator */
	bool constants; /* states with the same constants are joined at once */
	bool straight;  /* only where what was found is in no loop: loops are as they were */
};

/* A path of the region that waits for its turn: the jumping side of a fork. */
struct fort_waiting {
	struct fort_waiting *next;
	struct fort_state *state;
	const struct fort_trail *trail;
	uint32_t pc, from;
};

enum fort_progress { FORT_GOES_ON, FORT_ENDS, FORT_REJECTED, FORT_FAILED };

struct fort_search {
	struct fort_env *env;
	const struct fort_verify_options *options;
	struct fort_verify_result *result;
	struct fort_narrator *narrator; /* of everything that is looked at, or NULL */
	const struct fort_policy *policy;
	const struct fort_loops *loops;
	const struct fort_live *live;
	const uint64_t *loads; /* of each function: slots that it loads */
	struct fort_widening widening;
	struct fort_arena *arena;
	struct fort_pool pool;
	struct fort_points points;
	struct fort_spot **roots; /* the program, then what is demanded, in that order */
	bool *demanded; /* of each of them: surely, by a path that was walked without joins */
	uint32_t n_roots, n_known, n_layers; /* known: of the demands, those that were noticed */
	uint64_t work;                       /* instructions, comparisons and joins */
	struct fort_buf body, ghosts;        /* of a claim being written */
	/* The region being worked on. */
	struct fort_spot *spot;
	struct fort_spot **edges;
	uint32_t n_edges, edges_room;
	struct fort_waiting *todo, *spare;
	/* The path being walked. */
	struct fort_state *state;
	const struct fort_trail *trail;
	uint32_t pc, before; /* before: the instruction that led here */
	bool exact;
	bool again; /* the region will be worked on once more */
	bool own;   /* what was found is the search's own, no instruction's fault */
	/* What the attempt before found, which this one is to show to be no fault. */
	struct fort_violation doubt;
	int err;
};

/* Fails for want of memory. */
enum fort_progress fort_search_no_memory(struct fort_search *s);
enum fort_progress fort_search_reject(struct fort_search *s, enum fort_diag diag, int64_t arg);

/* Did the search come to its limit? */
static inline bool fort_is_out_of_budget(const struct fort_violation *violation)
{
	return violation->diag == FORT_DIAG_TOO_LARGE ||
	       violation->diag == FORT_DIAG_TOO_MANY_STATES;
}

/* The path is at a cut point: FORT_ENDS when a spot took it over, FORT_GOES_ON when it is alone.
 * `jumped`: it is the jumping side of a fork whose other side goes on. */
enum fort_progress fort_search_arrive(struct fort_search *s, bool jumped);
/* Readies a spot for work: *out is the state to walk from, the caller's. */
enum fort_progress fort_search_begin(struct fort_search *s, struct fort_spot *spot,
				     struct fort_state **out);

/* What a spot of the roots stands for. */
struct fort_root fort_search_root(const struct fort_search *s, uint32_t root);

/* Layers (layer.c). */
/* `before`: the layer of the time around before, or NULL for the first. */
struct fort_layer *fort_layer_new(struct fort_search *s, struct fort_point *point,
				  struct fort_layer *outer, struct fort_layer *before);
/* Is it one that later ones are compared with? */
bool fort_layer_is_probe(const struct fort_layer *layer);
/* The innermost layer of `layer` and those around it whose loop has this instruction. */
struct fort_layer *fort_layer_around(const struct fort_search *s, struct fort_layer *layer,
				     const struct fort_context *context, uint32_t pc);
/* How many elements the loop's iterators gave before it began does not matter to its invariant. */
void fort_layer_forget_counts(const struct fort_search *s, const struct fort_layer *layer,
			      struct fort_state *state);
/* Forgets everything that came from the layer, so that its states can be worked on again. */
void fort_layer_clear(struct fort_search *s, struct fort_layer *layer);
/* Remembers what may show progress, in a state of the layer that is about to be worked on. */
void fort_layer_enter(struct fort_search *s, struct fort_layer *layer, struct fort_state *state);
/* A state came around: which of the candidates went on? Takes their ghosts out of it. */
void fort_layer_around_again(struct fort_layer *layer, struct fort_state *state);
/* After the first round none of the candidates may be left: others are what moved in it. */
void fort_layer_choose_again(struct fort_search *s, struct fort_layer *layer,
			     const struct fort_counters *counters, const struct fort_state *before,
			     const struct fort_state *after);
/* Drops ghosts of loops that the state has left. */
void fort_layer_leave(struct fort_state *state, const struct fort_layer *origin);
/* The candidate that went on each time, or NULL. */
const struct fort_rank *fort_layer_rank(const struct fort_layer *layer);

/* Constants that numbers are compared with, for widening. Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_thresholds_find(struct fort_arena *arena, const struct fort_program *program,
				      struct fort_widening *out);

/* Writes the certificate of an attempt that accepted. Returns 0; -ENOMEM; -EFBIG for one that is
 * too large; -ELOOP when it does not show that all loops end: *pc is then the head of one. */
FORT_CHECKED int fort_search_emit(struct fort_search *s, uint32_t *pc);
