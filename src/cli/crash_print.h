/* Crashes as `bpfort run` tells them: one line each. A program that nobody stops crashes as often
 * as it runs, so the first, second, fourth, eighth... are told, and those at which something was
 * done.
 */
#pragma once

#include "base/text.h"
#include "cli/json.h"
#include "store/store.h"

bool fort_crash_is_told(const struct fort_store_crash *crash);
/* Without a line end. */
void fort_crash_print(const struct fort_store_crash *crash, struct fort_text *out);
/* {"event": "crash", "prog", "kind", "insn", "file", "line", "pid", "tid", "comm", "crashes",
 * "actions": [...], ...} */
json_t *fort_crash_json(const struct fort_store_crash *crash);
