/* What programs call that were expanded (harden/expand.h). Nobody vouches for arguments: a program
 * without a proof may call these too. */
#include "helper/internal.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "harden/expand.h"
#include "helper/cpu.h"
#include "helper/services.h"
#include "map/map.h"

/* Offsets below 0 count from a header of the packet. (K: SKF_NET_OFF, SKF_LL_OFF) */
#define NET_OFFSET (-0x100000)
#define LL_OFFSET  (-0x200000)

static uint64_t refuse(struct fort_run *run, uint32_t arg)
{
	fort_run_abort(run, FORT_ABORT_HELPER_ARG, arg);
	return 0;
}

/* --- elements of maps --- */

static const struct fort_map *walked_map(const struct fort_run *run, uint64_t handle)
{
	const struct fort_map *map = fort_run_map(run, handle);

	return map && map->ops->walk ? map : NULL;
}

/* What a walk looks at in vain is paid for. */
static uint64_t next(uint64_t handle, uint64_t cursor, uint64_t key, uint64_t a4, uint64_t a5,
		     struct fort_run *run)
{
	const struct fort_window *window = &run->domain->window;
	const struct fort_map *map = walked_map(run, handle);
	uint64_t next;

	if (!map)
		return refuse(run, 1);
	if (!fort_window_allows(window, key, map->shape.key_bytes, FORT_WRITE))
		return refuse(run, 3);
	next = map->ops->walk(map, cursor, fort_window_at(window, key), &run->fuel);
	if (!next && !run->fuel)
		fort_run_abort(run, FORT_ABORT_FUEL, 0);
	return next;
}

static uint64_t value(uint64_t handle, uint64_t cursor, uint64_t a3, uint64_t a4, uint64_t a5,
		      struct fort_run *run)
{
	const struct fort_map *map = walked_map(run, handle);
	int64_t offset;

	if (!map)
		return refuse(run, 1);
	offset = map->ops->walked(map, cursor, map->cpu_bytes ? fort_cpu(run->services->host) : 0);
	if (offset < 0)
		return refuse(run, 2);
	return fort_domain_address(run->domain,
				   run->domain->map_start[(uint32_t)handle] + (uint32_t)offset);
}

/* --- counted jumps --- */

/* In all BPF_MAX_LOOPS, and not more than half of the fuel that there was: so that what loops until
 * it may no longer has some left to end with. */
static uint64_t turns(uint64_t address, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		      struct fort_run *run)
{
	const struct fort_window *window = &run->domain->window;
	struct fort_turns now, *at;
	bool more;

	if (!fort_window_allows(window, address, sizeof(now), FORT_RW))
		return refuse(run, 1);
	at = fort_window_at(window, address);
	memcpy(&now, at, sizeof(now));
	if (!now.batches)
		now.fuel = run->fuel;
	now.batches++;
	more = now.batches < FORT_LOOP_TURNS_MAX / FORT_TURNS_BATCH && run->fuel > now.fuel / 2;
	now.left = more ? FORT_TURNS_BATCH : 1; /* used up: it is asked again the next time */
	memcpy(at, &now, sizeof(now));
	return more;
}

/* --- packets --- */

/* Where in the packet, its first header included; out of it if there is no such place. */
static int64_t place_of(const struct fort_run_packet *packet, int32_t offset)
{
	if (offset >= 0)
		return (int64_t)packet->data + offset;
	if (offset >= NET_OFFSET)
		return (int64_t)packet->network + (offset - NET_OFFSET);
	return offset >= LL_OFFSET ? offset - LL_OFFSET : -1;
}

static uint64_t packet_load(uint64_t ctx, uint64_t offset, uint64_t bytes, uint64_t a4, uint64_t a5,
			    struct fort_run *run)
{
	const struct fort_run_packet *packet = &run->packet;
	int64_t place = place_of(packet, (int32_t)offset);
	uint64_t word = 0;

	if (ctx != run->ctx)
		return refuse(run, 1);
	if (bytes > sizeof(uint32_t))
		return refuse(run, 3);
	if (place < 0 || place + (int64_t)bytes > packet->bytes)
		return (uint64_t)-EFAULT;
	for (uint64_t i = 0; i < bytes; i++)
		word = word << 8 | packet->start[(uint64_t)place + i];
	return word;
}

fort_helper_fn *fort_internal_function(uint32_t number)
{
	switch (number) {
	case FORT_INTERNAL_NEXT: return next;
	case FORT_INTERNAL_VALUE: return value;
	case FORT_INTERNAL_TURNS: return turns;
	case FORT_INTERNAL_PACKET: return packet_load;
	default: return NULL;
	}
}

/* No loop of its own is left of a call that was expanded: what gets here names no function. */
uint64_t fort_do_LOOP(struct fort_call *call)
{
	return fort_call_refuse(call, 1);
}

uint64_t fort_do_FOR_EACH_MAP_ELEM(struct fort_call *call)
{
	return fort_call_refuse(call, 1);
}
