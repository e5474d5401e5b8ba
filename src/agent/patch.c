#include "agent/patch.h"

#include <errno.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "agent/agent.h"
#include "agent/sigframe.h"
#include "attach/procfs.h"
#include "attach/restart.h"
#include "base/limits.h"
#include "base/sys.h"

#define HELPER_STACK_BYTES   (48u << 10)
#define STOP_NS              100000000ull /* one try; threads are stopped meanwhile */
#define PAUSE_NS             5000000ull
#define SIGKILL_NR           9
#define FORT_PATCH_BUDGET_NS 4000000000ull

struct job {
	fort_patch_act *act;
	void *arg;
	struct fort_answer *answer;
	int32_t agent_pid;
	uint32_t go; /* futex: the agent has allowed the helper to trace */
	int err;
};

static struct fort_world_thread threads[FORT_THREADS_MAX];
static _Alignas(16) uint8_t helper_stack[HELPER_STACK_BYTES];

/* The helper process. It shares all memory with the process, and ends with it. */
static void help(void *arg)
{
	struct job *job = arg;
	struct fort_world world = {.proc_fd = fort_agent.proc_fd,
				   .skip_tid = fort_agent.tid,
				   .budget_ns = STOP_NS,
				   .threads = threads,
				   .room = FORT_LEN(threads)};

	fort_sys2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL_NR);
	if (fort_sys0(SYS_getppid) != job->agent_pid)
		fort_sys1(SYS_exit, 0);
	while (!__atomic_load_n(&job->go, __ATOMIC_ACQUIRE))
		fort_sys4(SYS_futex, (long)&job->go, 0 /* FUTEX_WAIT */, 0, 0);
	job->err = fort_world_stop(&world);
	if (job->err) {
		job->answer->reason = world.reason;
		job->answer->detail = world.culprit;
	} else {
		job->err = job->act(&world, job->arg, job->answer);
		fort_world_resume(&world);
	}
	fort_sys1(SYS_exit, 0);
}

static int stop_once(fort_patch_act *act, void *arg, struct fort_answer *answer)
{
	struct job job = {act, arg, answer, fort_agent.pid, 0, -ESRCH};
	long pid, got;

	pid = fort_agent_clone(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED,
			       helper_stack + sizeof(helper_stack), help, &job);
	if (pid < 0)
		return (int)pid;
	/* Yama: the helper is no ancestor of those it traces. No effect, and EINVAL, without. */
	fort_sys2(SYS_prctl, PR_SET_PTRACER, pid);
	__atomic_store_n(&job.go, 1, __ATOMIC_RELEASE);
	fort_sys3(SYS_futex, (long)&job.go, 1 /* FUTEX_WAKE */, 1);
	do /* ECHILD: the process reaps children of all kinds; then the helper has ended too */
		got = fort_sys4(SYS_wait4, pid, 0, __WALL, 0);
	while (got == -EINTR);
	fort_sys2(SYS_prctl, PR_SET_PTRACER, 0);
	return job.err;
}

int fort_patch_stopped(fort_patch_act *act, void *arg, uint64_t budget_ns,
		       struct fort_answer *answer)
{
	uint64_t deadline = fort_world_now_ns() + budget_ns, pause = PAUSE_NS;
	int err;

	for (;;) {
		err = stop_once(act, arg, answer);
		if (err != -EAGAIN || fort_world_now_ns() + pause > deadline)
			return err;
		/* Two agents that stop the same threads must not meet again in step. */
		fort_world_pause_ns(pause + (uint64_t)fort_agent.tid % 16 * (PAUSE_NS / 16));
		if (pause < 16 * PAUSE_NS)
			pause *= 2;
	}
}

static bool read_code(uint64_t address, uint8_t *code, size_t bytes)
{
	struct iovec local = {code, bytes};
	struct iovec remote = {(void *)(uintptr_t)address, bytes};

	return fort_sys6(SYS_process_vm_readv, fort_sys0(SYS_getpid), (long)&local, 1,
			 (long)&remote, 1, 0) == (long)bytes;
}

/* Writes code through /proc/PID/mem, which leaves the mapping r-x. Where that is forbidden
 * (proc_mem.force_override), through a moment as rw-: all threads stand still. */
static int write_code(uint64_t address, const uint8_t *code, size_t bytes,
		      struct fort_answer *answer)
{
	uint64_t start = address & ~(uint64_t)(FORT_PAGE_BYTES - 1);
	uint64_t span = fort_round_up(address + bytes, FORT_PAGE_BYTES) - start;
	long err =
		fort_sys4(SYS_pwrite64, fort_agent.mem_fd, (long)code, (long)bytes, (long)address);

	if (err == (long)bytes)
		return 0;
	err = fort_sys3(SYS_mprotect, (long)start, (long)span, PROT_READ | PROT_WRITE);
	if (!err) {
		memcpy((void *)(uintptr_t)address, code, bytes);
		err = fort_sys3(SYS_mprotect, (long)start, (long)span, PROT_READ | PROT_EXEC);
	}
	if (!err)
		return 0;
	answer->reason = FORT_REASON_UNWRITABLE;
	answer->detail = -err;
	return -EFAULT;
}

/* Where an instruction pointer inside the bytes that change belongs: the same instruction in the
 * stub; 0 when it may stay; UINT64_MAX when it is at no instruction.
 */
static uint64_t moved(const struct fort_site *site, uint64_t ip)
{
	const struct fort_site_plan *plan = &site->plan;
	uint64_t distance = ip - plan->patch;

	if (!distance || distance >= FORT_JUMP_BYTES)
		return 0;
	for (uint32_t i = 0; i <= plan->n_insns; i++)
		if (plan->from[i] == distance)
			return site->body + plan->to[i];
	return UINT64_MAX;
}

struct move {
	const struct fort_site *site;
	bool lost;
};

static bool move_frame(uint64_t *rip, void *arg)
{
	struct move *move = arg;
	uint64_t to = moved(move->site, *rip);

	move->lost |= to == UINT64_MAX;
	if (to && !move->lost)
		*rip = to;
	return !move->lost;
}

/* Takes one stopped thread out of the bytes that are to change. */
static bool move_out(const struct fort_world_thread *thread, struct move *move, bool frames)
{
	struct fort_regs regs;
	uint64_t back, to;

	if (fort_world_regs(thread, &regs))
		return true;
	/* A call that will be made again starts at its `syscall` instruction. */
	back = fort_restart_pending(&regs) || fort_restart_needed(&regs) ? FORT_SYSCALL_BYTES : 0;
	to = moved(move->site, regs.word[FORT_CPU_RIP] - back);
	if (to == UINT64_MAX)
		return false;
	if (to) {
		regs.word[FORT_CPU_RIP] = to + back;
		if (fort_world_set_regs(thread, &regs))
			return true;
	}
	return !frames || fort_sigframe_walk(regs.word[FORT_CPU_RSP], move_frame, move);
}

/* Does the process handle any signal? Without handlers there are no signal frames. */
static bool has_handlers(void)
{
	char text[FORT_STATUS_BYTES];
	uint64_t caught;

	return fort_procfs_read(fort_agent.proc_fd, "status", text, sizeof(text)) <= 0 ||
	       !fort_procfs_field(text, "SigCgt", 16, &caught) || caught;
}

static int move_all_out(struct fort_world *world, const struct fort_site *site,
			struct fort_answer *answer)
{
	bool frames = has_handlers();

	for (uint32_t i = 0; i < world->n; i++) {
		struct move move = {.site = site};

		if (world->threads[i].tid && !move_out(&world->threads[i], &move, frames)) {
			answer->reason = FORT_REASON_HANDLER;
			answer->detail = world->threads[i].tid;
			return -EAGAIN;
		}
	}
	return 0;
}

/* The stub before anything leads to it. */
static int write_stub(const struct fort_site *site, struct fort_answer *answer)
{
	uint8_t stub[FORT_STUB_BYTES_MAX];

	return write_code(site->plan.stub, stub, fort_site_stub(site, stub), answer);
}

int fort_patch_now(struct fort_world *world, struct fort_site *site, const uint8_t *jump,
		   struct fort_answer *answer)
{
	const struct fort_site_plan *plan = &site->plan;
	const uint8_t *expected = site->armed ? site->jump : plan->original;
	size_t check = site->armed ? FORT_JUMP_BYTES : plan->window_bytes;
	uint8_t now[FORT_WINDOW_BYTES_MAX];
	int err = 0;

	if (!read_code(plan->patch, now, check)) {
		answer->reason = FORT_REASON_UNMAPPED;
		return -ENOENT;
	}
	if (memcmp(now, expected, check) != 0) {
		answer->reason = site->armed ? FORT_REASON_OVERLAID : FORT_REASON_CHANGED;
		return -EBUSY;
	}
	if (!site->armed) {
		err = write_stub(site, answer);
		if (!err)
			err = move_all_out(world, site, answer);
	}
	if (!err)
		err = write_code(plan->patch, jump ? jump : plan->original, FORT_JUMP_BYTES,
				 answer);
	if (err)
		return err;
	site->armed = jump != NULL;
	if (jump)
		memcpy(site->jump, jump, FORT_JUMP_BYTES);
	return 0;
}

struct patch {
	struct fort_site *site;
	const uint8_t *jump;
};

static int patch_act(struct fort_world *world, void *arg, struct fort_answer *answer)
{
	const struct patch *patch = arg;

	return fort_patch_now(world, patch->site, patch->jump, answer);
}

int fort_patch_site(struct fort_site *site, const uint8_t *jump, struct fort_answer *answer)
{
	struct patch patch = {site, jump};

	return fort_patch_stopped(patch_act, &patch, FORT_PATCH_BUDGET_NS, answer);
}
