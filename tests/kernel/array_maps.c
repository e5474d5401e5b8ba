#include "array_maps.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "isa/asm.h"

/* The largest value, and what its tests find in it. */
struct value {
	uint32_t index;
	int32_t numbers[11];
};

struct map_row {
	const char *name;
	uint32_t type, key_bytes, value_bytes, entries, flags;
	bool filled;
	const char *btf_value; /* the struct that its values are (btf_of), or NULL */
};

static const struct map_row rows[ARRAY_N_MAPS] = {
#define ROW(id, ...) [ARRAY_##id] = {#id, __VA_ARGS__}
	ROW(fixup_map_hash_8b, BPF_MAP_TYPE_HASH, 8, 8, 1, BPF_F_NO_PREALLOC),
	ROW(fixup_map_hash_48b, BPF_MAP_TYPE_HASH, 8, 48, 1, BPF_F_NO_PREALLOC),
	ROW(fixup_map_hash_16b, BPF_MAP_TYPE_HASH, 8, 16, 1, BPF_F_NO_PREALLOC),
	ROW(fixup_map_array_48b, BPF_MAP_TYPE_ARRAY, 4, 48, 1, 0, true),
	ROW(fixup_map_sockmap, BPF_MAP_TYPE_SOCKMAP, 4, 4, 1),
	ROW(fixup_map_sockhash, BPF_MAP_TYPE_SOCKHASH, 4, 4, 1),
	ROW(fixup_map_xskmap, BPF_MAP_TYPE_XSKMAP, 4, 4, 1),
	ROW(fixup_map_stacktrace, BPF_MAP_TYPE_STACK_TRACE, 4, 8, 1),
	ROW(fixup_prog1, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4),
	ROW(fixup_prog2, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 8),
	ROW(fixup_map_in_map, BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1),
	ROW(fixup_cgroup_storage, BPF_MAP_TYPE_CGROUP_STORAGE,
	    sizeof(struct bpf_cgroup_storage_key), 64, 0),
	ROW(fixup_percpu_cgroup_storage, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
	    sizeof(struct bpf_cgroup_storage_key), 64, 0),
	ROW(fixup_map_spin_lock, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, false, "lock_value"),
	ROW(fixup_map_array_ro, BPF_MAP_TYPE_ARRAY, 4, 48, 1, BPF_F_RDONLY_PROG, true),
	ROW(fixup_map_array_wo, BPF_MAP_TYPE_ARRAY, 4, 48, 1, BPF_F_WRONLY_PROG, true),
	ROW(fixup_map_array_small, BPF_MAP_TYPE_ARRAY, 4, 1, 1, 0, true),
	ROW(fixup_sk_storage_map, BPF_MAP_TYPE_SK_STORAGE, 4, 8, 0, BPF_F_NO_PREALLOC, false,
	    "lock_value"),
	ROW(fixup_map_event_output, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1),
	ROW(fixup_map_reuseport_array, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, 1),
	ROW(fixup_map_ringbuf, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096),
	ROW(fixup_map_timer, BPF_MAP_TYPE_ARRAY, 4, 16, 1, 0, false, "timer_value"),
	ROW(fixup_map_kptr, BPF_MAP_TYPE_ARRAY, 4, 24, 1, 0, false, "kptr_value"),
#undef ROW
};

const char *array_map_name(enum array_map map)
{
	return rows[map].name;
}

/* --- types of values --- */

/* A pointer to the kernel's struct `name`, tagged. */
static int kptr_to(struct btf *btf, const char *name, const char *tag)
{
	return btf__add_ptr(btf, btf__add_type_tag(btf, tag, btf__add_struct(btf, name, 0)));
}

/* A number and a lock; a timer; three pointers to kernel objects. */
static struct btf *btf_of(void)
{
	struct btf *btf = btf__new_empty();
	int number, lock, timer, pointers[3];

	if (!btf)
		return NULL;
	number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	lock = btf__add_struct(btf, "bpf_spin_lock", 4);
	btf__add_field(btf, "val", number, 0, 0);
	btf__add_struct(btf, "lock_value", 8);
	btf__add_field(btf, "number", number, 0, 0);
	btf__add_field(btf, "lock", lock, 32, 0);
	timer = btf__add_struct(btf, "bpf_timer", 16);
	btf__add_struct(btf, "timer_value", 16);
	btf__add_field(btf, "timer", timer, 0, 0);
	pointers[0] = kptr_to(btf, "prog_test_ref_kfunc", "kptr_untrusted");
	pointers[1] = kptr_to(btf, "prog_test_ref_kfunc", "kptr");
	pointers[2] = kptr_to(btf, "prog_test_member", "kptr");
	btf__add_struct(btf, "kptr_value", 24);
	for (unsigned i = 0; i < 3; i++)
		btf__add_field(btf, "pointer", pointers[i], 64 * i, 0);
	return btf;
}

static int make_typed(const struct map_row *row)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = row->flags);
	struct btf *btf = btf_of();
	int fd = -1;

	if (btf && !btf__load_into_kernel(btf)) {
		opts.btf_fd = (uint32_t)btf__fd(btf);
		opts.btf_key_type_id = (uint32_t)btf__find_by_name_kind(btf, "int", BTF_KIND_INT);
		opts.btf_value_type_id =
			(uint32_t)btf__find_by_name_kind(btf, row->btf_value, BTF_KIND_STRUCT);
		fd = bpf_map_create(row->type, "test_map", row->key_bytes, row->value_bytes,
				    row->entries, &opts);
	}
	btf__free(btf);
	return fd;
}

/* --- maps of maps and of programs --- */

static int make_outer(const struct map_row *row)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, 4, 4, 1, NULL), fd;

	if (inner < 0)
		return -1;
	opts.inner_map_fd = (uint32_t)inner;
	fd = bpf_map_create(row->type, NULL, row->key_bytes, row->value_bytes, row->entries, &opts);
	close(inner);
	return fd;
}

/* Puts the program of this text at `key`. */
static bool put_program(int map, uint32_t prog_type, uint32_t key, const char *text)
{
	struct fort_arena arena;
	struct fort_assembly code;
	struct fort_asm_error error;
	int fd = -1;
	bool good = false;

	fort_arena_init(&arena, 1u << 20);
	if (!fort_assemble(&arena, text, strlen(text), &code, &error)) {
		LIBBPF_OPTS(bpf_prog_load_opts, opts, .fd_array = &map);

		fd = bpf_prog_load(prog_type, NULL, "GPL", (const struct bpf_insn *)code.insns,
				   code.n_insns, &opts);
	}
	if (fd >= 0) {
		good = !bpf_map_update_elem(map, &key, &fd, BPF_ANY);
		close(fd);
	}
	fort_arena_free(&arena);
	return good;
}

/* 42, at 0 or 7; 24, at 2; and one that calls itself until it may not, and then returns 41, at 1.
 */
static int make_programs(enum array_map map, uint32_t prog_type)
{
	const struct map_row *row = &rows[map];
	uint32_t first = map == ARRAY_fixup_prog1 ? 0 : 7;
	int fd = bpf_map_create(row->type, NULL, row->key_bytes, row->value_bytes, row->entries,
				NULL);

	if (fd < 0 || (put_program(fd, prog_type, first, "mov r0, 42\nexit\n") &&
		       put_program(fd, prog_type, 1,
				   "mov r3, 1\nlddw r2, map_idx 0\ncall 12\nmov r0, 41\nexit\n") &&
		       put_program(fd, prog_type, 2, "mov r0, 24\nexit\n")))
		return fd;
	close(fd);
	return -1;
}

int array_map_make(enum array_map map, uint32_t prog_type)
{
	const struct map_row *row = &rows[map];
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = row->flags);
	struct value value = {.index = 7 * sizeof(int32_t), .numbers[6] = (int32_t)0xabcdef12};
	uint32_t key = 0;
	int fd;

	if (row->btf_value)
		return make_typed(row);
	if (row->type == BPF_MAP_TYPE_PROG_ARRAY)
		return make_programs(map, prog_type);
	if (row->type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
		return make_outer(row);
	fd = bpf_map_create(row->type, NULL, row->key_bytes, row->value_bytes, row->entries, &opts);
	if (fd >= 0 && row->filled && bpf_map_update_elem(fd, &key, &value, BPF_ANY)) {
		close(fd);
		return -1;
	}
	return fd;
}
