/* Which programs may call which helpers, with which license and rights: helpers.def beside the
 * running kernel, for every kind of program that it loads. */
#include <stdio.h>
#include <string.h>

#include "abi/helpers.h"
#include "kernel_hooks.h"

static struct kernel_hooks hooks;
static unsigned count, failed;

static void report(bool good, const char *what, const char *of)
{
	printf("%s %u - %s%s\n", good ? "ok" : "not ok", ++count, what, of);
	failed += !good;
}

/* What the kernel says of a call without arguments. */
static void ask(const struct kernel_hook *hook, uint32_t number, struct kernel_program program,
		struct kernel_answer *answer)
{
	char text[64];

	snprintf(text, sizeof(text), "call %u\nmov r0, 0\nexit\n", number);
	program.text = text;
	kernel_hook_load(hook, &program, answer);
}

static bool said(const struct kernel_answer *answer, const char *words)
{
	return strstr(answer->line, words) != NULL;
}

static bool differ(const char *what, uint32_t number, bool ours, bool theirs)
{
	if (ours != theirs)
		printf("# %s: %s: %s\n", fort_helper_kernel_name(number), what,
		       ours ? "ours alone" : "the kernel's alone");
	return ours != theirs;
}

/* Where the running kernel lacks what 6.18 has: of its configuration or of this machine's policy.
 */
static bool is_configured(uint32_t number)
{
	switch (number) {
	case 36: /* probe_write_user: a policy of the machine (lockdown) */
	case 58: /* override_return: CONFIG_BPF_KPROBE_OVERRIDE */ return false;
	default: return true;
	}
}

static bool one_helper(const struct kernel_hook *hook, uint32_t number)
{
	const struct fort_helper_info *helper = fort_helper_for(number, &hook->hook);
	struct kernel_answer answer;
	bool good = true, has;

	ask(hook, number, (struct kernel_program){0}, &answer);
	has = !said(&answer, "cannot use helper");
	if (!has && helper && !is_configured(number))
		return true;
	good &= !differ("has it", number, helper, has);
	if (!helper || !has)
		return good;
	good &= !differ("only for listed functions", number,
			!fort_helper_is_listed(helper, &hook->hook),
			said(&answer, "helper call is not allowed in probe"));
	if (said(&answer, "not allowed in probe"))
		return good;
	good &= !differ("sleeps", number, helper->flags & FORT_HELPER_SLEEPS && !hook->sleepable,
			said(&answer, "helper call might sleep"));
	if (hook->only_gpl)
		return good;
	ask(hook, number, (struct kernel_program){.not_gpl = true}, &answer);
	good &= !differ("for GPL-compatible programs", number, helper->license == FORT_LICENSE_GPL,
			said(&answer, "GPL-restricted"));
	return good;
}

/* Syscall programs get these as tracing programs do, which need CAP_PERFMON for themselves; syscall
 * programs do not. They read foreign memory, or give access to it, all the same: we ask. */
static bool asks_nobody(const struct kernel_hook *hook, uint32_t number)
{
	const char *name = fort_helper_kernel_name(number);

	return hook->hook.prog == &fort_progs[FORT_PROG_SYSCALL] &&
	       (!strncmp(name, "bpf_skc_to_", 11) || !strcmp(name, "bpf_probe_read") ||
		!strcmp(name, "bpf_probe_read_str"));
}

/* Programs that may be loaded with CAP_BPF and CAP_NET_ADMIN: which helpers ask for CAP_PERFMON. */
static bool rights(const struct kernel_hook *hook, uint32_t number)
{
	const struct fort_helper_info *helper = fort_helper_for(number, &hook->hook);
	struct kernel_answer answer;

	if (!helper || !is_configured(number) || asks_nobody(hook, number))
		return true;
	ask(hook, number, (struct kernel_program){.as_net_admin = true}, &answer);
	return !differ("asks for CAP_PERFMON", number, helper->right == FORT_RIGHT_PERF,
		       said(&answer, "cannot use helper"));
}

static void one_hook(const struct kernel_hook *hook)
{
	bool good = true;

	for (uint32_t number = 1; fort_helper_by_number(number); number++) {
		good &= one_helper(hook, number);
		good &= !hook->net_admin || rights(hook, number);
	}
	report(good, "helpers of ", kernel_hook_text(hook));
}

/* The numbers of helpers have no gaps, and the kernel's end where ours do. */
static void numbers(void)
{
	const struct kernel_hook *hook = &hooks.all[0];
	struct kernel_answer answer;
	uint32_t number = 1;

	while (fort_helper_by_number(number))
		number++;
	ask(hook, number, (struct kernel_program){0}, &answer);
	report(number == 212 && said(&answer, "invalid func unknown#212"), "the last helper is ",
	       fort_helper_kernel_name(number - 1));
}

int main(void)
{
	kernel_hooks_open(&hooks);
	if (hooks.all[0].err) {
		printf("1..0 # SKIP the kernel loads no programs: %s\n",
		       strerror(hooks.all[0].err));
		return 0;
	}
	for (unsigned i = 0; i < hooks.n; i++)
		if (!hooks.all[i].err)
			one_hook(&hooks.all[i]);
	numbers();
	kernel_hooks_report(&hooks);
	printf("1..%u\n", count);
	return failed != 0;
}
