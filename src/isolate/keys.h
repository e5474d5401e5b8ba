/* Protection keys: the processor's own way of closing memory to a thread, here to one that runs a
 * program. They stand behind sfi, not instead of it: what is closed stays closed even if an access
 * of a program went astray inside the process.
 *
 * One key is for data of the runtime that no program may see and that is read while programs run
 * (rights of pages). Others color windows: while a program runs, of all keys only its window's
 * is open, and key 0, on which the host's own memory lies. A thread that runs no program has all of
 * ours closed; whoever works with a keyed domain opens them around that (isolate/domain.h).
 *
 * There are 15 keys in a process at most, so windows share colors when there are more of them. Not
 * protected: what lies on key 0, which is the host's heap and stacks, and metadata of maps.
 */
#pragma once

#include "base/compiler.h"

#define FORT_KEY_COLORS_MAX 13u /* leaves the host one */

struct fort_keys {
	uint32_t runtime;
	uint32_t n_colors;
	uint32_t colors[FORT_KEY_COLORS_MAX];
	uint32_t uses[FORT_KEY_COLORS_MAX];
	bool busy; /* a lock */
};

/* Do protection keys work here? 0; -EOPNOTSUPP: the processor has none, or the kernel does not use
 * them; or what pkey_alloc says: -ENOSPC when all are taken. */
FORT_CHECKED int fort_keys_probe(void);
/* Why not, in words. */
const char *fort_keys_why(int err);

/* Takes the runtime's key. Returns 0 or fort_keys_probe's errors. */
FORT_CHECKED int fort_keys_open(struct fort_keys *out);
/* When nothing is colored any more. */
void fort_keys_close(struct fort_keys *keys);

/* A color that no window has, or, when no key is left, one that few have. Returns 0, or -ENOSPC
 * when not a single key is left. */
FORT_CHECKED int fort_keys_take(struct fort_keys *keys, uint32_t *color);
void fort_keys_give(struct fort_keys *keys, uint32_t color);

/* The thread's rights: two bits a key, 1: no access, 2: no writing. */
#define FORT_KEY_BITS(key) (3u << (2 * (key)))
#define FORT_KEYS_CLOSED   (~FORT_KEY_BITS(0))
static inline uint32_t fort_keys_get(void)
{
	uint32_t rights, high;

	__asm__ volatile("rdpkru" : "=a"(rights), "=d"(high) : "c"(0));
	return rights;
}

static inline void fort_keys_set(uint32_t rights)
{
	__asm__ volatile("wrpkru" : : "a"(rights), "c"(0), "d"(0) : "memory");
}
