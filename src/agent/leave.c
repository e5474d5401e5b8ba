#include "agent/leave.h"

#include <errno.h>

#include "agent/block.h"
#include "agent/patch.h"
#include "agent/pending.h"
#include "agent/serve.h"
#include "agent/sigframe.h"
#include "agent/slot.h"
#include "attach/restart.h"
#include "base/pages.h"
#include "base/sys.h"

#define TRY_NS       200000000ull /* for one attempt to stop the world */
#define PAUSE_MIN_NS 1000000ull
#define PAUSE_MAX_NS 1000000000ull
#define DRAIN_NS     60000000000ull /* for threads to come out of stubs */

/* Guards of unwinders go last: a thread that was stopped on its way to a pad will have a return
 * address of ours, and may throw before the world is stopped again. */
struct undo {
	bool late;     /* asked for: guards go, whoever is on his way */
	bool unprobed; /* no jump of a probe is in any code */
	bool restored; /* nor that of a guard */
	bool clean;    /* and nobody can come back to stubs, pads or gates */
};

static bool is_ours(uint64_t address)
{
	return address - fort_agent.boot.image < fort_agent.boot.bytes ||
	       fort_block_contains(address) || fort_pending_contains(address);
}

/* The place in the restored code of an instruction pointer in displaced code; 0: none. */
static uint64_t original_of(uint64_t ip)
{
	const struct fort_site *site = fort_site_of_body(ip);

	if (!site || site->armed)
		return 0;
	for (uint32_t i = 0; i < site->plan.n_insns; i++)
		if (site->body + site->plan.to[i] == ip)
			return site->plan.patch + site->plan.from[i];
	return 0;
}

static bool frame_is_elsewhere(uint64_t *rip, void *arg)
{
	uint64_t to = original_of(*rip);

	if (to)
		*rip = to;
	return !is_ours(*rip);
}

static bool frame_is_not_ours(uint64_t *rip, void *arg)
{
	return !is_ours(*rip);
}

bool fort_agent_holds(const struct fort_regs *regs)
{
	return is_ours(regs->word[FORT_CPU_RIP]) ||
	       !fort_sigframe_walk(regs->word[FORT_CPU_RSP], frame_is_not_ours, NULL);
}

/* Brings a thread out of displaced code, or says that it is still inside. */
static bool is_outside(const struct fort_world_thread *thread)
{
	struct fort_regs regs;
	uint64_t back, to;

	if (!thread->tid || fort_world_regs(thread, &regs))
		return true;
	back = fort_restart_pending(&regs) || fort_restart_needed(&regs) ? FORT_SYSCALL_BYTES : 0;
	to = original_of(regs.word[FORT_CPU_RIP] - back);
	if (to) {
		regs.word[FORT_CPU_RIP] = to + back;
		if (fort_world_set_regs(thread, &regs))
			return true;
	}
	return !is_ours(regs.word[FORT_CPU_RIP]) &&
	       fort_sigframe_walk(regs.word[FORT_CPU_RSP], frame_is_elsewhere, NULL);
}

static bool all_outside(const struct fort_world *world)
{
	bool outside = true;

	for (uint32_t i = 0; i < world->n; i++)
		outside &= is_outside(&world->threads[i]);
	return outside;
}

/* Takes the jumps of one kind away; false when some stay. */
static bool restore(struct fort_world *world, enum fort_site_kind kind, struct fort_answer *answer)
{
	struct fort_site *site;
	bool restored = true;

	for (uint32_t i = 0; (site = fort_site_slot(i)); i++) {
		if (!site->used || !site->armed || site->plan.kind != kind)
			continue;
		if (fort_patch_now(world, site, NULL, answer) == -ENOENT)
			site->armed = false; /* unmapped with its module */
		restored &= !site->armed;
	}
	return restored;
}

/* Restores what can be restored. */
static int undo_act(struct fort_world *world, void *arg, struct fort_answer *answer)
{
	struct undo *undo = arg;
	bool returned;

	undo->unprobed = restore(world, FORT_SITE_PROBE, answer);
	returned = fort_pending_put_back_all();
	fort_slot_find_dead(world);
	undo->restored = undo->unprobed;
	if (!undo->late)
		undo->restored &= !fort_slot_any_busy() && !fort_pending_any_entering();
	if (undo->restored)
		undo->restored = restore(world, FORT_SITE_UNWINDER, answer);
	undo->clean = undo->restored && all_outside(world) && !fort_slot_any_busy() && returned;
	return 0;
}

static void unmap(void)
{
	fort_slot_bury_dead();
	fort_serve_close();
	fort_blocks_unmap();
	fort_pending_close();
	fort_sites_close();
	if (fort_agent.counters)
		fort_sys2(SYS_munmap, (long)fort_agent.counters,
			  (long)fort_counters_bytes(fort_agent.probes));
	fort_pages_free((void *)(uintptr_t)fort_agent.live, FORT_PAGE_BYTES);
}

struct fort_left fort_agent_undo(bool (*alone)(void))
{
	uint64_t pause = PAUSE_MIN_NS, deadline = 0;
	struct fort_answer answer = {0};
	struct undo undo = {0};

	*fort_agent.live = 0;
	fort_serve_release();
	undo.clean = !fort_agent.counters; /* never started */
	while (!undo.clean) {
		undo.late = deadline && fort_world_now_ns() > deadline;
		if (fort_patch_stopped(undo_act, &undo, TRY_NS, &answer))
			undo = (struct undo){0};
		if (undo.clean || alone())
			break;
		if (undo.unprobed && !deadline)
			deadline = fort_world_now_ns() + DRAIN_NS;
		if (undo.restored && fort_world_now_ns() > deadline)
			break;
		fort_world_pause_ns(pause);
		if (pause < PAUSE_MAX_NS)
			pause *= 2;
	}
	if (!undo.clean)
		return (struct fort_left){.kept = 1};
	unmap();
	return (struct fort_left){.page = fort_agent.boot.image};
}
