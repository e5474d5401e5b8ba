/* Programs loaded and run through the front door, the whole road, here and in the running kernel:
 * verdict, errno, log, and what a test run gives back must be the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "front.h"

/* Maps are named by descriptor: FD_ARRAY, FD_HASH and FD_RING become those of the side. */
struct subject {
	const char *name;
	uint32_t type;
	const char *text;
};

static const struct subject subjects[] = {
	{"a number", BPF_PROG_TYPE_SOCKET_FILTER, "mov r0, 0x12345678\nexit"},
	{"wide result is cut", BPF_PROG_TYPE_SCHED_CLS, "lddw r0, 0x1234567890abcdef\nexit"},
	{"length", BPF_PROG_TYPE_SCHED_CLS, "ldxw r0, [r1+0]\nexit"},
	{"length seen by a socket filter", BPF_PROG_TYPE_SOCKET_FILTER, "ldxw r0, [r1+0]\nexit"},
	{"protocol", BPF_PROG_TYPE_SCHED_CLS, "ldxw r0, [r1+16]\nexit"},
	{"packet bytes", BPF_PROG_TYPE_XDP,
	 "ldxw r2, [r1+0]\nldxw r3, [r1+4]\nmov r4, r2\nadd r4, 16\nmov r0, 0\n"
	 "jgt r4, r3, out\nldxw r0, [r2+12]\nout: exit"},
	{"packet is written", BPF_PROG_TYPE_XDP,
	 "ldxw r2, [r1+0]\nldxw r3, [r1+4]\nmov r4, r2\nadd r4, 16\nmov r0, 0\n"
	 "jgt r4, r3, out\nstdw [r2+0], 0x11223344\nmov r0, 2\nout: exit"},
	{"packet without a check", BPF_PROG_TYPE_XDP, "ldxw r2, [r1+0]\nldxw r0, [r2+12]\nexit"},
	{"packet checked too short", BPF_PROG_TYPE_XDP,
	 "ldxw r2, [r1+0]\nldxw r3, [r1+4]\nmov r4, r2\nadd r4, 14\nmov r0, 0\n"
	 "jgt r4, r3, out\nldxw r0, [r2+12]\nout: exit"},
	{"mark and cb", BPF_PROG_TYPE_SCHED_CLS,
	 "stw [r1+8], 77\nstw [r1+48], 5\nldxw r0, [r1+8]\nexit"},
	{"ctx out of bounds", BPF_PROG_TYPE_SCHED_CLS, "ldxw r0, [r1+4096]\nexit"},
	{"uninitialised register", BPF_PROG_TYPE_SOCKET_FILTER, "mov r0, r2\nexit"},
	{"no result", BPF_PROG_TYPE_SOCKET_FILTER, "exit"},
	{"stack", BPF_PROG_TYPE_SOCKET_FILTER,
	 "mov r1, 41\nstxdw [r10-8], r1\nldxdw r0, [r10-8]\nadd r0, 1\nexit"},
	{"below the stack", BPF_PROG_TYPE_SOCKET_FILTER, "stdw [r10-520], 0\nmov r0, 0\nexit"},
	{"lookup", BPF_PROG_TYPE_SOCKET_FILTER,
	 "stw [r10-4], 1\nlddw r1, map_fd FD_ARRAY\nmov r2, r10\nadd r2, -4\ncall 1\n"
	 "jeq r0, 0, out\nldxdw r1, [r0+0]\nadd r1, 3\nstxdw [r0+0], r1\nmov r0, r1\nout: exit"},
	{"lookup not checked", BPF_PROG_TYPE_SOCKET_FILTER,
	 "stw [r10-4], 1\nlddw r1, map_fd FD_ARRAY\nmov r2, r10\nadd r2, -4\ncall 1\n"
	 "ldxdw r0, [r0+0]\nexit"},
	{"behind the value", BPF_PROG_TYPE_SOCKET_FILTER,
	 "stw [r10-4], 1\nlddw r1, map_fd FD_ARRAY\nmov r2, r10\nadd r2, -4\ncall 1\n"
	 "jeq r0, 0, out\nldxdw r0, [r0+8]\nout: exit"},
	{"hash", BPF_PROG_TYPE_SOCKET_FILTER,
	 "stw [r10-4], 9\nstdw [r10-16], 123\nlddw r1, map_fd FD_HASH\nmov r2, r10\nadd r2, -4\n"
	 "mov r3, r10\nadd r3, -16\nmov r4, 0\ncall 2\nmov r6, r0\nlddw r1, map_fd FD_HASH\n"
	 "mov r2, r10\nadd r2, -4\ncall 1\njeq r0, 0, out\nldxdw r0, [r0+0]\nadd r0, r6\nout: "
	 "exit"},
	{"ring buffer", BPF_PROG_TYPE_SOCKET_FILTER,
	 "lddw r1, map_fd FD_RING\nmov r2, 16\nmov r3, 0\ncall 131\njeq r0, 0, out\n"
	 "stdw [r0+0], 1\nstdw [r0+8], 2\nmov r1, r0\nmov r2, 0\ncall 132\nmov r0, 5\nout: exit"},
	{"ring record lost", BPF_PROG_TYPE_SOCKET_FILTER,
	 "lddw r1, map_fd FD_RING\nmov r2, 16\nmov r3, 0\ncall 131\nmov r0, 0\nexit"},
	{"a loop", BPF_PROG_TYPE_SOCKET_FILTER,
	 "mov r0, 0\nmov r1, 10\ntop: add r0, r1\nsub r1, 1\njne r1, 0, top\nexit"},
	{"a loop without end", BPF_PROG_TYPE_SOCKET_FILTER, "mov r0, 0\ntop: ja top\nexit"},
	{"unreachable", BPF_PROG_TYPE_SOCKET_FILTER, "mov r0, 0\nexit\nmov r0, 1\nexit"},
	{"division by a zero register", BPF_PROG_TYPE_SOCKET_FILTER,
	 "mov r0, 7\nmov r1, 0\ndiv r0, r1\nexit"},
	{"signed division", BPF_PROG_TYPE_SOCKET_FILTER, "mov r0, -7\nsdiv r0, 2\nexit"},
	{"atomics", BPF_PROG_TYPE_SOCKET_FILTER,
	 "stdw [r10-8], 5\nmov r1, 3\nlock fetch_add [r10-8], r1\nldxdw r0, [r10-8]\n"
	 "mul r0, 10\nadd r0, r1\nexit"},
	{"bounded index", BPF_PROG_TYPE_SCHED_CLS,
	 "stdw [r10-8], 0\nstdw [r10-16], 0x77\nldxw r1, [r1+0]\nand r1, 7\nmov r2, r10\n"
	 "add r2, -16\nadd r2, r1\nldxb r0, [r2+0]\nexit"},
	{"unbounded index", BPF_PROG_TYPE_SCHED_CLS,
	 "stdw [r10-8], 0\nstdw [r10-16], 0x77\nldxw r1, [r1+0]\nmov r2, r10\n"
	 "add r2, -16\nadd r2, r1\nldxb r0, [r2+0]\nexit"},
	{"a function", BPF_PROG_TYPE_SOCKET_FILTER,
	 "mov r1, 20\ncall local half\nexit\nhalf: mov r0, r1\nrsh r0, 1\nexit"},
	{"no such helper", BPF_PROG_TYPE_SOCKET_FILTER, "call 9999\nexit"},
	{"helper argument", BPF_PROG_TYPE_SOCKET_FILTER, "mov r1, 5\ncall 1\nmov r0, 0\nexit"},
	{"a frozen value is constant", BPF_PROG_TYPE_SOCKET_FILTER,
	 "lddw r1, map_value FD_CONST, 0\nldxw r2, [r1+0]\nmov r0, 0\ntop: add r0, 1\n"
	 "jlt r0, r2, top\nldxsb r1, [r1+4]\njsgt r1, -2, out\njslt r1, -2, out\nadd r0, 100\n"
	 "out: exit"},
	{"a frozen value, by a branch that is never taken", BPF_PROG_TYPE_SOCKET_FILTER,
	 "lddw r1, map_value FD_CONST, 0\nldxh r2, [r1+0]\nmov r0, 3\njeq r2, 300, out\n"
	 "ldxdw r0, [r0+0]\nout: exit"},
	{"a frozen value at an unknown place", BPF_PROG_TYPE_SCHED_CLS,
	 "ldxw r2, [r1+0]\nand r2, 3\nlddw r1, map_value FD_CONST, 0\nadd r1, r2\nldxb r0, [r1+0]\n"
	 "exit"},
	{"behind a frozen value", BPF_PROG_TYPE_SOCKET_FILTER,
	 "lddw r1, map_value FD_CONST, 0\nldxw r0, [r1+6]\nexit"},
	{"a frozen value is not written", BPF_PROG_TYPE_SOCKET_FILTER,
	 "lddw r1, map_value FD_CONST, 0\nstw [r1+0], 1\nmov r0, 0\nexit"},
	{"raw tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, "ldxdw r0, [r1+8]\nexit"},
};

struct maps {
	int array, hash, ring, constant;
};

/* The text with this side's descriptors in it. */
static char *with_maps(const char *text, const struct maps *maps)
{
	static const char *const names[] = {"FD_ARRAY", "FD_HASH", "FD_RING", "FD_CONST"};
	const int numbers[] = {maps->array, maps->hash, maps->ring, maps->constant};

	return with_numbers(text, names, numbers, FORT_LEN(names));
}

static const char remark[] = "; ", first_remark[] = "; error[F";

/* Takes our explanation out, which is told in remarks before the kernel's words; there is one
 * where the program was rejected, and none where the last line but one is looked at by loaders. */
static void drop_remarks(struct side *side, char *log, bool rejected)
{
	char *at = strstr(log, first_remark), *end = at;
	bool told = side->store && rejected && !strstr(log, "call unknown#");

	if (!at != !told)
		fail_msg("%s: %s an explanation:\n%s", side->name, told ? "without" : "with", log);
	while (end && !strncmp(end, remark, strlen(remark)))
		end = strchr(end, '\n') + 1;
	if (at)
		memmove(at, end, strlen(end) + 1);
	if (strstr(log, first_remark))
		fail_msg("%s: explained twice:\n%s", side->name, log);
}

/* Leaves out what may differ: the address of a map, where we print its name; names of equal
 * numbers, of which we give more, and of references; and counts, which depend on where paths were
 * found to have been walked before. */
static void note_log(struct side *side, const char *log)
{
	static const char map[] = "(18) r1 = ", id[] = "id=", refs[] = "refs=",
			  end[] = "processed ";
	struct fort_text text = fort_text_new();

	while (*log && strncmp(log, end, strlen(end))) {
		if (!strncmp(log, id, strlen(id))) {
			log += strspn(log, "id=0123456789");
			log += *log == ',';
		} else if (!strncmp(log, refs, strlen(refs))) {
			log += strcspn(log, " \n");
		} else if (!strncmp(log, map, strlen(map))) {
			log += strlen(map);
			log += strcspn(log, " \n");
			log += strspn(log, " ");
		} else {
			fort_text_put(&text, log++, 1);
		}
	}
	note(side, "%s", text.data ? text.data : "");
	fort_text_free(&text);
}

static void test_run(struct side *side, long fd, uint32_t type)
{
	static const uint8_t ether[64] = {1, 2,  3,  4,  5,    6,    7,    8,
					  9, 10, 11, 12, 0x12, 0x34, 0xfe, 0xed};
	uint8_t out[128] = {0};
	uint64_t args[2] = {11, 22};
	struct __sk_buff skb = {.mark = 4, .cb = {1, 2, 3, 4, 5}}, skb_out = {0};
	ATTR(attr);

	attr.test.prog_fd = (uint32_t)fd;
	if (type == BPF_PROG_TYPE_RAW_TRACEPOINT) {
		attr.test.ctx_in = PTR(args);
		attr.test.ctx_size_in = sizeof(args);
	} else {
		attr.test.data_in = PTR(ether);
		attr.test.data_size_in = sizeof(ether);
		attr.test.data_out = PTR(out);
		attr.test.data_size_out = sizeof(out);
		attr.test.repeat = 2;
	}
	if (type == BPF_PROG_TYPE_SCHED_CLS) {
		attr.test.ctx_in = PTR(&skb);
		attr.test.ctx_size_in = sizeof(skb);
		attr.test.ctx_out = PTR(&skb_out);
		attr.test.ctx_size_out = sizeof(skb_out);
	}
	note_result(side, side_bpf(side, FORT_CMD_PROG_TEST_RUN, &attr, sizeof(attr)), "run");
	note(side, "retval %x data %u ctx %u\n", attr.test.retval, attr.test.data_size_out,
	     attr.test.ctx_size_out);
	for (unsigned i = 0; i < sizeof(out); i++)
		note(side, "%02x", out[i]);
	note(side, "mark %u cb %u\n", skb_out.mark, skb_out.cb[0]);
}

static void values(struct side *side, const struct maps *maps)
{
	uint32_t key = 1;
	uint64_t value = 0;
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)maps->array;
	attr.elem.key = PTR(&key);
	attr.elem.value = PTR(&value);
	note_result(side, side_bpf(side, FORT_CMD_MAP_LOOKUP_ELEM, &attr, sizeof(attr)), "array");
	note(side, "%lu", value);
	key = 9;
	attr.elem.map_fd = (uint32_t)maps->hash;
	note_result(side, side_bpf(side, FORT_CMD_MAP_LOOKUP_ELEM, &attr, sizeof(attr)), "hash");
	note(side, "%lu", value);
}

/* What libbpf makes of .rodata: 300, then -2 and zeros. */
static int constant_map(struct side *side)
{
	int fd = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG);
	uint32_t key = 0;
	uint64_t value = 0xfe00000000 + 300;
	ATTR(attr);

	attr.elem.map_fd = (uint32_t)fd;
	attr.elem.key = PTR(&key);
	attr.elem.value = PTR(&value);
	note_result(side, side_bpf(side, FORT_CMD_MAP_UPDATE_ELEM, &attr, sizeof(attr)), "fill");
	memset(&attr, 0, sizeof(attr));
	attr.elem.map_fd = (uint32_t)fd;
	note_result(side, side_bpf(side, FORT_CMD_MAP_FREEZE, &attr, sizeof(attr)), "freeze");
	return fd;
}

static const struct subject *subject;

static void load_and_run(struct side *side)
{
	static char log[1 << 16];
	struct maps maps = {make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0),
			    make_map(side, BPF_MAP_TYPE_HASH, 4, 8, 4, 0),
			    make_map(side, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0),
			    constant_map(side)};
	char *text = with_maps(subject->text, &maps);
	long fd;
	ATTR(attr);

	memset(log, 0, sizeof(log));
	attr.prog_load.prog_type = subject->type;
	attr.prog_load.insns = PTR(program(text, &attr.prog_load.insn_cnt));
	attr.prog_load.license = PTR("GPL");
	attr.prog_load.log_buf = PTR(log);
	attr.prog_load.log_size = sizeof(log);
	attr.prog_load.log_level = 1;
	fd = note_result(side, side_bpf(side, FORT_CMD_PROG_LOAD, &attr, sizeof(attr)), "load");
	free(text);
	drop_remarks(side, log, fd < 0);
	note_log(side, log);
	if (fd < 0)
		return;
	test_run(side, fd, subject->type);
	values(side, &maps);
}

static void program_is_alike(void **state)
{
	subject = *state;
	compare_sides(subject->name, load_and_run);
}

int main(void)
{
	static struct CMUnitTest tests[FORT_LEN(subjects)];

	if (geteuid()) {
		printf("1..0 # SKIP the running kernel loads programs only for root\n");
		return 0;
	}
	for (unsigned i = 0; i < FORT_LEN(subjects); i++)
		tests[i] = (struct CMUnitTest){.name = subjects[i].name,
					       .test_func = program_is_alike,
					       .initial_state = (void *)(uintptr_t)&subjects[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
