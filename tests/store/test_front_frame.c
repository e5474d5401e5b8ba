/* The frame of bpf(2) against the running kernel: sizes, tails, unknown commands and attributes,
 * for every command (rows 1 to 11 of the front door's rules).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "front.h"

#define ROOM 8192

/* Commands whose calls below touch nothing but objects of this test: descriptors in them are bad,
 * ids are 0. What may not be tried with arbitrary attributes is left out, and said so here:
 * ENABLE_STATS switches on statistics for the machine.
 */
static bool is_tried(int cmd)
{
	return cmd != FORT_CMD_ENABLE_STATS;
}

/* Which 32-bit word of the attributes is the descriptor that is looked at first; -1: none. */
static int fd_word(int cmd)
{
	switch (cmd) {
	case FORT_CMD_PROG_TEST_RUN:
	case FORT_CMD_OBJ_GET_INFO_BY_FD:
	case FORT_CMD_MAP_LOOKUP_ELEM:
	case FORT_CMD_MAP_UPDATE_ELEM:
	case FORT_CMD_MAP_DELETE_ELEM:
	case FORT_CMD_MAP_GET_NEXT_KEY:
	case FORT_CMD_MAP_FREEZE:
	case FORT_CMD_LINK_CREATE:
	case FORT_CMD_LINK_UPDATE:
	case FORT_CMD_LINK_DETACH:
	case FORT_CMD_ITER_CREATE:
	case FORT_CMD_PROG_BIND_MAP:
	case FORT_CMD_PROG_QUERY:
	case FORT_CMD_MAP_LOOKUP_AND_DELETE_ELEM: return 0;
	case FORT_CMD_RAW_TRACEPOINT_OPEN: return 2;
	case FORT_CMD_MAP_LOOKUP_BATCH:
	case FORT_CMD_MAP_LOOKUP_AND_DELETE_BATCH:
	case FORT_CMD_MAP_UPDATE_BATCH:
	case FORT_CMD_MAP_DELETE_BATCH: return 9;
	case FORT_CMD_PROG_STREAM_READ_BY_FD: return 4;
	default: return -1;
	}
}

static uint8_t page[ROOM] __attribute__((aligned(8)));

/* Ids of other people's objects are no concern of this test. */
static bool walks_ids(int cmd)
{
	return cmd == FORT_CMD_PROG_GET_NEXT_ID || cmd == FORT_CMD_MAP_GET_NEXT_ID ||
	       cmd == FORT_CMD_BTF_GET_NEXT_ID || cmd == FORT_CMD_LINK_GET_NEXT_ID;
}

static void prepare(int cmd)
{
	int word = fd_word(cmd);

	const uint32_t beyond = 0x7ffffffe;

	memset(page, 0, sizeof(page));
	if (word >= 0)
		memset(page + word * 4, 0xff, 4);
	if (walks_ids(cmd))
		memcpy(page, &beyond, 4);
}

/* Of commands that we do not handle, only the frame is compared. */
static void note_frame(struct side *side, int cmd, long result, unsigned a, unsigned b)
{
	bool ours = cmd >= 0 && cmd < FORT_CMDS && !fort_cmds[cmd].answer;

	if (ours || result == -E2BIG || cmd < 0 || cmd >= FORT_CMDS)
		note_result(side, result, "cmd %d (%u, %u)", cmd, a, b);
	else
		note(side, "cmd %d (%u, %u): not the frame's fault", cmd, a, b);
}

/* What follows a handled command's last field must be zero: EINVAL, whatever the rest. Where the
 * command ends is found from the kernel's answers: the row of cmds.def must say the same.
 */
static void unknown_attributes(struct side *side)
{
	for (int cmd = 0; cmd < FORT_CMDS; cmd++) {
		if (!is_tried(cmd))
			continue;
		for (uint32_t at = fort_cmds[cmd].attr_bytes; at < FORT_ATTR_BYTES; at++) {
			prepare(cmd);
			page[at] = 1;
			note_result(side, side_bpf(side, cmd, page, FORT_ATTR_BYTES), "%s byte %u",
				    fort_cmds[cmd].name, at);
		}
	}
}

/* The last field itself is known: with a bad descriptor before it, that is what is complained
 * about. */
static void last_attribute(struct side *side)
{
	for (int cmd = 0; cmd < FORT_CMDS; cmd++) {
		if (fd_word(cmd) < 0 || fort_cmds[cmd].answer)
			continue;
		prepare(cmd);
		page[fort_cmds[cmd].attr_bytes - 1] = 1;
		note_result(side, side_bpf(side, cmd, page, FORT_ATTR_BYTES), "%s",
			    fort_cmds[cmd].name);
	}
}

static void sizes(struct side *side)
{
	static const unsigned tried[] = {0,   1,    3,    4,    7,    8,         12,  16,  24,
					 28,  32,   48,   64,   72,   92,        100, 116, 128,
					 144, 148,  152,  164,  168,  169,       176, 232, 300,
					 512, 4095, 4096, 4097, 8192, 0xffffffff};

	for (int cmd = 0; cmd < FORT_CMDS; cmd++) {
		if (!is_tried(cmd) || fort_cmds[cmd].answer)
			continue;
		for (unsigned i = 0; i < FORT_LEN(tried); i++) {
			if (walks_ids(cmd) && tried[i] < 4)
				continue;
			prepare(cmd);
			note_result(side, side_bpf(side, cmd, page, tried[i]), "%s size %u",
				    fort_cmds[cmd].name, tried[i]);
		}
	}
}

/* A newer client's attributes: zero is accepted, anything else E2BIG, for every command number. */
static void tails(struct side *side)
{
	for (int cmd = -2; cmd < FORT_CMDS + 3; cmd++) {
		if (!is_tried(cmd))
			continue;
		for (unsigned size = 168; size < 240; size += 7)
			for (unsigned at = 168; at <= size; at += 5) {
				prepare(cmd);
				page[at] = 1; /* at == size: just outside */
				note_frame(side, cmd, side_bpf(side, cmd, page, size), size, at);
			}
	}
}

static void unreadable_attributes(struct side *side)
{
	uint8_t *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(two, MAP_FAILED);
	munmap(two + 4096, 4096);
	for (int cmd = -1; cmd < FORT_CMDS + 1; cmd++) {
		if (!is_tried(cmd))
			continue;
		note_result(side, side_bpf(side, cmd, NULL, 16), "cmd %d NULL", cmd);
		note_result(side, side_bpf(side, cmd, NULL, 4097), "cmd %d NULL, too large", cmd);
		note_result(side, side_bpf(side, cmd, (void *)-4096l, 16), "cmd %d bad", cmd);
		note_result(side, side_bpf(side, cmd, two + 4092, 16), "cmd %d half", cmd);
		/* the known part is readable, what is behind is not */
		note_result(side, side_bpf(side, cmd, two + 4096 - 168, 200), "cmd %d tail", cmd);
	}
	munmap(two, 4096);
}

static void unknown_commands(struct side *side)
{
	static const int cmds[] = {-1, -2, 38, 39, 40, 100, 1 << 15, 0x7fffffff, (int)0x80000000};

	for (unsigned i = 0; i < FORT_LEN(cmds); i++) {
		memset(page, 0, sizeof(page));
		note_result(side, side_bpf(side, cmds[i], page, 64), "cmd %d", cmds[i]);
		page[0] = 1;
		note_result(side, side_bpf(side, cmds[i], page, 64), "cmd %d with attributes",
			    cmds[i]);
	}
}

/* Descriptors of another kind, and closed ones. */
static void wrong_descriptors(struct side *side)
{
	int map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), btf = make_btf(side);
	int fds[] = {-1, 1000, 0, map, btf};

	for (int cmd = 0; cmd < FORT_CMDS; cmd++) {
		if (fd_word(cmd) || fort_cmds[cmd].answer || cmd == FORT_CMD_OBJ_GET_INFO_BY_FD)
			continue;
		for (unsigned i = 0; i < FORT_LEN(fds); i++) {
			if (fds[i] == map && cmd <= FORT_CMD_MAP_FREEZE)
				continue;
			prepare(cmd);
			memcpy(page, &fds[i], 4);
			note_result(side, side_bpf(side, cmd, page, fort_cmds[cmd].attr_bytes),
				    "%s of descriptor %u", fort_cmds[cmd].name, i);
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		memset(page, 0, sizeof(page));
		memcpy(page, &fds[i], 4);
		note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, page, 16), "info %u",
			    i);
	}
}

#define COMPARE(scenario)                           \
	static void test_##scenario(void **state)   \
	{                                           \
		(void)state;                        \
		compare_sides(#scenario, scenario); \
	}

COMPARE(unknown_attributes)
COMPARE(last_attribute)
COMPARE(sizes)
COMPARE(tails)
COMPARE(unreadable_attributes)
COMPARE(unknown_commands)
COMPARE(wrong_descriptors)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_attributes),
		cmocka_unit_test(test_last_attribute),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_tails),
		cmocka_unit_test(test_unreadable_attributes),
		cmocka_unit_test(test_unknown_commands),
		cmocka_unit_test(test_wrong_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
