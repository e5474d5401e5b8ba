/* The kernel's bpf ABI: its own header (6.1 on Debian 12), and what came after it, by our names.
 * Numbers checked against Linux 6.18 <uapi/linux/bpf.h>.
 */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

/* Errno values that user-space headers do not have. */
#define FORT_ENOTSUPP 524

/* System calls that they do not have either. */
#define FORT_SYS_MSEAL 462 /* Linux 6.10 */

/* Map types, commands, attach types and flags newer than the 6.1 header. */
enum {
	FORT_BPF_MAP_TYPE_CGRP_STORAGE = 32,
	FORT_BPF_MAP_TYPE_ARENA = 33,

	FORT_BPF_TOKEN_CREATE = 36,
	FORT_BPF_PROG_STREAM_READ_BY_FD = 37,

	FORT_BPF_TRACE_UPROBE_MULTI = 48,

	FORT_BPF_F_PATH_FD = 1u << 14,
	FORT_BPF_F_LINK = 1u << 13, /* MAP_CREATE, as the next two */
	FORT_BPF_F_SEGV_ON_FAULT = 1u << 17,
	FORT_BPF_F_NO_USER_CONV = 1u << 18,
	FORT_BPF_F_TOKEN_FD = 1u << 16,
	FORT_BPF_F_XDP_DEV_BOUND_ONLY = 1u << 6, /* PROG_LOAD */
	FORT_BPF_F_TEST_REG_INVARIANTS = 1u << 7,

	FORT_BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 1u << 2, /* PROG_TEST_RUN */
};

/* Verifier log levels (kernel/bpf/verifier.h; not in uapi, but ABI). */
enum {
	FORT_LOG_PATH = 1,
	FORT_LOG_STATES = 2,
	FORT_LOG_STATS = 4,
	FORT_LOG_FIXED = 8,
	FORT_LOG_MASK = 15,
};

/* PROG_LOAD attributes as far as 6.18 knows them: the 6.1 union ends at core_relo_rec_size. */
struct fort_attr_prog_load {
	uint32_t prog_type, insn_cnt;
	uint64_t insns, license;
	uint32_t log_level, log_size;
	uint64_t log_buf;
	uint32_t kern_version, prog_flags;
	char prog_name[BPF_OBJ_NAME_LEN];
	uint32_t prog_ifindex, expected_attach_type;
	uint32_t prog_btf_fd, func_info_rec_size;
	uint64_t func_info;
	uint32_t func_info_cnt, line_info_rec_size;
	uint64_t line_info;
	uint32_t line_info_cnt, attach_btf_id;
	uint32_t attach_prog_fd, core_relo_cnt; /* attach_btf_obj_fd shares the first */
	uint64_t fd_array, core_relos;
	uint32_t core_relo_rec_size, log_true_size;
	int32_t prog_token_fd;
	uint32_t fd_array_cnt;
	uint64_t signature;
	uint32_t signature_size;
	int32_t keyring_id;
};
_Static_assert(offsetof(struct fort_attr_prog_load, prog_btf_fd) == 72, "ABI");
_Static_assert(offsetof(struct fort_attr_prog_load, core_relo_rec_size) == 136, "ABI");
_Static_assert(sizeof(struct fort_attr_prog_load) == 168, "ABI");
