/* Is a file an object that libbpf can be given? Everything that libelf and libbpf follow without
 * looking is looked at here: tables, offsets, names, links, symbols, relocations. What libbpf
 * reads beyond that (BTF, map definitions) it reads first in a process of its own (object.h).
 */
#pragma once

#include "base/span.h"
#include "base/text.h"

/* Returns 0, or -EBADMSG with why: the offset in the file, the field, and what is wrong with it. */
FORT_CHECKED int fort_elf_check(struct fort_span file, struct fort_text *why);
