/* Where the values of a state come from: a shadow of it that follows one path.
 *
 * Each register and slot has an origin: the instruction that made its value, or the last one that
 * changed what is known of it; and from there the origins of what flowed in. The newest
 * FORT_ORIGINS_MAX are kept. Nothing here is trusted: explanations are made of it.
 */
#pragma once

#include "verify/effect.h"

enum fort_origin_kind {
	FORT_ORIGIN_START,   /* it was there when the path began */
	FORT_ORIGIN_MADE,    /* the instruction's result */
	FORT_ORIGIN_LEARNED, /* a comparison said something of it */
	FORT_ORIGIN_GONE,    /* it ended: registers of a call, something given back */
	FORT_ORIGIN_PASSED,  /* to a function, or back from it */
	FORT_ORIGIN_JOINED,  /* it was joined with those of other paths */
};

struct fort_origin {
	uint32_t number, pc; /* the instruction: its place on the path, and in the program */
	uint8_t kind;        /* enum fort_origin_kind */
	struct fort_cell cell;
	uint32_t from; /* the origin before, or of the first operand; 0: none, or forgotten */
	uint32_t with; /* of the second operand: what was added, or compared with; an address */
};

struct fort_origins {
	const struct fort_env *env;
	struct fort_arena *arena;
	struct fort_pool *pool;
	struct fort_origin *list; /* a ring: origin i is at i % room */
	uint32_t n, room;         /* n: the newest */
	uint32_t regs[FORT_FRAMES_MAX][FORT_REGS], slots[FORT_FRAMES_MAX][FORT_STACK_SLOTS];
	/* Of the instruction that is being applied. */
	struct fort_effect effect;
	struct fort_effect_room effect_room;
	struct fort_state *was; /* before it, where that is needed; else NULL */
	uint32_t pc, number, frames;
};

/* A path begins with this state. All false for want of memory: the shadow is then worth nothing. */
FORT_CHECKED bool fort_origins_begin(struct fort_origins *o, const struct fort_env *env,
				     struct fort_arena *arena, struct fort_pool *pool,
				     const struct fort_state *state, uint32_t pc);
/* Around each instruction: `number` counts them. */
FORT_CHECKED bool fort_origins_before(struct fort_origins *o, const struct fort_state *state,
				      uint32_t pc, uint32_t number);
FORT_CHECKED bool fort_origins_after(struct fort_origins *o, const struct fort_state *state);
/* The state was replaced by one that covers it and others. `was`: before. */
FORT_CHECKED bool fort_origins_joined(struct fort_origins *o, const struct fort_state *was,
				      const struct fort_state *state, uint32_t pc, uint32_t number);

/* The origin of a register or slot, 0 for none; and origins by number, NULL for 0 and for those
 * that are forgotten. */
uint32_t fort_origins_of(const struct fort_origins *o, struct fort_cell cell);
const struct fort_origin *fort_origins_at(const struct fort_origins *o, uint32_t origin);

/* Is more or less known of a value than of the other: its kind, flags, number? */
bool fort_value_differs(const struct fort_value *a, const struct fort_value *b);
