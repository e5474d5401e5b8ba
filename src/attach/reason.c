#include "attach/reason.h"

#include "base/text.h"

static const struct {
	const char *what, *help;
} reasons[] = {
#define FORT_REASON(name, what, help) [FORT_REASON_##name] = {what, help},
#include "attach/reason.def"
#undef FORT_REASON
};

void fort_reason_add(struct fort_text *text, uint32_t reason, int64_t detail)
{
	if (reason >= FORT_REASONS)
		reason = FORT_REASON_NONE;
	fort_text_add(text, reasons[reason].what, (int)detail);
	if (reasons[reason].help)
		fort_text_add(text, "; %s", reasons[reason].help);
}
