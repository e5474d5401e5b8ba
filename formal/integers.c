/* Lemmas on integers: lemmas.inc, with words as integers from 0 to below M, for any M. A product
 * that does not fit may be anything.
 */
#include "prover.h"
#include "proofs.h"

static Z3_ast bound(void)
{
	return term_integer("M");
}

static Z3_ast integer(const char *name)
{
	Z3_ast x = term_integer(name);

	premise(Z3_mk_le(prover.z3, term_integer_number("0"), x));
	premise(Z3_mk_lt(prover.z3, x, bound()));
	return x;
}

static Z3_ast times(Z3_ast a, Z3_ast b)
{
	return Z3_mk_mul(prover.z3, 2, (Z3_ast[]){a, b});
}

static Z3_ast product(Z3_ast a, Z3_ast b)
{
	Z3_ast any = Z3_mk_fresh_const(prover.z3, "wrapped", Z3_mk_int_sort(prover.z3));

	return Z3_mk_ite(prover.z3, Z3_mk_lt(prover.z3, times(a, b), bound()), times(a, b), any);
}

#define WORD            Z3_ast
#define BOOL            Z3_ast
#define K(c)            term_integer_number(#c)
#define SUB(a, b)       Z3_mk_sub(prover.z3, 2, (Z3_ast[]){a, b})
#define MUL(a, b)       product(a, b)
#define UDIV(a, b)      Z3_mk_div(prover.z3, a, b)
#define UREM(a, b)      Z3_mk_mod(prover.z3, a, b)
#define EQ(a, b)        Z3_mk_eq(prover.z3, a, b)
#define ULT(a, b)       Z3_mk_lt(prover.z3, a, b)
#define ULE(a, b)       Z3_mk_le(prover.z3, a, b)
#define BOTH(p, q)      term_and(p, q)
#define NEITHER(p)      Z3_mk_not(prover.z3, p)
#define UMUL_OVER(a, b) Z3_mk_le(prover.z3, bound(), times(a, b))
#define W_(name)        integer_##name
#include "lemmas.inc"

#define PROOF(name) void prove_##name##_0(void)

PROOF(mul_order)
{
	WORD p = integer("p"), q = integer("q"), r = integer("r"), s = integer("s");

	goal(integer_lemma_mul_order(p, q, r, s));
}

PROOF(div_order)
{
	WORD l = integer("l"), x = integer("x"), y = integer("y"), q = integer("q");

	goal(integer_lemma_div_order(l, x, y, q));
}

PROOF(div_small)
{
	goal(integer_lemma_div_small(integer("x"), integer("y")));
}

/* What quotient and remainder are. */
static BOOL divides(WORD x, WORD y)
{
	BOOL whole = EQ(x, Z3_mk_add(prover.z3, 2, (Z3_ast[]){times(y, UDIV(x, y)), UREM(x, y)}));

	return term_implies(NEITHER(EQ(y, K(0))), whole);
}

PROOF(division)
{
	goal(divides(integer("x"), integer("y")));
}

PROOF(mod)
{
	WORD x = integer("x"), y = integer("y");

	goal(integer_lemma_mod(x, y));
}

PROOF(mod_same)
{
	WORD l = integer("l"), x = integer("x"), h = integer("h"), y = integer("y");
	WORD all[] = {l, x, h};

	premise(integer_lemma_div_order(l, x, y, y));
	premise(integer_lemma_div_order(x, h, y, y));
	for (unsigned i = 0; i < 3; i++) {
		premise(divides(all[i], y));
		forget(UDIV(all[i], y));
		forget(UREM(all[i], y));
	}
	goal(integer_lemma_mod_same(l, x, h, y));
}

/* x = u q and y = v s, where u v divides M (powers of two that do not overflow): their product,
 * less any multiple of M, is a multiple of u v. Where u v is a multiple of M, so is the product. */
PROOF(product_zeros)
{
	WORD u = integer("u"), v = integer("v"), q = integer("q"), s = integer("s");
	WORD w = integer("w"), k = term_integer("k");
	WORD x = times(u, q), y = times(v, s), uv = times(u, v);

	goal(EQ(Z3_mk_sub(prover.z3, 2, (Z3_ast[]){times(x, y), times(k, times(uv, w))}),
		times(uv, Z3_mk_sub(prover.z3, 2, (Z3_ast[]){times(q, s), times(k, w)}))));
	goal(term_implies(EQ(uv, times(w, bound())),
			  EQ(times(x, y), times(bound(), times(w, times(q, s))))));
}
