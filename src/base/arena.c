#include "base/arena.h"

#include <string.h>

#include "base/limits.h"
#include "base/pages.h"

#define CHUNK_BYTES_MIN (64u << 10)
#define CHUNK_BYTES_MAX (1u << 20)

struct fort_arena_chunk {
	struct fort_arena_chunk *below;
	size_t bytes, used; /* header included */
	bool borrowed;
};

static const size_t header_bytes = FORT_ARENA_ON_BYTES;

void fort_arena_init(struct fort_arena *arena, size_t limit_bytes)
{
	*arena = (struct fort_arena){.limit_bytes = limit_bytes};
}

void fort_arena_init_on(struct fort_arena *arena, size_t limit_bytes, void *memory, size_t bytes)
{
	struct fort_arena_chunk *chunk = memory;

	_Static_assert(sizeof(*chunk) <= FORT_ARENA_ON_BYTES, "a chunk's header");
	*chunk = (struct fort_arena_chunk){.bytes = bytes, .used = header_bytes, .borrowed = true};
	*arena = (struct fort_arena){.limit_bytes = limit_bytes, .top = chunk};
}

static void free_chunk(struct fort_arena_chunk *chunk)
{
	if (!chunk->borrowed)
		fort_pages_free(chunk, chunk->bytes);
}

static void pop_chunk(struct fort_arena *arena)
{
	struct fort_arena_chunk *top = arena->top;

	arena->top = top->below;
	free_chunk(top);
}

void fort_arena_free(struct fort_arena *arena)
{
	while (arena->top)
		pop_chunk(arena);
	arena->used_bytes = 0;
}

/* The newest that is not too large, as chunks grow. */
void fort_arena_reset(struct fort_arena *arena, size_t keep_bytes)
{
	struct fort_arena_chunk *kept = NULL;

	while (arena->top) {
		struct fort_arena_chunk *chunk = arena->top;

		arena->top = chunk->below;
		if (!kept && chunk->bytes <= keep_bytes)
			kept = chunk;
		else
			free_chunk(chunk);
	}
	if (kept) {
		kept->below = NULL;
		kept->used = header_bytes;
	}
	arena->top = kept;
	arena->used_bytes = 0;
}

/* Chunks double up to a size at which the cost of mmap no longer shows. */
static bool push_chunk(struct fort_arena *arena, size_t need)
{
	bool grows = arena->top && !arena->top->borrowed;
	size_t bytes = grows ? arena->top->bytes * 2 : CHUNK_BYTES_MIN;
	struct fort_arena_chunk *chunk;
	void *pages;

	if (bytes > CHUNK_BYTES_MAX)
		bytes = CHUNK_BYTES_MAX;
	if (bytes < need + header_bytes)
		bytes = fort_round_up(need + header_bytes, FORT_PAGE_BYTES);
	/* What does not fit into the first chunk will need most of the others: their pages come at
	 * once, for less than one by one. */
	if (grows ? fort_pages_alloc_present(bytes, &pages) : fort_pages_alloc(bytes, &pages))
		return false;
	chunk = pages;
	*chunk = (struct fort_arena_chunk){.below = arena->top,
					   .bytes = bytes,
					   .used = header_bytes};
	arena->top = chunk;
	return true;
}

void *fort_arena_room(struct fort_arena *arena, size_t bytes)
{
	struct fort_arena_chunk *top = arena->top;
	size_t need;
	uint8_t *at;

	if (bytes > arena->limit_bytes || ++arena->allocs == arena->fail_at)
		return NULL;
	need = fort_round_up(bytes ? bytes : 1, 16);
	if (need > arena->limit_bytes - arena->used_bytes)
		return NULL;
	if (!top || need > top->bytes - top->used) {
		if (!push_chunk(arena, need))
			return NULL;
		top = arena->top;
	}
	at = (uint8_t *)top + top->used;
	top->used += need;
	arena->used_bytes += need;
	return at;
}

void *fort_arena_alloc(struct fort_arena *arena, size_t bytes)
{
	void *at = fort_arena_room(arena, bytes);

	if (at)
		memset(at, 0, bytes); /* a rewound chunk is dirty */
	return at;
}

void *fort_arena_array(struct fort_arena *arena, size_t count, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, bytes, &total))
		return NULL;
	return fort_arena_alloc(arena, total);
}

void *fort_arena_copy(struct fort_arena *arena, const void *data, size_t bytes)
{
	void *copy = fort_arena_room(arena, bytes);

	if (copy && bytes)
		memcpy(copy, data, bytes);
	return copy;
}

struct fort_arena_mark fort_arena_mark(const struct fort_arena *arena)
{
	return (struct fort_arena_mark){
		.top = arena->top,
		.chunk_used = arena->top ? arena->top->used : 0,
		.used_bytes = arena->used_bytes,
	};
}

void fort_arena_rewind(struct fort_arena *arena, struct fort_arena_mark mark)
{
	while (arena->top != mark.top)
		pop_chunk(arena);
	if (arena->top)
		arena->top->used = mark.chunk_used;
	arena->used_bytes = mark.used_bytes;
}
