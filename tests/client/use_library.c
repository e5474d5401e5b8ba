/* A program that uses the library as an installed one: C99, and C++ if compiled as that. Makes a
 * map, loads a good and a bad program, attaches one to another process, prints what it learned. */
#include <bpfort/bpfort.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static long load(struct bpfort *store, unsigned int type, const void *insns, unsigned int count)
{
	static const char license[] = "GPL";
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.insns = (__u64)(size_t)insns;
	attr.insn_cnt = count;
	attr.license = (__u64)(size_t)license;
	return bpfort_bpf(store, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static long make_map(struct bpfort *store)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = 8;
	attr.max_entries = 4;
	return bpfort_bpf(store, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int check_map(struct bpfort *store)
{
	union bpf_attr attr;
	__u32 key = 1;
	__u64 value = 42, read = 0;
	long map = make_map(store);

	if (map < 0)
		return 1;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (__u32)map;
	attr.key = (__u64)(size_t)&key;
	attr.value = (__u64)(size_t)&value;
	if (bpfort_bpf(store, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)))
		return 2;
	attr.value = (__u64)(size_t)&read;
	if (bpfort_bpf(store, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) || read != 42)
		return 3;
	return close((int)map);
}

/* r0 = 7; exit    and    exit alone: r0 was never written */
static const unsigned char good[16] = {0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95};
static const unsigned char bad[8] = {0x95};

static int check_programs(struct bpfort *store)
{
	struct bpfort_report report;
	long prog = load(store, BPF_PROG_TYPE_SOCKET_FILTER, good, 2);

	memset(&report, 0, sizeof(report));
	report.size = sizeof(report);
	if (prog < 0 || bpfort_last_load(store, &report) || !report.accepted || report.err)
		return 4;
	close((int)prog);
	if (load(store, BPF_PROG_TYPE_SOCKET_FILTER, bad, 1) != -EACCES ||
	    bpfort_last_load(store, &report) || report.accepted || report.err != -EACCES ||
	    report.code[0] != 'F')
		return 5;
	printf("%s: %s (%s)\n", report.code, report.message, report.type);
	report.size = 8;
	return bpfort_last_load(store, &report) == -EINVAL ? 0 : 6;
}

static long test_run(struct bpfort *store, long prog)
{
	unsigned char packet[64] = {0};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (__u32)prog;
	attr.test.data_in = (__u64)(size_t)packet;
	attr.test.data_size_in = sizeof(packet);
	return bpfort_bpf(store, BPF_PROG_TEST_RUN, &attr, sizeof(attr));
}

/* r1 = a map; r0 = 0; do r0++ while r0 < 0x7fffffff; exit: proven to end, but too long for one run
 */
static unsigned char endless[48] = {0x18, 0x11, 0,    0,    0,    0,    0,    0,   0, 0, 0,
				    0,    0,    0,    0,    0,    0xb7, 0,    0,   0, 0, 0,
				    0,    0,    0x07, 0,    0,    0,    1,    0,   0, 0, 0xa5,
				    0,    0xfe, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x95};

static int is_readable(int fd)
{
	struct pollfd poll_fd;

	poll_fd.fd = fd;
	poll_fd.events = POLLIN;
	return poll(&poll_fd, 1, 0) == 1;
}

/* Two crashes, at the second of which the policy acts; then the program does not run any more. */
static int check_crashes(struct bpfort *store)
{
	long map = make_map(store), prog;
	struct bpfort_crash crash;
	__u32 fd = (__u32)map;
	unsigned int n;

	memset(&crash, 0, sizeof(crash));
	crash.size = sizeof(crash);
	memcpy(endless + 4, &fd, sizeof(fd));
	if (bpfort_set_crash_policy(store, "shout", 1) != -EINVAL ||
	    bpfort_set_crash_policy(store, "quarantine,mark", 2))
		return 20;
	prog = load(store, BPF_PROG_TYPE_SOCKET_FILTER, endless, 6);
	if (prog < 0 || bpfort_next_crash(store, &crash) || is_readable(bpfort_crash_fd(store)) ||
	    bpfort_map_suspect(store, (int)map))
		return 21;
	for (n = 1; n <= 2; n++) {
		if (test_run(store, prog) != -EFAULT || !is_readable(bpfort_crash_fd(store)) ||
		    bpfort_next_crash(store, &crash) != 1 || crash.crashes != n ||
		    crash.pid != (unsigned int)getpid() || strcmp(crash.kind, "fuel") != 0 ||
		    strcmp(crash.actions, n == 2 ? "quarantine,mark" : "") != 0)
			return 22;
	}
	if (test_run(store, prog) != -EFAULT || bpfort_next_crash(store, &crash) ||
	    is_readable(bpfort_crash_fd(store)))
		return 23;
	if (bpfort_map_suspect(store, (int)map) != 1 || bpfort_map_clear_suspect(store, (int)map) ||
	    bpfort_map_suspect(store, (int)map) || bpfort_map_suspect(store, (int)prog) >= 0)
		return 24;
	crash.size = 8;
	if (bpfort_next_crash(store, &crash) != -EINVAL)
		return 25;
	close((int)map);
	close((int)prog);
	return bpfort_set_crash_policy(store, "keep", 0);
}

__attribute__((noinline)) static unsigned int work(volatile unsigned int *counter)
{
	for (int i = 0; i < 100; i++)
		*counter += *counter / 3 + 1;
	return *counter;
}

/* The file that `address` is mapped from, and where in it that is. */
static int find_in_file(unsigned long address, char *path, size_t room, unsigned long *offset)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end, from;
	char line[4096], name[4096];
	int found = 0;

	while (maps && !found && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095s", &start, &end, &from, name) != 4)
			continue;
		found = start <= address && address < end && strlen(name) < room;
		if (found) {
			strcpy(path, name);
			*offset = address - start + from;
		}
	}
	if (maps)
		fclose(maps);
	return found;
}

static int read_code(pid_t pid, unsigned long address, unsigned char code[8])
{
	char path[64];
	FILE *memory;
	int ok;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	memory = fopen(path, "r");
	ok = memory && !fseek(memory, (long)address, SEEK_SET) && fread(code, 8, 1, memory) == 1;
	if (memory)
		fclose(memory);
	return ok;
}

static int attach(struct bpfort *store, pid_t pid, unsigned long address)
{
	long prog = load(store, BPF_PROG_TYPE_KPROBE, good, 2), event, result = -1;
	unsigned char before[8], during[8], after[8];
	struct perf_event_attr attr;
	unsigned long offset;
	char path[4096];

	memset(&attr, 0, sizeof(attr));
	if (!find_in_file(address, path, sizeof(path), &offset) || !read_code(pid, address, before))
		return 10;
	attr.size = sizeof(attr);
	attr.type = bpfort_uprobe_type(store);
	attr.config1 = (__u64)(size_t)path;
	attr.config2 = offset;
	event = bpfort_perf_event_open(store, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (prog < 0 || event < 0)
		return 11;
	if (!bpfort_ioctl(store, (int)event, PERF_EVENT_IOC_SET_BPF, (unsigned long)prog,
			  &result) ||
	    result || !bpfort_ioctl(store, (int)event, PERF_EVENT_IOC_ENABLE, 0, &result) ||
	    result) {
		bpfort_attach_why(store, path, sizeof(path));
		printf("%ld: %s\n", result, path);
		return 12;
	}
	if (!read_code(pid, address, during) || !memcmp(before, during, 8))
		return 13;
	close((int)event);
	bpfort_reap(store);
	if (!read_code(pid, address, after) || memcmp(before, after, 8) != 0)
		return 14;
	return close((int)prog);
}

static int check_attaching(struct bpfort *store)
{
	volatile unsigned int counter = 0;
	pid_t pid = fork();
	int status;

	while (!pid)
		work(&counter);
	status = attach(store, pid, (unsigned long)(size_t)work);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return status;
}

int main(void)
{
	struct bpfort_options options;
	struct bpfort *store = NULL;
	int status;

	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	options.engine = "warp";
	if (bpfort_open(&options, &store) != -EINVAL)
		return 7;
	options.hide_constants = 1;
	options.engine = "interp";
	options.isolation = "none";
	if (bpfort_open(&options, &store))
		return 8;
	status = check_map(store);
	status = status ? status : check_programs(store);
	status = status ? status : check_crashes(store);
	status = status ? status : check_attaching(store);
	bpfort_close(store);
	printf("bpfort %s\n", bpfort_version());
	return status;
}
