/* Reasons as numbers, shared by loader and agent; the words are in reason.def. */
#pragma once

#include <stdint.h>

enum fort_reason {
#define FORT_REASON(name, ...) FORT_REASON_##name,
#include "attach/reason.def"
#undef FORT_REASON
	FORT_REASONS
};

struct fort_text;

/* Adds "what and why; what helps" to a text (host only). */
void fort_reason_add(struct fort_text *text, uint32_t reason, int64_t detail);
