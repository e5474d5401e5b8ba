#include "kernel_side.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "base/sys.h"
#include "isa/asm.h"

#define LOG_BYTES   (16u << 20)
#define STATS_BYTES (64u << 10)
#define AGAIN_MAX   8u /* the kernel asks to try again now and then, as after a signal */

struct kernel_side {
	int stand_in;
	char *log;
	char stats[STATS_BYTES];
};

/* --- rights --- */

/* Takes what HALF_UNPRIV does without out of the effective set, or gives it back. */
static bool set_rights(bool back)
{
	static const uint32_t without[] = {CAP_SYS_ADMIN, CAP_PERFMON};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (fort_sys2(SYS_capget, (long)&header, (long)data))
		return false;
	for (size_t i = 0; i < FORT_LEN(without); i++) {
		uint32_t bit = 1u << without[i] % 32;
		struct __user_cap_data_struct *word = &data[without[i] / 32];

		word->effective =
			back ? word->effective | (word->permitted & bit) : word->effective & ~bit;
	}
	return !fort_sys2(SYS_capset, (long)&header, (long)data);
}

static long bpf_in_half(enum half half, int cmd, union bpf_attr *attr)
{
	long result;

	if (half == HALF_UNPRIV && !set_rights(false))
		return -EPERM;
	for (unsigned i = 0; i < AGAIN_MAX; i++) {
		result = fort_sys3(SYS_bpf, cmd, (long)attr, sizeof(*attr));
		if (result != -EAGAIN && result != -EINTR)
			break;
	}
	if (half == HALF_UNPRIV && !set_rights(true))
		abort(); /* what comes next would not be what it says */
	return result;
}

/* --- logs --- */

/* Where a line that begins like this starts, or NULL. */
static const char *line_starting(const char *log, const char *start)
{
	size_t length = strlen(start);

	for (const char *at = log; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (!strncmp(at, start, length))
			return at;
		if (!*at)
			break;
	}
	return NULL;
}

/* The line before the statistics, some of which begin where the kernel forgot to end a line. */
static void last_line(const char *log, char *out, size_t room)
{
	const char *end = strstr(log, "verification time "), *start;

	if (!end)
		end = line_starting(log, "processed ");
	if (!end)
		end = log + strlen(log);
	while (end > log && end[-1] == '\n')
		end--;
	for (start = end; start > log && start[-1] != '\n'; start--)
		;
	snprintf(out, room, "%.*s", (int)(end - start), start);
}

static long load(union bpf_attr *attr, enum half half, uint32_t level, char *log, uint32_t room)
{
	attr->log_level = level;
	attr->log_buf = (uintptr_t)log;
	attr->log_size = room;
	log[0] = 0;
	return bpf_in_half(half, BPF_PROG_LOAD, attr);
}

/* --- judging --- */

static bool run_once(int fd, const uint8_t *data, uint32_t *value)
{
	uint8_t out[4 * ORACLE_DATA_BYTES];
	union bpf_attr attr = {.test = {.prog_fd = (uint32_t)fd,
					.data_in = (uintptr_t)data,
					.data_size_in = ORACLE_DATA_BYTES,
					.data_out = (uintptr_t)out,
					.data_size_out = sizeof(out),
					.repeat = 1}};
	long result = bpf_in_half(HALF_PRIV, BPF_PROG_TEST_RUN, &attr);

	if (result == -EINVAL) { /* types without packets */
		attr = (union bpf_attr){.test = {.prog_fd = (uint32_t)fd}};
		result = bpf_in_half(HALF_PRIV, BPF_PROG_TEST_RUN, &attr);
	}
	*value = attr.test.retval;
	return !result;
}

static void run(int fd, const struct oracle_wants *wants, struct side *side)
{
	while (side->n_values < wants->n_runs &&
	       run_once(fd, wants->data[side->n_values], &side->values[side->n_values]))
		side->n_values++;
	if (side->n_values < wants->n_runs)
		side->n_values = 0;
}

/* Without statistics in the log, it was not looked at instruction by instruction. */
static void note_verdict(const struct kernel_side *kernel, long fd, struct side *side)
{
	const char *count = line_starting(kernel->stats, "processed ");

	side->err = fd < 0 ? (int)-fd : 0;
	side->processed = count ? strtoull(count + strlen("processed "), NULL, 10) : 0;
	side->verdict = fd >= 0 ? VERDICT_ACCEPTS : count ? VERDICT_REJECTS : VERDICT_CANNOT;
	if (fd >= 0)
		return;
	last_line(kernel->stats, side->line, sizeof(side->line));
	if (!count)
		snprintf(side->reason, sizeof(side->reason), "the kernel: %.140s",
			 side->line[0] ? side->line : strerror((int)-fd));
}

int kernel_side_judge(struct kernel_side *kernel, const union bpf_attr *attr, uint32_t bytes,
		      enum half half, const struct oracle_wants *wants, struct side *side)
{
	union bpf_attr copy = {0};
	long fd, again;

	memset(side, 0, sizeof(*side));
	memcpy(&copy, attr, bytes < sizeof(copy) ? bytes : sizeof(copy));
	/* At this level complaints are logged and steps are not: the verdict comes from a log that
	 * fits, as one that does not changes it, and from loads that the log does not slow down. */
	fd = load(&copy, half, FORT_LOG_STATS, kernel->stats, STATS_BYTES);
	note_verdict(kernel, fd, side);
	if (wants->log_level) {
		again = load(&copy, half, wants->log_level, kernel->log, LOG_BYTES);
		if (again >= 0)
			close((int)again);
		side->log = kernel->log;
	}
	if (fd >= 0)
		run((int)fd, wants, side);
	return fd < 0 ? -1 : (int)fd;
}

/* --- measuring --- */

static uint64_t number_behind(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

void kernel_side_measure(struct kernel_side *kernel, const union bpf_attr *attr, uint32_t bytes,
			 struct side *side, struct kernel_cost *cost)
{
	static const struct oracle_wants nothing;
	int fd = kernel_side_judge(kernel, attr, bytes, HALF_PRIV, &nothing, side);

	if (fd >= 0)
		close(fd);
	cost->us = (double)number_behind(kernel->stats, "verification time ");
	cost->states = number_behind(kernel->stats, "total_states ");
	cost->peak_states = number_behind(kernel->stats, "peak_states ");
}

/* --- */

int kernel_side_stand_in(struct kernel_side *kernel)
{
	return dup(kernel->stand_in);
}

static int load_stand_in(void)
{
	static const char text[] = "mov r0, 0\nexit\n";
	struct fort_arena arena;
	struct fort_assembly code;
	struct fort_asm_error error;
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
			       .license = (uintptr_t) "GPL"};
	long fd = -EINVAL;

	fort_arena_init(&arena, 1u << 20);
	if (!fort_assemble(&arena, text, sizeof(text) - 1, &code, &error)) {
		attr.insns = (uintptr_t)code.insns;
		attr.insn_cnt = code.n_insns;
		fd = fort_sys3(SYS_bpf, BPF_PROG_LOAD, (long)&attr, sizeof(attr));
	}
	fort_arena_free(&arena);
	errno = fd < 0 ? (int)-fd : 0;
	return fd < 0 ? -1 : (int)fd;
}

struct kernel_side *kernel_side_open(void)
{
	struct kernel_side *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return NULL;
	kernel->stand_in = load_stand_in();
	kernel->log = malloc(LOG_BYTES);
	if (kernel->stand_in >= 0 && kernel->log)
		return kernel;
	kernel_side_close(kernel);
	return NULL;
}

void kernel_side_close(struct kernel_side *kernel)
{
	int err = errno;

	if (kernel->stand_in >= 0)
		close(kernel->stand_in);
	free(kernel->log);
	free(kernel);
	errno = err;
}
