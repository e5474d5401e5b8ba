/* Program types: which attach types they may be loaded with, whether they may sleep, and what they
 * may return. progs.def, attach.def and retvals.def beside the running kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel_hooks.h"

static struct kernel_hooks hooks;
static unsigned count, failed;

static void report(bool good, const char *what, const char *of)
{
	printf("%s %u - %s%s\n", good ? "ok" : "not ok", ++count, what, of);
	failed += !good;
}

/* Is a program refused for what it is loaded as, not for what it does? */
static bool loads(const struct kernel_hook *hook, struct kernel_answer *answer)
{
	kernel_hook_load(hook, &(struct kernel_program){.text = "mov r0, 0\nexit\n"}, answer);
	return !answer->err || strstr(answer->line, "At program exit");
}

/* Every number that is an attach type, and some that are none. */
static void attach_types(const struct kernel_hook *first)
{
	bool good = true;

	for (uint32_t attach = 0; attach < FORT_ATTACHES + 8; attach++) {
		struct kernel_hook hook = *first;
		struct kernel_answer answer;
		bool ours, theirs;

		hook.hook.attach = attach;
		ours = fort_hook_has_attach(&hook.hook);
		theirs = loads(&hook, &answer);
		if (ours != theirs)
			printf("# %s with attach type %u: %s\n", hook.hook.prog->name, attach,
			       ours ? "ours alone" : "the kernel's alone");
		good &= ours == theirs;
	}
	report(good, "attach types of ", first->hook.prog->name);
}

static void sleeping(const struct kernel_hook *with)
{
	struct kernel_hook hook = *with;
	struct kernel_answer answer;
	bool theirs, must;

	/* Of its functions, one may sleep: the struct decides. */
	if (fort_target_listed(FORT_TARGETS_OPS_BARE, with->hook.target))
		return;
	hook.sleepable = true;
	theirs = loads(&hook, &answer);
	if (theirs != fort_hook_may_sleep(&hook.hook))
		printf("# the kernel says \"%s\"\n", answer.line);
	hook.sleepable = false;
	must = !loads(&hook, &answer);
	report(theirs == fort_hook_may_sleep(&hook.hook) &&
		       must == (hook.hook.prog->sleepable == FORT_SLEEP_MUST),
	       "sleep of ", kernel_hook_text(with));
}

/* A number that is not known: of a helper, or of the context where programs have no helpers. */
static void results(const struct kernel_hook *hook)
{
	const struct fort_retval *range = fort_hook_retval(&hook->hook, false);
	struct kernel_answer answer;
	char expected[256] = "";

	if (range)
		snprintf(
			expected, sizeof(expected),
			"At program exit the register R0 has unknown scalar value should have been "
			"in [%d, %d]",
			range->low, range->high);
	kernel_hook_load(hook, &(struct kernel_program){.text = "call 7\nexit\n"}, &answer);
	if (strstr(answer.line, "cannot use helper"))
		kernel_hook_load(hook, &(struct kernel_program){.text = "ldxdw r0, [r1+8]\nexit\n"},
				 &answer);
	if (strcmp(answer.line, expected))
		printf("# the kernel says \"%s\", we \"%s\"\n", answer.line, expected);
	report(!strcmp(answer.line, expected) && !range == !answer.err, "results of ",
	       kernel_hook_text(hook));
}

int main(void)
{
	kernel_hooks_open(&hooks);
	if (hooks.all[0].err) {
		printf("1..0 # SKIP the kernel loads no programs: %s\n",
		       strerror(hooks.all[0].err));
		return 0;
	}
	for (unsigned i = 0; i < hooks.n; i++) {
		const struct kernel_hook *hook = &hooks.all[i];

		if (hook->err)
			continue;
		if (hook->hook.prog->target == FORT_TARGET_NONE &&
		    (!i || hooks.all[i - 1].hook.prog != hook->hook.prog))
			attach_types(hook);
		sleeping(hook);
		results(hook);
	}
	kernel_hooks_report(&hooks);
	printf("1..%u\n", count);
	return failed != 0;
}
