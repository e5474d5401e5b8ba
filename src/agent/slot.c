#include "agent/slot.h"

#include <errno.h>
#include <stddef.h>
#include <sys/uio.h>

#include "agent/agent.h"
#include "agent/leave.h"
#include "agent/patch.h"
#include "agent/program.h"
#include "agent/sigframe.h"
#include "attach/world.h"
#include "base/sys.h"

#define PROBES      8u
#define BUSY        1ull
#define PATIENCE_NS 20000000ull /* before a hit is suspected not to go on */

struct slot {
	_Alignas(64) uint64_t owner; /* 0: never used; key: idle, last used by it; key | BUSY */
	uint64_t runs;
	uint64_t token;
	volatile uint64_t *frame; /* where the token of the hit is; NULL: just entered, or idle */
	struct fort_package *running;
	int32_t tid; /* the thread that first came with this key */
	bool lent;   /* by a hit that has just claimed or is about to release: it stays busy */
	bool dead;   /* found so by the agent, which alone may free it now */
};

static struct slot slots[FORT_RUN_SLOTS];

uint64_t fort_slot_key(void)
{
	uint64_t base = 0;

	if (FORT_LIKELY(fort_agent.fsgsbase))
		__asm__ volatile("rdfsbase %0" : "=r"(base));
	else if (fort_sys2(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, (long)&base))
		return 0;
	return base & BUSY ? 0 : base;
}

static uint32_t home_of(uint64_t key)
{
	return (uint32_t)((key >> 4) * 0x9e3779b97f4a7c15ull >> 57) % FORT_RUN_SLOTS;
}

static bool swap_owner(struct slot *slot, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(&slot->owner, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

static int32_t enter(struct slot *slot, volatile uint64_t *token)
{
	slot->runs++;
	slot->token = fort_agent.secret + slot->runs;
	*token = slot->token;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	slot->frame = token;
	return (int32_t)(slot - slots);
}

/* Has the frame of the hit that holds the slot been overwritten, or unmapped? */
static bool is_abandoned(const struct slot *slot)
{
	uint64_t word = 0, token = slot->token;
	struct iovec local = {&word, sizeof(word)};
	struct iovec remote = {(void *)(uintptr_t)slot->frame, sizeof(word)};
	long got;

	if (!remote.iov_base)
		return false;
	got = fort_sys6(SYS_process_vm_readv, fort_sys0(SYS_getpid), (long)&local, 1, (long)&remote,
			1, 0);
	return got == -EFAULT || (got == sizeof(word) && word != token);
}

/* Is the thread that took the slot for this key another one, and alive? Then two threads share an
 * fs base, and the busy one may be running. */
static bool is_foreign(const struct slot *slot)
{
	return slot->tid != fort_sys0(SYS_gettid) &&
	       fort_sys3(SYS_tgkill, fort_sys0(SYS_getpid), slot->tid, 0) != -ESRCH;
}

static void abandon(struct slot *slot)
{
	struct fort_package *package = slot->running;

	slot->frame = NULL;
	slot->running = NULL;
	if (package)
		fort_package_abandon(package, (uint32_t)(slot - slots));
}

/* The thread's own slot is busy. Without a frame, the hit that has it was interrupted before or
 * after it ran anything (or jumped out of there): we may run before it goes on. */
static int32_t take_over(struct slot *slot, volatile uint64_t *token, const void *top)
{
	uintptr_t frame = (uintptr_t)slot->frame;
	bool is_ours = frame >= (uintptr_t)token && frame < (uintptr_t)top;

	if (slot->dead || is_foreign(slot))
		return FORT_SLOT_NONE;
	if (!frame)
		slot->lent = true;
	else if (is_ours || is_abandoned(slot))
		abandon(slot);
	else
		return FORT_SLOT_NONE;
	return enter(slot, token);
}

/* The thread has no slot near its home: one never used, or one idle for now. */
static int32_t claim_new(uint32_t home, uint64_t key, volatile uint64_t *token)
{
	for (uint32_t wanted = 0; wanted < 2; wanted++) {
		for (uint32_t i = 0; i < PROBES; i++) {
			struct slot *slot = &slots[(home + i) % FORT_RUN_SLOTS];
			uint64_t owner = __atomic_load_n(&slot->owner, __ATOMIC_RELAXED);

			if (owner & BUSY || (!wanted && owner))
				continue;
			if (!swap_owner(slot, owner, key | BUSY))
				continue;
			slot->lent = false;
			slot->tid = (int32_t)fort_sys0(SYS_gettid);
			return enter(slot, token);
		}
	}
	return FORT_SLOT_NONE;
}

int32_t fort_slot_claim(uint64_t key, volatile uint64_t *token, const void *top)
{
	uint32_t home = home_of(key);

	for (uint32_t i = 0; i < PROBES; i++) {
		struct slot *slot = &slots[(home + i) % FORT_RUN_SLOTS];
		uint64_t owner = __atomic_load_n(&slot->owner, __ATOMIC_RELAXED);

		if (FORT_LIKELY(owner == key)) {
			if (!swap_owner(slot, key, key | BUSY))
				return FORT_SLOT_NONE; /* another thread with the same key */
			slot->lent = false;
			return enter(slot, token);
		}
		if (owner == (key | BUSY))
			return take_over(slot, token, top);
	}
	return claim_new(home, key, token);
}

void fort_slot_release(int32_t number)
{
	struct slot *slot = &slots[number];
	uint64_t owner = slot->owner;

	slot->frame = NULL;
	if (FORT_UNLIKELY(slot->lent))
		slot->lent = false;
	else
		__atomic_store_n(&slot->owner, owner & ~BUSY, __ATOMIC_RELEASE);
}

void fort_slot_running(int32_t slot, struct fort_package *package)
{
	slots[slot].running = package;
}

static bool is_busy(const struct slot *slot)
{
	return __atomic_load_n(&slot->owner, __ATOMIC_ACQUIRE) & BUSY;
}

bool fort_slot_any_busy(void)
{
	for (uint32_t i = 0; i < FORT_RUN_SLOTS; i++)
		if (is_busy(&slots[i]) && !slots[i].dead)
			return true;
	return false;
}

/* May the hit that holds the slot go on? Its frame must be on a stack that a thread of this key is
 * on or comes back to; or, before it has one, the thread must be in our code. */
static bool is_alive(const struct fort_world *world, const struct slot *slot)
{
	struct fort_regs regs;

	for (uint32_t i = 0; i < world->n; i++) {
		if (!world->threads[i].tid || fort_world_regs(&world->threads[i], &regs) ||
		    regs.word[FORT_CPU_FS_BASE] != (slot->owner & ~BUSY))
			continue;
		if (slot->frame
			    ? fort_sigframe_covers(regs.word[FORT_CPU_RSP], (uintptr_t)slot->frame)
			    : fort_agent_holds(&regs))
			return true;
	}
	return false;
}

void fort_slot_find_dead(const struct fort_world *world)
{
	for (uint32_t i = 0; i < FORT_RUN_SLOTS; i++)
		if (is_busy(&slots[i]) && (is_abandoned(&slots[i]) || !is_alive(world, &slots[i])))
			slots[i].dead = true;
}

void fort_slot_bury_dead(void)
{
	for (int32_t i = 0; i < (int32_t)FORT_RUN_SLOTS; i++) {
		if (!slots[i].dead)
			continue;
		abandon(&slots[i]);
		slots[i].dead = slots[i].lent = false;
		fort_slot_release(i);
	}
}

static int find_act(struct fort_world *world, void *arg, struct fort_answer *answer)
{
	fort_slot_find_dead(world);
	return 0;
}

/* Waits for one hit. */
static bool await(const struct slot *slot, uint64_t patience, uint64_t deadline)
{
	uint64_t runs = __atomic_load_n(&slot->runs, __ATOMIC_ACQUIRE);
	struct fort_answer answer = {0};

	while (is_busy(slot) && __atomic_load_n(&slot->runs, __ATOMIC_ACQUIRE) == runs) {
		uint64_t now = fort_world_now_ns();

		if (now > deadline)
			return false;
		if (now > patience) {
			patience = UINT64_MAX;
			if (!fort_patch_stopped(find_act, NULL, 0, &answer))
				fort_slot_bury_dead();
		}
		fort_world_pause_ns(20000);
	}
	return true;
}

bool fort_slot_quiesce(uint64_t budget_ns)
{
	uint64_t now = fort_world_now_ns();

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < FORT_RUN_SLOTS; i++)
		if (!await(&slots[i], now + PATIENCE_NS, now + budget_ns))
			return false;
	return true;
}
