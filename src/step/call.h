/* Inside step/: one call of a helper being checked. Arguments are looked at in order, each by the
 * rule of its base (abi/args.def); what they say of each other and of the result is collected here;
 * nothing of the state changes before all are good.
 *
 *   call.c         the road of a call
 *   call_args.c    arguments, but for
 *   call_memory.c  memory, sizes, keys and values
 *   call_objects.c dynptrs, objects of the kernel
 *   call_map.c     maps, and which helper takes which
 *   call_result.c  what is in r0 afterwards
 *   callback.c     helpers that call functions of the program
 */
#pragma once

#include "step/dynptr.h"

struct fort_call {
	const struct fort_helper_info *helper;
	const struct fort_map_shape *map; /* the map argument, or NULL */
	uint32_t map_index, map_base;     /* its place in the list; which of its kind it is */
	uint32_t const_size;              /* CONST_SIZE */
	uint64_t most;                    /* the last SIZE argument at most */
	bool found;                       /* the key is surely in the map */
	uint32_t ref;                     /* reference that an argument holds; 0 for none */
	bool releases;                    /* it is given back */
	struct fort_dynptr_arg old, made;
	uint32_t variable; /* type of a variable that each processor has */
	struct fort_stack_reach written[FORT_HELPER_ARGS]; /* stack memory the helper fills */
	unsigned n_written;
};

/* Rejects for an argument: {0} its register, {1} the helper, {2} the kind of argument. */
bool fort_call_bad(struct fort_rule *rule, const struct fort_call *call, unsigned reg,
		   enum fort_diag diag);

/* Is the argument as the prototype wants it? */
bool fort_call_arg(struct fort_rule *rule, struct fort_call *call, unsigned reg);

/* By base. `info`: the kind of argument, or what the map makes of it. */
bool fort_call_map(struct fort_rule *rule, struct fort_call *call, unsigned reg);
bool fort_call_key(struct fort_rule *rule, struct fort_call *call, unsigned reg);
bool fort_call_value(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		     const struct fort_arg_info *info);
bool fort_call_memory(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		      const struct fort_arg_info *info);
bool fort_call_size(struct fort_rule *rule, struct fort_call *call, unsigned reg);

bool fort_call_dynptr(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		      const struct fort_arg_info *info);
bool fort_call_btf(struct fort_rule *rule, struct fort_call *call, unsigned reg,
		   const struct fort_arg_info *info);

/* Makes the dynptr that the call makes, if it makes one. */
bool fort_call_make_dynptr(struct fort_rule *rule, const struct fort_call *call);
/* A processor's copy of the variable. */
bool fort_call_percpu_result(struct fort_rule *rule, const struct fort_call *call,
			     struct fort_value *out);

/* What arguments of VALUE are for this map: of those that hold sockets, sockets. */
enum fort_arg fort_call_kind(const struct fort_call *call, unsigned reg);
/* Does the helper take such a map, and may this program change it? */
bool fort_call_fits_map(struct fort_rule *rule, const struct fort_call *call);

/* Are all kinds of arguments and results of this helper known here? */
bool fort_call_is_known(const struct fort_helper_info *helper);
/* A helper that calls back, its arguments checked: forks off the run of the function, for which r1
 * to r5 of the caller stay. What is left to do is the end of the call in rule->state, with the
 * result of fort_rule_called_back. */
bool fort_rule_call_back(struct fort_rule *rule, const struct fort_call *call);
struct fort_value fort_rule_called_back(struct fort_rule *rule, const struct fort_call *call);
/* r0 after the call. */
bool fort_call_result(struct fort_rule *rule, const struct fort_call *call, struct fort_value *out);
