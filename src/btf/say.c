/* The kernel's log of a BTF check, line by line (the btf_verifier_log functions of
 * kernel/bpf/btf.c): each type as it is checked, and the complaint that ends the check. The
 * complaint is kept as the error's text too.
 */
#include <stdio.h>
#include <string.h>

#include "btf/blob.h"

static const char *name_of(const struct fort_btf *btf, uint32_t offset)
{
	const char *name = fort_btf_string(btf, offset);

	if (!offset)
		return "(anon)";
	return name ? name : "(invalid-name-offset)";
}

static void remember(struct fort_btf_check *check, uint32_t offset, const char *fmt, va_list args)
{
	struct fort_btf_error *error = check->error;

	error->offset = offset;
	error->type_id = check->type_id;
	vsnprintf(error->what, sizeof(error->what), fmt, args);
	error->what[strcspn(error->what, "\n")] = 0;
}

/* Offset in the blob of something inside the type section. */
static uint32_t offset_of(const struct fort_btf_check *check, const struct fort_btf_type *type)
{
	return (uint32_t)(type->more - FORT_BTF_HEADER_BYTES - check->btf->data);
}

static void finish_line(struct fort_btf_check *check, uint32_t offset, const char *fmt,
			va_list args)
{
	va_list again;

	va_copy(again, args);
	remember(check, offset, fmt, again);
	va_end(again);
	fort_log_add(check->log, " ");
	fort_log_addv(check->log, fmt, args);
	fort_log_add(check->log, "\n");
}

void fort_btf_say(struct fort_btf_check *check, uint32_t offset, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	remember(check, offset, fmt, args);
	va_end(args);
	va_start(args, fmt);
	fort_log_addv(check->log, fmt, args);
	va_end(args);
}

static void describe_proto(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	fort_log_add(check->log, "return=%u args=(", type->ref);
	if (!type->vlen)
		fort_log_add(check->log, "void");
	for (uint32_t i = 0; i < type->vlen; i++) {
		struct fort_btf_param param = fort_btf_param(type, i);
		bool last = i == type->vlen - 1u;

		if (i)
			fort_log_add(check->log, ", ");
		if (last && !param.type)
			fort_log_add(check->log, "vararg");
		else
			fort_log_add(check->log, "%u %s", param.type,
				     name_of(check->btf, param.name));
	}
	fort_log_add(check->log, ")");
}

static void describe_int(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	struct fort_btf_int number = fort_btf_int(type);
	const char *encoding = !number.encoding                     ? "(none)"
			       : number.encoding == FORT_BTF_SIGNED ? "SIGNED"
			       : number.encoding == FORT_BTF_CHAR   ? "CHAR"
			       : number.encoding == FORT_BTF_BOOL   ? "BOOL"
								    : "UNKN";

	fort_log_add(check->log, "size=%u bits_offset=%u nr_bits=%u encoding=%s", type->size,
		     number.bit_offset, number.bits, encoding);
}

static void describe(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	struct fort_btf_array array;

	switch (type->kind) {
	case FORT_BTF_INT: describe_int(check, type); return;
	case FORT_BTF_FWD: fort_log_add(check->log, "%s", type->kflag ? "union" : "struct"); return;
	case FORT_BTF_ARRAY:
		array = fort_btf_array(type);
		fort_log_add(check->log, "type_id=%u index_type_id=%u nr_elems=%u", array.element,
			     array.index, array.count);
		return;
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION:
	case FORT_BTF_ENUM:
	case FORT_BTF_ENUM64:
	case FORT_BTF_DATASEC:
		fort_log_add(check->log, "size=%u vlen=%u", type->size, type->vlen);
		return;
	case FORT_BTF_FLOAT: fort_log_add(check->log, "size=%u", type->size); return;
	case FORT_BTF_VAR:
		fort_log_add(check->log, "type_id=%u linkage=%u", type->ref,
			     fort_btf_linkage(type));
		return;
	case FORT_BTF_DECL_TAG:
		fort_log_add(check->log, "type=%u component_idx=%d", type->ref,
			     fort_btf_component(type));
		return;
	case FORT_BTF_FUNC_PROTO: describe_proto(check, type); return;
	default: fort_log_add(check->log, "type_id=%u", type->ref); return;
	}
}

static void start_type_line(struct fort_btf_check *check, const struct fort_btf_type *type,
			    bool details)
{
	fort_log_add(check->log, "[%u] %s %s%s", check->type_id, fort_btf_kind_name(type->kind),
		     name_of(check->btf, type->name), details ? " " : "");
	if (details)
		describe(check, type);
}

void fort_btf_list_type(struct fort_btf_check *check, const struct fort_btf_type *type)
{
	if (!check->log || !check->log->wanted)
		return;
	start_type_line(check, type, true);
	fort_log_add(check->log, "\n");
}

void fort_btf_say_type(struct fort_btf_check *check, const struct fort_btf_type *type, bool details,
		       const char *fmt, ...)
{
	va_list args;

	start_type_line(check, type, details);
	va_start(args, fmt);
	finish_line(check, offset_of(check, type), fmt, args);
	va_end(args);
}

/* In the second phase types are not listed, so a complaint about a part names its type first. */
static void start_member_line(struct fort_btf_check *check, const struct fort_btf_type *type,
			      const struct fort_btf_member *member)
{
	if (!check->metas)
		fort_btf_list_type(check, type);
	fort_log_add(check->log, "\t%s type_id=%u", name_of(check->btf, member->name),
		     member->type);
	if (type->kflag)
		fort_log_add(check->log, " bitfield_size=%u", member->bit_size);
	fort_log_add(check->log, " bits_offset=%u", member->bit_offset);
}

static void start_var_line(struct fort_btf_check *check, const struct fort_btf_type *type,
			   const struct fort_btf_section_var *var)
{
	if (!check->metas)
		fort_btf_list_type(check, type);
	fort_log_add(check->log, "\t type_id=%u offset=%u size=%u", var->type, var->offset,
		     var->size);
}

void fort_btf_list_member(struct fort_btf_check *check, const struct fort_btf_type *type,
			  const struct fort_btf_member *member)
{
	start_member_line(check, type, member);
	fort_log_add(check->log, "\n");
}

void fort_btf_list_section_var(struct fort_btf_check *check, const struct fort_btf_type *type,
			       const struct fort_btf_section_var *var)
{
	start_var_line(check, type, var);
	fort_log_add(check->log, "\n");
}

void fort_btf_say_member(struct fort_btf_check *check, const struct fort_btf_type *type,
			 const struct fort_btf_member *member, const char *fmt, ...)
{
	va_list args;

	start_member_line(check, type, member);
	va_start(args, fmt);
	finish_line(check, offset_of(check, type), fmt, args);
	va_end(args);
}

void fort_btf_say_section_var(struct fort_btf_check *check, const struct fort_btf_type *type,
			      const struct fort_btf_section_var *var, const char *fmt, ...)
{
	va_list args;

	start_var_line(check, type, var);
	va_start(args, fmt);
	finish_line(check, offset_of(check, type), fmt, args);
	va_end(args);
}
