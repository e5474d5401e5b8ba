/* bpf_tail_call finds the program; the engine goes there (engine/tail.h). */
#include "engine/tail.h"
#include "helper/call.h"
#include "map/prog_array.h"

/* In the kernel's order (its JIT for this processor): only calls that happen count. A program that
 * is not run any more is as good as none. */
uint64_t fort_do_TAIL_CALL(struct fort_call *call)
{
	struct fort_run_tails *tails = &call->run->tails;
	uint32_t index = (uint32_t)call->args[2];
	const struct fort_tail *tail;

	if (index >= call->map->shape.max_entries || tails->n >= FORT_TAIL_CALLS_MAX)
		return 0;
	tail = fort_prog_array_get(call->map, index);
	if (!tail || fort_tail_is_barred(tail))
		return 0;
	tails->n++;
	tails->next = tail;
	return 1;
}
