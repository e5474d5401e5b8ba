/* Looking types up: by name, by the tags they have; and the digest of the whole.
 *
 * The tables are made when they are first needed and live as long as the BTF. Without memory for
 * them, look-ups are slow, and right. All functions may be called by several threads.
 */
#pragma once

#include "base/sha256.h"
#include "btf/btf.h"

/* Length of a name without its flavour: "task_struct___old" is a task_struct (libbpf and
 * bpf_core_essential_name_len in kernel/bpf/btf.c). */
size_t fort_btf_plain_length(const char *name);

/* Types of this kind whose names are equal but for flavours: 0, 1, or 2 for "more than one". The
 * first of them is *id.
 */
uint32_t fort_btf_find_flavours(const struct fort_btf *btf, const char *name, uint8_t kind,
				uint32_t *id);

/* Of the DECL_TAGs of a type, or of its parameter or member `component` (-1: the type itself),
 * whose text starts with `prefix`: the first one after tag `after` (0: the first of all), or 0.
 */
uint32_t fort_btf_next_tag(const struct fort_btf *btf, uint32_t type, int32_t component,
			   const char *prefix, uint32_t after);

/* SHA-256 of the blob: what a certificate that rests on these types is bound to. Computed once (by
 * each of several threads that ask at the same time for the first time).
 */
void fort_btf_digest(const struct fort_btf *btf, uint8_t out[FORT_SHA256_BYTES]);
