/* The prover: obligations as solver queries. A proof makes unknowns, states what is known of them
 * (`premise`), and what must follow (`goal`); it holds if the solver finds no values that satisfy
 * the premises and break a goal, and finds some that satisfy the premises.
 *
 * The rules of src/domain have no place for a context, so this program has one in a global. Each
 * obligation runs in a process of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <z3.h>

enum verdict {
	VERDICT_NONE,    /* not run, or its process died */
	VERDICT_UNSAT,   /* proven */
	VERDICT_SAT,     /* refuted */
	VERDICT_UNKNOWN, /* the solver gave up */
	VERDICT_VACUOUS, /* no goal, or nothing is known to satisfy the premises */
};

struct obligation {
	const char *name, *property;
	unsigned width; /* 32, 64; 0: integers, any width */
	void (*state)(void);
};

extern const struct obligation obligations[];
extern const size_t n_obligations;

/* --- for proofs --- */

struct prover {
	Z3_context z3;
	Z3_ast_vector premises, goals, splits, defined, forgotten, instead;
	/* Products, quotients and remainders are functions of which only lemmas are known. */
	bool opaque;
	bool opaque_shifts;
	bool polynomials;    /* products are multiplied out */
	unsigned has_origin; /* widths at which an arc was made: 32, 64 */
};

extern struct prover prover;

void premise(Z3_ast fact);
void goal(Z3_ast fact);
/* Goals are proven for both values of a condition, apart: for the solver's sake. */
void split(Z3_ast condition);
/* A condition without which C would not define a result; proofs of definedness make them goals. */
void must_hold(Z3_ast fact);
void goal_defined(void);
/* What is proven holds for any word (or condition) in place of this one: of how it came about only
 * what premises say is used, which are then what other obligations prove. */
void forget(Z3_ast term);
/* The same, any word written as `by`: something and an unknown, say. */
void forget_as(Z3_ast term, Z3_ast by);

Z3_ast term_word(const char *name, unsigned bits);
/* A word that is a part of something named; words of other widths are others. */
Z3_ast term_part(const char *name, const char *part, unsigned bits);
Z3_ast term_integer(const char *name);
Z3_ast term_number(unsigned bits, uint64_t value);
Z3_ast term_integer_number(const char *decimal);
Z3_ast term_and(Z3_ast p, Z3_ast q);
Z3_ast term_or(Z3_ast p, Z3_ast q);
Z3_ast term_implies(Z3_ast p, Z3_ast q);
Z3_ast term_smear(Z3_ast x);
/* What may be opaque. */
Z3_ast term_shl(Z3_ast a, Z3_ast count);
Z3_ast term_shr(Z3_ast a, Z3_ast count);
Z3_ast term_sar(Z3_ast a, Z3_ast count);
Z3_ast term_mul(Z3_ast a, Z3_ast b);
Z3_ast term_mul_over(Z3_ast a, Z3_ast b);
Z3_ast term_udiv(Z3_ast a, Z3_ast b);
Z3_ast term_urem(Z3_ast a, Z3_ast b);
unsigned term_bits(Z3_ast x);

/* --- for the program --- */

void prover_open(void);
/* States the obligation and asks the solver. */
enum verdict prover_ask(const struct obligation *obligation);
