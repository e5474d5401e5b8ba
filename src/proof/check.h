/* The checker: reads a certificate and applies the semantics once along it. Trusted, small, no
 * search, no heuristics; time and memory are bounded by the certificate's own size and its
 * declared number of steps.
 */
#pragma once

#include "proof/certificate.h"

enum fort_check_fault {
	FORT_CHECK_OK,
	FORT_CHECK_FORM,    /* bytes are no certificate; `detail` is the offset */
	FORT_CHECK_BINDING, /* of another program, type, map or version */
	FORT_CHECK_CLAIM,   /* a claim is malformed */
	FORT_CHECK_EDGE,    /* an edge names no state at this instruction */
	FORT_CHECK_EDGES,   /* too few or too many edges */
	FORT_CHECK_ARRIVAL, /* a state keeps what arrives, and nothing did */
	FORT_CHECK_COVER,   /* the named state does not cover what arrives */
	FORT_CHECK_RANK,    /* an edge goes up, and nothing shows that it will not for ever */
	FORT_CHECK_ROOT,    /* a root is missing, or is none */
	FORT_CHECK_UNSAFE,  /* an instruction may be unsafe; see the violation */
	FORT_CHECK_STEPS,   /* more steps than declared */
	FORT_CHECK_MEMORY,  /* not enough memory to check */
	FORT_CHECK_FAULTS
};

/* "the named state does not cover what arrives", ... */
const char *fort_check_fault_text(enum fort_check_fault fault);

struct fort_check {
	enum fort_check_fault fault;
	uint32_t state;                  /* number in the list */
	uint32_t pc;                     /* instruction concerned */
	size_t detail;                   /* FORM: offset in the bytes */
	uint64_t steps;                  /* applied */
	struct fort_violation violation; /* UNSAFE */
};

/* The mark of a program whose proof was checked. Only the checker makes one; what comes after the
 * checker asks for it, so that the step cannot be left out. */
struct fort_proven {
	const struct fort_env *env;
	uint8_t binding[FORT_SHA256_BYTES];
};

/* Ghosts as they are when state `index` is entered: those of groups below it are set back, that of
 * its own group is set. False when its group has no rank there. */
FORT_CHECKED bool fort_certificate_enter(const struct fort_certificate *cert, uint32_t index,
					 struct fort_pool *pool, struct fort_state *state);

/* Checks `bytes` for `env`, whose output (access) is filled. Working memory comes
 * from `arena` and is not given back. Returns true and *out, or false with *check saying why.
 */
FORT_CHECKED bool fort_certificate_check(struct fort_span bytes, struct fort_env *env,
					 struct fort_arena *arena, struct fort_check *check,
					 struct fort_proven *out);
