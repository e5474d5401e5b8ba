/* Perf events of the uprobe PMU and links to them, here and in the running kernel. Ours attach to
 * a recorder; the kernel's really attach, to a function that nobody calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "front.h"

static uint32_t uprobe_type;
static char self[PATH_MAX];
static uint64_t place; /* file offset of target() */

/* Aligned so that an offset cut to its lowest byte is one that can be probed: 0. */
__attribute__((noinline, used, aligned(256))) static void target(void)
{
	__asm__ volatile("nop\nnop\nnop\nnop\nnop");
}

static int recorded_attach(void *owner, const struct fort_attach_request *request,
			   void **attachment)
{
	(void)owner;
	*attachment = NULL;
	return request->offset == place ? 0 : -EINVAL;
}

static void recorded_detach(void *owner, void *attachment)
{
	(void)owner;
	(void)attachment;
}

static void attachable(struct side *side)
{
	const struct fort_store_attacher attacher = {recorded_attach, recorded_detach, NULL};

	if (side->store)
		fort_store_set_attacher(side->store, &attacher);
}

/* Where target() lies in the file: from the mapping that contains it. */
static int find_place(void **state)
{
	FILE *maps = fopen("/proc/self/maps", "re"), *type;
	unsigned long start, end, offset, at = (unsigned long)target;
	char line[600];

	(void)state;
	if (!maps || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -1;
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && at >= start &&
		    at < end)
			place = at - start + offset;
	fclose(maps);
	type = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	if (!type || fscanf(type, "%u", &uprobe_type) != 1)
		uprobe_type = 0;
	if (type)
		fclose(type);
	return place ? 0 : -1;
}

static struct perf_event_attr probe(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = uprobe_type,
		.uprobe_path = PTR(self),
		.probe_offset = place,
	};

	return attr;
}

static int make_probe(struct side *side)
{
	struct perf_event_attr attr = probe();
	long fd = side_perf_event_open(side, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		fail_msg("%s: no probe: %ld", side->name, fd);
	return (int)fd;
}

static int load_type(struct side *side, uint32_t type, uint32_t attach)
{
	ATTR(attr);
	long fd;

	attr.prog_load.prog_type = type;
	attr.prog_load.expected_attach_type = attach;
	attr.prog_load.insns = PTR(program("mov r0, 0\nexit", &attr.prog_load.insn_cnt));
	attr.prog_load.license = PTR("GPL");
	attr.prog_load.prog_flags = type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
	fd = side_bpf(side, FORT_CMD_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		fail_msg("%s: no program of type %u: %ld", side->name, type, fd);
	return (int)fd;
}

static void opening(struct side *side)
{
	static const struct {
		int pid, cpu;
	} targets[] = {{0, -1}, {-1, -1}, {-1, 0},    {0, 0},
		       {-2, 0}, {0, -2},  {0, 99999}, {999999999, -1}};
	static const char *const paths[] = {"", "/", "/no/such/file", "/dev/null",
					    "/proc/self/exe"};
	static const unsigned long flags[] = {0, 1, 2, 8, 16, 1ul << 40, ~0ul};
	static char long_path[PATH_MAX + 10];
	struct perf_event_attr attr;

	for (unsigned i = 0; i < FORT_LEN(targets); i++) {
		attr = probe();
		note_result(side,
			    side_perf_event_open(side, &attr, targets[i].pid, targets[i].cpu, -1,
						 0),
			    "pid %d cpu %d", targets[i].pid, targets[i].cpu);
	}
	for (unsigned i = 0; i < FORT_LEN(paths); i++) {
		attr = probe();
		attr.uprobe_path = PTR(paths[i]);
		note_result(side, side_perf_event_open(side, &attr, 0, -1, -1, 0), "path %s",
			    paths[i]);
	}
	memset(long_path, 'x', sizeof(long_path));
	attr = probe();
	attr.uprobe_path = PTR(long_path);
	note_result(side, side_perf_event_open(side, &attr, 0, -1, -1, 0), "path too long");
	attr.uprobe_path = 0;
	note_result(side, side_perf_event_open(side, &attr, 0, -1, -1, 0), "no path");
	attr.uprobe_path = 8;
	note_result(side, side_perf_event_open(side, &attr, 0, -1, -1, 0), "bad path");
	note_result(side, side_perf_event_open(side, NULL, 0, -1, -1, 0), "no attributes");
	for (unsigned i = 0; i < FORT_LEN(flags); i++) {
		long fd;

		attr = probe();
		fd = note_result(side, side_perf_event_open(side, &attr, 0, -1, -1, flags[i]),
				 "flags %lx", flags[i]);
		if (fd >= 0)
			note(side, "close on exec: %d", fcntl((int)fd, F_GETFD) & FD_CLOEXEC);
	}
	/* what the format does not name is ignored; a reference counter would have to lie in the
	 * file's data */
	for (unsigned bit = 0; bit < 32; bit += 15) {
		attr = probe();
		attr.config = 1ull << bit;
		note_result(side, side_perf_event_open(side, &attr, 0, -1, -1, 0), "config bit %u",
			    bit);
	}
}

/* Closing a probe takes the kernel a while: only so many succeed. */
static void attribute_sizes(struct side *side)
{
	static const uint32_t sizes[] = {0,   1,   4,    8,    63,   64,        65,
					 71,  72,  73,   127,  128,  160,       161,
					 200, 288, 4095, 4096, 4097, 0xffffffff};
	static uint8_t bytes[8192];

	for (unsigned i = 0; i < FORT_LEN(sizes); i++) {
		struct perf_event_attr attr = probe();
		uint32_t size = sizes[i];

		memset(bytes, 0, sizeof(bytes));
		attr.size = size;
		memcpy(bytes, &attr, sizeof(attr));
		note_result(side, side_perf_event_open(side, bytes, 0, -1, -1, 0), "size %u", size);
		note(side, "told %u", (memcpy(&size, bytes + 4, 4), size) == sizes[i]);
		if (sizes[i] < 160 || sizes[i] > 4096) /* the kernel knows more than our header */
			continue;
		bytes[sizes[i] - 1] = 1;
		note_result(side, side_perf_event_open(side, bytes, 0, -1, -1, 0), "size %u, set",
			    sizes[i]);
	}
}

static void controls(struct side *side)
{
	static const unsigned long requests[] = {PERF_EVENT_IOC_ENABLE,
						 PERF_EVENT_IOC_DISABLE,
						 PERF_EVENT_IOC_ENABLE,
						 PERF_EVENT_IOC_ENABLE,
						 PERF_EVENT_IOC_RESET,
						 PERF_EVENT_IOC_QUERY_BPF,
						 0x24ff,
						 0x5401};
	int kprobe, socket, event;

	attachable(side);
	kprobe = load_type(side, BPF_PROG_TYPE_KPROBE, 0);
	socket = load_type(side, BPF_PROG_TYPE_SOCKET_FILTER, 0);
	event = make_probe(side);
	for (unsigned i = 0; i < FORT_LEN(requests); i++)
		note_result(side, side_ioctl(side, event, requests[i], 0), "ioctl %lx",
			    requests[i]);
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_SET_BPF, (unsigned long)-1),
		    "set -1");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_SET_BPF, (unsigned long)event),
		    "set event");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_SET_BPF, (unsigned long)socket),
		    "set socket filter");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_SET_BPF, (unsigned long)kprobe),
		    "set");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_SET_BPF, (unsigned long)kprobe),
		    "set again");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_DISABLE, 0), "disable");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_ENABLE, 0), "enable");
}

static long link_to(struct side *side, int prog, int event, uint32_t attach, uint32_t flags,
		    uint64_t cookie)
{
	ATTR(attr);

	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_fd = (uint32_t)event;
	attr.link_create.attach_type = attach;
	attr.link_create.flags = flags;
	attr.link_create.bpf_cookie = cookie;
	return side_bpf(side, FORT_CMD_LINK_CREATE, &attr, 64);
}

static void linking(struct side *side)
{
	static const uint32_t types[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_KPROBE,
					 BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_RAW_TRACEPOINT,
					 BPF_PROG_TYPE_SYSCALL};
	int map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0), prog, event;
	long link;

	attachable(side);
	for (unsigned t = 0; t < FORT_LEN(types); t++) {
		prog = load_type(side, types[t], 0);
		event = make_probe(side);
		/* attaching many at once, and session probes, are not here yet; other types have
		 * attachments to devices and the like */
		for (uint32_t attach = 0; attach < 64; attach++) {
			if (types[t] == BPF_PROG_TYPE_KPROBE &&
			    (attach == BPF_TRACE_KPROBE_MULTI ||
			     attach == FORT_BPF_TRACE_UPROBE_MULTI || attach == 56 || attach == 57))
				continue;
			note_result(side, link_to(side, prog, event, attach, 0, 0),
				    "type %u attach %u", types[t], attach);
		}
	}
	prog = load_type(side, BPF_PROG_TYPE_KPROBE, 0);
	event = make_probe(side);
	note_result(side, link_to(side, -1, event, BPF_PERF_EVENT, 0, 0), "no program");
	note_result(side, link_to(side, map, event, BPF_PERF_EVENT, 0, 0), "a map");
	note_result(side, link_to(side, prog, -1, BPF_PERF_EVENT, 0, 0), "no event");
	note_result(side, link_to(side, prog, map, BPF_PERF_EVENT, 0, 0), "event is a map");
	note_result(side, link_to(side, prog, event, BPF_PERF_EVENT, 1, 0), "flags");
	note_result(side, link_to(side, prog, -1, BPF_PERF_EVENT, 1, 0), "flags and no event");
	link = note_result(side, link_to(side, prog, event, BPF_PERF_EVENT, 0, 7), "link");
	note_result(side, link_to(side, prog, event, BPF_PERF_EVENT, 0, 0), "second link");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_SET_BPF, (unsigned long)prog),
		    "ioctl beside the link");
	note_result(side, side_ioctl(side, event, PERF_EVENT_IOC_ENABLE, 0), "enable");
	close((int)link);
	side->n_fds--;
	note_result(side, link_to(side, prog, event, BPF_PERF_EVENT, 0, 0), "after close");
}

static void updates(struct side *side)
{
	int prog, other, map = make_map(side, BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0);
	int fds[5];

	attachable(side);
	prog = load_type(side, BPF_PROG_TYPE_KPROBE, 0);
	other = load_type(side, BPF_PROG_TYPE_KPROBE, 0);
	fds[0] = (int)link_to(side, prog, make_probe(side), BPF_PERF_EVENT, 0, 0);
	fds[1] = prog;
	fds[2] = other;
	fds[3] = map;
	fds[4] = -1;
	for (unsigned l = 0; l < 5; l++)
		for (unsigned p = 0; p < 5; p++)
			for (uint32_t flags = 0; flags < 6; flags++) {
				ATTR(attr);

				attr.link_update.link_fd = (uint32_t)fds[l];
				attr.link_update.new_prog_fd = (uint32_t)fds[p];
				attr.link_update.flags = flags;
				attr.link_update.old_prog_fd = (uint32_t)(flags == 5 ? prog : 0);
				note_result(side, side_bpf(side, FORT_CMD_LINK_UPDATE, &attr, 16),
					    "update %u %u %u", l, p, flags);
				memset(&attr, 0, sizeof(attr));
				attr.fd = (uint32_t)fds[l];
				note_result(side, side_bpf(side, FORT_CMD_LINK_DETACH, &attr, 4),
					    "detach %u", l);
			}
}

static void link_info(struct side *side)
{
	uint8_t *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct perf_event_attr probe_attr = probe();
	int prog;
	long link, event;

	attachable(side);
	mprotect(two + 4096, 4096, PROT_NONE);
	for (int returns = 0; returns < 2; returns++) {
		prog = load_type(side, BPF_PROG_TYPE_KPROBE, 0);
		probe_attr.config = (uint64_t)returns;
		event = note_result(side, side_perf_event_open(side, &probe_attr, 0, -1, -1, 0),
				    "probe");
		link = note_result(side,
				   link_to(side, prog, (int)event, BPF_PERF_EVENT, 0, 0x1122334455),
				   "link");
		for (unsigned length = 0; length < 100; length++)
			for (unsigned room = 0; room < 300; room += 29) {
				char name[300];
				uint8_t *info = two + 4096 - length;
				uint64_t address = PTR(name), words[8] = {0};
				ATTR(attr);

				memset(name, '#', sizeof(name));
				memset(two, 0xaa, 4096);
				memset(info, 0, length);
				if (room && length >= 36) {
					memcpy(info + 24, &address, 8);
					memcpy(info + 32, &room, 4);
				}
				attr.info.bpf_fd = (uint32_t)link;
				attr.info.info_len = length;
				attr.info.info = PTR(info);
				note_result(side,
					    side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16),
					    "length %u room %u", length, room);
				memcpy(words, info, length < 64 ? length : 64);
				note(side,
				     "said %u; before it %02x; type %u kind %u len %llx cookie "
				     "%llx %llx",
				     attr.info.info_len, two[4095 - length], (uint32_t)words[0],
				     (uint32_t)words[2], (unsigned long long)words[4],
				     (unsigned long long)words[5], (unsigned long long)words[6]);
				note(side, "%.*s", (int)sizeof(name),
				     room && length >= 36 ? name : "-");
			}
	}
	munmap(two, 8192);
}

/* A half-given name buffer. */
static void link_info_faults(struct side *side)
{
	uint8_t info[64] = {0};
	uint64_t address = 8;
	uint32_t room = 5;
	int prog;
	ATTR(attr);

	attachable(side);
	prog = load_type(side, BPF_PROG_TYPE_KPROBE, 0);
	attr.info.bpf_fd = (uint32_t)link_to(side, prog, make_probe(side), BPF_PERF_EVENT, 0, 0);
	attr.info.info_len = sizeof(info);
	attr.info.info = PTR(info);
	memcpy(info + 24, &address, 8);
	note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "address alone");
	memcpy(info + 32, &room, 4);
	note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "bad address");
	memset(info + 24, 0, 8);
	note_result(side, side_bpf(side, FORT_CMD_OBJ_GET_INFO_BY_FD, &attr, 16), "room alone");
}

#define COMPARE(scenario)                                                                 \
	static void test_##scenario(void **state)                                         \
	{                                                                                 \
		(void)state;                                                              \
		if (!uprobe_type) {                                                       \
			print_message("this kernel has no uprobe PMU to compare with\n"); \
			skip();                                                           \
		}                                                                         \
		compare_sides(#scenario, scenario);                                       \
	}

COMPARE(opening)
COMPARE(attribute_sizes)
COMPARE(controls)
COMPARE(linking)
COMPARE(updates)
COMPARE(link_info)
COMPARE(link_info_faults)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opening),          cmocka_unit_test(test_attribute_sizes),
		cmocka_unit_test(test_controls),         cmocka_unit_test(test_linking),
		cmocka_unit_test(test_updates),          cmocka_unit_test(test_link_info),
		cmocka_unit_test(test_link_info_faults),
	};

	return cmocka_run_group_tests(tests, find_place, NULL);
}
