#include "abi/ctx.h"

#include "abi/words.h"

enum { SURE = 0, NULL_OK = 1, EVERY_PROG = UINT32_MAX };

const struct fort_ret_info fort_yields[FORT_YIELDS] = {
#define FORT_YIELD(id_, regtype_, null_, btf_) \
	[FORT_YIELD_##                         \
		id_] = {.regtype = FORT_REGTYPE_##regtype_, .null_ok = (null_), .btf = (btf_)},
#include "abi/ctx.def"
};

enum { HEAD, PARTS };

static const struct {
	uint8_t sizes, where;
} rules[] = {
#define FORT_RULE(id, sizes, where) [FORT_RULE_##id] = {(sizes), where},
#include "abi/ctx.def"
};

enum {
#define FORT_AT(id, ...) PLACE_##id,
#include "abi/ctx.def"
};

static const struct {
	uint64_t read, write;
} places[] = {
#define FORT_AT(id, read, write) [PLACE_##id] = {(read), (write)},
#include "abi/ctx.def"
};

/* --- the tables --- */

#define FORT_FIELD_AT(name_, offset_, bytes_, read_, readers_, write_, writers_, yields_, image_, \
		      at_)                                                                        \
	{.offset = (offset_),                                                                     \
	 .bytes = (bytes_),                                                                       \
	 .image = (image_),                                                                       \
	 .read = FORT_RULE_##read_,                                                               \
	 .write = FORT_RULE_##write_,                                                             \
	 .yields = FORT_YIELD_##yields_,                                                          \
	 .at = PLACE_##at_,                                                                       \
	 .readers = (readers_),                                                                   \
	 .writers = (writers_)},
#define FORT_FIELD(name, offset, bytes, read, readers, write, writers, yields, image) \
	FORT_FIELD_AT(name, offset, bytes, read, readers, write, writers, yields, image, EVERY)

/* struct bpf_sock is seen in three ways: here as a context. */
#define FORT_SOCK_FIELD(name, offset, bytes, read, behind, write, at) \
	FORT_FIELD_AT(name, offset, bytes, read, CSK, write, CSK, SCALAR, offset, at)

#define TABLE(id) static const struct fort_ctx_field fields_##id[] = {
#define END \
	}   \
	;
#include "abi/ctx/tables.inc"

#define FORT_PLAIN(name, offset, bytes, read, readers, write, writers, yields) \
	TABLE(name)                                                            \
	FORT_FIELD(name, offset, bytes, read, readers, write, writers, yields, offset) END
#include "abi/ctx/plain.def"

static const struct fort_ctx_field fields_none[1];

static const struct fort_ctx_field fields_full_sock[] = {
#undef FORT_SOCK_FIELD
#define FORT_SOCK_FIELD(name, offset, bytes, read, behind, write, at) \
	FORT_FIELD(name, offset, bytes, read, EVERY_PROG, NONE, 0, SCALAR, offset)
#include "abi/ctx/sock.def"
};

enum { FULL = 0, BOTH = EVERY_PROG };

static const struct fort_ctx_field fields_sock_common[] = {
#undef FORT_SOCK_FIELD
#define FORT_SOCK_FIELD(name, offset, bytes, read, behind, write, at) \
	FORT_FIELD(name, offset, bytes, read, behind, NONE, 0, SCALAR, offset)
#include "abi/ctx/sock.def"
};

const struct fort_ctx fort_ctxs[FORT_CTXS] = {
#define FORT_CTX(id, bytes, image_bytes) \
	[FORT_CTX_##id] = {fields_##id, FORT_LEN(fields_##id), (bytes), (image_bytes)},
#include "abi/ctx.def"
};

static const struct {
	const struct fort_ctx_field *fields;
	uint32_t n_fields;
} behind[FORT_REGTYPES] = {
#define FORT_BEHIND(regtype, table) \
	[FORT_REGTYPE_##regtype] = {fields_##table, FORT_LEN(fields_##table)},
#include "abi/ctx.def"
};

/* --- questions --- */

static bool rule_allows(enum fort_access_rule rule, const struct fort_ctx_field *field,
			int64_t offset, uint32_t bytes)
{
	if (rule == FORT_RULE_EXACT)
		return offset == field->offset && bytes == field->bytes;
	if (rules[rule].where == HEAD && offset != field->offset)
		return false;
	return rules[rule].sizes & bytes && (rule == FORT_RULE_ANY || !(offset % bytes));
}

static bool contains(const struct fort_ctx_field *field, int64_t offset, uint32_t bytes)
{
	return offset >= field->offset && offset + bytes <= (int64_t)field->offset + field->bytes;
}

static FORT_INLINE bool field_allows(const struct fort_ctx_field *field, uint32_t prog,
				     uint64_t attach, int64_t offset, uint32_t bytes, bool write)
{
	return contains(field, offset, bytes) && prog & (write ? field->writers : field->readers) &&
	       attach & (write ? places[field->at].write : places[field->at].read) &&
	       rule_allows(write ? field->write : field->read, field, offset, bytes);
}

const struct fort_ctx_field *fort_ctx_field_at(const struct fort_prog_info *prog, int64_t offset)
{
	const struct fort_ctx *ctx = prog->ctx;

	for (uint32_t i = 0; i < ctx->n_fields; i++)
		if (contains(&ctx->fields[i], offset, 1))
			return &ctx->fields[i];
	return NULL;
}

const struct fort_ctx_field *fort_ctx_access(const struct fort_hook *hook, int64_t offset,
					     uint32_t bytes, bool write, bool sign_extends)
{
	const struct fort_ctx *ctx = hook->prog->ctx;
	uint64_t attach = fort_attach_bit(hook);

	for (uint32_t i = 0; i < ctx->n_fields; i++) {
		const struct fort_ctx_field *field = &ctx->fields[i];

		if (sign_extends && field->yields != FORT_YIELD_SCALAR)
			continue;
		if (field_allows(field, hook->prog->bit, attach, offset, bytes, write))
			return field;
	}
	return NULL;
}

bool fort_behind_access(enum fort_regtype through, int64_t offset, uint32_t bytes, bool write)
{
	for (uint32_t i = 0; i < behind[through].n_fields; i++)
		if (field_allows(&behind[through].fields[i], UINT32_MAX, AT_EVERY, offset, bytes,
				 write))
			return true;
	return false;
}
