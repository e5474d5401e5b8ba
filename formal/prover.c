#include "prover.h"

#include <stdio.h>
#include <stdlib.h>

#define FORGOTTEN_MAX 64u

struct prover prover;

static void give_up(Z3_context z3, Z3_error_code code)
{
	fprintf(stderr, "prove: solver: %s\n", Z3_get_error_msg(z3, code));
	abort();
}

static Z3_ast_vector new_list(void)
{
	Z3_ast_vector list = Z3_mk_ast_vector(prover.z3);

	Z3_ast_vector_inc_ref(prover.z3, list);
	return list;
}

void prover_open(void)
{
	Z3_config config = Z3_mk_config();

	prover.z3 = Z3_mk_context(config);
	Z3_del_config(config);
	Z3_set_error_handler(prover.z3, give_up);
	prover.premises = new_list();
	prover.goals = new_list();
	prover.splits = new_list();
	prover.defined = new_list();
	prover.forgotten = new_list();
	prover.instead = new_list();
}

void premise(Z3_ast fact)
{
	Z3_ast_vector_push(prover.z3, prover.premises, fact);
}

void goal(Z3_ast fact)
{
	Z3_ast_vector_push(prover.z3, prover.goals, fact);
}

void split(Z3_ast condition)
{
	Z3_ast_vector_push(prover.z3, prover.splits, condition);
}

void must_hold(Z3_ast fact)
{
	Z3_ast_vector_push(prover.z3, prover.defined, fact);
}

void goal_defined(void)
{
	for (unsigned i = 0; i < Z3_ast_vector_size(prover.z3, prover.defined); i++)
		goal(Z3_ast_vector_get(prover.z3, prover.defined, i));
}

void forget(Z3_ast term)
{
	forget_as(term, Z3_mk_fresh_const(prover.z3, "any", Z3_get_sort(prover.z3, term)));
}

void forget_as(Z3_ast term, Z3_ast by)
{
	Z3_ast_vector_push(prover.z3, prover.forgotten, term);
	Z3_ast_vector_push(prover.z3, prover.instead, by);
}

/* --- terms --- */

Z3_ast term_word(const char *name, unsigned bits)
{
	return Z3_mk_const(prover.z3, Z3_mk_string_symbol(prover.z3, name),
			   Z3_mk_bv_sort(prover.z3, bits));
}

Z3_ast term_part(const char *name, const char *part, unsigned bits)
{
	char whole[64];

	snprintf(whole, sizeof(whole), "%s.%s", name, part);
	return term_word(whole, bits);
}

Z3_ast term_integer(const char *name)
{
	return Z3_mk_const(prover.z3, Z3_mk_string_symbol(prover.z3, name),
			   Z3_mk_int_sort(prover.z3));
}

Z3_ast term_number(unsigned bits, uint64_t value)
{
	return Z3_mk_unsigned_int64(prover.z3, bits < 64 ? value & ((1ull << bits) - 1) : value,
				    Z3_mk_bv_sort(prover.z3, bits));
}

Z3_ast term_integer_number(const char *decimal)
{
	return Z3_mk_numeral(prover.z3, decimal, Z3_mk_int_sort(prover.z3));
}

Z3_ast term_and(Z3_ast p, Z3_ast q)
{
	return Z3_mk_and(prover.z3, 2, (Z3_ast[]){p, q});
}

Z3_ast term_or(Z3_ast p, Z3_ast q)
{
	return Z3_mk_or(prover.z3, 2, (Z3_ast[]){p, q});
}

Z3_ast term_implies(Z3_ast p, Z3_ast q)
{
	return Z3_mk_implies(prover.z3, p, q);
}

unsigned term_bits(Z3_ast x)
{
	return Z3_get_bv_sort_size(prover.z3, Z3_get_sort(prover.z3, x));
}

Z3_ast term_smear(Z3_ast x)
{
	unsigned bits = term_bits(x);

	for (unsigned shift = 1; shift < bits; shift *= 2)
		x = Z3_mk_bvor(prover.z3, x, Z3_mk_bvlshr(prover.z3, x, term_number(bits, shift)));
	return x;
}

static Z3_ast opaque(const char *name, Z3_ast a, Z3_ast b, Z3_sort range)
{
	Z3_sort word = Z3_get_sort(prover.z3, a);
	Z3_func_decl f = Z3_mk_func_decl(prover.z3, Z3_mk_string_symbol(prover.z3, name), 2,
					 (Z3_sort[]){word, word}, range);

	return Z3_mk_app(prover.z3, f, 2, (Z3_ast[]){a, b});
}

typedef Z3_ast binary(Z3_context, Z3_ast, Z3_ast);

static Z3_ast shift(const char *name, binary *make, Z3_ast a, Z3_ast count)
{
	unsigned bits = term_bits(count);

	must_hold(Z3_mk_bvult(prover.z3, count, term_number(bits, bits)));
	if (prover.opaque_shifts)
		return opaque(name, a, count, Z3_get_sort(prover.z3, a));
	return make(prover.z3, a, count);
}

Z3_ast term_shl(Z3_ast a, Z3_ast count)
{
	return shift("shl", Z3_mk_bvshl, a, count);
}

Z3_ast term_shr(Z3_ast a, Z3_ast count)
{
	return shift("shr", Z3_mk_bvlshr, a, count);
}

Z3_ast term_sar(Z3_ast a, Z3_ast count)
{
	return shift("sar", Z3_mk_bvashr, a, count);
}

Z3_ast term_mul(Z3_ast a, Z3_ast b)
{
	if (prover.opaque)
		return opaque("mul", a, b, Z3_get_sort(prover.z3, a));
	return Z3_mk_bvmul(prover.z3, a, b);
}

Z3_ast term_mul_over(Z3_ast a, Z3_ast b)
{
	if (prover.opaque)
		return opaque("mul_over", a, b, Z3_mk_bool_sort(prover.z3));
	return Z3_mk_not(prover.z3, Z3_mk_bvmul_no_overflow(prover.z3, a, b, false));
}

static void must_divide(Z3_ast b)
{
	must_hold(Z3_mk_not(prover.z3, Z3_mk_eq(prover.z3, b, term_number(term_bits(b), 0))));
}

Z3_ast term_udiv(Z3_ast a, Z3_ast b)
{
	must_divide(b);
	if (prover.opaque)
		return opaque("udiv", a, b, Z3_get_sort(prover.z3, a));
	return Z3_mk_bvudiv(prover.z3, a, b);
}

Z3_ast term_urem(Z3_ast a, Z3_ast b)
{
	must_divide(b);
	if (prover.opaque)
		return opaque("urem", a, b, Z3_get_sort(prover.z3, a));
	return Z3_mk_bvurem(prover.z3, a, b);
}

/* --- queries --- */

static Z3_tactic tactic(const char *name)
{
	Z3_tactic t = Z3_mk_tactic(prover.z3, name);

	Z3_tactic_inc_ref(prover.z3, t);
	return t;
}

/* What is known of conditions is put in where they stand, so that little is left to blast; lemmas'
 * functions become words, equal for equal arguments. */
static Z3_solver solver_of_words(void)
{
	static const char *const steps[] = {"simplify", "propagate-values", "solve-eqs",
					    "simplify", "propagate-values", "solve-eqs",
					    "simplify", "max-bv-sharing",   "ackermannize_bv",
					    "simplify", "bit-blast",        "sat"};
	Z3_tactic all = tactic(prover.polynomials ? "simplify" : "skip");
	Z3_params som = Z3_mk_params(prover.z3);

	Z3_params_inc_ref(prover.z3, som);
	Z3_params_set_bool(prover.z3, som, Z3_mk_string_symbol(prover.z3, "som"), true);
	if (prover.polynomials)
		all = Z3_tactic_using_params(prover.z3, all, som);
	Z3_tactic_inc_ref(prover.z3, all);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		all = Z3_tactic_and_then(prover.z3, all, tactic(steps[i]));
		Z3_tactic_inc_ref(prover.z3, all);
	}
	return Z3_mk_solver_from_tactic(prover.z3, all);
}

static Z3_solver solver_of_integers(void)
{
	return Z3_mk_solver_for_logic(prover.z3, Z3_mk_string_symbol(prover.z3, "QF_NIA"));
}

static void assert_all(Z3_solver solver, Z3_ast_vector facts)
{
	for (unsigned i = 0; i < Z3_ast_vector_size(prover.z3, facts); i++)
		Z3_solver_assert(prover.z3, solver, Z3_ast_vector_get(prover.z3, facts, i));
}

/* Can the premises hold in the case whose number has a bit for each split, and `broken` not? */
static Z3_lbool check(unsigned number, Z3_ast broken, bool integers)
{
	Z3_solver solver = integers ? solver_of_integers() : solver_of_words();
	Z3_lbool answer;

	Z3_solver_inc_ref(prover.z3, solver);
	assert_all(solver, prover.premises);
	for (unsigned i = 0; i < Z3_ast_vector_size(prover.z3, prover.splits) && broken; i++) {
		Z3_ast is = Z3_ast_vector_get(prover.z3, prover.splits, i);

		Z3_solver_assert(prover.z3, solver,
				 number >> i & 1 ? is : Z3_mk_not(prover.z3, is));
	}
	if (broken)
		Z3_solver_assert(prover.z3, solver, Z3_mk_not(prover.z3, broken));
	answer = Z3_solver_check(prover.z3, solver);
	if (answer == Z3_L_TRUE && broken && getenv("PROVE_MODEL"))
		fprintf(stderr, "%s\n",
			Z3_model_to_string(prover.z3, Z3_solver_get_model(prover.z3, solver)));
	Z3_solver_dec_ref(prover.z3, solver);
	return answer;
}

static enum verdict prove_goal(Z3_ast fact, bool integers)
{
	unsigned cases = 1u << Z3_ast_vector_size(prover.z3, prover.splits);

	for (unsigned number = 0; number < cases; number++) {
		Z3_lbool answer = check(number, fact, integers);

		if (answer != Z3_L_FALSE)
			return answer == Z3_L_TRUE ? VERDICT_SAT : VERDICT_UNKNOWN;
	}
	return VERDICT_UNSAT;
}

static void replace_all(Z3_ast_vector facts, unsigned n, const Z3_ast *from, const Z3_ast *to)
{
	for (unsigned i = 0; i < Z3_ast_vector_size(prover.z3, facts); i++) {
		Z3_ast fact = Z3_ast_vector_get(prover.z3, facts, i);

		Z3_ast_vector_set(prover.z3, facts, i, Z3_substitute(prover.z3, fact, n, from, to));
	}
}

/* What stands in the place of each forgotten term, wherever that occurs. */
static void generalize(void)
{
	Z3_ast from[FORGOTTEN_MAX], to[FORGOTTEN_MAX];
	unsigned n = Z3_ast_vector_size(prover.z3, prover.forgotten);

	if (n > FORGOTTEN_MAX)
		abort();
	for (unsigned i = 0; i < n; i++) {
		from[i] = Z3_ast_vector_get(prover.z3, prover.forgotten, i);
		to[i] = Z3_ast_vector_get(prover.z3, prover.instead, i);
	}
	replace_all(prover.premises, n, from, to);
	replace_all(prover.goals, n, from, to);
	replace_all(prover.splits, n, from, to);
}

enum verdict prover_ask(const struct obligation *obligation)
{
	enum verdict verdict = VERDICT_UNSAT;
	bool integers = !obligation->width;
	unsigned n;

	obligation->state();
	n = Z3_ast_vector_size(prover.z3, prover.goals);
	if (!n || check(0, NULL, integers) != Z3_L_TRUE)
		return VERDICT_VACUOUS;
	generalize();
	for (unsigned i = 0; i < n && verdict == VERDICT_UNSAT; i++) {
		verdict = prove_goal(Z3_ast_vector_get(prover.z3, prover.goals, i), integers);
		if (verdict != VERDICT_UNSAT)
			fprintf(stderr, "prove: %s/%u: goal %u of %u\n", obligation->name,
				obligation->width, i + 1, n);
	}
	return verdict;
}
