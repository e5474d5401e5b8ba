#include "words.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>

#define PATTERN_BYTES 1024u

/* The pattern as one regular expression; false when it does not fit or ends inside of one. */
static bool to_regex(const char *pattern, char *out, size_t room)
{
	bool inside = false;
	size_t n = 0;

	while (*pattern && n + 3 < room) {
		if (!strncmp(pattern, inside ? "}}" : "{{", 2)) {
			inside = !inside;
			pattern += 2;
			continue;
		}
		if (!inside && strchr(".[]\\()*+?{}|^$", *pattern))
			out[n++] = '\\';
		out[n++] = *pattern++;
	}
	out[n] = 0;
	return !inside && !*pattern;
}

const char *words_find(const char *log, const char *pattern)
{
	char text[PATTERN_BYTES];
	regmatch_t match;
	regex_t regex;
	const char *at;
	bool found;

	if (!strstr(pattern, "{{")) {
		at = strstr(log, pattern);
		return at ? at + strlen(pattern) : NULL;
	}
	if (!to_regex(pattern, text, sizeof(text)) ||
	    regcomp(&regex, text, REG_EXTENDED | REG_NEWLINE))
		return NULL;
	found = !regexec(&regex, log, 1, &match, 0);
	regfree(&regex);
	return found ? log + match.rm_eo : NULL;
}

const char *words_excused(const char *pattern)
{
	static const struct {
		const char *regex, *why;
	} rules[] = {
#define WORDS(regex, why) {regex, why},
#include "words.def"
	};

	for (size_t i = 0; i < FORT_LEN(rules); i++) {
		regex_t regex;
		bool found;

		if (regcomp(&regex, rules[i].regex, REG_EXTENDED | REG_NOSUB))
			continue;
		found = !regexec(&regex, pattern, 0, NULL, 0);
		regfree(&regex);
		if (found)
			return rules[i].why;
	}
	return NULL;
}

const char *words_missing(const char *theirs, const char *ours, const char *const *patterns,
			  unsigned n, unsigned *stale, unsigned *excused)
{
	for (unsigned i = 0; i < n; i++) {
		const char *behind = words_find(theirs, patterns[i]);

		if (!behind) {
			++*stale;
			continue;
		}
		theirs = behind;
		if (words_excused(patterns[i])) {
			++*excused;
			continue;
		}
		behind = words_find(ours, patterns[i]);
		if (!behind)
			return patterns[i];
		ours = behind;
	}
	return NULL;
}
