/* What happens to pointers into a packet when it is moved or resized. */
#include "step/rules.h"

static bool forget_packet(struct fort_value *value, void *context)
{
	const struct fort_value *left = context;

	if (value->type == FORT_PACKET || value->type == FORT_PACKET_META ||
	    value->type == FORT_PACKET_END)
		*value = *left;
	return true;
}

void fort_rule_move_packet(struct fort_rule *rule)
{
	struct fort_state *state = rule->state;
	struct fort_value any = fort_value_number(fort_scalar_of_width(32));
	/* An address of no use: the window's, for whoever may know it. */
	struct fort_value left = rule->env->rights & FORT_MAY_LEAK_POINTERS
					 ? fort_value_unknown()
					 : (struct fort_value){0};

	(void)fort_state_visit(state, forget_packet, &left);
	state->packet = any;
	state->meta = any;
}
