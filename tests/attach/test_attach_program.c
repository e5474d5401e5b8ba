/* Real programs in real processes: what they count, write, print and see, through a store's front
 * door.
 */
#include "tests/attach/loader.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/cmds.h"
#include "abi/uapi.h"
#include "helper/trace_text.h"
#include "map/map.h"

/* Adds one to the value of key (first argument & 7) in a hash. */
#define COUNT_BY_ARGUMENT                                                              \
	"ldxdw r6, [r1+112]\nand r6, 7\nstxw [r10-4], r6\n"                            \
	"lddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\njne r0, 0, found\n"      \
	"stdw [r10-16], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\nmov r3, r10\n" \
	"add r3, -16\nmov r4, 1\ncall 2\n"                                             \
	"lddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\njeq r0, 0, out\n"        \
	"found: mov r1, 1\nlock add [r0+0], r1\nout: mov r0, 0\nexit"

static uint64_t sum(const struct loader *loader, int map)
{
	uint64_t all = 0;

	for (uint32_t key = 0; key < 8; key++)
		all += loader_get(loader, map, key);
	return all;
}

static void hash_counts_are_exact(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", 4);
	struct remains before = harness_remains(victim.pid);
	struct loader loader = loader_open();
	struct loader_place place = {victim.pid, victim.pid, "victim_work", false, 0};
	int map = loader_map(&loader, BPF_MAP_TYPE_HASH, 4, 8, 64);
	int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, COUNT_BY_ARGUMENT, map, map, map);

	for (int round = 0; round < 6; round++) {
		uint64_t counted = sum(&loader, map), start;
		int link;

		place.returns = round & 1;
		harness_hold(&victim, 4);
		start = harness_calls(&victim);
		link = loader_link(&loader, prog, &place);
		harness_go_on(&victim);
		harness_progress(&victim, 2000);
		harness_hold(&victim, 4);
		/* at return the first argument's register holds something else: keys differ */
		assert_int_equal(sum(&loader, map) - counted, harness_calls(&victim) - start);
		close(link);
		fort_store_reap(loader.store);
		harness_assert_clean(victim.pid, &before);
		harness_go_on(&victim);
	}
	close(prog);
	close(map);
	loader_close(&loader);
	harness_end(&victim);
}

/* Functions that are called back, and counters beside frames, in several threads at once: each hit
 * adds 8 to element 0, in a loop of 5 rounds and one that is left after 3; what a counted jump
 * counted, to 2; and in a walk 1 to each from 3 on. */
static const char loops[] =
	"mov r1, 5\nlddw r2, func add\nmov r3, 0\nmov r4, 0\ncall 181\nmov r6, r0\n"
	"mov r1, 100\nlddw r2, func some\nmov r3, 0\nmov r4, 0\ncall 181\nadd r6, r0\n"
	"jne r6, 8, out\nstdw [r10-8], 0\nlddw r1, map_fd %d\nlddw r2, func each\nmov r3, r10\n"
	"add r3, -8\nmov r4, 0\ncall 164\nldxdw r7, [r10-8]\njne r7, 28, out\n"
	"mov r6, 0\nl: may_goto m\nadd r6, 1\njlt r6, 40, l\n"
	"m: stw [r10-4], 2\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\n"
	"jeq r0, 0, out\nlock add [r0+0], r6\nout: mov r0, 0\nexit\n"
	"add: stw [r10-4], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\ncall 1\n"
	"jeq r0, 0, o1\nmov r1, 1\nlock add [r0+0], r1\no1: mov r0, 0\nexit\n"
	"some: mov r6, r1\ncall local add\nmov r0, 0\njne r6, 2, +1\nmov r0, 1\nexit\n"
	"each: ldxw r5, [r2+0]\nldxdw r6, [r4+0]\nadd r6, r5\nstxdw [r4+0], r6\nmov r0, 0\n"
	"jlt r5, 3, o2\nmov r1, 1\nlock add [r3+0], r1\no2: exit";

static void loops_call_back(void **state)
{
	struct victim victim = harness_start("VICTIM", "work", 4);
	struct loader loader = loader_open();
	struct loader_place place = {victim.pid, victim.pid, "victim_work", false, 0};
	int map = loader_map(&loader, BPF_MAP_TYPE_ARRAY, 4, 8, 8), link;
	int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, loops, map, map, map);
	uint64_t start, calls;

	harness_hold(&victim, 4);
	start = harness_calls(&victim);
	link = loader_link(&loader, prog, &place);
	harness_go_on(&victim);
	harness_progress(&victim, 5000);
	harness_hold(&victim, 4);
	calls = harness_calls(&victim) - start;
	assert_int_equal(loader_get(&loader, map, 0), 8 * calls);
	assert_int_equal(loader_get(&loader, map, 1), 0);
	assert_int_equal(loader_get(&loader, map, 2), 40 * calls);
	for (uint32_t key = 3; key < 8; key++)
		assert_int_equal(loader_get(&loader, map, key), calls);
	close(link);
	harness_go_on(&victim);
	close(prog);
	close(map);
	loader_close(&loader);
	harness_end(&victim);
}

static void ring_and_trace(void **state)
{
	struct victim victim = harness_start("VICTIM", "step", 1);
	struct loader loader = loader_open();
	struct loader_place place = {victim.pid, victim.pid, "victim_work", false, 0x5555aaaa};
	int map = loader_map(&loader, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
	/* record: pid_tgid, cookie, sixth argument; then a line of trace */
	int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE,
			       "mov r7, r1\nlddw r1, map_fd %d\nmov r2, 24\nmov r3, 0\ncall 131\n"
			       "jeq r0, 0, out\nmov r6, r0\ncall 14\nstxdw [r6+0], r0\n"
			       "mov r1, r7\ncall 174\nstxdw [r6+8], r0\nldxdw r1, [r7+64]\n"
			       "stxdw [r6+16], r1\nmov r1, r6\nmov r2, 0\ncall 132\n"
			       "lddw r1, 0x000a642520746968\nstxdw [r10-8], r1\nmov r1, r10\n"
			       "add r1, -8\nmov r2, 8\nldxdw r3, [r7+104]\ncall 6\n"
			       "out: mov r0, 0\nexit",
			       map);
	int link = loader_link(&loader, prog, &place);
	struct fort_ring_reader records, lines;
	struct fort_text text = fort_text_new();
	uint8_t line[FORT_TRACE_RECORD_MAX];
	uint64_t record[3];
	uint32_t bytes;

	fort_ring_reader_init(&records, loader_map_of(&loader, map));
	fort_ring_reader_init(&lines, fort_store_rings(loader.store).trace);
	assert_int_equal(fort_ring_read(&records, record, sizeof(record), &bytes), 0);
	for (int i = 0; i < 3; i++) {
		victim.control->events++;
		harness_progress(&victim, 1);
		assert_int_equal(fort_ring_read(&records, record, sizeof(record), &bytes), 1);
		assert_int_equal(bytes, sizeof(record));
		assert_int_equal(record[0], (uint64_t)victim.pid << 32 | (uint32_t)victim.pid);
		assert_int_equal(record[1], 0x5555aaaa);
		assert_int_equal(record[2], 16);
		assert_int_equal(fort_ring_read(&lines, line, sizeof(line), &bytes), 1);
		fort_text_clear(&text);
		assert_int_equal(fort_trace_text(&text, line, bytes), 0);
		assert_non_null(strcasestr(text.data, "victim"));
		assert_non_null(strstr(text.data, "hit 12\n"));
	}
	assert_int_equal(fort_ring_read(&records, record, sizeof(record), &bytes), 0);
	fort_text_free(&text);
	close(link);
	close(prog);
	close(map);
	loader_close(&loader);
	harness_end(&victim);
}

static void read_string_of_the_target(void **state)
{
	struct victim victim = harness_start("VICTIM", "step", 1);
	struct loader loader = loader_open();
	struct loader_place place = {victim.pid, victim.pid, "victim_work", false, 0};
	int map = loader_map(&loader, BPF_MAP_TYPE_ARRAY, 4, 8, 2);
	/* the return address, by probe_read_user from rsp; key 1: what reading at 0 gives */
	int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE,
			       "ldxdw r3, [r1+152]\nmov r1, r10\nadd r1, -8\nmov r2, 8\ncall 112\n"
			       "stw [r10-12], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -12\n"
			       "mov r3, r10\nadd r3, -8\nmov r4, 0\ncall 2\n"
			       "mov r1, r10\nadd r1, -8\nmov r2, 8\nmov r3, 0\ncall 112\n"
			       "stxdw [r10-8], r0\nstw [r10-12], 1\nlddw r1, map_fd %d\n"
			       "mov r2, r10\nadd r2, -12\nmov r3, r10\nadd r3, -8\nmov r4, 0\n"
			       "call 2\nmov r0, 0\nexit",
			       map, map);
	int link = loader_link(&loader, prog, &place);
	struct remains now;

	victim.control->events++;
	harness_progress(&victim, 1);
	assert_int_not_equal(loader_get(&loader, map, 0), 0);
	assert_int_equal(loader_get(&loader, map, 1), (uint64_t)-EFAULT);
	now = harness_remains(victim.pid);
	assert_true(now.changed_bytes > 0); /* so that its absence elsewhere means something */
	close(link);
	close(prog);
	close(map);
	loader_close(&loader);
	harness_end(&victim);
}

static void add_counts(const struct fort_attacher_row *row, void *arg)
{
	struct fort_probe_counts *counts = arg;

	counts->hits += row->counts.hits;
	counts->missed += row->counts.missed;
	counts->aborted += row->counts.aborted;
}

static void attachments_know_their_hits(void **state)
{
	struct victim victim = harness_start("VICTIM", "step", 1);
	struct loader loader = loader_open();
	struct loader_place place = {victim.pid, victim.pid, "victim_leaf", false, 0};
	struct fort_probe_counts counts = {0};
	int map = loader_map(&loader, BPF_MAP_TYPE_ARRAY, 4, 8, 1);
	int prog = loader_prog(
		&loader, BPF_PROG_TYPE_KPROBE,
		"stw [r10-4], 0\nlddw r1, map_fd %d\nmov r2, r10\nadd r2, -4\n"
		"call 1\njeq r0, 0, out\nmov r1, 1\nlock add [r0+0], r1\nout: mov r0, 0\nexit",
		map);
	int link = loader_link(&loader, prog, &place);

	victim.control->events++;
	harness_progress(&victim, 1);
	fort_attacher_visit(loader.attacher, add_counts, &counts);
	assert_int_equal(counts.hits, 1);
	assert_int_equal(counts.aborted, 0);
	assert_int_equal(loader_get(&loader, map, 0), 1);
	close(link);
	close(prog);
	close(map);
	loader_close(&loader);
	harness_end(&victim);
}

static enum fort_target_state await_event(struct loader *loader, pid_t pid)
{
	struct pollfd poll_fd = {.fd = fort_attacher_fd(loader->attacher), .events = POLLIN};
	struct fort_attacher_event event;
	uint64_t late = harness_now_us() + 5000000;

	while (harness_now_us() < late) {
		poll(&poll_fd, 1, 100);
		if (!fort_attacher_next(loader->attacher, &event))
			continue;
		assert_int_equal(event.pid, pid);
		assert_int_equal(poll(&poll_fd, 1, 0), 0);
		return event.state;
	}
	return FORT_TARGET_OPEN;
}

/* Maps outlive the process, and a hash that it held on to works on. */
static void exit_and_exec_end_attachments(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct victim victim = harness_start("VICTIM", i ? "exec" : "work", 2);
		struct loader loader = loader_open();
		struct loader_place place = {victim.pid, victim.pid, "victim_work", true, 0};
		int map = loader_map(&loader, BPF_MAP_TYPE_HASH, 4, 8, 8);
		int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, COUNT_BY_ARGUMENT, map, map,
				       map);
		int link = loader_link(&loader, prog, &place);
		uint64_t counted;

		harness_progress(&victim, 1000);
		if (i) {
			victim.control->events = 1;
			assert_int_equal(await_event(&loader, victim.pid), FORT_TARGET_REPLACED);
			assert_int_equal(harness_remains(victim.pid).changed_bytes, 0);
		} else {
			kill(victim.pid, SIGKILL);
			assert_int_equal(await_event(&loader, victim.pid), FORT_TARGET_EXITED);
		}
		counted = sum(&loader, map);
		assert_true(counted >= 900);
		close(link);
		fort_store_reap(loader.store);
		if (i) {
			link = loader_link(&loader, prog, &place);
			harness_progress(&victim, 1000);
			assert_true(sum(&loader, map) >= counted + 900);
			close(link);
		}
		close(prog);
		close(map);
		loader_close(&loader);
		harness_kill(&victim);
	}
}

static void every_process_means_those_that_were_named(void **state)
{
	struct victim victims[2] = {harness_start("VICTIM", "step", 1),
				    harness_start("VICTIM", "step", 1)};
	struct loader loader = loader_open();
	struct loader_place place = {-1, victims[0].pid, "victim_work", false, 0};
	int map = loader_map(&loader, BPF_MAP_TYPE_HASH, 4, 8, 8);
	int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, COUNT_BY_ARGUMENT, map, map, map);
	struct fort_text why = fort_text_new();
	struct remains before[2];
	int link;

	assert_int_equal(loader_attach(&loader, prog, &place), -EOPNOTSUPP);
	fort_attacher_why(loader.attacher, &why);
	assert_non_null(strstr(why.data, "--pid"));
	for (int i = 0; i < 2; i++) {
		before[i] = harness_remains(victims[i].pid);
		assert_int_equal(fort_attacher_open(loader.attacher, victims[i].pid, &why), 0);
	}
	link = loader_link(&loader, prog, &place);
	for (int i = 0; i < 2; i++) {
		victims[i].control->events++;
		harness_progress(&victims[i], 1);
		assert_int_equal(sum(&loader, map), i + 1);
	}
	close(link);
	close(prog);
	close(map);
	loader_close(&loader);
	fort_text_free(&why);
	for (int i = 0; i < 2; i++) {
		harness_assert_clean(victims[i].pid, &before[i]);
		harness_end(&victims[i]);
	}
}

static void refusals_have_words(void **state)
{
	struct victim victim = harness_start("VICTIM", "step", 1);
	struct loader loader = loader_open();
	struct loader_place place = {getpid(), victim.pid, "victim_work", false, 0};
	int prog = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
	struct fort_text why = fort_text_new();

	assert_int_equal(loader_attach(&loader, prog, &place), -EINVAL);
	fort_attacher_why(loader.attacher, &why);
	assert_non_null(strstr(why.data, "it is this process"));
	place.pid = 1; /* not of our user */
	assert_int_equal(loader_attach(&loader, prog, &place), -EPERM);
	fort_text_clear(&why);
	fort_attacher_why(loader.attacher, &why);
	assert_non_null(strstr(why.data, "it belongs to user 0"));
	close(prog);
	loader_close(&loader);
	fort_text_free(&why);
	harness_end(&victim);
}

/* Arrays of programs are of this process: programs that name one run here only. What is in one is
 * attached like any other. */
static void tail_calls_stay_here(void **state)
{
	struct victim victim = harness_start("VICTIM", "step", 1);
	struct loader loader = loader_open();
	struct loader_place place = {victim.pid, victim.pid, "victim_work", false, 0};
	int map = loader_map(&loader, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
	int caller = loader_prog(&loader, BPF_PROG_TYPE_KPROBE,
				 "lddw r2, map_fd %d\nmov r3, 0\ncall 12\nmov r0, 0\nexit", map);
	int callee = loader_prog(&loader, BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
	union fort_attr attr = {.elem = {.map_fd = (uint32_t)map,
					 .key = (uintptr_t) & (uint32_t){0},
					 .value = (uintptr_t)&callee}};
	struct fort_text why = fort_text_new();

	assert_int_equal(
		fort_store_bpf(loader.store, FORT_CMD_MAP_UPDATE_ELEM, &attr, sizeof(attr)), 0);
	assert_int_equal(loader_attach(&loader, caller, &place), -EOPNOTSUPP);
	fort_attacher_why(loader.attacher, &why);
	assert_non_null(strstr(why.data, "tail calls are not supported yet"));
	close(loader_link(&loader, callee, &place));
	close(caller);
	close(callee);
	close(map);
	loader_close(&loader);
	fort_text_free(&why);
	harness_end(&victim);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_counts_are_exact),
		cmocka_unit_test(loops_call_back),
		cmocka_unit_test(ring_and_trace),
		cmocka_unit_test(read_string_of_the_target),
		cmocka_unit_test(attachments_know_their_hits),
		cmocka_unit_test(exit_and_exec_end_attachments),
		cmocka_unit_test(every_process_means_those_that_were_named),
		cmocka_unit_test(refusals_have_words),
		cmocka_unit_test(tail_calls_stay_here),
	};

	return HARNESS_MAIN(tests);
}
