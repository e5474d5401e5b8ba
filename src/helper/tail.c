#include "helper/tail.h"

#include "abi/uapi.h"
#include "engine/tail.h"
#include "helper/call.h"
#include "helper/helper.h"
#include "map/prog_array.h"

/* In the kernel's order (its JIT for this processor): only calls that happen count. A program that
 * is not run any more is as good as none. */
static inline uint64_t find(struct fort_run *run, const struct fort_map *map, uint32_t index)
{
	struct fort_run_tails *tails = &run->tails;
	const struct fort_tail *tail;

	if (index >= map->shape.max_entries || tails->n >= FORT_TAIL_CALLS_MAX)
		return 0;
	tail = fort_prog_array_get(map, index);
	if (!tail || fort_tail_is_barred(tail))
		return 0;
	tails->n++;
	tails->next = tail;
	return 1;
}

uint64_t fort_do_TAIL_CALL(struct fort_call *call)
{
	return find(call->run, call->map, (uint32_t)call->args[2]);
}

static __attribute__((noinline, cold)) uint64_t through_gate(uint64_t ctx, uint64_t handle,
							     uint64_t index, uint64_t a4,
							     uint64_t a5, struct fort_run *run)
{
	return fort_helper_function(BPF_FUNC_tail_call)(ctx, handle, index, a4, a5, run);
}

/* What the gate asks of the arguments, where all is well; it tells what is not. */
uint64_t fort_tail_find(uint64_t ctx, uint64_t handle, uint64_t index, uint64_t a4, uint64_t a5,
			struct fort_run *run)
{
	const struct fort_map *map = fort_run_map(run, handle);

	if (FORT_UNLIKELY(ctx != run->ctx || !map || !fort_map_is_prog_array(map)))
		return through_gate(ctx, handle, index, a4, a5, run);
	return find(run, map, (uint32_t)index);
}
