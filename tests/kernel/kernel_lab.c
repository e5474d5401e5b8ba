#include "kernel_lab.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "abi/uapi.h"
#include "base/sys.h"
#include "kernel_maps.h"
#include "lab_btf.h"

#define LOG_BYTES (1u << 20)

int kernel_lab_open(struct kernel_lab *kernel)
{
	for (uint32_t i = 0; i < LAB_MAPS; i++)
		kernel->fds[i] = -1;
	for (uint32_t i = 0; i < LAB_MAPS; i++) {
		kernel->fds[i] = kernel_map_make(i);
		if (kernel->fds[i] < 0) {
			int err = kernel->fds[i];

			kernel_lab_close(kernel);
			return err;
		}
	}
	return 0;
}

void kernel_lab_close(struct kernel_lab *kernel)
{
	for (uint32_t i = 0; i < LAB_MAPS; i++)
		if (kernel->fds[i] >= 0)
			close(kernel->fds[i]);
}

static void last_line(const char *log, char *out, size_t room)
{
	/* Now and then the kernel forgets to end a line. */
	const char *end = strstr(log, "processed "), *start;

	if (!end)
		end = log + strlen(log);
	if (end > log && end[-1] == '\n')
		end--;
	for (start = end; start > log && start[-1] != '\n'; start--)
		;
	snprintf(out, room, "%.*s", (int)(end - start), start);
}

/* The last line of the form "12: (07) ...". */
static uint32_t last_insn(const char *log)
{
	uint32_t last = UINT32_MAX;

	for (const char *at = log; at; at = strchr(at, '\n')) {
		uint32_t pc;
		int length = 0;

		at += *at == '\n';
		if (sscanf(at, "%u: (%*2[0-9a-f])%n", &pc, &length) == 1 && length)
			last = pc;
	}
	return last;
}

/* Takes what programs without rights are loaded without out of the effective set, or gives it back.
 */
static void set_rights(bool back)
{
	static const uint32_t without[] = {CAP_SYS_ADMIN, CAP_PERFMON};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (fort_sys2(SYS_capget, (long)&header, (long)data))
		abort(); /* what comes next would not be what it says */
	for (size_t i = 0; i < FORT_LEN(without); i++) {
		struct __user_cap_data_struct *word = &data[without[i] / 32];
		uint32_t bit = 1u << without[i] % 32;

		word->effective =
			back ? word->effective | (word->permitted & bit) : word->effective & ~bit;
	}
	if (fort_sys2(SYS_capset, (long)&header, (long)data))
		abort();
}

/* The functions of the program, as BTF. False when they cannot be said. */
static bool add_functions(const struct lab *lab, struct bpf_prog_load_opts *opts)
{
	static struct lab_btf btf;
	int fd;

	if (!lab_btf_make(lab, &btf))
		return false;
	fd = bpf_btf_load(btf.build.blob, btf.build.bytes, NULL);
	if (fd < 0)
		return false;
	opts->prog_btf_fd = (uint32_t)fd;
	opts->func_info = btf.funcs;
	opts->func_info_cnt = btf.n_funcs;
	opts->func_info_rec_size = sizeof(btf.funcs[0]);
	return true;
}

static int load(const struct lab *lab, struct bpf_prog_load_opts *opts)
{
	const struct fort_hook *hook = &lab->env.hook;
	int fd;

	opts->prog_flags = lab->env.sleepable ? BPF_F_SLEEPABLE : 0;
	opts->expected_attach_type = hook->attach;
	opts->attach_btf_id = lab->target;
	if (hook->target) {
		int id = libbpf_find_vmlinux_btf_id(hook->target, hook->attach);

		opts->attach_btf_id = id < 0 ? 0 : (uint32_t)id;
	}
	if (lab->env.prototypes && !add_functions(lab, opts))
		return -ENODATA;
	if (!lab->env.rights)
		set_rights(false);
	fd = bpf_prog_load(hook->prog->number, "lab", lab->env.gpl ? "GPL" : "none",
			   (const struct bpf_insn *)lab->raw, lab->n_insns, opts);
	fd = fd < 0 ? -errno : fd;
	if (!lab->env.rights)
		set_rights(true);
	if (opts->prog_btf_fd)
		close((int)opts->prog_btf_fd);
	return fd;
}

bool kernel_lab_accepts(const struct kernel_lab *kernel, const struct lab *lab)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .fd_array = kernel->fds);
	int fd = load(lab, &opts);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void kernel_lab_load(const struct kernel_lab *kernel, const struct lab *lab,
		     struct kernel_verdict *out)
{
	static char log[LOG_BYTES];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .fd_array = kernel->fds);

	*out = (struct kernel_verdict){.pc = UINT32_MAX};
	out->fd = load(lab, &opts);
	if (out->fd >= 0 || out->fd == -ENODATA)
		return;
	opts.log_buf = log;
	opts.log_size = sizeof(log);
	opts.log_level = FORT_LOG_PATH;
	log[0] = 0;
	/* A log that does not fit fails as well, so this never gives a program. */
	(void)load(lab, &opts);
	out->pc = last_insn(log);
	last_line(log, out->line, sizeof(out->line));
}
