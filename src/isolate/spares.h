/* Domains whose programs are gone, kept for those to come: laid out, empty, and without a trace of
 * what was in them. To reserve a window and lay it out costs more than most programs take to
 * compile.
 *
 * What a program could write is given back to the kernel before a domain is kept, and maps are
 * unmapped, so the next owner finds zeroes and a window of the same shape; what stays is the
 * window's base, which is no secret between programs of one owner. Whoever has spares is one owner.
 *
 * Each place is taken with one atomic operation: there is no lock that a fork could find held. A
 * child has copies of what is in the windows, which are private memory.
 */
#pragma once

#include "isolate/domain.h"

struct fort_spare {
	uint32_t state; /* of spares.c; 0: empty */
	struct fort_domain domain;
};

/* All zero: none are kept yet. */
struct fort_spares {
	struct fort_spare of[FORT_SPARES_MAX];
};

/* A domain of this shape, without maps; false when there is none. */
bool fort_spares_take(struct fort_spares *spares, const struct fort_domain_shape *shape,
		      struct fort_domain *out);
/* Takes the domain over; false: it is still the caller's, to be closed. */
bool fort_spares_give(struct fort_spares *spares, const struct fort_domain *domain);
/* Closes all that are kept. */
void fort_spares_close(struct fort_spares *spares);
