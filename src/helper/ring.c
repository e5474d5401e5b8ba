/* Helpers on ring buffers. A reservation is held by the run until submit or discard; what is still
 * held when the run ends is discarded, so that it never keeps the consumer waiting. */
#include "map/ring.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "helper/call.h"

/* Offset in the ring's data of an address that fort_do_RINGBUF_RESERVE gave out. */
static uint32_t data_offset(const struct fort_run *run, const struct fort_held *held)
{
	uint32_t i = 0;

	while (i + 1 < run->n_maps && run->maps[i] != held->object)
		i++;
	return (uint32_t)held->address - run->domain->map_start[i];
}

void fort_ring_release(struct fort_run *run, struct fort_held *held)
{
	fort_ring_discard(held->object, data_offset(run, held), (uint32_t)held->bytes, 0);
}

uint64_t fort_do_RINGBUF_RESERVE(struct fort_call *call)
{
	struct fort_held held = {.release = fort_ring_release,
				 .object = call->map,
				 .bytes = call->args[1]};
	uint32_t offset;

	if (call->args[2])
		return 0;
	if (fort_ring_reserve(call->map, &fort_call_services(call)->seat, call->args[1], &offset))
		return 0;
	held.address = fort_domain_address(call->run->domain, call->map_start + offset);
	if (fort_run_hold(call->run, held))
		return held.address;
	fort_ring_release(call->run, &held);
	return 0;
}

uint64_t fort_do_RINGBUF_SUBMIT(struct fort_call *call)
{
	const struct fort_held *held = &call->held;

	fort_ring_submit(held->object, data_offset(call->run, held), (uint32_t)held->bytes,
			 call->args[1]);
	return 0;
}

uint64_t fort_do_RINGBUF_DISCARD(struct fort_call *call)
{
	const struct fort_held *held = &call->held;

	fort_ring_discard(held->object, data_offset(call->run, held), (uint32_t)held->bytes,
			  call->args[1]);
	return 0;
}

uint64_t fort_do_RINGBUF_OUTPUT(struct fort_call *call)
{
	uint64_t bytes = call->args[2], flags = call->args[3];
	struct fort_map *map = call->map;
	uint32_t offset;

	if (flags & ~(uint64_t)(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP))
		return fort_result(-EINVAL);
	if (fort_ring_reserve(map, &fort_call_services(call)->seat, bytes, &offset))
		return fort_result(-EAGAIN);
	if (bytes)
		memcpy(map->ring.data + offset, fort_call_at(call, 1), bytes);
	fort_ring_submit(map, offset, (uint32_t)bytes, flags);
	return 0;
}

uint64_t fort_do_RINGBUF_QUERY(struct fort_call *call)
{
	return fort_ring_query(call->map, call->args[1]);
}
