/* An arena: memory that is handed out piece by piece and given back all at once, or back to a
 * mark. Everything that lives as long as one load (or one check, or one compiled program) hangs
 * off one arena, so that an error path frees nothing by hand.
 */
#pragma once

#include "base/compiler.h"

struct fort_arena {
	struct fort_arena_chunk *top;
	size_t used_bytes;  /* handed out and chunk headers, for the limit */
	size_t limit_bytes; /* alloc fails beyond */
	uint64_t fail_at;   /* fault injection: the n-th allocation fails; 0 never */
	uint64_t allocs;
};

struct fort_arena_mark {
	struct fort_arena_chunk *top;
	size_t chunk_used, used_bytes;
};

void fort_arena_init(struct fort_arena *arena, size_t limit_bytes);
/* The same, and the first pieces are taken from memory of the caller's, which outlives what is in
 * it: aligned to 16, FORT_ARENA_ON_BYTES of it for the arena's own use. */
#define FORT_ARENA_ON_BYTES 32u
void fort_arena_init_on(struct fort_arena *arena, size_t limit_bytes, void *memory, size_t bytes);
/* Gives all memory back; the arena may be used again. */
void fort_arena_free(struct fort_arena *arena);

/* Takes everything back, and keeps up to `keep_bytes` of memory for what comes next: pages that
 * were there before cost nothing. */
void fort_arena_reset(struct fort_arena *arena, size_t keep_bytes);

/* Zeroed memory aligned to 16, or NULL when the limit or the system refuses. */
void *fort_arena_alloc(struct fort_arena *arena, size_t bytes);
/* The same, with whatever was there before. */
void *fort_arena_room(struct fort_arena *arena, size_t bytes);
/* Zeroed, for `count` items of `bytes`; NULL on overflow too. */
void *fort_arena_array(struct fort_arena *arena, size_t count, size_t bytes);
void *fort_arena_copy(struct fort_arena *arena, const void *data, size_t bytes);

/* Rewinding to a mark invalidates everything allocated since it was taken. */
struct fort_arena_mark fort_arena_mark(const struct fort_arena *arena);
void fort_arena_rewind(struct fort_arena *arena, struct fort_arena_mark mark);

#define FORT_ARENA_NEW(arena, type) ((type *)fort_arena_alloc((arena), sizeof(type)))
#define FORT_ARENA_ARRAY(arena, count, type) \
	((type *)fort_arena_array((arena), (count), sizeof(type)))
