#include "attach/process.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/procfs.h"

#define TRACER_TRIES    50
#define TRACER_PAUSE_US 10000

/* What the checks know about the process, read once. */
struct view {
	pid_t pid;
	int proc_fd;
	char status[FORT_STATUS_BYTES];
	char name[32];
	struct fort_text *why;
};

static uint64_t field(const char *status, const char *name, unsigned base, uint64_t otherwise)
{
	uint64_t value;

	return fort_procfs_field(status, name, base, &value) ? value : otherwise;
}

static void read_name(int proc_fd, char name[32])
{
	if (fort_procfs_read(proc_fd, "comm", name, 32) <= 0)
		strcpy(name, "?");
	name[strcspn(name, "\n")] = 0;
}

/* One refusal: what is in the way, and what helps. */
static int refuse(const struct view *view, int err, const char *what, const char *help)
{
	fort_text_add(view->why, "cannot attach to process %d (%s): %s", (int)view->pid, view->name,
		      what);
	if (help)
		fort_text_add(view->why, "; %s", help);
	return err;
}

static bool may_trace_others(void)
{
	char status[FORT_STATUS_BYTES];

	return fort_procfs_read(AT_FDCWD, "/proc/self/status", status, sizeof(status)) > 0 &&
	       field(status, "CapEff", 16, 0) >> CAP_SYS_PTRACE & 1;
}

static int check_kind(const struct view *view)
{
	char state = fort_procfs_state(view->status), text[96];
	uint64_t group = field(view->status, "Tgid", 10, 0);

	if (group != (uint64_t)view->pid) {
		snprintf(text, sizeof(text), "it is a thread of process %d", (int)group);
		return refuse(view, -ESRCH, text, "name the process");
	}
	if (view->pid == getpid())
		return refuse(view, -EINVAL, "it is this process", NULL);
	if (state == 'Z' || state == 'X')
		if (field(view->status, "Threads", 10, 1) < 2)
			return refuse(view, -ESRCH, "it has ended (zombie)",
				      "its parent has not waited for it");
	if (field(view->status, "Kthread", 10, 0) ||
	    (state != 'Z' && !fort_procfs_field(view->status, "VmSize", 10, &group)))
		return refuse(view, -EOPNOTSUPP, "it is a kernel thread", NULL);
	return 0;
}

static int check_user(const struct view *view)
{
	uint64_t uid = 0;
	char text[96];

	if (may_trace_others())
		return 0;
	for (unsigned i = 0; i < 3; i++) {
		if (!fort_procfs_field_word(view->status, "Uid", i, &uid) || uid == getuid())
			continue;
		snprintf(text, sizeof(text), "it belongs to user %u, and you are user %u",
			 (unsigned)uid, (unsigned)getuid());
		return refuse(view, -EPERM, text,
			      "run as that user, or with CAP_SYS_PTRACE (root)");
	}
	return 0;
}

/* Who traces the process, and goes on doing so: other loaders do for a moment. */
static uint64_t steady_tracer(struct view *view)
{
	uint64_t tracer = field(view->status, "TracerPid", 10, 0);

	for (int i = 0; i < TRACER_TRIES && tracer && tracer != (uint64_t)getpid(); i++) {
		usleep(TRACER_PAUSE_US);
		if (fort_procfs_read(view->proc_fd, "status", view->status, sizeof(view->status)) <=
		    0)
			return 0; /* it has just ended, and that will be found out */
		tracer = field(view->status, "TracerPid", 10, 0);
	}
	return tracer;
}

static int check_state(struct view *view)
{
	uint64_t tracer = steady_tracer(view);
	char path[32], name[32], text[128];
	char state = fort_procfs_state(view->status);

	if (tracer && tracer != (uint64_t)getpid()) {
		snprintf(path, sizeof(path), "/proc/%u/comm", (unsigned)tracer);
		if (fort_procfs_read(AT_FDCWD, path, name, sizeof(name)) <= 0)
			strcpy(name, "?");
		name[strcspn(name, "\n")] = 0;
		snprintf(text, sizeof(text), "it is traced by process %u (%s)", (unsigned)tracer,
			 name);
		return refuse(view, -EBUSY, text, "end the debugger or strace first");
	}
	if (state == 'T')
		return refuse(view, -EAGAIN, "it is stopped (SIGSTOP or Ctrl-Z)",
			      "let it go on first (kill -CONT)");
	if (field(view->status, "Seccomp", 10, 0))
		return refuse(view, -EOPNOTSUPP, "it runs under a seccomp filter",
			      "system calls of the agent might end it; such targets are not "
			      "supported");
	return 0;
}

static bool same_link(int dir_fd, const char *path, const char *own)
{
	char theirs[64], ours[64];
	ssize_t n = readlinkat(dir_fd, path, theirs, sizeof(theirs));
	ssize_t m = readlink(own, ours, sizeof(ours));

	return n > 0 && n == m && !memcmp(theirs, ours, (size_t)n);
}

/* Process ids in there are other numbers than ours. */
static int check_namespace(const struct view *view)
{
	if (same_link(view->proc_fd, "ns/pid", "/proc/self/ns/pid"))
		return 0;
	return refuse(view, -EOPNOTSUPP, "it is in another pid namespace (a container)",
		      "run bpfort inside of it");
}

static int explain_denied(const struct view *view)
{
	char yama[8] = "0";
	struct stat stat;

	(void)!fort_procfs_read(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", yama, sizeof(yama));
	/* The directory stays the user's, its files do not. */
	if (!fstatat(view->proc_fd, "mem", &stat, 0) && stat.st_uid != getuid() &&
	    !may_trace_others())
		return refuse(view, -EPERM,
			      "it is not dumpable (it changed its user, has file capabilities, is "
			      "not readable, or asked for it by prctl)",
			      "run with CAP_SYS_PTRACE (root)");
	if (yama[0] != '0')
		return refuse(
			view, -EPERM, "the security module Yama forbids it (ptrace_scope)",
			"start the program with bpfort run -- COMMAND, use CAP_SYS_PTRACE, or "
			"set /proc/sys/kernel/yama/ptrace_scope to 0");
	return refuse(view, -EPERM, "the kernel does not allow to trace it",
		      "it may have more capabilities or another user namespace than you");
}

/* The main thread may have ended, and the process lives on in others. */
static int32_t live_thread(const struct view *view)
{
	char path[FORT_PATH_BYTES], status[FORT_STATUS_BYTES];
	int32_t tids[64], found = 0;
	int fd;
	long n;

	if (fort_procfs_state(view->status) != 'Z')
		return view->pid;
	fd = openat(view->proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (!found && fd >= 0 && (n = fort_procfs_tids(fd, tids, 64)) > 0) {
		for (long i = 0; i < n && !found; i++) {
			fort_procfs_task_path(path, tids[i], "status");
			if (fort_procfs_read(view->proc_fd, path, status, sizeof(status)) > 0 &&
			    fort_procfs_state(status) != 'Z')
				found = tids[i];
		}
	}
	if (fd >= 0)
		close(fd);
	return found ? found : view->pid;
}

static int check_class(const struct view *view, int32_t thread)
{
	unsigned char header[EI_NIDENT] = {0};
	char path[FORT_PATH_BYTES];
	int fd;

	fort_procfs_task_path(path, thread, "exe");
	fd = openat(view->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!read(fd, header, sizeof(header));
		close(fd);
	}
	if (header[EI_CLASS] == ELFCLASS32)
		return refuse(view, -EOPNOTSUPP, "it is a 32-bit program",
			      "only 64-bit programs are supported");
	return 0;
}

static int open_memory(const struct view *view, struct fort_process *process)
{
	char path[FORT_PATH_BYTES];
	int err;

	process->thread = live_thread(view);
	fort_procfs_task_path(path, process->thread, "mem");
	process->mem_fd = openat(view->proc_fd, path, O_RDWR | O_CLOEXEC);
	if (process->mem_fd < 0)
		return errno == EACCES || errno == EPERM
			       ? explain_denied(view)
			       : refuse(view, -ESRCH, "it has just ended", NULL);
	err = check_namespace(view);
	if (!err)
		err = check_class(view, process->thread);
	return err;
}

int fort_process_open(pid_t pid, struct fort_process *out, struct fort_text *why)
{
	struct fort_process process = {.pid = pid, .proc_fd = -1, .pid_fd = -1, .mem_fd = -1};
	struct view view = {.pid = pid, .why = why, .name = "?"};
	char path[32];
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	process.proc_fd = pid > 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	view.proc_fd = process.proc_fd;
	if (process.proc_fd < 0 ||
	    fort_procfs_read(process.proc_fd, "status", view.status, sizeof(view.status)) <= 0)
		err = refuse(&view, -ESRCH, "there is no such process", NULL);
	else
		read_name(process.proc_fd, view.name);
	if (!err)
		err = check_kind(&view);
	if (!err)
		err = check_user(&view);
	if (!err)
		err = check_state(&view);
	if (!err)
		err = open_memory(&view, &process);
	if (!err) {
		process.pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (process.pid_fd < 0)
			err = refuse(&view, -errno, "it has just ended", NULL);
	}
	memcpy(process.name, view.name, sizeof(process.name));
	if (err)
		fort_process_close(&process);
	else
		*out = process;
	return err;
}

void fort_process_close(struct fort_process *process)
{
	if (process->proc_fd >= 0)
		close(process->proc_fd);
	if (process->pid_fd >= 0)
		close(process->pid_fd);
	if (process->mem_fd >= 0)
		close(process->mem_fd);
	process->proc_fd = process->pid_fd = process->mem_fd = -1;
}

int fort_process_read(const struct fort_process *process, uint64_t address, void *data,
		      size_t bytes)
{
	ssize_t got = pread(process->mem_fd, data, bytes, (off_t)address);

	return got == (ssize_t)bytes ? 0 : -EFAULT;
}

int fort_process_write(const struct fort_process *process, uint64_t address, const void *data,
		       size_t bytes)
{
	ssize_t put = pwrite(process->mem_fd, data, bytes, (off_t)address);

	return put == (ssize_t)bytes ? 0 : -EFAULT;
}

bool fort_process_has_shadow_stack(const struct fort_process *process)
{
	char path[FORT_PATH_BYTES], status[FORT_STATUS_BYTES];
	const char *features;

	fort_procfs_task_path(path, process->thread, "status");
	if (fort_procfs_read(process->proc_fd, path, status, sizeof(status)) <= 0)
		return false;
	features = strstr(status, "x86_Thread_features:");
	return features && strstr(features, "shstk") &&
	       strstr(features, "shstk") < features + strcspn(features, "\n");
}
