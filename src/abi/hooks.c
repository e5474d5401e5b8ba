#include "abi/hooks.h"

#include "abi/words.h"
#include "base/limits.h"

const uint32_t fort_attach_progs[FORT_ATTACHES] = {
#define FORT_ATTACH(id, number, progs) [number] = (progs),
#include "abi/attach.def"
};

#define NAME_BYTES 36u

/* Without pointers: the agent has this table too. */
static const struct {
	uint8_t list;
	char name[NAME_BYTES];
} targets[] = {
#define FORT_TARGET(list, name) {FORT_TARGETS_##list, name},
#include "abi/targets.def"
};

static bool matches(const char *pattern, const char *name)
{
	for (; *pattern != '*'; pattern++, name++)
		if (*pattern != *name || !*name)
			return *pattern == *name;
	return true;
}

bool fort_target_listed(enum fort_target_list list, const char *name)
{
	for (unsigned i = 0; name && i < FORT_LEN(targets); i++)
		if (targets[i].list == list && matches(targets[i].name, name))
			return true;
	return false;
}

/* kernel/bpf/verifier.c, check_get_func_ip */
bool fort_hook_is_probe(const struct fort_hook *hook)
{
	if (hook->prog->bit == TRC)
		return fort_attach_bit(hook) & AT_TRAMPOLINE;
	return hook->prog->bit == KP;
}

uint32_t fort_hook_attach(const struct fort_prog_info *prog, uint32_t expected)
{
	uint32_t first = 0;

	if (prog->attach != FORT_ATTACH_IS_OWN_OR_FIRST || expected)
		return expected;
	while (first < FORT_ATTACHES && !(fort_attach_progs[first] & prog->bit))
		first++;
	return first;
}

/* kernel/bpf/syscall.c, bpf_prog_load_check_attach */
bool fort_hook_has_attach(const struct fort_hook *hook)
{
	switch ((enum fort_attach_rule)hook->prog->attach) {
	case FORT_ATTACH_IS_ZERO: return !hook->attach;
	case FORT_ATTACH_IS_OWN_OR_FIRST:
		if (!hook->attach)
			return true;
		__attribute__((fallthrough));
	case FORT_ATTACH_IS_OWN:
		return hook->attach < FORT_ATTACHES &&
		       fort_attach_progs[hook->attach] & hook->prog->bit;
	default: return true;
	}
}

/* kernel/bpf/verifier.c, can_be_sleepable and bpf_check_attach_target */
bool fort_hook_may_sleep(const struct fort_hook *hook)
{
	if (hook->prog->sleepable == FORT_SLEEP_NEVER)
		return false;
	if (hook->prog->bit == TRC)
		return fort_attach_bit(hook) & AT_SLEEPING;
	if (hook->prog->bit == LSM)
		return hook->attach != FORT_ATTACH_LSM_CGROUP &&
		       fort_target_listed(FORT_TARGETS_LSM_SLEEPABLE, hook->target);
	return true;
}

enum { ANY, VOID, VALUE, BOOL };

static const struct {
	uint64_t attach;
	uint32_t progs;
	uint8_t when;
	struct fort_retval range;
} retvals[] = {
#define FORT_RETVAL(progs, attach, when, low, high, note, means) \
	{(attach), (progs), when, {(low), (high), (note), (means)}},
#include "abi/retvals.def"
};

const struct fort_retval *fort_hook_retval(const struct fort_hook *hook, bool returns_void)
{
	bool fits[] = {[ANY] = true,
		       [VOID] = returns_void,
		       [VALUE] = !returns_void,
		       [BOOL] = fort_target_listed(FORT_TARGETS_LSM_BOOL, hook->target)};

	for (unsigned i = 0; i < FORT_LEN(retvals); i++)
		if (retvals[i].progs & hook->prog->bit && fits[retvals[i].when] &&
		    retvals[i].attach & fort_attach_bit(hook))
			return &retvals[i].range;
	return NULL;
}
