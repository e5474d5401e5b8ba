/* Texts that a verifier's log is expected to contain, in order. */
#pragma once

#include "base/compiler.h"

/* Finds `pattern` in `log`: plain text, in which "{{...}}" is an extended regular expression.
 * Returns what comes behind it, or NULL. */
const char *words_find(const char *log, const char *pattern);

/* Why our log need not contain a text that the kernel's does, or NULL: rules of words.def. */
const char *words_excused(const char *pattern);

/* The first of the texts that `theirs` has in order, and `ours` has not; NULL: none. Texts that the
 * running kernel does not say are not asked for: `stale` counts them; `excused` those of a rule. */
const char *words_missing(const char *theirs, const char *ours, const char *const *patterns,
			  unsigned n, unsigned *stale, unsigned *excused);
