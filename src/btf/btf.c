#include "btf/btf.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "btf/blob.h"

const struct fort_btf_kind_info fort_btf_kinds[FORT_BTF_KINDS] = {
#define FORT_BTF_KIND(id, number, name_, fixed_, item_, rules_) \
	[number] = {.name = (name_),                            \
		    .fixed_bytes = (fixed_),                    \
		    .item_bytes = (item_),                      \
		    .rules = (rules_)},
#include "btf/kinds.def"
};

const char *fort_btf_kind_name(uint8_t kind)
{
	return kind && kind < FORT_BTF_KINDS ? fort_btf_kinds[kind].name : "UNKNOWN";
}

const void *fort_btf_data(const struct fort_btf *btf, size_t *bytes)
{
	*bytes = btf->bytes;
	return btf->data;
}

uint32_t fort_btf_count(const struct fort_btf *btf)
{
	return btf->n_types;
}

struct fort_btf_type fort_btf_header_at(const uint8_t *at, uint32_t id)
{
	uint32_t info = fort_btf_word(at + 4);

	return (struct fort_btf_type){
		.id = id,
		.name = fort_btf_word(at),
		.kind = info >> 24 & 0x1f,
		.kflag = info >> 31,
		.vlen = (uint16_t)info,
		.size = fort_btf_word(at + 8),
		.more = at + FORT_BTF_HEADER_BYTES,
	};
}

struct fort_btf_type fort_btf_type(const struct fort_btf *btf, uint32_t id)
{
	if (!id || id >= btf->n_types)
		return (struct fort_btf_type){.id = id, .kind = id ? FORT_BTF_NONE : FORT_BTF_VOID};
	return fort_btf_header_at(btf->types + btf->offsets[id], id);
}

struct fort_btf_int fort_btf_int(const struct fort_btf_type *type)
{
	uint32_t word = fort_btf_word(type->more);

	return (struct fort_btf_int){
		.encoding = word >> 24 & 0x0f,
		.bit_offset = (uint8_t)(word >> 16),
		.bits = (uint8_t)word,
	};
}

bool fort_btf_int_is_regular(const struct fort_btf_type *type)
{
	struct fort_btf_int number = fort_btf_int(type);

	return !number.bit_offset && (number.bits == 8 || number.bits == 16 || number.bits == 32 ||
				      number.bits == 64 || number.bits == 128);
}

struct fort_btf_array fort_btf_array(const struct fort_btf_type *type)
{
	return (struct fort_btf_array){
		.element = fort_btf_word(type->more),
		.index = fort_btf_word(type->more + 4),
		.count = fort_btf_word(type->more + 8),
	};
}

struct fort_btf_member fort_btf_member(const struct fort_btf_type *type, uint32_t index)
{
	const uint8_t *at = type->more + index * 12;
	uint32_t raw = fort_btf_word(at + 8);

	return (struct fort_btf_member){
		.name = fort_btf_word(at),
		.type = fort_btf_word(at + 4),
		.raw = raw,
		.bit_offset = type->kflag ? raw & 0xffffff : raw,
		.bit_size = type->kflag ? raw >> 24 : 0,
	};
}

struct fort_btf_constant fort_btf_constant(const struct fort_btf_type *type, uint32_t index)
{
	const uint8_t *at = type->more + index * fort_btf_kinds[type->kind].item_bytes;
	uint32_t low = fort_btf_word(at + 4);
	uint64_t value;

	if (type->kind == FORT_BTF_ENUM64)
		value = (uint64_t)fort_btf_word(at + 8) << 32 | low;
	else
		value = type->kflag ? (uint64_t)(int32_t)low : low;
	return (struct fort_btf_constant){.name = fort_btf_word(at), .value = value};
}

struct fort_btf_param fort_btf_param(const struct fort_btf_type *type, uint32_t index)
{
	const uint8_t *at = type->more + index * 8;

	return (struct fort_btf_param){.name = fort_btf_word(at), .type = fort_btf_word(at + 4)};
}

struct fort_btf_section_var fort_btf_section_var(const struct fort_btf_type *type, uint32_t index)
{
	const uint8_t *at = type->more + index * 12;

	return (struct fort_btf_section_var){
		.type = fort_btf_word(at),
		.offset = fort_btf_word(at + 4),
		.size = fort_btf_word(at + 8),
	};
}

uint32_t fort_btf_linkage(const struct fort_btf_type *type)
{
	return type->kind == FORT_BTF_FUNC ? type->vlen : fort_btf_word(type->more);
}

int32_t fort_btf_component(const struct fort_btf_type *type)
{
	return (int32_t)fort_btf_word(type->more);
}

const char *fort_btf_string(const struct fort_btf *btf, uint32_t offset)
{
	return offset < btf->strings_bytes ? btf->strings + offset : NULL;
}

/* K: only the first tag counts; one with the flag is an attribute of another sort (6.14). */
uint8_t fort_btf_pointer_traits(const struct fort_btf *btf, const struct fort_btf_type *pointer)
{
	struct fort_btf_type tag = fort_btf_type(btf, pointer->ref);
	const char *text = fort_btf_string(btf, tag.name);

	if (tag.kind != FORT_BTF_TYPE_TAG || tag.kflag || !text)
		return 0;
	if (!strcmp(text, "user"))
		return FORT_TRAIT_USER;
	if (!strcmp(text, "percpu"))
		return FORT_TRAIT_PERCPU;
	return !strcmp(text, "rcu") ? FORT_TRAIT_RCU : 0;
}

struct fort_btf_type fort_btf_strip(const struct fort_btf *btf, uint32_t id)
{
	struct fort_btf_type type = fort_btf_type(btf, id);

	return fort_btf_is_modifier(type.kind) ? fort_btf_type(btf, btf->resolved_ids[id]) : type;
}

/* Size of an array of a kernel's BTF. The elements of arrays may be arrays; nothing says that this
 * ends.
 */
static bool array_bytes(const struct fort_btf *btf, struct fort_btf_type type, uint32_t *bytes)
{
	uint64_t count = 1, size;

	for (uint32_t depth = 0; type.kind == FORT_BTF_ARRAY; depth++) {
		struct fort_btf_array array = fort_btf_array(&type);

		count *= array.count;
		if (depth == FORT_BTF_DEPTH_MAX || count > UINT32_MAX)
			return false;
		type = fort_btf_strip(btf, array.element);
	}
	switch (type.kind) {
	case FORT_BTF_PTR: size = 8; break;
	case FORT_BTF_INT:
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION:
	case FORT_BTF_ENUM:
	case FORT_BTF_ENUM64:
	case FORT_BTF_FLOAT: size = type.size; break;
	default: return false;
	}
	*bytes = (uint32_t)(size * count);
	return size * count <= UINT32_MAX;
}

struct fort_btf_type fort_btf_sized(const struct fort_btf *btf, uint32_t *id, uint32_t *bytes)
{
	struct fort_btf_type type = fort_btf_type(btf, *id);
	uint32_t size;

	if (fort_btf_is_modifier(type.kind) || type.kind == FORT_BTF_VAR)
		type = fort_btf_type(btf, btf->resolved_ids[type.id]);
	switch (type.kind) {
	case FORT_BTF_PTR: size = 8; break;
	case FORT_BTF_ARRAY:
		if (btf->resolved_sizes)
			size = btf->resolved_sizes[type.id];
		else if (!array_bytes(btf, type, &size))
			return (struct fort_btf_type){.kind = FORT_BTF_NONE};
		break;
	case FORT_BTF_INT:
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION:
	case FORT_BTF_ENUM:
	case FORT_BTF_ENUM64:
	case FORT_BTF_DATASEC:
	case FORT_BTF_FLOAT: size = type.size; break;
	default: return (struct fort_btf_type){.kind = FORT_BTF_NONE};
	}
	*id = type.id;
	if (bytes)
		*bytes = size;
	return type;
}

int fort_btf_size(const struct fort_btf *btf, uint32_t id, uint32_t *bytes)
{
	return fort_btf_sized(btf, &id, bytes).kind == FORT_BTF_NONE ? -EINVAL : 0;
}
