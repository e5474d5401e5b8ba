/* One store per test, and calls on it, for the tests of the embedded store. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/cmds.h"
#include "btf_build.h"
#include "isa/asm.h"
#include "map/map.h"
#include "recording_road.h"
#include "store/store.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))

static struct fort_store *store;

static inline int set_up(void **state)
{
	(void)state;
	memset(&recording, 0, sizeof(recording));
	return fort_store_create(&store);
}

static inline int tear_down(void **state)
{
	(void)state;
	fort_store_free(store);
	return 0;
}

static inline long bpf_in(struct fort_store *in, int cmd, union fort_attr *attr)
{
	return fort_store_bpf(in, cmd, attr, sizeof(*attr));
}

static inline int make_map_in(struct fort_store *in, uint32_t type, uint32_t flags)
{
	union fort_attr attr = {.map_create = {.map_type = type,
					       .key_size = 4,
					       .value_size = 8,
					       .max_entries = 4,
					       .map_flags = flags,
					       .map_name = "m"}};
	long fd = bpf_in(in, FORT_CMD_MAP_CREATE, &attr);

	assert_true(fd >= 0);
	return (int)fd;
}

static inline int make_map(void)
{
	return make_map_in(store, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE);
}

static inline int make_btf(void)
{
	static _Thread_local struct btf_build build;
	union fort_attr attr = {0};
	long fd;

	build_sample(&build);
	attr.btf_load.btf = PTR(build.blob);
	attr.btf_load.btf_size = build.bytes;
	fd = bpf_in(store, FORT_CMD_BTF_LOAD, &attr);
	assert_true(fd >= 0);
	return (int)fd;
}

static inline int make_prog(uint32_t type, const char *text)
{
	struct fort_arena arena;
	struct fort_assembly assembly;
	struct fort_asm_error error;
	union fort_attr attr = {.prog_load = {.prog_type = type, .license = PTR("GPL")}};
	long fd;

	fort_arena_init(&arena, 1 << 20);
	assert_int_equal(fort_assemble(&arena, text, strlen(text), &assembly, &error), 0);
	attr.prog_load.insns = PTR(assembly.insns);
	attr.prog_load.insn_cnt = assembly.n_insns;
	fd = bpf_in(store, FORT_CMD_PROG_LOAD, &attr);
	fort_arena_free(&arena);
	assert_true(fd >= 0);
	return (int)fd;
}

/* Ids of one kind, as a client counts them. */
static inline unsigned count(int next_id_cmd)
{
	union fort_attr attr = {0};
	unsigned n = 0;

	while (!bpf_in(store, next_id_cmd, &attr)) {
		attr.by_id.id = attr.by_id.next_id;
		n++;
	}
	return n;
}

static inline unsigned maps(void)
{
	return count(FORT_CMD_MAP_GET_NEXT_ID);
}

static inline unsigned progs(void)
{
	return count(FORT_CMD_PROG_GET_NEXT_ID);
}

static inline unsigned links(void)
{
	return count(FORT_CMD_LINK_GET_NEXT_ID);
}

static inline unsigned btfs(void)
{
	return count(FORT_CMD_BTF_GET_NEXT_ID);
}

static inline long put(int map, uint64_t value)
{
	uint32_t key = 1;
	union fort_attr attr = {
		.elem = {.map_fd = (uint32_t)map, .key = PTR(&key), .value = PTR(&value)}};

	return bpf_in(store, FORT_CMD_MAP_UPDATE_ELEM, &attr);
}

static inline long get(int map, uint64_t *value)
{
	uint32_t key = 1;
	union fort_attr attr = {
		.elem = {.map_fd = (uint32_t)map, .key = PTR(&key), .value = PTR(value)}};

	return bpf_in(store, FORT_CMD_MAP_LOOKUP_ELEM, &attr);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
