#include "kernel_hooks.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "abi/uapi.h"

#define LOG_BYTES (64u << 10)

/* Functions and structs that programs can be attached to, one or two for each way. */
static const struct target {
	enum fort_prog_id prog;
	uint32_t attach; /* STRUCT_OPS: number of the struct's member */
	uint32_t kind;   /* BTF_KIND_* */
	const char *name, *btf_name;
} targets[] = {
	{FORT_PROG_TRACING, FORT_ATTACH_TRACE_RAW_TP, BTF_KIND_TYPEDEF, "sched_switch",
	 "btf_trace_sched_switch"},
	{FORT_PROG_TRACING, FORT_ATTACH_TRACE_RAW_TP, BTF_KIND_TYPEDEF, "kfree_skb",
	 "btf_trace_kfree_skb"},
	{FORT_PROG_TRACING, FORT_ATTACH_TRACE_FENTRY, BTF_KIND_FUNC, "vfs_truncate", NULL},
	{FORT_PROG_TRACING, FORT_ATTACH_TRACE_FEXIT, BTF_KIND_FUNC, "vfs_truncate", NULL},
	{FORT_PROG_TRACING, FORT_ATTACH_MODIFY_RETURN, BTF_KIND_FUNC, "security_file_open", NULL},
	{FORT_PROG_TRACING, FORT_ATTACH_TRACE_ITER, BTF_KIND_FUNC, "bpf_iter_task", NULL},
	{FORT_PROG_TRACING, FORT_ATTACH_TRACE_ITER, BTF_KIND_FUNC, "bpf_iter_tcp", NULL},
	{FORT_PROG_TRACING, FORT_ATTACH_TRACE_ITER, BTF_KIND_FUNC, "bpf_iter_task_file", NULL},
	{FORT_PROG_LSM, FORT_ATTACH_LSM_MAC, BTF_KIND_FUNC, "bpf_lsm_file_open", NULL},
	{FORT_PROG_LSM, FORT_ATTACH_LSM_CGROUP, BTF_KIND_FUNC, "bpf_lsm_socket_post_create", NULL},
	{FORT_PROG_STRUCT_OPS, 0, BTF_KIND_STRUCT, "tcp_congestion_ops", NULL},
	{FORT_PROG_STRUCT_OPS, 1, BTF_KIND_STRUCT, "bpf_dummy_ops", NULL},
};

static void add(struct kernel_hooks *hooks, struct kernel_hook hook)
{
	struct kernel_program smallest = {.text = "mov r0, 0\nexit\n"};
	struct kernel_answer answer;

	if (hooks->n == KERNEL_HOOKS_MAX) {
		printf("Bail out! more than %u kinds of programs\n", KERNEL_HOOKS_MAX);
		exit(1);
	}
	kernel_hook_load(&hook, &smallest, &answer);
	if (strstr(answer.line, "At program exit")) {
		smallest.text = "mov r0, 1\nexit\n";
		hook.result = 1;
		kernel_hook_load(&hook, &smallest, &answer);
	}
	hook.err = answer.err;
	smallest.not_gpl = true;
	kernel_hook_load(&hook, &smallest, &answer);
	hook.only_gpl = answer.err;
	smallest.not_gpl = false;
	smallest.as_net_admin = true;
	kernel_hook_load(&hook, &smallest, &answer);
	hook.net_admin = !answer.err;
	hooks->all[hooks->n++] = hook;
}

static void add_targets(struct kernel_hooks *hooks, const struct fort_prog_info *prog,
			const struct btf *btf)
{
	for (unsigned i = 0; i < FORT_LEN(targets); i++) {
		const struct target *t = &targets[i];
		const char *name = t->btf_name ? t->btf_name : t->name;
		int id;

		if (prog != &fort_progs[t->prog])
			continue;
		id = btf ? btf__find_by_name_kind(btf, name, t->kind) : 0;
		add(hooks, (struct kernel_hook){.hook = {prog, t->attach, t->name},
						.btf_id = id > 0 ? (uint32_t)id : 0});
	}
}

/* The attach types of one program type that is not attached to anything of the kernel's BTF. */
static void add_attaches(struct kernel_hooks *hooks, const struct fort_prog_info *prog)
{
	struct kernel_hook hook = {.hook = {prog, 0, NULL},
				   .sleepable = prog->sleepable == FORT_SLEEP_MUST};

	if (prog->attach == FORT_ATTACH_IS_FREE || prog->attach == FORT_ATTACH_IS_ZERO)
		add(hooks, hook);
	if (prog->attach == FORT_ATTACH_IS_ZERO)
		return;
	for (uint32_t i = 0; i < FORT_ATTACHES; i++) {
		hook.hook.attach = i;
		if (fort_attach_progs[i] & prog->bit)
			add(hooks, hook);
	}
}

void kernel_hooks_open(struct kernel_hooks *hooks)
{
	struct btf *btf = btf__load_vmlinux_btf();

	hooks->n = 0;
	for (unsigned i = 0; i < FORT_PROGS; i++)
		if (fort_progs[i].target == FORT_TARGET_NEEDED)
			add_targets(hooks, &fort_progs[i], btf);
		else
			add_attaches(hooks, &fort_progs[i]);
	btf__free(btf);
}

const char *kernel_hook_text(const struct kernel_hook *hook)
{
	static char text[128];
	const struct fort_hook *h = &hook->hook;

	snprintf(text, sizeof(text), h->target ? "%s at %u (%s)" : "%s at %u", h->prog->name,
		 h->attach, h->target);
	return text;
}

const struct fort_ctx_field *kernel_hook_field(const struct kernel_hook *hook,
					       enum fort_yield yields)
{
	const struct fort_ctx *ctx = hook->hook.prog->ctx;

	for (uint32_t i = 0; i < ctx->n_fields; i++) {
		const struct fort_ctx_field *field = &ctx->fields[i];

		if (field->yields == yields && fort_ctx_access(&hook->hook, field->offset,
							       field->bytes, false, false) == field)
			return field;
	}
	return NULL;
}

unsigned kernel_hooks_report(const struct kernel_hooks *hooks)
{
	unsigned missing = 0;

	for (unsigned i = 0; i < hooks->n; i++) {
		const struct kernel_hook *hook = &hooks->all[i];

		if (!hook->err)
			continue;
		printf("# skipped: the kernel does not load %s: %s\n", kernel_hook_text(hook),
		       strerror(hook->err));
		missing++;
	}
	return missing;
}

/* --- loading --- */

void kernel_give_up(const unsigned *capabilities, unsigned n)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		abort();
	for (unsigned i = 0; i < 2; i++)
		data[i].effective = data[i].permitted;
	for (unsigned i = 0; i < n; i++)
		data[CAP_TO_INDEX(capabilities[i])].effective &= ~CAP_TO_MASK(capabilities[i]);
	if (syscall(SYS_capset, &head, data))
		abort();
}

void kernel_take_back(void)
{
	kernel_give_up(NULL, 0);
}

static void last_line(const char *log, char *out, size_t room)
{
	const char *end = strstr(log, "\nprocessed "), *start;

	if (!end)
		end = log + strlen(log);
	if (end > log && end[-1] == '\n')
		end--;
	for (start = end; start > log && start[-1] != '\n'; start--)
		;
	snprintf(out, room, "%.*s", (int)(end - start), start);
}

/* BTF for a program with a static function: their ids in *main and *callback. Returns a descriptor
 * that is kept open, or -1. */
static int function_btf(uint32_t *main, uint32_t *callback)
{
	static uint32_t ids[2];
	static int fd = -1;
	struct btf *btf = fd < 0 ? btf__new_empty() : NULL;

	if (btf) {
		int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
		int proto = btf__add_func_proto(btf, number);
		const void *raw;
		uint32_t bytes;

		ids[0] = (uint32_t)btf__add_func(btf, "program", BTF_FUNC_GLOBAL, proto);
		ids[1] = (uint32_t)btf__add_func(btf, "callback", BTF_FUNC_STATIC, proto);
		raw = btf__raw_data(btf, &bytes);
		fd = bpf_btf_load(raw, bytes, NULL);
		btf__free(btf);
	}
	*main = ids[0];
	*callback = ids[1];
	return fd;
}

static int load(const struct kernel_hook *hook, const struct kernel_program *program,
		const struct fort_assembly *code, char *log, size_t log_bytes)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = hook->hook.attach,
		    .attach_btf_id = hook->btf_id,
		    .prog_flags = hook->sleepable ? BPF_F_SLEEPABLE : 0, .fd_array = program->fds,
		    .log_level = FORT_LOG_PATH, .log_buf = log, .log_size = (uint32_t)log_bytes);
	struct bpf_func_info funcs[2] = {{0}, {.insn_off = code->n_insns - 2}};
	int fd;

	if (program->has_callback) {
		opts.prog_btf_fd = (uint32_t)function_btf(&funcs[0].type_id, &funcs[1].type_id);
		opts.func_info = funcs;
		opts.func_info_cnt = FORT_LEN(funcs);
		opts.func_info_rec_size = sizeof(funcs[0]);
	}
	fd = bpf_prog_load(hook->hook.prog->number, "lab", program->not_gpl ? "none" : "GPL",
			   (const struct bpf_insn *)code->insns, code->n_insns, &opts);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

void kernel_hook_load(const struct kernel_hook *hook, const struct kernel_program *program,
		      struct kernel_answer *answer)
{
	static const unsigned admin[] = {CAP_SYS_ADMIN, CAP_PERFMON};
	static char log[LOG_BYTES];
	struct fort_arena arena;
	struct fort_assembly code;
	struct fort_asm_error error;

	fort_arena_init(&arena, 1u << 20);
	if (fort_assemble(&arena, program->text, strlen(program->text), &code, &error)) {
		printf("Bail out! line %u, column %u: expected %s in\n%s\n", error.line,
		       error.column, error.expected, program->text);
		exit(1);
	}
	log[0] = 0;
	if (program->as_net_admin)
		kernel_give_up(admin, FORT_LEN(admin));
	answer->err = load(hook, program, &code, log, sizeof(log));
	if (program->as_net_admin)
		kernel_take_back();
	answer->log = log;
	answer->line[0] = 0;
	if (answer->err)
		last_line(log, answer->line, sizeof(answer->line));
	fort_arena_free(&arena);
}
