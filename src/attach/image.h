/* The agent's image as the injector needs it: an ELF file (static PIE, only relative relocations)
 * turned into flat bytes for an address.
 */
#pragma once

#include "base/span.h"

#define FORT_IMAGE_SEGMENTS_MAX 8u
#define FORT_IMAGE_BYTES_MAX    (16u << 20)

struct fort_image_segment {
	uint64_t start, bytes; /* whole pages */
	int rights;            /* PROT_* */
};

struct fort_image {
	struct fort_span file;
	uint64_t bytes, entry; /* in memory, whole pages; offset of the first instruction */
	uint64_t filled;       /* zero from there on */
	uint32_t n_segments;
	struct fort_image_segment segment[FORT_IMAGE_SEGMENTS_MAX];
	uint64_t relocs, n_relocs; /* offset in memory of the table */
};

/* Reads the headers. Returns 0 or -EBADMSG when it is no such image. `file` must live as long. */
FORT_CHECKED int fort_image_open(struct fort_span file, struct fort_image *out);

/* Fills `memory` (image->filled) as it must be at address `base`. Returns 0 or -EBADMSG. */
FORT_CHECKED int fort_image_place(const struct fort_image *image, uint64_t base, uint8_t *memory);
