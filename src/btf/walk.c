#include "btf/walk.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

/* A walk at work: `offset` counts from the start of `type`. */
struct dive {
	const struct fort_btf *btf;
	struct fort_btf_type type;
	uint32_t id; /* of the type, without modifiers */
	uint32_t offset, bytes;
	enum fort_btf_view view;
	struct fort_btf_spot *spot;
	struct fort_btf_remark *remark;
};

/* What a dive comes to. */
enum { DONE = 0, DEEPER = 1 };

/* A type as a member has it: an array is so many elements in a row, whatever its dimensions. */
struct extent {
	uint32_t bytes, count;
	uint32_t element; /* id, without modifiers */
	bool is_array;
};

/* K: as many modifiers and dimensions as __btf_resolve_size follows. */
static bool measure(const struct fort_btf *btf, uint32_t id, struct extent *out)
{
	struct fort_btf_type type = fort_btf_type(btf, id);
	uint64_t count = 1, size = 0;

	*out = (struct extent){0};
	for (uint32_t depth = 0; type.kind == FORT_BTF_ARRAY || fort_btf_is_modifier(type.kind);
	     depth++) {
		if (depth == FORT_BTF_DEPTH_MAX - 1)
			return false;
		if (type.kind == FORT_BTF_ARRAY) {
			struct fort_btf_array array = fort_btf_array(&type);

			out->is_array = true;
			count *= array.count;
			type = fort_btf_type(btf, array.element);
		} else {
			type = fort_btf_type(btf, type.ref);
		}
		if (count > UINT32_MAX)
			return false;
	}
	switch (type.kind) {
	case FORT_BTF_INT:
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION:
	case FORT_BTF_ENUM:
	case FORT_BTF_FLOAT:
	case FORT_BTF_ENUM64: size = type.size; break;
	case FORT_BTF_PTR: size = 8; break;
	default: return false;
	}
	out->element = type.id;
	out->count = (uint32_t)count;
	out->bytes = (uint32_t)(size * count);
	return size * count <= UINT32_MAX;
}

static uint32_t name_of(const struct dive *dive)
{
	return dive->type.name;
}

/* The access passes the end of the struct. Where the last member is an array without length, of
 * structs or integers, it is one to an element of it.
 */
static int pass_end(struct dive *dive)
{
	const struct fort_btf_type *type = &dive->type;
	struct fort_btf_member last;
	struct fort_btf_type array, element;
	uint32_t start;

	if (dive->view == FORT_VIEW_OBJECT || !type->vlen)
		goto beyond;
	last = fort_btf_member(type, type->vlen - 1u);
	array = fort_btf_strip(dive->btf, last.type);
	start = last.bit_offset / 8;
	if (array.kind != FORT_BTF_ARRAY || fort_btf_array(&array).count || dive->offset < start)
		goto beyond;
	element = fort_btf_strip(dive->btf, fort_btf_array(&array).element);
	if (element.kind == FORT_BTF_INT) {
		dive->spot->kind = FORT_SPOT_NUMBER;
		return DONE;
	}
	if (!fort_btf_is_struct(element.kind) || !element.size)
		goto beyond;
	dive->offset = (dive->offset - start) % element.size;
	dive->id = element.id;
	return DEEPER;
beyond:
	return FORT_BTF_SAY(dive->remark, dive->btf, BEYOND_STRUCT, name_of(dive), dive->offset,
			    dive->bytes);
}

/* A member that is a pointer: whole or not at all. */
static int meet_pointer(struct dive *dive, const struct fort_btf_member *member, uint32_t start,
			const struct fort_btf_type *pointer)
{
	struct fort_btf_spot *spot = dive->spot;
	uint8_t traits;
	struct fort_btf_type target;

	if (dive->bytes != 8 || dive->offset != start)
		return FORT_BTF_SAY(dive->remark, dive->btf, PART_OF_POINTER, member->name, start,
				    name_of(dive), dive->offset, dive->bytes);
	traits = fort_btf_pointer_traits(dive->btf, pointer);
	target = fort_btf_strip(dive->btf, pointer->ref);
	if (!fort_btf_is_struct(target.kind)) {
		spot->kind = FORT_SPOT_OTHER_POINTER;
		return DONE;
	}
	spot->kind = FORT_SPOT_STRUCT_POINTER;
	spot->type = target.id;
	spot->member = member->name;
	spot->traits |= traits;
	return DONE;
}

/* The access starts in this member, which ends at `end`. */
static int meet_member(struct dive *dive, const struct fort_btf_member *member,
		       const struct extent *extent)
{
	struct fort_btf_type type = fort_btf_type(dive->btf, extent->element);
	uint32_t start = member->bit_offset / 8;
	uint64_t end = (uint64_t)start + extent->bytes;

	if (extent->is_array) {
		uint32_t size = extent->bytes / extent->count;

		start += (dive->offset - start) / size * size;
	}
	if (fort_btf_is_struct(type.kind)) {
		if (dive->offset == start) {
			dive->spot->kind = FORT_SPOT_STRUCT;
			dive->spot->type = type.id;
			return DONE;
		}
		dive->offset -= start;
		dive->id = type.id;
		return DEEPER;
	}
	if (type.kind == FORT_BTF_PTR)
		return meet_pointer(dive, member, start, &type);
	/* K: an array of numbers may be read as one may, like skb->cb */
	if ((uint64_t)dive->offset + dive->bytes > end &&
	    !(dive->spot->traits & FORT_TRAIT_UNTRUSTED))
		return FORT_BTF_SAY(dive->remark, dive->btf, BEYOND_MEMBER, member->name,
				    (uint32_t)end, name_of(dive), dive->offset, dive->bytes);
	dive->spot->kind = FORT_SPOT_NUMBER;
	return DONE;
}

/* Does the access take in a whole bit field? One that starts before the field does: compilers leave
 * nameless fields out.
 */
static bool covers_bits(const struct dive *dive, const struct fort_btf_member *member)
{
	uint64_t end = ((uint64_t)member->bit_offset + member->bit_size + 7) / 8;

	return dive->offset <= member->bit_offset / 8 &&
	       end <= (uint64_t)dive->offset + dive->bytes;
}

/* The first member, in the order of offsets, that the access meets. */
static int scan_members(struct dive *dive)
{
	for (uint32_t i = 0; i < dive->type.vlen; i++) {
		struct fort_btf_member member = fort_btf_member(&dive->type, i);
		uint32_t start = member.bit_offset / 8;
		struct extent extent;

		if ((uint64_t)dive->offset + dive->bytes <= start)
			break;
		if (member.bit_size) {
			if (covers_bits(dive, &member)) {
				dive->spot->kind = FORT_SPOT_NUMBER;
				return DONE;
			}
			continue;
		}
		if (dive->offset < start)
			break; /* in a hole */
		if (!measure(dive->btf, member.type, &extent))
			return FORT_BTF_SAY(dive->remark, dive->btf, MEMBER_WITHOUT_SIZE,
					    member.name);
		if (dive->offset >= (uint64_t)start + extent.bytes)
			continue;
		return meet_member(dive, &member, &extent);
	}
	return FORT_BTF_SAY(dive->remark, dive->btf, NO_MEMBER, name_of(dive), dive->offset);
}

static int look(struct dive *dive)
{
	dive->type = fort_btf_strip(dive->btf, dive->id);
	if (!fort_btf_is_struct(dive->type.kind))
		return FORT_BTF_SAY(dive->remark, dive->btf, NOT_A_STRUCT, name_of(dive));
	/* K: a union with one member is a struct (__bpf_md_ptr) */
	if (dive->type.kind == FORT_BTF_UNION && dive->type.vlen != 1)
		dive->spot->traits |= FORT_TRAIT_UNTRUSTED;
	if ((uint64_t)dive->offset + dive->bytes > dive->type.size)
		return pass_end(dive);
	return scan_members(dive);
}

/* To a struct that starts at the offset, or on into it. */
static int walk(struct dive *dive, bool stop_at_struct)
{
	for (uint32_t depth = 0; depth < FORT_BTF_NEST_MAX; depth++) {
		int result = look(dive);

		if (result < 0 ||
		    (result == DONE && (stop_at_struct || dive->spot->kind != FORT_SPOT_STRUCT)))
			return result;
		if (result == DONE) {
			dive->id = dive->spot->type;
			dive->offset = 0;
			dive->spot->type = 0;
		}
	}
	return FORT_BTF_SAY(dive->remark, dive->btf, NESTED_TOO_DEEP, name_of(dive), dive->offset);
}

int fort_btf_at(const struct fort_btf *btf, uint32_t id, uint32_t offset, uint32_t bytes,
		enum fort_btf_view view, struct fort_btf_spot *spot, struct fort_btf_remark *remark)
{
	struct fort_btf_spot found = {.traits = spot->traits};
	struct dive dive = {btf, {0}, id, offset, bytes, view, &found, remark};
	int err = walk(&dive, true);

	if (!err)
		*spot = found;
	return err;
}

int fort_btf_access(const struct fort_btf *btf, uint32_t id, uint32_t offset, uint32_t bytes,
		    enum fort_btf_view view, struct fort_btf_spot *spot,
		    struct fort_btf_remark *remark)
{
	struct fort_btf_spot found = {0};
	struct dive dive = {btf, {0}, id, offset, bytes, view, &found, remark};
	int err = walk(&dive, false);

	if (err)
		return err;
	if (view == FORT_VIEW_OBJECT && found.kind == FORT_SPOT_STRUCT_POINTER)
		found = (struct fort_btf_spot){.kind = FORT_SPOT_NUMBER};
	*spot = found;
	return 0;
}
