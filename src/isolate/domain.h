/* A domain: one window laid out for one program, and the slots in which it runs.
 *
 * Each run takes a slot: a stack of FORT_FRAMES_MAX frames and a context image, apart from each
 * other and from the other slots by unmapped pages; and if the layout says so, hidden memory for
 * what programs are expanded to (harden/expand.h). Packet bytes (test runs, plugins) have one area
 * per domain, used by slot 0. Domains of programs that call each other by tail calls have the same
 * layout up to here, and this memory in common: what one leaves in it the next one finds at the
 * same place of its own window. Their slots have levels (engine/tail.h): a stack with its hidden
 * memory for each program that is returned to, one after the other in one area. Values of each map
 * the program names are mapped at map_start[]; metadata of maps, code and tables are never in the
 * window.
 */
#pragma once

#include "isolate/keys.h"
#include "isolate/window.h"

/* Of a slot's stack in its domain, and of what a level has: that, a page of nothing, hidden memory.
 */
#define FORT_LEVEL_STACK_BYTES (FORT_FRAMES_MAX * FORT_STACK_BYTES)
#define FORT_LEVEL_BYTES       (4 * FORT_PAGE_BYTES)

struct fort_spares;

/* What is in a window before its maps. */
struct fort_domain_shape {
	uint32_t n_slots, n_levels, ctx_bytes, packet_bytes;
	bool packet_writable, hidden;
};

struct fort_domain {
	struct fort_window window;
	struct fort_domain_shape shape;
	uint32_t slot_start, slot_stride;           /* of slot 0's stack; between slots */
	uint32_t ctx_from_stack;                    /* ctx image, relative to the slot's stack */
	uint32_t packet_start;                      /* 0 when there is no packet area */
	uint32_t map_start[FORT_MAPS_PER_PROG_MAX]; /* 0: nothing of this map is in the window */
	uint32_t n_maps;
	uint32_t maps_start;        /* where maps begin */
	bool shared;                /* by fort_domain_share */
	struct fort_spares *spares; /* where it goes when it is closed; or NULL */
	/* Under protection keys; NULL: not. What the thread's rights are while the program runs,
	 * and what is taken from them while the runtime works. */
	struct fort_keys *keys;
	uint32_t key_rights, key_open;
};

struct fort_domain_layout {
	uint32_t n_slots;      /* 1 to FORT_SLOTS_MAX */
	uint32_t n_levels;     /* of a slot, to FORT_TAIL_LEVELS_MAX; 0: 1 */
	uint32_t ctx_bytes;    /* of the context image, rounded up to pages; 0 for none */
	uint32_t packet_bytes; /* largest packet, with head and tail room; 0 for none */
	bool packet_writable;
	/* Slots have FORT_HIDDEN_BYTES more, behind the page after the stack; those with levels do.
	 */
	bool hidden;
	struct fort_keys *keys; /* of protection keys; they must outlive the domain. NULL: none */
	/* Where a domain may come from, and go to when it is closed (isolate/spares.h): they must
	 * outlive it. NULL: nowhere. Those with keys do neither. */
	struct fort_spares *spares;
};

/* What of a map goes into the window. */
struct fort_domain_map {
	int fd;                      /* values object */
	uint64_t file_offset, bytes; /* 0 bytes: nothing */
	bool writable;
};

/* Opens a window and lays it out. Returns 0, -EINVAL (slots out of range), -E2BIG (too many maps),
 * -ENOMEM, -ENOSPC (does not fit 4 GiB; or no protection key is left), or fort_window_add_fd's
 * error; nothing is left behind on failure.
 */
FORT_CHECKED int fort_domain_open(const struct fort_domain_layout *layout,
				  const struct fort_domain_map *maps, uint32_t n_maps,
				  struct fort_domain *out);
void fort_domain_close(struct fort_domain *domain);

/* Copies bytes into the packet area, also when programs may only read it. Not while a program runs.
 * Returns 0, -E2BIG when they do not fit, or mprotect's error.
 */
FORT_CHECKED int fort_domain_put_packet(const struct fort_domain *domain, uint32_t at,
					const void *data, uint32_t bytes);

/* Of a domain with one slot: the bytes from the slot's start to the end of the packet area. */
uint32_t fort_domain_shared_bytes(const struct fort_domain *domain);
/* Puts the slot and the packet area into an object of that many bytes, as fort_window_add_fd has
 * them, so that other domains of the same layout see the same there. What was in them is gone. Not
 * while a program runs. Returns 0 or the system call's error. */
FORT_CHECKED int fort_domain_share(struct fort_domain *domain, int fd);

/* Opens what of the domain is closed to the thread, where it is under protection keys, and closes
 * it again. Around all work with the window; may be nested. */
static inline uint32_t fort_domain_enter(const struct fort_domain *domain)
{
	uint32_t before;

	if (FORT_LIKELY(!domain->keys))
		return 0;
	before = fort_keys_get();
	fort_keys_set(before & ~domain->key_open);
	return before;
}

static inline void fort_domain_leave(const struct fort_domain *domain, uint32_t before)
{
	if (FORT_UNLIKELY(domain->keys))
		fort_keys_set(before);
}

/* Addresses as programs see them. */
static inline uint64_t fort_domain_address(const struct fort_domain *domain, uint32_t offset)
{
	return (uint64_t)(uintptr_t)domain->window.base + offset;
}

/* The stack pointer (r10) of the outermost frame of a slot; FORT_LEVEL_BYTES further that of the
 * next level. */
static inline uint64_t fort_domain_stack_top(const struct fort_domain *domain, uint32_t slot)
{
	return fort_domain_address(domain, domain->slot_start + slot * domain->slot_stride +
						   FORT_LEVEL_STACK_BYTES);
}

static inline uint64_t fort_domain_ctx(const struct fort_domain *domain, uint32_t slot)
{
	return fort_domain_address(domain, domain->slot_start + slot * domain->slot_stride +
						   domain->ctx_from_stack);
}
