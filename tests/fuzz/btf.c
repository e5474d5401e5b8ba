/* Any bytes as BTF: they are refused with a place and a reason, or every type can be looked at,
 * resolved and printed, and the walks end.
 *
 * The mutator knows the header and the 12 bytes that every type starts with.
 */
#include "fuzz.h"

#include <string.h>

#include "abi/uapi.h"
#include "btf/print.h"
#include "btf/values.h"

#define BLOB_BYTES_MAX  (1u << 16)
#define VALUE_BYTES_MAX 4096u
#define PRINTED_MAX     32u /* types of one input that are printed */

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed);

static void print_value(const struct fort_btf *btf, uint32_t id)
{
	static const uint8_t value[VALUE_BYTES_MAX] = "some text, and some numbers \xff\xfe\x80";
	struct fort_text text = fort_text_new();
	uint32_t bytes;

	if (!fort_btf_size(btf, id, &bytes)) {
		int err = fort_btf_print_text(btf, id, value, sizeof(value), &text);

		FUZZ_ASSERT(err || text.length);
	}
	fort_text_free(&text);
}

static void look_at(const struct fort_btf *btf, uint32_t id)
{
	const struct fort_map_shape shape = {BPF_MAP_TYPE_HASH, 4, 16, 8, 0, 0};
	struct fort_btf_type type = fort_btf_type(btf, id), bare = fort_btf_strip(btf, id);
	const char *name = fort_btf_string(btf, type.name);
	struct fort_btf_record record;
	int err;

	FUZZ_ASSERT(type.kind < FORT_BTF_KINDS && !fort_btf_is_modifier(bare.kind));
	FUZZ_ASSERT(name && strlen(name) <= BLOB_BYTES_MAX);
	err = fort_btf_check_map(btf, NULL, &shape, 0, id, &record);
	FUZZ_ASSERT(err <= 0);
	if (id < PRINTED_MAX)
		print_value(btf, id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	if (bytes > BLOB_BYTES_MAX)
		return 0;
	if (fort_btf_parse(data, bytes, NULL, &btf, &error)) {
		FUZZ_ASSERT(error.what[0] && error.offset <= bytes);
		return 0;
	}
	for (uint32_t id = 0; id < fort_btf_count(btf); id++)
		look_at(btf, id);
	fort_btf_free(btf);
	return 0;
}

/* --- mutation --- */

#define WORD_BYTES 4u

/* Numbers that types are made of: small ids, kinds with counts, sizes. */
static uint32_t any_word(unsigned *seed)
{
	uint32_t random;

	*seed = *seed * 1103515245u + 12345u;
	random = *seed >> 8;
	switch (random % 4) {
	case 0: return random / 4 % 32;
	case 1: return (random / 4 % 20) << 24 | random / 128 % 4 | (random >> 20 & 1) << 31;
	case 2: return 8u << (random / 4 % 8);
	default: return random;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed)
{
	uint32_t word = any_word(&seed);
	size_t at;

	if (bytes < 2 * WORD_BYTES || seed >> 16 & 1)
		return LLVMFuzzerMutate(data, bytes, room);
	at = (seed >> 17) % (bytes / WORD_BYTES) * WORD_BYTES;
	memcpy(data + at, &word, WORD_BYTES);
	return bytes;
}
