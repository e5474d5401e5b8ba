#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	int result = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return result < 0 ? -errno : result;
}

static uint64_t pointer(const void *at)
{
	return (uint64_t)(uintptr_t)at;
}

void kernel_load(enum bpf_prog_type type, const struct fort_raw_insn *insns, uint32_t n_insns,
		 struct kernel_load *load)
{
	union bpf_attr attr = {
		.prog_type = type,
		.insns = pointer(insns),
		.insn_cnt = n_insns,
		.license = pointer("GPL"),
		.log_level = 2,
		.log_size = sizeof(load->log),
		.log_buf = pointer(load->log),
	};

	load->log[0] = 0;
	load->fd = bpf(BPF_PROG_LOAD, &attr);
}

const char *kernel_unfit(void)
{
	static const struct fort_raw_insn nothing;
	static struct kernel_load load;
	struct utsname name;
	unsigned major = 0, minor = 0;

	/* Not a program: one that may load is told so, one that may not is not even read. */
	kernel_load(BPF_PROG_TYPE_XDP, &nothing, 1, &load);
	if (load.fd != -EINVAL)
		return "bpf(2) refuses to load programs";
	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2 ||
	    major * 100 + minor < 615)
		return "the kernel is older than 6.15";
	return NULL;
}

/* Statistics and states of the walk are not complaints. */
static bool is_complaint(const char *line, size_t length)
{
	const char *colon = memchr(line, ':', length);

	if (!length || !strncmp(line, "processed ", 10) ||
	    !strncmp(line, "verification time", 17) || !strncmp(line, "stack depth ", 12))
		return false;
	return !(colon && line[0] >= '0' && line[0] <= '9');
}

void kernel_complaint(const struct kernel_load *load, char *out, size_t room)
{
	const char *line = load->log, *end;

	out[0] = 0;
	for (; *line; line = *end ? end + 1 : end) {
		size_t length;

		end = strchrnul(line, '\n');
		length = (size_t)(end - line);
		if (!is_complaint(line, length) || length >= room)
			continue;
		memcpy(out, line, length);
		out[length] = 0;
	}
}

int kernel_array(uint32_t value_bytes)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = value_bytes,
		.max_entries = 1,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}

int kernel_run(int prog_fd, const void *packet, uint32_t bytes, uint32_t *retval)
{
	union bpf_attr attr = {0};
	int err;

	attr.test.prog_fd = (uint32_t)prog_fd;
	attr.test.data_in = pointer(packet);
	attr.test.data_size_in = bytes;
	attr.test.repeat = 1;
	err = bpf(BPF_PROG_TEST_RUN, &attr);
	if (!err)
		*retval = attr.test.retval;
	return err;
}

int kernel_map_get(int map_fd, uint32_t key, void *value)
{
	union bpf_attr attr = {
		.map_fd = (uint32_t)map_fd,
		.key = pointer(&key),
		.value = pointer(value),
	};

	return bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}
