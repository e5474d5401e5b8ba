/* Packets: what of them is proven to be there, and what happens to pointers into them when they are
 * moved or resized. */
#include "step/rules.h"

/* Bytes from the pointer on that are surely in the packet; those of a size that fits are enough. */
static bool is_proven(const struct fort_rule *rule, const struct fort_reach *reach, int64_t proven)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const struct fort_value *length =
		base->type == FORT_PACKET_META ? &rule->state->meta : &rule->state->packet;

	if (!reach->bytes && !reach->zero_ok)
		return false;
	return reach->off + (int64_t)reach->bytes <= proven ||
	       (reach->size && fort_relate_most(rule->state, base, reach->size, length) <= 0);
}

bool fort_rule_in_packet(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	int64_t proven = fort_packet_proven(rule->state, base);
	int64_t off = reach->off;

	if (reach->write && rule->env->hook.prog->packet < FORT_PACKET_RW)
		return fort_rule_bad(rule, FORT_DIAG_PACKET_WRITE, reach->reg, off, reach->bytes, 1,
				     proven);
	if (!fort_scalar_is_const(&at) &&
	    (fort_scalar_smin(&at) < 0 || fort_scalar_smin(&base->num) < -(int64_t)INT32_MAX))
		return fort_rule_bad(rule, FORT_DIAG_PACKET_MIN_NEGATIVE, reach->reg,
				     fort_scalar_smin(&at), reach->bytes, reach->write, proven);
	if (fort_scalar_smin(&at) < 0 || !fort_value_is_near(base) ||
	    !is_proven(rule, reach, proven))
		return fort_rule_bad(rule, FORT_DIAG_PACKET_BOUNDS, reach->reg, off, reach->bytes,
				     base->sym, proven);
	return true;
}

static bool is_packet(const struct fort_value *value, const void *context)
{
	(void)context;
	return value->type == FORT_PACKET || value->type == FORT_PACKET_META ||
	       value->type == FORT_PACKET_END;
}

void fort_rule_move_packet(struct fort_rule *rule)
{
	const struct fort_value remains = fort_rule_remains(rule);
	/* Packets lie in a window of 4 GiB. */
	const struct fort_value any = fort_value_number(fort_scalar_of_width(32));

	fort_state_forget(rule->state, is_packet, NULL, &remains);
	rule->state->packet = any;
	rule->state->meta = any;
}
