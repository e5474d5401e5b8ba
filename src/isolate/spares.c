#include "isolate/spares.h"

enum { EMPTY, BUSY, FULL };

static bool move(struct fort_spare *spare, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&spare->state, &from, to, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static void settle(struct fort_spare *spare, uint32_t state)
{
	__atomic_store_n(&spare->state, state, __ATOMIC_RELEASE);
}

static bool same_shape(const struct fort_domain_shape *a, const struct fort_domain_shape *b)
{
	return a->n_slots == b->n_slots && a->n_levels == b->n_levels &&
	       a->ctx_bytes == b->ctx_bytes && a->packet_bytes == b->packet_bytes &&
	       a->packet_writable == b->packet_writable && a->hidden == b->hidden;
}

bool fort_spares_take(struct fort_spares *spares, const struct fort_domain_shape *shape,
		      struct fort_domain *out)
{
	for (uint32_t i = 0; i < FORT_SPARES_MAX; i++) {
		struct fort_spare *spare = &spares->of[i];
		bool fits;

		if (!move(spare, FULL, BUSY))
			continue;
		fits = same_shape(&spare->domain.shape, shape);
		if (fits)
			*out = spare->domain;
		settle(spare, fits ? EMPTY : FULL);
		if (fits)
			return true;
	}
	return false;
}

bool fort_spares_give(struct fort_spares *spares, const struct fort_domain *domain)
{
	for (uint32_t i = 0; i < FORT_SPARES_MAX; i++) {
		struct fort_spare *spare = &spares->of[i];

		if (!move(spare, EMPTY, BUSY))
			continue;
		spare->domain = *domain;
		settle(spare, FULL);
		return true;
	}
	return false;
}

void fort_spares_close(struct fort_spares *spares)
{
	for (uint32_t i = 0; i < FORT_SPARES_MAX; i++) {
		struct fort_spare *spare = &spares->of[i];

		if (!move(spare, FULL, BUSY))
			continue;
		fort_window_close(&spare->domain.window);
		settle(spare, EMPTY);
	}
}
