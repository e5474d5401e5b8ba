/* Programs that do not end, or end in the middle of something: they are ended, on both engines, and
 * what they held is given back: reservations are discarded, locks are free, the process has as many
 * descriptors, mappings and threads as before.
 */
#include "cage.h"

#include <time.h>

#include "base/text.h"
#include "engine/watch.h"

#define LIMIT_NS  10000000u
#define PERIOD_NS 2000000u
#define HELD      5u

static struct cage cage;

/* Of bpf_loop (181) and bpf_for_each_map_elem (164). */
#define CALL_BACK(helper, function) \
	"lddw r2, func " function "\nmov r3, r10\nmov r4, 0\ncall " #helper "\n"
#define LOOP(count, function) "mov r1, " count "\n" CALL_BACK(181, function) "mov r0, 0\nexit\n"

/* --- that do not end --- */

static const struct {
	const char *what, *source;
} endless[] = {
	{"a jump to itself", "ja -1"},
	{"a jump to itself, 32 bits", "l: ja32 l"},
	{"a comparison that holds", "l: jeq r0, 0, l\nexit"},
	{"two jumps", "a: ja b\nb: jne r0, 1, a\nexit"},
	{"loops in loops",
	 "a: mov r6, 0\nb: mov r7, 0\nc: add r7, 1\njlt r7, 9, c\nadd r6, 1\njlt r6, 9, b\nja a"},
	{"a loop that calls", "l: call local f\nja l\nf: mov r6, 1\nexit"},
	{"a loop in the deepest frame",
	 "mov r1, 6\ncall local f\nexit\nf: jeq r1, 0, l\nsub r1, 1\ncall local f\nexit\nl: ja l"},
	{"a loop of helpers", "l: call 14\nja l"},
	{"a loop of lookups",
	 "l: stw [r10-4], 3\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -4\ncall 1\nja l"},
	{"a loop of reservations that are given back",
	 "l: lddw r1, map_idx 3\nmov r2, 8\nmov r3, 0\ncall 131\njeq r0, 0, l\nmov r1, r0\nmov r2, "
	 "0\n"
	 "call 133\nja l"},
	{"loops that are called back in loops",
	 LOOP("8388608", "f") "f: " LOOP("8388608", "g") "g: " LOOP("8388608",
								    "h") "h: mov r0, 0\nexit"},
	{"walks without end", "l: lddw r1, map_idx 1\n" CALL_BACK(164, "f") "ja l\n"
									    "f: mov r0, 0\nexit"},
	{"a loop in what is called back", LOOP("1", "f") "f: ja f"},
	{"a loop of atomic operations", "mov r1, 1\nl: lock fetch_or [r10-8], r1\nja l"},
};

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fuel_ends_them(void **state)
{
	for (unsigned i = 0; i < FORT_LEN(endless); i++) {
		struct outcome outcomes[FORT_LEN(cage_engines)];
		struct caged caged;

		caged_assemble(&caged, endless[i].source);
		for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
			outcomes[e] = cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI, false,
					       &caged, 100000);
			if (outcomes[e].abort.code != FORT_ABORT_FUEL)
				fail_msg("%s on %s: %s", endless[i].what, cage_engines[e]->name,
					 fort_abort_name(outcomes[e].abort.code));
		}
		assert_memory_equal(&outcomes[0], &outcomes[1], sizeof(outcomes[0]));
		caged_free(&caged);
	}
}

static void the_watchdog_ends_them(void **state)
{
	struct fort_watched *place;
	struct fort_watch *watch;

	assert_int_equal(fort_watch_open(LIMIT_NS, PERIOD_NS, &watch), 0);
	place = fort_watch_take(watch);
	assert_non_null(place);
	for (unsigned i = 0; i < FORT_LEN(endless); i++)
		for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
			struct outcome outcome;
			struct caged caged;
			uint64_t start;

			caged_assemble(&caged, endless[i].source);
			start = cpu_ns();
			fort_watched_enter(place, &cage.world.run);
			outcome = cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI, false,
					   &caged, UINT64_MAX);
			fort_watched_leave(place);
			if (outcome.abort.code != FORT_ABORT_TIME)
				fail_msg("%s on %s: %s", endless[i].what, cage_engines[e]->name,
					 fort_abort_name(outcome.abort.code));
			/* A loaded machine looks late; many times the limit is no accident. */
			assert_in_range(cpu_ns() - start, LIMIT_NS, 50ull * LIMIT_NS);
			caged_free(&caged);
		}
	fort_watch_give(watch, place);
	fort_watch_close(watch);
}

/* Counted jumps end themselves, with half of the fuel at least. */
static void counted_jumps_run_out(void **state)
{
	static const char *const sources[] = {
		"l: may_goto o\nja l\no: mov r0, 5\nexit",
		"a: may_goto o\nb: may_goto a\nja b\no: mov r0, 5\nexit",
		"mov r1, 3\n" CALL_BACK(181, "f") "mov r0, 5\nexit\n"
						  "f: may_goto o\nja f\no: mov r0, 0\nexit",
	};

	for (unsigned i = 0; i < FORT_LEN(sources); i++) {
		struct outcome outcomes[FORT_LEN(cage_engines)];
		struct caged caged;

		caged_assemble(&caged, sources[i]);
		for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
			outcomes[e] = cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI, false,
					       &caged, 1u << 24);
			assert_int_equal(outcomes[e].abort.code, FORT_ABORT_NONE);
			assert_int_equal(outcomes[e].r0, 5);
		}
		assert_memory_equal(&outcomes[0], &outcomes[1], sizeof(outcomes[0]));
		caged_free(&caged);
	}
}

/* --- that go too deep --- */

static void frames_are_counted(void **state)
{
	static const char *const sources[] = {
		"l: call local l\nexit",
		"call local f\nexit\nf: call local g\nexit\ng: call local f\nexit",
		LOOP("2", "f") "f: " LOOP("2", "f"),
		"lddw r1, map_idx 1\n" CALL_BACK(164, "f") "exit\n"
							   "f: call local g\nexit\ng: " LOOP("1",
											     "f"),
		"call local f\nexit\nf: stdw [r10-8], 1\nstdw [r10-512], 2\ncall local f\nexit",
	};

	for (unsigned i = 0; i < FORT_LEN(sources); i++) {
		struct outcome outcomes[FORT_LEN(cage_engines)];
		struct caged caged;

		caged_assemble(&caged, sources[i]);
		for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
			outcomes[e] = cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI, false,
					       &caged, UINT64_MAX);
			assert_int_equal(outcomes[e].abort.code, FORT_ABORT_DEPTH);
		}
		assert_memory_equal(&outcomes[0], &outcomes[1], sizeof(outcomes[0]));
		caged_free(&caged);
	}
}

/* --- that hold something when they end --- */

/* Reserves HELD records, then does this, in a frame of its own. */
static const struct {
	const char *what, *source;
	enum fort_abort_code code;
} ends[] = {
	{"out of fuel", "l: ja l", FORT_ABORT_FUEL},
	{"a load from nowhere", "mov r1, 0\nldxb r0, [r1]\nexit", FORT_ABORT_MEMORY},
	{"a store to nowhere", "mov r1, -1\nstdw [r1], 1\nexit", FORT_ABORT_MEMORY},
	{"an atomic operation nowhere", "mov r1, 64\nlock fetch_xor [r1], r1\nexit",
	 FORT_ABORT_MEMORY},
	{"a bad argument", "mov r1, 0\nmov r2, 0\ncall 1\nexit", FORT_ABORT_HELPER_ARG},
	{"a reservation that is none", "mov r1, r10\nmov r2, 0\ncall 132\nexit",
	 FORT_ABORT_HELPER_ARG},
	{"no helper", "call 999\nexit", FORT_ABORT_HELPER},
	{"too deep", "f: call local f\nexit", FORT_ABORT_DEPTH},
	{"writing r10", "mov r10, 0\nexit", FORT_ABORT_INSN},
	{"a load from nowhere in what is called back",
	 LOOP("3", "c") "c: mov r1, 0\nldxb r0, [r1]\nexit", FORT_ABORT_MEMORY},
	{"the same in a walk",
	 "lddw r1, map_idx 1\n" CALL_BACK(164, "c") "exit\nc: ldxb r0, [r3+32767]\nstxb [r2], r0\n"
						    "ldxb r0, [r0]\nexit",
	 FORT_ABORT_MEMORY},
	{"out of fuel in what is called back", LOOP("100000", "c") "c: mov r0, 0\nexit",
	 FORT_ABORT_FUEL},
	{"no function, where the program has none",
	 "mov r1, 3\nmov r2, 2049\nmov r3, 0\nmov r4, 0\ncall 181\nexit", FORT_ABORT_HELPER_ARG},
	{"no function, though it has one",
	 "lddw r2, func c\nadd r2, 1\nmov r1, 3\nmov r3, 0\nmov r4, 0\ncall 181\nexit\n"
	 "c: mov r0, 0\nexit",
	 FORT_ABORT_HELPER_ARG},
	{"an address of the host for a function",
	 "mov r1, 3\nlddw r5, func c\nlddw r2, 0x7fffffffe000\nmov r3, 0\n"
	 "mov r4, 0\ncall 181\nexit\nc: mov r0, 0\nexit",
	 FORT_ABORT_HELPER_ARG},
	{"a walk of no map", "mov r1, 0\n" CALL_BACK(164, "c") "exit\nc: exit",
	 FORT_ABORT_HELPER_ARG},
	{"a walk of what has no elements",
	 "lddw r1, map_idx 3\n" CALL_BACK(164, "c") "exit\nc: exit", FORT_ABORT_HELPER_ARG},
	{"a packet load through no context", "mov r6, 8\nldabsb 0\nexit", FORT_ABORT_HELPER_ARG},
	{"the runtime's own function, asked for no element",
	 "lddw r1, map_idx 0\nmov r2, 0x7fffffff\ncall 249\nexit", FORT_ABORT_HELPER_ARG},
	{"the same, for turns nowhere", "mov r1, 64\ncall 250\nexit", FORT_ABORT_HELPER_ARG},
	{"the same, with a key nowhere",
	 "lddw r1, map_idx 1\nmov r2, 0\nmov r3, 64\ncall 248\nexit", FORT_ABORT_HELPER_ARG},
	{"holding too much", "l: lddw r1, map_idx 3\nmov r2, 8\nmov r3, 0\ncall 131\nja l",
	 FORT_ABORT_HELD},
	{"nothing: it forgets", "exit", FORT_ABORT_NONE},
	{"a reservation damaged by itself", "stxdw [r6-8], r6\nstdw [r6-8], -1\nexit",
	 FORT_ABORT_NONE},
};

static void write_source(struct fort_text *text, const char *end)
{
	fort_text_add(text,
		      "mov r7, %u\nr: lddw r1, map_idx %u\nmov r2, 16\nmov r3, 0\ncall 131\n"
		      "mov r6, r0\nstdw [r0], 5\nsub r7, 1\njne r7, 0, r\ncall local e\nexit\n"
		      "e: %s",
		      HELD, CAGE_RING, end);
}

static void hash_is_free(const char *what)
{
	uint8_t value[CAGE_VALUE_BYTES] = {0};
	uint64_t key = 7;
	int err = fort_map_update(cage.world.maps[CAGE_HASH], &key, value, 0);

	if (err)
		fail_msg("%s: the hash is locked: %d", what, err);
}

static void what_was_held_is_given_back(void **state)
{
	for (unsigned i = 0; i < FORT_LEN(ends); i++)
		for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
			char source[512];
			struct fort_text text = fort_text_on(source, sizeof(source));
			struct outcome outcome;
			struct caged caged;

			write_source(&text, ends[i].source);
			caged_assemble(&caged, source);
			outcome = cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI, false,
					   &caged, 10000);
			if (outcome.abort.code != ends[i].code)
				fail_msg("%s on %s: %s at %u", ends[i].what, cage_engines[e]->name,
					 fort_abort_name(outcome.abort.code), outcome.abort.pc);
			cage_ring_is_free(&cage, ends[i].what);
			hash_is_free(ends[i].what);
			caged_free(&caged);
		}
}

/* --- what a process has --- */

static void nothing_is_left(void **state)
{
	struct cage_counts before, after;

	what_was_held_is_given_back(state);
	before = cage_count();
	for (unsigned i = 0; i < 3; i++) {
		what_was_held_is_given_back(state);
		fuel_ends_them(state);
		the_watchdog_ends_them(state);
	}
	after = cage_count();
	assert_int_equal(after.descriptors, before.descriptors);
	assert_int_equal(after.threads, before.threads);
	/* A thread's stack may be kept by libc for the next one. */
	assert_in_range(after.mappings, 0, before.mappings + 2);
}

static int open_all(void **state)
{
	cage_open(&cage);
	return 0;
}

static int close_all(void **state)
{
	cage_close(&cage);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fuel_ends_them),
		cmocka_unit_test(the_watchdog_ends_them),
		cmocka_unit_test(counted_jumps_run_out),
		cmocka_unit_test(frames_are_counted),
		cmocka_unit_test(what_was_held_is_given_back),
		cmocka_unit_test(nothing_is_left),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
