#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "btf_build.h"
#include "isa/asm.h"

bool returns_fd(int cmd)
{
	switch (cmd) {
	case FORT_CMD_MAP_CREATE:
	case FORT_CMD_PROG_LOAD:
	case FORT_CMD_BTF_LOAD:
	case FORT_CMD_LINK_CREATE:
	case FORT_CMD_PROG_GET_FD_BY_ID:
	case FORT_CMD_MAP_GET_FD_BY_ID:
	case FORT_CMD_BTF_GET_FD_BY_ID:
	case FORT_CMD_LINK_GET_FD_BY_ID:
	case FORT_CMD_OBJ_GET:
	case FORT_CMD_RAW_TRACEPOINT_OPEN:
	case FORT_CMD_ENABLE_STATS:
	case FORT_CMD_ITER_CREATE:
	case FORT_CMD_TOKEN_CREATE: return true;
	default: return false;
	}
}

static long keep(struct side *side, long result)
{
	if (result < 0)
		return result;
	if (side->n_fds == FORT_LEN(side->fds))
		close((int)result);
	else
		side->fds[side->n_fds++] = (int)result;
	return result;
}

long side_bpf(struct side *side, int cmd, void *attr, unsigned size)
{
	long result;

	if (side->store) {
		result = fort_store_bpf(side->store, cmd, attr, size);
	} else {
		result = syscall(SYS_bpf, cmd, attr, size);
		result = result < 0 ? -errno : result;
	}
	return returns_fd(cmd) ? keep(side, result) : result;
}

long side_perf_event_open(struct side *side, void *attr, int pid, int cpu, int group,
			  unsigned long flags)
{
	long result;

	if (side->store)
		return keep(side,
			    fort_store_perf_event_open(side->store, attr, pid, cpu, group, flags));
	result = syscall(SYS_perf_event_open, attr, pid, cpu, group, flags);
	return keep(side, result < 0 ? -errno : result);
}

long side_ioctl(struct side *side, int fd, unsigned long request, unsigned long arg)
{
	long result;

	if (side->store && fort_store_ioctl(side->store, fd, request, arg, &result))
		return result;
	result = ioctl(fd, request, arg);
	return result < 0 ? -errno : result;
}

void note(struct side *side, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fort_text_addv(&side->seen, fmt, args);
	va_end(args);
	fort_text_put(&side->seen, "\n", 1);
}

long note_result(struct side *side, long result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fort_text_addv(&side->seen, fmt, args);
	va_end(args);
	fort_text_add(&side->seen,
		      result < 0   ? ": %ld\n"
		      : result > 2 ? ": fd\n"
				   : ": ok\n",
		      result);
	return result;
}

static void run(struct side *side, scenario_fn *scenario)
{
	side->seen = fort_text_new();
	side->n_fds = 0;
	scenario(side);
	while (side->n_fds)
		close(side->fds[--side->n_fds]);
}

static void compare(const char *name, scenario_fn *scenario, bool vets)
{
	static struct side kernel, ours;
	size_t at = 0;

	kernel = (struct side){.name = "kernel"};
	ours = (struct side){.name = "bpfort"};
	assert_int_equal(fort_store_create(&ours.store), 0);
	if (vets)
		fort_store_set_vetting(ours.store, NULL);
	run(&kernel, scenario);
	run(&ours, scenario);
	fort_store_free(ours.store);
	assert_non_null(kernel.seen.data);
	assert_non_null(ours.seen.data);
	if (strcmp(kernel.seen.data, ours.seen.data)) {
		const char *k = kernel.seen.data, *o = ours.seen.data;

		while (k[at] == o[at])
			at++;
		while (at && k[at - 1] != '\n')
			at--;
		print_error("%s: the first different line\nkernel: %.*s\nhere:   %.*s\n", name,
			    (int)strcspn(k + at, "\n"), k + at, (int)strcspn(o + at, "\n"), o + at);
		if (getenv("BPFORT_TEST_ALL"))
			print_error("--- kernel\n%s\n--- here\n%s\n", k, o);
		fail();
	}
	fort_text_free(&kernel.seen);
	fort_text_free(&ours.seen);
}

void compare_sides(const char *name, scenario_fn *scenario)
{
	compare(name, scenario, false);
}

void compare_judges(const char *name, scenario_fn *scenario)
{
	compare(name, scenario, true);
}

int make_map(struct side *side, uint32_t type, uint32_t key, uint32_t value, uint32_t entries,
	     uint32_t flags)
{
	ATTR(attr);
	long fd;

	attr.map_create.map_type = type;
	attr.map_create.key_size = key;
	attr.map_create.value_size = value;
	attr.map_create.max_entries = entries;
	attr.map_create.map_flags = flags;
	memcpy(attr.map_create.map_name, "test.map_1", 10);
	fd = side_bpf(side, FORT_CMD_MAP_CREATE, &attr, 72);
	if (fd < 0)
		fail_msg("%s: no map: %ld", side->name, fd);
	return (int)fd;
}

int make_btf(struct side *side)
{
	static struct btf_build build;
	ATTR(attr);
	long fd;

	build_sample(&build);
	attr.btf_load.btf = PTR(build.blob);
	attr.btf_load.btf_size = build.bytes;
	fd = side_bpf(side, FORT_CMD_BTF_LOAD, &attr, 28);
	if (fd < 0)
		fail_msg("%s: no BTF: %ld", side->name, fd);
	return (int)fd;
}

const struct fort_raw_insn *program(const char *text, uint32_t *count)
{
	static struct fort_arena arena;
	struct fort_asm_error error;
	struct fort_assembly assembly;

	fort_arena_free(&arena);
	fort_arena_init(&arena, 1 << 20);
	if (fort_assemble(&arena, text, strlen(text), &assembly, &error))
		fail_msg("test program, line %u: expected %s", error.line, error.expected);
	*count = assembly.n_insns;
	return assembly.insns;
}

int make_prog(struct side *side, const char *text)
{
	ATTR(attr);
	long fd;

	attr.prog_load.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.prog_load.insns = PTR(program(text, &attr.prog_load.insn_cnt));
	attr.prog_load.license = PTR("GPL");
	memcpy(attr.prog_load.prog_name, "test.prog_1", 11);
	fd = side_bpf(side, FORT_CMD_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		fail_msg("%s: no program: %ld", side->name, fd);
	return (int)fd;
}

char *with_numbers(const char *text, const char *const *names, const int *numbers, unsigned n)
{
	struct fort_text out = fort_text_new();

	while (*text) {
		bool found = false;

		for (unsigned i = 0; i < n && !found; i++)
			if (!strncmp(text, names[i], strlen(names[i]))) {
				fort_text_add(&out, "%d", numbers[i]);
				text += strlen(names[i]);
				found = true;
			}
		if (!found)
			fort_text_put(&out, text++, 1);
	}
	return out.data;
}
