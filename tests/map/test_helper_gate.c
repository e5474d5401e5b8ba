/* No helper works with an argument that its row does not allow: every row, every argument, every
 * way to be wrong; the run ends with the argument's position, and nothing has changed.
 */
#include "helper_test.h"

#include "abi/helpers.h"
#include "harden/expand.h"

enum { HASH, ARRAY, PERCPU, RING, RODATA, WRONLY, PROGS, MAPS };

#define BIG (1u << 16)

static struct fort_shared *shared;
static struct world world;

static void open_world(void)
{
	struct fort_map *maps[MAPS] = {
		[HASH] = new_map(shared, BPF_MAP_TYPE_HASH, 8, 16, 32, 0),
		[ARRAY] = new_map(shared, BPF_MAP_TYPE_ARRAY, 4, 16, 32, 0),
		[PERCPU] = new_map(shared, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 32, 0),
		[RING] = new_map(shared, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0),
		[RODATA] = new_map(shared, BPF_MAP_TYPE_ARRAY, 4, 4096, 1, BPF_F_RDONLY_PROG),
		[WRONLY] = new_map(shared, BPF_MAP_TYPE_ARRAY, 4, 16, 1, BPF_F_WRONLY_PROG),
		[PROGS] = new_map(shared, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0),
	};

	world_open(&world, shared, maps, MAPS);
}

/* Which map a row takes. */
static uint32_t map_for(const struct fort_helper_info *info)
{
	if (info->map_classes & FORT_CLASS_RING)
		return RING;
	if (info->map_classes & FORT_CLASS_PROGS)
		return PROGS;
	return info->map_classes & FORT_CLASS_PERCPU && !(info->map_classes & FORT_CLASS_KEYED)
		       ? PERCPU
		       : ARRAY;
}

/* Arguments that the row allows: pointers to a zeroed part of the stack. */
static void good_args(const struct fort_helper_info *info, uint64_t args[5])
{
	for (unsigned i = 0; i < 5; i++) {
		args[i] = 0;
		switch ((enum fort_arg)info->args[i]) {
		case FORT_ARG_MAP: args[i] = fort_map_handle(map_for(info)); break;
		case FORT_ARG_KEY:
		case FORT_ARG_VALUE:
		case FORT_ARG_MEM:
		case FORT_ARG_MEM_OUT: args[i] = stack_address(&world, 64); break;
		case FORT_ARG_SIZE:
		case FORT_ARG_SIZE_OR_ZERO:
		case FORT_ARG_CONST_SIZE: args[i] = 16; break;
		case FORT_ARG_CTX: args[i] = world.run.ctx; break;
		case FORT_ARG_RING_MEM:
			args[i] = call(&world, BPF_FUNC_ringbuf_reserve, fort_map_handle(RING), 16,
				       0, 0, 0);
			break;
		default: break;
		}
	}
}

static bool is_pointer(enum fort_arg kind)
{
	return kind == FORT_ARG_KEY || kind == FORT_ARG_VALUE || kind == FORT_ARG_MEM ||
	       kind == FORT_ARG_MEM_OUT;
}

/* All that a program can write, as one number. */
static uint64_t state_of_world(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < MAPS; i++) {
		const uint64_t *at = (const uint64_t *)world.maps[i]->values;

		for (uint64_t n = 0; n < world.maps[i]->values_bytes / 8; n++)
			sum = (sum ^ at[n]) * 0x9e3779b97f4a7c15ull;
		at = (const uint64_t *)world.maps[i]->meta;
		if (i != RING) /* a good argument beside the bad one may be a reservation */
			for (uint64_t n = 0; n < world.maps[i]->meta_bytes / 8; n++)
				sum = (sum ^ at[n]) * 0x9e3779b97f4a7c15ull;
	}
	for (uint32_t i = 8; i <= FORT_STACK_BYTES; i += 8)
		sum = (sum ^ *(uint64_t *)stack_at(&world, i)) * 0x9e3779b97f4a7c15ull;
	return sum;
}

static void must_refuse(const struct fort_helper_info *info, const uint64_t good[5], unsigned arg,
			uint64_t bad, const char *what)
{
	uint64_t args[5], before = state_of_world();
	uint32_t position;

	memcpy(args, good, sizeof(args));
	args[arg] = bad;
	assert_int_equal(call(&world, info->number, args[0], args[1], args[2], args[3], args[4]),
			 0);
	position = refused(&world);
	if (position != arg + 1 || state_of_world() != before)
		print_error("%s, argument %u: %s: refused %u\n",
			    fort_helper_kernel_name(info->number), arg + 1, what, position);
	assert_int_equal(position, arg + 1);
	assert_int_equal(state_of_world(), before);
}

static void bad_pointers(const struct fort_helper_info *info, const uint64_t good[5], unsigned arg)
{
	uint64_t base = (uint64_t)(uintptr_t)world.domain.window.base;
	uint64_t stack_end = fort_domain_stack_top(&world.domain, 0);
	uint64_t array = base + world.domain.map_start[ARRAY];
	static uint8_t host_memory[64];
	const struct {
		uint64_t address;
		const char *what;
	} bad[] = {
		{0, "null"},
		{8, "near null"},
		{base, "the window's start"},
		{base + FORT_WINDOW_LOW - 8, "below the first page given away"},
		{stack_end - 1, "over the stack's end"},
		{stack_end, "behind the stack"},
		{array - 1, "over a map's start"},
		{array + world.maps[ARRAY]->values_bytes - 3, "over a map's end"},
		{base + FORT_WINDOW_BYTES - 1, "over the window's end"},
		{base + FORT_WINDOW_BYTES - 4096, "the window's last page"},
		{fort_map_handle(ARRAY), "a map's handle"},
		{(uint64_t)-1, "minus one"},
		{(uint64_t)-4096, "an error value"},
	};

	for (unsigned i = 0; i < FORT_LEN(bad); i++)
		must_refuse(info, good, arg, bad[i].address, bad[i].what);
	/* An address of ours names the window's byte with the same low half, whatever is there. */
	if (!fort_window_allows(&world.domain.window, (uint64_t)(uintptr_t)host_memory, 16,
				FORT_READ))
		must_refuse(info, good, arg, (uint64_t)(uintptr_t)host_memory, "host memory");
	if (info->args[arg] == FORT_ARG_MEM_OUT)
		must_refuse(info, good, arg, base + world.domain.map_start[RODATA], "read-only");
}

static void bad_sizes(const struct fort_helper_info *info, const uint64_t good[5], unsigned arg)
{
	static const uint64_t sizes[] = {65,
					 FORT_ACCESS_BYTES_MAX,
					 FORT_ACCESS_BYTES_MAX + 1ull,
					 1ull << 32,
					 1ull << 63,
					 UINT64_MAX};

	/* Too many bytes for what the pointer points to: it is the pointer that is refused. */
	for (unsigned i = 0; i < FORT_LEN(sizes); i++) {
		uint64_t args[5];

		memcpy(args, good, sizeof(args));
		args[arg] = sizes[i];
		call(&world, info->number, args[0], args[1], args[2], args[3], args[4]);
		assert_int_equal(refused(&world), arg);
	}
	if (info->args[arg] == FORT_ARG_SIZE)
		must_refuse(info, good, arg, 0, "zero");
}

static void bad_maps(const struct fort_helper_info *info, const uint64_t good[5], unsigned arg)
{
	const uint64_t bad[] = {
		0,
		1,
		HASH,
		fort_map_handle(MAPS),
		fort_map_handle(UINT32_MAX),
		fort_map_handle(ARRAY) ^ 1ull << 63,
		fort_map_handle(ARRAY) ^ 1ull << 33,
		(uint64_t)(uintptr_t)world.maps[ARRAY],
		stack_address(&world, 64),
	};

	for (unsigned i = 0; i < FORT_LEN(bad); i++)
		must_refuse(info, good, arg, bad[i], "no handle");
	for (uint32_t i = 0; i < MAPS; i++)
		if (!(world.maps[i]->info->classes & info->map_classes))
			must_refuse(info, good, arg, fort_map_handle(i), "another class of map");
	if (info->flags & FORT_HELPER_CHANGES)
		must_refuse(info, good, arg, fort_map_handle(RODATA), "against the map's flags");
}

static void bad_reservations(const struct fort_helper_info *info, const uint64_t good[5],
			     unsigned arg)
{
	const uint64_t bad[] = {0, good[arg] + 8, good[arg] - 8, good[arg] ^ 1ull << 40,
				stack_address(&world, 64)};

	for (unsigned i = 0; i < FORT_LEN(bad); i++)
		must_refuse(info, good, arg, bad[i], "no reservation");
	assert_int_equal(world.run.n_held, 1); /* the good one is still held */
}

/* Programs are expanded instead of calling these. */
static bool is_expanded(const struct fort_helper_info *info)
{
	struct fort_insn call = {.row = FORT_ROW_CALL,
				 .kind = FORT_CALL,
				 .op = FORT_OP_HELPER,
				 .imm = (int32_t)info->number};

	return fort_expands_hidden(&call);
}

static void every_argument_is_checked(void **state)
{
	for (unsigned h = 0; h < FORT_HELPERS; h++) {
		const struct fort_helper_info *info = &fort_helpers[h];
		uint64_t good[5];

		if (!info->runs)
			continue;
		open_world();
		good_args(info, good);
		for (unsigned arg = 0; arg < 5; arg++) {
			enum fort_arg kind = info->args[arg];

			if (is_pointer(kind))
				bad_pointers(info, good, arg);
			else if (kind == FORT_ARG_SIZE || kind == FORT_ARG_SIZE_OR_ZERO)
				bad_sizes(info, good, arg);
			else if (kind == FORT_ARG_MAP)
				bad_maps(info, good, arg);
			else if (kind == FORT_ARG_RING_MEM)
				bad_reservations(info, good, arg);
			else if (kind == FORT_ARG_CTX)
				must_refuse(info, good, arg, world.run.ctx + 8, "not the context");
		}
		/* And with good arguments it does not end the run. */
		call(&world, info->number, good[0], good[1], good[2], good[3], good[4]);
		assert_int_equal(refused(&world), is_expanded(info) ? 2 : 0);
		world_close(&world);
	}
}

/* Size 0 needs no memory, where the row allows it. */
static void nothing_needs_no_pointer(void **state)
{
	open_world();
	call(&world, BPF_FUNC_ringbuf_output, fort_map_handle(RING), 0, 0, 0, 0);
	assert_int_equal(refused(&world), 0);
	assert_int_equal(call(&world, BPF_FUNC_probe_read_user, 0, 0, 0, 0, 0), 0);
	assert_int_equal(refused(&world), 0);
	assert_int_equal(call(&world, BPF_FUNC_probe_read_user_str, 0, 0, 0, 0, 0), 0);
	assert_int_equal(refused(&world), 0);
	world_close(&world);
}

/* Programs may look up where they may only write. */
static void write_only_maps_are_looked_up(void **state)
{
	open_world();
	assert_int_equal(call(&world, BPF_FUNC_map_lookup_elem, fort_map_handle(WRONLY),
			      stack_address(&world, 64), 0, 0, 0),
			 fort_domain_address(&world.domain, world.domain.map_start[WRONLY]));
	assert_int_equal(refused(&world), 0);
	world_close(&world);
}

static void unknown_numbers(void **state)
{
	assert_null(fort_helper_function(0));
	assert_null(fort_helper_function(9));
	assert_null(fort_helper_function(UINT32_MAX));
	for (unsigned i = 0; i < FORT_HELPERS; i++)
		if (fort_helpers[i].runs)
			assert_non_null(fort_helper_function(fort_helpers[i].number));
		else
			assert_null(fort_helper_function(fort_helpers[i].number));
}

/* What a run holds is given back in any case, and no more than it may hold is given out. */
static void reservations_are_counted(void **state)
{
	uint64_t address = 0;
	unsigned n = 0;

	open_world();
	while (!world.run.abort.code) {
		address = call(&world, BPF_FUNC_ringbuf_reserve, fort_map_handle(RING), 8, 0, 0, 0);
		n += address != 0;
		assert_in_range(n, 0, FORT_CLEANUPS_MAX);
	}
	assert_int_equal(n, FORT_CLEANUPS_MAX);
	assert_int_equal(world.run.abort.code, FORT_ABORT_HELD);
	assert_int_equal(address, 0);
	world.run.abort = (struct fort_abort){0};
	fort_run_release_all(&world.run);
	assert_int_equal(world.run.n_held, 0);
	for (uint32_t i = 0; i <= FORT_CLEANUPS_MAX; i++) {
		const struct fort_ring_header *header =
			(const void *)(world.maps[RING]->ring.data + 16 * i);

		assert_int_equal(header->length, 8 | BPF_RINGBUF_DISCARD_BIT);
	}
	world_close(&world);
}

static void released_once(void **state)
{
	uint64_t first, second;

	open_world();
	first = call(&world, BPF_FUNC_ringbuf_reserve, fort_map_handle(RING), 8, 0, 0, 0);
	second = call(&world, BPF_FUNC_ringbuf_reserve, fort_map_handle(RING), 8, 0, 0, 0);
	assert_int_equal(second - first, 16);
	call(&world, BPF_FUNC_ringbuf_submit, first, 0, 0, 0, 0);
	assert_int_equal(refused(&world), 0);
	call(&world, BPF_FUNC_ringbuf_submit, first, 0, 0, 0, 0);
	assert_int_equal(refused(&world), 1);
	call(&world, BPF_FUNC_ringbuf_discard, first, 0, 0, 0, 0);
	assert_int_equal(refused(&world), 1);
	/* A length that the program forged does not count. */
	((struct fort_ring_header *)window_at(&world, second - 8))->length = BIG;
	call(&world, BPF_FUNC_ringbuf_discard, second, 0, 0, 0, 0);
	assert_int_equal(((struct fort_ring_header *)window_at(&world, second - 8))->length,
			 8 | BPF_RINGBUF_DISCARD_BIT);
	assert_int_equal(world.run.n_held, 0);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_argument_is_checked),
		cmocka_unit_test(nothing_needs_no_pointer),
		cmocka_unit_test(write_only_maps_are_looked_up),
		cmocka_unit_test(unknown_numbers),
		cmocka_unit_test(reservations_are_counted),
		cmocka_unit_test(released_once),
	};

	shared = new_shared();
	return cmocka_run_group_tests_name("helper_gate", tests, NULL, NULL);
}
