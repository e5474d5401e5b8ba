/* Prototypes beside the running kernel's verifier, which takes them apart for whoever wants to
 * attach to a function. All functions that we refuse, and as many others; the seed is printed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ask.h"
#include "btf/index.h"
#include "btf/kernel.h"
#include "btf/proto.h"
#include "random_types.h"

#define FUNCTIONS  12000
#define TRACE_ITER 28 /* BPF_TRACE_ITER: no function of these can be an iterator's */

static struct fort_btf *kernel;

static int open_kernel(void **state)
{
	struct fort_btf_error error;

	(void)state;
	return access(FORT_BTF_VMLINUX, R_OK) ? 0 : fort_btf_open_kernel(NULL, &kernel, &error);
}

static int close_kernel(void **state)
{
	(void)state;
	fort_btf_free(kernel);
	return 0;
}

static void need_kernel(void)
{
	if (!kernel) {
		print_message("no " FORT_BTF_VMLINUX " here\n");
		skip();
	}
}

static void compare(struct ask *ask, uint32_t id, unsigned *refused)
{
	struct fort_text ours = fort_text_new();
	struct fort_btf_remark remark;
	struct fort_btf_proto proto;
	int err = fort_btf_read_proto(kernel, id, &proto, &remark);
	const char *theirs;

	ask->attach_id = id;
	ask_load(ask, "mov r0, 0\nexit\n");
	theirs = ask_last_line(ask, 0);
	if (!strncmp(theirs, "func#0", 6))
		theirs = "";
	fort_btf_remark_print(&remark, &ours);
	if (ask->err != -EINVAL || strcmp(theirs, ours.data ? ours.data : "") != 0)
		fail_msg("%s: kernel %d %s, here %d %s",
			 fort_btf_string(kernel, fort_btf_type(kernel, id).name), ask->err, theirs,
			 err, ours.data);
	*refused += err != 0;
	fort_text_free(&ours);
}

static void functions(void **state)
{
	const char *given = getenv("BPFORT_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)getpid();
	unsigned asked = 0, refused = 0;
	struct fort_btf_remark remark;
	struct fort_btf_proto proto;
	struct ask ask;

	(void)state;
	need_kernel();
	print_message("BPFORT_TEST_SEED=%llu\n", (unsigned long long)seed);
	ask_open(&ask, BPF_PROG_TYPE_TRACING);
	ask.attach_type = TRACE_ITER;
	for (uint32_t id = 1; id < fort_btf_count(kernel); id++) {
		struct fort_btf_type type = fort_btf_type(kernel, id);
		const char *name = fort_btf_string(kernel, type.name);

		if (type.kind != FORT_BTF_FUNC || !strncmp(name, "bpf_iter_", 9))
			continue;
		if (!fort_btf_read_proto(kernel, id, &proto, &remark) &&
		    random_below(&seed, 56000) > FUNCTIONS)
			continue;
		compare(&ask, id, &refused);
		asked++;
	}
	print_message("%u functions, %u refused\n", asked, refused);
	assert_true(refused > 100);
	ask_close(&ask);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions),
	};

	return cmocka_run_group_tests(tests, open_kernel, close_kernel);
}
