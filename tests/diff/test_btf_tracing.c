/* Contexts of tracing programs beside the running kernel's verifier: every word of every tracepoint
 * and iterator of this kernel, slots of struct_ops (which have prototypes like any), netfilter; and
 * targets that are none.
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
#include "btf/tracing.h"

#define PROG_TYPE_NETFILTER 32
#define ATTACH_NETFILTER    45

static const char *const loads[] = {[1] = "ldxb", [2] = "ldxh", [4] = "ldxw", [8] = "ldxdw"};
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

struct comparison {
	struct ask ask;
	unsigned asked, accepted, differ;
	bool is_struct_ops; /* tcp_congestion_ops makes a tcp_sock of a sock */
};

static void name_value(const struct fort_btf_ctx_value *value, struct fort_text *text)
{
	const char *null = value->may_be_null ? "_or_null" : "";

	switch (value->kind) {
	case FORT_CTX_NUMBER: fort_text_add(text, "scalar("); return;
	case FORT_CTX_BUFFER: fort_text_add(text, "buf%s(", null); return;
	case FORT_CTX_READ_BUFFER: fort_text_add(text, "rdonly_buf%s(", null); return;
	default:
		fort_text_add(text, "%sptr%s_%s(", value->is_trusted ? "trusted_" : "", null,
			      fort_btf_string(kernel, fort_btf_type(kernel, value->type).name));
	}
}

/* The verifier's last lines are ours, and then "invalid bpf_context access". */
static bool refused_alike(const struct comparison *c, const struct fort_btf_remark *remark,
			  uint32_t offset, uint32_t bytes)
{
	struct fort_text ours = fort_text_new(), end = fort_text_new();
	bool same;

	fort_btf_remark_print(remark, &ours);
	fort_text_add(&end, "invalid bpf_context access off=%u size=%u", offset, bytes);
	same = !strcmp(ask_last_line(&c->ask, 0), end.data) && c->ask.err == -EACCES &&
	       (!ours.length || !strcmp(ask_last_line(&c->ask, 1), ours.data));
	fort_text_free(&ours);
	fort_text_free(&end);
	return same;
}

static bool accepted_alike(const struct comparison *c, const struct fort_btf_ctx_value *value,
			   const struct fort_btf_remark *remark)
{
	struct fort_text said = fort_text_new(), name = fort_text_new();
	const char *found = ask_register(&c->ask, 0, 2);
	bool same;

	fort_btf_remark_print(remark, &said);
	name_value(value, &name);
	same = found && !strncmp(found, name.data, name.length) &&
	       (!said.length || strstr(c->ask.log, said.data));
	if (c->is_struct_ops && found && !strcmp(found, "trusted_ptr_tcp_sock()"))
		same = !strcmp(name.data, "trusted_ptr_sock(");
	fort_text_free(&said);
	fort_text_free(&name);
	return same;
}

/* Arguments that 6.18 takes for good pointers, although the kernel passes NULL, or an error number
 * as one; later kernels know. Such a kernel may be laxer than we are.
 */
static bool is_laxer(const struct comparison *c, const struct fort_btf_target *target)
{
	static const struct {
		const char *event, *theirs;
	} rows[] = {
		{"signal_generate", "trusted_ptr_kernel_siginfo()"},
		{"signal_deliver", "trusted_ptr_kernel_siginfo()"},
		{"sched_process_wait", "trusted_ptr_pid()"},
	};
	const char *found = ask_register(&c->ask, 0, 2);

	for (unsigned i = 0; found && i < FORT_LEN(rows); i++)
		if (!strcmp(fort_btf_string(kernel, target->name), rows[i].event) &&
		    !strcmp(found, rows[i].theirs))
			return true;
	return false;
}

static void compare(struct comparison *c, const struct fort_btf_target *target, uint32_t offset,
		    uint32_t bytes)
{
	struct fort_btf_ctx_value value;
	struct fort_btf_remark remark;
	char program[128];
	int err = fort_btf_target_access(target, offset, bytes, &value, &remark);

	snprintf(program, sizeof(program), "%s r2, [r1+%u]\nmov r0, 0\nexit\n", loads[bytes],
		 offset);
	ask_load(&c->ask, program);
	c->asked++;
	c->accepted += !err;
	if (!err && !accepted_alike(c, &value, &remark) && is_laxer(c, target))
		return;
	if (err ? !refused_alike(c, &remark, offset, bytes) : !accepted_alike(c, &value, &remark)) {
		struct fort_text text = fort_text_new();

		fort_btf_remark_print(&remark, &text);
		if (!err)
			name_value(&value, &text);
		print_error("%s, %u at %u: kernel %d, here %d %s\n%s\n",
			    fort_btf_string(kernel, target->name), bytes, offset, c->ask.err, err,
			    text.data ? text.data : "", c->ask.log);
		c->differ++;
		fort_text_free(&text);
	}
}

static void compare_all(struct comparison *c, const struct fort_btf_target *target)
{
	uint32_t n = fort_btf_type(kernel, target->proto).vlen;

	for (uint32_t arg = 0; arg < n + 2; arg++)
		compare(c, target, arg * 8, 8);
	compare(c, target, 0, 4);
	compare(c, target, n > 1 ? 12 : 4, 4);
	compare(c, target, 4, 8);
}

static void finish(struct comparison *c)
{
	print_message("%u loads, %u accepted\n", c->asked, c->accepted);
	ask_close(&c->ask);
	assert_int_equal(c->differ, 0);
	assert_true(c->accepted > 10 && c->accepted < c->asked);
}

static void tracepoints(void **state)
{
	struct comparison c = {0};

	(void)state;
	need_kernel();
	ask_open(&c.ask, BPF_PROG_TYPE_TRACING);
	c.ask.attach_type = BPF_TRACE_RAW_TP;
	for (uint32_t id = 1; id < fort_btf_count(kernel); id++) {
		struct fort_btf_type type = fort_btf_type(kernel, id);
		struct fort_btf_target target;
		struct fort_btf_remark remark;

		if (type.kind != FORT_BTF_TYPEDEF ||
		    strncmp(fort_btf_string(kernel, type.name), "btf_trace_", 10) != 0)
			continue;
		assert_int_equal(fort_btf_find_target(kernel, BPF_PROG_TYPE_TRACING,
						      BPF_TRACE_RAW_TP, id, &target, &remark),
				 0);
		c.ask.attach_id = id;
		compare_all(&c, &target);
	}
	finish(&c);
}

static void iterators(void **state)
{
	struct comparison c = {0};
	unsigned none = 0;

	(void)state;
	need_kernel();
	ask_open(&c.ask, BPF_PROG_TYPE_TRACING);
	c.ask.attach_type = BPF_TRACE_ITER;
	for (uint32_t id = 1; id < fort_btf_count(kernel); id++) {
		struct fort_btf_type type = fort_btf_type(kernel, id);
		struct fort_btf_target target;
		struct fort_btf_remark remark;
		int err;

		if (type.kind != FORT_BTF_FUNC ||
		    strncmp(fort_btf_string(kernel, type.name), "bpf_iter_", 9) != 0)
			continue;
		c.ask.attach_id = id;
		err = fort_btf_find_target(kernel, BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, id,
					   &target, &remark);
		if (!err) {
			compare_all(&c, &target);
			continue;
		}
		ask_load(&c.ask, "mov r0, 0\nexit\n");
		if (c.ask.err != err)
			fail_msg("%s: kernel %d, here %d", fort_btf_string(kernel, type.name),
				 c.ask.err, err);
		none++;
	}
	print_message("%u are no iterators\n", none);
	finish(&c);
}

/* Members of a struct of functions: the program sees the arguments of the one that it stands for.
 */
static void struct_ops(void **state)
{
	struct comparison c = {.is_struct_ops = true};
	struct fort_btf_type ops;

	(void)state;
	need_kernel();
	ask_open(&c.ask, BPF_PROG_TYPE_STRUCT_OPS);
	c.ask.attach_id = fort_btf_find(kernel, "tcp_congestion_ops", FORT_BTF_STRUCT);
	assert_int_not_equal(c.ask.attach_id, 0);
	ops = fort_btf_type(kernel, c.ask.attach_id);
	for (uint32_t i = 0; i < ops.vlen; i++) {
		struct fort_btf_member member = fort_btf_member(&ops, i);
		struct fort_btf_type pointer = fort_btf_strip(kernel, member.type);
		struct fort_btf_target target = {
			.btf = kernel,
			.proto = pointer.kind == FORT_BTF_PTR
					 ? fort_btf_strip(kernel, pointer.ref).id
					 : 0,
			.name = member.name,
			.is_trusted = true,
		};

		c.ask.attach_type = i;
		ask_load(&c.ask, "mov r0, 0\nexit\n");
		if (fort_btf_type(kernel, target.proto).kind == FORT_BTF_FUNC_PROTO && !c.ask.err)
			compare_all(&c, &target);
	}
	finish(&c);
}

static void netfilter(void **state)
{
	struct comparison c = {0};

	(void)state;
	need_kernel();
	ask_open(&c.ask, PROG_TYPE_NETFILTER);
	c.ask.attach_type = ATTACH_NETFILTER;
	for (uint32_t offset = 0; offset < 24; offset++)
		for (uint32_t bytes = 1; bytes <= 8; bytes *= 2) {
			const struct fort_btf_remark none = {0};
			struct fort_btf_ctx_value value;
			char program[128];
			int err = fort_btf_netfilter_access(kernel, offset, bytes, &value);

			snprintf(program, sizeof(program), "%s r2, [r1+%u]\nmov r0, 0\nexit\n",
				 loads[bytes], offset);
			ask_load(&c.ask, program);
			c.asked++;
			c.accepted += !err;
			if (err ? !refused_alike(&c, &none, offset, bytes)
				: !accepted_alike(&c, &value, &none))
				fail_msg("%u at %u: here %d\n%s", bytes, offset, err, c.ask.log);
		}
	assert_int_equal(c.accepted, 2);
	ask_close(&c.ask);
}

static void bad_targets(void **state)
{
	const struct {
		uint32_t attach_type, id;
	} rows[] = {
		{BPF_TRACE_RAW_TP, 0},
		{BPF_TRACE_RAW_TP, 5},
		{BPF_TRACE_RAW_TP, 99999999},
		{BPF_TRACE_RAW_TP, fort_btf_find(kernel, "u32", FORT_BTF_TYPEDEF)},
		{BPF_TRACE_RAW_TP, fort_btf_find(kernel, "vfs_read", FORT_BTF_FUNC)},
		{BPF_TRACE_ITER, fort_btf_find(kernel, "vfs_read", FORT_BTF_FUNC)},
		{BPF_TRACE_ITER, fort_btf_find(kernel, "_printk", FORT_BTF_FUNC)},
		{BPF_TRACE_ITER, fort_btf_find(kernel, "u32", FORT_BTF_TYPEDEF)},
		{BPF_TRACE_ITER, 0},
	};
	struct ask ask;

	(void)state;
	need_kernel();
	ask_open(&ask, BPF_PROG_TYPE_TRACING);
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct fort_text ours = fort_text_new();
		struct fort_btf_target target;
		struct fort_btf_remark remark;
		int err = fort_btf_find_target(kernel, BPF_PROG_TYPE_TRACING, rows[i].attach_type,
					       rows[i].id, &target, &remark);

		ask.attach_type = rows[i].attach_type;
		ask.attach_id = rows[i].id;
		ask_load(&ask, "mov r0, 0\nexit\n");
		fort_btf_remark_print(&remark, &ours);
		/* an id of 0 or of no type does not get as far as the verifier */
		if (err != ask.err ||
		    (ours.length && ask.log[0] && strcmp(ask_last_line(&ask, 0), ours.data) != 0))
			fail_msg("%u to %u: kernel %d, here %d %s\n%s", rows[i].attach_type,
				 rows[i].id, ask.err, err, ours.data, ask.log);
		fort_text_free(&ours);
	}
	ask_close(&ask);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tracepoints), cmocka_unit_test(iterators),
		cmocka_unit_test(struct_ops),  cmocka_unit_test(netfilter),
		cmocka_unit_test(bad_targets),
	};

	return cmocka_run_group_tests(tests, open_kernel, close_kernel);
}
