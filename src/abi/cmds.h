/* Commands of bpf(2), from cmds.def, and their attributes.
 *
 * The attribute structs are our own because Debian's headers end at 6.1: every field that Linux
 * 6.18 knows has its place here, whether bpfort uses it or only checks it.
 */
#pragma once

#include "abi/uapi.h"
#include "base/compiler.h"

#define FORT_ATTR_BYTES 168u /* sizeof(union bpf_attr) of Linux 6.18 */

struct fort_attr_map_create {
	uint32_t map_type, key_size, value_size, max_entries, map_flags;
	uint32_t inner_map_fd, numa_node;
	char map_name[BPF_OBJ_NAME_LEN];
	uint32_t map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id;
	uint32_t btf_vmlinux_value_type_id;
	uint64_t map_extra;
	int32_t value_type_btf_obj_fd, map_token_fd;
	uint64_t excl_prog_hash;
	uint32_t excl_prog_hash_size;
};
_Static_assert(offsetof(struct fort_attr_map_create, btf_fd) == 48, "ABI");
_Static_assert(offsetof(struct fort_attr_map_create, excl_prog_hash_size) == 88, "ABI");

struct fort_attr_elem {
	uint32_t map_fd, pad;
	uint64_t key;
	uint64_t value; /* or next_key */
	uint64_t flags;
};

struct fort_attr_test_run {
	uint32_t prog_fd, retval, data_size_in, data_size_out;
	uint64_t data_in, data_out;
	uint32_t repeat, duration, ctx_size_in, ctx_size_out;
	uint64_t ctx_in, ctx_out;
	uint32_t flags, cpu, batch_size;
};
_Static_assert(offsetof(struct fort_attr_test_run, batch_size) == 72, "ABI");

struct fort_attr_by_id {
	uint32_t id; /* or start_id */
	uint32_t next_id, open_flags;
	int32_t token_fd;
};

struct fort_attr_info {
	uint32_t bpf_fd, info_len;
	uint64_t info;
};

struct fort_attr_btf_load {
	uint64_t btf, btf_log_buf;
	uint32_t btf_size, btf_log_size, btf_log_level, btf_log_true_size;
	uint32_t btf_flags;
	int32_t btf_token_fd;
};
_Static_assert(offsetof(struct fort_attr_btf_load, btf_token_fd) == 36, "ABI");

struct fort_attr_link_create {
	uint32_t prog_fd, target_fd, attach_type, flags;
	union {
		uint64_t bpf_cookie; /* PERF_EVENT */
		uint8_t rest[44];
	};
};
_Static_assert(offsetof(struct fort_attr_link_create, bpf_cookie) == 16, "ABI");

struct fort_attr_link_update {
	uint32_t link_fd, new_prog_fd, flags, old_prog_fd;
};

struct fort_attr_bind_map {
	uint32_t prog_fd, map_fd, flags;
};

union fort_attr {
	uint8_t bytes[FORT_ATTR_BYTES];
	struct fort_attr_map_create map_create;
	struct fort_attr_elem elem;
	struct fort_attr_prog_load prog_load;
	struct fort_attr_test_run test;
	struct fort_attr_by_id by_id;
	struct fort_attr_info info;
	struct fort_attr_btf_load btf_load;
	struct fort_attr_link_create link_create;
	struct fort_attr_link_update link_update;
	struct fort_attr_bind_map bind_map;
	uint32_t fd; /* MAP_FREEZE, LINK_DETACH */
};
_Static_assert(sizeof(union fort_attr) == FORT_ATTR_BYTES, "ABI");

enum fort_cmd {
#define FORT_CMD(id, number, ...) FORT_CMD_##id = (number),
#include "abi/cmds.def"
	FORT_CMDS
};

struct fort_cmd_info {
	const char *name;
	uint32_t attr_bytes; /* attributes from here on must be zero */
	int answer;          /* 0: handled; else what clients get, negative */
};

extern const struct fort_cmd_info fort_cmds[FORT_CMDS];

/* Is the part of the attributes that this command does not know zero? */
bool fort_cmd_tail_is_zero(enum fort_cmd cmd, const union fort_attr *attr);
