/* Which program types may call which helpers: helpers.def beside the running kernel. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "kernel_lab.h"

static struct lab lab;
static struct kernel_lab kernel;
static unsigned count;

/* Does the kernel have the helper for programs of this type? What else it says of the call does not
 * matter. */
static bool kernel_allows(const struct fort_prog_info *prog, uint32_t number)
{
	struct kernel_verdict verdict;
	char text[64];

	snprintf(text, sizeof(text), "call %u\nmov r0, 0\nexit\n", number);
	if (!lab_open(&lab, prog->name, text))
		return false;
	kernel_lab_load(&kernel, &lab, true, &verdict);
	lab_free(&lab);
	if (verdict.fd >= 0)
		close(verdict.fd);
	return verdict.fd >= 0 || !strstr(verdict.line, "cannot use helper");
}

static void one_type(const struct fort_prog_info *prog)
{
	bool good = true;

	for (unsigned h = 0; h < FORT_HELPERS; h++) {
		const struct fort_helper_info *helper = &fort_helpers[h];
		bool ours = helper->progs & prog->bit, theirs = kernel_allows(prog, helper->number);

		if (ours == theirs)
			continue;
		printf("# %s: only %s\n", helper->name, ours ? "we allow it" : "the kernel does");
		good = false;
	}
	printf("%s %u - helpers of %s\n", good ? "ok" : "not ok", ++count, prog->name);
}

int main(void)
{
	int err = kernel_lab_open(&kernel);

	if (err) {
		printf("1..0 # SKIP the kernel makes no maps: %s\n", strerror(-err));
		return 0;
	}
	for (unsigned i = 0; i < FORT_PROGS; i++)
		one_type(&fort_progs[i]);
	printf("1..%u\n", count);
	kernel_lab_close(&kernel);
	return 0;
}
