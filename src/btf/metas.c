/* First phase: each type alone. The rules of its header are letters in kinds.def; what follows
 * the header is checked by the functions below.
 */
#include <errno.h>
#include <linux/btf.h>

#include "abi/uapi.h"
#include "base/limits.h"
#include "btf/blob.h"

/* Offsets of names are limited by 24 bits of the format and by the string section. */
static bool name_in_range(const struct fort_btf *btf, uint32_t name)
{
	return name <= FORT_BTF_NAME_MAX && name < btf->strings_bytes;
}

/* K: the kernel's isalpha and isprint count the letters and signs of Latin-1. */
static bool is_letter(char c)
{
	uint8_t byte = (uint8_t)c;

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
	       (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7);
}

static bool is_printable(char c)
{
	return (c >= ' ' && c <= '~') || (uint8_t)c >= 0xa0;
}

static bool is_identifier(const struct fort_btf *btf, uint32_t offset)
{
	const char *name = btf->strings + offset;
	uint32_t i;

	if (!is_letter(name[0]))
		return false;
	for (i = 1; name[i] && i < FORT_BTF_SYMBOL_BYTES; i++)
		if (!is_letter(name[i]) && !(name[i] >= '0' && name[i] <= '9'))
			return false;
	return !name[i];
}

bool fort_btf_name_ok(const struct fort_btf *btf, uint32_t name)
{
	return name_in_range(btf, name) && is_identifier(btf, name);
}

static bool is_section_name(const struct fort_btf *btf, uint32_t offset)
{
	const char *name = btf->strings + offset;
	uint32_t i;

	if (!name[0])
		return false;
	for (i = 0; name[i] && i < FORT_BTF_SYMBOL_BYTES; i++)
		if (!is_printable(name[i]))
			return false;
	return !name[i];
}

static bool type_in_range(uint32_t id)
{
	return id <= FORT_BTF_TYPES_MAX;
}

/* The complaint when a rule of kinds.def does not hold, or NULL. */
static const char *broken_rule(const struct fort_btf *btf, const struct fort_btf_type *type,
			       char rule)
{
	switch (rule) {
	case 'V': return type->vlen ? "vlen != 0" : NULL;
	case 'K': return type->kflag ? "Invalid btf_info kind_flag" : NULL;
	case 'T': return type_in_range(type->ref) ? NULL : "Invalid type_id";
	case 'W': return type->ref && type_in_range(type->ref) ? NULL : "Invalid type_id";
	case 'I': return type->name && is_identifier(btf, type->name) ? NULL : "Invalid name";
	case 'J': return !type->name || is_identifier(btf, type->name) ? NULL : "Invalid name";
	case 'A': return type->name ? "Invalid name" : NULL;
	case 'S': return type->name && is_section_name(btf, type->name) ? NULL : "Invalid name";
	case 'G': return btf->strings[type->name] ? NULL : "Invalid name";
	case 'H': return btf->strings[type->name] ? NULL : "Invalid value";
	case 'R': return type->ref ? "type != 0" : NULL;
	case 'Q': return type->size ? "size != 0" : NULL;
	case 'Z': return type->size ? NULL : "size == 0";
	case 'E':
		return fort_is_power_of_two(type->size) && type->size <= 8 ? NULL
									   : "Unexpected size";
	case 'F':
		return type->size == 2 || type->size == 4 || type->size == 8 || type->size == 12 ||
				       type->size == 16
			       ? NULL
			       : "Invalid type_size";
	case 'L': return type->vlen > BTF_FUNC_GLOBAL ? "Invalid func linkage" : NULL;
	default: return NULL;
	}
}

static int refuse(struct fort_btf_check *check, const struct fort_btf_type *type, const char *what)
{
	fort_btf_say_type(check, type, true, "%s", what);
	return -EINVAL;
}

static int check_int(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	struct fort_btf_int number = fort_btf_int(type);
	uint32_t bits = (uint32_t)number.bits + number.bit_offset;
	uint32_t word = fort_btf_word(type->more);

	if (word & ~0x0fffffffu) {
		fort_btf_say_type(check, type, false, "Invalid int_data:%x", word);
		return -EINVAL;
	}
	if (bits > 128)
		return refuse(check, type, "nr_bits exceeds 128");
	if ((bits + 7) / 8 > type->size)
		return refuse(check, type, "nr_bits exceeds type_size");
	if (number.encoding & (number.encoding - 1) || number.encoding > FORT_BTF_BOOL) {
		(void)refuse(check, type, "Unsupported encoding");
		return -FORT_ENOTSUPP;
	}
	return 0;
}

/* What follows the header of the kinds that have a fixed part. */
static int check_fixed(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	struct fort_btf_array array;
	uint32_t linkage;

	switch (type->kind) {
	case FORT_BTF_INT: return check_int(check, type);
	case FORT_BTF_ARRAY:
		array = fort_btf_array(type);
		if (!array.element || !type_in_range(array.element))
			return refuse(check, type, "Invalid elem");
		if (!array.index || !type_in_range(array.index))
			return refuse(check, type, "Invalid index");
		return 0;
	case FORT_BTF_VAR:
		linkage = fort_btf_linkage(type);
		if (linkage != BTF_VAR_STATIC && linkage != BTF_VAR_GLOBAL_ALLOCATED)
			return refuse(check, type, "Linkage not supported");
		return 0;
	case FORT_BTF_DECL_TAG:
		return fort_btf_component(type) < -1 ? refuse(check, type, "Invalid component_idx")
						     : 0;
	default: return 0;
	}
}

/* Why a member cannot be, or NULL. `last` is the offset of the member before it. */
static const char *broken_member(const struct fort_btf *btf, const struct fort_btf_type *type,
				 const struct fort_btf_member *member, uint32_t last)
{
	if (member->name && !is_identifier(btf, member->name))
		return "Invalid name";
	if (!member->type || !type_in_range(member->type))
		return "Invalid type_id";
	if ((type->kind == FORT_BTF_UNION && member->bit_offset) || last > member->bit_offset)
		return "Invalid member bits_offset";
	if (member->bit_offset / 8 + !!(member->bit_offset % 8) > type->size)
		return "Member bits_offset exceeds its struct size";
	return NULL;
}

static int check_members(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < type->vlen; i++) {
		struct fort_btf_member member = fort_btf_member(type, i);
		const char *what;

		if (!name_in_range(check->btf, member.name)) {
			fort_btf_say_member(check, type, &member, "Invalid member name_offset:%u",
					    member.name);
			return -EINVAL;
		}
		what = broken_member(check->btf, type, &member, last);
		if (what) {
			fort_btf_say_member(check, type, &member, "%s", what);
			return -EINVAL;
		}
		fort_btf_list_member(check, type, &member);
		last = member.bit_offset;
	}
	return 0;
}

static void list_constant(struct fort_btf_check *check, const struct fort_btf_type *type,
			  const struct fort_btf_constant *constant)
{
	const char *name = check->btf->strings + constant->name;
	bool wide = type->kind == FORT_BTF_ENUM64;

	if (type->kflag)
		fort_log_add(check->log, "\t%s val=%lld\n", name, (long long)constant->value);
	else
		fort_log_add(check->log, "\t%s val=%llu\n", name,
			     wide ? (unsigned long long)constant->value
				  : (uint32_t)constant->value);
}

static int check_constants(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	for (uint32_t i = 0; i < type->vlen; i++) {
		struct fort_btf_constant constant = fort_btf_constant(type, i);

		if (!name_in_range(check->btf, constant.name)) {
			fort_btf_say(check, (uint32_t)(type->more - check->btf->data),
				     "\tInvalid name_offset:%u", constant.name);
			return -EINVAL;
		}
		if (!constant.name || !is_identifier(check->btf, constant.name))
			return refuse(check, type, "Invalid name");
		list_constant(check, type, &constant);
	}
	return 0;
}

/* Variables of a section are in order and do not overlap. */
static int check_section(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	uint64_t end = 0, sum = 0;

	for (uint32_t i = 0; i < type->vlen; i++) {
		struct fort_btf_section_var var = fort_btf_section_var(type, i);
		const char *what = NULL;

		if (!var.type || !type_in_range(var.type))
			what = "Invalid type_id";
		else if (var.offset < end || var.offset >= type->size)
			what = "Invalid offset";
		else if (!var.size || var.size > type->size)
			what = "Invalid size";
		/* K: the sum wraps at 32 bits before it is compared */
		end = var.offset + var.size;
		if (!what && end > type->size)
			what = "Invalid offset+size";
		if (what) {
			fort_btf_say_section_var(check, type, &var, "%s", what);
			return -EINVAL;
		}
		fort_btf_list_section_var(check, type, &var);
		sum += var.size;
	}
	return type->size < sum ? refuse(check, type, "Invalid btf_info size") : 0;
}

static int check_items(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	switch (type->kind) {
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION: return check_members(check, type);
	case FORT_BTF_ENUM:
	case FORT_BTF_ENUM64: return check_constants(check, type);
	case FORT_BTF_DATASEC: return check_section(check, type);
	default: return 0;
	}
}

/* One type at `offset` of the section, with `left` bytes from there. *used is its whole size. */
static int check_type(struct fort_btf_check *check, uint32_t offset, uint32_t left, uint32_t *used)
{
	struct fort_btf *btf = check->btf;
	const uint8_t *at = btf->types + offset;
	uint32_t place = (uint32_t)(at - btf->data), id = check->type_id, info, need;
	const struct fort_btf_kind_info *kind;
	struct fort_btf_type type;
	int err;

	if (left < FORT_BTF_HEADER_BYTES) {
		fort_btf_say(check, place, "[%u] meta_left:%u meta_needed:%u", id, left,
			     FORT_BTF_HEADER_BYTES);
		return -EINVAL;
	}
	left -= FORT_BTF_HEADER_BYTES;
	type = fort_btf_header_at(at, id);
	info = fort_btf_word(at + 4);
	if (info & ~0x9f00ffffu) {
		fort_btf_say(check, place, "[%u] Invalid btf_info:%x", id, info);
		return -EINVAL;
	}
	if (!type.kind || type.kind >= FORT_BTF_KINDS) {
		fort_btf_say(check, place, "[%u] Invalid kind:%u", id, type.kind);
		return -EINVAL;
	}
	if (!name_in_range(btf, type.name)) {
		fort_btf_say(check, place, "[%u] Invalid name_offset:%u", id, type.name);
		return -EINVAL;
	}
	kind = &fort_btf_kinds[type.kind];
	need = kind->fixed_bytes + (uint32_t)kind->item_bytes * type.vlen;
	for (const char *rule = kind->rules; *rule; rule++) {
		const char *what = broken_rule(btf, &type, *rule);

		if (*rule == 'M' && left < need) {
			fort_btf_say_type(check, &type, false, "meta_left:%u meta_needed:%u", left,
					  need);
			return -EINVAL;
		}
		if (what)
			return refuse(check, &type, what);
	}
	err = check_fixed(check, &type);
	if (err)
		return err;
	fort_btf_list_type(check, &type);
	*used = FORT_BTF_HEADER_BYTES + need;
	return check_items(check, &type);
}

int fort_btf_check_metas(struct fort_btf_check *check)
{
	struct fort_btf *btf = check->btf;
	uint32_t offset = 0;

	for (check->type_id = 1; offset < btf->types_bytes; check->type_id++) {
		uint32_t used;
		int err = check_type(check, offset, btf->types_bytes - offset, &used);

		if (err)
			return err;
		/* K: types beyond the limit are checked, but have no id */
		if (btf->n_types < FORT_BTF_TYPES_MAX)
			btf->offsets[btf->n_types++] = offset;
		offset += used;
	}
	check->type_id = 0;
	return 0;
}
