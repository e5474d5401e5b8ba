/* What loading a program came to, for people and as JSON. */
#pragma once

#include "base/text.h"
#include "cli/json.h"
#include "cli/object.h"

static inline bool fort_loading_accepted(const struct fort_loading *loading)
{
	return !loading->err && loading->reached;
}

/* One element of "programs". `words`: libbpf's, used when the program did not get to the verifier.
 */
json_t *fort_verdict_json(const struct bpf_program *prog, const struct fort_loading *loading,
			  const char *words);

/* A rejection: what, where in the source, what was needed and known, and what to change. With
 * `explain`, also the way that led there. */
void fort_verdict_explain(const struct bpf_program *prog, const struct fort_loading *loading,
			  const char *words, bool explain, struct fort_text *out);
