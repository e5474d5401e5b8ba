/* The program of an object file, for conformance runs: nothing is linked or relocated. */
#pragma once

#include "base/span.h"
#include "base/text.h"

/* Finds .text, or else the first section with instructions, of a 64-bit little-endian BPF object.
 * *out points into `file`, unaligned. Returns 0, or -EINVAL with one line in *message.
 */
FORT_CHECKED int fort_conformance_elf(struct fort_span file, struct fort_span *out,
				      struct fort_text *message);
