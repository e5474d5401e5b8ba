/* An example of a rejection: numbers, one for each register that the instruction uses, with which it
 * does what it must not. Each is one of those that the register may hold, as far as is known there;
 * all of them together the rules of step/ refuse. What input leads there is not said.
 */
#pragma once

#include "verify/search.h"

#define FORT_EXAMPLE_MAX 7u

enum fort_example_kind {
	FORT_EXAMPLE_NUMBER, /* the register's */
	FORT_EXAMPLE_OFFSET, /* of the pointer in it */
	FORT_EXAMPLE_NULL,
	FORT_EXAMPLE_PACKET, /* no register: the packet's length */
};

struct fort_example_item {
	uint8_t kind, reg;
	int64_t number;
};

struct fort_example {
	struct fort_example_item items[FORT_EXAMPLE_MAX];
	uint32_t n; /* 0: there is none */
};

/* Of the search's rejection, whose path was walked again (s->result). Returns 0 or -ENOMEM. */
FORT_CHECKED int fort_example_find(struct fort_search *s, struct fort_example *out);
