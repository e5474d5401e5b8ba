/* What a state holds, in words for people; print.h has the kernel's. */
#pragma once

#include "verify/history.h"
#include "verify/print.h"

/* "r3", "fp-16", "the packet's length": a register or slot, with its function unless that is the
 * one that runs. */
void fort_words_cell(struct fort_cell cell, struct fort_text *out);
/* "a number in [0, 255]", "a packet pointer", "a value of map `counts`, or NULL", "nothing". */
void fort_words_value(const struct fort_env *env, const struct fort_print_names *names,
		      const struct fort_value *value, struct fort_text *out);
/* The same without numbers: "number", "packet pointer", "map value pointer, or NULL". */
void fort_words_kind(const struct fort_value *value, struct fort_text *out);
/* "5", "in [0, 255]", "of any value": behind a number or offset. */
void fort_words_range(const struct fort_scalar *num, struct fort_text *out);
/* What holds behind a conditional jump that went this way: "r3 <= r2", "r0 != 0",
 * "(r4 & 7) == 0", "w1 < 64". */
void fort_words_condition(const struct fort_insn *insn, bool taken, struct fort_text *out);
/* "bpf_map_lookup_elem", "the function", "kernel function #12": what a call calls. */
void fort_words_callee(const struct fort_insn *insn, struct fort_text *out);
/* The kind as one word with what belongs before it: "a number", "an address". */
void fort_words_article(const char *word, struct fort_text *out);
