/* Where a program is to be attached, as far as rules depend on it: its type, the attach type it
 * expects, and the function or struct of the kernel. From attach.def and targets.def.
 */
#pragma once

#include "abi/progs.h"

enum fort_attach {
#define FORT_ATTACH(id, number, ...) FORT_ATTACH_##id = (number),
#include "abi/attach.def"
	FORT_ATTACHES
};

enum fort_target_list {
	FORT_TARGETS_NONE,
#define FORT_TARGET_LIST(list, what) FORT_TARGETS_##list,
#include "abi/targets.def"
	FORT_TARGET_LISTS
};

/* Program types that attach there: bits of enum fort_prog_bit, by enum fort_attach. */
extern const uint32_t fort_attach_progs[FORT_ATTACHES];

struct fort_hook {
	const struct fort_prog_info *prog;
	uint32_t attach;    /* expected_attach_type */
	const char *target; /* in the kernel's BTF: TRACING, LSM, STRUCT_OPS; else NULL */
};

/* The hook's bit in masks of attach types. Numbers that the kernel does not know have one together:
 * most program types may be loaded with any. */
static inline uint64_t fort_attach_bit(const struct fort_hook *hook)
{
	return 1ull << (hook->attach < FORT_ATTACHES ? hook->attach : 63);
}

/* What such a program attaches to if PROG_LOAD says so: a type whose rule is OWN_OR_FIRST may leave
 * it out. (K: bpf_prog_load_fixup_attach_type) */
uint32_t fort_hook_attach(const struct fort_prog_info *prog, uint32_t expected);

/* May PROG_LOAD be asked for such a program with this attach type? (column `attach` of progs.def)
 */
bool fort_hook_has_attach(const struct fort_hook *hook);
/* May it be loaded with BPF_F_SLEEPABLE? Functions of the kernel that TRACING programs are attached
 * to must allow it too: what the kernel lets errors be injected into; and so must the struct of a
 * STRUCT_OPS program. */
bool fort_hook_may_sleep(const struct fort_hook *hook);

struct fort_retval {
	int32_t low, high;
	const char *note;  /* what the kernel says more of a value outside; NULL */
	const char *means; /* what the values do */
};

/* The range that such a program must return, of retvals.def; NULL: anything. `returns_void`: the
 * function that it is attached to does. */
const struct fort_retval *fort_hook_retval(const struct fort_hook *hook, bool returns_void);

/* Does such a program run where a function of the kernel or of a process begins or ends? */
bool fort_hook_is_probe(const struct fort_hook *hook);

/* Is `name` (or NULL, which no list has) one of the list? */
bool fort_target_listed(enum fort_target_list list, const char *name);
