/* What is wrong with a program's instructions, in the kernel verifier's words. */
#pragma once

#include "base/text.h"
#include "isa/graph.h"

/* Each adds one line without its end. */
void fort_decode_error_text(const struct fort_decode_error *error, struct fort_text *out);
void fort_graph_error_text(const struct fort_graph_error *error, struct fort_text *out);
