#include "isolate/domain.h"

#include <errno.h>
#include <linux/mman.h>
#include <string.h>

#include "base/sys.h"
#include "harden/expand.h"
#include "isolate/spares.h"

/* Frames' own stack pointers lead to their hidden memory. */
_Static_assert(FORT_HIDDEN_WORDS + FORT_STACK_BYTES == FORT_PAGE_BYTES + FORT_LEVEL_STACK_BYTES,
	       "a page behind the stack");
_Static_assert(FORT_LEVEL_STACK_BYTES + FORT_PAGE_BYTES + FORT_HIDDEN_BYTES == FORT_LEVEL_BYTES,
	       "all of a level");

/* What a run has of stacks. */
static uint32_t stacks_bytes(const struct fort_domain *domain)
{
	return domain->shape.n_levels > 1 ? domain->shape.n_levels * FORT_LEVEL_BYTES
					  : FORT_LEVEL_STACK_BYTES;
}

static int add_hidden(struct fort_domain *domain, uint32_t stack)
{
	uint32_t hidden;
	int err = fort_window_add(&domain->window, FORT_HIDDEN_BYTES, FORT_RW, &hidden);

	if (err)
		return err;
	return hidden == stack + FORT_LEVEL_STACK_BYTES + FORT_PAGE_BYTES ? 0 : -EINVAL;
}

/* Stack, guard, hidden memory, guard (or all levels, guard), context image, guard; equal slots give
 * equal strides. */
static int add_slot(struct fort_domain *domain, uint32_t *stack)
{
	uint32_t ctx;
	int err = fort_window_add(&domain->window, stacks_bytes(domain), FORT_RW, stack);

	if (!err && domain->shape.hidden && domain->shape.n_levels == 1)
		err = add_hidden(domain, *stack);
	if (err || !domain->shape.ctx_bytes)
		return err;
	err = fort_window_add(&domain->window, domain->shape.ctx_bytes, FORT_RW, &ctx);
	if (err)
		return err;
	domain->ctx_from_stack = ctx - *stack;
	return 0;
}

static int add_slots(struct fort_domain *domain)
{
	domain->ctx_from_stack =
		stacks_bytes(domain); /* without an image: where nothing is mapped */
	for (uint32_t i = 0; i < domain->shape.n_slots; i++) {
		uint32_t stack;
		int err = add_slot(domain, &stack);

		if (err)
			return err;
		if (i == 0) {
			domain->slot_start = stack;
			domain->slot_stride = (uint32_t)domain->window.next - stack;
		}
	}
	return 0;
}

static int add_maps(struct fort_domain *domain, const struct fort_domain_map *maps)
{
	for (uint32_t i = 0; i < domain->n_maps; i++) {
		int err;

		if (!maps[i].bytes)
			continue;
		err = fort_window_add_fd(&domain->window, maps[i].fd, maps[i].file_offset,
					 maps[i].bytes, maps[i].writable ? FORT_RW : FORT_READ,
					 &domain->map_start[i]);
		if (err)
			return err;
	}
	return 0;
}

static int lay_out(struct fort_domain *domain)
{
	const struct fort_domain_shape *shape = &domain->shape;
	int err = add_slots(domain);

	if (!err && shape->packet_bytes)
		err = fort_window_add(&domain->window, shape->packet_bytes,
				      shape->packet_writable ? FORT_RW : FORT_READ,
				      &domain->packet_start);
	domain->maps_start = (uint32_t)domain->window.next;
	return err;
}

/* Without what was in it, and without its maps. */
static bool keep(const struct fort_domain *domain)
{
	struct fort_domain spare = *domain;

	if (!domain->spares || domain->shared ||
	    fort_window_clear(&spare.window, domain->slot_start, domain->maps_start))
		return false;
	spare.n_maps = 0;
	memset(spare.map_start, 0, sizeof(spare.map_start));
	return fort_spares_give(domain->spares, &spare);
}

void fort_domain_close(struct fort_domain *domain)
{
	if (domain->window.key)
		fort_keys_give(domain->keys, domain->window.key);
	if (!keep(domain))
		fort_window_close(&domain->window);
	*domain = (struct fort_domain){0};
}

static int take_color(struct fort_domain *domain, struct fort_keys *keys)
{
	uint32_t color;
	int err = fort_keys_take(keys, &color);

	if (err)
		return err;
	domain->keys = keys;
	domain->key_rights = FORT_KEYS_CLOSED & ~FORT_KEY_BITS(color);
	domain->key_open = FORT_KEY_BITS(color) | FORT_KEY_BITS(keys->runtime);
	err = fort_window_color(&domain->window, color, keys->runtime);
	if (err)
		fort_keys_give(keys, color);
	return err;
}

static int reserve(struct fort_domain *domain, const struct fort_domain_layout *layout)
{
	int err = fort_window_open(&domain->window);

	if (err == -ENOMEM && layout->spares) { /* perhaps they have the address space */
		fort_spares_close(layout->spares);
		err = fort_window_open(&domain->window);
	}
	if (err)
		return err;
	return layout->keys ? take_color(domain, layout->keys) : 0;
}

static int open_new(struct fort_domain *domain, const struct fort_domain_layout *layout)
{
	int err = reserve(domain, layout);
	uint32_t before = fort_domain_enter(domain);

	err = err ? err : lay_out(domain);
	fort_domain_leave(domain, before);
	return err;
}

/* From its spares, if it has some and there is one, or else a new one. */
static int open_empty(struct fort_domain *domain, const struct fort_domain_layout *layout)
{
	const struct fort_domain_shape shape = {.n_slots = layout->n_slots,
						.n_levels = layout->n_levels ? layout->n_levels : 1,
						.ctx_bytes = layout->ctx_bytes,
						.packet_bytes = layout->packet_bytes,
						.packet_writable = layout->packet_writable,
						.hidden = layout->hidden};
	struct fort_spares *spares = layout->keys ? NULL : layout->spares;
	int err;

	if (spares && fort_spares_take(spares, &shape, domain))
		return 0;
	*domain = (struct fort_domain){.shape = shape};
	err = open_new(domain, layout);
	if (!err)
		domain->spares = spares;
	return err;
}

int fort_domain_open(const struct fort_domain_layout *layout, const struct fort_domain_map *maps,
		     uint32_t n_maps, struct fort_domain *out)
{
	struct fort_domain domain;
	int err;

	if (!layout->n_slots || layout->n_slots > FORT_SLOTS_MAX ||
	    layout->n_levels > FORT_TAIL_LEVELS_MAX)
		return -EINVAL;
	if (n_maps > FORT_MAPS_PER_PROG_MAX)
		return -E2BIG;
	err = open_empty(&domain, layout);
	if (!err) {
		uint32_t before = fort_domain_enter(&domain);

		domain.n_maps = n_maps;
		err = add_maps(&domain, maps);
		fort_domain_leave(&domain, before);
	}
	if (err) {
		fort_domain_close(&domain);
		return err;
	}
	*out = domain;
	return 0;
}

static uint32_t packet_end(const struct fort_domain *domain)
{
	return domain->packet_start +
	       (uint32_t)fort_round_up(domain->shape.packet_bytes, FORT_PAGE_BYTES);
}

uint32_t fort_domain_shared_bytes(const struct fort_domain *domain)
{
	uint32_t slot_end = domain->slot_start + domain->slot_stride;

	return (domain->packet_start ? packet_end(domain) : slot_end) - domain->slot_start;
}

static int share(const struct fort_domain *domain, int fd, uint32_t start, uint32_t bytes)
{
	return bytes ? fort_window_replace(&domain->window, fd, start - domain->slot_start, bytes,
					   start)
		     : 0;
}

int fort_domain_share(struct fort_domain *domain, int fd)
{
	uint32_t before = fort_domain_enter(domain);
	int err = share(domain, fd, domain->slot_start, stacks_bytes(domain));

	if (!err)
		err = share(domain, fd, domain->slot_start + domain->ctx_from_stack,
			    domain->shape.ctx_bytes);
	if (!err && domain->packet_start)
		err = share(domain, fd, domain->packet_start, domain->shape.packet_bytes);
	fort_domain_leave(domain, before);
	domain->shared = true;
	return err;
}

/* Leaves the key as it is: mprotect does. */
static int protect_packet(const struct fort_domain *domain, int protection)
{
	return (int)fort_sys3(SYS_mprotect, (long)(domain->window.base + domain->packet_start),
			      (long)fort_round_up(domain->shape.packet_bytes, FORT_PAGE_BYTES),
			      protection);
}

int fort_domain_put_packet(const struct fort_domain *domain, uint32_t at, const void *data,
			   uint32_t bytes)
{
	const struct fort_window *window = &domain->window;
	bool sealed = !fort_window_allows(window, domain->packet_start, 1, FORT_WRITE);
	int err;

	if (at > domain->shape.packet_bytes || bytes > domain->shape.packet_bytes - at)
		return -E2BIG;
	if (!bytes)
		return 0;
	if (sealed) {
		err = protect_packet(domain, PROT_READ | PROT_WRITE);
		if (err)
			return err;
	}
	memcpy(window->base + domain->packet_start + at, data, bytes);
	return sealed ? protect_packet(domain, PROT_READ) : 0;
}
