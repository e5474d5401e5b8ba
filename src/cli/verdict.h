/* What loading a program came to, for people and as JSON. */
#pragma once

#include "base/text.h"
#include "cli/columns.h"
#include "cli/json.h"

static inline bool fort_loading_accepted(const struct fort_loading *loading)
{
	return !loading->err && loading->reached;
}

/* One element of "programs". */
json_t *fort_verdict_json(const struct fort_vetted *vetted);

/* A rejection: what, where in the source, what was needed and known, and what to change. With
 * `explain`, also the way that led there. `name` is the program's; `words`: libbpf's, used when it
 * did not get to the verifier. */
void fort_verdict_explain(const char *name, const struct fort_loading *loading, const char *words,
			  bool explain, struct fort_text *out);
