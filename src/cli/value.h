/* Values of maps and records of rings, by their BTF: as text, and as JSON. */
#pragma once

#include "base/limits.h"
#include "base/text.h"
#include "btf/btf.h"
#include "cli/json.h"

struct bpf_map;
struct bpf_object;

/* Types of an object; `btf` NULL: none, values are bytes. */
struct fort_types {
	struct fort_btf *btf;
	struct {
		const struct bpf_map *map;
		uint32_t record;
	} rings[FORT_RINGS_MAX];
	uint32_t n_rings;
};

/* Those of the object's own BTF, as far as it can be believed. To be called before it is loaded:
 * libbpf then forgets the types of ring buffers. The caller closes. */
void fort_types_open(const struct bpf_object *object, struct fort_types *out);
/* The type of a ring buffer's records, 0 when it is not said. */
uint32_t fort_types_record(const struct fort_types *types, const struct bpf_map *map);
void fort_types_close(struct fort_types *types);

/* A value of type `id` (0: not known) of `bytes` bytes. What its type cannot say is printed as
 * hexadecimal bytes. */
void fort_value_print(const struct fort_types *types, uint32_t id, const void *data, size_t bytes,
		      struct fort_text *out);
json_t *fort_value_json(const struct fort_types *types, uint32_t id, const void *data,
			size_t bytes);

/* Is this an integer type (of at most 8 bytes), behind typedefs and the like? */
bool fort_type_is_number(const struct fort_types *types, uint32_t id);
/* The typedef's name that the type starts with, or "". */
const char *fort_type_alias(const struct fort_types *types, uint32_t id);
