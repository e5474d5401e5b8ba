/* Conditional jumps: which sides are possible, and what each teaches. */
#include "step/rules.h"

#include "domain/compare.h"

/* A comparison. */
struct test {
	const struct fort_insn *insn;
	struct fort_value constant;       /* JCC_K: what is compared with, as the width reads it */
	const struct fort_value *remains; /* of pointers that end */
};

/* The side of a jump: a state that learns that the condition is `taken`. */
struct side {
	struct fort_state *state;
	bool taken;
	const struct test *test;
};

static const struct fort_value *right_of(const struct fort_state *state, const struct test *test)
{
	return test->insn->kind == FORT_JCC_X ? fort_state_reg(state, test->insn->src)
					      : &test->constant;
}

static bool is_zero(const struct fort_value *value)
{
	uint64_t number;

	return fort_value_known(value, &number) && !number;
}

/* --- numbers --- */

/* Puts a narrowed number back, into the register and everything related to it. */
static bool learn_number(struct fort_state *state, unsigned reg, const struct fort_scalar *num)
{
	struct fort_value *value = fort_state_reg(state, reg);

	if (value->sym)
		return fort_relate_narrow(state, value->sym, value->delta, num);
	return fort_scalar_meet(&value->num, num);
}

/* Both sides as integers: at 32 bits only where the words are not negative and small. */
static bool are_integers(const struct fort_insn *insn, const struct fort_value *left,
			 const struct fort_value *right, bool is_signed)
{
	int64_t most = is_signed && insn->bits == 32 ? INT32_MAX : UINT32_MAX;

	if (insn->bits == 64)
		return is_signed ||
		       (fort_scalar_smin(&left->num) >= 0 && fort_scalar_smin(&right->num) >= 0);
	return fort_scalar_smin(&left->num) >= 0 && fort_scalar_smin(&right->num) >= 0 &&
	       fort_scalar_smax(&left->num) <= most && fort_scalar_smax(&right->num) <= most;
}

/* An order between two numbers that are not known is kept as a fact. */
static bool learn_order(const struct side *side, const struct fort_insn *insn)
{
	struct fort_comparison c = fort_comparison_when(insn->op, side->taken);
	struct fort_value left = *fort_state_reg(side->state, c.swap ? insn->src : insn->dst);
	struct fort_value right = *fort_state_reg(side->state, c.swap ? insn->dst : insn->src);
	bool less = c.primitive == FORT_CMP_ULT || c.primitive == FORT_CMP_SLT;
	bool is_signed = c.primitive == FORT_CMP_SLT || c.primitive == FORT_CMP_SLE;

	if (c.primitive == FORT_CMP_SET || !are_integers(insn, &left, &right, is_signed) ||
	    fort_scalar_is_const(&left.num) || fort_scalar_is_const(&right.num))
		return true;
	if (c.primitive == FORT_CMP_EQ)
		return c.negate || (fort_relate_learn(side->state, &left, NULL, &right, 0) &&
				    fort_relate_learn(side->state, &right, NULL, &left, 0));
	if (c.negate) /* not a < b: b <= a */
		return fort_relate_learn(side->state, &right, NULL, &left, less ? 0 : -1);
	return fort_relate_learn(side->state, &left, NULL, &right, less ? -1 : 0);
}

/* False when this side is impossible. */
static bool learn_comparison(const struct side *side, const struct fort_insn *insn)
{
	struct fort_scalar left = fort_state_reg(side->state, insn->dst)->num;
	struct fort_scalar right = right_of(side->state, side->test)->num;

	if (!fort_scalar_assume(insn->op, insn->bits, side->taken, &left, &right) ||
	    !learn_number(side->state, insn->dst, &left))
		return false;
	if (insn->kind == FORT_JCC_K)
		return true;
	return learn_number(side->state, insn->src, &right) &&
	       (insn->src == insn->dst || learn_order(side, insn));
}

/* x op x is decided by the operation alone, except for x & x. */
static int decide_same(enum fort_op op)
{
	struct fort_comparison c = fort_comparison_of(op);

	switch (c.primitive) {
	case FORT_CMP_EQ:
	case FORT_CMP_ULE:
	case FORT_CMP_SLE: return !c.negate;
	case FORT_CMP_ULT:
	case FORT_CMP_SLT: return c.negate;
	default: return -1;
	}
}

/* 1, 0: the condition is known; -1: it depends. */
static int decide_numbers(const struct fort_rule *rule, const struct fort_value *right)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value *left = fort_rule_reg(rule, insn->dst);
	int known = fort_scalar_decide(insn->op, insn->bits, &left->num, &right->num);

	if (known < 0 && insn->kind == FORT_JCC_X &&
	    (insn->src == insn->dst ||
	     (left->sym && left->sym == right->sym && left->delta == right->delta)))
		known = decide_same(insn->op);
	return known;
}

/* --- pointers --- */

/* A window starts above 4 GiB and its first 64 KiB are never mapped: a pointer that was moved by
 * less than that is not zero. Pointers to objects of the kernel may be NULL, but for those that are
 * trusted, and memory may that nobody vouches for. (K: reg_not_null) */
static bool surely_not_null(const struct fort_value *value)
{
	const int64_t limit = FORT_PTR_OFFSET_MAX;

	if (value->flags & FORT_UNTRUSTED ||
	    (value->type == FORT_BTF && !fort_value_is_trusted(value)))
		return false;
	return fort_value_is_pointer(value) && !(value->flags & FORT_MAYBE_NULL) &&
	       fort_scalar_smin(&value->num) > -limit && fort_scalar_smax(&value->num) < limit;
}

/* A valid pointer compared with 0. */
static int decide_pointers(const struct fort_rule *rule, const struct fort_value *right)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value *left = fort_rule_reg(rule, insn->dst);

	if (insn->bits == 64 && is_zero(right) && surely_not_null(left) &&
	    (insn->op == FORT_OP_JEQ || insn->op == FORT_OP_JNE))
		return insn->op == FORT_OP_JNE;
	return -1;
}

static bool is_null_test(const struct fort_insn *insn, const struct fort_value *left,
			 const struct fort_value *right)
{
	return insn->bits == 64 && (insn->op == FORT_OP_JEQ || insn->op == FORT_OP_JNE) &&
	       (left->flags & FORT_MAYBE_NULL) && is_zero(right);
}

/* The NULL side holds no reference any more: nothing was acquired. */
static void learn_null(const struct side *side, const struct fort_value *pointer, bool null)
{
	uint32_t id = pointer->id, ref = pointer->flags & FORT_LENT ? 0 : pointer->ref;

	fort_relate_null(side->state, id, null);
	if (null && ref)
		fort_ref_release(side->state, ref, side->test->remains);
}

/* A packet pointer against the end of what it points into. */
static bool is_limit(const struct fort_value *pointer, const struct fort_value *limit)
{
	if (pointer->type == FORT_PACKET)
		return limit->type == FORT_PACKET_END;
	return pointer->type == FORT_PACKET_META && limit->type == FORT_PACKET &&
	       fort_scalar_is_const(&limit->num) && !limit->num.arc.base;
}

/* An order of a packet pointer and its limit is one of its offset and the length. Addresses compare
 * like offsets while those are far from any wrap. */
static bool learn_limit(const struct side *side, const struct fort_insn *insn)
{
	struct fort_comparison c = fort_comparison_when(insn->op, side->taken);
	const struct fort_value *dst = fort_state_reg(side->state, insn->dst);
	const struct fort_value *src = fort_state_reg(side->state, insn->src);
	const struct fort_value *small = c.swap ? src : dst, *large = c.swap ? dst : src;
	bool below = is_limit(small, large), above = is_limit(large, small);
	int64_t less = c.primitive == FORT_CMP_ULT;
	struct fort_value pointer, end;

	if (!below && !above)
		return true;
	pointer = below ? *small : *large;
	end = *fort_packet_length(side->state, &pointer);
	if (!fort_value_is_near(&pointer))
		return true;
	if (c.primitive == FORT_CMP_EQ)
		return c.negate || (fort_relate_learn(side->state, &pointer, NULL, &end, 0) &&
				    fort_relate_learn(side->state, &end, NULL, &pointer, 0));
	if (c.primitive != FORT_CMP_ULE && c.primitive != FORT_CMP_ULT)
		return true;
	if (c.negate) { /* the other way round, and strict if this was not */
		below = !below;
		less = !less;
	}
	if (below)
		return fort_relate_learn(side->state, &pointer, NULL, &end, -less);
	/* end < pointer: true also of pointers before the packet, seen as large addresses */
	return fort_scalar_smin(&pointer.num) < 0 ||
	       fort_relate_learn(side->state, &end, NULL, &pointer, -less);
}

/* Comparing a maybe-NULL pointer with one that is valid shows that it is not NULL. */
static void learn_equal_pointers(const struct side *side, const struct fort_insn *insn)
{
	struct fort_comparison c = fort_comparison_when(insn->op, side->taken);
	struct fort_value *left = fort_state_reg(side->state, insn->dst);
	struct fort_value *right = fort_state_reg(side->state, insn->src);

	if (c.primitive != FORT_CMP_EQ || c.negate || insn->bits != 64 || left->type == FORT_BTF ||
	    right->type == FORT_BTF)
		return;
	if ((left->flags & FORT_MAYBE_NULL) && surely_not_null(right))
		learn_null(side, left, false);
	else if ((right->flags & FORT_MAYBE_NULL) && surely_not_null(left))
		learn_null(side, right, false);
}

static bool learn_pointers(const struct side *side, const struct fort_insn *insn)
{
	const struct fort_value *left = fort_state_reg(side->state, insn->dst);
	const struct fort_value *right = right_of(side->state, side->test);

	if (is_null_test(insn, left, right)) {
		learn_null(side, left, (insn->op == FORT_OP_JEQ) == side->taken);
		return true;
	}
	if (insn->kind != FORT_JCC_X)
		return true;
	if (is_null_test(insn, right, left)) {
		learn_null(side, right, (insn->op == FORT_OP_JEQ) == side->taken);
		return true;
	}
	if (insn->bits == 64 && !learn_limit(side, insn))
		return false;
	if (fort_value_is_pointer(left) && fort_value_is_pointer(right))
		learn_equal_pointers(side, insn);
	return true;
}

/* --- both --- */

static bool learn(const struct side *side)
{
	const struct fort_insn *insn = side->test->insn;
	const struct fort_value *left = fort_state_reg(side->state, insn->dst);

	if (left->type == FORT_NUM && right_of(side->state, side->test)->type == FORT_NUM)
		return learn_comparison(side, insn);
	return learn_pointers(side, insn);
}

static int decide(const struct fort_rule *rule, const struct test *test)
{
	const struct fort_value *left = fort_rule_reg(rule, rule->insn->dst);
	const struct fort_value *right = right_of(rule->state, test);

	if (left->type == FORT_NUM && right->type == FORT_NUM)
		return decide_numbers(rule, right);
	return left->type == FORT_NUM ? -1 : decide_pointers(rule, right);
}

static void name_number(struct fort_rule *rule, unsigned reg)
{
	struct fort_value *value = fort_rule_reg(rule, reg);

	if (value->type == FORT_NUM)
		fort_rule_name(rule, value);
}

/* --- who may compare addresses --- */

static bool is_packet(const struct fort_value *value)
{
	return value->type == FORT_PACKET || value->type == FORT_PACKET_META ||
	       value->type == FORT_PACKET_END;
}

static bool bad_comparison(struct fort_rule *rule, unsigned reg)
{
	return fort_rule_bad(rule, FORT_DIAG_LEAK_COMPARE, reg, 0, 0, 0, 0);
}

/* Comparing tells something of an address, unless it is an end of the packet or NULL that the
 * pointer is compared with. (K: check_cond_jmp_op) */
static bool tells_addresses(const struct fort_rule *rule, const struct test *test)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value *left = fort_rule_reg(rule, insn->dst);
	const struct fort_value *right = right_of(rule->state, test);
	struct fort_comparison c = fort_comparison_of(insn->op);

	if (!fort_rule_is_secret(rule, left) ||
	    (insn->kind == FORT_JCC_K && is_null_test(insn, left, right)))
		return false;
	return insn->bits == 32 || (c.primitive != FORT_CMP_ULE && c.primitive != FORT_CMP_ULT) ||
	       !(is_limit(left, right) || is_limit(right, left));
}

/* Pointers that the kernel knows not to be NULL, and lets anybody ask of: of the types that may be
 * NULL until somebody asks, and keys. (K: reg_not_null) */
static bool may_be_asked(const struct fort_value *value)
{
	enum fort_type type = (enum fort_type)value->type;

	return fort_type_is_nullable(type) || type == FORT_MAP_KEY;
}

/* One side is known to be the only one. */
static bool go(struct fort_rule *rule, const struct test *test, bool taken)
{
	struct side side = {rule->state, taken, test};

	rule->out->decided = true;
	if (taken)
		rule->out->pc = (uint32_t)fort_insn_target(rule->insn, rule->pc);
	return learn(&side) || fort_rule_dead(rule);
}

bool fort_rule_branch(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value remains = fort_rule_remains(rule);
	struct test test = {.insn = insn, .remains = &remains};
	struct side fall = {rule->state, false, &test}, jump = {NULL, true, &test};
	bool falls, jumps;
	int known;

	if ((insn->kind == FORT_JCC_X && !fort_rule_readable(rule, insn->src)) ||
	    !fort_rule_readable(rule, insn->dst))
		return false;
	if (insn->kind == FORT_JCC_X && fort_rule_is_secret(rule, fort_rule_reg(rule, insn->src)) &&
	    !(is_packet(fort_rule_reg(rule, insn->src)) &&
	      is_packet(fort_rule_reg(rule, insn->dst))))
		return bad_comparison(rule, insn->src);
	if (insn->kind == FORT_JCC_K)
		test.constant = fort_value_const(insn->bits == 64 ? (uint64_t)insn->imm
								  : (uint32_t)insn->imm);
	known = decide(rule, &test);
	if ((known < 0 || !may_be_asked(fort_rule_reg(rule, insn->dst))) &&
	    tells_addresses(rule, &test))
		return bad_comparison(rule, insn->dst);
	if (known >= 0)
		return go(rule, &test, known);
	if (insn->kind == FORT_JCC_X) { /* what is compared may be worth relating */
		name_number(rule, insn->dst);
		name_number(rule, insn->src);
	}
	jump.state = fort_state_clone(rule->pool, rule->state);
	if (!jump.state)
		return fort_rule_no_memory(rule);
	falls = learn(&fall);
	jumps = learn(&jump);
	rule->out->other_pc = (uint32_t)fort_insn_target(insn, rule->pc);
	if (falls && jumps) {
		rule->out->outcome = FORT_STEP_FORK;
		rule->out->other = jump.state;
		return true;
	}
	rule->out->decided = true;
	if (!falls && jumps) { /* the jumping side takes over this state */
		struct fort_state swap = *rule->state;

		*rule->state = *jump.state;
		*jump.state = swap;
		rule->out->pc = rule->out->other_pc;
	}
	fort_state_free(rule->pool, jump.state);
	return falls || jumps || fort_rule_dead(rule);
}
