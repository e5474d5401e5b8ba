#include "btf/proto.h"

#include <errno.h>
#include <string.h>

#define VALUE_BYTES_MAX 16 /* K: in registers */
#define NUMBER_LEVELS   4  /* K: __btf_type_is_scalar_struct */

bool fort_btf_has_suffix(const struct fort_btf *btf, uint32_t name, const char *suffix)
{
	const char *text = fort_btf_string(btf, name);
	size_t length = text ? strlen(text) : 0, suffix_length = strlen(suffix);

	return length > suffix_length && !strcmp(text + length - suffix_length, suffix);
}

static uint32_t suffixes_of(const struct fort_btf *btf, uint32_t name)
{
	static const char *const texts[] = {
#define FORT_SUFFIX(id, text) text,
#include "btf/suffixes.def"
	};
	uint32_t found = 0;

	for (unsigned i = 0; i < FORT_LEN(texts); i++)
		if (fort_btf_has_suffix(btf, name, texts[i]))
			found |= 1u << i;
	return found;
}

static uint8_t pointee_of(const struct fort_btf *btf, const struct fort_btf_type *type)
{
	static const char prefix[] = "bpf_iter_";
	static const char *const names[] = {
#define FORT_POINTEE(id, name) name,
#include "btf/pointees.def"
	};
	const char *name = fort_btf_string(btf, type->name);

	if (type->kind != FORT_BTF_STRUCT || !name)
		return FORT_POINTEE_PLAIN;
	for (unsigned i = 0; i < FORT_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return (uint8_t)(FORT_POINTEE_PLAIN + 1 + i);
	return strncmp(name, prefix, strlen(prefix)) ? FORT_POINTEE_PLAIN : FORT_POINTEE_ITERATOR;
}

static void read_pointer(const struct fort_btf *btf, const struct fort_btf_type *pointer,
			 struct fort_btf_value *out)
{
	struct fort_btf_type target = fort_btf_strip(btf, pointer->ref);

	out->bytes = 8;
	out->type = target.id;
	out->target = target.kind;
	out->pointee = pointee_of(btf, &target);
	out->traits = fort_btf_pointer_traits(btf, pointer);
	if (fort_btf_size(btf, target.id, &out->target_bytes))
		out->target_bytes = 0;
}

/* False when values of this type cannot be passed; out->kind says what it is. */
static bool read_value(const struct fort_btf *btf, uint32_t id, struct fort_btf_value *out)
{
	struct fort_btf_type type = fort_btf_strip(btf, id);

	*out = (struct fort_btf_value){.kind = type.kind, .type = type.id};
	switch (type.kind) {
	case FORT_BTF_VOID: return !id; /* K: a void with a modifier is none */
	case FORT_BTF_PTR: read_pointer(btf, &type, out); return true;
	case FORT_BTF_INT:
		out->is_signed = fort_btf_int(&type).encoding & FORT_BTF_SIGNED;
		out->bytes = type.size;
		return true;
	case FORT_BTF_ENUM:
	case FORT_BTF_ENUM64:
		out->is_signed = type.kflag;
		out->bytes = type.size;
		return true;
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION: out->bytes = type.size; return true;
	default: return false;
	}
}

static int read_params(const struct fort_btf *btf, const struct fort_btf_type *proto,
		       struct fort_btf_proto *out, struct fort_btf_remark *remark)
{
	for (uint32_t i = 0; i < proto->vlen; i++) {
		struct fort_btf_param param = fort_btf_param(proto, i);
		struct fort_btf_value *value = &out->params[i].value;
		bool known = read_value(btf, param.type, value);

		if (!param.type && i == proto->vlen - 1u)
			return FORT_BTF_SAY(remark, btf, VARIABLE_PARAMS, out->name);
		if (!known || value->bytes > VALUE_BYTES_MAX)
			return FORT_BTF_SAY(remark, btf, PARAM_UNSUPPORTED, out->name, i,
					    value->kind);
		if (!value->bytes)
			return FORT_BTF_SAY(remark, btf, VOID_PARAM, out->name);
		out->params[i].name = param.name;
		out->params[i].suffixes = suffixes_of(btf, param.name);
	}
	out->n_params = proto->vlen;
	return 0;
}

int fort_btf_read_proto(const struct fort_btf *btf, uint32_t id, struct fort_btf_proto *out,
			struct fort_btf_remark *remark)
{
	struct fort_btf_type proto = fort_btf_type(btf, id);
	struct fort_btf_proto read = {0};
	bool known;
	int err;

	*remark = (struct fort_btf_remark){0};
	if (proto.kind == FORT_BTF_FUNC) {
		read.name = proto.name;
		proto = fort_btf_type(btf, proto.ref);
	}
	if (proto.kind != FORT_BTF_FUNC_PROTO)
		return -EINVAL;
	if (proto.vlen > FORT_BTF_ARGS_MAX)
		return FORT_BTF_SAY(remark, btf, TOO_MANY_PARAMS, read.name, proto.vlen);
	known = read_value(btf, proto.ref, &read.result);
	if (!known || fort_btf_is_struct(read.result.kind))
		return FORT_BTF_SAY(remark, btf, RESULT_UNSUPPORTED, read.name, read.result.kind);
	err = read_params(btf, &proto, &read, remark);
	if (!err)
		*out = read;
	return err;
}

static bool is_number(uint8_t kind)
{
	return kind == FORT_BTF_INT || kind == FORT_BTF_ENUM || kind == FORT_BTF_ENUM64;
}

/* A struct that is being looked through. */
struct level {
	struct fort_btf_type type;
	uint32_t next;
};

enum fort_btf_contents fort_btf_contents_of(const struct fort_btf *btf, uint32_t id)
{
	struct level levels[NUMBER_LEVELS] = {{.type = fort_btf_strip(btf, id)}};
	uint32_t depth = 0, seen = 0;

	if (!fort_btf_is_struct(levels[0].type.kind))
		return FORT_CONTENTS_OTHER;
	for (;;) {
		struct level *level = &levels[depth];
		struct fort_btf_type type;

		if (level->next == level->type.vlen) {
			if (!depth--)
				return FORT_CONTENTS_NUMBERS;
			continue;
		}
		type = fort_btf_strip(btf, fort_btf_member(&level->type, level->next++).type);
		if (++seen > FORT_BTF_WALK_MAX)
			return FORT_CONTENTS_OTHER;
		if (fort_btf_is_struct(type.kind)) {
			if (depth + 1 == NUMBER_LEVELS)
				return FORT_CONTENTS_TOO_DEEP;
			levels[++depth] = (struct level){.type = type};
			continue;
		}
		if (type.kind == FORT_BTF_ARRAY) {
			struct fort_btf_array array = fort_btf_array(&type);

			if (!array.count)
				return FORT_CONTENTS_OTHER;
			type = fort_btf_strip(btf, array.element);
		}
		if (!is_number(type.kind))
			return FORT_CONTENTS_OTHER;
	}
}
