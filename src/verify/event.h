/* Events in words: rows of events.def, with what was measured (history.h). */
#pragma once

#include "verify/history.h"
#include "verify/render.h"

enum fort_event_id {
	FORT_EVENT_NONE,
#define FORT_EVENT(id, ...) FORT_EVENT_##id,
#include "verify/events.def"
	FORT_EVENTS
};

struct fort_event_info {
	const char *role, *text;
	uint8_t weight;
};

const struct fort_event_info *fort_event_info(enum fort_event_id event);

/* Which one it is; NONE for what says nothing. */
enum fort_event_id fort_event_of(const struct fort_env *env, const struct fort_past *past);
/* Its text. */
void fort_event_text(const struct fort_render *render, const struct fort_past *past,
		     struct fort_text *out);

/* Did the value become a number that was a pointer before? */
bool fort_past_is_cut(const struct fort_env *env, const struct fort_past *past);
/* A comparison of a pointer into the packet with where that ends. */
bool fort_past_is_packet_check(const struct fort_env *env, const struct fort_past *past);
/* A comparison of something with 0. */
bool fort_past_is_null_test(const struct fort_env *env, const struct fort_past *past);
