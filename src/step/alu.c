/* Arithmetic: numbers with numbers, pointers with numbers, copies. */
#include "step/rules.h"

static void set(struct fort_rule *rule, struct fort_value value)
{
	*fort_rule_reg(rule, rule->insn->dst) = value;
}

/* The right operand as a value: the register, or the immediate as the width reads it. */
static struct fort_value right_operand(const struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;

	if (insn->kind == FORT_ALU_X)
		return *fort_rule_reg(rule, insn->src);
	return fort_value_const(insn->bits == 64 ? (uint64_t)insn->imm : (uint32_t)insn->imm);
}

/* --- copies --- */

static bool move_register(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *src = fort_rule_reg(rule, insn->src);

	if (!fort_rule_readable(rule, insn->src) || !fort_rule_writable(rule, insn->dst))
		return false;
	if (insn->bits == 64) {
		fort_rule_name(rule, src);
		set(rule, *src);
	} else if (src->type != FORT_NUM) {
		set(rule, fort_value_number(fort_scalar_of_width(32))); /* part of an address */
	} else if (fort_scalar_umax(&src->num) <= UINT32_MAX) {
		fort_rule_name(rule, src);
		set(rule, *src);
	} else {
		set(rule, fort_value_number(fort_scalar_truncate(&src->num, 32)));
	}
	return true;
}

static bool move_extended(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	unsigned from = insn->op == FORT_OP_MOVSX8 ? 8 : insn->op == FORT_OP_MOVSX16 ? 16 : 32;
	struct fort_value *src = fort_rule_reg(rule, insn->src);
	struct fort_scalar unknown = fort_scalar_unknown();
	struct fort_scalar out;

	if (!fort_rule_readable(rule, insn->src) || !fort_rule_writable(rule, insn->dst))
		return false;
	out = fort_scalar_sign_extend(src->type == FORT_NUM ? &src->num : &unknown, from,
				      insn->bits);
	if (src->type == FORT_NUM && insn->bits == 64 &&
	    fort_scalar_smin(&src->num) >= -(1ll << (from - 1)) &&
	    fort_scalar_smax(&src->num) < 1ll << (from - 1)) {
		fort_rule_name(rule, src); /* the extension changes nothing: a copy */
		set(rule, *src);
	} else {
		set(rule, fort_value_number(out));
	}
	return true;
}

static bool change_one(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);
	struct fort_scalar unknown = fort_scalar_unknown();
	const struct fort_scalar *num = dst->type == FORT_NUM ? &dst->num : &unknown;

	if (!fort_rule_readable(rule, insn->dst) || !fort_rule_writable(rule, insn->dst))
		return false;
	set(rule, fort_value_number(insn->kind == FORT_NEG
					    ? fort_scalar_neg(insn->bits, num)
					    : fort_scalar_swap(insn->op, insn->bits, num)));
	return true;
}

/* --- numbers --- */

static bool add_numbers(struct fort_rule *rule, const struct fort_value *right)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);
	bool itself = insn->kind == FORT_ALU_X && insn->src == insn->dst;
	bool related = itself || (dst->sym && dst->sym == right->sym);
	struct fort_value out;
	uint64_t by;

	if (related && insn->op == FORT_OP_SUB && insn->bits == 64) {
		set(rule, fort_value_const((uint64_t)dst->delta - (uint64_t)right->delta));
		return true;
	}
	out = fort_value_number(fort_scalar_alu(insn->op, insn->bits, &dst->num, &right->num,
						related && dst->delta == right->delta));
	/* x + constant stays related to x. */
	if (dst->sym && insn->bits == 64 && fort_value_known(right, &by) &&
	    (insn->op == FORT_OP_ADD || insn->op == FORT_OP_SUB) &&
	    !fort_scalar_is_const(&out.num)) {
		out.sym = dst->sym;
		out.delta =
			fort_wrap_add(dst->delta, (int64_t)(insn->op == FORT_OP_ADD ? by : 0 - by));
	}
	set(rule, out);
	return true;
}

/* --- pointers --- */

static bool movable(struct fort_rule *rule, unsigned reg, const struct fort_value *pointer,
		    const struct fort_value *number)
{
	uint64_t by;

	if (pointer->maybe_null)
		return fort_rule_bad(rule, FORT_DIAG_PTR_ARITH_NULL, reg, 0, 0, 0, 0);
	if (pointer->type == FORT_MAP && fort_value_known(number, &by) && !by)
		return true;
	if (pointer->type == FORT_PACKET_END || pointer->type == FORT_MAP)
		return fort_rule_bad(rule, FORT_DIAG_PTR_ARITH, reg, 0, 0, 0, 0);
	return true;
}

/* Proven bytes move with a packet pointer by a known distance, while offsets are far from any
 * wrap; otherwise nothing is proven. */
static int32_t moved_range(const struct fort_value *pointer, bool known, int64_t by)
{
	int64_t range = pointer->range;

	if (pointer->range == FORT_RANGE_NONE || !known || by > INT32_MAX || by < -INT32_MAX ||
	    !fort_value_is_near(pointer))
		return FORT_RANGE_NONE;
	range -= by;
	return range > FORT_RANGE_NONE && range <= INT32_MAX ? (int32_t)range : FORT_RANGE_NONE;
}

/* The symbol of pointer + number. */
static void relate_offset(struct fort_rule *rule, struct fort_value *out,
			  const struct fort_value *pointer, const struct fort_value *number,
			  bool add)
{
	uint64_t by;

	out->sym = 0;
	out->delta = 0;
	if (fort_value_known(number, &by)) {
		out->sym = pointer->sym;
		out->delta = fort_wrap_add(pointer->delta, (int64_t)(add ? by : 0 - by));
	} else if (add && number->sym && fort_scalar_is_const(&pointer->num)) {
		out->sym = number->sym;
		out->delta = fort_wrap_add(number->delta, (int64_t)pointer->num.arc.base);
	} else {
		fort_rule_name(rule, out);
	}
	if (!out->sym)
		out->delta = 0;
}

struct same_symbol {
	const struct fort_value *value;
	int64_t range;
};

/* Another pointer made from the same numbers may know how much of the packet is proven. */
static bool inherit_range(struct fort_value *value, void *context)
{
	struct same_symbol *same = context;
	int64_t distance;

	if (value->type != same->value->type || !same->value->sym ||
	    value->sym != same->value->sym || value->range == FORT_RANGE_NONE)
		return true;
	distance = fort_wrap_sub(same->value->delta, value->delta);
	if (distance > INT32_MAX || distance < -INT32_MAX)
		return true;
	if (value->range - distance > same->range)
		same->range = value->range - distance;
	return true;
}

static bool is_packet(const struct fort_value *value)
{
	return value->type == FORT_PACKET || value->type == FORT_PACKET_META;
}

/* pointer + number or pointer - number, into dst. */
static bool move_pointer(struct fort_rule *rule, struct fort_value pointer, unsigned reg,
			 struct fort_value *number)
{
	bool add = rule->insn->op == FORT_OP_ADD;
	struct fort_value out = pointer;
	struct same_symbol same = {.value = &out, .range = FORT_RANGE_NONE};
	uint64_t by = 0;
	bool known = fort_value_known(number, &by);

	if (!movable(rule, reg, &pointer, number))
		return false;
	if (!known && add)
		fort_rule_name(rule, number);
	out.num = fort_scalar_alu(rule->insn->op, 64, &pointer.num, &number->num, false);
	relate_offset(rule, &out, &pointer, number, add);
	if (is_packet(&out)) {
		out.range = moved_range(&pointer, known, (int64_t)(add ? by : 0 - by));
		if (fort_value_is_near(&out))
			(void)fort_state_visit(rule->state, inherit_range, &same);
		if (same.range > out.range && same.range <= INT32_MAX)
			out.range = (int32_t)same.range;
	}
	set(rule, out);
	return true;
}

/* A difference of pointers, or one cut to 32 bits, is a number about which nothing is known. */
static bool make_number(struct fort_rule *rule)
{
	set(rule, fort_value_number(fort_scalar_of_width(rule->insn->bits)));
	return true;
}

static bool pointer_operator(struct fort_rule *rule, unsigned reg)
{
	const struct fort_insn *insn = rule->insn;

	if (insn->bits == 32)
		return fort_rule_bad(rule, FORT_DIAG_PTR_32BIT, reg, 0, 0, 0, 0);
	switch (insn->op) {
	case FORT_OP_ADD:
	case FORT_OP_SUB: return true;
	case FORT_OP_AND:
	case FORT_OP_OR:
	case FORT_OP_XOR: return fort_rule_bad(rule, FORT_DIAG_PTR_BITWISE, reg, insn->op, 0, 0, 0);
	default: return fort_rule_bad(rule, FORT_DIAG_PTR_OPERATOR, reg, insn->op, 0, 0, 0);
	}
}

static bool arithmetic(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);
	struct fort_value right = right_operand(rule);
	bool both = dst->type != FORT_NUM && right.type != FORT_NUM;

	if (dst->type == FORT_NUM && right.type == FORT_NUM)
		return add_numbers(rule, &right);
	if (insn->op == FORT_OP_SUB && (both || insn->bits == 32))
		return make_number(rule);
	if (both)
		return fort_rule_bad(rule, FORT_DIAG_PTR_PTR, insn->dst, insn->op, 0, 0, 0);
	if (!pointer_operator(rule, dst->type != FORT_NUM ? insn->dst : insn->src))
		return false;
	if (dst->type != FORT_NUM) {
		struct fort_value *number =
			insn->kind == FORT_ALU_X ? fort_rule_reg(rule, insn->src) : &right;

		if (insn->op == FORT_OP_SUB && dst->type == FORT_STACK)
			return fort_rule_bad(rule, FORT_DIAG_STACK_SUB, insn->dst, 0, 0, 0, 0);
		return move_pointer(rule, *dst, insn->dst, number);
	}
	if (insn->op == FORT_OP_SUB)
		return fort_rule_bad(rule, FORT_DIAG_SCALAR_MINUS_PTR, insn->dst, 0, 0, 0, 0);
	return move_pointer(rule, right, insn->src, dst);
}

/* What the kernel refuses in an immediate, whatever the other operand is. */
static bool sane_immediate(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	bool divides = insn->op == FORT_OP_DIV || insn->op == FORT_OP_SDIV ||
		       insn->op == FORT_OP_MOD || insn->op == FORT_OP_SMOD;
	bool shifts =
		insn->op == FORT_OP_LSH || insn->op == FORT_OP_RSH || insn->op == FORT_OP_ARSH;

	if (insn->kind != FORT_ALU_K)
		return true;
	if (divides && !insn->imm)
		return fort_rule_bad(rule, FORT_DIAG_DIV_ZERO, FORT_REGS, 0, 0, 0, 0);
	if (shifts && (insn->imm < 0 || insn->imm >= insn->bits))
		return fort_rule_bad(rule, FORT_DIAG_BAD_SHIFT, FORT_REGS, insn->imm, insn->bits, 0,
				     0);
	return true;
}

bool fort_rule_alu(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;

	switch (insn->kind) {
	case FORT_MOV_K:
		if (!fort_rule_writable(rule, insn->dst))
			return false;
		set(rule,
		    fort_value_const(insn->bits == 64 ? (uint64_t)insn->imm : (uint32_t)insn->imm));
		return true;
	case FORT_MOV_X: return move_register(rule);
	case FORT_MOVSX: return move_extended(rule);
	case FORT_NEG:
	case FORT_END: return change_one(rule);
	default:
		return (insn->kind != FORT_ALU_X || fort_rule_readable(rule, insn->src)) &&
		       fort_rule_readable(rule, insn->dst) && sane_immediate(rule) &&
		       fort_rule_writable(rule, insn->dst) && arithmetic(rule);
	}
}
