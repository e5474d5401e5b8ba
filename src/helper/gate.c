/* The gate: every helper is entered here, and every argument is checked before anything happens.
 *
 * One entry per row of helpers.def that says RUN, made from the row: it checks each argument by its
 * kind, then calls the implementation. The kinds are constants in each entry, so that the compiler
 * leaves only the checks that the row needs. Whatever the verifier proved, a pointer that does not
 * lie in the window with the right access, whole, ends the run: nothing is clamped.
 */
#include "helper/helper.h"

#include "abi/helpers.h"
#include "abi/uapi.h"
#include "helper/call.h"

static inline bool allows(const struct fort_call *call, unsigned arg, uint64_t bytes,
			  enum fort_rights rights)
{
	const struct fort_window *window = &call->run->domain->window;
	uint64_t address = call->args[arg];

	if (bytes > FORT_ACCESS_BYTES_MAX)
		return false;
	if (FORT_LIKELY(bytes && bytes <= FORT_PAGE_BYTES))
		return fort_window_allows_word(window, address, (uint32_t)bytes, rights);
	return fort_window_allows(window, address, bytes, rights);
}

/* Of a class that the helper works on, and that programs may write if it writes. Looking up in a
 * map that programs may only write is allowed; loads from its values are not (K). */
static inline bool check_map(struct fort_call *call, unsigned arg,
			     const struct fort_helper_info *info)
{
	const struct fort_run *run = call->run;
	struct fort_map *map = fort_run_map(run, call->args[arg]);

	if (!map || !(map->info->classes & info->map_classes))
		return false;
	if (info->flags & FORT_HELPER_CHANGES && (map->shape.flags & BPF_F_RDONLY_PROG))
		return false;
	call->map = map;
	call->map_start = run->domain->map_start[(uint32_t)call->args[arg]];
	return true;
}

/* The whole of a reservation that this run holds, by its address. */
static bool check_ring_mem(struct fort_call *call, unsigned arg)
{
	if (!call->args[arg] || !fort_run_unhold(call->run, call->args[arg], &call->held))
		return false;
	if (call->held.release == fort_ring_release)
		return true;
	(void)!fort_run_hold(call->run, call->held); /* something else: it stays held */
	return false;
}

static inline __attribute__((always_inline)) bool check(struct fort_call *call, unsigned arg,
							const uint8_t *kinds,
							const struct fort_helper_info *info)
{
	switch ((enum fort_arg)kinds[arg]) {
	case FORT_ARG_MAP: return check_map(call, arg, info);
	case FORT_ARG_KEY: return allows(call, arg, call->map->shape.key_bytes, FORT_READ);
	case FORT_ARG_VALUE: return allows(call, arg, call->map->shape.value_bytes, FORT_READ);
	case FORT_ARG_MEM: return allows(call, arg, call->args[arg + 1], FORT_READ);
	case FORT_ARG_MEM_OUT: return allows(call, arg, call->args[arg + 1], FORT_WRITE);
	case FORT_ARG_SIZE: return call->args[arg] != 0;
	case FORT_ARG_RING_MEM: return check_ring_mem(call, arg);
	case FORT_ARG_CTX: return call->args[arg] == call->run->ctx;
	case FORT_ARG_SIZE_OR_ZERO: /* with the pointer before it */
	case FORT_ARG_CONST_SIZE:
	case FORT_ARG_ANY:
	case FORT_ARG_ANY_OPT:
	case FORT_ARG_NONE: return true;
	default: return false; /* no helper that runs takes it */
	}
}

static inline __attribute__((always_inline)) bool check_all(struct fort_call *call,
							    const uint8_t *kinds,
							    const struct fort_helper_info *info)
{
#pragma GCC unroll 5
	for (unsigned arg = 0; arg < FORT_HELPER_ARGS; arg++) {
		if (FORT_LIKELY(check(call, arg, kinds, info)))
			continue;
		fort_call_refuse(call, arg);
		return false;
	}
	return true;
}

#define GATE(id, k1, k2, k3, k4, k5)                                                         \
	static uint64_t enter_##id(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,       \
				   uint64_t a5, struct fort_run *run)                        \
	{                                                                                    \
		static const uint8_t kinds[] = {FORT_ARG_##k1, FORT_ARG_##k2, FORT_ARG_##k3, \
						FORT_ARG_##k4, FORT_ARG_##k5};               \
		struct fort_call call;                                                       \
                                                                                             \
		call.run = run;                                                              \
		call.args[0] = a1;                                                           \
		call.args[1] = a2;                                                           \
		call.args[2] = a3;                                                           \
		call.args[3] = a4;                                                           \
		call.args[4] = a5;                                                           \
		return check_all(&call, kinds, &fort_helpers[FORT_HELPER_##id])              \
			       ? fort_do_##id(&call)                                         \
			       : 0;                                                          \
	}

#define FORT_HELPER(id, name, number, returns, k1, k2, k3, k4, k5, progs, license, right, maps, \
		    flags, run)                                                                 \
	FORT_WHEN_##run(GATE(id, k1, k2, k3, k4, k5))
#include "abi/helpers.def"

static fort_helper_fn *const entries[FORT_HELPERS] = {
#define FORT_HELPER(id, name, number, returns, k1, k2, k3, k4, k5, progs, license, right, maps, \
		    flags, run)                                                                 \
	FORT_WHEN_##run([FORT_HELPER_##id] = enter_##id, )
#include "abi/helpers.def"
};

fort_helper_fn *fort_helper_function(uint32_t number)
{
	const struct fort_helper_info *info = fort_helper_by_number(number);

	return info ? entries[info - fort_helpers] : NULL;
}
