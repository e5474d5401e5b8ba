#include "kernel_lab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "abi/uapi.h"
#include "lab_btf.h"

#define LOG_BYTES (1u << 20)

static int make_map(uint32_t map, int btf, const struct lab_btf *types)
{
	const struct fort_map_shape *shape = &lab_shapes[map];
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = shape->flags);

	if (lab_fields[map].typed) {
		opts.btf_fd = (uint32_t)btf;
		opts.btf_key_type_id = types->keys[shape->key_bytes == 8];
		opts.btf_value_type_id = types->values[map];
	}
	return bpf_map_create(shape->type, "lab", shape->key_bytes, shape->value_bytes,
			      shape->max_entries, &opts);
}

int kernel_lab_open(struct kernel_lab *kernel)
{
	static struct lab_btf types;
	int btf, err = 0;

	lab_btf_maps(&types);
	btf = bpf_btf_load(types.build.blob, types.build.bytes, NULL);
	for (uint32_t i = 0; i < LAB_ALL_MAPS; i++)
		kernel->fds[i] = -1;
	for (uint32_t i = 0; !err && i < LAB_ALL_MAPS; i++) {
		kernel->fds[i] = make_map(i, btf, &types);
		err = kernel->fds[i] < 0 ? -errno : 0;
	}
	if (btf >= 0)
		close(btf);
	if (err)
		kernel_lab_close(kernel);
	return err;
}

void kernel_lab_close(struct kernel_lab *kernel)
{
	for (uint32_t i = 0; i < LAB_ALL_MAPS; i++)
		if (kernel->fds[i] >= 0)
			close(kernel->fds[i]);
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

static void load(const struct lab *lab, bool gpl, struct bpf_prog_load_opts *opts,
		 struct kernel_verdict *out)
{
	static char log[LOG_BYTES];
	const struct fort_prog_info *prog = lab->env.hook.prog;

	out->fd = bpf_prog_load(prog->number, "lab", gpl ? "GPL" : "none",
				(const struct bpf_insn *)lab->raw, lab->n_insns, opts);
	if (out->fd >= 0)
		return;
	out->fd = -errno;
	opts->log_buf = log;
	opts->log_size = sizeof(log);
	opts->log_level = FORT_LOG_PATH;
	log[0] = 0;
	/* A log that does not fit fails as well, so this never gives a program. */
	(void)!bpf_prog_load(prog->number, "lab", gpl ? "GPL" : "none",
			     (const struct bpf_insn *)lab->raw, lab->n_insns, opts);
	out->pc = last_insn(log);
	last_line(log, out->line, sizeof(out->line));
}

void kernel_lab_load(const struct kernel_lab *kernel, const struct lab *lab, bool gpl,
		     struct kernel_verdict *out)
{
	const struct fort_prog_info *prog = lab->env.hook.prog;
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .fd_array = kernel->fds,
		    .prog_flags = prog->sleepable == FORT_SLEEP_MUST ? BPF_F_SLEEPABLE : 0);

	*out = (struct kernel_verdict){.pc = UINT32_MAX};
	if (lab->env.prototypes && !add_functions(lab, &opts)) {
		out->fd = -ENODATA;
		return;
	}
	load(lab, gpl, &opts, out);
	if (opts.prog_btf_fd)
		close((int)opts.prog_btf_fd);
}
