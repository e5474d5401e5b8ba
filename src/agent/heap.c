#include "agent/heap.h"

#include <string.h>

#include "base/pages.h"

#define SMALLEST    64u
#define CHUNK_BYTES (256u << 10)
#define CLASSES     12u /* 64 << 11 is half a chunk */

struct piece {
	struct piece *next;
};

struct chunk {
	struct chunk *next;
	size_t used;
	_Alignas(SMALLEST) uint8_t data[];
};

static struct piece *idle[CLASSES];
static struct chunk *chunks;

/* The class whose pieces hold `bytes`; CLASSES when none does. */
static unsigned class_of(size_t bytes)
{
	unsigned class = 0;

	while (class < CLASSES && bytes > (size_t)SMALLEST << class)
		class ++;
	return class;
}

static void *carve(size_t bytes)
{
	struct chunk *chunk = chunks;
	void *pages;

	if (!chunk || chunk->used + bytes > CHUNK_BYTES) {
		if (fort_pages_alloc(CHUNK_BYTES, &pages))
			return NULL;
		chunk = pages;
		chunk->next = chunks;
		chunk->used = sizeof(*chunk);
		chunks = chunk;
	}
	chunk->used += bytes;
	return (uint8_t *)chunk + chunk->used - bytes;
}

void *fort_heap_alloc(size_t bytes)
{
	unsigned class = class_of(bytes);
	struct piece *piece;

	if (class == CLASSES)
		return NULL;
	piece = idle[class];
	if (!piece)
		return carve((size_t)SMALLEST << class);
	idle[class] = piece->next;
	memset(piece, 0, (size_t)SMALLEST << class);
	return piece;
}

void fort_heap_free(const void *memory, size_t bytes)
{
	struct piece *piece = (struct piece *)(uintptr_t)memory;

	if (!piece)
		return;
	piece->next = idle[class_of(bytes)];
	idle[class_of(bytes)] = piece;
}

void fort_heap_close(void)
{
	while (chunks) {
		struct chunk *next = chunks->next;

		fort_pages_free(chunks, CHUNK_BYTES);
		chunks = next;
	}
	memset(idle, 0, sizeof(idle));
}
