#include "engine/inspect.h"

#include <string.h>

#include "base/pages.h"
#include "engine/inspect_state.h"

#define INT3              0xcc
#define OPERANDS          3u
#define SHAPE(name)       FORT_SHAPE_##name
#define FIELD_SHAPE(name) (FORT_SHAPE_FIELD << FORT_FIELD_##name)

/* Fields are shapes as the others are. */
enum {
#define FORT_FIELD(shape, ...) FORT_SHAPE_##shape = (int)FIELD_SHAPE(shape),
#include "engine/inspect.def"
};

static const struct form {
	uint16_t mnemonic;
	uint8_t rule;
	uint32_t operands[OPERANDS];
} forms[] = {
#define FORT_FORM(name, first, second, third, what) \
	{ZYDIS_MNEMONIC_##name, FORT_RULE_##what, {SHAPE(first), SHAPE(second), SHAPE(third)}},
#include "engine/inspect.def"
};

/* The last row of each mnemonic, plus one: the others lie before it. */
enum {
#define FORT_FORM(name, first, second, third, what) FORM_##name##first##second##third##what,
#include "engine/inspect.def"
};
static const uint8_t last_forms[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define FORT_FORM(name, first, second, third, what) \
	[ZYDIS_MNEMONIC_##name] = FORM_##name##first##second##third##what + 1,
#include "engine/inspect.def"
};

static const struct barred {
	uint8_t first, second, mask, third;
} barred[] = {
#define FORT_BARRED(what, first, second, mask, third) {first, second, mask, third},
#include "engine/inspect.def"
};

static const char *const fault_texts[FORT_INSPECT_FAULTS] = {
	[FORT_INSPECT_OK] = "nothing",
	[FORT_INSPECT_BYTES] = "a barred sequence of bytes",
	[FORT_INSPECT_DECODE] = "no instruction",
	[FORT_INSPECT_PREFIX] = "a prefix without need",
	[FORT_INSPECT_FORM] = "an instruction of no permitted form",
	[FORT_INSPECT_STATE] = "an instruction not in its place",
	[FORT_INSPECT_FUEL] = "a way that is not paid for",
	[FORT_INSPECT_TARGET] = "a jump to what is not there",
	[FORT_INSPECT_CLAIM] = "a claim that is not kept",
	[FORT_INSPECT_DEPTH] = "calls without end",
	[FORT_INSPECT_END] = "an end without an end",
	[FORT_INSPECT_NO_ROOM] = "no memory to check in",
};

const char *fort_inspect_fault_text(enum fort_inspect_fault fault)
{
	return fault < FORT_INSPECT_FAULTS ? fault_texts[fault] : "unknown";
}

uint32_t fort_inspect_cached(const struct fort_compile *request,
			     uint32_t out[FORT_INSPECT_CACHED_MAX])
{
	uint32_t n = 0;

	for (uint32_t number = 0; request->shape && number < FORT_HELPER_NUMBERS; number++) {
		struct fort_helper_shape shape = request->shape(number);

		if (shape.inlines == FORT_INLINE_CACHED && n < FORT_INSPECT_CACHED_MAX)
			out[n++] = shape.offset;
	}
	return n;
}

/* --- bytes --- */

static bool is_barred(const uint8_t *at, uint32_t left)
{
	for (unsigned i = 0; i < FORT_LEN(barred); i++) {
		const struct barred *b = &barred[i];

		if (at[0] != b->first || left < 2 || at[1] != b->second)
			continue;
		if (!b->mask || (left > 2 && (at[2] & b->mask) == b->third))
			return true;
	}
	return false;
}

uint32_t fort_inspect_barred(const uint8_t *code, uint32_t bytes, uint32_t from)
{
	for (uint32_t at = from; at < bytes; at++)
		if ((code[at] == 0x0f || code[at] == 0xcd) && is_barred(code + at, bytes - at))
			return at;
	return bytes;
}

/* --- one instruction --- */

static bool decode(struct fort_inspect_reader *reader, const ZydisDecoder *decoder)
{
	const uint8_t *code = reader->image->code + reader->at;
	uint32_t left = reader->image->bytes - reader->at;
	ZydisDecoderContext context;

	if (ZYAN_FAILED(
		    ZydisDecoderDecodeInstruction(decoder, &context, code, left, &reader->insn)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeOperands(decoder, &context, &reader->insn,
						   reader->operands, reader->insn.operand_count)))
		return fort_inspect_refuse(reader, FORT_INSPECT_DECODE);
	reader->next = reader->at + reader->insn.length;
	return true;
}

/* Prefixes that do something, of those that the forms need. Operand and address sizes, segments and
 * locks of instructions that have no memory or jump are read differently by different processors.
 */
static bool prefixes_are_needed(struct fort_inspect_reader *reader)
{
	for (unsigned i = 0; i < reader->insn.raw.prefix_count; i++) {
		uint8_t value = reader->insn.raw.prefixes[i].value;
		bool known = value == 0x66 || value == 0x67 || value == 0x65 || value == 0xf0 ||
			     value >> 4 == 4;

		if (!known || reader->insn.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_IGNORED)
			return fort_inspect_refuse(reader, FORT_INSPECT_PREFIX);
	}
	return true;
}

static bool fits(const struct fort_inspect_reader *reader, const struct form *form,
		 const uint32_t *shapes)
{
	for (unsigned i = 0; i < OPERANDS; i++)
		if (i < reader->insn.operand_count_visible ? !(form->operands[i] & shapes[i])
							   : form->operands[i])
			return false;
	return true;
}

static bool find_form(struct fort_inspect_reader *reader, enum fort_inspect_rule_id *rule)
{
	ZydisMnemonic mnemonic = reader->insn.mnemonic;
	uint32_t shapes[OPERANDS];

	if (reader->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || !last_forms[mnemonic] ||
	    reader->insn.operand_count_visible > OPERANDS)
		return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
	for (unsigned i = 0; i < reader->insn.operand_count_visible; i++)
		shapes[i] = fort_inspect_shapes(reader, &reader->operands[i]);
	for (const struct form *form = &forms[last_forms[mnemonic] - 1];
	     form >= forms && form->mnemonic == mnemonic; form--)
		if (fits(reader, form, shapes)) {
			*rule = form->rule;
			return true;
		}
	return fort_inspect_refuse(reader, FORT_INSPECT_FORM);
}

static bool writes_flags(const ZydisDecodedInstruction *insn)
{
	const ZydisAccessedFlags *flags = insn->cpu_flags;

	return flags && (flags->modified | flags->set_0 | flags->set_1 | flags->undefined);
}

static void remember(struct fort_inspect_reader *reader)
{
	memmove(reader->recent + 1, reader->recent,
		sizeof(reader->recent) - sizeof(reader->recent[0]));
	reader->recent[0] = reader->at;
}

static bool look(struct fort_inspect_reader *reader, const ZydisDecoder *decoder)
{
	enum fort_inspect_rule_id rule;

	if (!decode(reader, decoder) || !prefixes_are_needed(reader))
		return false;
	if (reader->insn.mnemonic == ZYDIS_MNEMONIC_NOP)
		return true;
	if (reader->state.part == FORT_PART_NOWHERE)
		return true; /* never executed: nothing leads here */
	if (!find_form(reader, &rule))
		return false;
	if (writes_flags(&reader->insn))
		reader->state.flags = FORT_FLAGS_NOTHING;
	remember(reader);
	return fort_inspect_apply(reader, rule);
}

/* --- the image --- */

static void skip_filling(struct fort_inspect_reader *reader)
{
	while (reader->at < reader->image->bytes && reader->image->code[reader->at] == INT3)
		reader->at++;
}

static bool read(struct fort_inspect_reader *reader, uint32_t *n_insns)
{
	const struct fort_inspect *image = reader->image;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	reader->at = fort_inspect_barred(image->code, image->bytes, 0);
	if (reader->at != image->bytes)
		return fort_inspect_refuse(reader, FORT_INSPECT_BYTES);
	reader->at = 0;
	fort_inspect_start(reader);
	while (reader->at < image->bytes) {
		if (!fort_inspect_arrive(reader))
			return false;
		if (image->code[reader->at] == INT3 && reader->state.part == FORT_PART_NOWHERE) {
			skip_filling(reader);
			continue;
		}
		if (!look(reader, &decoder))
			return false;
		(*n_insns)++;
		reader->at = reader->next;
	}
	return reader->state.part == FORT_PART_NOWHERE
		       ? fort_inspect_settle(reader)
		       : fort_inspect_refuse(reader, FORT_INSPECT_END);
}

/* --- working memory --- */

static size_t room_for(const struct fort_inspect *image)
{
	const struct fort_inspect_reader *reader = NULL;

	return image->n_functions * sizeof(reader->calls[0]) +
	       image->n_labels * sizeof(reader->seen[0]);
}

bool fort_inspect(const struct fort_inspect *image, struct fort_inspection *out)
{
	struct fort_inspect_reader reader = {.image = image};
	void *room;
	bool good;

	*out = (struct fort_inspection){.fault = FORT_INSPECT_NO_ROOM};
	if (!image->bytes || !image->n_functions || image->n_functions > FORT_SUBPROGS_MAX + 1 ||
	    fort_pages_alloc(room_for(image), &room))
		return false;
	reader.calls = room;
	reader.seen = (void *)(reader.calls + image->n_functions);
	good = read(&reader, &out->n_insns);
	fort_pages_free(room, room_for(image));
	out->fault = reader.fault;
	out->at = reader.at;
	return good;
}
