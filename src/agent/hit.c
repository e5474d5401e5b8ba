/* What happens when a thread of the target comes to a probe. Called by the gates with all registers
 * saved, on the thread's own stack.
 *
 * The order of a hit: live? - claim a run slot - still live? - read the site's list - run. The
 * agent stops hits in the opposite order (live off or list replaced, then wait for slots), so that
 * either the hit sees the change or the agent sees the hit.
 */
#include <stddef.h>

#include "agent/agent.h"
#include "agent/pending.h"
#include "agent/site.h"
#include "agent/slot.h"

/* The stub's first word is its site; where the gate returns to tells which stub it was. */
#define CALL_BYTES         6u
#define PLAIN_ENTRY        24u
#define RETURN_ENTRY       8u
#define BEHIND_PLAIN_CALL  (PLAIN_ENTRY + CALL_BYTES)
#define BEHIND_RETURN_CALL (RETURN_ENTRY + CALL_BYTES)

static struct fort_site *site_before(uint64_t resume, uint32_t distance)
{
	return *(struct fort_site **)(uintptr_t)(resume - distance);
}

static void count(uint32_t row, uint32_t column)
{
	__atomic_fetch_add(&fort_agent.counters[(size_t)row * fort_agent.probes + column], 1,
			   __ATOMIC_RELAXED);
}

void fort_hit_missed_return(const struct fort_site *site)
{
	count(FORT_ROW_MISSED_RETURN, site->plan.site);
}

static void run(const struct fort_item *item, uint32_t n, int32_t slot, uint64_t ip,
		const uint64_t *regs)
{
	uint64_t *hits = fort_agent.counters + (FORT_ROW_HITS + (size_t)slot) * fort_agent.probes;

	for (; n; n--, item++) {
		struct fort_hit hit = {.cookie = item->cookie, .ip = ip};

		hits[item->probe]++;
		fort_slot_running(slot, item->package);
		if (!fort_package_run(item->package, item->program, (uint32_t)slot, &hit, regs))
			count(FORT_ROW_ABORTED, item->probe);
		fort_slot_running(slot, NULL);
	}
}

/* Claims a slot for the calling thread while hits are wanted. */
static int32_t begin(uint64_t *key, volatile uint64_t *token, const uint64_t *regs)
{
	int32_t slot = FORT_SLOT_NONE;

	*key = fort_slot_key();
	if (*key)
		slot = fort_slot_claim(*key, token, regs + FORT_HIT_REGS);
	if (slot == FORT_SLOT_NONE || *fort_agent.live)
		return slot;
	fort_slot_release(slot);
	return FORT_SLOT_NONE;
}

static const struct fort_items *items_of(const struct fort_site *site)
{
	return __atomic_load_n(&site->items, __ATOMIC_ACQUIRE);
}

uint64_t fort_hit_entry(uint64_t *regs, uint64_t resume)
{
	struct fort_site *site = site_before(resume, BEHIND_PLAIN_CALL);
	const struct fort_items *items;
	volatile uint64_t token;
	uint64_t key;
	int32_t slot;

	if (!*fort_agent.live)
		return resume;
	slot = begin(&key, &token, regs);
	if (slot == FORT_SLOT_NONE) {
		count(FORT_ROW_MISSED_ENTRY, site->plan.site);
		return resume;
	}
	regs[FORT_CPU_RIP] = site->plan.address;
	items = items_of(site);
	if (items)
		run(items->item, items->n_entry, slot, site->plan.address, regs);
	fort_slot_release(slot);
	return resume;
}

/* As above, and the return is caught too: the stub then jumps to the word at the top of the stack,
 * which becomes a return pad (pending.h).
 */
uint64_t fort_hit_return_entry(uint64_t *regs, uint64_t resume)
{
	struct fort_site *site = site_before(resume, BEHIND_RETURN_CALL);
	const struct fort_items *items;
	volatile uint64_t token;
	bool caught = false;
	uint64_t key;
	int32_t slot;

	if (!*fort_agent.live)
		return site->body;
	slot = begin(&key, &token, regs);
	if (slot == FORT_SLOT_NONE) {
		count(FORT_ROW_MISSED_ENTRY, site->plan.site);
		count(FORT_ROW_MISSED_RETURN, site->plan.site);
		return site->body;
	}
	regs[FORT_CPU_RIP] = site->plan.address;
	items = items_of(site);
	if (items)
		run(items->item, items->n_entry, slot, site->plan.address, regs);
	/* Not by an agent that began to leave while the programs ran: its guards may go first. */
	if (items && items->n_all > items->n_entry && *fort_agent.live) {
		caught = fort_pending_push((uint32_t)slot, key, site, regs[FORT_CPU_RSP]);
		if (!caught)
			count(FORT_ROW_MISSED_RETURN, site->plan.site);
	}
	fort_slot_release(slot);
	return caught ? resume : site->body;
}

uint64_t fort_hit_exit(uint64_t *regs, uint64_t index)
{
	struct fort_site *site;
	uint64_t target = fort_pending_pop((uint32_t)index, &site);
	const struct fort_items *items;
	volatile uint64_t token;
	uint64_t key;
	int32_t slot;

	regs[FORT_CPU_RIP] = target;
	if (!*fort_agent.live)
		return target;
	slot = begin(&key, &token, regs);
	if (slot == FORT_SLOT_NONE) {
		count(FORT_ROW_MISSED_RETURN, site->plan.site);
		return target;
	}
	items = items_of(site);
	if (items)
		run(items->item + items->n_entry, items->n_all - items->n_entry, slot,
		    site->plan.address, regs);
	fort_slot_release(slot);
	return target;
}

/* A function that walks the stack begins: it must find true return addresses. */
uint64_t fort_hit_unwinder(uint64_t *regs, uint64_t resume)
{
	uint64_t key = fort_slot_key();

	if (key)
		fort_pending_put_back(key, regs[FORT_CPU_RSP]);
	return resume;
}
