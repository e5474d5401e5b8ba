/* Which engine runs programs of a front, and what confines them: options of several verbs. */
#pragma once

#include "cli/front.h"

#define FORT_OPTION_ENGINE(at)                                                                    \
	{                                                                                         \
		"engine", "E", "what runs it; `bpfort doctor` lists engines and their isolation", \
			FORT_OPTION_TEXT, at                                                      \
	}
#define FORT_OPTION_ISOLATION(at)                                                                 \
	{                                                                                         \
		"isolation", "I", "what confines it: sfi, sfi-store (stores only), mpk, or none", \
			FORT_OPTION_TEXT, at                                                      \
	}

/* By name; NULL: what the store has. Returns 0, or -EINVAL or -EOPNOTSUPP with why. */
FORT_CHECKED int fort_choose_engine(struct fort_front *front, const char *engine,
				    const char *isolation, struct fort_text *why);
