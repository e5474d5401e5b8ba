/* Programs whose images are damaged, to see what the output checkers say. */
#pragma once

#include "cage.h"

#define DAMAGED 9u
extern const struct damaged {
	const char *what, *source;
} damaged[DAMAGED];

/* r1 of every program: addresses of the host, for its registers to hold. */
void damaged_point_at_the_host(struct cage *cage);
