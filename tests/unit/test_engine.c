/* Runs, and what an engine owes by contract (the interpreter unless built for another): what
 * starts, what is charged, what aborts and what helpers see. What instructions compute is in
 * tests/isa/cases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "machine.h"

#define PAGE FORT_PAGE_BYTES

static const enum fort_isolation modes[] = {FORT_ISOLATION_NONE, FORT_ISOLATION_SFI_STORE,
					    FORT_ISOLATION_SFI};

/* Runs `source` once under an isolation; the caller frees. */
static uint64_t run_once(struct machine *m, const char *source, enum fort_isolation isolation)
{
	machine_load(m, source, NULL, 0);
	assert_int_equal(machine_compile(m, isolation), 0);
	return machine_run(m);
}

/* --- names --- */

static void everything_has_a_name(void **state)
{
	enum fort_isolation isolation;

	for (unsigned code = 0; code < FORT_ABORT_CODES; code++)
		assert_non_null(fort_abort_name(code));
	assert_string_equal(fort_abort_name(FORT_ABORT_CODES), "unknown");
	assert_ptr_equal(fort_engine_by_name("interp"), &fort_engine_interp);
	assert_ptr_equal(fort_engine_by_name("x64"), &fort_engine_x64);
	assert_ptr_equal(fort_engines[0], &fort_engine_interp);
	assert_null(fort_engine_by_name("inter"));
	assert_null(fort_engine_by_name(""));
	for (unsigned i = 0; i < FORT_ISOLATIONS; i++) {
		assert_int_equal(fort_isolation_by_name(fort_isolation_name(i), &isolation), 0);
		assert_int_equal(isolation, i);
	}
	assert_int_equal(fort_isolation_by_name("sf", &isolation), -EINVAL);
}

/* --- what a run holds --- */

static char released[16];

static void release(struct fort_run *run, struct fort_held *held)
{
	size_t length = strlen(released);

	assert_true(length + 1 < sizeof(released));
	released[length] = *(const char *)held->object;
}

static void held_things_are_released_newest_first(void **state)
{
	static char names[] = "abcde";
	struct fort_run run = {0};
	struct fort_held out;

	memset(released, 0, sizeof(released));
	for (unsigned i = 0; i < 5; i++)
		assert_true(fort_run_hold(&run, (struct fort_held){.release = release,
								   .object = &names[i],
								   .address = i / 2}));
	/* b and a share an address: the newer goes first. */
	assert_true(fort_run_unhold(&run, 0, &out));
	assert_int_equal(*(char *)out.object, 'b');
	assert_true(fort_run_unhold(&run, 0, &out));
	assert_int_equal(*(char *)out.object, 'a');
	assert_false(fort_run_unhold(&run, 0, &out));
	assert_true(fort_run_unhold(&run, 2, &out));
	assert_int_equal(run.n_held, 2);
	fort_run_release_all(&run);
	assert_string_equal(released, "dc");
	assert_int_equal(run.n_held, 0);
	assert_int_equal(run.abort.code, FORT_ABORT_NONE);
}

static void too_much_held_aborts(void **state)
{
	static char name[] = "x";
	struct fort_run run = {0};
	struct fort_held held = {.release = release, .object = name};

	for (unsigned i = 0; i < FORT_CLEANUPS_MAX; i++)
		assert_true(fort_run_hold(&run, held));
	assert_false(fort_run_hold(&run, held));
	assert_int_equal(run.abort.code, FORT_ABORT_HELD);
	assert_int_equal(run.n_held, FORT_CLEANUPS_MAX);
}

static void the_first_reason_stays(void **state)
{
	struct fort_run run = {0};

	fort_run_abort(&run, FORT_ABORT_HELPER_ARG, 3);
	fort_run_abort(&run, FORT_ABORT_MEMORY, 0);
	assert_int_equal(run.abort.code, FORT_ABORT_HELPER_ARG);
	assert_int_equal(run.abort.detail, 3);
}

/* --- compiling --- */

static void what_the_engine_lacks_is_refused(void **state)
{
	static const struct {
		const char *source;
		int err;
	} cases[] = {
		{"ldabsb 0\nexit", -EOPNOTSUPP},
		{"ldindw r1, 0\nexit", -EOPNOTSUPP},
		{"call kfunc 1\nexit", -EOPNOTSUPP},
		{"may_goto +0\nexit", -EOPNOTSUPP},
		{"callx r1\nexit", -EOPNOTSUPP},
		{"lddw r1, btf_var 1\nexit", -EOPNOTSUPP},
		{"lddw r1, func f\nexit\nf: exit", -EOPNOTSUPP},
		{"lddw r1, map_fd 0\nexit", -EINVAL},
		{"lddw r1, map_value 0, 0\nexit", -EINVAL},
		{"lddw r1, map_idx 0\nexit", -EINVAL},
		{"lddw r1, map_idx_value 0, 0\nexit", -EINVAL},
	};

	for (unsigned i = 0; i < FORT_LEN(cases); i++) {
		struct machine m;

		machine_load(&m, cases[i].source, NULL, 0);
		if (machine_compile(&m, FORT_ISOLATION_SFI) != cases[i].err)
			fail_msg("%s", cases[i].source);
		assert_int_equal(machine_compile(&m, FORT_ISOLATIONS), -EOPNOTSUPP);
		machine_free(&m);
	}
}

/* Without a proof only what confines all accesses is allowed, or nothing. */
static void isolations_may_need_a_proof(void **state)
{
	struct machine m;

	machine_load(&m, "mov r0, 5\nexit", NULL, 0);
	m.unproven = true;
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_NONE), -EPERM);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI_STORE), -EPERM);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	assert_int_equal(machine_run(&m), 5);
	machine_free(&m);
}

/* Under sfi-store loads go where they say, and stores to the window. */
static void stores_alone_are_confined(void **state)
{
	static uint64_t host[2] = {0x1122334455667788, 0};
	static const char *const stores[] = {
		"stdw [r1+8], 7",
		"stxdw [r1+8], r2",
		"lock add [r1+8], r2",
		"store_release [r1+8], r2",
	};

	for (unsigned i = 0; i < FORT_LEN(stores); i++) {
		char source[128];
		struct fort_text text = fort_text_on(source, sizeof(source));
		struct machine m;
		uint64_t top;

		fort_text_add(&text, "ldxdw r0, [r1]\nmov r2, 1\nstxdw [r10-8], r0\n%s\nexit",
			      stores[i]);
		machine_load(&m, source, NULL, 0);
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI_STORE), 0);
		m.run.ctx = (uint64_t)(uintptr_t)host;
		machine_run(&m);
		top = fort_domain_stack_top(&m.domain, 0);
		assert_int_equal(((uint64_t *)fort_window_at(&m.domain.window, top))[-1], host[0]);
		assert_int_equal(host[1], 0);
		assert_int_equal(m.run.abort.code, FORT_ABORT_MEMORY);
		assert_int_equal(m.run.abort.pc, 3);
		assert_int_equal(m.run.abort.address, (uint32_t)(uintptr_t)&host[1]);
		machine_free(&m);
	}
}

static void maps_are_handles_and_window_addresses(void **state)
{
	int fd = memfd_create("values", MFD_ALLOW_SEALING);
	const struct fort_domain_map maps[] = {{.fd = -1, .bytes = 0},
					       {.fd = fd, .bytes = PAGE, .writable = true}};
	struct machine m;

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	machine_load(&m, "lddw r0, map_idx 1\nexit", maps, 2);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	assert_int_equal(machine_run(&m), fort_map_handle(1));
	machine_free(&m);

	machine_load(&m, "lddw r1, map_idx_value 1, 16\nstdw [r1], 77\nmov r0, r1\nexit", maps, 2);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_NONE), 0);
	assert_int_equal(machine_run(&m),
			 fort_domain_address(&m.domain, m.domain.map_start[1] + 16));
	assert_int_equal(m.domain.window.base[m.domain.map_start[1] + 16], 77);
	machine_free(&m);

	machine_load(&m, "lddw r0, map_idx 2\nexit", maps, 2);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), -EINVAL);
	machine_free(&m);
	/* A map of which nothing is in the window has no values to point to. */
	machine_load(&m, "lddw r0, map_idx_value 0, 0\nexit", maps, 2);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), -EINVAL);
	machine_free(&m);
	close(fd);
}

/* --- start, fuel, frames --- */

static void registers_start_as_said(void **state)
{
	for (unsigned reg = 0; reg < FORT_REGS; reg++)
		for (unsigned i = 0; i < FORT_LEN(modes); i++) {
			char source[32];
			struct machine m;
			uint64_t wanted = 0;
			struct fort_text text = fort_text_on(source, sizeof(source));

			fort_text_add(&text, "mov r0, r%u\nexit", reg);
			machine_load(&m, source, NULL, 0);
			assert_int_equal(machine_compile(&m, modes[i]), 0);
			m.run.ctx_length = 33;
			if (reg == FORT_R1)
				wanted = m.run.ctx;
			if (reg == FORT_R2)
				wanted = 33;
			if (reg == FORT_R10)
				wanted = fort_domain_stack_top(&m.domain, 0);
			assert_int_equal(machine_run(&m), wanted);
			assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
			assert_int_equal(m.run.fuel, MACHINE_FUEL);
			machine_free(&m);
		}
}

/* Each program once with exactly the fuel it costs, and once with one less. */
static void fuel_is_charged_as_said(void **state)
{
	static const struct {
		const char *source;
		uint64_t cost;
		uint32_t last_pc; /* where the last of the fuel goes: a loop's head, a call */
	} cases[] = {
		/* 5 jumps back over two slots. */
		{"mov r1, 6\nagain: add r1, -1\njne r1, 0, again\nexit", 5 * 2, 1},
		{"mov r1, 6\nagain: add r1, -1\njeq32 r1, 0, +1\nja again\nexit", 5 * 3, 1},
		{"mov r1, 6\nagain: add r1, -1\njeq32 r1, 0, +1\nja32 again\nexit", 5 * 3, 1},
		/* Forward jumps and 64-bit immediates cost nothing by themselves. */
		{"ja +0\nja32 +0\nlddw r1, 1\nexit", 0, 0},
		/* A 64-bit immediate is two slots of the loop. */
		{"mov r2, 3\nagain: lddw r1, 1\nsub r2, r1\njgt r2, 0, again\nexit", 2 * 4, 1},
		/* The callee's slots at each call. */
		{"call local f\ncall local f\nexit\nf: mov r0, 0\nlddw r1, 1\nexit", 2 * 4, 1},
		{"call local f\nexit\nf: call local g\nexit\ng: exit", 2 + 1, 2},
	};

	for (unsigned i = 0; i < FORT_LEN(cases); i++)
		for (unsigned j = 0; j < FORT_LEN(modes); j++) {
			struct machine m;

			machine_load(&m, cases[i].source, NULL, 0);
			assert_int_equal(machine_compile(&m, modes[j]), 0);
			m.run.fuel = cases[i].cost;
			machine_run(&m);
			assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
			assert_int_equal(m.run.fuel, 0);
			if (cases[i].cost) {
				m.run.fuel = cases[i].cost - 1;
				machine_run(&m);
				assert_int_equal(m.run.abort.code, FORT_ABORT_FUEL);
				assert_int_equal(m.run.abort.pc, cases[i].last_pc);
				assert_true(m.run.fuel < cases[i].cost);
			}
			machine_free(&m);
		}
}

static void a_jump_to_itself_ends(void **state)
{
	struct machine m;

	run_once(&m, "jeq r3, 0, -1\nexit", FORT_ISOLATION_SFI);
	assert_int_equal(m.run.abort.code, FORT_ABORT_FUEL);
	assert_int_equal(m.run.fuel, 0);
	machine_free(&m);
}

static void recursion_ends_at_the_last_frame(void **state)
{
	struct machine m;

	run_once(&m, "f: add r9, 1\nmov r0, r9\nstxdw [r10-512], r9\ncall local f\nexit",
		 FORT_ISOLATION_SFI);
	assert_int_equal(m.run.abort.code, FORT_ABORT_DEPTH);
	assert_int_equal(m.run.abort.pc, 3);
	/* The main program and seven callees paid and wrote; the eighth call did not happen. */
	assert_int_equal(m.run.fuel, MACHINE_FUEL - (FORT_FRAMES_MAX - 1) * 5);
	machine_free(&m);
}

static void depth_comes_before_fuel(void **state)
{
	struct machine m;

	machine_load(&m, "f: call local f\nexit", NULL, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	m.run.fuel = (FORT_FRAMES_MAX - 1) * 2;
	machine_run(&m);
	assert_int_equal(m.run.abort.code, FORT_ABORT_DEPTH);
	assert_int_equal(m.run.fuel, 0);
	machine_free(&m);
}

static void each_frame_has_its_stack(void **state)
{
	struct machine m;
	uint64_t top;

	run_once(&m,
		 "stdw [r10-8], 1\ncall local f\nmov r0, r10\nexit\n"
		 "f: stdw [r10-8], 2\ncall local g\nexit\n"
		 "g: stdw [r10-512], 3\nexit",
		 FORT_ISOLATION_SFI);
	top = fort_domain_stack_top(&m.domain, 0);
	assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
	assert_int_equal(*(uint64_t *)(uintptr_t)(top - 8), 1);
	assert_int_equal(*(uint64_t *)(uintptr_t)(top - FORT_STACK_BYTES - 8), 2);
	assert_int_equal(*(uint64_t *)(uintptr_t)(top - 3 * FORT_STACK_BYTES), 3);
	machine_free(&m);
}

/* --- helpers --- */

static uint64_t seen[5];

static uint64_t note_arguments(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			       struct fort_run *run)
{
	seen[0] = a1, seen[1] = a2, seen[2] = a3, seen[3] = a4, seen[4] = a5;
	return 0x1234567890abcdef;
}

static uint64_t burn_fuel(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			  struct fort_run *run)
{
	seen[0] = run->fuel;
	run->fuel -= a1;
	return 0;
}

static uint64_t refuse(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		       struct fort_run *run)
{
	fort_run_abort(run, FORT_ABORT_HELPER_ARG, 2);
	return 99;
}

static fort_helper_fn *test_helper(uint32_t number)
{
	switch (number) {
	case 1: return note_arguments;
	case 2: return burn_fuel;
	case 3: return refuse;
	default: return NULL;
	}
}

static void run_with_helpers(struct machine *m, const char *source, bool callx)
{
	machine_load(m, source, NULL, 0);
	m->helper = test_helper;
	m->callx = callx;
	assert_int_equal(machine_compile(m, FORT_ISOLATION_SFI), 0);
}

static void helpers_get_five_words_and_leave_poison(void **state)
{
	for (unsigned reg = 1; reg <= 5; reg++) {
		char source[200];
		struct fort_text text = fort_text_on(source, sizeof(source));
		struct machine m;

		fort_text_add(&text,
			      "lddw r1, 0x1111111111111111\nmov r2, 2\nmov r3, -3\nmov r4, 4\n"
			      "mov r5, 5\nmov r6, 6\ncall 1\njne r6, 6, +1\nmov r0, r%u\nexit",
			      reg);
		run_with_helpers(&m, source, false);
		assert_int_equal(machine_run(&m), FORT_POISON);
		assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
		assert_int_equal(seen[0], 0x1111111111111111);
		assert_int_equal(seen[1], 2);
		assert_int_equal(seen[2], UINT64_MAX - 2);
		assert_int_equal(seen[3], 4);
		assert_int_equal(seen[4], 5);
		machine_free(&m);
	}
}

static void poison_never_points_to_memory(void **state)
{
	struct machine m;

	run_with_helpers(&m, "call 1\nldxb r0, [r1+32767]\nexit", false);
	machine_run(&m);
	assert_int_equal(m.run.abort.code, FORT_ABORT_MEMORY);
	machine_free(&m);
}

static void helpers_share_the_fuel(void **state)
{
	struct machine m;

	run_with_helpers(&m, "mov r1, 100\nadd r1, -50\njgt r1, 0, -2\nmov r1, 500\ncall 2\nexit",
			 false);
	machine_run(&m);
	assert_int_equal(seen[0], MACHINE_FUEL - 2);
	assert_int_equal(m.run.fuel, MACHINE_FUEL - 502);
	machine_free(&m);
}

static void a_helper_can_end_the_run(void **state)
{
	struct machine m;

	run_with_helpers(&m, "stb [r10-1], 1\ncall 3\nstb [r10-1], 2\nexit", false);
	machine_run(&m);
	assert_int_equal(m.run.abort.code, FORT_ABORT_HELPER_ARG);
	assert_int_equal(m.run.abort.detail, 2);
	assert_int_equal(m.run.abort.pc, 1);
	assert_int_equal(*(uint8_t *)(uintptr_t)(fort_domain_stack_top(&m.domain, 0) - 1), 1);
	machine_free(&m);
}

/* In dead code, say, if it was not so dead. */
static void writing_r10_ends_the_run(void **state)
{
	static const char *const sources[] = {
		"mov r10, 0\nexit\n",
		"mov32 r10, r1\nexit\n",
		"add r10, -8\nexit\n",
		"neg r10\nexit\n",
		"be16 r10\nexit\n",
		"ldxdw r10, [r1+0]\nexit\n",
		"lddw r10, 0x123456789\nexit\n",
		"lock fetch_add [r1+0], r10\nexit\n",
	};

	for (unsigned i = 0; i < FORT_LEN(sources); i++)
		for (unsigned j = 0; j < FORT_LEN(modes); j++) {
			struct machine m;

			run_once(&m, sources[i], modes[j]);
			assert_int_equal(m.run.abort.code, FORT_ABORT_INSN);
			assert_int_equal(m.run.abort.pc, 0);
			machine_free(&m);
		}
}

static void a_missing_helper_aborts_at_its_call(void **state)
{
	struct machine m;

	run_with_helpers(&m, "mov r0, 1\njeq r0, 2, +1\nexit\ncall -5\nexit", false);
	assert_int_equal(machine_run(&m), 1); /* not called: nothing happens */
	assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
	machine_free(&m);
	run_with_helpers(&m, "mov r0, 7\ncall 77\nexit", false);
	machine_run(&m);
	assert_int_equal(m.run.abort.code, FORT_ABORT_HELPER);
	assert_int_equal(m.run.abort.detail, 77);
	assert_int_equal(m.run.abort.pc, 1);
	machine_free(&m);
}

static void calls_by_register_name_helpers(void **state)
{
	struct machine m;

	run_with_helpers(&m, "mov r1, 10\nmov r7, 1\ncallx r7\nexit", true);
	assert_int_equal(machine_run(&m), 0x1234567890abcdef);
	assert_int_equal(seen[0], 10);
	machine_free(&m);
	/* The whole register counts, and what it names must exist. */
	run_with_helpers(&m, "lddw r7, 0x100000001\ncallx r7\nexit", true);
	machine_run(&m);
	assert_int_equal(m.run.abort.code, FORT_ABORT_HELPER);
	machine_free(&m);
	run_with_helpers(&m, "mov r7, 4\ncallx r7\nexit", true);
	machine_run(&m);
	assert_int_equal(m.run.abort.code, FORT_ABORT_HELPER);
	assert_int_equal(m.run.abort.detail, 4);
	machine_free(&m);
}

/* --- memory --- */

/* Each memory row of isa.def as one instruction on [r6 + off]. */
static void put_access(struct fort_text *text, const struct fort_row_info *info, int off)
{
	bool load = info->kind == FORT_LDX || info->kind == FORT_LDACQ;

	if (load)
		fort_text_add(text, "%s r5, [r6%+d]\n", info->name, off);
	else if (info->kind == FORT_ST)
		fort_text_add(text, "%s [r6%+d], -1\n", info->name, off);
	else
		fort_text_add(text, "%s [r6%+d], r5\n", info->name, off);
}

static bool is_memory(enum fort_kind kind)
{
	return kind == FORT_LDX || kind == FORT_ST || kind == FORT_STX || kind == FORT_ATOMIC ||
	       kind == FORT_LDACQ || kind == FORT_STREL;
}

/* Runs one access with r6 = `address`; true if it went through. */
static bool access_ends(unsigned row, uint64_t address, int off, struct fort_abort *abort)
{
	char source[200];
	struct fort_text text = fort_text_on(source, sizeof(source));
	struct machine m;

	fort_text_add(&text, "lddw r6, 0x%llx\nmov r5, -1\n", (unsigned long long)address);
	put_access(&text, &fort_rows[row], off);
	fort_text_add(&text, "mov r0, 1\nexit");
	run_once(&m, source, FORT_ISOLATION_SFI);
	*abort = m.run.abort;
	machine_free(&m);
	return !abort->code;
}

#define EACH_MEMORY_ROW(row)                           \
	for (unsigned row = 0; row < FORT_ROWS; row++) \
		if (is_memory(fort_rows[row].kind))

/* The stack of slot 0 starts where the window does; its page ends 4 KiB later. */
#define STACK_START FORT_WINDOW_LOW
#define STACK_END   (FORT_WINDOW_LOW + FORT_FRAMES_MAX * FORT_STACK_BYTES)

static void every_memory_row_is_confined(void **state)
{
	unsigned rows = 0;

	EACH_MEMORY_ROW(row)
	{
		uint32_t bytes = fort_rows[row].bits / 8;
		const struct {
			uint64_t address;
			int off;
			bool inside;
		} cases[] = {
			{STACK_START, 0, true},
			{STACK_END - bytes, 0, true},
			{STACK_END, -(int)bytes, true},
			{0xabcdef0100000000 | STACK_START, 0, true},
			{STACK_START - 8, 8, true},
			{0xffffffffffffff00, 0x100 + 0, false},
			{0, 0, false},
			{8, -8, false},
			{0, -8, false},
			{STACK_START - 1, 0, false},
			{STACK_START, -1, false},
			{STACK_END, 0, false},
			{STACK_END - bytes + 1, 0, bytes == 1},
			{STACK_END - 1, 32767, false},
			{0xfffffff8, 0, false},
			{0xffffffff, 0, false},
			{0xffffffff, 1, false},
			{UINT64_MAX, 0, false},
			{0x7fffffffffff, 0, false},
		};

		for (unsigned i = 0; i < FORT_LEN(cases); i++) {
			struct fort_abort abort;
			bool inside = access_ends(row, cases[i].address, cases[i].off, &abort);
			uint64_t place = cases[i].address + (uint64_t)cases[i].off;

			if (cases[i].address == STACK_END - bytes + 1 && bytes == 1)
				continue; /* that is STACK_END for a byte */
			if (inside != cases[i].inside)
				fail_msg("%s, case %u", fort_rows[row].name, i);
			if (inside)
				continue;
			assert_int_equal(abort.code, FORT_ABORT_MEMORY);
			assert_int_equal(abort.pc, 3);
			assert_int_equal(abort.bytes, bytes);
			assert_int_equal(abort.address, (uint32_t)place);
		}
		rows++;
	}
	assert_true(rows >= 40);
}

/* The context of slot 0 is followed by a guard page: a store across the border writes nothing. */
static void an_aborted_store_changes_nothing(void **state)
{
	EACH_MEMORY_ROW(row)
	{
		uint32_t bytes = fort_rows[row].bits / 8;
		char source[200];
		struct fort_text text = fort_text_on(source, sizeof(source));
		struct machine m;
		uint64_t last;

		if (bytes == 1)
			continue;
		fort_text_add(&text, "mov r6, r10\nmov r5, -1\nmov r0, 0\n");
		put_access(&text, &fort_rows[row], -1);
		fort_text_add(&text, "exit");
		run_once(&m, source, FORT_ISOLATION_SFI);
		assert_int_equal(m.run.abort.code, FORT_ABORT_MEMORY);
		last = fort_domain_stack_top(&m.domain, 0) - 1;
		assert_int_equal(*(uint8_t *)(uintptr_t)last, 0);
		machine_free(&m);
	}
}

/* The packet of these machines may be read, not written. */
static void rights_are_looked_at(void **state)
{
	EACH_MEMORY_ROW(row)
	{
		bool load = fort_rows[row].kind == FORT_LDX || fort_rows[row].kind == FORT_LDACQ;
		struct machine m;
		struct fort_abort abort;
		uint32_t packet;

		run_once(&m, "exit", FORT_ISOLATION_SFI);
		packet = m.domain.packet_start; /* the layout is the same each time */
		machine_free(&m);
		if (access_ends(row, packet, 0, &abort) != load)
			fail_msg("%s", fort_rows[row].name);
		if (!load)
			assert_int_equal(abort.address, packet);
	}
}

/* Split accesses within a cache line: what the processor does is accepted, atomics included. */
static void misaligned_accesses_work(void **state)
{
	EACH_MEMORY_ROW(row)
	{
		struct fort_abort abort;

		assert_true(access_ends(row, STACK_START + 65, 0, &abort));
	}
}

/* --- checked runs --- */

struct trace {
	uint32_t pcs[16], frames[16], n, stop_at;
	uint64_t r0[16];
};

static bool look(void *context, uint32_t pc, uint32_t frame, const uint64_t regs[FORT_REGS])
{
	struct trace *trace = context;

	assert_true(trace->n < FORT_LEN(trace->pcs));
	trace->pcs[trace->n] = pc;
	trace->frames[trace->n] = frame;
	trace->r0[trace->n++] = regs[FORT_R0];
	return pc != trace->stop_at;
}

static void observers_see_each_instruction_before_it_runs(void **state)
{
	static const uint32_t pcs[] = {0, 2, 3, 6, 7, 4, 5};
	static const uint32_t frames[] = {0, 0, 0, 1, 1, 0, 0};
	static const uint64_t r0[] = {0, 5, 5, 5, 6, 6, 12};
	static const char source[] = "lddw r0, 5\nja +0\ncall local f\nadd r0, r0\nexit\n"
				     "f: add r0, 1\nexit";

	for (unsigned i = 0; i < FORT_LEN(modes); i++) {
		struct trace trace = {.stop_at = UINT32_MAX};
		struct fort_observer observer = {look, &trace};
		struct machine m;

		machine_load(&m, source, NULL, 0);
		m.engine = &fort_engine_interp; /* the only one that can be looked at */
		assert_int_equal(machine_compile(&m, modes[i]), 0);
		assert_int_equal(fort_interp_run_observed(m.code, &m.run, &observer), 12);
		assert_int_equal(m.run.abort.code, FORT_ABORT_NONE);
		assert_int_equal(trace.n, FORT_LEN(pcs));
		assert_memory_equal(trace.pcs, pcs, sizeof(pcs));
		assert_memory_equal(trace.frames, frames, sizeof(frames));
		assert_memory_equal(trace.r0, r0, sizeof(r0));

		trace = (struct trace){.stop_at = 6};
		m.run.fuel = MACHINE_FUEL;
		assert_int_equal(fort_interp_run_observed(m.code, &m.run, &observer), 0);
		assert_int_equal(m.run.abort.code, FORT_ABORT_STATE);
		assert_int_equal(m.run.abort.pc, 6);
		machine_free(&m);
	}
}

/* A sum that is made where it is needed reads its operands there: what a division between loses is
 * not one of them. */
static void a_sum_outlives_a_division(void **state)
{
	const uint64_t words[] = {5, 1000, 77, 7};
	struct machine m;

	(void)state;
	machine_load(&m,
		     "ldxdw r3, [r1+0]\nldxdw r0, [r1+8]\nldxdw r4, [r1+16]\nldxdw r2, [r1+24]\n"
		     "add r0, r3\nsdiv32 r4, r2\nmov r1, r0\nadd r1, -1\nsub32 r1, r4\n"
		     "mov32 r0, r1\nexit",
		     NULL, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	memcpy(fort_window_at(&m.domain.window, m.run.ctx), words, sizeof(words));
	assert_int_equal(machine_run(&m), 1000 + 5 - 1 - 77 / 7);
	machine_free(&m);
}

/* So far above the frame that the end of the access overflows 32 bits. */
static void what_is_far_above_is_not_in_the_frame(void **state)
{
	static const char *const accesses[] = {"stxb [r1+0], r2", "stxdw [r1+0], r2",
					       "lock xchg32 [r1+0], r2", "ldxw r2, [r1+0]"};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(accesses); i++) {
		char source[96];
		struct fort_text text = fort_text_on(source, sizeof(source));
		struct machine m;

		fort_text_add(&text, "mov r2, 1\nmov r1, r10\nadd r1, 0x7fffffff\n%s\nexit",
			      accesses[i]);
		machine_load(&m, source, NULL, 0);
		m.unproven = true;
		assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
		machine_run(&m);
		assert_int_equal(m.run.abort.code, FORT_ABORT_MEMORY);
		machine_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_has_a_name),
		cmocka_unit_test(held_things_are_released_newest_first),
		cmocka_unit_test(too_much_held_aborts),
		cmocka_unit_test(the_first_reason_stays),
		cmocka_unit_test(what_the_engine_lacks_is_refused),
		cmocka_unit_test(isolations_may_need_a_proof),
		cmocka_unit_test(stores_alone_are_confined),
		cmocka_unit_test(maps_are_handles_and_window_addresses),
		cmocka_unit_test(registers_start_as_said),
		cmocka_unit_test(fuel_is_charged_as_said),
		cmocka_unit_test(a_jump_to_itself_ends),
		cmocka_unit_test(recursion_ends_at_the_last_frame),
		cmocka_unit_test(depth_comes_before_fuel),
		cmocka_unit_test(each_frame_has_its_stack),
		cmocka_unit_test(helpers_get_five_words_and_leave_poison),
		cmocka_unit_test(poison_never_points_to_memory),
		cmocka_unit_test(helpers_share_the_fuel),
		cmocka_unit_test(a_helper_can_end_the_run),
		cmocka_unit_test(writing_r10_ends_the_run),
		cmocka_unit_test(a_missing_helper_aborts_at_its_call),
		cmocka_unit_test(calls_by_register_name_helpers),
		cmocka_unit_test(every_memory_row_is_confined),
		cmocka_unit_test(an_aborted_store_changes_nothing),
		cmocka_unit_test(rights_are_looked_at),
		cmocka_unit_test(misaligned_accesses_work),
		cmocka_unit_test(a_sum_outlives_a_division),
		cmocka_unit_test(what_is_far_above_is_not_in_the_frame),
		cmocka_unit_test(observers_see_each_instruction_before_it_runs),
	};

	if (machine_must_skip())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
