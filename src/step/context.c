/* The context: which fields, which way, and what comes out of them. */
#include "step/rules.h"

bool fort_rule_is_ctx(struct fort_rule *rule, unsigned reg)
{
	const struct fort_value *base = fort_rule_reg(rule, reg);
	int64_t moved = (int64_t)base->num.arc.base;

	if (!fort_scalar_is_const(&base->num))
		return fort_rule_bad(rule, FORT_DIAG_CTX_VARIABLE, reg, 0, 0, 0, 0);
	if (!moved)
		return true;
	return fort_rule_bad(rule, moved < 0 ? FORT_DIAG_CTX_NEGATIVE : FORT_DIAG_CTX_MODIFIED, reg,
			     moved, 0, 0, 0);
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
	return true;
}

/* Sockets and packets, which the tables describe; what is loaded of others the kernel's BTF says.
 */
static bool load_kind(struct fort_rule *rule, const struct fort_reach *reach,
		      const struct fort_ctx_field *field, struct fort_value *out)
{
	if (fort_yields[field->yields].regtype == FORT_REGTYPE_NUM &&
	    field->yields != FORT_YIELD_TYPED) {
		*out = fort_value_number(fort_scalar_of_width(reach->bytes * 8));
		return true;
	}
	*out = fort_value_of_type(fort_yields[field->yields].regtype);
	if (field->yields == FORT_YIELD_TYPED)
		return fort_rule_typed_ctx(rule, reach, out);
	if (out->type == FORT_BTF)
		return fort_rule_object_ctx(rule, field->yields, out);
	return true;
}

bool fort_rule_ctx_load(struct fort_rule *rule, const struct fort_reach *reach,
			const struct fort_ctx_field *field, struct fort_value *out)
{
	if (!load_kind(rule, reach, field, out))
		return false;
	if (fort_yields[field->yields].null_ok && fort_value_is_pointer(out)) {
		out->flags |= FORT_MAYBE_NULL;
		out->id = fort_rule_fresh(rule);
	}
	return true;
}

/* --- what harden must know --- */

/* Sockets are seen through tables of the kernel's, each kind through its own. */
static uint8_t kind_of(const struct fort_value *base, const struct fort_ctx_field *field)
{
	if (base->type == FORT_BTF || base->type == FORT_MAP || base->flags & FORT_UNTRUSTED)
		return FORT_ACCESS_KERNEL;
	switch (base->type) {
	case FORT_SOCKET:
	case FORT_SOCK_COMMON:
	case FORT_TCP_SOCK:
	case FORT_XDP_SOCK: return FORT_ACCESS_OBJECT;
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
	struct fort_access *access = &rule->env->access[rule->pc];
	uint8_t kind = kind_of(base, field), which = 0;

	if (rests_on_comparison(base))
		fort_rule_barrier(rule, FORT_BARRIER_BEFORE);
	if (kind == FORT_ACCESS_CTX_POINTER)
		which = (uint8_t)(field - rule->env->hook.prog->ctx->fields);
	else if (kind == FORT_ACCESS_OBJECT)
		which = (uint8_t)fort_value_regtype(base);
	if (access->kind != FORT_ACCESS_UNSEEN && (access->kind != kind || access->which != which))
		return fort_rule_bad(rule, FORT_DIAG_MIXED_POINTERS, FORT_REGS, 0, 0, 0, 0);
	access->kind = kind;
	access->which = which;
	return true;
}
