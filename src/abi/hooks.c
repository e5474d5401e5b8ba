#include "abi/hooks.h"

#include "abi/words.h"

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
