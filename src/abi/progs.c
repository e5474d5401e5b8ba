#include "abi/progs.h"

#include <string.h>

#include "abi/words.h"

static const struct fort_ctx_field fields_sk_buff[] = {
#define FORT_FIELD(name_, offset_, bytes_, read_, readers_, write_, writers_, yields_, image_)    \
	{#name_,   offset_,  bytes_, FORT_RULE_##read_, FORT_RULE_##write_, FORT_YIELD_##yields_, \
	 readers_, writers_, image_},
#include "abi/ctx/sk_buff.def"
};

static const struct fort_ctx_field fields_xdp_md[] = {
#define FORT_FIELD(name_, offset_, bytes_, read_, readers_, write_, writers_, yields_, image_)    \
	{#name_,   offset_,  bytes_, FORT_RULE_##read_, FORT_RULE_##write_, FORT_YIELD_##yields_, \
	 readers_, writers_, image_},
#include "abi/ctx/xdp_md.def"
};

#define FORT_PLAIN(name_, offset_, bytes_, read_, readers_, write_, writers_)    \
	static const struct fort_ctx_field fields_##name_[] = {                  \
		{#name_, offset_, bytes_, FORT_RULE_##read_, FORT_RULE_##write_, \
		 FORT_YIELD_SCALAR, readers_, writers_, offset_}};
#include "abi/ctx/plain.def"

static const struct fort_ctx_field fields_none[1];

const struct fort_prog_info fort_progs[FORT_PROGS] = {
#define FORT_PROG(id_, number_, bit_, name_, ctx_, ctx_bytes_, image_, packet_, sleep_, attach_, \
		  target_, run_)                                                                 \
	[FORT_PROG_##id_] = {.name = (name_),                                                    \
			     .number = (number_),                                                \
			     .bit = FORT_BIT_##bit_,                                             \
			     .ctx_bytes = (ctx_bytes_),                                          \
			     .image_bytes = (image_),                                            \
			     .packet = FORT_PACKET_##packet_,                                    \
			     .sleepable = FORT_SLEEP_##sleep_,                                   \
			     .attach = FORT_ATTACH_IS_##attach_,                                 \
			     .target = FORT_TARGET_##target_,                                    \
			     .runs = FORT_##run_,                                                \
			     .fields = fields_##ctx_,                                            \
			     .n_fields = FORT_LEN(fields_##ctx_)},
#include "abi/progs.def"
};

const struct fort_prog_info *fort_prog_by_number(uint32_t number)
{
	for (unsigned i = 0; i < FORT_PROGS; i++)
		if (fort_progs[i].number == number)
			return &fort_progs[i];
	return NULL;
}

const struct fort_prog_info *fort_prog_runs(uint32_t number)
{
	const struct fort_prog_info *info = fort_prog_by_number(number);

	return info && info->runs ? info : NULL;
}

const struct fort_prog_info *fort_prog_by_name(const char *name)
{
	for (unsigned i = 0; i < FORT_PROGS; i++)
		if (!strcmp(fort_progs[i].name, name))
			return &fort_progs[i];
	return NULL;
}

const struct fort_ctx_field *fort_ctx_field_at(const struct fort_prog_info *prog, int64_t offset)
{
	for (uint32_t i = 0; i < prog->n_fields; i++) {
		const struct fort_ctx_field *field = &prog->fields[i];

		if (offset >= field->offset && offset < (int64_t)field->offset + field->bytes)
			return field;
	}
	return NULL;
}

static bool rule_allows(enum fort_access_rule rule, const struct fort_ctx_field *field,
			uint32_t from, uint32_t bytes)
{
	switch (rule) {
	case FORT_RULE_EXACT: return !from && bytes == field->bytes;
	case FORT_RULE_U64: return !from && bytes == 8;
	case FORT_RULE_NARROW:
	case FORT_RULE_SPAN: return true;
	default: return false;
	}
}

const struct fort_ctx_field *fort_ctx_access(const struct fort_prog_info *prog, int64_t offset,
					     uint32_t bytes, bool write, bool sign_extends)
{
	const struct fort_ctx_field *field = fort_ctx_field_at(prog, offset);

	if (!field || offset % bytes || offset + bytes > (int64_t)field->offset + field->bytes)
		return NULL;
	if (!((write ? field->writers : field->readers) & prog->bit))
		return NULL;
	if (sign_extends && field->yields != FORT_YIELD_SCALAR)
		return NULL;
	if (!rule_allows(write ? field->write : field->read, field,
			 (uint32_t)offset - field->offset, bytes))
		return NULL;
	return field;
}
