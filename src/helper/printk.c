#include <errno.h>
#include <string.h>

#include "helper/call.h"
#include "helper/format.h"
#include "helper/trace.h"

/* A private copy: what was checked is what is used. Formats longer than FORT_FORMAT_BYTES_MAX,
 * which the kernel would accept, are refused. */
static bool copy_format(const struct fort_call *call, char format[FORT_FORMAT_BYTES_MAX])
{
	uint64_t bytes = call->args[1];

	if (bytes > FORT_FORMAT_BYTES_MAX)
		bytes = FORT_FORMAT_BYTES_MAX;
	memcpy(format, fort_call_at(call, 0), bytes);
	return memchr(format, 0, bytes) != NULL;
}

uint64_t fort_do_TRACE_PRINTK(struct fort_call *call)
{
	char format[FORT_FORMAT_BYTES_MAX], text[FORT_TRACE_TEXT_MAX];
	int length;

	if (!copy_format(call, format))
		return fort_result(-EINVAL);
	length = fort_format(call->run, text, sizeof(text), format, &call->args[2]);
	if (length >= 0)
		fort_trace_write(fort_call_services(call), text, (uint32_t)strlen(text));
	return fort_result(length);
}
