#include "store/event.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/handle.h"

#define PMU_TYPE "/sys/bus/event_source/devices/uprobe/type"
#define OUR_TYPE 0xf047u /* where the kernel has no uprobe PMU */
#define KNOWN_FLAGS \
	(PERF_FLAG_FD_NO_GROUP | PERF_FLAG_FD_OUTPUT | PERF_FLAG_PID_CGROUP | PERF_FLAG_FD_CLOEXEC)
#define CONFIG_RETURN 1u /* bit 0 of config; the reference counter's offset is bits 32 to 63 */

uint32_t fort_event_uprobe_type(void)
{
	FILE *file = fopen(PMU_TYPE, "re");
	uint32_t type = OUR_TYPE;

	if (!file)
		return type;
	if (fscanf(file, "%u", &type) != 1)
		type = OUR_TYPE;
	fclose(file);
	return type;
}

static int attach(struct fort_event_object *event)
{
	const struct fort_store_attacher *attacher = &event->object.store->attacher;
	const struct fort_attach_request request = {
		.path = event->path,
		.offset = event->offset,
		.ref_ctr_offset = event->ref_ctr_offset,
		.returns = event->returns,
		.pid = event->pid,
		.cookie = event->cookie,
		.program = event->prog->road,
		.maps = event->prog->used,
		.n_maps = event->prog->n_used,
	};
	int err;

	if (!attacher->attach || !event->prog->road)
		return -EOPNOTSUPP;
	if (fort_crash_has_detached(event->prog))
		return -EPERM;
	err = attacher->attach(attacher->owner, &request, &event->attachment);
	event->attached = !err;
	return err;
}

static void detach(struct fort_event_object *event)
{
	const struct fort_store_attacher *attacher = &event->object.store->attacher;

	if (event->attached && attacher->detach) /* else the attacher is gone, and did it */
		attacher->detach(attacher->owner, event->attachment);
	event->attached = false;
}

int fort_event_set_prog(struct fort_event_object *event, struct fort_prog_object *prog,
			uint64_t cookie)
{
	int err = 0;

	if (prog->type->number != BPF_PROG_TYPE_KPROBE)
		return -EINVAL;
	pthread_mutex_lock(&event->lock);
	if (event->prog)
		err = -EEXIST;
	if (!err) {
		event->prog = prog;
		event->cookie = cookie;
		if (event->enabled)
			err = attach(event);
		if (err)
			event->prog = NULL;
		else
			fort_object_get(&prog->object);
	}
	pthread_mutex_unlock(&event->lock);
	return err;
}

void fort_event_detach(struct fort_event_object *event, const struct fort_prog_object *prog)
{
	pthread_mutex_lock(&event->lock);
	if (event->prog == prog)
		detach(event);
	pthread_mutex_unlock(&event->lock);
}

void fort_event_clear_prog(struct fort_event_object *event)
{
	struct fort_prog_object *prog;

	pthread_mutex_lock(&event->lock);
	detach(event);
	prog = event->prog;
	event->prog = NULL;
	pthread_mutex_unlock(&event->lock);
	if (prog)
		fort_object_put(&prog->object);
}

int fort_event_enable(struct fort_event_object *event, bool enable)
{
	int err = 0;

	pthread_mutex_lock(&event->lock);
	if (enable && event->prog && !event->attached)
		err = attach(event);
	if (!enable)
		detach(event);
	if (!err)
		event->enabled = enable;
	pthread_mutex_unlock(&event->lock);
	return err;
}

void fort_event_forked(struct fort_store *store)
{
	const struct fort_object_table *table = &store->tables[FORT_OBJECT_EVENT];

	for (uint32_t i = 0; i < table->n_objects; i++) {
		struct fort_event_object *event = (struct fort_event_object *)table->objects[i];

		event->enabled = event->attached = false;
	}
}

void fort_event_object_free(struct fort_event_object *event)
{
	fort_event_clear_prog(event);
	pthread_mutex_destroy(&event->lock);
	free(event->path);
	free(event);
}

/* perf_copy_attr: a caller may know less or more of the struct than we do. */
static int copy_attr(const struct fort_caller *caller, uint64_t address,
		     struct perf_event_attr *attr)
{
	uint32_t size, known = sizeof(*attr);
	int err = fort_caller_read(caller, address + offsetof(struct perf_event_attr, size), &size,
				   sizeof(size));
	int zero = 1;

	if (err)
		return err;
	if (!size)
		size = PERF_ATTR_SIZE_VER0;
	if (size < PERF_ATTR_SIZE_VER0 || size > FORT_PAGE_BYTES)
		zero = 0;
	else if (size > known)
		zero = fort_caller_is_zero(caller, address + known, size - known);
	if (zero < 0)
		return zero;
	if (!zero) {
		err = fort_caller_write(caller, address + offsetof(struct perf_event_attr, size),
					&known, sizeof(known));
		return err ? err : -E2BIG;
	}
	memset(attr, 0, sizeof(*attr));
	return fort_caller_read(caller, address, attr, size < known ? size : known);
}

/* perf_uprobe_init: a regular file by its path. *path is the caller's to free. */
static int copy_path(const struct fort_caller *caller, uint64_t address, char **path)
{
	char text[PATH_MAX];
	struct stat stat_;
	int64_t length;

	if (!address)
		return -EINVAL;
	length = fort_caller_string(caller, address, text, sizeof(text));
	if (length < 0)
		return (int)length;
	if (length == sizeof(text))
		return -E2BIG;
	if (!length)
		return -EINVAL;
	if (stat(text, &stat_))
		return -errno;
	if (!S_ISREG(stat_.st_mode))
		return -EINVAL;
	*path = strdup(text);
	return *path ? 0 : -ENOMEM;
}

static int check_target(pid_t pid, int cpu)
{
	if (pid == -1 && cpu == -1)
		return -EINVAL;
	if (pid < -1)
		return -ESRCH;
	if (pid > 0 && kill(pid, 0) && errno == ESRCH)
		return -ESRCH;
	return cpu < -1 || cpu >= (int)FORT_CPUS_MAX ? -EINVAL : 0;
}

static struct fort_event_object *new_event(struct fort_store *store,
					   const struct perf_event_attr *attr, pid_t pid)
{
	struct fort_event_object *event = fort_object_new(store, FORT_OBJECT_EVENT, sizeof(*event));

	if (!event)
		return NULL;
	pthread_mutex_init(&event->lock, NULL);
	event->offset = attr->probe_offset;
	event->ref_ctr_offset = attr->config >> 32;
	event->returns = attr->config & CONFIG_RETURN;
	event->enabled = !attr->disabled;
	event->pid = pid ? pid : getpid();
	return event;
}

static long open_event(struct fort_store *store, uint64_t address, pid_t pid, int cpu,
		       unsigned long flags)
{
	const struct fort_caller caller = {0};
	struct fort_event_object *event;
	struct perf_event_attr attr;
	long result;
	int err;

	if (flags & ~KNOWN_FLAGS || flags & PERF_FLAG_PID_CGROUP)
		return -EINVAL;
	err = copy_attr(&caller, address, &attr);
	if (err)
		return err;
	if (attr.type != store->uprobe_type)
		return -ENOENT;
	err = check_target(pid, cpu);
	if (err)
		return err;
	event = new_event(store, &attr, pid);
	if (!event)
		return -ENOMEM;
	result = copy_path(&caller, attr.uprobe_path, &event->path);
	result = result ? result : fort_object_publish(&event->object);
	result = result ? result : fort_handle_open(&event->object, O_RDWR);
	if (result >= 0 && !(flags & PERF_FLAG_FD_CLOEXEC))
		fcntl((int)result, F_SETFD, 0);
	fort_object_put(&event->object);
	return result;
}

long fort_store_perf_event_open(struct fort_store *store, const void *attr, pid_t pid, int cpu,
				int group_fd, unsigned long flags)
{
	int saved = errno;
	long result;

	(void)group_fd; /* events that count nothing have nothing to share */
	fort_handle_reap(store);
	result = open_event(store, (uintptr_t)attr, pid, cpu, flags);
	errno = saved;
	return result;
}

static long set_bpf(struct fort_event_object *event, int prog_fd)
{
	struct fort_object *prog;
	long result = fort_handle_get(event->object.store, prog_fd, FORT_OBJECT_PROG, &prog);

	if (result)
		return result;
	result = fort_event_set_prog(event, (struct fort_prog_object *)prog, 0);
	fort_object_put(prog);
	return result;
}

static long control(struct fort_event_object *event, unsigned long request, unsigned long arg)
{
	switch (request) {
	case PERF_EVENT_IOC_ENABLE: return fort_event_enable(event, true);
	case PERF_EVENT_IOC_DISABLE: return fort_event_enable(event, false);
	case PERF_EVENT_IOC_RESET: return 0;
	case PERF_EVENT_IOC_SET_BPF: return set_bpf(event, (int)arg);
	case PERF_EVENT_IOC_QUERY_BPF: return -EINVAL; /* K: of tracepoints only */
	default: return -ENOTTY;
	}
}

bool fort_store_ioctl(struct fort_store *store, int fd, unsigned long request, unsigned long arg,
		      long *result)
{
	struct fort_object *object;
	int saved = errno;
	bool ours = !fort_handle_get(store, fd, FORT_OBJECT_EVENT, &object);

	if (ours) {
		*result = control((struct fort_event_object *)object, request, arg);
		fort_object_put(object);
	}
	errno = saved;
	return ours;
}
