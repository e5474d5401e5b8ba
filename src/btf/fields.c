/* The search for special fields: through structs and arrays, with a stack of its own. */
#include "btf/fields.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "btf/index.h"

#define BIT(type)    (1ull << BPF_MAP_TYPE_##type)
#define HASH         BIT(HASH)
#define ARRAY        BIT(ARRAY)
#define LRU_HASH     BIT(LRU_HASH)
#define ANY_HASH     (HASH | LRU_HASH | BIT(PERCPU_HASH) | BIT(LRU_PERCPU_HASH))
#define ANY_ARRAY    (ARRAY | BIT(PERCPU_ARRAY))
#define TASK_STORAGE BIT(TASK_STORAGE)
#define STORAGES                                               \
	(TASK_STORAGE | BIT(SK_STORAGE) | BIT(INODE_STORAGE) | \
	 1ull << FORT_BPF_MAP_TYPE_CGRP_STORAGE)
#define CGROUP_STORAGE BIT(CGROUP_STORAGE)

const struct fort_btf_field_info fort_btf_field_infos[FORT_FIELD_KINDS] = {
#define FORT_FIELD(id, name_, bytes_, align_, rules_, maps_) \
	[FORT_FIELD_##id] = {(name_), (bytes_), (align_), (rules_), (maps_)},
#include "btf/fields.def"
};

bool fort_btf_field_rule(uint8_t kind, char rule)
{
	return kind < FORT_FIELD_KINDS && strchr(fort_btf_field_infos[kind].rules, rule);
}

/* A struct or section that is being looked through. */
struct level {
	struct fort_btf_type type;
	uint32_t next;   /* member or variable */
	uint32_t offset; /* of the whole value */
	uint32_t count;  /* so many of them in a row */
	uint32_t first;  /* the fields of this level start here */
};

struct search {
	const struct fort_btf *btf;
	struct fort_btf_field *fields;
	uint32_t n_fields;
	char use;
	uint32_t *budget;
	uint32_t seen; /* bits: kinds that there may be one of, in the whole value */
	struct level levels[FORT_BTF_DEPTH_MAX];
	uint32_t depth;
};

/* Something that may be a field, or hold some. */
struct place {
	uint32_t type;     /* id */
	uint32_t offset;   /* in its struct or section */
	uint32_t bytes;    /* what a section says of its size; 0: nothing */
	uint32_t tagged;   /* whose tags are its own: the struct, or the variable */
	int32_t component; /* and which component of it */
};

int fort_btf_find_pointer(const struct fort_btf *btf, uint32_t id, char use,
			  struct fort_btf_field *out)
{
	struct fort_btf_type type = fort_btf_type(btf, id), tag, target;
	uint8_t kind = 0;

	if (type.kind == FORT_BTF_VOLATILE)
		type = fort_btf_type(btf, type.ref);
	if (type.kind != FORT_BTF_PTR)
		return 0;
	tag = fort_btf_type(btf, type.ref);
	if (tag.kind != FORT_BTF_TYPE_TAG || tag.kflag)
		return 0;
	if (fort_btf_type(btf, tag.ref).kind == FORT_BTF_TYPE_TAG)
		return -EINVAL;
	while (kind < FORT_FIELD_KINDS &&
	       (!fort_btf_field_rule(kind, 'P') ||
		strcmp(fort_btf_field_infos[kind].name, fort_btf_string(btf, tag.name)) != 0))
		kind++;
	if (kind == FORT_FIELD_KINDS)
		return -EINVAL;
	if (!fort_btf_field_rule(kind, use))
		return 0;
	target = fort_btf_strip(btf, tag.ref);
	if (target.kind != FORT_BTF_STRUCT)
		return -EINVAL;
	out->kind = kind;
	out->type = target.id;
	return 1;
}

/* A tag "contains:<struct>:<member>" says what a list or tree holds. */
static int find_contained(const struct search *search, const struct place *place,
			  struct fort_btf_field *out)
{
	static const char prefix[] = "contains:";
	char name[FORT_BTF_SYMBOL_BYTES + 1];
	uint32_t tag = fort_btf_next_tag(search->btf, place->tagged, place->component, prefix, 0);
	const char *text, *colon;
	uint32_t text_offset;

	if (!tag || fort_btf_next_tag(search->btf, place->tagged, place->component, prefix, tag))
		return -EINVAL;
	text_offset = fort_btf_type(search->btf, tag).name + (uint32_t)strlen(prefix);
	text = fort_btf_string(search->btf, text_offset);
	colon = strchr(text, ':');
	if (!colon)
		return -EINVAL;
	if ((size_t)(colon - text) >= sizeof(name))
		return -ENOENT; /* no type has such a name */
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = 0;
	out->type = fort_btf_find(search->btf, name, FORT_BTF_STRUCT);
	if (!out->type)
		return -ENOENT;
	out->node_offset = text_offset + (uint32_t)(colon + 1 - text);
	return colon[1] ? 1 : -EINVAL;
}

/* By the name of its type; FORT_FIELD_KINDS: nothing special; or -E2BIG: a second one. */
static int kind_by_name(struct search *search, const struct fort_btf_type *type)
{
	const char *name = fort_btf_string(search->btf, type->name);

	if (strncmp(name, "bpf_", 4) != 0) /* as all of them start */
		return FORT_FIELD_KINDS;
	for (uint8_t kind = 0; kind < FORT_FIELD_KINDS; kind++) {
		if (fort_btf_field_rule(kind, 'P') || !fort_btf_field_rule(kind, search->use) ||
		    strcmp(fort_btf_field_infos[kind].name, name) != 0)
			continue;
		if (fort_btf_field_rule(kind, 'U')) {
			if (search->seen >> kind & 1)
				return -E2BIG;
			search->seen |= 1u << kind;
		}
		return kind;
	}
	return FORT_FIELD_KINDS;
}

/* Fields [first, n_fields) are those of one element; there are `count` elements. */
static int repeat(struct search *search, uint32_t first, uint32_t count, uint32_t bytes)
{
	uint32_t n = search->n_fields - first;

	if (count <= 1 || !n)
		return 0;
	for (uint32_t i = first; i < search->n_fields; i++)
		if (!fort_btf_field_rule(search->fields[i].kind, 'R'))
			return -EINVAL;
	if ((uint64_t)n * count > FORT_BTF_FIELDS_MAX - first)
		return -E2BIG;
	for (uint32_t i = n; i < n * count; i++) {
		struct fort_btf_field *field = &search->fields[first + i];

		*field = search->fields[first + i % n];
		field->offset += i / n * bytes;
		search->n_fields++;
	}
	return 0;
}

static int add_field(struct search *search, const struct place *place,
		     const struct fort_btf_type *type, int kind, uint32_t count)
{
	const struct level *level = &search->levels[search->depth - 1];
	struct fort_btf_field field = {.offset = level->offset + place->offset};
	bool by_name = kind != FORT_FIELD_KINDS;
	uint32_t bytes = by_name ? fort_btf_field_infos[kind].bytes : 8, first = search->n_fields;
	int found = 1;

	if (place->bytes && place->bytes != bytes * count)
		return 0;
	/* K: in its own struct, wherever that is */
	if (place->offset % (by_name ? fort_btf_field_infos[kind].align : 8))
		return 0;
	if (by_name && (type->kind != FORT_BTF_STRUCT || type->size != bytes))
		return 0;
	field.kind = (uint8_t)kind;
	field.bytes = (uint16_t)bytes;
	if (!by_name)
		found = fort_btf_find_pointer(search->btf, type->id, search->use, &field);
	else if (fort_btf_field_rule(field.kind, 'C'))
		found = find_contained(search, place, &field);
	if (found <= 0)
		return found;
	if (search->n_fields == FORT_BTF_FIELDS_MAX)
		return -E2BIG;
	search->fields[search->n_fields++] = field;
	return repeat(search, first, count, bytes);
}

static int enter(struct search *search, const struct fort_btf_type *type, uint32_t offset,
		 uint32_t count)
{
	if (search->depth == FORT_BTF_DEPTH_MAX)
		return -E2BIG;
	search->levels[search->depth++] = (struct level){
		.type = *type,
		.offset = offset,
		.count = count,
		.first = search->n_fields,
	};
	return 0;
}

static int look(struct search *search, const struct place *place)
{
	struct level *level = &search->levels[search->depth - 1];
	struct fort_btf_type type = fort_btf_type(search->btf, place->type);
	uint32_t count = 1, depth = 0;
	int kind;

	for (; depth < FORT_BTF_DEPTH_MAX && type.kind == FORT_BTF_ARRAY; depth++) {
		struct fort_btf_array array = fort_btf_array(&type);

		count *= array.count;
		type = fort_btf_type(search->btf, array.element);
	}
	if (depth == FORT_BTF_DEPTH_MAX)
		return -E2BIG;
	if (!count)
		return 0;
	kind = kind_by_name(search, &type);
	if (kind < 0)
		return kind;
	if (kind != FORT_FIELD_KINDS || type.kind != FORT_BTF_STRUCT)
		return add_field(search, place, &type, kind, count);
	if (place->bytes && place->bytes != type.size * count)
		return 0;
	return enter(search, &type, level->offset + place->offset, count);
}

/* The next variable of a section. */
static int next_var(const struct search *search, struct level *level, struct place *out)
{
	struct fort_btf_section_var var = fort_btf_section_var(&level->type, level->next++);

	*out = (struct place){
		.type = fort_btf_type(search->btf, var.type).ref,
		.offset = var.offset,
		.bytes = var.size,
		.tagged = var.type,
		.component = -1,
	};
	return 0;
}

static int next_member(struct level *level, struct place *out)
{
	struct fort_btf_member member = fort_btf_member(&level->type, level->next);

	*out = (struct place){
		.type = member.type,
		.offset = member.bit_offset / 8,
		.tagged = level->type.id,
		.component = (int32_t)level->next++,
	};
	return member.bit_offset % 8 ? -EINVAL : 0;
}

int fort_btf_find_fields(const struct fort_btf *btf, uint32_t id, char use,
			 struct fort_btf_field fields[FORT_BTF_FIELDS_MAX], uint32_t *budget)
{
	struct search search = {.btf = btf, .fields = fields, .use = use, .budget = budget};
	struct fort_btf_type type = fort_btf_type(btf, id);
	int err = enter(&search, &type, 0, 1);

	if (type.kind != FORT_BTF_STRUCT && type.kind != FORT_BTF_DATASEC)
		return -EINVAL;
	while (!err && search.depth) {
		struct level *level = &search.levels[search.depth - 1];
		struct place place;

		if (level->next == level->type.vlen) {
			search.depth--;
			err = repeat(&search, level->first, level->count, level->type.size);
			continue;
		}
		if (!(*budget)--)
			return -E2BIG;
		err = level->type.kind == FORT_BTF_DATASEC ? next_var(&search, level, &place)
							   : next_member(level, &place);
		if (!err)
			err = look(&search, &place);
	}
	return err ? err : (int)search.n_fields;
}
