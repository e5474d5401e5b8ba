/* From an object file of LLVM to an image that runs: sections are placed, what they need from
 * outside comes to words before the image, and what its instructions belong to is noted.
 *
 * There is no linker: the few relocations that compiled programs have are filled in here, and an
 * object that has others, or anything that can be written, is refused.
 */
#pragma once

#include "base/span.h"
#include "engine/llvm.h"
#include "engine/x64_faults.h"
#include "engine/x64_image.h"

/* An instruction of the machine, and what it was made of (llvm_ir.h: lines). */
struct fort_llvm_line {
	uint32_t at, line;
};

/* The line table of `section`, in order. Returns 0, or -EBADMSG when it is none or has more than
 * `room`. */
FORT_CHECKED int fort_llvm_lines(struct fort_span section, struct fort_llvm_line *out,
				 uint32_t room, uint32_t *n);

/* What stands behind a name (llvm_ir.h), for this request; NULL: nothing. */
void *fort_llvm_symbol(const struct fort_compile *request, const char *name);

struct fort_llvm_built {
	struct fort_x64_image image;
	uint64_t start; /* address of `run` */
	/* Of one allocation each, by free(). */
	struct fort_x64_access *accesses;
	struct fort_code_place *places;
	uint32_t n_accesses, n_places;
	uint32_t code_bytes;
};

/* Returns 0, -ENOMEM or what the kernel says to memory for code, -EILSEQ for code that may not run
 * (llvm_inspect.h), once *refused (llvm.h) counts the slots that it comes from, or -ENOEXEC for an
 * object that does not look as it should. Nothing is left behind on failure. */
FORT_CHECKED int fort_llvm_build(const struct fort_compile *request, struct fort_span object,
				 fort_llvm_hidden *refused, struct fort_llvm_built *out);
void fort_llvm_drop(struct fort_llvm_built *built);
