/* What is wrong with an object's BTF, for users whose object libbpf could not take. */
#pragma once

#include "base/span.h"
#include "base/text.h"

/* Looks at the section .BTF of a checked ELF file (elf_check.h). Adds where it is damaged, and how;
 * nothing if there is none, or if nothing is wrong with it. */
void fort_btf_complain(struct fort_span file, struct fort_text *out);
