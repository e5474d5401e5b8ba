/* A program that uses the library as an installed one: C99, and C++ if compiled as that. Makes a
 * map, loads a good and a bad program, prints what it learned. */
#include <bpfort/bpfort.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static long load(struct bpfort *store, const void *insns, unsigned int count)
{
	static const char license[] = "GPL";
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (__u64)(size_t)insns;
	attr.insn_cnt = count;
	attr.license = (__u64)(size_t)license;
	return bpfort_bpf(store, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int check_map(struct bpfort *store)
{
	union bpf_attr attr;
	__u32 key = 1;
	__u64 value = 42, read = 0;
	long map;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = sizeof(key);
	attr.value_size = sizeof(value);
	attr.max_entries = 4;
	map = bpfort_bpf(store, BPF_MAP_CREATE, &attr, sizeof(attr));
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

static int check_programs(struct bpfort *store)
{
	/* r0 = 7; exit    and    exit alone: r0 was never written */
	static const unsigned char good[16] = {0xb7, 0, 0, 0, 7, 0, 0, 0, 0x95};
	static const unsigned char bad[8] = {0x95};
	struct bpfort_report report;
	long prog = load(store, good, 2);

	memset(&report, 0, sizeof(report));
	report.size = sizeof(report);
	if (prog < 0 || bpfort_last_load(store, &report) || !report.accepted || report.err)
		return 4;
	close((int)prog);
	if (load(store, bad, 1) != -EACCES || bpfort_last_load(store, &report) || report.accepted ||
	    report.err != -EACCES || report.code[0] != 'F')
		return 5;
	printf("%s: %s (%s)\n", report.code, report.message, report.type);
	report.size = 8;
	return bpfort_last_load(store, &report) == -EINVAL ? 0 : 6;
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
	options.engine = "interp";
	options.isolation = "none";
	if (bpfort_open(&options, &store))
		return 8;
	status = check_map(store);
	status = status ? status : check_programs(store);
	bpfort_close(store);
	printf("bpfort %s\n", bpfort_version());
	return status;
}
