/* What a load came to, in words: the report's diagnostic, and the end of the log. */
#pragma once

#include "load/unit.h"
#include "store/road.h"
#include "verify/narrate.h"
#include "verify/verify.h"

/* Source lines for the log, from the request's records; `info` outlives it. */
struct fort_source fort_report_source(const struct fort_info *info);

/* There is no unit: the text of the program is wrong. Returns the command's errno. */
FORT_CHECKED int fort_report_unit(const struct fort_road_request *request,
				  const struct fort_unit_error *error,
				  struct fort_load_report *report);
/* The search, or the checker (`fault` is its reason, else NULL), found the program unsafe. */
FORT_CHECKED int fort_report_rejection(const struct fort_road_request *request,
				       const struct fort_env *env,
				       const struct fort_verify_result *result, const char *fault,
				       struct fort_load_report *report);
/* The lines that loaders look for at the end of a log. */
void fort_report_statistics(const struct fort_road_request *request,
			    const struct fort_verify_result *result,
			    const struct fort_load_report *report);
