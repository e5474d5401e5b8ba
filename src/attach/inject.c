#include "attach/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/boot.h"
#include "attach/borrow.h"
#include "attach/channel.h"
#include "base/limits.h"

#define STOP_NS          100000000ull
#define TRIES            20u
#define PAUSE_MS         50
#define HELLO_MS         2000
#define WORK_STACK_BYTES (256u << 10)
#define FSGSBASE_BIT     2u     /* of AT_HWCAP2 */
#define THREAD_FD        O_EXCL /* PIDFD_THREAD, Linux 6.9 */
#define AGENT_FLAGS      (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES)

/* Everything one injection needs, prepared before anything is stopped. */
struct work {
	struct fort_injection *injection;
	struct fort_regions regions;
	struct fort_world world;
	struct fort_borrow borrow;
	uint8_t *memory; /* the image at its address */
	uint64_t syscall_at, bytes, base, sweep;
	const char *step; /* what failed */
	int err;
};

static uint64_t guard_of(const struct work *work)
{
	return work->base + work->injection->image->bytes;
}

static uint64_t stack_of(const struct work *work)
{
	return work->base + work->bytes - sizeof(struct fort_boot) - 64;
}

/* One system call in the target; its failure is ours. */
static int call(struct work *work, const char *step, int64_t *result, long nr, uint64_t a,
		uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	uint64_t args[6] = {a, b, c, d, e, f};
	int64_t value = 0;
	int err = fort_borrow_call(&work->borrow, 0, nr, args, &value);

	work->step = step;
	if (!err && value < 0 && value >= -4095)
		err = (int)value;
	if (!err && result)
		*result = value;
	return err;
}

static int protect(struct work *work, uint64_t start, uint64_t bytes, int rights)
{
	return call(work, "mprotect", NULL, SYS_mprotect, start, bytes, (uint64_t)rights, 0, 0, 0);
}

static int place_image(struct work *work)
{
	const struct fort_injection *injection = work->injection;
	const struct fort_image *image = injection->image;
	int64_t base;
	int err;

	err = call(work, "mmap", &base, SYS_mmap, 0, work->bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
	if (err)
		return err;
	work->base = (uint64_t)base;
	err = fort_image_place(image, work->base, work->memory);
	if (!err)
		err = fort_process_write(injection->process, work->base, work->memory,
					 image->filled);
	for (uint32_t i = 0; i < image->n_segments && !err; i++)
		if (image->segment[i].rights != (PROT_READ | PROT_WRITE))
			err = protect(work, work->base + image->segment[i].start,
				      image->segment[i].bytes, image->segment[i].rights);
	if (!err)
		err = protect(work, guard_of(work), FORT_PAGE_BYTES, PROT_NONE);
	return err;
}

/* Our copy of a descriptor of the target. */
static int fetch_fd(const struct work *work, int fd)
{
	const struct fort_process *process = work->injection->process;
	int thread_fd = (int)syscall(SYS_pidfd_open, work->borrow.thread->tid, THREAD_FD), ours;

	ours = (int)syscall(SYS_pidfd_getfd, thread_fd >= 0 ? thread_fd : process->pid_fd, fd, 0);
	if (ours < 0)
		ours = -errno;
	if (thread_fd >= 0)
		close(thread_fd);
	return ours;
}

static int write_boot(const struct work *work, int socket)
{
	struct fort_boot boot = {.image = work->base,
				 .bytes = work->bytes,
				 .socket = socket,
				 .flags = getauxval(AT_HWCAP2) & FSGSBASE_BIT ? FORT_BOOT_FSGSBASE
									      : 0,
				 .park = work->injection->traced != 0};

	if (getrandom(&boot.secret, sizeof(boot.secret), 0) != sizeof(boot.secret))
		return -EIO;
	return fort_process_write(work->injection->process, stack_of(work), &boot, sizeof(boot));
}

static int receive_hello(struct work *work)
{
	struct fort_injection *injection = work->injection;
	struct pollfd poll_fd = {.fd = injection->socket, .events = POLLIN};
	struct fort_message message;
	int err;

	work->step = "start of the agent";
	if (poll(&poll_fd, 1, HELLO_MS) != 1)
		return -ETIMEDOUT;
	err = fort_channel_receive(injection->socket, MSG_DONTWAIT, &message);
	if (err)
		return err;
	fort_channel_close_fds(&message);
	if (message.head.type != FORT_HELLO)
		return -EBADMSG;
	memcpy(&injection->hello, message.body, sizeof(injection->hello));
	return 0;
}

/* Makes the agent's thread, which takes over one end of the socket. */
static int start_thread(struct work *work, int socket)
{
	uint64_t entry = work->base + work->injection->image->entry;
	uint64_t args[6] = {AGENT_FLAGS, stack_of(work), 0, 0, 0, 0};
	int64_t tid = 0;
	int err = write_boot(work, socket);

	if (!err)
		err = fort_borrow_call(&work->borrow, entry, SYS_clone, args, &tid);
	work->step = "clone";
	if (!err && tid < 0)
		err = (int)tid;
	return err ? err : receive_hello(work);
}

static int start_agent(struct work *work)
{
	uint64_t pair_at = work->base + work->bytes - 16;
	int pair[2], err, ignored;

	err = call(work, "socketpair", NULL, SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC,
		   0, pair_at, 0, 0);
	if (!err)
		err = fort_process_read(work->injection->process, pair_at, pair, sizeof(pair));
	if (err)
		return err;
	work->injection->socket = fetch_fd(work, pair[1]);
	work->step = "pidfd_getfd";
	err = work->injection->socket < 0 ? work->injection->socket : start_thread(work, pair[0]);
	for (int i = 0; i < 2; i++) {
		const char *step = work->step;

		ignored = call(work, step, NULL, SYS_close, (uint64_t)pair[i], 0, 0, 0, 0, 0);
		(void)ignored;
	}
	return err;
}

/* Where the main thread goes instead of the program's entry: the park gate, which returns there. */
static int park(const struct work *work, struct fort_regs *regs)
{
	uint64_t entry = regs->word[FORT_CPU_RIP];

	regs->word[FORT_CPU_RSP] -= sizeof(entry);
	regs->word[FORT_CPU_RIP] = work->injection->hello.park;
	return fort_process_write(work->injection->process, regs->word[FORT_CPU_RSP], &entry,
				  sizeof(entry));
}

static void undo(struct work *work)
{
	int ignored = 0;

	if (work->injection->socket >= 0)
		close(work->injection->socket);
	work->injection->socket = -1;
	/* Not when the agent may run already: it leaves by itself, for its socket is closed. */
	if (work->base && strcmp(work->step, "start of the agent") != 0) {
		const char *step = work->step;

		ignored = call(work, step, NULL, SYS_munmap, work->base, work->bytes, 0, 0, 0, 0);
	}
	(void)ignored;
}

/* With all threads stopped. */
static int inject_now(struct work *work)
{
	struct fort_regs regs;
	bool parks = work->injection->traced != 0;
	int err, end;

	work->step = "a thread to borrow";
	err = fort_borrow_begin(work->injection->process, &work->world, work->syscall_at,
				parks ? PTRACE_O_EXITKILL : 0, &work->borrow);
	if (err)
		return err;
	err = place_image(work);
	if (!err)
		err = start_agent(work);
	if (err)
		undo(work);
	regs = work->borrow.saved;
	if (!err && parks)
		err = park(work, &regs);
	end = fort_borrow_end(&work->borrow, &regs);
	return err ? err : end;
}

/* Is any thread in the page that is to go? Its agent may be making its last system call. */
static bool page_in_use(const struct work *work)
{
	struct fort_regs regs;

	for (uint32_t i = 0; i < work->world.n; i++)
		if (work->world.threads[i].tid &&
		    !fort_world_regs(&work->world.threads[i], &regs) &&
		    regs.word[FORT_CPU_RIP] - work->sweep < FORT_PAGE_BYTES)
			return true;
	return false;
}

bool fort_inject_is_residue(const struct fort_process *process, const struct fort_region *region)
{
	char magic[FORT_GATE_MAGIC_BYTES];

	return !region->inode && region->rights == (PROT_READ | PROT_EXEC) &&
	       region->end - region->start == FORT_PAGE_BYTES &&
	       !fort_process_read(process, region->start, magic, sizeof(magic)) &&
	       !memcmp(magic, FORT_GATE_MAGIC, sizeof(magic));
}

/* The page may have been taken away since somebody saw it, and another agent be in its place. */
static int sweep_now(struct work *work)
{
	struct fort_region region;
	int err, end;

	if (page_in_use(work))
		return -EAGAIN;
	if (!fort_regions_at(work->injection->process, work->sweep, &region) ||
	    !fort_inject_is_residue(work->injection->process, &region))
		return -ENOENT;
	err = fort_borrow_begin(work->injection->process, &work->world, work->syscall_at, 0,
				&work->borrow);
	if (err)
		return err;
	err = call(work, "munmap", NULL, SYS_munmap, work->sweep, FORT_PAGE_BYTES, 0, 0, 0, 0);
	end = fort_borrow_end(&work->borrow, NULL);
	return err ? err : end;
}

static int stopped(void *arg)
{
	struct work *work = arg;

	work->step = "stopping the threads";
	work->err = fort_world_stop(&work->world);
	if (!work->err) {
		work->err = work->sweep ? sweep_now(work) : inject_now(work);
		fort_world_resume(&work->world);
	}
	return 0;
}

/* The injecting process. The loader waits in vfork until it has ended; both share all memory. In a
 * session of its own, so that a signal to the loader's group does not reach it. */
static int injector(void *arg)
{
	setsid();
	return stopped(arg);
}

static int in_process(struct work *work)
{
	sigset_t all, before;
	uint8_t *stack;
	int pid;

	stack = mmap(NULL, WORK_STACK_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = clone(injector, stack + WORK_STACK_BYTES, CLONE_VM | CLONE_VFORK | CLONE_FILES, work);
	if (pid < 0)
		work->err = -errno;
	else
		while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(stack, WORK_STACK_BYTES);
	return work->err;
}

static int prepare(struct work *work)
{
	const struct fort_process *process = work->injection->process;
	const struct fort_image *image = work->injection->image;
	int err = fort_regions_read(process, &work->regions);

	if (err)
		return err;
	work->world = (struct fort_world){.proc_fd = process->proc_fd,
					  .budget_ns = STOP_NS,
					  .room = FORT_THREADS_MAX};
	work->world.threads = calloc(FORT_THREADS_MAX, sizeof(*work->world.threads));
	work->syscall_at = fort_borrow_find_syscall(process, &work->regions);
	if (image) {
		work->memory = calloc(1, image->filled);
		work->bytes = image->bytes + FORT_PAGE_BYTES + FORT_AGENT_STACK_BYTES;
	}
	if (!work->world.threads || (image && !work->memory))
		return -ENOMEM;
	work->step = "finding a syscall instruction";
	return work->syscall_at ? 0 : -EOPNOTSUPP;
}

static void release(struct work *work)
{
	fort_regions_free(&work->regions);
	free(work->world.threads);
	free(work->memory);
}

static int attempt(struct work *work)
{
	int32_t traced = work->injection->traced;

	work->base = 0;
	work->err = -ESRCH;
	work->world.n = traced != 0;
	if (!traced)
		return in_process(work);
	work->world.threads[0] = (struct fort_world_thread){.tid = traced, .stopped = true};
	stopped(work);
	return work->err;
}

static void explain(const struct work *work, int err, struct fort_text *why)
{
	const struct fort_process *process = work->injection->process;

	fort_text_add(why, "cannot attach to process %d (%s): ", (int)process->pid, process->name);
	if (work->world.reason) {
		fort_reason_add(why, work->world.reason, work->world.culprit);
	} else if (err == -ESRCH) {
		fort_text_add(why, "it has just ended");
	} else {
		fort_text_add(why, "%s failed there: %s", work->step, strerror(-err));
		if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
			fort_text_add(why, "; its limits leave no room (RLIMIT_AS, RLIMIT_NOFILE, "
					   "cgroup)");
	}
}

static int repeat(struct work *work)
{
	int err = -EAGAIN;

	for (uint32_t i = 0; i < TRIES && err == -EAGAIN; i++) {
		struct pollfd ended = {.fd = work->injection->process->pid_fd, .events = POLLIN};

		/* When it ends meanwhile, there is nothing to wait for. */
		if (i && poll(&ended, 1, PAUSE_MS) == 1) {
			work->world.reason = FORT_REASON_NONE;
			return -ESRCH;
		}
		err = attempt(work);
	}
	return err;
}

int fort_inject(struct fort_injection *injection, struct fort_text *why)
{
	struct work work = {.injection = injection, .step = "reading its mappings"};
	int err;

	injection->socket = -1;
	err = prepare(&work);
	if (!err)
		err = repeat(&work);
	if (err)
		explain(&work, err, why);
	release(&work);
	return err;
}

void fort_inject_sweep(const struct fort_process *process, uint64_t page)
{
	struct fort_injection injection = {.process = process, .socket = -1};
	struct work work = {.injection = &injection, .sweep = page};

	if (!prepare(&work))
		(void)!repeat(&work);
	release(&work);
}
