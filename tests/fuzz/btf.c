/* Any bytes as BTF: they are refused with a place and a reason, or every type can be looked at,
 * resolved, printed and walked, and the walks end. The same bytes as a kernel's BTF, of which less
 * is known, and as both: a program's types meet the kernel's.
 *
 * The mutator knows the header and the 12 bytes that every type starts with.
 */
#include "fuzz.h"

#include <string.h>

#include "abi/uapi.h"
#include "btf/args.h"
#include "btf/blob.h"
#include "btf/index.h"
#include "btf/match.h"
#include "btf/print.h"
#include "btf/tracing.h"
#include "btf/trust.h"
#include "btf/values.h"

#define BLOB_BYTES_MAX  (1u << 16)
#define VALUE_BYTES_MAX 4096u
#define PRINTED_MAX     32u /* types of one input that are printed */
#define USED_MAX        64u /* and walked */

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

/* A remark is empty, or has words. */
static void check_remark(const struct fort_btf_remark *remark)
{
	struct fort_text text = fort_text_new();

	fort_btf_remark_print(remark, &text);
	FUZZ_ASSERT(remark->id < FORT_REMARKS && !remark->id == !text.length);
	fort_text_free(&text);
}

static void walk_into(const struct fort_btf *btf, uint32_t id, uint32_t offset, uint32_t bytes)
{
	struct fort_btf_spot spot = {0};
	struct fort_btf_remark remark = {0};
	int err = fort_btf_access(btf, id, offset, bytes, FORT_VIEW_KERNEL, &spot, &remark);

	check_remark(&remark);
	FUZZ_ASSERT(!err == !remark.id);
	if (!err && spot.kind == FORT_SPOT_STRUCT_POINTER) {
		FUZZ_ASSERT(fort_btf_is_struct(fort_btf_type(btf, spot.type).kind));
		(void)fort_btf_trust_of(btf, id, &spot);
	}
	(void)fort_btf_access(btf, id, offset, bytes, FORT_VIEW_OBJECT, &spot, &remark);
	if (fort_btf_has_struct(btf, id, offset, btf, id / 2, false, FORT_VIEW_KERNEL, &remark))
		FUZZ_ASSERT(!remark.id);
}

static void call_it(const struct fort_btf *btf, const struct fort_btf *kernel, uint32_t id)
{
	const struct fort_func_owner owner = {id % 40, id % 50, kernel};
	struct fort_btf_remark remark;
	struct fort_btf_target target;
	struct fort_btf_proto proto;
	struct fort_func_args args;

	if (!fort_btf_read_proto(btf, id, &proto, &remark))
		FUZZ_ASSERT(proto.n_params <= FORT_BTF_ARGS_MAX);
	check_remark(&remark);
	if (!fort_btf_func_args(btf, id, id % 2, &owner, &args, &remark))
		FUZZ_ASSERT(args.count <= FORT_BTF_FUNC_ARGS_MAX);
	check_remark(&remark);
	for (uint32_t type = 23; type < 29; type++) { /* BPF_TRACE_RAW_TP and those behind it */
		struct fort_btf_ctx_value value;

		if (fort_btf_find_target(btf, type == 27 ? 29 : 26, type, id, &target, &remark))
			continue;
		for (uint32_t offset = 0; offset < 104; offset += 8)
			if (!fort_btf_target_access(&target, offset, 8, &value, &remark) &&
			    value.kind == FORT_CTX_POINTER)
				FUZZ_ASSERT(
					fort_btf_is_struct(fort_btf_type(btf, value.type).kind));
	}
}

static void record_it(const struct fort_btf *btf, const struct fort_btf *kernel, uint32_t id,
		      uint32_t bytes)
{
	struct fort_btf_record record = {0};
	uint64_t end = 0;

	if (fort_btf_read_record(btf, kernel, id, bytes, id % 2, &record))
		return;
	for (uint32_t i = 0; i < record.count; i++) {
		FUZZ_ASSERT(record.fields[i].offset >= end);
		end = (uint64_t)record.fields[i].offset + record.fields[i].bytes;
		FUZZ_ASSERT(end <= bytes && record.fields[i].kind < FORT_FIELD_KINDS);
	}
}

static void use(const struct fort_btf *btf, const struct fort_btf *kernel, uint32_t id)
{
	struct fort_btf_type type = fort_btf_type(btf, id);
	const char *name = fort_btf_string(btf, type.name);
	uint32_t first;

	FUZZ_ASSERT(fort_btf_find(btf, name, type.kind) <= id);
	if (name[0])
		FUZZ_ASSERT(fort_btf_find_flavours(btf, name, type.kind, &first) && first <= id);
	(void)fort_btf_contents_of(btf, id);
	(void)fort_btf_next_tag(btf, id, (int32_t)(id % 4) - 1, "", 0);
	for (uint32_t bytes = 1; bytes <= 8; bytes *= 2) {
		walk_into(btf, id, 0, bytes);
		walk_into(btf, id, type.size / 2, bytes);
		walk_into(btf, id, type.size - bytes, bytes);
		walk_into(btf, id, type.size, bytes);
	}
	call_it(btf, kernel, id);
}

static void look_at(const struct fort_btf *btf, const struct fort_btf *kernel, uint32_t id)
{
	const struct fort_map_shape shape = {BPF_MAP_TYPE_HASH, 4, 16, 8, 0, 0};
	struct fort_btf_type type = fort_btf_type(btf, id), bare = fort_btf_strip(btf, id);
	const char *name = fort_btf_string(btf, type.name);
	struct fort_btf_record record;
	int err;

	FUZZ_ASSERT(type.kind < FORT_BTF_KINDS && !fort_btf_is_modifier(bare.kind));
	FUZZ_ASSERT(name && strlen(name) <= BLOB_BYTES_MAX);
	err = fort_btf_check_map(btf, kernel, &shape, 0, id, &record);
	FUZZ_ASSERT(err <= 0);
	if (id < PRINTED_MAX)
		print_value(btf, id);
	if (id < USED_MAX) {
		use(btf, kernel, id);
		record_it(btf, kernel, id, type.size);
	}
}

/* The bytes as a kernel's BTF, or NULL. */
static struct fort_btf *as_kernel(const uint8_t *data, size_t bytes)
{
	struct fort_btf *btf = fort_btf_new();
	struct fort_btf_error error = {0};

	FUZZ_ASSERT(btf);
	btf->data = data;
	btf->bytes = (uint32_t)bytes;
	btf->is_kernel = true;
	if (!fort_btf_check_all(btf, NULL, &error))
		return btf;
	FUZZ_ASSERT(error.what[0]);
	fort_btf_free(btf);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fort_btf *btf = NULL, *kernel;
	struct fort_btf_error error;

	if (bytes > BLOB_BYTES_MAX)
		return 0;
	kernel = as_kernel(data, bytes);
	for (uint32_t id = 0; kernel && id < fort_btf_count(kernel) && id < USED_MAX; id++) {
		use(kernel, kernel, id);
		print_value(kernel, id);
	}
	if (fort_btf_parse(data, bytes, NULL, &btf, &error)) {
		FUZZ_ASSERT(error.what[0] && error.offset <= bytes);
	} else {
		FUZZ_ASSERT(kernel);
		FUZZ_ASSERT(fort_btf_check_objects(btf, kernel) <= 0);
		for (uint32_t id = 0; id < fort_btf_count(btf); id++)
			look_at(btf, kernel, id);
	}
	fort_btf_free(btf);
	fort_btf_free(kernel);
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
