/* Patterns of contexts: which fields there are, who may access them how, and who moved the pointer.
 */
#include <string.h>

#include "verify/listing.h"

static void add_sizes(const struct fort_story *s, const struct fort_ctx_field *field, bool write,
		      struct fort_text *out)
{
	bool any = false;

	for (uint32_t bytes = 1; bytes <= 8; bytes *= 2) {
		if (!fort_ctx_access(&fort_story_env(s)->hook, field->offset, bytes, write, false))
			continue;
		fort_text_add(out, any ? ", %u" : write ? "written by %u" : "read by %u", bytes);
		any = true;
	}
	fort_text_add(out, any ? " bytes" : write ? "not written" : "not read");
}

/* May a program of this type, wherever it is attached, access its field of this name so? `offset`
 * is that in the field. */
static bool has_field(const struct fort_prog_info *prog, const char *name, int64_t offset,
		      uint32_t bytes, bool write)
{
	for (uint32_t i = 0; prog->ctx && i < prog->ctx->n_fields; i++) {
		const struct fort_ctx_field *field = &prog->ctx->fields[i];

		if (strcmp(fort_ctx_field_name(prog, field), name))
			continue;
		for (uint32_t attach = 0; attach < FORT_ATTACHES; attach++) {
			struct fort_hook hook = {.prog = prog, .attach = attach};

			if (fort_hook_has_attach(&hook) &&
			    fort_ctx_access(&hook, field->offset + offset, bytes, write, false))
				return true;
		}
	}
	return false;
}

/* Types of programs that may do the same to a field of this name. */
static void set_others(struct fort_story *s, const struct fort_ctx_field *field)
{
	const char *name = fort_ctx_field_name(fort_story_env(s)->hook.prog, field);
	struct fort_listing list = FORT_LISTING_NEW;

	for (unsigned i = 0; i < FORT_PROGS; i++) {
		struct fort_text *text;

		if (has_field(&fort_progs[i], name, s->v->args[0] - field->offset,
			      (uint32_t)s->v->args[1], s->v->args[2]) &&
		    (text = fort_listing_next(&list)))
			fort_text_add(text, "%s", fort_progs[i].name);
	}
	if (!list.n)
		fort_text_add(&list.text, "no type of program");
	fort_listing_end(s, "others", &list);
}

bool fort_pattern_ctx_field(struct fort_story *s)
{
	const struct fort_prog_info *prog = fort_story_env(s)->hook.prog;
	const struct fort_ctx_field *field;
	struct fort_text may = fort_text_new();

	field = fort_story_is(s, FORT_DIAG_CTX_ACCESS) && prog->ctx
			? fort_ctx_field_at(prog, s->v->args[0])
			: NULL;
	if (!field) {
		fort_text_free(&may);
		return false;
	}
	add_sizes(s, field, false, &may);
	fort_text_add(&may, ", ");
	add_sizes(s, field, true, &may);
	fort_story_text(s, "may", &may);
	fort_story_word(s, "field", "%s", fort_ctx_field_name(prog, field));
	fort_story_word(s, "first", "%u", field->offset);
	fort_story_word(s, "end_of", "%u", field->offset + field->bytes - 1u);
	set_others(s, field);
	return true;
}

/* The field that the program may access and that is nearest to the offset, on one side of it. */
static const struct fort_ctx_field *nearest(const struct fort_story *s, int64_t offset, bool behind)
{
	const struct fort_ctx *ctx = fort_story_env(s)->hook.prog->ctx;
	const struct fort_ctx_field *found = NULL;

	for (uint32_t i = 0; i < ctx->n_fields; i++) {
		const struct fort_ctx_field *field = &ctx->fields[i];

		if ((field->offset > offset) != behind ||
		    !((field->readers | field->writers) & fort_story_env(s)->hook.prog->bit))
			continue;
		if (!found || (field->offset > found->offset) != behind)
			found = field;
	}
	return found;
}

bool fort_pattern_ctx_none(struct fort_story *s)
{
	const struct fort_prog_info *prog = fort_story_env(s)->hook.prog;
	const struct fort_ctx_field *near;
	struct fort_listing list = FORT_LISTING_NEW;

	for (int behind = 0; fort_story_is(s, FORT_DIAG_CTX_ACCESS) && prog->ctx && behind < 2;
	     behind++) {
		struct fort_text *text;

		near = nearest(s, s->v->args[0], behind);
		if (near && (text = fort_listing_next(&list)))
			fort_text_add(text, "`%s` (bytes %u to %u)",
				      fort_ctx_field_name(prog, near), near->offset,
				      near->offset + near->bytes - 1u);
	}
	if (!list.n) {
		fort_text_free(&list.text);
		return false;
	}
	fort_listing_end(s, "near", &list);
	return true;
}

bool fort_pattern_ctx_moved(struct fort_story *s)
{
	const struct fort_past *moved = fort_story_is(s, FORT_DIAG_CTX_MODIFIED) ||
							fort_story_is(s, FORT_DIAG_CTX_NEGATIVE) ||
							fort_story_is(s, FORT_DIAG_CTX_VARIABLE)
						? fort_story_flow(s, FORT_EVENT_MOVED)
						: NULL;
	const char *why;

	if (!moved)
		return false;
	why = fort_scalar_is_const(&moved->after.num)
		      ? "the compiler computed the address of a field first"
		      : "by a number that is not constant";
	fort_story_place(s, "moved_at", moved->origin.pc);
	fort_story_range(s, "offset", &moved->after.num);
	fort_story_word(s, "why", "%s", why);
	fort_story_pin(s, moved);
	return true;
}
