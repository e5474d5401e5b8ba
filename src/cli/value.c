#include "cli/value.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "btf/print.h"

void fort_types_open(const struct bpf_object *object, struct fort_types *out)
{
	const struct btf *btf = bpf_object__btf(object);
	struct fort_btf_error error;
	uint32_t bytes;
	const void *data = btf ? btf__raw_data(btf, &bytes) : NULL;

	const struct bpf_map *map;

	*out = (struct fort_types){0};
	bpf_object__for_each_map (map, object)
		if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF &&
		    out->n_rings < FORT_LEN(out->rings)) {
			out->rings[out->n_rings].map = map;
			out->rings[out->n_rings++].record = bpf_map__btf_value_type_id(map);
		}
	if (data && fort_btf_parse(data, bytes, NULL, &out->btf, &error))
		out->btf = NULL;
}

uint32_t fort_types_record(const struct fort_types *types, const struct bpf_map *map)
{
	for (uint32_t i = 0; i < types->n_rings; i++)
		if (types->rings[i].map == map)
			return types->rings[i].record;
	return 0;
}

void fort_types_close(struct fort_types *types)
{
	fort_btf_free(types->btf);
	types->btf = NULL;
}

static void add_hex(const void *data, size_t bytes, struct fort_text *out)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < bytes; i++)
		fort_text_add(out, i ? " %02x" : "%02x", at[i]);
}

void fort_value_print(const struct fort_types *types, uint32_t id, const void *data, size_t bytes,
		      struct fort_text *out)
{
	struct fort_text text = fort_text_new();

	if (types->btf && id && !fort_btf_print_text(types->btf, id, data, bytes, &text))
		fort_text_put(out, text.data ? text.data : "", text.length);
	else
		add_hex(data, bytes, out);
	fort_text_free(&text);
}

/* --- JSON --- */

/* What is open, outermost first; the last is filled. `key` is the name that comes next. */
struct builder {
	json_t *open[FORT_BTF_DEPTH_MAX + 1];
	uint32_t depth;
	char *key;
	json_t *root;
};

static int add(struct builder *b, json_t *value)
{
	json_t *parent = b->depth ? b->open[b->depth - 1] : NULL;
	int err = 0;

	if (!value)
		return -1;
	if (!parent)
		b->root = value;
	else if (json_is_array(parent))
		err = json_array_append_new(parent, value);
	else
		err = json_object_set_new(parent, b->key ? b->key : "", value);
	free(b->key);
	b->key = NULL;
	return err;
}

static int open_one(struct builder *b, json_t *value)
{
	int err = add(b, value);

	if (!err && b->depth < FORT_LEN(b->open))
		b->open[b->depth++] = value;
	return err;
}

static int open_struct(void *owner, const char *type)
{
	return open_one(owner, json_object());
}

static int open_array(void *owner, uint32_t count)
{
	return open_one(owner, json_array());
}

static int close_one(void *owner)
{
	struct builder *b = owner;

	b->depth -= b->depth > 0;
	return 0;
}

static int take_name(void *owner, const char *name)
{
	struct builder *b = owner;

	free(b->key);
	b->key = strdup(name);
	return b->key ? 0 : -1;
}

static int add_number(void *owner, int64_t value)
{
	return add(owner, json_integer(value));
}

static int add_unsigned(void *owner, uint64_t value)
{
	char text[24];

	if (value <= INT64_MAX)
		return add(owner, json_integer((json_int_t)value));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return add(owner, json_string(text)); /* JSON readers would round it */
}

static int add_wide(void *owner, uint64_t high, uint64_t low, bool is_signed)
{
	char text[40];

	snprintf(text, sizeof(text), "0x%016llx%016llx", (unsigned long long)high,
		 (unsigned long long)low);
	return add(owner, json_string(text));
}

static int add_boolean(void *owner, bool value)
{
	return add(owner, json_boolean(value));
}

static int add_character(void *owner, char value)
{
	char text[2] = {value};

	return add(owner, json_string(text));
}

static int add_string(void *owner, const char *text, size_t length)
{
	char *copy = strndup(text, length);
	int err = copy ? add(owner, fort_json_text(copy)) : -1;

	free(copy);
	return err;
}

static int add_constant(void *owner, const char *name, int64_t value)
{
	return add(owner, name && name[0] ? fort_json_text(name) : json_integer(value));
}

static int add_pointer(void *owner, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	return add(owner, json_string(text));
}

static int add_real(void *owner, double value)
{
	json_t *real = json_real(value);

	return add(owner, real ? real : json_null()); /* JSON has no infinity */
}

static int add_raw(void *owner, const uint8_t *bytes, size_t count)
{
	struct fort_text text = fort_text_new();
	int err;

	add_hex(bytes, count, &text);
	err = add(owner, json_string(text.data ? text.data : ""));
	fort_text_free(&text);
	return err;
}

static const struct fort_btf_emitter to_json = {
	.open_struct = open_struct,
	.close_struct = close_one,
	.open_array = open_array,
	.close_array = close_one,
	.name = take_name,
	.number = add_number,
	.unsigned_number = add_unsigned,
	.wide = add_wide,
	.boolean = add_boolean,
	.character = add_character,
	.string = add_string,
	.constant = add_constant,
	.pointer = add_pointer,
	.real = add_real,
	.raw = add_raw,
};

json_t *fort_value_json(const struct fort_types *types, uint32_t id, const void *data, size_t bytes)
{
	struct builder b = {0};
	int err = -1;

	if (types->btf && id)
		err = fort_btf_walk(types->btf, id, data, bytes, &to_json, &b);
	free(b.key);
	if (!err && b.root)
		return b.root;
	json_decref(b.root);
	b = (struct builder){0};
	return add_raw(&b, data, bytes) ? json_null() : b.root;
}

/* --- types --- */

bool fort_type_is_number(const struct fort_types *types, uint32_t id)
{
	uint32_t bytes;

	return types->btf && id && fort_btf_strip(types->btf, id).kind == FORT_BTF_INT &&
	       !fort_btf_size(types->btf, id, &bytes) && bytes <= 8;
}

const char *fort_type_alias(const struct fort_types *types, uint32_t id)
{
	struct fort_btf_type type;
	const char *name;

	if (!types->btf || !id)
		return "";
	type = fort_btf_type(types->btf, id);
	name = type.kind == FORT_BTF_TYPEDEF ? fort_btf_string(types->btf, type.name) : NULL;
	return name ? name : "";
}
