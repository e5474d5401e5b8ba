/* Tests of the kernel's that are lists of instructions (tools/testing/selftests/bpf/verifier/X.c),
 * as they come out of the library that corpus.sh compiles them to (arrays.inc). Both sides include
 * this, with different versions of the kernel's own headers, so it uses none of their types.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ARRAY_FIXUPS_MAX 8
#define ARRAY_RUNS_MAX   8
#define ARRAY_DATA_BYTES 64

/* Maps that instructions are to name, by the names that the tests give them. */
#define ARRAY_MAPS(X)                  \
	X(fixup_map_hash_8b)           \
	X(fixup_map_hash_48b)          \
	X(fixup_map_hash_16b)          \
	X(fixup_map_array_48b)         \
	X(fixup_map_sockmap)           \
	X(fixup_map_sockhash)          \
	X(fixup_map_xskmap)            \
	X(fixup_map_stacktrace)        \
	X(fixup_prog1)                 \
	X(fixup_prog2)                 \
	X(fixup_map_in_map)            \
	X(fixup_cgroup_storage)        \
	X(fixup_percpu_cgroup_storage) \
	X(fixup_map_spin_lock)         \
	X(fixup_map_array_ro)          \
	X(fixup_map_array_wo)          \
	X(fixup_map_array_small)       \
	X(fixup_sk_storage_map)        \
	X(fixup_map_event_output)      \
	X(fixup_map_reuseport_array)   \
	X(fixup_map_ringbuf)           \
	X(fixup_map_timer)             \
	X(fixup_map_kptr)

enum array_map {
#define ARRAY_MAP(name) ARRAY_##name,
	ARRAY_MAPS(ARRAY_MAP)
#undef ARRAY_MAP
		ARRAY_N_MAPS
};

/* Programs that are not written out, by the names of the functions that make them. */
#define ARRAY_FILLS(X)                   \
	X(bpf_fill_ld_abs_vlan_push_pop) \
	X(bpf_fill_jump_around_ld_abs)   \
	X(bpf_fill_rand_ld_dw)           \
	X(bpf_fill_scale)                \
	X(bpf_fill_torturous_jumps)      \
	X(bpf_fill_big_prog_with_loop_1)

enum array_fill {
	ARRAY_FILL_NONE,
#define ARRAY_FILL(name) ARRAY_##name,
	ARRAY_FILLS(ARRAY_FILL)
#undef ARRAY_FILL
};

enum array_result { ARRAY_UNDEF, ARRAY_ACCEPT, ARRAY_REJECT, ARRAY_VERBOSE_ACCEPT };

struct array_run {
	uint8_t data[ARRAY_DATA_BYTES];
	uint32_t value, value_unpriv; /* unpriv 0: as the other */
};

struct array_test {
	const char *file, *name;
	const void *insns; /* struct bpf_insn */
	uint32_t n_insns;
	enum array_fill fill;
	uint32_t prog_type, attach_type; /* 0: socket filter */
	const char *attach_to;           /* a function of the kernel, or NULL */
	bool strict_alignment, any_alignment;
	uint32_t flags; /* BPF_F_* */
	/* Slots that name a map, ended by 0. */
	const int *maps[ARRAY_N_MAPS];
	struct {
		const char *kfunc;
		int insn;
	} kfuncs[ARRAY_FIXUPS_MAX];
	uint32_t n_kfuncs;
	enum array_result result, result_unpriv;
	const char *error, *error_unpriv; /* texts separated by tabs, or NULL */
	struct array_run runs[ARRAY_RUNS_MAX];
	int n_runs;            /* 0: one run; -1: none */
	const void *func_info; /* struct bpf_func_info */
	uint32_t n_func_infos;
	const void *btf_types; /* raw types of the program's BTF, or NULL */
	const char *btf_strings;
	uint32_t btf_types_bytes, btf_strings_bytes;
};

/* What the library exports. */
typedef const struct array_test *array_tests_get(unsigned *n);
#define ARRAY_TESTS_SYMBOL "array_tests"
