/* The context: which fields, which way, and what comes out of them. */
#include "step/rules.h"

bool fort_rule_is_ctx(struct fort_rule *rule, unsigned reg)
{
	const struct fort_value *base = fort_rule_reg(rule, reg);
	int64_t moved = fort_scalar_smin(&base->num);
	uint64_t off;

	if (!fort_scalar_is_const(&base->num))
		return fort_rule_bad(rule, FORT_DIAG_CTX_VARIABLE, reg, 0, 0, 0, 0);
	off = fort_scalar_umin(&base->num);
	if (!off)
		return true;
	return fort_rule_bad(rule, moved < 0 ? FORT_DIAG_CTX_NEGATIVE : FORT_DIAG_CTX_MODIFIED, reg,
			     moved, 0, 0, 0);
}

/* Objects of the kernel that its BTF describes: what may be done with them is not known yet. */
static bool is_later(const struct fort_ctx_field *field)
{
	return field->yields == FORT_YIELD_TYPED ||
	       fort_value_of_type(fort_yields[field->yields].regtype).type == FORT_BTF;
}

bool fort_rule_in_ctx(struct fort_rule *rule, const struct fort_reach *reach, bool sign_extends,
		      const struct fort_ctx_field **field)
{
	if (!fort_rule_is_ctx(rule, reach->reg))
		return false;
	*field = fort_ctx_access(&rule->env->hook, reach->off, reach->bytes, reach->write,
				 sign_extends);
	if (!*field)
		return fort_rule_bad(rule, FORT_DIAG_CTX_ACCESS, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	if (!reach->write && is_later(*field))
		return fort_rule_bad(rule, FORT_DIAG_CTX_LATER, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	return true;
}

struct fort_value fort_rule_ctx_load(struct fort_rule *rule, const struct fort_ctx_field *field)
{
	const struct fort_ret_info *yield = &fort_yields[field->yields];
	struct fort_value value = fort_value_of_type(yield->regtype);

	if (value.type == FORT_NUM)
		return fort_value_number(fort_scalar_of_width(rule->insn->bits));
	if (yield->null_ok) {
		value.flags |= FORT_MAYBE_NULL;
		value.id = fort_rule_fresh(rule);
	}
	return value;
}

/* --- what harden must know --- */

/* Sockets are seen through tables of the kernel's, each kind through its own. */
static uint8_t kind_of(enum fort_regtype through, const struct fort_ctx_field *field)
{
	switch (through) {
	case FORT_REGTYPE_SOCKET:
	case FORT_REGTYPE_SOCK_COMMON:
	case FORT_REGTYPE_TCP_SOCK:
	case FORT_REGTYPE_XDP_SOCK: return FORT_ACCESS_OBJECT;
	default:
		return field && field->yields != FORT_YIELD_SCALAR ? FORT_ACCESS_CTX_POINTER
								   : FORT_ACCESS_PLAIN;
	}
}

/* Does a comparison say that the access is inside? Of an address that is known, none does; NULL is
 * no memory, so tests for it need no help. */
static bool rests_on_comparison(const struct fort_value *base)
{
	return base->type == FORT_PACKET || base->type == FORT_PACKET_META ||
	       !fort_scalar_is_const(&base->num);
}

bool fort_rule_note_access(struct fort_rule *rule, const struct fort_value *base,
			   const struct fort_ctx_field *field)
{
	enum fort_regtype through = fort_value_regtype(base);
	struct fort_access *access = &rule->env->access[rule->pc];
	struct fort_access now = {.kind = kind_of(through, field)};

	if (rests_on_comparison(base))
		fort_rule_barrier(rule, FORT_BARRIER_BEFORE);
	if (now.kind == FORT_ACCESS_CTX_POINTER)
		now.which = (uint8_t)(field - rule->env->hook.prog->ctx->fields);
	else if (now.kind == FORT_ACCESS_OBJECT)
		now.which = (uint8_t)through;
	if (access->kind != FORT_ACCESS_UNSEEN &&
	    (access->kind != now.kind || access->which != now.which))
		return fort_rule_bad(rule, FORT_DIAG_MIXED_POINTERS, FORT_REGS, 0, 0, 0, 0);
	access->kind = now.kind;
	access->which = now.which;
	return true;
}
