/* Conditional jumps: which sides are possible, and what each teaches. */
#include "step/rules.h"

#include "domain/compare.h"

/* The side of a jump: a state that learns that the condition is `taken`. */
struct side {
	struct fort_state *state;
	bool taken;
};

static struct fort_value right_of(const struct fort_state *state, const struct fort_insn *insn)
{
	if (insn->kind == FORT_JCC_X)
		return *fort_state_reg(state, insn->src);
	return fort_value_const(insn->bits == 64 ? (uint64_t)insn->imm : (uint32_t)insn->imm);
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

/* False when this side is impossible. */
static bool learn_comparison(const struct side *side, const struct fort_insn *insn)
{
	struct fort_scalar left = fort_state_reg(side->state, insn->dst)->num;
	struct fort_scalar right = right_of(side->state, insn).num;

	if (!fort_scalar_assume(insn->op, insn->bits, side->taken, &left, &right) ||
	    !learn_number(side->state, insn->dst, &left))
		return false;
	return insn->kind == FORT_JCC_K || learn_number(side->state, insn->src, &right);
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
static int decide_numbers(const struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value *left = fort_rule_reg(rule, insn->dst);
	struct fort_value right = right_of(rule->state, insn);
	int known = fort_scalar_decide(insn->op, insn->bits, &left->num, &right.num);

	if (known < 0 && insn->kind == FORT_JCC_X &&
	    (insn->src == insn->dst ||
	     (left->sym && left->sym == right.sym && left->delta == right.delta)))
		known = decide_same(insn->op);
	return known;
}

/* --- pointers --- */

/* A window starts above 4 GiB and its first 64 KiB are never mapped: a pointer that was moved by
 * less than that is not zero. */
static bool surely_not_null(const struct fort_value *value)
{
	const int64_t limit = FORT_PTR_OFFSET_MAX;

	return fort_value_is_pointer(value) && !value->maybe_null &&
	       fort_scalar_smin(&value->num) > -limit && fort_scalar_smax(&value->num) < limit;
}

/* A valid pointer compared with 0. */
static int decide_pointers(const struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value *left = fort_rule_reg(rule, insn->dst);
	struct fort_value right = right_of(rule->state, insn);

	if (insn->bits == 64 && is_zero(&right) && surely_not_null(left) &&
	    (insn->op == FORT_OP_JEQ || insn->op == FORT_OP_JNE))
		return insn->op == FORT_OP_JNE;
	return -1;
}

static bool is_null_test(const struct fort_insn *insn, const struct fort_value *left,
			 const struct fort_value *right)
{
	return insn->bits == 64 && (insn->op == FORT_OP_JEQ || insn->op == FORT_OP_JNE) &&
	       left->maybe_null && is_zero(right);
}

/* The NULL side holds no reference any more: reserving failed. */
static void learn_null(const struct side *side, const struct fort_value *pointer, bool null)
{
	uint32_t id = pointer->id, ref = pointer->ref;

	fort_relate_null(side->state, id, null);
	if (null && ref)
		fort_ref_release(side->state, ref);
}

/* A packet pointer against the end of what it points into. */
static bool is_limit(const struct fort_value *pointer, const struct fort_value *limit)
{
	if (pointer->type == FORT_PACKET)
		return limit->type == FORT_PACKET_END;
	return pointer->type == FORT_PACKET_META && limit->type == FORT_PACKET &&
	       fort_scalar_is_const(&limit->num) && !limit->num.arc.base;
}

/* pointer <= limit, or pointer < limit, holds on this side: so many bytes are proven. */
static void learn_limit(const struct side *side, const struct fort_insn *insn)
{
	struct fort_comparison c = fort_comparison_when(insn->op, side->taken);
	const struct fort_value *dst = fort_state_reg(side->state, insn->dst);
	const struct fort_value *src = fort_state_reg(side->state, insn->src);
	const struct fort_value *small = c.swap ? src : dst, *large = c.swap ? dst : src;
	bool less = c.primitive == FORT_CMP_ULT;

	if (c.negate || (c.primitive != FORT_CMP_ULE && !less && c.primitive != FORT_CMP_EQ))
		return;
	if (is_limit(small, large))
		fort_relate_range(side->state, small->type, small->sym,
				  small->sym ? small->delta : fort_scalar_smin(&small->num), less);
	else if (c.primitive == FORT_CMP_EQ && is_limit(large, small))
		fort_relate_range(side->state, large->type, large->sym,
				  large->sym ? large->delta : fort_scalar_smin(&large->num), 0);
}

/* Comparing a maybe-NULL pointer with one that is valid shows that it is not NULL. */
static void learn_equal_pointers(const struct side *side, const struct fort_insn *insn)
{
	struct fort_comparison c = fort_comparison_when(insn->op, side->taken);
	struct fort_value *left = fort_state_reg(side->state, insn->dst);
	struct fort_value *right = fort_state_reg(side->state, insn->src);

	if (c.primitive != FORT_CMP_EQ || c.negate || insn->bits != 64)
		return;
	if (left->maybe_null && surely_not_null(right))
		learn_null(side, left, false);
	else if (right->maybe_null && surely_not_null(left))
		learn_null(side, right, false);
}

static void learn_pointers(const struct side *side, const struct fort_insn *insn)
{
	const struct fort_value *left = fort_state_reg(side->state, insn->dst);
	struct fort_value right = right_of(side->state, insn);

	if (is_null_test(insn, left, &right)) {
		learn_null(side, left, (insn->op == FORT_OP_JEQ) == side->taken);
		return;
	}
	if (insn->kind != FORT_JCC_X)
		return;
	if (is_null_test(insn, &right, left)) {
		learn_null(side, &right, (insn->op == FORT_OP_JEQ) == side->taken);
		return;
	}
	if (insn->bits == 64)
		learn_limit(side, insn);
	if (fort_value_is_pointer(left) && fort_value_is_pointer(&right))
		learn_equal_pointers(side, insn);
}

/* --- both --- */

static bool learn(const struct side *side, const struct fort_insn *insn)
{
	const struct fort_value *left = fort_state_reg(side->state, insn->dst);

	if (left->type == FORT_NUM && right_of(side->state, insn).type == FORT_NUM)
		return learn_comparison(side, insn);
	learn_pointers(side, insn);
	return true;
}

static int decide(const struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	const struct fort_value *left = fort_rule_reg(rule, insn->dst);
	struct fort_value right = right_of(rule->state, insn);

	if (left->type == FORT_NUM && right.type == FORT_NUM)
		return decide_numbers(rule);
	return left->type == FORT_NUM ? -1 : decide_pointers(rule);
}

/* One side is known to be the only one. */
static bool go(struct fort_rule *rule, bool taken)
{
	struct side side = {rule->state, taken};

	rule->out->decided = true;
	if (taken)
		rule->out->pc = (uint32_t)fort_insn_target(rule->insn, rule->pc);
	return learn(&side, rule->insn) || fort_rule_dead(rule);
}

bool fort_rule_branch(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct side fall = {rule->state, false}, jump = {NULL, true};
	bool falls, jumps;
	int known;

	if ((insn->kind == FORT_JCC_X && !fort_rule_readable(rule, insn->src)) ||
	    !fort_rule_readable(rule, insn->dst))
		return false;
	known = decide(rule);
	if (known >= 0)
		return go(rule, known);
	jump.state = fort_state_clone(rule->pool, rule->state);
	if (!jump.state)
		return fort_rule_no_memory(rule);
	falls = learn(&fall, insn);
	jumps = learn(&jump, insn);
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
