/* The agent's image as a part of the program that brings it into others. */
#pragma once

#include "base/span.h"

/* What fort_target_options.agent wants. Lives for ever. */
struct fort_span fort_agent_image(void);
