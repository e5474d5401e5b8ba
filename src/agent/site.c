#include "agent/site.h"

#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/block.h"
#include "agent/heap.h"
#include "agent/patch.h"
#include "agent/pending.h"
#include "agent/slot.h"
#include "base/pages.h"

/* Entries of a stub; protocol.h shows it. */
#define STUB_RETURN_ENTRY 8u
#define STUB_PLAIN_ENTRY  24u
#define QUIESCE_NS        1000000000ull

struct probe {
	struct fort_site *site; /* NULL: free */
	struct probe *next;     /* of the same site */
	struct fort_package *package;
	uint32_t program;
	bool is_return;
	bool fell; /* detached without being asked to, and not asked yet */
	uint64_t cookie;
};

static struct fort_site *sites;
static struct probe *probes;
static uint32_t room;

int fort_sites_open(uint32_t count)
{
	void *site_pages, *probe_pages;
	int err;

	err = fort_pages_alloc(count * sizeof(*sites), &site_pages);
	if (err)
		return err;
	err = fort_pages_alloc(count * sizeof(*probes), &probe_pages);
	if (err) {
		fort_pages_free(site_pages, count * sizeof(*sites));
		return err;
	}
	sites = site_pages;
	probes = probe_pages;
	room = count;
	return 0;
}

void fort_sites_close(void)
{
	fort_pages_free(sites, room * sizeof(*sites));
	fort_pages_free(probes, room * sizeof(*probes));
	fort_heap_close();
	room = 0;
}

struct fort_site *fort_site_slot(uint32_t place)
{
	return place < room ? &sites[place] : NULL;
}

struct fort_site *fort_site_at(uint32_t number)
{
	return number < room && sites[number].used ? &sites[number] : NULL;
}

struct fort_site *fort_site_of_body(uint64_t address)
{
	for (uint32_t i = 0; i < room; i++)
		if (sites[i].used && address - sites[i].body < sites[i].plan.body_bytes)
			return &sites[i];
	return NULL;
}

static bool map_is_sane(const struct fort_site_plan *plan)
{
	if (!plan->n_insns || plan->n_insns > FORT_WINDOW_INSNS_MAX || plan->from[0] || plan->to[0])
		return false;
	for (uint32_t i = 0; i < plan->n_insns; i++)
		if (plan->from[i] >= plan->from[i + 1] || plan->to[i] >= plan->to[i + 1])
			return false;
	return plan->from[plan->n_insns] <= plan->window_bytes &&
	       plan->to[plan->n_insns] <= plan->body_bytes;
}

/* 0, or the number of the first field that makes no sense. */
static int64_t wrong_field(const struct fort_site_plan *plan)
{
	int64_t distance = (int64_t)(plan->stub - (plan->patch + FORT_JUMP_BYTES));

	if (plan->site >= room)
		return 1;
	if (plan->kind >= FORT_SITE_KINDS)
		return 2;
	if (plan->window_bytes < FORT_JUMP_BYTES || plan->window_bytes > FORT_WINDOW_BYTES_MAX)
		return 3;
	if (!plan->body_bytes || plan->body_bytes > FORT_BODY_BYTES_MAX)
		return 4;
	if (!map_is_sane(plan))
		return 5;
	if (!fort_block_holds(plan->block, plan->stub, FORT_STUB_BODY + plan->body_bytes) ||
	    plan->stub % FORT_STUB_ALIGN)
		return 6;
	if (distance != (int32_t)distance || plan->patch - plan->address > 4)
		return 7;
	return 0;
}

int fort_site_add(const struct fort_site_plan *plan, int64_t *field)
{
	struct fort_site *site;

	*field = wrong_field(plan);
	if (*field)
		return -EINVAL;
	site = &sites[plan->site];
	if (site->used)
		return memcmp(&site->plan, plan, sizeof(*plan)) != 0 ? -EEXIST : 0;
	site->plan = *plan;
	site->body = plan->stub + FORT_STUB_BODY;
	site->used = true;
	return 0;
}

static void put32(uint8_t *at, uint64_t value)
{
	uint32_t word = (uint32_t)value;

	memcpy(at, &word, sizeof(word));
}

size_t fort_site_stub(const struct fort_site *site, uint8_t stub[FORT_STUB_BYTES_MAX])
{
	const struct fort_site_plan *plan = &site->plan;
	uint64_t gate = fort_block_gate(plan->block, plan->kind), self = (uint64_t)(uintptr_t)site;
	uint64_t return_gate = fort_block_gate(plan->block, FORT_SITE_KINDS);

	memset(stub, 0xcc, FORT_STUB_BODY);
	memcpy(stub, &self, sizeof(self));
	memcpy(stub + STUB_RETURN_ENTRY, "\xff\x15\0\0\0\0\xff\x24\x24", 9);
	put32(stub + STUB_RETURN_ENTRY + 2, return_gate - (plan->stub + STUB_RETURN_ENTRY + 6));
	memcpy(stub + STUB_PLAIN_ENTRY, "\xff\x15\0\0\0\0\x66\x90", 8);
	put32(stub + STUB_PLAIN_ENTRY + 2, gate - (plan->stub + STUB_PLAIN_ENTRY + 6));
	memcpy(stub + FORT_STUB_BODY, plan->body, plan->body_bytes);
	return FORT_STUB_BODY + plan->body_bytes;
}

static size_t items_bytes(const struct fort_items *items)
{
	return sizeof(*items) + items->n_all * sizeof(items->item[0]);
}

/* The site's list as its probes now say. NULL in *out for an empty one. */
static int make_items(const struct fort_site *site, struct fort_items **out)
{
	struct fort_items *items;
	uint32_t n = 0, at = 0;

	for (const struct probe *probe = site->probes; probe; probe = probe->next)
		n++;
	*out = NULL;
	if (!n)
		return 0;
	items = fort_heap_alloc(sizeof(*items) + n * sizeof(items->item[0]));
	if (!items)
		return -ENOMEM;
	for (int is_return = 0; is_return < 2; is_return++) {
		for (const struct probe *probe = site->probes; probe; probe = probe->next)
			if (probe->is_return == is_return)
				items->item[at++] =
					(struct fort_item){probe->package, probe->program,
							   (uint32_t)(probe - probes),
							   probe->cookie};
		if (!is_return)
			items->n_entry = at;
	}
	items->n_all = n;
	*out = items;
	return 0;
}

static void make_jump(const struct fort_site *site, uint32_t entry, uint8_t jump[FORT_JUMP_BYTES])
{
	jump[0] = 0xe9;
	put32(jump + 1, site->plan.stub + entry - (site->plan.patch + FORT_JUMP_BYTES));
}

/* Makes the code fit the list: no jump without programs, the return entry for return programs. */
static int fit_jump(struct fort_site *site, const struct fort_items *items,
		    struct fort_answer *answer)
{
	uint8_t jump[FORT_JUMP_BYTES];
	bool returns = items && items->n_all > items->n_entry;

	if (!items)
		return site->armed ? fort_patch_site(site, NULL, answer) : 0;
	make_jump(site, returns ? STUB_RETURN_ENTRY : STUB_PLAIN_ENTRY, jump);
	if (site->armed && !memcmp(site->jump, jump, sizeof(jump)))
		return 0;
	return fort_patch_site(site, jump, answer);
}

int fort_site_guard(struct fort_site *site, struct fort_answer *answer)
{
	uint8_t jump[FORT_JUMP_BYTES];

	if (site->armed)
		return 0;
	make_jump(site, STUB_PLAIN_ENTRY, jump);
	return fort_patch_site(site, jump, answer);
}

/* Puts another list in place; what was there. */
static const struct fort_items *publish(struct fort_site *site, const struct fort_items *items)
{
	return __atomic_exchange_n(&site->items, items, __ATOMIC_SEQ_CST);
}

/* Frees a list when no hit can read it any more; false when a hit does not end (its thread does
 * not run), and the list stays. */
static bool retire(const struct fort_items *items)
{
	if (!fort_slot_quiesce(QUIESCE_NS))
		return false;
	if (items)
		fort_heap_free(items, items_bytes(items));
	return true;
}

static void unlink_probe(struct probe *probe)
{
	struct probe **link = &probe->site->probes;

	while (*link != probe)
		link = &(*link)->next;
	*link = probe->next;
	probe->site = NULL;
}

int fort_probe_add(const struct fort_probe_request *request, struct fort_package *package,
		   struct fort_answer *answer)
{
	struct fort_site *site = fort_site_at(request->site);
	const struct fort_items *old;
	struct fort_items *items;
	struct probe *probe;
	int err;

	if (!site || site->plan.kind != FORT_SITE_PROBE || request->probe >= room ||
	    probes[request->probe].site)
		return -EINVAL;
	err = request->flags & FORT_PROBE_RETURN ? fort_pending_open() : 0;
	if (err)
		return err;
	probe = &probes[request->probe];
	*probe = (struct probe){.site = site,
				.next = site->probes,
				.package = package,
				.program = request->program,
				.is_return = (request->flags & FORT_PROBE_RETURN) != 0,
				.cookie = request->cookie};
	site->probes = probe;
	err = make_items(site, &items);
	if (err) {
		unlink_probe(probe);
		return err;
	}
	/* The list first: no hit of the new jump may miss the program. */
	old = publish(site, items);
	err = fit_jump(site, items, answer);
	if (err) {
		unlink_probe(probe);
		old = publish(site, old);
	}
	(void)retire(old);
	return err;
}

int fort_probe_drop(uint32_t number, struct fort_answer *answer)
{
	struct probe *probe = number < room ? &probes[number] : NULL;
	struct fort_items *items;
	struct fort_site *site;
	int err;

	if (!probe || (!probe->site && !probe->fell))
		return -EINVAL;
	probe->fell = false;
	if (!probe->site)
		return 0;
	site = probe->site;
	unlink_probe(probe);
	err = make_items(site, &items);
	if (err) {
		probe->site = site;
		probe->next = site->probes;
		site->probes = probe;
		return err;
	}
	/* The code first: a jump without programs costs the target time. Where it cannot be written
	 * now it stays until the agent leaves, and the stub runs nothing. */
	(void)fit_jump(site, items, answer);
	return retire(publish(site, items)) ? 0 : -EBUSY;
}

void fort_sites_drop(const struct fort_package *package)
{
	struct fort_answer nobody = {0};

	for (uint32_t i = 0; i < room; i++) {
		if (!probes[i].site || probes[i].package != package)
			continue;
		(void)!fort_probe_drop(i, &nobody);
		probes[i].fell = !probes[i].site;
	}
}

bool fort_sites_use(const struct fort_package *package)
{
	for (uint32_t i = 0; i < room; i++)
		if (probes[i].site && probes[i].package == package)
			return true;
	return false;
}
