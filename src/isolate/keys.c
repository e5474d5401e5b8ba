#include "isolate/keys.h"

#include <cpuid.h>
#include <errno.h>

#include "base/sys.h"

#define NO_ACCESS 1 /* PKEY_DISABLE_ACCESS */

/* CPUID 7: the kernel has turned keys on (OSPKE). */
static bool processor_has_keys(void)
{
	uint32_t a, b, c = 0, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1u << 4;
}

/* Closed to this thread too. */
static long new_key(void)
{
	return fort_sys2(SYS_pkey_alloc, 0, NO_ACCESS);
}

static void free_key(uint32_t key)
{
	fort_sys1(SYS_pkey_free, key);
}

int fort_keys_probe(void)
{
	long key;

	if (!processor_has_keys())
		return -EOPNOTSUPP;
	key = new_key();
	if (key < 0)
		return (int)key;
	free_key((uint32_t)key);
	return 0;
}

const char *fort_keys_why(int err)
{
	switch (err) {
	case 0: return "protection keys work";
	case -EOPNOTSUPP:
		return "the processor has no protection keys, or the kernel leaves them off";
	case -ENOSPC: return "all protection keys of this process are taken";
	default: return "the kernel gives no protection keys";
	}
}

int fort_keys_open(struct fort_keys *out)
{
	long key;

	if (!processor_has_keys())
		return -EOPNOTSUPP;
	key = new_key();
	if (key < 0)
		return (int)key;
	*out = (struct fort_keys){.runtime = (uint32_t)key};
	return 0;
}

void fort_keys_close(struct fort_keys *keys)
{
	for (uint32_t i = 0; i < keys->n_colors; i++)
		free_key(keys->colors[i]);
	free_key(keys->runtime);
	*keys = (struct fort_keys){0};
}

static void lock(struct fort_keys *keys)
{
	while (__atomic_test_and_set(&keys->busy, __ATOMIC_ACQUIRE))
		fort_sys0(SYS_sched_yield);
}

static void unlock(struct fort_keys *keys)
{
	__atomic_clear(&keys->busy, __ATOMIC_RELEASE);
}

static uint32_t least_used(const struct fort_keys *keys)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < keys->n_colors; i++)
		if (keys->uses[i] < keys->uses[best])
			best = i;
	return best;
}

int fort_keys_take(struct fort_keys *keys, uint32_t *color)
{
	uint32_t best;
	int err = 0;

	lock(keys);
	best = least_used(keys);
	if ((!keys->n_colors || keys->uses[best]) && keys->n_colors < FORT_KEY_COLORS_MAX) {
		long key = new_key();

		if (key >= 0) {
			best = keys->n_colors++;
			keys->colors[best] = (uint32_t)key;
			keys->uses[best] = 0;
		} else if (!keys->n_colors) {
			err = (int)key;
		}
	}
	if (!err) {
		keys->uses[best]++;
		*color = keys->colors[best];
	}
	unlock(keys);
	return err;
}

void fort_keys_give(struct fort_keys *keys, uint32_t color)
{
	lock(keys);
	for (uint32_t i = 0; i < keys->n_colors; i++)
		keys->uses[i] -= keys->colors[i] == color;
	unlock(keys);
}
