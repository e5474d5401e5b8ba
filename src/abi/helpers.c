#include "abi/helpers.h"

#include "abi/words.h"

/* Names of map classes and flags, for the columns of the table. */
enum {
#define FORT_MAP_CLASS(name, bit) name = FORT_CLASS_##name,
#include "abi/maps.def"
	NONE = 0,
};

enum {
	PACKET = FORT_HELPER_PACKET,
	CHANGES = FORT_HELPER_CHANGES,
	MOVES = FORT_HELPER_MOVES,
	SLEEPS = FORT_HELPER_SLEEPS,
	MAY_SLEEP = FORT_HELPER_MAY_SLEEP,
	LEAVES = FORT_HELPER_LEAVES,
	ACQUIRES = FORT_HELPER_ACQUIRES,
	CASTS = FORT_HELPER_CASTS,
	CALLS = FORT_HELPER_CALLS,
	CALLS_LATER = FORT_HELPER_CALLS_LATER,
	UNDER_LOCK = FORT_HELPER_UNDER_LOCK,
	FASTCALL = FORT_HELPER_FASTCALL,
	LISTED = FORT_HELPER_LISTED,
	PROBES = FORT_HELPER_PROBES,
};

const struct fort_helper_info fort_helpers[FORT_HELPERS] = {
#define FORT_HELPER(id_, name_, number_, returns_, a1, a2, a3, a4, a5, progs_, license_, right_, \
		    maps_, flags_, run_)                                                         \
	[FORT_HELPER_##id_] = {.number = (number_),                                              \
			       .flags = (flags_),                                                \
			       .returns = FORT_RET_##returns_,                                   \
			       .args = {FORT_ARG_##a1, FORT_ARG_##a2, FORT_ARG_##a3,             \
					FORT_ARG_##a4, FORT_ARG_##a5},                           \
			       .license = FORT_LICENSE_##license_,                               \
			       .right = FORT_RIGHT_##right_,                                     \
			       .runs = FORT_##run_,                                              \
			       .map_classes = (maps_),                                           \
			       .progs = (progs_)},
#include "abi/helpers.def"
};

enum { ANY, IN, NOT_IN };

static const struct {
	uint64_t attach;
	uint32_t progs;
	uint16_t helper;
	uint8_t targets, list;
} places[] = {
#define FORT_HELPER_AT(id, progs, attach, targets, list) \
	{(attach), (progs), FORT_HELPER_##id, targets, FORT_TARGETS_##list},
#include "abi/helpers.def"
};

/* Does a FORT_HELPER_AT row of this helper fit the hook, or is there none for its program type? */
static bool fits_place(const struct fort_helper_info *helper, const struct fort_hook *hook)
{
	uint64_t attach = fort_attach_bit(hook);
	bool free = true;

	for (unsigned i = 0; i < FORT_LEN(places); i++) {
		bool listed;

		if (&fort_helpers[places[i].helper] != helper ||
		    !(places[i].progs & hook->prog->bit))
			continue;
		free = false;
		listed = places[i].targets == ANY ||
			 fort_target_listed(places[i].list, hook->target) ==
				 (places[i].targets == IN);
		if (listed && places[i].attach & attach)
			return true;
	}
	return free;
}

const struct fort_helper_info *fort_helper_by_number(uint32_t number)
{
	unsigned low = 0, high = FORT_HELPERS;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (fort_helpers[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < FORT_HELPERS && fort_helpers[low].number == number ? &fort_helpers[low] : NULL;
}

const struct fort_helper_info *fort_helper_for(uint32_t number, const struct fort_hook *hook)
{
	const struct fort_helper_info *helper = fort_helper_by_number(number);

	if (!helper || fort_target_listed(FORT_TARGETS_OPS_BARE, hook->target))
		return NULL;
	for (; helper < fort_helpers + FORT_HELPERS && helper->number == number; helper++)
		if (helper->progs & hook->prog->bit &&
		    (helper->flags & LISTED || fits_place(helper, hook)))
			return helper;
	return NULL;
}

bool fort_helper_is_listed(const struct fort_helper_info *helper, const struct fort_hook *hook)
{
	return !(helper->flags & LISTED) || fits_place(helper, hook);
}

static const struct {
	uint64_t attach;
	uint32_t progs;
	uint16_t helper;
} map_writers[] = {
#define FORT_MAP_WRITER(id, progs, attach) {(attach), (progs), FORT_HELPER_##id},
#include "abi/maps.def"
};

bool fort_helper_takes_map(const struct fort_helper_info *helper, const struct fort_map_info *map,
			   const struct fort_hook *hook)
{
	const enum fort_helper_id id = helper - fort_helpers;

	if (!(helper->map_classes & map->classes))
		return !helper->map_classes && !(map->traits & FORT_TRAIT_BARRED);
	if (map->gives != FORT_GIVES_SOCKET ||
	    (id != FORT_HELPER_MAP_UPDATE_ELEM && id != FORT_HELPER_MAP_DELETE_ELEM))
		return true;
	for (unsigned i = 0; i < FORT_LEN(map_writers); i++)
		if (map_writers[i].helper == id && map_writers[i].progs & hook->prog->bit &&
		    map_writers[i].attach & fort_attach_bit(hook))
			return true;
	return false;
}

static const char *const names[FORT_HELPERS] = {
#define FORT_HELPER(id, name, ...) [FORT_HELPER_##id] = (name),
#include "abi/helpers.def"
};

const char *fort_helper_kernel_name(uint32_t number)
{
	const struct fort_helper_info *helper = fort_helper_by_number(number);

	return helper ? names[helper - fort_helpers] : "unknown";
}
