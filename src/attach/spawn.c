/* Starting a program so that it can be probed from its first instruction on. The child is traced
 * from before its exec until the agent is in; it dies with us until then.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/regs.h"
#include "attach/target.h"
#include "attach/procfs.h"
#include "base/sys.h"

#define INT3       0xcc
#define STOPS_MAX  1024u
#define EVENT_EXEC 4
#define AUXV_WORDS 128u

enum { CALL_CONT = 7, CALL_GETREGS = 12, CALL_SETREGS = 13 };

static long trace(long request, pid_t pid, long address, long data)
{
	return fort_sys4(SYS_ptrace, request, pid, address, data);
}

/* The child: waits to be traced, then becomes the program; or says why not, and ends. */
static void become(char *const argv[], int ready_fd, int error_fd)
{
	char byte;
	int err;

	if (read(ready_fd, &byte, 1) == 1) {
		execvp(argv[0], argv);
		err = errno;
		(void)!write(error_fd, &err, sizeof(err));
	}
	_exit(127);
}

/* Lets the child run to its next stop of the wanted kind: an event, or (0) a SIGTRAP. Signals that
 * come between are delivered. */
static int run_to(pid_t pid, int event)
{
	long signal = 0;
	int status;

	for (uint32_t i = 0; i < STOPS_MAX; i++) {
		if (trace(CALL_CONT, pid, 0, signal) < 0 || waitpid(pid, &status, __WALL) < 0 ||
		    !WIFSTOPPED(status))
			return -ESRCH;
		if (event ? status >> 16 == event
			  : status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP)
			return 0;
		signal = status >> 16 ? 0 : WSTOPSIG(status);
	}
	return -ESRCH;
}

static int find_entry(const struct fort_process *process, uint64_t *out)
{
	uint64_t words[AUXV_WORDS] = {0};
	int fd = openat(process->proc_fd, "auxv", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!read(fd, words, sizeof(words) - 16);
		close(fd);
	}
	for (uint32_t i = 0; words[i] != AT_NULL && i + 1 < AUXV_WORDS; i += 2) {
		if (words[i] != AT_ENTRY)
			continue;
		*out = words[i + 1];
		return 0;
	}
	return -ESRCH;
}

/* Runs the new program up to its own first instruction: the loader of libraries is done then. */
static int run_to_entry(const struct fort_process *process)
{
	static const uint8_t trap = INT3;
	struct fort_regs regs;
	uint64_t entry = 0;
	uint8_t original;
	int err = find_entry(process, &entry);

	if (!err)
		err = fort_process_read(process, entry, &original, 1);
	if (!err)
		err = fort_process_write(process, entry, &trap, 1);
	if (!err)
		err = run_to(process->pid, 0);
	if (!err)
		err = fort_process_write(process, entry, &original, 1);
	if (!err)
		err = (int)trace(CALL_GETREGS, process->pid, 0, (long)&regs);
	if (!err && regs.word[FORT_CPU_RIP] != entry + 1)
		err = -ESRCH; /* a SIGTRAP of its own */
	regs.word[FORT_CPU_RIP] = entry;
	return err ? err : (int)trace(CALL_SETREGS, process->pid, 0, (long)&regs);
}

/* Seizes the waiting child and lets it make its exec. */
static int to_exec(pid_t pid, int ready_fd)
{
	if (trace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0)
		return -EPERM;
	if (trace(PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, NULL, __WALL) < 0 ||
	    write(ready_fd, "", 1) != 1)
		return -ESRCH;
	return run_to(pid, EVENT_EXEC);
}

static int start(char *const argv[], pid_t *pid, struct fort_text *why)
{
	int ready[2], error[2], err = 0, failed = 0;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	if (pipe2(error, O_CLOEXEC)) {
		err = -errno;
		close(ready[0]);
		close(ready[1]);
		return err;
	}
	*pid = fork();
	if (!*pid)
		become(argv, ready[0], error[1]);
	close(error[1]);
	err = *pid < 0 ? -errno : to_exec(*pid, ready[1]);
	if (err && *pid > 0 && read(error[0], &failed, sizeof(failed)) == sizeof(failed)) {
		fort_text_add(why, "cannot run %s: %s", argv[0], strerror(failed));
		err = -failed;
	} else if (err) {
		fort_text_add(why, "cannot start and trace %s: %s", argv[0], strerror(-err));
	}
	close(ready[0]);
	close(ready[1]);
	close(error[0]);
	return err;
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	(void)!waitpid(pid, NULL, __WALL);
}

int fort_target_spawn(char *const argv[], const struct fort_target_options *options,
		      struct fort_target **out, struct fort_text *why)
{
	struct fort_process process;
	pid_t pid = -1;
	int err = start(argv, &pid, why);

	if (!err)
		err = fort_process_open(pid, &process, why);
	if (err) {
		end(pid);
		return err;
	}
	err = run_to_entry(&process);
	if (err) {
		fort_text_add(why, "%s ended before its first instruction", argv[0]);
		fort_process_close(&process);
	} else {
		err = fort_target_enter(&process, pid, options, out, why);
	}
	if (err)
		end(pid);
	return err;
}
