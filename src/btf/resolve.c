/* Second phase: what types refer to. A depth-first walk with a stack of its own finds what each
 * modifier, pointer, variable and array ends at, refuses cycles through values, and checks that
 * members fit their structs.
 *
 * The walk stops at structs when it comes from a pointer (struct list { struct list *next; } is
 * fine) and at pointers when it comes from a struct or array; the mode says which.
 */
#include <errno.h>

#include "base/limits.h"
#include "btf/blob.h"

enum mode { MODE_ANY, MODE_POINTER, MODE_AGGREGATE };
enum visit { UNSEEN, ON_STACK, RESOLVED };

struct vertex {
	struct fort_btf_type type;
	uint32_t next_member;
};

struct walk {
	struct fort_btf_check *check;
	struct fort_btf *btf;
	uint8_t *visits; /* enum visit, by type id */
	struct vertex stack[FORT_BTF_DEPTH_MAX];
	uint32_t depth;
	enum mode mode;
};

/* Kinds that refer to others, but that none but their own users may refer to. */
static bool is_source_only(uint8_t kind)
{
	return kind == FORT_BTF_VAR || kind == FORT_BTF_DECL_TAG || kind == FORT_BTF_DATASEC;
}

static bool needs_resolving(uint8_t kind)
{
	return fort_btf_is_modifier(kind) || kind == FORT_BTF_PTR || fort_btf_is_struct(kind) ||
	       kind == FORT_BTF_ARRAY || kind == FORT_BTF_FUNC || is_source_only(kind);
}

/* Does the walk stop at this kind? */
static bool is_sink(const struct walk *walk, uint8_t kind)
{
	if (walk->mode == MODE_ANY)
		return !needs_resolving(kind);
	if (fort_btf_is_modifier(kind))
		return false;
	if (walk->mode == MODE_POINTER)
		return kind != FORT_BTF_PTR;
	return kind != FORT_BTF_ARRAY && !fort_btf_is_struct(kind);
}

static bool must_visit(const struct walk *walk, const struct fort_btf_type *type)
{
	return !is_sink(walk, type->kind) && walk->visits[type->id] != RESOLVED;
}

static int push(struct walk *walk, const struct fort_btf_type *type)
{
	if (walk->depth == FORT_BTF_DEPTH_MAX)
		return -E2BIG;
	if (walk->visits[type->id] != UNSEEN)
		return -EEXIST;
	walk->visits[type->id] = ON_STACK;
	walk->stack[walk->depth++] = (struct vertex){.type = *type};
	if (walk->mode == MODE_ANY && type->kind == FORT_BTF_PTR)
		walk->mode = MODE_POINTER;
	else if (walk->mode == MODE_ANY &&
		 (fort_btf_is_struct(type->kind) || type->kind == FORT_BTF_ARRAY))
		walk->mode = MODE_AGGREGATE;
	return 0;
}

static int pop(struct walk *walk, uint32_t resolved_id, uint32_t resolved_size)
{
	uint32_t id = walk->stack[--walk->depth].type.id;

	walk->btf->resolved_ids[id] = resolved_id;
	walk->btf->resolved_sizes[id] = resolved_size;
	walk->visits[id] = RESOLVED;
	return 0;
}

static int refuse(struct walk *walk, const struct fort_btf_type *type, const char *what)
{
	fort_btf_say_type(walk->check, type, true, "%s", what);
	return -EINVAL;
}

/* What a resolved type ends at. */
static struct fort_btf_type end_of(const struct walk *walk, uint32_t id)
{
	return fort_btf_type(walk->btf, walk->btf->resolved_ids[id]);
}

/* A modifier that was resolved while the walk came from a struct may have stopped at a pointer:
 * from a pointer or variable the walk goes on there, or a cycle of pointers would be missed.
 */
static bool stopped_at_pointer(const struct walk *walk, const struct fort_btf_type *next,
			       struct fort_btf_type *pointer)
{
	if (!fort_btf_is_modifier(next->kind))
		return false;
	*pointer = end_of(walk, next->id);
	return pointer->kind == FORT_BTF_PTR && must_visit(walk, pointer);
}

static int resolve_ref(struct walk *walk, const struct fort_btf_type *type)
{
	struct fort_btf_type next = fort_btf_type(walk->btf, type->ref), pointer;
	uint32_t id = type->ref;

	if (next.kind == FORT_BTF_NONE || is_source_only(next.kind))
		return refuse(walk, type, "Invalid type_id");
	if (must_visit(walk, &next))
		return push(walk, &next);
	if ((type->kind == FORT_BTF_PTR || type->kind == FORT_BTF_VAR) &&
	    stopped_at_pointer(walk, &next, &pointer))
		return push(walk, &pointer);
	if (fort_btf_sized(walk->btf, &id, NULL).kind != FORT_BTF_NONE)
		return pop(walk, id, 0);
	if (type->kind == FORT_BTF_VAR)
		return refuse(walk, type, "Invalid type_id");
	if (walk->visits[id] == RESOLVED)
		next = end_of(walk, id);
	if (next.kind != FORT_BTF_VOID && next.kind != FORT_BTF_FWD &&
	    next.kind != FORT_BTF_FUNC_PROTO)
		return refuse(walk, type, "Invalid type_id");
	return pop(walk, next.id, 0);
}

static int resolve_array(struct walk *walk, const struct fort_btf_type *type)
{
	struct fort_btf_array array = fort_btf_array(type);
	struct fort_btf_type index = fort_btf_type(walk->btf, array.index);
	struct fort_btf_type element = fort_btf_type(walk->btf, array.element);
	uint32_t bytes;

	if (fort_btf_is_sizeless(index.kind) || is_source_only(index.kind))
		return refuse(walk, type, "Invalid index");
	if (must_visit(walk, &index))
		return push(walk, &index);
	index = fort_btf_sized(walk->btf, &array.index, NULL);
	if (index.kind != FORT_BTF_INT || !fort_btf_int_is_regular(&index))
		return refuse(walk, type, "Invalid index");

	if (fort_btf_is_sizeless(element.kind) || is_source_only(element.kind))
		return refuse(walk, type, "Invalid elem");
	if (must_visit(walk, &element))
		return push(walk, &element);
	element = fort_btf_sized(walk->btf, &array.element, &bytes);
	if (element.kind == FORT_BTF_NONE)
		return refuse(walk, type, "Invalid elem");
	if (element.kind == FORT_BTF_INT && !fort_btf_int_is_regular(&element))
		return refuse(walk, type, "Invalid array of int");
	if (array.count && bytes > UINT32_MAX / array.count)
		return refuse(walk, type, "Array size overflows U32_MAX");
	return pop(walk, array.element, bytes * array.count);
}

/* Bits [start, start + bits) of an integer member, read as whole bytes, must lie in the struct. */
static const char *broken_bits(const struct fort_btf_type *type, uint32_t start, uint32_t bits)
{
	uint32_t byte = start / 8, copied = bits + start % 8;

	if (copied > 128)
		return "nr_copy_bits exceeds 128";
	if (type->size < byte || type->size - byte < copied / 8 + !!(copied % 8))
		return "Member exceeds struct_size";
	return NULL;
}

static const char *broken_int(const struct fort_btf_type *type,
			      const struct fort_btf_member *member,
			      const struct fort_btf_type *member_type)
{
	struct fort_btf_int number = fort_btf_int(member_type);
	uint32_t bits = number.bits;

	if (!type->kflag) {
		if (UINT32_MAX - member->bit_offset < number.bit_offset)
			return "bits_offset exceeds U32_MAX";
		return broken_bits(type, member->bit_offset + number.bit_offset, bits);
	}
	if (!fort_btf_int_is_regular(member_type))
		return "Invalid member base type";
	if (!member->bit_size && member->bit_offset % 8)
		return "Invalid member offset";
	if (member->bit_size > bits)
		return "Invalid member bitfield_size";
	return broken_bits(type, member->bit_offset, member->bit_size ? member->bit_size : bits);
}

/* K: a bit field of an enum is measured against int, whatever the enum's size. */
static const char *broken_enum_bits(const struct fort_btf_type *type,
				    const struct fort_btf_member *member)
{
	uint32_t bits = member->bit_size ? member->bit_size : 32, end;

	if (!member->bit_size && member->bit_offset % 8)
		return "Member is not byte aligned";
	if (bits > 32)
		return "Invalid member bitfield_size";
	end = member->bit_offset + bits;
	return type->size < end / 8 + !!(end % 8) ? "Member exceeds struct_size" : NULL;
}

static const char *broken_float(const struct fort_btf_type *type,
				const struct fort_btf_member *member, uint32_t bytes)
{
	if (member->bit_offset % ((bytes < 8 ? bytes : 8) * 8))
		return "Member is not properly aligned";
	if ((uint64_t)member->bit_offset / 8 + bytes > type->size)
		return "Member exceeds struct_size";
	return NULL;
}

/* Why a member of this resolved type does not fit its struct, or NULL. */
static const char *broken_member(const struct fort_btf_type *type,
				 const struct fort_btf_member *member,
				 const struct fort_btf_type *member_type, uint32_t bytes)
{
	bool is_enum = member_type->kind == FORT_BTF_ENUM || member_type->kind == FORT_BTF_ENUM64;

	if (member_type->kind == FORT_BTF_INT)
		return broken_int(type, member, member_type);
	if (is_enum && type->kflag)
		return broken_enum_bits(type, member);
	if (member->bit_size)
		return "Invalid member bitfield_size";
	if (member_type->kind == FORT_BTF_FLOAT)
		return broken_float(type, member, bytes);
	if (member->bit_offset % 8)
		return "Member is not byte aligned";
	if (type->size - member->bit_offset / 8 < bytes)
		return "Member exceeds struct_size";
	return NULL;
}

static int check_member(struct walk *walk, const struct fort_btf_type *type,
			struct fort_btf_member member)
{
	struct fort_btf_type named = fort_btf_type(walk->btf, member.type), member_type;
	const char *what = "Invalid member";
	uint32_t bytes = 0;

	member_type = fort_btf_sized(walk->btf, &member.type, &bytes);
	if (member_type.kind != FORT_BTF_NONE)
		what = broken_member(type, &member, &member_type, bytes);
	else if (!fort_btf_is_modifier(named.kind))
		return refuse(walk, type, "Unsupported check_member");
	if (!what)
		return 0;
	fort_btf_say_member(walk->check, type, &member, "%s", what);
	return -EINVAL;
}

static int resolve_struct(struct walk *walk, struct vertex *vertex)
{
	struct fort_btf_type type = vertex->type;
	int err = 0;

	/* The member for which the walk went down is resolved now. */
	if (vertex->next_member)
		err = check_member(walk, &type, fort_btf_member(&type, vertex->next_member - 1));
	for (uint32_t i = vertex->next_member; !err && i < type.vlen; i++) {
		struct fort_btf_member member = fort_btf_member(&type, i);
		struct fort_btf_type member_type = fort_btf_type(walk->btf, member.type);

		if (fort_btf_is_sizeless(member_type.kind) || is_source_only(member_type.kind)) {
			fort_btf_say_member(walk->check, &type, &member, "Invalid member");
			return -EINVAL;
		}
		if (must_visit(walk, &member_type)) {
			vertex->next_member = i + 1;
			return push(walk, &member_type);
		}
		err = check_member(walk, &type, member);
	}
	return err ? err : pop(walk, 0, 0);
}

static int resolve_section(struct walk *walk, struct vertex *vertex)
{
	struct fort_btf_type type = vertex->type;

	walk->mode = MODE_ANY;
	for (uint32_t i = vertex->next_member; i < type.vlen; i++) {
		struct fort_btf_section_var var = fort_btf_section_var(&type, i);
		struct fort_btf_type var_type = fort_btf_type(walk->btf, var.type);
		const char *what = NULL;
		uint32_t id = var_type.ref, bytes = 0;

		if (var_type.kind == FORT_BTF_VAR && must_visit(walk, &var_type)) {
			vertex->next_member = i + 1;
			return push(walk, &var_type);
		}
		if (var_type.kind != FORT_BTF_VAR)
			what = "Not a VAR kind member";
		else if (fort_btf_sized(walk->btf, &id, &bytes).kind == FORT_BTF_NONE)
			what = "Invalid type";
		else if (var.size < bytes)
			what = "Invalid size";
		if (what) {
			fort_btf_say_section_var(walk->check, &type, &var, "%s", what);
			return -EINVAL;
		}
	}
	return pop(walk, 0, 0);
}

/* Functions are complete when their prototype names all parameters. */
static int resolve_func(struct walk *walk, const struct fort_btf_type *type)
{
	struct fort_btf_type proto = fort_btf_type(walk->btf, type->ref);

	if (proto.kind != FORT_BTF_FUNC_PROTO)
		return refuse(walk, type, "Invalid type_id");
	for (uint32_t i = 0; i < proto.vlen; i++) {
		struct fort_btf_param param = fort_btf_param(&proto, i);

		if (!param.name && param.type) {
			fort_btf_say_type(walk->check, type, true, "Invalid arg#%u", i + 1);
			return -EINVAL;
		}
	}
	return pop(walk, type->ref, 0);
}

static bool may_be_tagged(uint8_t kind)
{
	return kind == FORT_BTF_FUNC || fort_btf_is_struct(kind) || kind == FORT_BTF_VAR ||
	       kind == FORT_BTF_TYPEDEF;
}

static int resolve_decl_tag(struct walk *walk, const struct fort_btf_type *type)
{
	struct fort_btf_type target = fort_btf_type(walk->btf, type->ref);
	int32_t component = fort_btf_component(type);

	if (!may_be_tagged(target.kind))
		return refuse(walk, type, "Invalid type_id");
	if (must_visit(walk, &target))
		return push(walk, &target);
	if (component != -1) {
		if (target.kind == FORT_BTF_VAR || target.kind == FORT_BTF_TYPEDEF)
			return refuse(walk, type, "Invalid component_idx");
		if (target.kind == FORT_BTF_FUNC)
			target = fort_btf_type(walk->btf, target.ref);
		if ((uint32_t)component >= target.vlen)
			return refuse(walk, type, "Invalid component_idx");
	}
	return pop(walk, type->ref, 0);
}

static int step(struct walk *walk, struct vertex *vertex)
{
	switch (vertex->type.kind) {
	case FORT_BTF_ARRAY: return resolve_array(walk, &vertex->type);
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION: return resolve_struct(walk, vertex);
	case FORT_BTF_DATASEC: return resolve_section(walk, vertex);
	case FORT_BTF_FUNC: return resolve_func(walk, &vertex->type);
	case FORT_BTF_DECL_TAG: return resolve_decl_tag(walk, &vertex->type);
	default: return resolve_ref(walk, &vertex->type);
	}
}

/* What refers by one id ends at something that does not refer on. */
static bool ends_well(const struct walk *walk, const struct fort_btf_type *type)
{
	struct fort_btf_type end;

	if (!fort_btf_is_modifier(type->kind) && type->kind != FORT_BTF_PTR &&
	    type->kind != FORT_BTF_VAR)
		return true;
	end = end_of(walk, type->id);
	return !fort_btf_is_modifier(end.kind) && end.kind != FORT_BTF_VAR &&
	       end.kind != FORT_BTF_DATASEC;
}

static int resolve(struct walk *walk, const struct fort_btf_type *type)
{
	uint32_t in_whose_name = walk->check->type_id;
	int err;

	walk->mode = MODE_ANY;
	walk->depth = 0;
	err = push(walk, type);
	while (!err && walk->depth) {
		struct vertex *top = &walk->stack[walk->depth - 1];

		walk->check->type_id = top->type.id;
		err = step(walk, top);
	}
	walk->check->type_id = type->id;
	if (err == -E2BIG)
		fort_btf_say_type(walk->check, type, true, "Exceeded max resolving depth:%u",
				  FORT_BTF_DEPTH_MAX);
	else if (err == -EEXIST)
		fort_btf_say_type(walk->check, type, true, "Loop detected");
	else if (!err && !ends_well(walk, type))
		err = refuse(walk, type, "Invalid resolve state");
	walk->check->type_id = in_whose_name;
	return err;
}

/* A parameter or return type: something with a size. */
static int check_value_type(struct walk *walk, uint32_t id, bool *good)
{
	struct fort_btf_type type = fort_btf_type(walk->btf, id);
	int err;

	*good = false;
	if (type.kind == FORT_BTF_NONE || is_source_only(type.kind))
		return 0;
	if (needs_resolving(type.kind) && walk->visits[id] != RESOLVED) {
		err = resolve(walk, &type);
		if (err)
			return err;
	}
	*good = fort_btf_sized(walk->btf, &id, NULL).kind != FORT_BTF_NONE;
	return 0;
}

static int refuse_param(struct walk *walk, const struct fort_btf_type *proto, uint32_t number)
{
	fort_btf_say_type(walk->check, proto, true, "Invalid arg#%u", number);
	return -EINVAL;
}

static bool param_name_ok(const struct fort_btf *btf, uint32_t name)
{
	return !name || fort_btf_name_ok(btf, name);
}

static int check_params(struct walk *walk, const struct fort_btf_type *proto)
{
	uint32_t count = proto->vlen;
	struct fort_btf_param last;

	if (!count)
		return 0;
	last = fort_btf_param(proto, count - 1);
	if (!last.type && last.name)
		return refuse_param(walk, proto, count);
	if (!last.type)
		count--;
	for (uint32_t i = 0; i < count; i++) {
		struct fort_btf_param param = fort_btf_param(proto, i);
		struct fort_btf_type type = fort_btf_type(walk->btf, param.type);
		bool good;
		int err;

		if (type.kind == FORT_BTF_NONE || is_source_only(type.kind) ||
		    !param_name_ok(walk->btf, param.name))
			return refuse_param(walk, proto, i + 1);
		err = check_value_type(walk, param.type, &good);
		if (err)
			return err;
		if (!good)
			return refuse_param(walk, proto, i + 1);
	}
	return 0;
}

static int check_proto(struct walk *walk, const struct fort_btf_type *proto)
{
	bool good = true;
	int err;

	if (proto->ref) {
		err = check_value_type(walk, proto->ref, &good);
		if (err)
			return err;
		if (!good)
			return refuse(walk, proto, "Invalid return type");
	}
	return check_params(walk, proto);
}

static int check_all(struct walk *walk)
{
	int err = 0;

	for (uint32_t id = 1; !err && id < walk->btf->n_types; id++) {
		struct fort_btf_type type = fort_btf_type(walk->btf, id);

		walk->check->type_id = id;
		if (needs_resolving(type.kind) && walk->visits[id] != RESOLVED)
			err = resolve(walk, &type);
		if (!err && type.kind == FORT_BTF_FUNC_PROTO)
			err = check_proto(walk, &type);
	}
	return err;
}

int fort_btf_check_types(struct fort_btf_check *check)
{
	struct fort_arena *arena = &check->btf->arena;
	struct fort_arena_mark mark = fort_arena_mark(arena);
	struct walk walk = {.check = check, .btf = check->btf};
	int err = -ENOMEM;

	check->metas = false;
	walk.visits = FORT_ARENA_ARRAY(arena, check->btf->n_types, uint8_t);
	if (walk.visits)
		err = check_all(&walk);
	fort_arena_rewind(arena, mark);
	return err;
}

static int refuse_tags(struct fort_btf_check *check, uint32_t id, const char *what, int err)
{
	const struct fort_btf *btf = check->btf;

	check->type_id = id;
	fort_btf_say(check, (uint32_t)(btf->types - btf->data) + btf->offsets[id], "%s", what);
	return err;
}

/* Type tags come before other modifiers, and no chain is longer than FORT_BTF_DEPTH_MAX. A chain
 * is followed only until it meets a type that was checked before. *end: where it ends.
 */
static int check_chain(struct fort_btf_check *check, struct fort_btf_type type, uint32_t good,
		       uint32_t *end)
{
	const struct fort_btf *btf = check->btf;
	bool in_tags = type.kind == FORT_BTF_TYPE_TAG;
	uint32_t id = type.id;

	for (uint32_t length = 0; fort_btf_is_modifier(type.kind); length++) {
		if (length == FORT_BTF_DEPTH_MAX)
			return refuse_tags(check, id, "Max chain length or cycle detected", -ELOOP);
		if (type.kind == FORT_BTF_TYPE_TAG && !in_tags)
			return refuse_tags(check, id, "Type tags don't precede modifiers", -EINVAL);
		in_tags = in_tags && type.kind == FORT_BTF_TYPE_TAG;
		if (type.id <= good) {
			*end = btf->resolved_ids[type.id];
			return 0;
		}
		type = fort_btf_type(btf, type.ref);
	}
	*end = type.id;
	return 0;
}

/* In a kernel's BTF, which is not resolved before, modifiers and variables are resolved here. */
int fort_btf_check_tags(struct fort_btf_check *check)
{
	const struct fort_btf *btf = check->btf;
	uint32_t good = 0, end;

	for (uint32_t id = 1; id < btf->n_types; id++) {
		struct fort_btf_type type = fort_btf_type(btf, id);
		int err;

		if (!fort_btf_is_modifier(type.kind))
			continue;
		err = check_chain(check, type, good, &end);
		if (err)
			return err;
		if (btf->is_kernel)
			btf->resolved_ids[id] = end;
		good = id;
	}
	for (uint32_t id = 1; btf->is_kernel && id < btf->n_types; id++) {
		struct fort_btf_type type = fort_btf_type(btf, id);

		if (type.kind == FORT_BTF_VAR)
			btf->resolved_ids[id] = fort_btf_strip(btf, type.ref).id;
	}
	return 0;
}
