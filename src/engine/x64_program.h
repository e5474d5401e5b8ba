/* A program that the x64 engine has compiled, as the engine's parts see it. */
#pragma once

#include "engine/x64_faults.h"
#include "engine/x64_image.h"

struct fort_code {
	bool confined, fast_gs, keys;
	struct fort_x64_image image;
	struct fort_x64_faults faults;
	uint32_t place;                 /* in the list of images */
	uint32_t code_bytes, n_slots;   /* of the image, that are used */
	fort_helper_lookup *helper;     /* for calls by register */
	struct fort_code_place *places; /* faults.places, behind the accesses */
	fort_helper_fn **functions;     /* of slots, behind them */
	struct fort_x64_access accesses[];
};
