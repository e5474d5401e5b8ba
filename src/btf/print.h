/* Values as text: bytes and a type become names, numbers and nesting.
 *
 * The walk is generic: it tells an emitter what it meets, in order. fort_btf_print_text is one
 * emitter; a JSON writer is another. Bytes come from programs and are not trusted: the walk reads
 * inside them only, descends FORT_BTF_DEPTH_MAX levels, and ends after FORT_BTF_WALK_MAX steps.
 */
#pragma once

#include "base/text.h"
#include "btf/btf.h"

/* What the walk meets. Every `open` has its `close`; a `name` precedes what it names. NULL
 * members of the table are not called. Each returns 0, or an error that ends the walk.
 */
struct fort_btf_emitter {
	int (*open_struct)(void *owner, const char *type); /* `type` may be "" */
	int (*close_struct)(void *owner);
	int (*open_array)(void *owner, uint32_t count);
	int (*close_array)(void *owner);
	int (*name)(void *owner, const char *name); /* of a member */
	int (*number)(void *owner, int64_t value);
	int (*unsigned_number)(void *owner, uint64_t value);
	int (*wide)(void *owner, uint64_t high, uint64_t low, bool is_signed); /* 128 bits */
	int (*boolean)(void *owner, bool value);
	int (*character)(void *owner, char value);                     /* printable */
	int (*string)(void *owner, const char *text, size_t length);   /* any bytes but NUL */
	int (*constant)(void *owner, const char *name, int64_t value); /* of an enum */
	int (*pointer)(void *owner, uint64_t value);
	int (*real)(void *owner, double value);
	int (*raw)(void *owner, const uint8_t *bytes,
		   size_t count); /* without a shape of its own */
};

/* Walks a value of type `id` in `bytes` bytes at `data`.
 * Returns 0; -EINVAL when the type has no values; -EMSGSIZE when `bytes` is less than its size;
 * -E2BIG past the bounds; or the emitter's error.
 */
FORT_CHECKED int fort_btf_walk(const struct fort_btf *btf, uint32_t id, const void *data,
			       size_t bytes, const struct fort_btf_emitter *emitter, void *owner);

/* The same as text in C's notation for initialisers, one line:
 * {.pid = 42,.comm = "bash",.state = RUNNING,.path = [1,2]}
 */
FORT_CHECKED int fort_btf_print_text(const struct fort_btf *btf, uint32_t id, const void *data,
				     size_t bytes, struct fort_text *out);
