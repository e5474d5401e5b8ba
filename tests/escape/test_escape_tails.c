/* Tail calls by programs that nothing was proven about: what they are given instead of a map, a
 * context or an index, what they hold when they call, calls without end, and callees that go wrong.
 * Both engines must say the same; the output checker reads all images.
 */
#include "cage.h"

#include <unistd.h>

#include "base/text.h"
#include "engine/tail.h"
#include "map/memfd.h"
#include "map/prog_array.h"

#define FUEL   100000u
#define FRAMES 4u /* that a callee may come to */
#define LEVELS 3u

static struct cage cage;

/* --- a second program, with a window of its own --- */

enum { NEXT_ARRAY, NEXT_PROGS, NEXT_RING, NEXT_MAPS };

static struct fort_map *next_maps[NEXT_MAPS];
static struct fort_domain next_domain;

/* One for each engine, in slot `slot` of the array. */
struct callee {
	struct caged caged;
	struct fort_code *code[FORT_LEN(cage_engines)];
	struct fort_tail tails[FORT_LEN(cage_engines)];
	uint64_t crashes;
};

static void open_callee(struct callee *callee, const char *source)
{
	struct fort_compile request;

	*callee = (struct callee){0};
	caged_assemble(&callee->caged, source);
	request = cage_compile(&cage, FORT_ISOLATION_SFI, false, &callee->caged);
	request.domain = &next_domain;
	for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
		assert_int_equal(cage_engines[e]->compile(&request, &callee->code[e]), 0);
		callee->tails[e] =
			(struct fort_tail){.engine = cage_engines[e],
					   .code = callee->code[e],
					   .domain = &next_domain,
					   .maps = next_maps,
					   .n_maps = NEXT_MAPS,
					   .ctx = fort_domain_ctx(&next_domain, 0),
					   .stack_top = fort_domain_stack_top(&next_domain, 0),
					   .id = 77,
					   .stack_bytes = FRAMES * FORT_STACK_BYTES,
					   .isolation = FORT_ISOLATION_SFI,
					   .crashes_max = 3,
					   .crashes = &callee->crashes};
	}
}

static void close_callee(struct callee *callee)
{
	for (unsigned e = 0; e < FORT_LEN(cage_engines); e++)
		cage_engines[e]->free(callee->code[e]);
	caged_free(&callee->caged);
}

/* A run of this, with callees in the first slots of the array, on both engines, which agree. */
static struct outcome run(const char *source, struct callee *const *callees, unsigned n)
{
	struct outcome outcomes[FORT_LEN(cage_engines)];
	struct caged caged;

	caged_assemble(&caged, source);
	for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
		for (uint32_t i = 0; i < CAGE_TAILS; i++)
			fort_prog_array_set(cage.world.maps[CAGE_PROGS], i,
					    i < n ? &callees[i]->tails[e] : NULL);
		cage.world.run.domain = &cage.world.domain;
		cage.world.run.maps = cage.world.maps;
		cage.world.run.n_maps = CAGE_MAPS;
		cage.world.run.ctx = fort_domain_ctx(&cage.world.domain, 0);
		outcomes[e] =
			cage_run(&cage, cage_engines[e], FORT_ISOLATION_SFI, false, &caged, FUEL);
		assert_null(cage.world.run.engine);
		cage_ring_is_free(&cage, source);
	}
	if (memcmp(&outcomes[0], &outcomes[1], sizeof(outcomes[0])))
		fail_msg("engines differ: %llu %s, %llu %s\n%s", (unsigned long long)outcomes[0].r0,
			 fort_abort_name(outcomes[0].abort.code),
			 (unsigned long long)outcomes[1].r0,
			 fort_abort_name(outcomes[1].abort.code), source);
	caged_free(&caged);
	return outcomes[0];
}

static struct outcome run_one(const char *source, const char *next)
{
	struct callee callee, *const callees[] = {&callee};
	struct outcome outcome;

	open_callee(&callee, next);
	outcome = run(source, callees, 1);
	close_callee(&callee);
	return outcome;
}

static bool ended_in_callee(void)
{
	return cage.world.run.tails.at && cage.world.run.tails.at->id == 77;
}

#define TAIL "lddw r2, map_idx 6\nmov r3, 0\ncall 12\n"
/* The same in a callee. */
#define ON "lddw r2, map_idx 1\nmov r3, 0\ncall 12\n"

/* --- what is given to it --- */

static void forged_maps(void **state)
{
	struct bad_address bad[BAD_ADDRESSES_MAX + CAGE_MAPS + 4];
	uint32_t n = bad_addresses(&cage, bad);

	for (uint32_t i = 0; i < CAGE_PROGS; i++)
		bad[n++] = (struct bad_address){"a map of another kind", fort_map_handle(i)};
	bad[n++] = (struct bad_address){"a map that there is not", fort_map_handle(CAGE_MAPS)};
	bad[n++] =
		(struct bad_address){"the table of programs",
				     (uint64_t)(uintptr_t)cage.world.maps[CAGE_PROGS]->progs.tails};
	bad[n++] =
		(struct bad_address){"the array", (uint64_t)(uintptr_t)cage.world.maps[CAGE_PROGS]};
	for (uint32_t i = 0; i < n; i++) {
		struct fort_text text = fort_text_new();
		struct outcome outcome;

		fort_text_add(&text, "lddw r2, 0x%llx\nmov r3, 0\ncall 12\nmov r0, 1\nexit",
			      (unsigned long long)bad[i].address);
		outcome = run_one(text.data, "mov r0, 5\nexit");
		if (outcome.abort.code != FORT_ABORT_HELPER_ARG || outcome.abort.detail != 2)
			fail_msg("%s: %s", bad[i].what, fort_abort_name(outcome.abort.code));
		fort_text_free(&text);
	}
}

static void another_context(void **state)
{
	static const char *const sources[] = {
		"mov r1, 0\n" TAIL "mov r0, 1\nexit",
		"add r1, 8\n" TAIL "mov r0, 1\nexit",
		"mov r1, r10\n" TAIL "mov r0, 1\nexit",
		"mov32 r1, r1\n" TAIL "mov r0, 1\nexit",
	};

	for (unsigned i = 0; i < FORT_LEN(sources); i++) {
		struct outcome outcome = run_one(sources[i], "mov r0, 5\nexit");

		assert_int_equal(outcome.abort.code, FORT_ABORT_HELPER_ARG);
		assert_int_equal(outcome.abort.detail, 1);
	}
}

static void indices(void **state)
{
	static const struct {
		uint64_t index, r0;
	} rows[] = {
		{0, 5},          {1, 1},          {CAGE_TAILS, 1},     {UINT64_MAX, 1},
		{1ull << 32, 5}, {1ull << 63, 5}, {INT32_MAX, 1},      {1u << 31, 1},
		{1ull << 61, 5}, {UINT32_MAX, 1}, {0x123400000000, 5}, {0x123400000003, 1},
	};

	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct fort_text text = fort_text_new();
		struct outcome outcome;

		fort_text_add(&text,
			      "lddw r3, 0x%llx\nlddw r2, map_idx 6\ncall 12\nmov r0, 1\nexit",
			      (unsigned long long)rows[i].index);
		outcome = run_one(text.data, "mov r0, 5\nexit");
		assert_int_equal(outcome.abort.code, FORT_ABORT_NONE);
		assert_int_equal(outcome.r0, rows[i].r0);
		fort_text_free(&text);
	}
}

/* --- what the callee finds --- */

static void registers(void **state)
{
	/* Nothing of the caller, nor of the host. */
	static const char sum[] = "mov r0, 0\nadd r0, r2\nadd r0, r3\nadd r0, r4\nadd r0, r5\n"
				  "add r0, r6\nadd r0, r7\nadd r0, r8\nadd r0, r9\nexit";
	static const char caller[] = "mov r6, 1\nmov r7, 2\nmov r8, 3\nmov r9, 4\nmov r4, 5\n"
				     "mov r5, 6\n" TAIL "mov r0, 0\nexit";

	assert_int_equal(run_one(caller, sum).r0, CAGE_CTX_BYTES); /* r2: the context's length */
}

/* The context is the same memory; its address is in the window of who runs. */
static void context(void **state)
{
	struct outcome outcome = run_one("stdw [r1+8], 1000\n" TAIL "mov r0, 0\nexit",
					 "ldxdw r0, [r1+8]\nstdw [r1+16], 3\nexit");

	assert_int_equal(outcome.r0, 1000);
	outcome = run_one(TAIL "mov r0, 0\nexit", "mov r0, r1\nexit");
	assert_int_equal(outcome.r0, fort_domain_ctx(&next_domain, 0));
}

/* Values of the caller's map, by their address in the caller's window: nothing is there. */
static void other_windows(void **state)
{
	struct fort_text text = fort_text_new();
	uint64_t hash =
		fort_domain_address(&cage.world.domain, cage.world.domain.map_start[CAGE_PERCPU]);
	struct outcome outcome;

	fort_text_add(&text, "lddw r1, 0x%llx\nstdw [r1+0], 1\nmov r0, 9\nexit",
		      (unsigned long long)hash);
	outcome = run_one(TAIL "mov r0, 0\nexit", text.data);
	assert_int_equal(outcome.abort.code, FORT_ABORT_MEMORY);
	assert_true(ended_in_callee());
	fort_text_free(&text);
}

/* --- without end --- */

static void cycles(void **state)
{
	struct callee a, b, *const callees[] = {&a, &b};
	struct outcome outcome;

	/* Each counts in the context what it is. */
	open_callee(&a, "ldxdw r6, [r1+8]\nadd r6, 1\nstxdw [r1+8], r6\nmov r7, r1\n"
			"lddw r2, map_idx 1\nmov r3, 1\ncall 12\nldxdw r0, [r7+8]\nexit");
	open_callee(&b, "ldxdw r6, [r1+8]\nadd r6, 1000\nstxdw [r1+8], r6\nmov r7, r1\n" ON
			"ldxdw r0, [r7+8]\nexit");
	outcome = run("stdw [r1+8], 0\n" TAIL "mov r0, 7\nexit", callees, 2);
	assert_int_equal(outcome.abort.code, FORT_ABORT_NONE);
	assert_int_equal(outcome.r0, 16 * 1000 + 17);
	assert_int_equal(cage.world.run.tails.n, FORT_TAIL_CALLS_MAX);
	close_callee(&a);
	close_callee(&b);
	/* From functions they go down, until there is no level. */
	outcome = run_one("call local f\nexit\nf: " TAIL "mov r0, 7\nexit",
			  "call local f\nexit\nf: " ON "mov r0, 8\nexit");
	assert_int_equal(outcome.abort.code, FORT_ABORT_DEPTH);
	assert_int_equal(cage.world.run.tails.n, LEVELS);
	/* And a loop that calls what never ends has no fuel. */
	outcome = run_one("l: mov r6, r1\n" TAIL "mov r1, r6\nja l", "l: ja l");
	assert_int_equal(outcome.abort.code, FORT_ABORT_FUEL);
	assert_true(ended_in_callee());
}

/* Fuel that the caller used is used. */
static void fuel(void **state)
{
	uint64_t left[2];

	for (unsigned i = 0; i < 2; i++) {
		struct fort_text text = fort_text_new();

		fort_text_add(&text, "mov r6, %u\nl: sub r6, 1\njne r6, 0, l\n" TAIL "exit",
			      10 + 100 * i);
		left[i] = run_one(text.data,
				  "mov r6, 50\nl: sub r6, 1\njne r6, 0, l\nmov r0, 0\nexit")
				  .fuel;
		fort_text_free(&text);
	}
	assert_int_equal(left[0], FUEL - 2 * 9 - 2 * 49);
	assert_int_equal(left[1], left[0] - 2 * 100);
}

/* A main program that calls itself is a function too, and is returned from. */
static void main_is_a_function(void **state)
{
	static const char caller[] = "m: jeq r2, 0, t\nmov r2, 0\nmov r6, 7\ncall local m\n"
				     "add r0, r6\nexit\nt: " TAIL "mov r0, 9\nexit";

	assert_int_equal(run_one(caller, "mov r6, 1\nmov r0, 5\nexit").r0, 12);
	assert_int_equal(run(caller, NULL, 0).r0, 16);
	/* What a function leaves in r1 to r5, its caller may look at: nothing of the host. */
	assert_int_equal(run_one("call local f\nmov r0, r1\nxor r0, r5\nexit\nf: " TAIL "exit",
				 "mov r0, 5\nexit")
				 .r0,
			 0);
}

#define AT "7696"
_Static_assert(FORT_HIDDEN_WORDS + 16 == 7696, "in the frame's hidden memory");

/* What frames have of stack and hidden memory stays as it is under whoever was called, and of that
 * nothing is seen. */
static void levels_are_apart(void **state)
{
	static const char source[] =
		"stxdw [r10+" AT "], r1\nmov r6, r1\nstdw [r10-8], 5\ncall local f\n"
		"mov r1, r6\ncall local f\nldxdw r1, [r10+" AT "]\nsub r1, r6\n"
		"add r0, r1\nldxdw r1, [r10-8]\nadd r0, r1\nexit\n"
		"f: stdw [r10+" AT "], 3\nstdw [r10-512], 4\n" TAIL "mov r0, 0\nexit";
	static const char next[] =
		"ldxdw r0, [r10-8]\nmov r6, -1\nstxdw [r10-8], r6\nstxdw [r10+" AT "], r6\n"
		"call local g\nexit\ng: ldxdw r1, [r10-512]\nadd r0, r1\nstxdw [r10-512], r6\n"
		"stxdw [r10+" AT "], r6\nexit";
	struct outcome outcome = run_one(source, next);

	/* The second time the callee finds what it left. */
	assert_int_equal(outcome.abort.code, FORT_ABORT_NONE);
	assert_int_equal(outcome.r0, (uint64_t)-2 + 5);
}

/* --- what goes wrong --- */

static void faults(void **state)
{
	static const struct {
		const char *source;
		enum fort_abort_code code;
		uint32_t pc;
	} rows[] = {
		{"mov r0, 0\nmov r1, 64\nldxdw r0, [r1+0]\nexit", FORT_ABORT_MEMORY, 2},
		{"mov r1, 64\nmov r2, 1\nlock add [r1+0], r2\nexit", FORT_ABORT_MEMORY, 2},
		{"mov r0, 0\nmov r0, 0\nmov r0, 0\nl: ja l", FORT_ABORT_FUEL, 3},
		{"mov r1, 0\nmov r2, 0\ncall 1\nexit", FORT_ABORT_HELPER_ARG, 2},
		{"mov r0, 0\ncall 999\nexit", FORT_ABORT_HELPER, 1},
		{"call local f\nexit\nf: call local f\nexit", FORT_ABORT_DEPTH, 2},
	};
	static const char *const callers[] = {
		"mov r6, 1\nmov r7, 1\nmov r8, 1\nmov r9, 1\n" TAIL "mov r0, 0\nexit",
		"mov r6, 1\nmov r7, 1\ncall local f\nmov r0, 0\nexit\nf: stdw [r10-8], 1\n" TAIL
		"mov r0, 0\nexit",
		"call local f\nmov r0, 0\nexit\nf: call local g\nexit\ng: mov r6, 1\n" TAIL
		"mov r0, 0\nexit",
	};

	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		for (unsigned j = 0; j < FORT_LEN(callers); j++) {
			struct outcome outcome = run_one(callers[j], rows[i].source);

			if (outcome.abort.code != rows[i].code || outcome.abort.pc != rows[i].pc ||
			    !ended_in_callee())
				fail_msg("caller %u, callee %u: %s at %u", j, i,
					 fort_abort_name(outcome.abort.code), outcome.abort.pc);
			assert_int_equal(outcome.r0, 0);
		}
}

/* A fault of the caller, once a callee has returned to it, is its own. */
static void faults_later(void **state)
{
	struct outcome outcome =
		run_one("call local f\nmov r1, 64\nldxdw r0, [r1+0]\nexit\nf: " TAIL "exit",
			"mov r0, 0\nexit");

	assert_int_equal(outcome.abort.code, FORT_ABORT_MEMORY);
	assert_int_equal(outcome.abort.pc, 2);
	assert_false(ended_in_callee());
}

static void barred(void **state)
{
	struct callee callee, *const callees[] = {&callee};

	open_callee(&callee, "mov r0, 5\nexit");
	callee.crashes = 2;
	assert_int_equal(run(TAIL "mov r0, 1\nexit", callees, 1).r0, 5);
	callee.crashes = 3;
	assert_int_equal(run(TAIL "mov r0, 1\nexit", callees, 1).r0, 1);
	close_callee(&callee);
}

/* --- what is held --- */

#define RESERVE "lddw r1, map_idx 3\nmov r2, 8\nmov r3, 0\ncall 131\n"

static void reservations(void **state)
{
	struct outcome outcome;

	/* The program that ends loses it: the next one cannot give it back, whatever it knows. */
	outcome = run_one("mov r6, r1\n" RESERVE "stxdw [r6+8], r0\nmov r1, r6\n" TAIL
			  "mov r0, 0\nexit",
			  "ldxdw r1, [r1+8]\nmov r2, 0\ncall 132\nmov r0, 0\nexit");
	assert_int_equal(outcome.abort.code, FORT_ABORT_HELPER_ARG);
	assert_true(ended_in_callee());
	/* What a frame holds that is returned to stays its own. */
	outcome = run_one("mov r6, r1\n" RESERVE "mov r7, r0\nstxdw [r6+8], r0\nmov r1, r6\n"
			  "call local f\nmov r1, r7\nmov r2, 0\ncall 132\nmov r0, 3\nexit\nf: " TAIL
			  "mov r0, 0\nexit",
			  "mov r0, 0\nexit");
	assert_int_equal(outcome.abort.code, FORT_ABORT_NONE);
	assert_int_equal(outcome.r0, 3);
	outcome = run_one("mov r6, r1\n" RESERVE "mov r7, r0\nstxdw [r6+8], r0\nmov r1, r6\n"
			  "call local f\nmov r0, 3\nexit\nf: " TAIL "mov r0, 0\nexit",
			  "ldxdw r1, [r1+8]\nmov r2, 0\ncall 132\nmov r0, 0\nexit");
	assert_int_equal(outcome.abort.code, FORT_ABORT_HELPER_ARG);
	/* The callee's own, forgotten in either place. */
	outcome = run_one("call local f\nmov r0, 3\nexit\nf: " TAIL "mov r0, 0\nexit",
			  "lddw r1, map_idx 2\nmov r2, 8\nmov r3, 0\ncall 131\nmov r0, 0\nexit");
	assert_int_equal(outcome.r0, 3);
}

/* --- setting up --- */

/* Both windows have slot 0 and the packet in common. */
static void share(void)
{
	struct fort_domain_layout layout = {
		.n_slots = 2, .n_levels = LEVELS, .ctx_bytes = 64, .packet_bytes = 4096};
	struct fort_domain_map windows[NEXT_MAPS] = {0};
	int fd;

	next_maps[NEXT_ARRAY] = cage.world.maps[CAGE_ARRAY];
	next_maps[NEXT_PROGS] = cage.world.maps[CAGE_PROGS];
	next_maps[NEXT_RING] = cage.world.maps[CAGE_RING];
	for (unsigned i = 0; i < NEXT_MAPS; i++) {
		struct fort_map_window part = fort_map_window_of(next_maps[i]);

		windows[i] = (struct fort_domain_map){.fd = next_maps[i]->values_fd,
						      .file_offset = part.file_offset,
						      .bytes = part.bytes,
						      .writable = part.writable};
	}
	assert_int_equal(fort_domain_open(&layout, windows, NEXT_MAPS, &next_domain), 0);
	assert_int_equal(fort_domain_shared_bytes(&next_domain),
			 fort_domain_shared_bytes(&cage.world.domain));
	assert_int_equal(
		fort_memfd_new("shared", fort_domain_shared_bytes(&next_domain), true, &fd), 0);
	assert_int_equal(fort_domain_share(&cage.world.domain, fd), 0);
	assert_int_equal(fort_domain_share(&next_domain, fd), 0);
	for (uint32_t i = 0; i < cage.n_own; i++)
		if (!strcmp(cage.own[i].what, "packet"))
			assert_int_equal(fort_domain_put_packet(&cage.world.domain, 0,
								cage.own[i].was,
								(uint32_t)cage.own[i].bytes),
					 0);
	close(fd);
	for (uint32_t i = 0; i < cage.n_host; i++) /* it knows that it is shared */
		if (!strcmp(cage.host[i].what, "the domain"))
			memcpy(cage.host[i].was, &cage.world.domain, sizeof(cage.world.domain));
}

static int open_all(void **state)
{
	cage_open_levels(&cage, LEVELS);
	share();
	return 0;
}

static int close_all(void **state)
{
	fort_domain_close(&next_domain);
	cage.world.run.domain = &cage.world.domain;
	cage_close(&cage);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forged_maps),
		cmocka_unit_test(another_context),
		cmocka_unit_test(indices),
		cmocka_unit_test(registers),
		cmocka_unit_test(context),
		cmocka_unit_test(other_windows),
		cmocka_unit_test(cycles),
		cmocka_unit_test(fuel),
		cmocka_unit_test(main_is_a_function),
		cmocka_unit_test(levels_are_apart),
		cmocka_unit_test(faults),
		cmocka_unit_test(faults_later),
		cmocka_unit_test(barred),
		cmocka_unit_test(reservations),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
