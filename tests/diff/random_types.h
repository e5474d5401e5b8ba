/* Random types of a program: structs and unions of everything that C has, nested, with bit fields
 * and holes, made with libbpf.
 */
#pragma once

#include <bpf/btf.h>
#include <stdint.h>

struct random_types {
	uint64_t state; /* of the generator */
	struct btf *btf;
	int func; /* FUNC main(ctx), for programs that need one */
};

/* A number below `below`. */
uint32_t random_below(uint64_t *state, uint32_t below);
/* Makes about `count` structs and unions. Free with btf__free. */
void random_types_make(struct random_types *types, unsigned count);
