/* What a probe costs: picoseconds a call of a small function, with and without one, here and, as
 * root, in the running kernel with the same program. Run as: meson compile, then
 *   env $(the tests' environment) build/gcc/tests/attach/bench_attach
 * Each figure is the least of 100 rounds or more, each of 1,000 calls.
 */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/cmds.h"
#include "abi/uapi.h"
#include "isa/asm.h"
#include "map/map.h"
#include "tests/attach/loader.h"

#define ROUNDS 100
#define PTR(p) ((uint64_t)(uintptr_t)(p))
#define ARRAY_COUNT                                                                             \
	"stw [r10-4], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\njeq r0, 0, out\n" \
	"mov r1, 1\nlock add [r0+0], r1\nout: mov r0, 0\nexit"
#define HASH_COUNT                                                                              \
	"stw [r10-4], 5\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\njeq r0, 0, out\n" \
	"mov r1, 1\nlock add [r0+0], r1\nout: mov r0, 0\nexit"
#define PID "call 14\nmov r0, 0\nexit"
#define RING                                                                                   \
	"stdw [r10-8], 1\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -8\nmov r3, 8\nmov r4, 1\n" \
	"call 130\nmov r0, 0\nexit"

static const struct subject {
	const char *name, *text;
	uint32_t map_type, key_bytes, value_bytes, entries;
	uint32_t key;
} subjects[] = {
	{"empty", "mov r0, 0\nexit", 0, 0, 0, 0, 0},
	{"array lookup, atomic add", ARRAY_COUNT, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0},
	{"hash lookup, atomic add", HASH_COUNT, BPF_MAP_TYPE_HASH, 4, 8, 64, 5},
	{"ringbuf output, 8 bytes, full", RING, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0},
	{"get_current_pid_tgid", PID, 0, 0, 0, 0, 0},
};

/* The least of many short rounds. */
static double measure(const struct victim *victim)
{
	victim->control->signals++;
	while (victim->control->held != (uint32_t)victim->control->signals ||
	       victim->control->thread[0].calls < ROUNDS)
		usleep(1000);
	return (double)victim->control->events / 1000;
}

static double here(const struct victim *victim, const struct subject *subject, bool returns)
{
	struct loader loader = loader_open();
	struct loader_place place = {victim->pid, victim->pid, "victim_leaf", returns, 0};
	int map = -1, prog, link;
	uint64_t zero = 0;
	double ns;

	if (subject->map_type)
		map = loader_map(&loader, subject->map_type, subject->key_bytes,
				 subject->value_bytes, subject->entries);
	if (subject->key)
		assert_int_equal(
			fort_map_update(loader_map_of(&loader, map), &subject->key, &zero, 0), 0);
	prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, subject->text, map);
	link = loader_link(&loader, prog, &place);
	ns = measure(victim);
	close(link);
	close(prog);
	close(map);
	loader_close(&loader);
	return ns;
}

static int kernel_call(int cmd, union fort_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int kernel_prog(const struct subject *subject, int map)
{
	union fort_attr attr = {
		.prog_load = {.prog_type = BPF_PROG_TYPE_KPROBE, .license = PTR("GPL")}};
	struct fort_assembly assembly;
	struct fort_asm_error error;
	struct fort_arena arena;
	char text[512];
	int fd;

	snprintf(text, sizeof(text), subject->text, map);
	fort_arena_init(&arena, 1 << 20);
	assert_int_equal(fort_assemble(&arena, text, strlen(text), &assembly, &error), 0);
	attr.prog_load.insns = PTR(assembly.insns);
	attr.prog_load.insn_cnt = assembly.n_insns;
	fd = kernel_call(FORT_CMD_PROG_LOAD, &attr);
	fort_arena_free(&arena);
	return fd;
}

/* 0 when the kernel does not let us. */
static double in_kernel(const struct victim *victim, const struct subject *subject, bool returns)
{
	char path[64];
	struct perf_event_attr event = {.size = sizeof(event),
					.config = returns,
					.uprobe_path = PTR(path),
					.probe_offset = loader_offset(victim->pid, "victim_leaf")};
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	union fort_attr attr = {.map_create = {.map_type = subject->map_type,
					       .key_size = subject->key_bytes,
					       .value_size = subject->value_bytes,
					       .max_entries = subject->entries}};
	int map = subject->map_type ? kernel_call(FORT_CMD_MAP_CREATE, &attr) : -1, prog, fd;
	uint64_t zero = 0;
	double ns = 0;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)victim->pid);
	attr = (union fort_attr){
		.elem = {.map_fd = (uint32_t)map, .key = PTR(&subject->key), .value = PTR(&zero)}};
	if (subject->key)
		(void)kernel_call(FORT_CMD_MAP_UPDATE_ELEM, &attr);
	prog = kernel_prog(subject, map);
	if (!type || fscanf(type, "%u", &event.type) != 1)
		return 0;
	fclose(type);
	fd = (int)syscall(SYS_perf_event_open, &event, victim->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (prog >= 0 && fd >= 0 && !ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) &&
	    !ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		ns = measure(victim);
	close(fd);
	close(prog);
	close(map);
	return ns;
}

int main(void)
{
	static const char *const builds[] = {"VICTIM", "VICTIM_ENDBR"};

	for (size_t b = 0; b < FORT_LEN(builds); b++) {
		struct victim victim = harness_start(builds[b], "time", 1);

		printf("%s: a call without probe %.1f ns\n", builds[b], measure(&victim));
		for (int returns = 0; returns < 2; returns++)
			for (size_t i = 0; i < FORT_LEN(subjects); i++) {
				double ours = here(&victim, &subjects[i], returns);
				double theirs = in_kernel(&victim, &subjects[i], returns);

				printf("%-10s %-30s %8.1f ns, kernel %9.1f ns: %.1f times\n",
				       returns ? "uretprobe" : "uprobe", subjects[i].name, ours,
				       theirs, theirs / ours);
				fflush(stdout);
			}
		harness_kill(&victim);
	}
	return 0;
}
