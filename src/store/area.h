/* An area: the memory that programs of one type run on, once they may call each other by tail
 * calls, and the lock of it.
 *
 * It is the slot of their domains and the packet area (isolate/domain.h), the same memory in each
 * of them. One program runs there at a time, with those it calls.
 */
#pragma once

#include <pthread.h>

#include "load/loaded.h"

struct fort_area {
	pthread_mutex_t lock; /* of runs; taken after that of the program */
	struct fort_grace grace;
	int fd;
	uint32_t bytes;
};

/* An area for domains such as this one. Returns 0, -ENOMEM, or fort_memfd_new's error. */
FORT_CHECKED int fort_area_open(const struct fort_domain *like, struct fort_area **out);
/* NULL is fine. */
void fort_area_close(struct fort_area *area);

/* Puts a domain into it, which must not run. -EINVAL for one that is not alike. */
FORT_CHECKED int fort_area_admit(struct fort_area *area, struct fort_domain *domain);

/* In the child of a fork: memory of its own, nobody runs. All its domains are to be admitted anew.
 */
FORT_CHECKED int fort_area_forked(struct fort_area *area);
