/* A life with every resource running out once: a store, maps, BTF, a program that is verified and
 * run, a link; and in each round the n-th allocation or system call of it fails, n = 1, 2, ...
 * until none is left to fail.
 *
 * The step in which it happens must say so with an error that speaks of resources, or not need
 * what failed; the same step must work when it is tried again; everything after it must come out
 * as if nothing had happened; and at the end nothing may be left held.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/cmds.h"
#include "btf_build.h"
#include "fault.h"
#include "isa/asm.h"
#include "store/store.h"

#define PTR(p)     ((uint64_t)(uintptr_t)(p))
#define ROUNDS_MAX 5000u

enum { ARRAY, HASH, PERCPU, RING, TAILS, MAPS };

struct world {
	struct fort_store *store;
	int maps[MAPS], btf, prog, caller, event, link;
	unsigned attached;
};

static struct btf_build sample;
static struct fort_assembly program, caller;

/* Finds 5 in the hash, adds what is there to the array's value, sends both. */
static const char program_text[] =
	"stw [r10-4], 5\n"
	"lddw r1, map_idx 1\nmov r2, r10\nadd r2, -4\ncall 1\n"
	"jeq r0, 0, none\n"
	"ldxdw r6, [r0+0]\n"
	"lddw r7, map_idx_value 0, 0\nldxdw r8, [r7+0]\nadd r8, r6\nstxdw [r7+0], r8\n"
	"lddw r1, map_idx 3\nmov r2, 16\nmov r3, 0\ncall 131\n"
	"jeq r0, 0, none\n"
	"stxdw [r0+0], r6\nstxdw [r0+8], r8\nmov r1, r0\nmov r2, 1\ncall 132\n"
	"mov r0, r8\nexit\n"
	"none: mov r0, 0\nexit\n";

/* Leaves all that to the program in the array. */
static const char caller_text[] = "lddw r2, map_idx 4\nmov r3, 1\ncall 12\nmov r0, 1\nexit\n";

static long call(struct world *w, int cmd, union fort_attr *attr)
{
	return fort_store_bpf(w->store, cmd, attr, sizeof(*attr));
}

/* --- steps: 0 and what they say in the world, or a negative errno and nothing --- */

static int keep(long fd, int *out)
{
	if (fd < 0)
		return (int)fd;
	*out = (int)fd;
	return 0;
}

static int open_store(struct world *w)
{
	return fort_store_create(&w->store);
}

static int make_map(struct world *w, unsigned which, uint32_t type, uint32_t key, uint32_t value,
		    uint32_t entries)
{
	union fort_attr attr = {.map_create = {.map_type = type,
					       .key_size = key,
					       .value_size = value,
					       .max_entries = entries,
					       .map_name = "fault"}};

	return keep(call(w, FORT_CMD_MAP_CREATE, &attr), &w->maps[which]);
}

static int make_array(struct world *w)
{
	return make_map(w, ARRAY, BPF_MAP_TYPE_ARRAY, 4, 8, 1);
}

static int make_hash(struct world *w)
{
	return make_map(w, HASH, BPF_MAP_TYPE_HASH, 4, 8, 100);
}

static int make_percpu(struct world *w)
{
	return make_map(w, PERCPU, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 10);
}

static int make_ring(struct world *w)
{
	return make_map(w, RING, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
}

static int element(struct world *w, int cmd, uint32_t key, uint64_t *value)
{
	union fort_attr attr = {
		.elem = {.map_fd = (uint32_t)w->maps[HASH], .key = PTR(&key), .value = PTR(value)}};

	return (int)call(w, cmd, &attr);
}

static int put(struct world *w)
{
	uint64_t value = 37;

	return element(w, FORT_CMD_MAP_UPDATE_ELEM, 5, &value);
}

static int get(struct world *w)
{
	uint64_t value = 0;
	int err = element(w, FORT_CMD_MAP_LOOKUP_ELEM, 5, &value);

	if (!err)
		assert_int_equal(value, 37);
	return err;
}

static int get_next(struct world *w)
{
	uint64_t next = 0;
	int err = element(w, FORT_CMD_MAP_GET_NEXT_KEY, 99, &next);

	if (!err)
		assert_int_equal((uint32_t)next, 5);
	return err;
}

static int put_second(struct world *w)
{
	uint64_t value = 1;

	return element(w, FORT_CMD_MAP_UPDATE_ELEM, 6, &value);
}

static int remove_second(struct world *w)
{
	return element(w, FORT_CMD_MAP_DELETE_ELEM, 6, NULL);
}

static int load_btf(struct world *w)
{
	union fort_attr attr = {.btf_load = {.btf = PTR(sample.blob), .btf_size = sample.bytes}};

	return keep(call(w, FORT_CMD_BTF_LOAD, &attr), &w->btf);
}

static int load_program(struct world *w)
{
	static char log[1 << 16];
	union fort_attr attr = {.prog_load = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
					      .insns = PTR(program.insns),
					      .insn_cnt = program.n_insns,
					      .license = PTR("GPL"),
					      .log_level = 2,
					      .log_size = sizeof(log),
					      .log_buf = PTR(log),
					      .fd_array = PTR(w->maps)}};

	return keep(call(w, FORT_CMD_PROG_LOAD, &attr), &w->prog);
}

static int run_program(struct world *w)
{
	static const uint8_t packet[64];
	union fort_attr attr = {.test = {.prog_fd = (uint32_t)w->prog,
					 .data_in = PTR(packet),
					 .data_size_in = sizeof(packet)}};
	int err = (int)call(w, FORT_CMD_PROG_TEST_RUN, &attr);

	if (!err)
		assert_int_equal(attr.test.retval, 37);
	return err;
}

static int make_tails(struct world *w)
{
	return make_map(w, TAILS, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
}

static int tail(struct world *w, int cmd, int *fd)
{
	uint32_t key = 1;
	union fort_attr attr = {
		.elem = {.map_fd = (uint32_t)w->maps[TAILS], .key = PTR(&key), .value = PTR(fd)}};

	return (int)call(w, cmd, &attr);
}

static int put_program(struct world *w)
{
	return tail(w, FORT_CMD_MAP_UPDATE_ELEM, &w->prog);
}

static int load_caller(struct world *w)
{
	union fort_attr attr = {.prog_load = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
					      .insns = PTR(caller.insns),
					      .insn_cnt = caller.n_insns,
					      .license = PTR("GPL"),
					      .fd_array = PTR(w->maps)}};

	return keep(call(w, FORT_CMD_PROG_LOAD, &attr), &w->caller);
}

static int run_caller(struct world *w)
{
	static const uint8_t packet[64];
	union fort_attr attr = {.test = {.prog_fd = (uint32_t)w->caller,
					 .data_in = PTR(packet),
					 .data_size_in = sizeof(packet)}};
	int err = (int)call(w, FORT_CMD_PROG_TEST_RUN, &attr);

	if (!err)
		assert_int_equal(attr.test.retval, 2 * 37);
	return err;
}

static int take_program_out(struct world *w)
{
	return tail(w, FORT_CMD_MAP_DELETE_ELEM, NULL);
}

/* The map is only the program's now: it comes back by its id. */
static int reopen_map(struct world *w)
{
	struct bpf_map_info info = {0};
	union fort_attr attr = {.info = {.bpf_fd = (uint32_t)w->maps[ARRAY],
					 .info_len = sizeof(info),
					 .info = PTR(&info)}};
	int second = -1, err = (int)call(w, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr);

	if (err)
		return err;
	attr = (union fort_attr){.by_id = {.id = info.id}};
	err = keep(call(w, FORT_CMD_MAP_GET_FD_BY_ID, &attr), &second);
	if (!err) {
		close(w->maps[ARRAY]);
		w->maps[ARRAY] = second;
	}
	return err;
}

static int program_info(struct world *w)
{
	struct bpf_prog_info info = {0};
	union fort_attr attr = {.info = {.bpf_fd = (uint32_t)w->prog,
					 .info_len = sizeof(info),
					 .info = PTR(&info)}};
	int err = (int)call(w, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr);

	if (!err)
		assert_int_equal(info.nr_map_ids, 3);
	return err;
}

/* The same program for a probe. */
static int load_probe(struct world *w)
{
	union fort_attr attr = {.prog_load = {.prog_type = BPF_PROG_TYPE_KPROBE,
					      .insns = PTR(program.insns),
					      .insn_cnt = program.n_insns,
					      .license = PTR("GPL"),
					      .fd_array = PTR(w->maps)}};
	int fd = -1, err = keep(call(w, FORT_CMD_PROG_LOAD, &attr), &fd);

	if (!err) {
		close(w->prog);
		w->prog = fd;
	}
	return err;
}

static int open_event(struct world *w)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = fort_store_uprobe_type(w->store),
				       .uprobe_path = PTR("/proc/self/exe"),
				       .probe_offset = 16};

	return keep(fort_store_perf_event_open(w->store, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC),
		    &w->event);
}

static int attach(void *owner, const struct fort_attach_request *request, void **attachment)
{
	((struct world *)owner)->attached++;
	*attachment = owner;
	return 0;
}

static void detach(void *owner, void *attachment)
{
	((struct world *)owner)->attached--;
}

static int make_link(struct world *w)
{
	const struct fort_store_attacher attacher = {attach, detach, w};
	union fort_attr attr = {.link_create = {.prog_fd = (uint32_t)w->prog,
						.target_fd = (uint32_t)w->event,
						.attach_type = BPF_PERF_EVENT}};
	int err;

	fort_store_set_attacher(w->store, &attacher);
	err = keep(call(w, FORT_CMD_LINK_CREATE, &attr), &w->link);
	assert_int_equal(w->attached, !err);
	return err;
}

static int drop_link(struct world *w)
{
	close(w->link);
	close(w->event);
	w->link = w->event = -1;
	fort_store_reap(w->store);
	return w->attached ? -EBUSY : 0;
}

static const struct {
	const char *name;
	int (*take)(struct world *w);
} steps[] = {
	{"open_store", open_store},
	{"make_array", make_array},
	{"make_hash", make_hash},
	{"make_percpu", make_percpu},
	{"make_ring", make_ring},
	{"put", put},
	{"get", get},
	{"get_next", get_next},
	{"put_second", put_second},
	{"remove_second", remove_second},
	{"load_btf", load_btf},
	{"load_program", load_program},
	{"run_program", run_program},
	{"make_tails", make_tails},
	{"put_program", put_program},
	{"load_caller", load_caller},
	{"run_caller", run_caller},
	{"take_program_out", take_program_out},
	{"reopen_map", reopen_map},
	{"program_info", program_info},
	{"load_probe", load_probe},
	{"open_event", open_event},
	{"make_link", make_link},
	{"drop_link", drop_link},
};

/* --- rounds --- */

static void close_all(struct world *w)
{
	const int fds[] = {w->maps[0], w->maps[1], w->maps[2], w->maps[3], w->maps[4],
			   w->btf,     w->prog,    w->caller,  w->event,   w->link};

	for (unsigned i = 0; i < FORT_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (w->store)
		fort_store_free(w->store);
}

/* Errors that tell the caller that something ran out. */
static bool speaks_of_resources(int err, const struct fault_report *report)
{
	return report->what &&
	       (err == report->err || err == -ENOMEM || err == -EMFILE || err == -ENOSPC);
}

/* Lives once. Returns whether the n-th was reached. */
static bool live(enum fault_kind kind, uint32_t n)
{
	struct world w = {.maps = {-1, -1, -1, -1, -1},
			  .btf = -1,
			  .prog = -1,
			  .caller = -1,
			  .event = -1,
			  .link = -1};
	struct fault_report report;
	bool reached = false;

	for (unsigned i = 0; i < FORT_LEN(steps); i++) {
		uint32_t before = n;
		int err;

		fault_arm(kind, reached ? 0 : n);
		err = steps[i].take(&w);
		report = fault_disarm();
		n -= reached ? 0 : report.seen < before ? report.seen : before;
		if (report.what)
			reached = true;
		if (!err)
			continue;
		if (!speaks_of_resources(err, &report))
			fail_msg("%s gave %d when %s failed with %d", steps[i].name, err,
				 report.what ? report.what : "nothing", report.err);
		err = steps[i].take(&w);
		if (err)
			fail_msg("%s gave %d when tried again after %s failed", steps[i].name, err,
				 report.what);
	}
	close_all(&w);
	return reached;
}

static void same_held(const struct fault_held *before, uint32_t n)
{
	struct fault_held now = fault_held_now();

	if (now.descriptors == before->descriptors && now.allocations == before->allocations &&
	    now.pages == before->pages && now.mapped_bytes == before->mapped_bytes)
		return;
	fail_msg("left after the failure of number %u: %d descriptors, %ld allocations, %ld pages, "
		 "%ld mapped bytes",
		 n, (int)(now.descriptors - before->descriptors),
		 (long)(now.allocations - before->allocations), (long)(now.pages - before->pages),
		 (long)(now.mapped_bytes - before->mapped_bytes));
}

static void all_of(enum fault_kind kind)
{
	struct fault_held before;
	uint32_t n = 1;

	live(kind, 0); /* libc and the store may keep what they make once */
	before = fault_held_now();
	live(kind, 0);
	same_held(&before, 0);
	for (; live(kind, n); n++) {
		same_held(&before, n);
		assert_true(n < ROUNDS_MAX);
	}
	print_message("# %u failures\n", n - 1);
	assert_true(n > 30);
}

static void allocations_fail(void **state)
{
	all_of(FAULT_ALLOCATION);
}

static void system_calls_fail(void **state)
{
	if (!fault_syscalls_work()) {
		print_message("# the kernel has no Syscall User Dispatch (Linux 5.11)\n");
		skip();
	}
	all_of(FAULT_SYSCALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_fail),
		cmocka_unit_test(system_calls_fail),
	};
	struct fort_asm_error error;
	struct fort_arena arena;

	build_sample(&sample);
	fort_arena_init(&arena, 1 << 20);
	if (fort_assemble(&arena, program_text, strlen(program_text), &program, &error) ||
	    fort_assemble(&arena, caller_text, strlen(caller_text), &caller, &error))
		return 2;
	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
