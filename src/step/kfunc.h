/* Inside step/: one call of a function of the kernel being checked. Arguments are looked at in
 * order, each by its type and the end of its name; what they say of each other and of the result is
 * collected here; nothing of the state changes before all are good.
 *
 *   kfunc.c         may it be called, what it changes
 *   kfunc_args.c    arguments, but for
 *   kfunc_objects.c objects of the kernel
 *   kfunc_result.c  what is in r0 afterwards
 *   iter.c, dynptr.c  objects in the stack
 */
#pragma once

#include "step/dynptr.h"
#include "step/kernel.h"

enum fort_kfunc_rule {
#define FORT_KFUNC_RULE(id, ...) FORT_KFUNC_RULE_##id,
#include "step/kfunc_rules.def"
};

/* The iterator that is an argument. */
struct fort_iter_arg {
	bool given;
	uint32_t type; /* of the struct */
	struct fort_place place;
	struct fort_value value; /* unless it is made */
};

struct fort_kcall {
	const struct fort_kfunc_ref *ref;
	const struct fort_kfunc_info *kfunc;
	uint8_t rule;      /* enum fort_kfunc_rule */
	uint32_t held;     /* reference that an argument has; 0 for none */
	uint32_t released; /* the one that is given back */
	bool sized;        /* the argument after this one is its size, and was looked at with it */
	bool has_constant;
	uint64_t constant; /* of the argument that must be one */
	bool sizes_result, rdonly_result;
	uint64_t result_bytes;
	struct fort_dynptr_arg old, made;
	struct fort_iter_arg iter;
	struct fort_stack_reach
		written[FORT_BTF_FUNC_ARGS_MAX]; /* stack memory that it may change */
	unsigned n_written;
};

static inline bool fort_kcall_is(const struct fort_kcall *call, enum fort_kfunc_flag flag)
{
	return call->kfunc->flags & flag;
}

/* Pointers to objects must be trusted. K: is_kfunc_trusted_args */
static inline bool fort_kcall_wants_trust(const struct fort_kcall *call)
{
	return fort_kcall_is(call, FORT_KFUNC_TRUSTED) || fort_kcall_is(call, FORT_KFUNC_RELEASE);
}

/* Rejects for argument `i`: {0} is its number; the register is its. */
bool fort_kcall_bad(struct fort_rule *rule, enum fort_diag diag, unsigned i, int64_t a1,
		    int64_t a2);

/* All arguments. */
bool fort_kcall_args(struct fort_rule *rule, struct fort_kcall *call);
/* A pointer to a struct of the kernel, which the parameter asks for (`type`). */
bool fort_kcall_object(struct fort_rule *rule, struct fort_kcall *call, unsigned i, uint32_t type);
bool fort_kcall_iter(struct fort_rule *rule, struct fort_kcall *call, unsigned i);

/* What the call does to iterators: makes one, ends one. */
bool fort_iter_apply(struct fort_rule *rule, const struct fort_kcall *call);
/* The next element, which `element` is: forks, unless there is none. */
bool fort_iter_next(struct fort_rule *rule, const struct fort_kcall *call,
		    const struct fort_value *element);

/* r0 after the call. */
bool fort_kcall_result(struct fort_rule *rule, const struct fort_kcall *call,
		       struct fort_value *out);
