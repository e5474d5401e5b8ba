/* Which instructions of an image access memory, where, and for which instruction of BPF. */
#pragma once

#include "engine/llvm_object.h"

/* Fills in out->accesses and out->places. Returns 0, -ENOMEM, or -ENOEXEC for what is no code. */
FORT_CHECKED int fort_llvm_note(struct fort_span code, const struct fort_llvm_line *lines,
				uint32_t n_lines, struct fort_llvm_built *out);
