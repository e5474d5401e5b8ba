/* An explanation as lines of the verifier log. Each begins with `; `, as source lines do, so that
 * what reads the kernel's logs by lines goes past them.
 */
#pragma once

#include "verify/explain.h"

/* `source` may be NULL. */
void fort_remarks_put(struct fort_log *log, const struct fort_explanation *told,
		      const struct fort_source *source);
