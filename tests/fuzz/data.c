/* Any bytes as a conformance data file: the parser and the assembler say where it is wrong, or give
 * slots.
 */
#include "fuzz.h"

#include "data.h"

#define ARENA_BYTES (16u << 20)
#define FILE_BYTES  (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fort_arena arena;
	struct data_case c;
	char array[256];
	struct fort_text message = fort_text_on(array, sizeof(array));
	int err;

	if (bytes > FILE_BYTES)
		return 0;
	fort_arena_init(&arena, ARENA_BYTES);
	err = data_parse(&arena, (const char *)data, bytes, &c, &message);
	if (err)
		FUZZ_ASSERT(message.length);
	else
		FUZZ_ASSERT(c.n_insns && c.has_result != (c.error || c.has_fault));
	fort_arena_free(&arena);
	return 0;
}
