/* Maps and BTF through bpf(2), here and in the running kernel: creation, elements, descriptor
 * modes, freezing, ids, info of every length.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "btf_build.h"
#include "front.h"

/* --- creation --- */

struct create_row {
	const char *what;
	uint32_t type, key, value, entries, flags;
};

static void creations(struct side *side)
{
	static const struct create_row rows[] = {
		{"array", BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0},
		{"array of one byte", BPF_MAP_TYPE_ARRAY, 4, 1, 1, 0},
		{"array, key of 8", BPF_MAP_TYPE_ARRAY, 8, 8, 1, 0},
		{"array, no value", BPF_MAP_TYPE_ARRAY, 4, 0, 1, 0},
		{"array, no entries", BPF_MAP_TYPE_ARRAY, 4, 8, 0, 0},
		{"array, mmapable", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE},
		{"array, no prealloc", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_NO_PREALLOC},
		{"array, zero seed", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_ZERO_SEED},
		{"array, read-only descriptor", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY},
		{"array, write-only descriptor", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_WRONLY},
		{"array, both", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY | BPF_F_WRONLY},
		{"array, programs read", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG},
		{"array, programs neither", BPF_MAP_TYPE_ARRAY, 4, 8, 1,
		 BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG},
		{"array, token", BPF_MAP_TYPE_ARRAY, 4, 8, 1, FORT_BPF_F_TOKEN_FD},
		{"array, numa node 0", BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_NUMA_NODE},
		{"array, flag 1 << 20", BPF_MAP_TYPE_ARRAY, 4, 8, 1, 1u << 20},
		{"array, too large", BPF_MAP_TYPE_ARRAY, 4, 0x80000000, 1, 0},
		{"per-CPU array", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 2, 0},
		{"per-CPU array, mmapable", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 2, BPF_F_MMAPABLE},
		{"per-CPU array, too large", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 32769, 2, 0},
		{"per-CPU array, numa", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 2, BPF_F_NUMA_NODE},
		{"hash", BPF_MAP_TYPE_HASH, 4, 8, 2, 0},
		{"hash, no prealloc", BPF_MAP_TYPE_HASH, 4, 8, 2, BPF_F_NO_PREALLOC},
		{"hash, zero seed", BPF_MAP_TYPE_HASH, 4, 8, 2, BPF_F_ZERO_SEED},
		{"hash, mmapable", BPF_MAP_TYPE_HASH, 4, 8, 2, BPF_F_MMAPABLE},
		{"hash, no key", BPF_MAP_TYPE_HASH, 0, 8, 2, 0},
		{"hash, no value", BPF_MAP_TYPE_HASH, 4, 0, 2, 0},
		{"hash, no entries", BPF_MAP_TYPE_HASH, 4, 8, 0, 0},
		{"hash, key of 512", BPF_MAP_TYPE_HASH, 512, 8, 2, 0},
		{"hash, huge value", BPF_MAP_TYPE_HASH, 4, 0x7fffffff, 2, 0},
		{"ring buffer", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0},
		{"ring buffer, odd size", BPF_MAP_TYPE_RINGBUF, 0, 0, 5000, 0},
		{"ring buffer, half a page", BPF_MAP_TYPE_RINGBUF, 0, 0, 2048, 0},
		{"ring buffer with key", BPF_MAP_TYPE_RINGBUF, 4, 0, 4096, 0},
		{"ring buffer with value", BPF_MAP_TYPE_RINGBUF, 0, 4, 4096, 0},
		{"ring buffer, mmapable", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, BPF_F_MMAPABLE},
		{"no type", 0, 4, 8, 1, 0},
		{"type 1000", 1000, 4, 8, 1, 0},
	};

	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		ATTR(attr);

		attr.map_create.map_type = rows[i].type;
		attr.map_create.key_size = rows[i].key;
		attr.map_create.value_size = rows[i].value;
		attr.map_create.max_entries = rows[i].entries;
		attr.map_create.map_flags = rows[i].flags;
		note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, sizeof(attr)), "%s",
			    rows[i].what);
	}
}

/* Fields beyond the shape. */
static void creation_fields(struct side *side)
{
	static const struct {
		const char *what;
		uint32_t offset, value;
	} rows[] = {
		{"inner_map_fd", 20, 1},
		{"numa_node without the flag", 24, 77},
		{"map_ifindex", 44, 1000000},
		{"btf_fd alone", 48, 0xffffffff},
		{"btf_key_type_id alone", 52, 1},
		{"btf_value_type_id, no btf", 56, 1},
		{"btf_vmlinux_value_type_id", 60, 1},
		{"map_extra", 64, 1},
		{"map_extra, high", 68, 1},
		{"map_token_fd without the flag", 76, 5},
		{"excl_prog_hash_size alone", 88, 32},
	};

	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		ATTR(attr);

		attr.map_create.map_type = BPF_MAP_TYPE_ARRAY;
		attr.map_create.key_size = 4;
		attr.map_create.value_size = 8;
		attr.map_create.max_entries = 1;
		memcpy(attr.bytes + rows[i].offset, &rows[i].value, 4);
		note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, sizeof(attr)), "%s",
			    rows[i].what);
		attr.map_create.map_flags = BPF_F_NUMA_NODE;
		note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, sizeof(attr)),
			    "%s, on a node", rows[i].what);
	}
}

static void names(struct side *side)
{
	static const char *const names[] = {
		"",    "a",    "A.b_9", "fifteen_letters", "sixteen_letters_", "a b", "a-b",
		"a/b", "\x80", "a\n"};

	for (unsigned i = 0; i < FORT_LEN(names); i++) {
		ATTR(attr);

		attr.map_create.map_type = BPF_MAP_TYPE_ARRAY;
		attr.map_create.key_size = 4;
		attr.map_create.value_size = 8;
		attr.map_create.max_entries = 1;
		memcpy(attr.map_create.map_name, names[i],
		       strlen(names[i]) < 16 ? strlen(names[i]) : 16);
		note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, 72), "name %u", i);
		/* what follows the NUL does not count */
		if (strlen(names[i]) < 14)
			attr.map_create.map_name[15] = '/';
		note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, 72), "name %u, more",
			    i);
	}
}

/* Two faults in one call: which is told says which is looked at first. */
static void creation_order(struct side *side)
{
	static const struct {
		const char *what;
		uint32_t offset, value;
	} faults[] = {
		{"type", 0, 1000},
		{"key", 4, 8},
		{"entries", 12, 0},
		{"flags", 16, 1u << 20},
		{"both modes", 16, BPF_F_RDONLY | BPF_F_WRONLY},
		{"token", 16, 1u << 16},
		{"name", 28, 0x2f2f2f2f},
		{"btf", 56, 1},
		{"key without value", 52, 1},
		{"map_extra", 64, 1},
		{"value too large", 8, 0x80000000},
	};

	for (unsigned i = 0; i < FORT_LEN(faults); i++)
		for (unsigned j = 0; j < FORT_LEN(faults); j++) {
			ATTR(attr);

			attr.map_create.map_type = BPF_MAP_TYPE_ARRAY;
			attr.map_create.key_size = 4;
			attr.map_create.value_size = 8;
			attr.map_create.max_entries = 1;
			attr.map_create.map_token_fd = -1;
			attr.map_create.btf_fd = 0xffffffff;
			memcpy(attr.bytes + faults[i].offset, &faults[i].value, 4);
			memcpy(attr.bytes + faults[j].offset, &faults[j].value, 4);
			note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, sizeof(attr)),
				    "%s and %s", faults[i].what, faults[j].what);
		}
}

static void creation_with_btf(struct side *side)
{
	static const struct {
		const char *what;
		struct create_row map;
		uint32_t key, value;
	} rows[] = {
		{"array", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, S_INT, S_STRUCT},
		{"array, value by modifiers",
		 {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0},
		 S_INT,
		 S_CONST},
		{"array, tagged key", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, S_TYPE_TAG, S_CONST},
		{"array, key too small", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, S_CHAR, S_STRUCT},
		{"array, key no integer", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, S_ENUM, S_STRUCT},
		{"array, value too small", {"", BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0}, S_INT, S_STRUCT},
		{"array, value sizeless", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, S_INT, S_FWD},
		{"array, value void", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, S_INT, 0},
		{"array, value missing", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, S_INT, 999},
		{"array, key missing", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, 999, S_STRUCT},
		{"array, no key", {"", BPF_MAP_TYPE_ARRAY, 4, 32, 4, 0}, 0, S_STRUCT},
		{"section", {"", BPF_MAP_TYPE_ARRAY, 4, 40, 1, 0}, 0, S_DATASEC},
		{"section of two", {"", BPF_MAP_TYPE_ARRAY, 4, 40, 2, 0}, 0, S_DATASEC},
		{"section with key", {"", BPF_MAP_TYPE_ARRAY, 4, 40, 2, 0}, S_INT, S_DATASEC},
		{"per-CPU section", {"", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 40, 1, 0}, 0, S_DATASEC},
		{"per-CPU array", {"", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1, 0}, S_INT, S_ENUM64},
		{"hash", {"", BPF_MAP_TYPE_HASH, 32, 4, 4, 0}, S_STRUCT, S_INT},
		{"hash, no key", {"", BPF_MAP_TYPE_HASH, 4, 4, 4, 0}, 0, S_INT},
		{"ring buffer", {"", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0}, S_INT, S_INT},
		{"ring buffer, no key", {"", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0}, 0, S_INT},
	};
	int fds[] = {make_btf(side), make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), -1, 0};

	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		for (unsigned f = 0; f < FORT_LEN(fds); f++) {
			ATTR(attr);

			attr.map_create.map_type = rows[i].map.type;
			attr.map_create.key_size = rows[i].map.key;
			attr.map_create.value_size = rows[i].map.value;
			attr.map_create.max_entries = rows[i].map.entries;
			attr.map_create.btf_fd = (uint32_t)fds[f];
			attr.map_create.btf_key_type_id = rows[i].key;
			attr.map_create.btf_value_type_id = rows[i].value;
			note_result(side, side_bpf(side, FORT_CMD_MAP_CREATE, &attr, 72),
				    "%s, fd %u", rows[i].what, f);
		}
}

/* --- elements --- */

static long element(struct side *side, int cmd, int map, const void *key, void *value,
		    uint64_t flags)
{
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)map;
	attr.elem.key = PTR(key);
	attr.elem.value = PTR(value);
	attr.elem.flags = flags;
	return side_bpf(side, cmd, &attr, fort_cmds[cmd].attr_bytes);
}

static void note_element(struct side *side, const char *what, int cmd, int map, const void *key,
			 void *value, uint64_t flags)
{
	note_result(side, element(side, cmd, map, key, value, flags), "%s: cmd %d flags %llu", what,
		    cmd, (unsigned long long)flags);
}

/* Every command with good and bad pointers and flags. */
static void every_element_call(struct side *side, const char *what, int map)
{
	static uint8_t value[65536], *guard;
	static const uint64_t flags[] = {0, 1, 2, 3, 4, 5, 8, 1ull << 32, ~0ull};
	uint32_t keys[] = {0, 1, 2, 0xffffffff};
	long bad = -4096;

	if (!guard) {
		guard = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		mprotect(guard + 4096, 4096, PROT_NONE);
	}
	for (int cmd = FORT_CMD_MAP_LOOKUP_ELEM; cmd <= FORT_CMD_MAP_GET_NEXT_KEY; cmd++) {
		for (unsigned k = 0; k < FORT_LEN(keys); k++)
			for (unsigned f = 0; f < FORT_LEN(flags); f++) {
				if (flags[f] && cmd > FORT_CMD_MAP_UPDATE_ELEM)
					continue;
				memset(value, 0x11, sizeof(value));
				note_element(side, what, cmd, map, &keys[k], value, flags[f]);
				if (cmd == FORT_CMD_MAP_LOOKUP_ELEM)
					note(side, "value %02x %02x", value[0], value[7]);
			}
		note_element(side, what, cmd, map, NULL, value, 0);
		note_element(side, what, cmd, map, keys, NULL, 0);
		note_element(side, what, cmd, map, (void *)bad, value, 0);
		note_element(side, what, cmd, map, keys, (void *)bad, 0);
		note_element(side, what, cmd, map, guard + 4094, value, 0);
		note_element(side, what, cmd, map, keys, guard + 4095, 0);
	}
}

static void elements(struct side *side)
{
	int array = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0);
	int hash = make_map(side, BPF_MAP_TYPE_HASH, 4, 8, 2, 0);
	int percpu = make_map(side, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 2, 0);
	int ring = make_map(side, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);

	every_element_call(side, "array", array);
	every_element_call(side, "hash", hash);
	every_element_call(side, "per-CPU array", percpu);
	every_element_call(side, "ring buffer", ring);
}

/* A value of n bytes is exactly n bytes of the caller's memory. */
static void values_at_the_end_of_a_page(struct side *side)
{
	uint8_t *page =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t key = 0;

	mprotect(page + 4096, 4096, PROT_NONE);
	for (uint32_t bytes = 1; bytes < 20; bytes++) {
		int map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, bytes, 1, 0);

		memset(page + 4096 - bytes, (int)bytes, bytes);
		note_element(side, "update", FORT_CMD_MAP_UPDATE_ELEM, map, &key,
			     page + 4096 - bytes, 0);
		memset(page + 4000, 0xee, 96);
		note_element(side, "lookup", FORT_CMD_MAP_LOOKUP_ELEM, map, &key,
			     page + 4096 - bytes, 0);
		note(side, "%02x %02x %02x", page[4095 - bytes], page[4096 - bytes], page[4095]);
	}
	munmap(page, 8192);
}

/* What a descriptor may do is fixed when it is opened. */
static void descriptor_modes(struct side *side)
{
	static const uint32_t modes[] = {
		0,       BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_RDONLY | BPF_F_WRONLY, BPF_F_NO_PREALLOC,
		1u << 30};
	uint32_t key = 0;
	uint64_t value = 7;

	for (unsigned i = 0; i < FORT_LEN(modes); i++) {
		int map = make_map(side, BPF_MAP_TYPE_HASH, 4, 8, 2, modes[i] <= 16 ? modes[i] : 0);
		struct bpf_map_info info = {0};
		ATTR(attr);

		for (int cmd = 1; cmd <= 4; cmd++)
			note_element(side, "created so", cmd, map, &key, &value, 0);
		note(side, "%x", fcntl(map, F_GETFL) & O_ACCMODE);
		attr.info.bpf_fd = (uint32_t)map;
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "info");
		note(side, "flags %x", info.map_flags);
		for (unsigned j = 0; j < FORT_LEN(modes); j++) {
			long fd;

			memset(&attr, 0, sizeof(attr));
			attr.by_id.id = info.id;
			attr.by_id.open_flags = modes[j];
			fd = note_result(side, side_bpf(side, FORT_CMD_MAP_GET_FD_BY_ID, &attr, 12),
					 "by id, mode %x", modes[j]);
			for (int cmd = 1; fd >= 0 && cmd <= 4; cmd++)
				note_element(side, "opened so", cmd, (int)fd, &key, &value, 0);
		}
		memset(&attr, 0, sizeof(attr));
		attr.fd = (uint32_t)map;
		note_result(side, side_bpf(side, FORT_CMD_MAP_FREEZE, &attr, 4), "freeze");
	}
}

/* --- freezing, mapping --- */

static void freezing(struct side *side)
{
	static const uint32_t flags[] = {0, BPF_F_MMAPABLE, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG,
					 BPF_F_RDONLY_PROG};
	uint32_t key = 0;
	uint64_t value = 7;

	for (unsigned i = 0; i < FORT_LEN(flags); i++) {
		int map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 2, flags[i]);
		ATTR(attr);
		void *at;

		attr.fd = (uint32_t)map;
		note_element(side, "before", FORT_CMD_MAP_UPDATE_ELEM, map, &key, &value, 0);
		note_result(side, side_bpf(side, FORT_CMD_MAP_FREEZE, &attr, 4), "freeze");
		note_result(side, side_bpf(side, FORT_CMD_MAP_FREEZE, &attr, 4), "again");
		note_element(side, "update", FORT_CMD_MAP_UPDATE_ELEM, map, &key, &value, 0);
		note_element(side, "delete", FORT_CMD_MAP_DELETE_ELEM, map, &key, &value, 0);
		value = 0;
		note_element(side, "lookup", FORT_CMD_MAP_LOOKUP_ELEM, map, &key, &value, 0);
		note(side, "value %llu", (unsigned long long)value);
		if (flags[i] != (BPF_F_MMAPABLE | BPF_F_RDONLY_PROG))
			continue;
		at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
		note(side, "map for writing: %d", at == MAP_FAILED ? errno : 0);
		at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, map, 0);
		note(side, "map for reading: %d", at == MAP_FAILED ? errno : 0);
		note(side, "value %llu", at == MAP_FAILED ? 0ull : *(unsigned long long *)at);
		if (at != MAP_FAILED) {
			note(side, "make it writable: %d",
			     mprotect(at, 4096, PROT_READ | PROT_WRITE) ? errno : 0);
			munmap(at, 4096);
		}
	}
}

/* --- ids and info --- */

/* Ids differ from side to side: what is compared is how they relate. */
static void ids(struct side *side)
{
	int maps[3], btf;
	uint32_t id[3];
	ATTR(attr);

	for (unsigned i = 0; i < 3; i++) {
		struct bpf_map_info info = {0};

		maps[i] = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
		memset(&attr, 0, sizeof(attr));
		attr.info.bpf_fd = (uint32_t)maps[i];
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "info");
		note(side, "%u bytes, name %s", attr.info.info_len, info.name);
		id[i] = info.id;
	}
	note(side, "rising: %d", id[0] < id[1] && id[1] < id[2]);
	memset(&attr, 0, sizeof(attr));
	attr.by_id.id = id[0];
	note_result(side, side_bpf(side, FORT_CMD_MAP_GET_NEXT_ID, &attr, 8), "next");
	note(side, "next is the second: %d", attr.by_id.next_id == id[1]);
	attr.by_id.id = id[2];
	note_result(side, side_bpf(side, FORT_CMD_MAP_GET_NEXT_ID, &attr, 8), "next of the last");
	attr.by_id.id = 0x7fffffff;
	note_result(side, side_bpf(side, FORT_CMD_MAP_GET_NEXT_ID, &attr, 8), "beyond INT_MAX");
	attr.by_id.id = 0xffffffff;
	note_result(side, side_bpf(side, FORT_CMD_MAP_GET_NEXT_ID, &attr, 8), "-1");

	for (int cmd = 0; cmd < FORT_CMDS; cmd++) {
		if (cmd != FORT_CMD_MAP_GET_FD_BY_ID && cmd != FORT_CMD_PROG_GET_FD_BY_ID &&
		    cmd != FORT_CMD_BTF_GET_FD_BY_ID && cmd != FORT_CMD_LINK_GET_FD_BY_ID)
			continue;
		memset(&attr, 0, sizeof(attr));
		note_result(side, side_bpf(side, cmd, &attr, fort_cmds[cmd].attr_bytes), "id 0");
		attr.by_id.id = 0x7ffffff0;
		note_result(side, side_bpf(side, cmd, &attr, fort_cmds[cmd].attr_bytes),
			    "no such id");
		attr.by_id.id = 0xffffffff;
		note_result(side, side_bpf(side, cmd, &attr, fort_cmds[cmd].attr_bytes), "id -1");
		attr.by_id.open_flags = FORT_BPF_F_TOKEN_FD;
		attr.by_id.token_fd = -1;
		note_result(side, side_bpf(side, cmd, &attr, fort_cmds[cmd].attr_bytes), "token");
		attr.by_id.open_flags = 1;
		note_result(side, side_bpf(side, cmd, &attr, fort_cmds[cmd].attr_bytes), "flag 1");
	}
	btf = make_btf(side);
	close(maps[1]);
	side->fds[1] = -1;
	memset(&attr, 0, sizeof(attr));
	attr.by_id.id = id[0];
	/* the kernel frees maps a moment later */
	for (int i = 0; i < 200 && !side->store; i++) {
		side_bpf(side, FORT_CMD_MAP_GET_NEXT_ID, &attr, 8);
		if (attr.by_id.next_id != id[1])
			break;
		usleep(1000);
	}
	note_result(side, side_bpf(side, FORT_CMD_MAP_GET_NEXT_ID, &attr, 8), "next after close");
	note(side, "it is the third: %d", attr.by_id.next_id == id[2]);
	note(side, "%d", btf > 0);
}

/* info_len from 0 to beyond every struct, for each kind; a guard page follows the caller's. */
static void info_lengths_of(struct side *side, const char *what, int fd, unsigned most,
			    unsigned ids_at)
{
	uint8_t *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(two + 4096, 4096, PROT_NONE);
	for (unsigned length = 0; length < most; length++) {
		uint8_t *info = two + 4096 - length;
		unsigned filled = 0;
		ATTR(attr);

		memset(two, 0xaa, 4096);
		memset(info, 0, length);
		attr.info.bpf_fd = (uint32_t)fd;
		attr.info.info_len = length;
		attr.info.info = PTR(info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "%s length %u", what, length);
		if (length > ids_at + 3)
			memset(info + ids_at, 0, 4);
		for (unsigned i = 0; i < length; i++)
			filled = filled * 31 + info[i];
		note(side, "said %u, before it %02x, contents %x", attr.info.info_len,
		     two[4095 - length], length > ids_at + 3 ? filled : 0);
		if (!length)
			continue;
		memset(info, 0, length);
		info[length - 1] = 1;
		attr.info.info_len = length;
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "%s length %u, last byte set", what, length);
		attr.info.info_len = length + 1;
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "%s length %u, beyond", what, length);
	}
	munmap(two, 8192);
}

static void info_lengths(struct side *side)
{
	int map = make_map(side, BPF_MAP_TYPE_HASH, 4, 8, 100, BPF_F_NO_PREALLOC);
	int btf = make_btf(side);
	ATTR(attr);

	info_lengths_of(side, "map", map, 200, 4);
	info_lengths_of(side, "btf", btf, 100, 12);
	attr.info.bpf_fd = (uint32_t)map;
	attr.info.info_len = 4097;
	note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "too long");
	attr.info.info_len = 80;
	note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "no pointer");
}

static void map_hash(struct side *side)
{
	static const struct {
		uint32_t type, freeze, bytes;
	} rows[] = {{BPF_MAP_TYPE_ARRAY, 1, 32}, {BPF_MAP_TYPE_ARRAY, 0, 32},
		    {BPF_MAP_TYPE_ARRAY, 1, 31}, {BPF_MAP_TYPE_ARRAY, 0, 33},
		    {BPF_MAP_TYPE_HASH, 1, 32},  {BPF_MAP_TYPE_ARRAY, 1, 0}};

	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		int map = make_map(side, rows[i].type, 4, 12, 3, 0);
		uint8_t info[104] = {0}, hash[32] = {0}, value[12] = "hello world";
		uint64_t address = PTR(hash);
		uint32_t key = 1;
		ATTR(attr);

		element(side, FORT_CMD_MAP_UPDATE_ELEM, map, &key, value, 0);
		attr.fd = (uint32_t)map;
		if (rows[i].freeze)
			note_result(side, side_bpf(side, FORT_CMD_MAP_FREEZE, &attr, 4), "freeze");
		memcpy(info + 88, &address, 8);
		memcpy(info + 96, &rows[i].bytes, 4);
		memset(&attr, 0, sizeof(attr));
		attr.info.bpf_fd = (uint32_t)map;
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "hash, row %u", i);
		for (unsigned b = 0; b < 32; b++)
			note(side, "%02x", hash[b]);
	}
}

static void btf_info(struct side *side)
{
	static const struct {
		uint32_t room, name_room;
		bool btf, name;
	} rows[] = {{0, 0, false, false}, {8, 0, true, false}, {100000, 0, true, false},
		    {8, 0, false, false}, {0, 4, false, true}, {0, 1, false, true},
		    {0, 4, false, false}, {0, 0, false, true}};
	int btf = make_btf(side);

	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		static uint8_t data[100000];
		char name[8] = "xxxxxxx";
		struct bpf_btf_info info = {
			.btf = rows[i].btf ? PTR(data) : 0,
			.btf_size = rows[i].room,
			.name = rows[i].name ? PTR(name) : 0,
			.name_len = rows[i].name_room,
		};
		uint32_t sum = 0;
		ATTR(attr);

		memset(data, 0, sizeof(data));
		attr.info.bpf_fd = (uint32_t)btf;
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "row %u",
			    i);
		for (unsigned b = 0; b < sizeof(data); b++)
			sum = sum * 31 + data[b];
		note(side, "size %u name_len %u kernel %u data %x name %.7s", info.btf_size,
		     info.name_len, info.kernel_btf, sum, name);
	}
}

/* --- BTF_LOAD's attributes --- */

static void btf_load(struct side *side)
{
	static const struct {
		const char *what;
		uint32_t level, room, size;
		bool log;
	} rows[] = {
		{"no log", 0, 0, 0, false},
		{"level without buffer", 1, 0, 0, false},
		{"buffer without level", 0, 64, 0, true},
		{"buffer without size", 1, 0, 0, true},
		{"size without buffer", 1, 64, 0, false},
		{"level 16", 16, 100000, 0, true},
		{"level 2", 2, 100000, 0, true},
		{"all levels", 15, 100000, 0, true},
		{"only statistics", 4, 100000, 0, true},
		{"tiny", 1, 1, 0, true},
		{"small", 1, 100, 0, true},
		{"small, fixed", 9, 100, 0, true},
		{"largest", 1, 0x3fffffff, 0, true},
		{"too large", 1, 0x40000000, 0, true},
		{"short blob", 1, 100000, 10, true},
		{"blob of 0", 1, 100000, 1, true},
		{"blob too large", 1, 100000, (16 << 20) + 1, true},
	};
	static struct btf_build build;
	static char log[100000];

	build_sample(&build);
	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		for (unsigned size = 24; size <= 40; size += 4) {
			uint32_t sum = 0;
			ATTR(attr);

			memset(log, 'x', sizeof(log));
			attr.btf_load.btf = PTR(build.blob);
			attr.btf_load.btf_size = rows[i].size ? rows[i].size - 1 : build.bytes;
			attr.btf_load.btf_log_buf = rows[i].log ? PTR(log) : 0;
			attr.btf_load.btf_log_size = rows[i].room;
			attr.btf_load.btf_log_level = rows[i].level;
			attr.btf_load.btf_log_true_size = 0;
			note_result(side, side_bpf(side, FORT_CMD_BTF_LOAD, &attr, size),
				    "%s, attr %u", rows[i].what, size);
			for (unsigned b = 0; b < sizeof(log); b++)
				sum = sum * 31 + (uint8_t)log[b];
			note(side, "log %x, needed %u", sum, attr.btf_load.btf_log_true_size);
		}
	for (unsigned i = 0; i < 3; i++) {
		ATTR(attr);

		attr.btf_load.btf = i ? PTR(build.blob) : 0;
		attr.btf_load.btf_size = build.bytes;
		attr.btf_load.btf_flags = i == 1 ? 1 : i == 2 ? FORT_BPF_F_TOKEN_FD : 0;
		attr.btf_load.btf_token_fd = -1;
		attr.btf_load.btf_log_true_size = 77;
		note_result(side, side_bpf(side, FORT_CMD_BTF_LOAD, &attr, 40), "fault %u", i);
		note(side, "%u", attr.btf_load.btf_log_true_size);
		attr.btf_load.btf_log_buf = 1;
		attr.btf_load.btf_log_size = 100;
		attr.btf_load.btf_log_level = 1;
		note_result(side, side_bpf(side, FORT_CMD_BTF_LOAD, &attr, 40), "bad log, fault %u",
			    i);
	}
}

#define COMPARE(scenario)                           \
	static void test_##scenario(void **state)   \
	{                                           \
		(void)state;                        \
		compare_sides(#scenario, scenario); \
	}

COMPARE(creations)
COMPARE(creation_fields)
COMPARE(names)
COMPARE(creation_order)
COMPARE(creation_with_btf)
COMPARE(elements)
COMPARE(values_at_the_end_of_a_page)
COMPARE(descriptor_modes)
COMPARE(freezing)
COMPARE(ids)
COMPARE(info_lengths)
COMPARE(map_hash)
COMPARE(btf_info)
COMPARE(btf_load)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_creations),
		cmocka_unit_test(test_creation_fields),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_creation_order),
		cmocka_unit_test(test_creation_with_btf),
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_values_at_the_end_of_a_page),
		cmocka_unit_test(test_descriptor_modes),
		cmocka_unit_test(test_freezing),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_info_lengths),
		cmocka_unit_test(test_map_hash),
		cmocka_unit_test(test_btf_info),
		cmocka_unit_test(test_btf_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
