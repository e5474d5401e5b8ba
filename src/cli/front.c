#include "cli/front.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "btf/kernel.h"
#include "cli/kernel_types.h"

#define WORDS_MAX (64u << 10) /* a log that libbpf prints can be long; its beginning is enough */

struct fort_front {
	struct fort_store *store;
	struct fort_front_tap tap;
	const struct fort_kernel_types
		*types; /* of a kernel that is not the running one; or NULL */
	bool vets, use_kernel;
	struct fort_text words, murmur; /* warnings; what it said last that was none */
};

/* See front.h. Set and cleared while the process has one thread. */
static struct fort_front *front_door;

/* --- libbpf's words --- */

static int hear(enum libbpf_print_level level, const char *fmt, va_list args)
{
	static const char prefix[] = "libbpf: ";
	struct fort_text *words;
	size_t start;

	if (!front_door)
		return 0;
	words = level == LIBBPF_WARN ? &front_door->words : &front_door->murmur;
	if (level != LIBBPF_WARN)
		fort_text_clear(words);
	if (words->length > WORDS_MAX)
		return 0;
	start = words->length;
	fort_text_addv(words, fmt, args);
	if (words->length >= start + sizeof(prefix) - 1 &&
	    !memcmp(words->data + start, prefix, sizeof(prefix) - 1)) {
		words->length -= sizeof(prefix) - 1;
		memmove(words->data + start, words->data + start + sizeof(prefix) - 1,
			words->length - start + 1);
	}
	return 0;
}

const char *fort_front_words(const struct fort_front *front)
{
	if (front->words.length)
		return front->words.data;
	return front->murmur.length ? front->murmur.data : "";
}

void fort_front_forget(struct fort_front *front)
{
	fort_text_clear(&front->words);
	fort_text_clear(&front->murmur);
}

/* --- opening --- */

int fort_front_open(struct fort_front **out)
{
	struct fort_front *front;
	int err;

	if (front_door)
		return -EBUSY;
	front = calloc(1, sizeof(*front));
	if (!front)
		return -ENOMEM;
	front->words = fort_text_new();
	front->murmur = fort_text_new();
	err = fort_store_create(&front->store);
	if (err) {
		free(front);
		return err;
	}
	libbpf_set_print(hear);
	front_door = front;
	*out = front;
	return 0;
}

void fort_front_close(struct fort_front *front)
{
	if (!front)
		return;
	front_door = NULL;
	fort_store_free(front->store);
	fort_text_free(&front->words);
	fort_text_free(&front->murmur);
	free(front);
}

struct fort_store *fort_front_store(const struct fort_front *front)
{
	return front->store;
}

void fort_front_set_tap(struct fort_front *front, const struct fort_front_tap *tap)
{
	front->tap = tap ? *tap : (struct fort_front_tap){0};
}

void fort_front_vet(struct fort_front *front, const struct fort_kernel_types *types)
{
	fort_store_set_vetting(front->store, types->btf);
	front->types = types->fd < 0 ? NULL : types;
	front->vets = true;
}

bool fort_front_vets(const struct fort_front *front)
{
	return front->vets;
}

void fort_front_use_kernel(struct fort_front *front, bool use)
{
	front->use_kernel = use;
}

/* --- system calls --- */

/* The attributes as a tap may read them: whole, zero behind what the caller has. */
static long load_program(struct fort_front *front, void *attr, unsigned int size)
{
	union fort_attr copy = {0};
	long result;

	memcpy(&copy, attr, size < sizeof(copy) ? size : sizeof(copy));
	if (front->tap.before && !front->tap.before(front->tap.owner, &copy.prog_load))
		return -ECANCELED;
	result = fort_store_bpf(front->store, FORT_CMD_PROG_LOAD, attr, size);
	if (front->tap.after)
		front->tap.after(front->tap.owner, &copy.prog_load,
				 fort_store_last_load(front->store));
	return result;
}

/* The linker gives every reference to NAME to __wrap_NAME, and __real_NAME to NAME. Callers see
 * libc's variadic prototypes. Here, as in libc's own code, the parameters are fixed: which of them
 * were passed depends on the call, and those that were not are passed on without being looked at.
 */
long __real_syscall(long number, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __real_faccessat(int dir, const char *path, int mode, int flags);
FILE *__real_fopen64(const char *path, const char *mode);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
int __wrap_ioctl(int fd, unsigned long request, unsigned long arg);
int __wrap_faccessat(int dir, const char *path, int mode, int flags);
FILE *__wrap_fopen64(const char *path, const char *mode);

static long kernel_bpf(struct fort_front *front, int cmd, void *attr, unsigned int size)
{
	long result = __real_syscall(SYS_bpf, cmd, attr, size);
	union fort_attr copy = {0};

	if (result < 0)
		result = -errno;
	if (cmd != FORT_CMD_PROG_LOAD || !front->tap.kernel)
		return result;
	memcpy(&copy, attr, size < sizeof(copy) ? size : sizeof(copy));
	front->tap.kernel(front->tap.owner, &copy.prog_load, result);
	return result;
}

static long front_bpf(int cmd, void *attr, unsigned int size)
{
	if (!front_door)
		return -ENOSYS;
	if (front_door->use_kernel)
		return kernel_bpf(front_door, cmd, attr, size);
	if (cmd == FORT_CMD_PROG_LOAD)
		return load_program(front_door, attr, size);
	return fort_store_bpf(front_door->store, cmd, attr, size);
}

static long to_errno(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static long front_perf_event_open(const void *attr, pid_t pid, int cpu, int group_fd,
				  unsigned long flags)
{
	if (!front_door)
		return -ENOSYS;
	return fort_store_perf_event_open(front_door->store, attr, pid, cpu, group_fd, flags);
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_bpf)
		return to_errno(front_bpf((int)a, (void *)b, (unsigned int)c));
	if (number == SYS_perf_event_open)
		return to_errno(front_perf_event_open((const void *)a, (pid_t)b, (int)c, (int)d,
						      (unsigned long)e));
	return __real_syscall(number, a, b, c, d, e, f);
}

int __wrap_ioctl(int fd, unsigned long request, unsigned long arg)
{
	long result;

	if (front_door && fort_store_ioctl(front_door->store, fd, request, arg, &result))
		return (int)to_errno(result);
	return __real_ioctl(fd, request, arg);
}

/* Where libbpf looks for the running kernel's types, when they are to be another's. */
static bool is_redirected(const char *path)
{
	return front_door && front_door->types && !strcmp(path, FORT_BTF_VMLINUX);
}

int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
	return is_redirected(path) ? 0 : __real_faccessat(dir, path, mode, flags);
}

/* The files from which libbpf learns the uprobe PMU. A kernel without uprobes, or a container
 * without /sys, does not have them. */
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	static const char pmu[] = "/sys/bus/event_source/devices/uprobe/";
	char text[32];

	if (is_redirected(path))
		return __real_fopen64(front_door->types->path, mode);
	if (front_door && !strncmp(path, pmu, sizeof(pmu) - 1)) {
		const char *name = path + sizeof(pmu) - 1;
		FILE *file = NULL;

		if (!strcmp(name, "type"))
			snprintf(text, sizeof(text), "%u\n",
				 fort_store_uprobe_type(front_door->store));
		else if (!strcmp(name, "format/retprobe"))
			snprintf(text, sizeof(text), "config:0\n");
		else
			return __real_fopen64(path, mode);
		/* Memory of its own: the stream outlives this call. */
		file = fmemopen(NULL, strlen(text) + 1, "w+");
		if (file) {
			fputs(text, file);
			rewind(file);
		}
		return file;
	}
	return __real_fopen64(path, mode);
}
