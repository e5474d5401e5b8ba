/* Helpers called by programs with hostile arguments, on both engines: every pointer, size, map and
 * reservation of every row of helpers.def, one of them wrong at a time. The run ends there, says
 * which it was, and nothing has changed. And helpers that do not exist, by every number.
 */
#include "cage.h"

#include "abi/helpers.h"

static struct cage cage;
static uint32_t n_refused;

/* --- the program: r1 to r5 from the context, or from a reservation it makes --- */

#define CALL_RESERVE 131

struct caller {
	const struct fort_helper_info *info;
	struct caged caged;
	struct fort_code *code[FORT_LEN(cage_engines)];
	uint32_t pc; /* of the call */
};

/* Without the call, it is what a refused call must be like. */
static uint32_t write_program(const struct fort_helper_info *info, bool calls, int reserved_arg,
			      struct fort_insn *out)
{
	uint32_t n = 0;

	out[n++] = fort_insn_make(FORT_ROW_MOV64_X, FORT_R6, FORT_R1, 0, 0);
	out[n++] = fort_insn_make(FORT_ROW_LDIMM_MAP_IDX, FORT_R1, 0, 0, CAGE_RING);
	out[n++] = fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0);
	out[n++] = fort_insn_make(FORT_ROW_MOV64_K, FORT_R2, 0, 0, 16);
	out[n++] = fort_insn_make(FORT_ROW_MOV64_K, FORT_R3, 0, 0, 0);
	out[n++] = fort_insn_make(FORT_ROW_CALL, 0, 0, 0, CALL_RESERVE);
	out[n++] = fort_insn_make(FORT_ROW_MOV64_X, FORT_R7, FORT_R0, 0, 0);
	for (int i = 0; i < FORT_HELPER_ARGS; i++)
		out[n++] = i == reserved_arg
				   ? fort_insn_make(FORT_ROW_MOV64_X, (uint8_t)(FORT_R1 + i),
						    FORT_R7, 0, 0)
				   : fort_insn_make(FORT_ROW_LDX64, (uint8_t)(FORT_R1 + i), FORT_R6,
						    (int16_t)(8 * i), 0);
	if (calls)
		out[n++] = fort_insn_make(FORT_ROW_CALL, 0, 0, 0, info->number);
	out[n++] = fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0);
	return n;
}

static void open_caller(struct caller *caller, const struct fort_helper_info *info, bool calls,
			int reserved_arg)
{
	struct fort_insn insns[32];
	uint32_t n = write_program(info, calls, reserved_arg, insns);
	struct fort_compile request;

	caller->info = info;
	caller->pc = n - 2;
	assert_true(caged_build(&caller->caged, insns, n));
	request = cage_compile(&cage, FORT_ISOLATION_SFI, false, &caller->caged);
	for (unsigned i = 0; i < FORT_LEN(cage_engines); i++)
		assert_int_equal(cage_engines[i]->compile(&request, &caller->code[i]), 0);
}

static void close_caller(struct caller *caller)
{
	for (unsigned i = 0; i < FORT_LEN(cage_engines); i++)
		cage_engines[i]->free(caller->code[i]);
	caged_free(&caller->caged);
}

static struct outcome run(const struct caller *caller, unsigned engine, const uint64_t args[5])
{
	memcpy(cage_ctx(&cage), args, 5 * sizeof(args[0]));
	return cage_run_code(&cage, cage_engines[engine], caller->code[engine], 1000);
}

/* --- arguments --- */

static uint32_t map_for(const struct fort_helper_info *info)
{
	if (info->map_classes & FORT_CLASS_RING)
		return CAGE_RING;
	if (info->map_classes & FORT_CLASS_PROGS)
		return CAGE_PROGS;
	return info->map_classes & FORT_CLASS_PERCPU && !(info->map_classes & FORT_CLASS_KEYED)
		       ? CAGE_PERCPU
		       : CAGE_ARRAY;
}

static void good_args(const struct fort_helper_info *info, uint64_t args[5])
{
	const struct world *w = &cage.world;

	for (unsigned i = 0; i < FORT_HELPER_ARGS; i++)
		switch ((enum fort_arg)info->args[i]) {
		case FORT_ARG_MAP: args[i] = fort_map_handle(map_for(info)); break;
		case FORT_ARG_KEY:
		case FORT_ARG_VALUE:
		case FORT_ARG_MEM:
		case FORT_ARG_MEM_OUT: args[i] = stack_address(w, 256); break;
		case FORT_ARG_SIZE:
		case FORT_ARG_SIZE_OR_ZERO:
		case FORT_ARG_CONST_SIZE: args[i] = 16; break;
		case FORT_ARG_CTX: args[i] = w->run.ctx; break;
		default: args[i] = 0;
		}
}

/* How many bytes the helper takes there. */
static uint64_t size_of(const struct fort_helper_info *info, const uint64_t args[5], unsigned arg)
{
	const struct fort_map *map =
		info->args[0] == FORT_ARG_MAP ? cage.world.maps[map_for(info)] : NULL;

	switch ((enum fort_arg)info->args[arg]) {
	case FORT_ARG_KEY: return map->shape.key_bytes;
	case FORT_ARG_VALUE: return map->shape.value_bytes;
	default: return args[arg + 1];
	}
}

/* Those that call back are expanded (test_escape_runaway.c has them). */
static bool is_called(const struct fort_helper_info *info)
{
	return info->runs && !(info->flags & FORT_HELPER_CALLS);
}

/* --- one call --- */

struct abuse {
	const struct fort_helper_info *info;
	struct caller caller, idle;
	uint64_t args[5];
};

static void must_refuse(struct abuse *abuse, unsigned arg, uint64_t bad, unsigned position,
			const char *what)
{
	uint64_t args[5];

	memcpy(args, abuse->args, sizeof(args));
	args[arg] = bad;
	for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
		struct outcome idle = run(&abuse->idle, e, args);
		struct outcome got = run(&abuse->caller, e, args);

		n_refused++;
		if (got.abort.code != FORT_ABORT_HELPER_ARG || got.abort.detail != position ||
		    got.abort.pc != abuse->caller.pc || got.memory != idle.memory)
			fail_msg("%s on %s, argument %u: %s: %s %u at %u%s",
				 fort_helper_kernel_name(abuse->info->number),
				 cage_engines[e]->name, arg + 1, what,
				 fort_abort_name(got.abort.code), got.abort.detail, got.abort.pc,
				 got.memory != idle.memory ? ", and memory has changed" : "");
	}
}

static void bad_pointers(struct abuse *abuse, unsigned arg)
{
	struct bad_address bad[BAD_ADDRESSES_MAX];
	uint32_t n = bad_addresses(&cage, bad);
	enum fort_rights right =
		abuse->info->args[arg] == FORT_ARG_MEM_OUT ? FORT_WRITE : FORT_READ;

	for (uint32_t i = 0; i < n; i++)
		if (!fort_window_allows(&cage.world.domain.window, bad[i].address,
					size_of(abuse->info, abuse->args, arg), right))
			must_refuse(abuse, arg, bad[i].address, arg + 1, bad[i].what);
}

/* More bytes than there are behind the pointer: it is the pointer that is refused. */
static void bad_sizes(struct abuse *abuse, unsigned arg)
{
	static const uint64_t sizes[] = {257,
					 4096,
					 FORT_ACCESS_BYTES_MAX,
					 FORT_ACCESS_BYTES_MAX + 1ull,
					 INT32_MAX,
					 UINT32_MAX,
					 1ull << 32,
					 (1ull << 32) + 16,
					 1ull << 63,
					 UINT64_MAX};

	for (unsigned i = 0; i < FORT_LEN(sizes); i++)
		must_refuse(abuse, arg, sizes[i], arg, "a size");
	if (abuse->info->args[arg] == FORT_ARG_SIZE)
		must_refuse(abuse, arg, 0, arg + 1, "no bytes");
}

/* Numbers that are no handle of a map of this program; and handles of maps of the wrong kind. */
static void bad_maps(struct abuse *abuse, unsigned arg)
{
	struct bad_address bad[BAD_ADDRESSES_MAX];
	uint32_t n = bad_addresses(&cage, bad);
	uint64_t good = fort_map_handle(CAGE_ARRAY);
	const uint64_t forged[] = {CAGE_HASH,
				   fort_map_handle(CAGE_MAPS),
				   fort_map_handle(FORT_MAPS_PER_PROG_MAX),
				   fort_map_handle(UINT32_MAX),
				   good ^ 1ull << 63,
				   good ^ 1ull << 33,
				   good & UINT32_MAX,
				   good >> 32,
				   (uint64_t)(int64_t)cage.world.maps[CAGE_ARRAY]->values_fd};

	for (uint32_t i = 0; i < n; i++)
		if (bad[i].address != good)
			must_refuse(abuse, arg, bad[i].address, arg + 1, bad[i].what);
	for (unsigned i = 0; i < FORT_LEN(forged); i++)
		must_refuse(abuse, arg, forged[i], arg + 1, "a forged handle");
	for (uint32_t i = 0; i < CAGE_MAPS; i++)
		if (!(cage.world.maps[i]->info->classes & abuse->info->map_classes))
			must_refuse(abuse, arg, fort_map_handle(i), arg + 1, "another kind of map");
	if (abuse->info->flags & FORT_HELPER_CHANGES)
		must_refuse(abuse, arg, fort_map_handle(CAGE_RODATA), arg + 1, "a read-only map");
}

/* The program holds one reservation, at the start of the ring. */
static void bad_reservations(struct abuse *abuse, unsigned arg)
{
	uint64_t start =
		fort_domain_address(&cage.world.domain, cage.world.domain.map_start[CAGE_RING]);
	const uint64_t forged[] = {0,
				   start,
				   start + 4,
				   start + 16,
				   start + 24,
				   (start + 8) ^ 1ull << 32,
				   (start + 8) ^ 1ull << 63,
				   (uint64_t)(uintptr_t)cage.world.maps[CAGE_RING]->ring.data + 8};
	struct bad_address bad[BAD_ADDRESSES_MAX];
	uint32_t n = bad_addresses(&cage, bad);

	for (unsigned i = 0; i < FORT_LEN(forged); i++)
		must_refuse(abuse, arg, forged[i], arg + 1, "a forged reservation");
	for (uint32_t i = 0; i < n; i++)
		must_refuse(abuse, arg, bad[i].address, arg + 1, bad[i].what);
}

static void abuse_argument(const struct fort_helper_info *info, unsigned arg)
{
	enum fort_arg kind = info->args[arg];
	struct abuse abuse = {.info = info};
	int reserved = -1;

	for (int i = 0; i < FORT_HELPER_ARGS; i++)
		if (info->args[i] == FORT_ARG_RING_MEM && (unsigned)i != arg)
			reserved = i;
	open_caller(&abuse.caller, info, true, reserved);
	open_caller(&abuse.idle, info, false, reserved);
	good_args(info, abuse.args);
	switch (kind) {
	case FORT_ARG_MAP: bad_maps(&abuse, arg); break;
	case FORT_ARG_KEY:
	case FORT_ARG_VALUE:
	case FORT_ARG_MEM:
	case FORT_ARG_MEM_OUT: bad_pointers(&abuse, arg); break;
	case FORT_ARG_SIZE:
	case FORT_ARG_SIZE_OR_ZERO: bad_sizes(&abuse, arg); break;
	case FORT_ARG_RING_MEM: bad_reservations(&abuse, arg); break;
	case FORT_ARG_CTX:
		must_refuse(&abuse, arg, 0, arg + 1, "no context");
		must_refuse(&abuse, arg, cage.world.run.ctx + 8, arg + 1, "not the context");
		break;
	default: break;
	}
	close_caller(&abuse.idle);
	close_caller(&abuse.caller);
}

static void every_argument_of_every_helper(void **state)
{
	for (unsigned h = 0; h < FORT_HELPERS; h++)
		for (unsigned arg = 0; is_called(&fort_helpers[h]) && arg < FORT_HELPER_ARGS; arg++)
			abuse_argument(&fort_helpers[h], arg);
	print_message("# %u calls refused\n", n_refused);
}

/* And with good arguments no run ends: the above is not refused for another reason. */
static void good_arguments_are_taken(void **state)
{
	for (unsigned h = 0; h < FORT_HELPERS; h++) {
		const struct fort_helper_info *info = &fort_helpers[h];
		struct caller caller;
		uint64_t args[5];
		int reserved = -1;

		if (!is_called(info))
			continue;
		for (int i = 0; i < FORT_HELPER_ARGS; i++)
			if (info->args[i] == FORT_ARG_RING_MEM)
				reserved = i;
		open_caller(&caller, info, true, reserved);
		good_args(info, args);
		for (unsigned e = 0; e < FORT_LEN(cage_engines); e++)
			if (run(&caller, e, args).abort.code)
				fail_msg("%s on %s", fort_helper_kernel_name(info->number),
					 cage_engines[e]->name);
		close_caller(&caller);
	}
}

static void unknown_helpers_end_the_run(void **state)
{
	static const int32_t more[] = {1000, 65536, INT32_MAX, INT32_MIN, -1};

	for (unsigned i = 0; i < 256 + FORT_LEN(more); i++) {
		int32_t number = i < 256 ? (int32_t)i : more[i - 256];
		const struct fort_insn insns[] = {
			fort_insn_make(FORT_ROW_CALL, 0, 0, 0, number),
			fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0),
		};
		struct caged caged;

		if (fort_helper_by_number((uint32_t)number) || fort_internal_name((uint32_t)number))
			continue;
		assert_true(caged_build(&caged, insns, FORT_LEN(insns)));
		for (unsigned e = 0; e < FORT_LEN(cage_engines); e++) {
			struct outcome outcome = cage_run(&cage, cage_engines[e],
							  FORT_ISOLATION_SFI, false, &caged, 100);

			assert_int_equal(outcome.abort.code, FORT_ABORT_HELPER);
			assert_int_equal(outcome.abort.detail, (uint32_t)number);
		}
		caged_free(&caged);
	}
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
		cmocka_unit_test(good_arguments_are_taken),
		cmocka_unit_test(every_argument_of_every_helper),
		cmocka_unit_test(unknown_helpers_end_the_run),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
