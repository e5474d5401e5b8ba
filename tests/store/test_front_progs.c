/* PROG_LOAD, program info, BIND_MAP and TEST_RUN's inputs, here and in the running kernel. The
 * road is a recording one: programs are such that the kernel accepts them, and what is compared
 * is everything around verification.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "btf_build.h"
#include "front.h"
#include "recording_road.h"

static const char *const nothing = "mov r0, 0\nexit";

static void fill(union fort_attr *attr, const char *text)
{
	memset(attr, 0, sizeof(*attr));
	attr->prog_load.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr->prog_load.insns = PTR(program(text, &attr->prog_load.insn_cnt));
	attr->prog_load.license = PTR("GPL");
}

static long load(struct side *side, union fort_attr *attr)
{
	return side_bpf(side, FORT_CMD_PROG_LOAD, attr, sizeof(*attr));
}

/* One field of the attributes set: what is said, alone and with every other. */
static const struct {
	const char *what;
	uint32_t offset, value;
} faults[] = {
	{"type unknown", 0, 1000},
	{"no instructions", 4, 0},
	{"too many instructions", 4, 1000001},
	{"insns NULL", 8, 0},
	{"license NULL", 16, 0},
	{"level without buffer is fine", 24, 1},
	{"log size alone", 28, 100},
	{"log buffer alone", 32, 8},
	{"log level 16", 24, 16},
	{"kern_version is ignored", 40, 0x12345678},
	{"flag unknown", 44, 1u << 20},
	{"token", 44, FORT_BPF_F_TOKEN_FD},
	{"name", 48, 0x2f2f2f2f},
	{"ifindex", 64, 1000000},
	{"expected_attach_type", 68, 5},
	{"prog_btf_fd without records", 72, 0xffffffff},
	{"func_info_rec_size alone", 76, 1},
	{"func_info_cnt alone", 88, 1},
	{"line_info_rec_size alone", 92, 1},
	{"line_info_cnt alone", 104, 1},
	{"attach_btf_id", 108, 1},
	{"attach_prog_fd", 112, 0xfffff},
	{"core_relo_cnt without records", 116, 1},
	{"core_relo_rec_size alone", 136, 7},
	{"token fd without the flag", 144, 5},
	{"fd_array_cnt alone", 148, 1},
	{"fd_array_cnt too large", 148, 0x40000000},
};

static void attributes(struct side *side)
{
	for (unsigned i = 0; i < FORT_LEN(faults); i++)
		for (unsigned j = 0; j < FORT_LEN(faults); j++) {
			ATTR(attr);

			fill(&attr, nothing);
			attr.prog_load.prog_token_fd = -1;
			memcpy(attr.bytes + faults[i].offset, &faults[i].value, 4);
			memcpy(attr.bytes + faults[j].offset, &faults[j].value, 4);
			note_result(side, load(side, &attr), "%s and %s", faults[i].what,
				    faults[j].what);
		}
}

static void types_and_flags(struct side *side)
{
	static const uint32_t types[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_KPROBE,
					 BPF_PROG_TYPE_SCHED_CLS,     BPF_PROG_TYPE_TRACEPOINT,
					 BPF_PROG_TYPE_XDP,           BPF_PROG_TYPE_RAW_TRACEPOINT,
					 BPF_PROG_TYPE_SYSCALL};

	for (unsigned t = 0; t < FORT_LEN(types); t++)
		for (uint32_t bit = 0; bit < 32; bit++) {
			ATTR(attr);

			if (bit == 6) /* bound to a device: another errno without one, by type */
				continue;
			fill(&attr, nothing);
			attr.prog_load.prog_type = types[t];
			attr.prog_load.prog_flags = 1u << bit;
			attr.prog_load.prog_token_fd = -1;
			note_result(side, load(side, &attr), "type %u flag %u", types[t], bit);
			attr.prog_load.prog_flags =
				types[t] == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
			attr.prog_load.expected_attach_type = bit;
			note_result(side, load(side, &attr), "type %u attach %u", types[t], bit);
		}
}

/* Names, licenses, sizes of the attributes. */
static void texts(struct side *side)
{
	static const char *const licenses[] = {"",
					       "GPL",
					       "GPL v2",
					       "GPL and additional rights",
					       "Dual BSD/GPL",
					       "Dual MIT/GPL",
					       "Dual MPL/GPL",
					       "gpl",
					       "GPL ",
					       "MIT"};
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(two + 4096, 4096, PROT_NONE);
	for (unsigned i = 0; i < FORT_LEN(licenses); i++) {
		struct bpf_prog_info info = {0};
		long fd;
		ATTR(attr);

		fill(&attr, nothing);
		attr.prog_load.license = PTR(licenses[i]);
		fd = note_result(side, load(side, &attr), "license %u", i);
		memset(&attr, 0, sizeof(attr));
		attr.info.bpf_fd = (uint32_t)fd;
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "info");
		note(side, "gpl %u", info.gpl_compatible);
	}
	memset(two, 'G', 4096);
	for (unsigned before = 1; before < 200; before += 9) {
		ATTR(attr);

		fill(&attr, nothing);
		attr.prog_load.license = PTR(two + 4096 - before);
		note_result(side, load(side, &attr), "license of %u without end", before);
		attr.prog_load.license = PTR("GPL");
		attr.prog_load.insns = PTR(two + 4096 - before);
		if (before >= 16)
			memcpy(two + 4096 - before, program(nothing, &attr.prog_load.insn_cnt), 16);
		note_result(side, load(side, &attr), "%u bytes of instructions", before);
	}
	munmap(two, 8192);
	for (unsigned size = 40; size <= 168; size += 4) {
		ATTR(attr);

		fill(&attr, nothing);
		note_result(side, side_bpf(side, FORT_CMD_PROG_LOAD, &attr, size), "size %u", size);
	}
}

/* --- maps --- */

static void load_with_maps(struct side *side, const char *what, const char *fmt, int fd)
{
	static char log[4096];
	char text[400];
	ATTR(attr);

	snprintf(text, sizeof(text), fmt, fd, fd, fd);
	log[0] = 0;
	fill(&attr, text);
	attr.prog_load.log_buf = PTR(log);
	attr.prog_load.log_size = sizeof(log);
	attr.prog_load.log_level = 1;
	note_result(side, load(side, &attr), "%s", what);
	/* of the kernel's text, the line about the reference */
	for (const char *line = log; *line;
	     line += strcspn(line, "\n") + (strchr(line, '\n') != NULL))
		if (strstr(line, "bpf_map") == line + 0 || !strncmp(line, "fd ", 3) ||
		    !strncmp(line, "direct value", 12) || !strncmp(line, "no direct", 9) ||
		    !strncmp(line, "invalid access to map value pointer", 35) ||
		    !strncmp(line, "unrecognized", 12))
			note(side, "%.*s", (int)strcspn(line, "0123456789\n"), line);
}

static void map_references(struct side *side)
{
	int maps[] = {
		make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0),
		make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0),
		make_map(side, BPF_MAP_TYPE_HASH, 4, 8, 1, 0),
		make_map(side, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1, 0),
		make_map(side, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0),
		make_btf(side),
		-1,
		99999,
		0,
	};

	for (unsigned i = 0; i < FORT_LEN(maps); i++) {
		load_with_maps(side, "map", "lddw r1, map_fd %d\nmov r0, 0\nexit", maps[i]);
		load_with_maps(side, "value", "lddw r1, map_value %d, 0\nmov r0, 0\nexit", maps[i]);
		load_with_maps(side, "value at 7", "lddw r1, map_value %d, 7\nmov r0, 0\nexit",
			       maps[i]);
		load_with_maps(side, "value at 8", "lddw r1, map_value %d, 8\nmov r0, 0\nexit",
			       maps[i]);
		load_with_maps(side, "value at 2^29",
			       "lddw r1, map_value %d, 536870912\nmov r0, 0\nexit", maps[i]);
		load_with_maps(side, "value at -1", "lddw r1, map_value %d, -1\nmov r0, 0\nexit",
			       maps[i]);
		load_with_maps(side, "map with offset", "lddw r1, map_fd %d, 8\nmov r0, 0\nexit",
			       maps[i]);
		load_with_maps(side, "index without array", "lddw r1, map_idx %d\nmov r0, 0\nexit",
			       maps[i]);
		load_with_maps(side, "twice",
			       "lddw r1, map_fd %d\nlddw r2, map_fd %d\nmov r0, 0\nexit", maps[i]);
	}
}

static void map_arrays(struct side *side)
{
	int fds[] = {make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0),
		     make_map(side, BPF_MAP_TYPE_HASH, 4, 8, 1, 0), make_btf(side), -1};
	static const struct {
		const char *what, *text;
		uint32_t count;
	} rows[] = {
		{"first", "lddw r1, map_idx 0\nmov r0, 0\nexit", 0},
		{"second", "lddw r1, map_idx 1\nmov r0, 0\nexit", 0},
		{"BTF", "lddw r1, map_idx 2\nmov r0, 0\nexit", 0},
		{"bad", "lddw r1, map_idx 3\nmov r0, 0\nexit", 0},
		{"far", "lddw r1, map_idx 100000000\nmov r0, 0\nexit", 0},
		{"negative", "lddw r1, map_idx -1000000\nmov r0, 0\nexit", 0},
		{"value", "lddw r1, map_idx_value 0, 4\nmov r0, 0\nexit", 0},
		{"counted", "lddw r1, map_idx 1\nmov r0, 0\nexit", 3},
		{"counted, with a bad one", "lddw r1, map_idx 1\nmov r0, 0\nexit", 4},
		{"counted, none used", "mov r0, 0\nexit", 2},
		{"counted, too far", "mov r0, 0\nexit", 0x10000000},
	};

	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		struct bpf_prog_info info = {0};
		uint32_t ids[8] = {0};
		long fd;
		ATTR(attr);

		fill(&attr, rows[i].text);
		attr.prog_load.fd_array = PTR(fds);
		attr.prog_load.fd_array_cnt = rows[i].count;
		fd = note_result(side, load(side, &attr), "%s", rows[i].what);
		info.nr_map_ids = 8;
		info.map_ids = PTR(ids);
		memset(&attr, 0, sizeof(attr));
		attr.info.bpf_fd = (uint32_t)fd;
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "info");
		note(side, "%u maps", info.nr_map_ids);
	}
}

/* A program may name 64 maps. */
static void too_many_maps(struct side *side)
{
	char text[65 * 32 + 32] = "";
	ATTR(attr);

	for (unsigned i = 0; i < 65; i++) {
		char line[40];

		snprintf(line, sizeof(line), "lddw r1, map_fd %d\n",
			 make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0));
		strcat(text, line);
		if (i < 63)
			continue;
		strcat(text, "mov r0, 0\nexit");
		fill(&attr, text);
		note_result(side, load(side, &attr), "%u maps", i + 1);
		text[strlen(text) - strlen("mov r0, 0\nexit")] = 0;
	}
}

/* --- BTF records --- */

struct records {
	const char *what;
	struct {
		uint32_t words[8];
		uint32_t count, bytes;
	} func, line;
};

static void func_and_line_records(struct side *side)
{
	static const char two[] = "call local f\nexit\nf:\nmov r0, 0\nexit";
	static const struct records rows[] = {
		{"both", {{0, S_FUNC, 2, S_FUNC}, 2, 8}, {{0, 1, 1, 1, 2, 1, 1, 1}, 2, 16}},
		{"functions only", {{0, S_FUNC, 2, S_FUNC}, 2, 8}, {{0}, 0, 0}},
		{"lines only", {{0}, 0, 0}, {{0, 1, 1, 1, 2, 1, 1, 1}, 2, 16}},
		{"one function missing", {{0, S_FUNC}, 1, 8}, {{0}, 0, 0}},
		{"function not at a subprogram", {{0, S_FUNC, 1, S_FUNC}, 2, 8}, {{0}, 0, 0}},
		{"three functions", {{0, S_FUNC, 2, S_FUNC, 3, S_FUNC}, 3, 8}, {{0}, 0, 0}},
		{"no function type", {{0, S_INT, 2, S_FUNC}, 2, 8}, {{0}, 0, 0}},
		{"first not at 0", {{1, S_FUNC, 2, S_FUNC}, 2, 8}, {{0}, 0, 0}},
		{"equal offsets", {{0, S_FUNC, 0, S_FUNC}, 2, 8}, {{0}, 0, 0}},
		{"record of 4", {{0, S_FUNC}, 1, 4}, {{0}, 0, 0}},
		{"record of 256", {{0, S_FUNC}, 1, 256}, {{0}, 0, 0}},
		{"record of 10", {{0, S_FUNC}, 1, 10}, {{0}, 0, 0}},
		{"larger records", {{0, S_FUNC, 0, 2, S_FUNC, 0}, 2, 12}, {{0}, 0, 0}},
		{"larger records that say more",
		 {{0, S_FUNC, 0, 2, S_FUNC, 1}, 2, 12},
		 {{0}, 0, 0}},
		{"line not at the second function",
		 {{0, S_FUNC, 2, S_FUNC}, 2, 8},
		 {{0, 1, 1, 1, 3, 1, 1, 1}, 2, 16}},
		{"line not at the first", {{0}, 0, 0}, {{1, 1, 1, 1, 2, 1, 1, 1}, 2, 16}},
		{"lines equal", {{0}, 0, 0}, {{0, 1, 1, 1, 0, 1, 1, 1}, 2, 16}},
		{"line beyond", {{0}, 0, 0}, {{0, 1, 1, 1, 4, 1, 1, 1}, 2, 16}},
		{"line of no text", {{0}, 0, 0}, {{0, 1, 99999, 1, 2, 1, 1, 1}, 2, 16}},
		{"line of no file", {{0}, 0, 0}, {{0, 99999, 1, 1, 2, 1, 1, 1}, 2, 16}},
		{"line record of 12", {{0}, 0, 0}, {{0, 1, 1, 1}, 1, 12}},
		{"line record of 20, set", {{0}, 0, 0}, {{0, 1, 1, 1, 5, 0, 0, 0}, 1, 20}},
		{"too many lines", {{0}, 0, 0}, {{0, 1, 1, 1}, 0x10000000, 16}},
	};
	int btf = make_btf(side), map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	int fds[] = {btf, map, -1};

	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		for (unsigned f = 0; f < FORT_LEN(fds); f++) {
			ATTR(attr);

			/* The shape of the program is the road's business; the recording one has
			 * no opinion. */
			if (side->store && f == 0 &&
			    strstr("one function missing, function not at a "
				   "subprogram, three functions, line not at "
				   "the second function, line not at the first",
				   rows[i].what)) {
				note(side, "%s, fd %u: -22", rows[i].what, f);
				continue;
			}
			fill(&attr, two);
			attr.prog_load.prog_btf_fd = (uint32_t)fds[f];
			attr.prog_load.func_info = PTR(rows[i].func.words);
			attr.prog_load.func_info_cnt = rows[i].func.count;
			attr.prog_load.func_info_rec_size = rows[i].func.bytes;
			attr.prog_load.line_info = PTR(rows[i].line.words);
			attr.prog_load.line_info_cnt = rows[i].line.count;
			attr.prog_load.line_info_rec_size = rows[i].line.bytes;
			note_result(side, load(side, &attr), "%s, fd %u", rows[i].what, f);
			if (attr.prog_load.func_info_rec_size != rows[i].func.bytes ||
			    attr.prog_load.line_info_rec_size != rows[i].line.bytes)
				note(side, "sizes told: %u %u", attr.prog_load.func_info_rec_size,
				     attr.prog_load.line_info_rec_size);
		}
}

/* --- info --- */

static void info_lengths(struct side *side)
{
	uint8_t *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int prog = make_prog(side, nothing);

	mprotect(two + 4096, 4096, PROT_NONE);
	for (unsigned length = 0; length < 300; length++) {
		uint8_t *info = two + 4096 - length;
		ATTR(attr);

		memset(two, 0xaa, 4096);
		memset(info, 0, length);
		attr.info.bpf_fd = (uint32_t)prog;
		attr.info.info_len = length;
		attr.info.info = PTR(info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "length %u", length);
		note(side, "said %u, before it %02x", attr.info.info_len, two[4095 - length]);
		if (!length || length < 225)
			continue;
		memset(info, 0, length);
		info[length - 1] = 1;
		attr.info.info_len = length;
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "length %u, last byte set", length);
	}
	munmap(two, 8192);
}

static void info_arrays(struct side *side)
{
	static const struct fort_func_info funcs[] = {{0, S_FUNC}, {4, S_FUNC}};
	static const struct fort_line_info lines[] = {{0, 1, 1, 1}, {2, 1, 1, 2}, {4, 1, 1, 3}};
	int map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), btf = make_btf(side);
	char text[200];
	long prog;
	ATTR(attr);

	snprintf(text, sizeof(text),
		 "lddw r1, map_fd %d\ncall local f\nexit\nf:\nlddw r2, map_value %d, 4\n"
		 "mov r0, 0\nexit",
		 map, map);
	fill(&attr, text);
	attr.prog_load.prog_btf_fd = (uint32_t)btf;
	attr.prog_load.func_info = PTR(funcs);
	attr.prog_load.func_info_cnt = 2;
	attr.prog_load.func_info_rec_size = 8;
	attr.prog_load.line_info = PTR(lines);
	attr.prog_load.line_info_cnt = 3;
	attr.prog_load.line_info_rec_size = 16;
	memcpy(attr.prog_load.prog_name, "fifteen_letters", 15);
	prog = note_result(side, load(side, &attr), "load");

	for (uint32_t room = 0; room < 5; room++) {
		struct bpf_prog_info info = {0};
		struct fort_func_info got_funcs[5] = {0};
		struct fort_line_info got_lines[5] = {0};
		uint32_t ids[5] = {0};

		info.nr_func_info = info.nr_line_info = info.nr_map_ids = room;
		info.func_info_rec_size = room ? 8 : 0;
		info.line_info_rec_size = room ? 16 : 0;
		info.func_info = PTR(got_funcs);
		info.line_info = PTR(got_lines);
		info.map_ids = PTR(ids);
		memset(&attr, 0, sizeof(attr));
		attr.info.bpf_fd = (uint32_t)prog;
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "room %u",
			    room);
		note(side, "type %u name %s uid %u gpl %u maps %u funcs %u (%u) lines %u (%u)",
		     info.type, info.name, info.created_by_uid, info.gpl_compatible,
		     info.nr_map_ids, info.nr_func_info, info.func_info_rec_size, info.nr_line_info,
		     info.line_info_rec_size);
		note(side, "ids %d %d, btf %d, loaded %d", ids[0] != 0, ids[1] != 0,
		     info.btf_id != 0, info.load_time != 0);
		for (unsigned i = 0; i < 5; i++)
			note(side, "%u %u, %u %u %u %u", got_funcs[i].insn, got_funcs[i].type,
			     got_lines[i].insn, got_lines[i].file, got_lines[i].text,
			     got_lines[i].line_column);
		note(side, "tag %02x%02x%02x%02x%02x%02x%02x%02x", info.tag[0], info.tag[1],
		     info.tag[2], info.tag[3], info.tag[4], info.tag[5], info.tag[6], info.tag[7]);
	}
	for (uint32_t size = 0; size < 20; size++) {
		struct bpf_prog_info info = {.func_info_rec_size = size};

		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "function record of %u", size);
		info = (struct bpf_prog_info){.line_info_rec_size = size};
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "line record of %u", size);
		info = (struct bpf_prog_info){.jited_line_info_rec_size = size};
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
			    "jited line record of %u", size);
	}
}

/* What dumps show: map references by id, in the form that the loader wrote. */
static void dumped_instructions(struct side *side)
{
	int map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	struct bpf_map_info map_info = {0};
	char text[200];
	int prog;
	ATTR(attr);

	attr.info.bpf_fd = (uint32_t)map;
	attr.info.info_len = sizeof(map_info);
	attr.info.info = PTR(&map_info);
	side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16);
	snprintf(text, sizeof(text),
		 "lddw r1, map_fd %d\nlddw r2, map_value %d, 4\nlddw r3, 0x1122334455667788\n"
		 "mov r0, 0\nexit",
		 map, map);
	prog = make_prog(side, text);
	for (uint32_t room = 0; room <= 80; room += 8) {
		struct fort_raw_insn insns[10] = {0};
		struct bpf_prog_info info = {.xlated_prog_insns = PTR(insns),
					     .xlated_prog_len = room};

		attr.info.bpf_fd = (uint32_t)prog;
		attr.info.info_len = sizeof(info);
		attr.info.info = PTR(&info);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "room %u",
			    room);
		note(side, "length %u", info.xlated_prog_len);
		for (unsigned i = 0; i < 10; i++)
			note(side, "%02x %u %u %d %d", insns[i].opcode, insns[i].dst, insns[i].src,
			     insns[i].off,
			     (i == 0 || i == 2) && room > 8 * i ? insns[i].imm == (int)map_info.id
								: insns[i].imm);
	}
}

/* --- BIND_MAP --- */

static void bind_map(struct side *side)
{
	int prog = make_prog(side, nothing), map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	int fds[] = {prog, map, -1, 9999};

	for (unsigned p = 0; p < FORT_LEN(fds); p++)
		for (unsigned m = 0; m < FORT_LEN(fds); m++)
			for (uint32_t flags = 0; flags < 2; flags++) {
				struct bpf_prog_info info = {0};
				ATTR(attr);

				attr.bind_map.prog_fd = (uint32_t)fds[p];
				attr.bind_map.map_fd = (uint32_t)fds[m];
				attr.bind_map.flags = flags;
				note_result(side, side_bpf(side, FORT_CMD_PROG_BIND_MAP, &attr, 12),
					    "%u to %u, flags %u", m, p, flags);
				memset(&attr, 0, sizeof(attr));
				attr.info.bpf_fd = (uint32_t)prog;
				attr.info.info_len = sizeof(info);
				attr.info.info = PTR(&info);
				side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16);
				note(side, "%u maps", info.nr_map_ids);
			}
}

/* --- TEST_RUN --- */

static void test_inputs(struct side *side)
{
	static const uint32_t types[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS,
					 BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_RAW_TRACEPOINT,
					 BPF_PROG_TYPE_SYSCALL};
	static const struct {
		const char *what;
		uint32_t offset, value;
	} changes[] = {
		{"nothing", 4, 0},
		{"data of 13", 8, 13},
		{"data of 14", 8, 14},
		{"data of 100", 8, 100},
		{"batch_size", 72, 1},
		{"repeat", 32, 3},
		{"flag 1", 64, 1},
		{"flag 2", 64, 2},
		{"processor 1", 68, 1},
		{"processor 9999", 68, 9999},
		{"flag 8", 64, 8},
		{"context size alone", 40, 8},
		{"context out size alone", 44, 8},
	};
	static uint8_t data[200];

	recording.test_result = (struct fort_test_result){.retval = 0};
	for (unsigned t = 0; t < FORT_LEN(types); t++) {
		long prog;
		ATTR(attr);

		fill(&attr, nothing);
		attr.prog_load.prog_type = types[t];
		attr.prog_load.prog_flags = types[t] == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
		prog = note_result(side, load(side, &attr), "type %u", types[t]);
		for (unsigned i = 0; i < FORT_LEN(changes); i++)
			for (int packet = 0; packet < 2; packet++) {
				memset(&attr, 0, sizeof(attr));
				attr.test.prog_fd = (uint32_t)prog;
				attr.test.retval = 99;
				if (packet) {
					attr.test.data_in = PTR(data);
					attr.test.data_size_in = 64;
				}
				memcpy(attr.bytes + changes[i].offset, &changes[i].value, 4);
				/* live frames go through the kernel's devices: we have none */
				if (types[t] == BPF_PROG_TYPE_XDP && attr.test.flags == 2)
					continue;
				recording.test_result.data_out_bytes = attr.test.data_size_in;
				recording.data_out = data;
				note_result(side, side_bpf(side, FORT_CMD_PROG_TEST_RUN, &attr, 80),
					    "type %u, %s, packet %d", types[t], changes[i].what,
					    packet);
				note(side, "retval %u data_size_out %u", attr.test.retval,
				     attr.test.data_size_out);
			}
	}
}

/* Raw tracepoints may be run on a processor of choice. */
static void test_processors(struct side *side)
{
	static const uint32_t cpus[] = {0, 1, 4095, 4096, 0x7fffffff, 0xffffffff};
	long prog;
	ATTR(attr);

	recording.test_result = (struct fort_test_result){0};
	fill(&attr, nothing);
	attr.prog_load.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
	prog = note_result(side, load(side, &attr), "load");
	for (unsigned i = 0; i < FORT_LEN(cpus); i++) {
		memset(&attr, 0, sizeof(attr));
		attr.test.prog_fd = (uint32_t)prog;
		attr.test.flags = BPF_F_TEST_RUN_ON_CPU;
		attr.test.cpu = cpus[i];
		note_result(side, side_bpf(side, FORT_CMD_PROG_TEST_RUN, &attr, 80), "cpu %u",
			    cpus[i]);
	}
}

static void test_outputs(struct side *side)
{
	static uint8_t packet[100], out[200];
	int prog = make_prog(side, nothing);

	memset(packet, 7, sizeof(packet));
	memset(packet, 0, 14); /* a socket filter's packet comes back without its link header */
	for (uint32_t room = 0; room < 120; room += 10) {
		ATTR(attr);

		memset(out, 0xee, sizeof(out));
		recording.test_result = (struct fort_test_result){.data_out_bytes = 100};
		recording.data_out = packet;
		attr.test.prog_fd = (uint32_t)prog;
		attr.test.data_in = PTR(packet);
		attr.test.data_size_in = sizeof(packet);
		attr.test.data_out = PTR(out);
		attr.test.data_size_out = room;
		note_result(side, side_bpf(side, FORT_CMD_PROG_TEST_RUN, &attr, 80), "room %u",
			    room);
		note(side, "said %u", attr.test.data_size_out);
		for (unsigned i = 0; i < 120; i += 5)
			note(side, "%02x", out[i]);
	}
}

/* Which fields of struct __sk_buff and xdp_md a test may set. */
static void test_contexts(struct side *side)
{
	static uint8_t packet[64], ctx[400];
	static const uint32_t types[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_SCHED_CLS,
					 BPF_PROG_TYPE_XDP};

	recording.test_result = (struct fort_test_result){0};
	for (unsigned t = 0; t < FORT_LEN(types); t++) {
		long prog;
		ATTR(attr);

		fill(&attr, nothing);
		attr.prog_load.prog_type = types[t];
		prog = note_result(side, load(side, &attr), "type %u", types[t]);
		for (uint32_t at = 0; at < 220; at += 4)
			for (uint32_t value = 1; value < 80; value += 39) {
				memset(ctx, 0, sizeof(ctx));
				if (types[t] == BPF_PROG_TYPE_XDP)
					ctx[4] = sizeof(packet);
				memcpy(ctx + at, &value, 4);
				memset(&attr, 0, sizeof(attr));
				attr.test.prog_fd = (uint32_t)prog;
				attr.test.data_in = PTR(packet);
				attr.test.data_size_in = sizeof(packet);
				attr.test.ctx_in = PTR(ctx);
				attr.test.ctx_size_in = 220;
				/* devices are the kernel's: it has a second one, or not */
				if ((types[t] != BPF_PROG_TYPE_XDP && (at == 36 || at == 40)) ||
				    (types[t] == BPF_PROG_TYPE_XDP && at == 12 && value > 1))
					continue;
				note_result(side, side_bpf(side, FORT_CMD_PROG_TEST_RUN, &attr, 80),
					    "type %u, %u at %u", types[t], value, at);
			}
		for (uint32_t size = 0; size < 220; size += 13) {
			memset(ctx, 0, sizeof(ctx));
			if (types[t] == BPF_PROG_TYPE_XDP)
				ctx[4] = sizeof(packet);
			attr.test.ctx_size_in = size;
			attr.test.ctx_in = size ? PTR(ctx) : 0;
			note_result(side, side_bpf(side, FORT_CMD_PROG_TEST_RUN, &attr, 80),
				    "type %u, context of %u", types[t], size);
		}
	}
}

#define COMPARE(scenario)                           \
	static void test_##scenario(void **state)   \
	{                                           \
		(void)state;                        \
		compare_sides(#scenario, scenario); \
	}

COMPARE(attributes)
COMPARE(types_and_flags)
COMPARE(texts)
COMPARE(map_references)
COMPARE(map_arrays)
COMPARE(too_many_maps)
COMPARE(func_and_line_records)
COMPARE(info_lengths)
COMPARE(info_arrays)
COMPARE(dumped_instructions)
COMPARE(bind_map)
COMPARE(test_inputs)
COMPARE(test_processors)
COMPARE(test_outputs)
COMPARE(test_contexts)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_types_and_flags),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_map_references),
		cmocka_unit_test(test_map_arrays),
		cmocka_unit_test(test_too_many_maps),
		cmocka_unit_test(test_func_and_line_records),
		cmocka_unit_test(test_info_lengths),
		cmocka_unit_test(test_info_arrays),
		cmocka_unit_test(test_dumped_instructions),
		cmocka_unit_test(test_bind_map),
		cmocka_unit_test(test_test_inputs),
		cmocka_unit_test(test_test_processors),
		cmocka_unit_test(test_test_outputs),
		cmocka_unit_test(test_test_contexts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
