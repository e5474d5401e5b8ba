/* What is missing by its name, and what there is of nearly that name: sections, functions of the
 * kernel, and types and members that libbpf found no target for. From libbpf's own words, which are
 * the only place that has the names.
 */
#pragma once

#include "base/text.h"
#include "btf/btf.h"

struct fort_hint_from {
	const char *words;            /* libbpf's warnings */
	const char *log;              /* the verifier's log, as libbpf left it */
	const struct fort_btf *types; /* the kernel's, or NULL */
};

/* Adds one line, without its end, or nothing. */
void fort_hint_add(const struct fort_hint_from *from, struct fort_text *out);
