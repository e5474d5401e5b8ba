/* Arithmetic: numbers with numbers, pointers with numbers, copies. */
#include "step/rate.h"
#include "step/rules.h"

static inline void set(struct fort_rule *rule, const struct fort_value *value)
{
	*fort_rule_reg(rule, rule->insn->dst) = *value;
}

static inline void set_number(struct fort_rule *rule, struct fort_scalar num)
{
	struct fort_value *dst = fort_rule_reg(rule, rule->insn->dst);

	*dst = fort_value_number(num);
}

/* The immediate as the width reads it. */
static inline uint64_t immediate(const struct fort_insn *insn)
{
	return insn->bits == 64 ? (uint64_t)insn->imm : (uint32_t)insn->imm;
}

/* --- copies --- */

/* Part of an address, or what is computed from one, is a number for those who may see addresses. */
static bool shows_no_address(struct fort_rule *rule, unsigned reg, enum fort_diag diag)
{
	if (!fort_rule_is_secret(rule, fort_rule_reg(rule, reg)))
		return true;
	return fort_rule_bad(rule, diag, reg, rule->insn->op, 0, 0, 0);
}

static bool move_register(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *src = fort_rule_reg(rule, insn->src);

	if (!fort_rule_readable(rule, insn->src) || !fort_rule_writable(rule, insn->dst))
		return false;
	if (insn->bits == 64) {
		fort_rule_name(rule, src);
		set(rule, src);
	} else if (src->type != FORT_NUM) {
		if (!shows_no_address(rule, insn->src, FORT_DIAG_LEAK_COPY))
			return false;
		set_number(rule, fort_scalar_of_width(32)); /* part of an address */
	} else if (fort_scalar_umax(&src->num) <= UINT32_MAX) {
		fort_rule_name(rule, src);
		set(rule, src);
	} else {
		set_number(rule, fort_scalar_truncate(&src->num, 32));
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

	if (!fort_rule_readable(rule, insn->src) || !fort_rule_writable(rule, insn->dst) ||
	    !shows_no_address(rule, insn->src,
			      insn->bits == 64 ? FORT_DIAG_LEAK_EXTEND : FORT_DIAG_LEAK_COPY))
		return false;
	out = fort_scalar_sign_extend(src->type == FORT_NUM ? &src->num : &unknown, from,
				      insn->bits);
	if (src->type == FORT_NUM && insn->bits == 64 &&
	    fort_scalar_smin(&src->num) >= -(1ll << (from - 1)) &&
	    fort_scalar_smax(&src->num) < 1ll << (from - 1)) {
		fort_rule_name(rule, src); /* the extension changes nothing: a copy */
		set(rule, src);
	} else {
		set_number(rule, out);
	}
	return true;
}

static bool change_one(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);
	struct fort_scalar unknown = fort_scalar_unknown();
	const struct fort_scalar *num = dst->type == FORT_NUM ? &dst->num : &unknown;

	if (!fort_rule_readable(rule, insn->dst) ||
	    !shows_no_address(rule, insn->dst, FORT_DIAG_LEAK_ALU) ||
	    !fort_rule_writable(rule, insn->dst))
		return false;
	set_number(rule, insn->kind == FORT_NEG ? fort_scalar_neg(insn->bits, num)
						: fort_scalar_swap(insn->op, insn->bits, num));
	return true;
}

/* --- numbers --- */

/* Values of which sums and differences are worth remembering: lengths, indices, offsets. */
static bool is_measure(const struct fort_value *value)
{
	const int64_t far = 1ll << 32; /* words of 32 bits are */

	return !fort_scalar_is_const(&value->num) && fort_scalar_smin(&value->num) >= -far &&
	       fort_scalar_smax(&value->num) <= far;
}

/* sum = x + y. False when nothing is left of what was known. */
static bool learn_sum(struct fort_rule *rule, const struct fort_value *x,
		      const struct fort_value *y, const struct fort_value *sum)
{
	if (rule->state->n_rates) {
		fort_rate_moved(rule->state, x, y, sum);
		fort_rate_moved(rule->state, y, x, sum);
	}
	return fort_relate_learn(rule->state, x, y, sum, 0) &&
	       fort_relate_learn(rule->state, x, NULL, sum, -fort_scalar_smin(&y->num)) &&
	       fort_relate_learn(rule->state, sum, NULL, x, fort_scalar_smax(&y->num));
}

/* difference = x - y; numbers, or offsets in one object. What is known of x and y together bounds
 * it. */
static bool subtract(struct fort_rule *rule, struct fort_value *x, struct fort_value *y,
		     struct fort_value *out)
{
	struct fort_value *dst = fort_rule_reg(rule, rule->insn->dst);
	int64_t high = fort_relate_most(rule->state, x, NULL, y);
	int64_t low = fort_relate_most(rule->state, y, NULL, x);
	struct fort_scalar range;
	bool learns = is_measure(x) || is_measure(y);

	*out = fort_value_number(fort_scalar_alu(FORT_OP_SUB, 64, &x->num, &y->num, false));
	if (high != INT64_MAX && low != INT64_MAX && low != INT64_MIN) {
		range = fort_scalar_signed_range(-low, high);
		if (-low > high || !fort_scalar_meet(&out->num, &range))
			return fort_rule_dead(rule);
	}
	if (learns && is_measure(out)) {
		fort_rule_name(rule, out);
		*dst = *out;
		if (!fort_relate_learn(rule->state, y, out, x, 0))
			return fort_rule_dead(rule);
		*out = *dst;
	}
	return true;
}

/* Is the sum one of integers that nothing is cut off? */
static bool is_whole(const struct fort_insn *insn, const struct fort_value *x,
		     const struct fort_value *y)
{
	uint64_t high_x = fort_scalar_umax(&x->num), high_y = fort_scalar_umax(&y->num);

	return insn->bits == 64 ||
	       (high_x <= UINT32_MAX && high_y <= UINT32_MAX && high_x + high_y <= UINT32_MAX);
}

static bool sum_of_numbers(struct fort_rule *rule, const struct fort_value *right,
			   struct fort_value *out)
{
	struct fort_value *dst = fort_rule_reg(rule, rule->insn->dst), left, by;

	if (rule->insn->kind != FORT_ALU_X || !is_measure(dst) || !is_measure(right))
		return true;
	fort_rule_name(rule, dst);
	fort_rule_name(rule, fort_rule_reg(rule, rule->insn->src));
	by = *right;
	left = *dst;
	fort_rule_name(rule, out);
	*dst = *out;
	if (!learn_sum(rule, &left, &by, out))
		return fort_rule_dead(rule);
	*out = *dst;
	return true;
}

/* Differences of words of 64 bits are worth knowing. */
static bool difference_of_numbers(struct fort_rule *rule, const struct fort_value *right,
				  struct fort_value *out)
{
	struct fort_value left = *fort_rule_reg(rule, rule->insn->dst), by;

	fort_rule_name(rule, &left);
	if (rule->insn->kind == FORT_ALU_X)
		fort_rule_name(rule, fort_rule_reg(rule, rule->insn->src));
	by = *right;
	return subtract(rule, &left, &by, out);
}

/* A number that was halved, or divided, is less: what shows that some loops end. */
static bool shrunk_number(struct fort_rule *rule, struct fort_value *out)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst), before = *dst;
	bool divides = insn->op == FORT_OP_DIV && insn->imm > 1;
	bool shifts = insn->op == FORT_OP_RSH && insn->imm > 0;

	if (!rule->state->n_ghosts || insn->kind != FORT_ALU_K || !(divides || shifts) ||
	    fort_scalar_smin(&dst->num) < 0 || !before.sym ||
	    (insn->bits == 32 && fort_scalar_umax(&dst->num) > UINT32_MAX))
		return true;
	fort_rule_name(rule, out);
	*dst = *out;
	if (!fort_relate_learn(rule->state, out, NULL, &before,
			       fort_scalar_smin(&before.num) > 0 ? -1 : 0))
		return fort_rule_dead(rule);
	*out = *dst;
	return true;
}

/* Is x op y, y a known number, x moved by *change, with nothing cut off? Of additions and
 * subtractions. */
static FORT_INLINE bool is_moved(const struct fort_insn *insn, const struct fort_value *x,
				 const struct fort_value *y, int64_t *change)
{
	const int64_t most = UINT32_MAX;
	uint64_t by = y->num.arc.base;

	if (!fort_scalar_is_const(&y->num))
		return false;
	*change = (int64_t)(insn->op == FORT_OP_ADD ? by : 0 - by);
	if (insn->bits == 64)
		return true;
	*change = (int32_t)(uint32_t)*change;
	return fort_scalar_umax(&x->num) <= (uint64_t)most &&
	       (int64_t)fort_scalar_umin(&x->num) + *change >= 0 &&
	       (int64_t)fort_scalar_umax(&x->num) + *change <= most;
}

/* Has x & y, y a known number, all bits that x can have? */
static bool is_kept(const struct fort_insn *insn, const struct fort_value *x,
		    const struct fort_value *y)
{
	uint64_t bits = x->num.bits.value | x->num.bits.mask, kept;

	return fort_value_known(y, &kept) && !(bits & ~kept) &&
	       (insn->bits == 64 || fort_scalar_umax(&x->num) <= UINT32_MAX);
}

/* Is the result one of the operands, moved by *change: x + constant, constant + x? NULL: no. */
static FORT_INLINE const struct fort_value *moved_operand(const struct fort_insn *insn,
							  const struct fort_value *x,
							  const struct fort_value *y,
							  int64_t *change)
{
	*change = 0;
	switch (insn->op) {
	case FORT_OP_ADD:
		if (is_moved(insn, x, y, change))
			return x;
		return is_moved(insn, y, x, change) ? y : NULL;
	case FORT_OP_SUB: return is_moved(insn, x, y, change) ? x : NULL;
	case FORT_OP_AND: return is_kept(insn, x, y) ? x : NULL;
	default: return NULL;
	}
}

/* What the result of an operation has to do with its operands, beside its numbers. */
static bool relate_result(struct fort_rule *rule, const struct fort_value *right,
			  struct fort_value *out)
{
	const struct fort_insn *insn = rule->insn;

	if (insn->op == FORT_OP_SUB && insn->bits == 64)
		return difference_of_numbers(rule, right, out);
	if (insn->op == FORT_OP_ADD && is_whole(insn, fort_rule_reg(rule, insn->dst), right))
		return sum_of_numbers(rule, right, out);
	return shrunk_number(rule, out);
}

/* Is the result of the operation more than a number: a sum, a difference, something less? */
static bool may_relate(const struct fort_rule *rule)
{
	enum fort_op op = rule->insn->op;

	return op == FORT_OP_ADD || op == FORT_OP_SUB || rule->state->n_ghosts;
}

static bool set_related(struct fort_rule *rule, const struct fort_value *right,
			struct fort_scalar num)
{
	struct fort_value out = fort_value_number(num);

	if (!relate_result(rule, right, &out))
		return false;
	set(rule, &out);
	return true;
}

/* A number that stays related to the operand that it is, moved. */
static inline void set_moved(struct fort_value *dst, struct fort_scalar num,
			     const struct fort_value *moved, int64_t change)
{
	uint32_t sym = moved->sym;
	int64_t delta = sym ? fort_wrap_add(moved->delta, change) : 0;

	*dst = fort_value_number(num);
	dst->sym = sym;
	dst->delta = delta;
}

/* `right` may be the register, which is also the left one then. */
static bool add_numbers(struct fort_rule *rule, const struct fort_value *right)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);
	bool related = right == dst || (dst->sym && dst->sym == right->sym);
	const struct fort_value *moved;
	struct fort_scalar num;
	int64_t change;

	if (related && insn->op == FORT_OP_SUB && insn->bits == 64) {
		set_number(rule, fort_scalar_const((uint64_t)dst->delta - (uint64_t)right->delta));
		return true;
	}
	if (fort_scalar_is_const(&dst->num) && fort_scalar_is_const(&right->num)) {
		set_number(rule,
			   fort_scalar_const(fort_word_alu(insn->op, insn->bits, dst->num.arc.base,
							   right->num.arc.base)));
		return true;
	}
	moved = moved_operand(insn, dst, right, &change);
	num = fort_scalar_alu(insn->op, insn->bits, &dst->num, &right->num,
			      related && dst->delta == right->delta);
	if (fort_scalar_is_const(&num))
		*dst = fort_value_number(num);
	else if (moved)
		set_moved(dst, num, moved, change);
	else if (may_relate(rule))
		return set_related(rule, right, num);
	else
		*dst = fort_value_number(num);
	return true;
}

/* --- pointers --- */

/* K: adjust_ptr_min_max_vals. Sockets and the like are whole. */
static bool moves(const struct fort_value *pointer, bool known)
{
	switch (pointer->type) {
	case FORT_CTX:
	case FORT_STACK:
	case FORT_MAP_VALUE:
	case FORT_MAP_KEY:
	case FORT_PACKET:
	case FORT_PACKET_META:
	case FORT_TP_BUFFER:
	case FORT_MEM:
	case FORT_RING_MEM:
	case FORT_BUF:
	case FORT_BTF:
	case FORT_FUNC:
	case FORT_DYNPTR: return true;
	case FORT_FLOW_KEYS: return known;
	default: return false;
	}
}

static bool movable(struct fort_rule *rule, unsigned reg, const struct fort_value *pointer,
		    const struct fort_value *number)
{
	uint64_t by = 1;
	bool known = fort_value_known(number, &by);

	if (pointer->flags & FORT_MAYBE_NULL)
		return fort_rule_bad(rule, FORT_DIAG_PTR_ARITH_NULL, reg, 0, 0, 0, 0);
	if (moves(pointer, known) || (pointer->type == FORT_MAP && !by))
		return true;
	return fort_rule_bad(rule, FORT_DIAG_PTR_ARITH, reg, 0, 0, 0, 0);
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

/* pointer + number or pointer - number, into dst. */
static bool move_pointer(struct fort_rule *rule, const struct fort_value *from, unsigned reg,
			 struct fort_value *number)
{
	bool add = rule->insn->op == FORT_OP_ADD;
	struct fort_value pointer = *from, out = pointer, moved_by;

	if (!movable(rule, reg, &pointer, number))
		return false;
	if (add)
		fort_rule_name(rule, number);
	moved_by = *number;
	out.num = fort_scalar_alu(rule->insn->op, 64, &pointer.num, &number->num, false);
	relate_offset(rule, &out, &pointer, number, add);
	set(rule, &out);
	if (add && is_measure(&pointer) && is_measure(&moved_by) &&
	    !learn_sum(rule, &pointer, &moved_by, &out))
		return fort_rule_dead(rule);
	return true;
}

/* The offset of a pointer in the object that it shares with others; false if nothing says so. */
static bool offset_in(const struct fort_rule *rule, const struct fort_value *pointer,
		      struct fort_value *out)
{
	if (pointer->flags & FORT_MAYBE_NULL)
		return false;
	*out = pointer->type == FORT_PACKET_END ? *fort_packet_length(rule->state, pointer)
						: *pointer;
	*out = (struct fort_value){
		.type = FORT_NUM, .sym = out->sym, .delta = out->delta, .num = out->num};
	return true;
}

/* Are both in one object, so that their difference is one of offsets? A base is an object's own
 * only for values with a lock: parts of one dynptr share it, and values of one map. */
static bool same_object(const struct fort_value *a, const struct fort_value *b)
{
	bool packet_a = a->type == FORT_PACKET || a->type == FORT_PACKET_END;
	bool packet_b = b->type == FORT_PACKET || b->type == FORT_PACKET_END;

	if (packet_a || packet_b)
		return packet_a && packet_b;
	if (a->type != b->type || a->object != b->object || a->frame != b->frame)
		return false;
	return a->type == FORT_STACK || a->type == FORT_CTX || a->type == FORT_PACKET_META ||
	       (a->flags & b->flags & FORT_LOCKABLE && a->base == b->base);
}

/* A difference of pointers is a number. */
static bool distance(struct fort_rule *rule, const struct fort_value *right)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst), x, y, out;
	uint64_t by;

	if (insn->bits == 32 || !same_object(dst, right) || !offset_in(rule, dst, &x) ||
	    !offset_in(rule, right, &y)) {
		set_number(rule, fort_scalar_of_width(insn->bits));
		return true;
	}
	if (x.sym && x.sym == y.sym) {
		out = fort_value_const((uint64_t)x.delta - (uint64_t)y.delta);
	} else if (fort_value_known(&y, &by)) {
		out = x;
		out.num = fort_scalar_plus(&x.num, (int64_t)(0 - by));
		out.delta = fort_wrap_sub(x.delta, (int64_t)by);
	} else if (!subtract(rule, &x, &y, &out)) {
		return false;
	}
	set(rule, &out);
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

/* One of the operands is a pointer, or both are. `right` may get a name. */
static FORT_OUTLINE bool pointer_arithmetic(struct fort_rule *rule, struct fort_value *right)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);
	bool both = dst->type != FORT_NUM && right->type != FORT_NUM;
	bool leaks = rule->env->rights & FORT_MAY_LEAK_POINTERS;

	if (insn->op == FORT_OP_SUB && both && leaks)
		return distance(rule, right);
	if (insn->op == FORT_OP_SUB && insn->bits == 32 && !both && leaks) {
		set_number(rule, fort_scalar_of_width(32));
		return true;
	}
	if (both)
		return fort_rule_bad(rule, FORT_DIAG_PTR_PTR, insn->dst, insn->op, 0, 0, 0);
	if (!pointer_operator(rule, dst->type != FORT_NUM ? insn->dst : insn->src))
		return false;
	if (dst->type != FORT_NUM) {
		if (insn->op == FORT_OP_SUB && dst->type == FORT_STACK)
			return fort_rule_bad(rule, FORT_DIAG_STACK_SUB, insn->dst, 0, 0, 0, 0);
		return move_pointer(rule, dst, insn->dst, right);
	}
	if (insn->op == FORT_OP_SUB)
		return fort_rule_bad(rule, FORT_DIAG_SCALAR_MINUS_PTR, insn->dst, 0, 0, 0, 0);
	return move_pointer(rule, right, insn->src, dst);
}

static bool arithmetic(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst), constant;
	struct fort_value *right = &constant;

	if (insn->kind == FORT_ALU_X)
		right = fort_rule_reg(rule, insn->src);
	else
		constant = fort_value_const(immediate(insn));
	if (dst->type == FORT_NUM && right->type == FORT_NUM) {
		bool done, good = fort_rule_count_down(rule, &done);

		return done ? good : add_numbers(rule, right);
	}
	return pointer_arithmetic(rule, right);
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
		set_number(rule, fort_scalar_const(immediate(insn)));
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
