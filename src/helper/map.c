/* Helpers on maps. Lookups give addresses in the window; the rest is the map types' work. */
#include "helper/call.h"
#include "helper/cpu.h"

/* The processor whose value a program sees: its own. Types that have but one do not ask. */
static uint32_t cpu_for(const struct fort_call *call)
{
	if (!(call->map->info->classes & FORT_CLASS_PERCPU))
		return 0;
	return fort_cpu(fort_call_services(call)->host);
}

static uint64_t look_up(const struct fort_call *call, uint32_t cpu)
{
	const struct fort_map *map = call->map;
	int64_t offset;

	offset = map->ops->find(map, fort_call_at(call, 1), cpu);
	if (offset < 0)
		return 0;
	return fort_domain_address(call->run->domain, call->map_start + (uint32_t)offset);
}

uint64_t fort_do_MAP_LOOKUP_ELEM(struct fort_call *call)
{
	return look_up(call, cpu_for(call));
}

uint64_t fort_do_MAP_LOOKUP_PERCPU_ELEM(struct fort_call *call)
{
	return look_up(call, (uint32_t)call->args[2]);
}

uint64_t fort_do_MAP_UPDATE_ELEM(struct fort_call *call)
{
	struct fort_map *map = call->map;

	return fort_result(map->ops->update(map, &fort_call_services(call)->seat,
					    fort_call_at(call, 1), fort_call_at(call, 2),
					    call->args[3], cpu_for(call)));
}

uint64_t fort_do_MAP_DELETE_ELEM(struct fort_call *call)
{
	struct fort_map *map = call->map;

	return fort_result(
		map->ops->delete (map, &fort_call_services(call)->seat, fort_call_at(call, 1)));
}
