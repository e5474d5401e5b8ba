#include "engine/llvm_inspect.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "engine/llvm_inspect_state.h"

/* --- instructions --- */

static bool decode(struct fort_scan_reader *reader)
{
	const uint8_t *code = reader->image->code + reader->at;

	if (reader->at >= reader->image->bytes)
		return fort_scan_refuse(reader, FORT_INSPECT_END);
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&reader->decoder, code,
					       reader->image->bytes - reader->at, &reader->insn,
					       reader->operands)))
		return fort_scan_refuse(reader, FORT_INSPECT_DECODE);
	reader->next = reader->at + reader->insn.length;
	return true;
}

/* Prefixes that do something, or are a part of the instruction. Those of jumps, calls and returns
 * may shorten addresses, or not, by processor. */
static bool prefixes_are_needed(struct fort_scan_reader *reader)
{
	bool jumps = reader->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
		     reader->insn.mnemonic == ZYDIS_MNEMONIC_RET;

	for (unsigned i = 0; i < reader->insn.raw.prefix_count; i++) {
		uint8_t value = reader->insn.raw.prefixes[i].value;
		bool known = value == 0x64 || value == 0x65 || value == 0x66 || value == 0x67 ||
			     value == 0xf0 ||
			     reader->insn.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY;

		if (value >> 4 == 4)
			continue;
		if (!known || jumps ||
		    reader->insn.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_IGNORED)
			return fort_scan_refuse(reader, FORT_INSPECT_PREFIX);
	}
	return true;
}

static bool look(struct fort_scan_reader *reader, enum fort_scan_rule *rule)
{
	if (!decode(reader))
		return false;
	*rule = fort_scan_rule_of(reader->insn.mnemonic);
	if (*rule == FORT_SCAN_RULE_NONE || reader->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return fort_scan_refuse(reader, FORT_INSPECT_FORM);
	return *rule == FORT_SCAN_RULE_NOTHING || prefixes_are_needed(reader);
}

/* --- which there are --- */

static bool is_direct(const struct fort_scan_reader *reader)
{
	return reader->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       reader->operands[0].imm.is_relative;
}

/* Does the instruction after it follow? */
static bool goes_on(const struct fort_scan_reader *reader, enum fort_scan_rule rule)
{
	uint32_t slot = reader->image->n_slots;

	if (rule == FORT_SCAN_RULE_CALL)
		slot = fort_scan_slot(reader, &reader->operands[0]);
	return rule != FORT_SCAN_RULE_JUMP && rule != FORT_SCAN_RULE_RETURN &&
	       (slot == reader->image->n_slots ||
		reader->image->slots[slot] != FORT_LLVM_SLOT_LEAVE);
}

static bool add_label(struct fort_scan_reader *reader, uint32_t at)
{
	if (at >= reader->image->bytes)
		return fort_scan_refuse(reader, FORT_INSPECT_TARGET);
	if (!reader->labels[at]) {
		reader->places[reader->n_labels] = at;
		reader->labels[at] = ++reader->n_labels;
	}
	return true;
}

static void note_frame(struct fort_scan_reader *reader)
{
	const ZydisDecodedOperand *operands = reader->operands;

	if (reader->insn.mnemonic == ZYDIS_MNEMONIC_SUB &&
	    operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    operands[0].reg.value == ZYDIS_REGISTER_RSP &&
	    operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	    operands[1].imm.value.s > reader->frame_bytes &&
	    operands[1].imm.value.s <= FORT_LLVM_FRAME_MAX)
		reader->frame_bytes = (int32_t)operands[1].imm.value.s;
}

/* From a label to where nothing follows, or what is known already does. What is behind a call may
 * be nothing, if it does not return: that shows later. */
static bool find_from(struct fort_scan_reader *reader, uint32_t at, uint32_t *n_insns)
{
	enum fort_scan_rule rule;
	bool open = true;

	for (reader->at = at; open && reader->at < reader->image->bytes;
	     reader->at = reader->next) {
		if (reader->lengths[reader->at])
			return true;
		if (!look(reader, &rule))
			return false;
		reader->lengths[reader->at] = reader->insn.length;
		(*n_insns)++;
		note_frame(reader);
		if ((rule == FORT_SCAN_RULE_CALL || rule == FORT_SCAN_RULE_JUMP ||
		     rule == FORT_SCAN_RULE_BRANCH) &&
		    is_direct(reader) && !add_label(reader, fort_scan_target(reader)))
			return false;
		open = goes_on(reader, rule);
	}
	return true;
}

/* No byte belongs to two instructions. */
static bool overlap(struct fort_scan_reader *reader)
{
	uint32_t end = 0;

	for (uint32_t at = 0; at < reader->image->bytes; at++) {
		if (!reader->lengths[at])
			continue;
		if (at < end) {
			reader->at = at;
			return true;
		}
		end = at + reader->lengths[at];
	}
	return false;
}

static bool find(struct fort_scan_reader *reader, uint32_t *n_insns)
{
	if (!add_label(reader, reader->image->start))
		return false;
	for (uint32_t label = 0; label < reader->n_labels; label++)
		if (!find_from(reader, reader->places[label], n_insns))
			return false;
	return !overlap(reader) || fort_scan_refuse(reader, FORT_INSPECT_TARGET);
}

/* --- what they do --- */

static bool get_states(struct fort_scan_reader *reader)
{
	int32_t bytes = reader->frame_bytes + FORT_SCAN_SLACK_BYTES;
	size_t n = reader->n_labels + 2u; /* the reader's own, and one to enter functions with */

	reader->frame_bytes = (int32_t)fort_round_up((uint64_t)bytes, 16);
	reader->n_cells =
		(uint32_t)(reader->frame_bytes + FORT_SCAN_OUTSIDE_BYTES) / FORT_SCAN_CELL_BYTES;
	reader->state_bytes =
		sizeof(struct fort_scan_state) + reader->n_cells * sizeof(struct fort_scan_value);
	if (n > FORT_LLVM_STATE_BYTES_MAX / reader->state_bytes)
		return false;
	reader->states = calloc(n, reader->state_bytes);
	reader->is_function = calloc(n, sizeof(*reader->is_function));
	reader->due = calloc(n, sizeof(*reader->due));
	reader->results = calloc(n, sizeof(*reader->results));
	reader->extents = calloc(n, sizeof(*reader->extents));
	reader->now = fort_scan_state_of(reader, reader->n_labels);
	return reader->states && reader->is_function && reader->due && reader->results &&
	       reader->extents;
}

/* What is called is a function; the first label is what the host calls. */
static bool find_functions(struct fort_scan_reader *reader)
{
	enum fort_scan_rule rule;

	reader->is_function[0] = true;
	for (reader->at = 0; reader->at < reader->image->bytes; reader->at++) {
		if (!reader->lengths[reader->at])
			continue;
		if (!look(reader, &rule))
			return false;
		if (rule == FORT_SCAN_RULE_CALL && is_direct(reader))
			reader->is_function[reader->labels[fort_scan_target(reader)] - 1] = true;
	}
	return true;
}

/* From a label to the next, or to where nothing follows. */
static bool walk(struct fort_scan_reader *reader, uint32_t label)
{
	enum fort_scan_rule rule;

	memcpy(reader->now, fort_scan_state_of(reader, label), reader->state_bytes);
	reader->at = reader->places[label];
	do {
		reader->open = true;
		if (!look(reader, &rule) || !fort_scan_apply(reader, rule))
			return false;
		reader->at = reader->next;
	} while (reader->open && !reader->labels[reader->at]);
	return !reader->open || fort_scan_flow_to(reader, reader->at);
}

/* Each label again until nothing new arrives at any. What arrives only ever grows, so this comes to
 * an end; the bound is for mistakes in that. */
static bool settle(struct fort_scan_reader *reader)
{
	uint64_t left = (uint64_t)FORT_LLVM_VISITS_MAX * reader->n_labels;
	bool more = true;

	while (more) {
		more = false;
		for (uint32_t label = 0; label < reader->n_labels; label++) {
			if (!reader->due[label])
				continue;
			if (!left--)
				return fort_scan_refuse(reader, FORT_INSPECT_NO_ROOM);
			reader->due[label] = false;
			if (!walk(reader, label))
				return false;
			more = true;
		}
	}
	return true;
}

/* What functions return, and write of their callers', is known only once they have been walked. */
static bool settle_all(struct fort_scan_reader *reader)
{
	fort_scan_flow_start(reader, 0);
	for (unsigned round = 0; round < FORT_LLVM_VISITS_MAX; round++) {
		reader->grew = false;
		if (!settle(reader))
			return false;
		if (!reader->grew)
			return true;
		for (uint32_t label = 0; label < reader->n_labels; label++)
			reader->due[label] =
				fort_scan_state_of(reader, label)->reg[FORT_X64_RSP].tag !=
				FORT_SCAN_NEVER;
	}
	return fort_scan_refuse(reader, FORT_INSPECT_NO_ROOM);
}

/* --- the image --- */

static bool read(struct fort_scan_reader *reader, uint32_t *n_insns)
{
	const struct fort_llvm_inspect *image = reader->image;

	reader->lengths = calloc(image->bytes + 1u, sizeof(*reader->lengths));
	reader->labels = calloc(image->bytes + 1u, sizeof(*reader->labels));
	reader->places = calloc(image->bytes + 1u, sizeof(*reader->places));
	if (!reader->lengths || !reader->labels || !reader->places)
		return fort_scan_refuse(reader, FORT_INSPECT_NO_ROOM);
	ZydisDecoderInit(&reader->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!find(reader, n_insns))
		return false;
	reader->at = fort_inspect_barred(image->code, image->bytes, 0);
	if (reader->at != image->bytes)
		return fort_scan_refuse(reader, FORT_INSPECT_BYTES);
	if (!get_states(reader))
		return fort_scan_refuse(reader, FORT_INSPECT_NO_ROOM);
	return find_functions(reader) && settle_all(reader);
}

bool fort_llvm_inspect(const struct fort_llvm_inspect *image, struct fort_inspection *out)
{
	struct fort_scan_reader reader = {.image = image};
	bool good;

	*out = (struct fort_inspection){.fault = FORT_INSPECT_OK};
	good = read(&reader, &out->n_insns);
	free(reader.lengths);
	free(reader.labels);
	free(reader.places);
	free(reader.states);
	free(reader.is_function);
	free(reader.due);
	free(reader.results);
	free(reader.extents);
	out->fault = reader.fault;
	out->at = reader.at;
	return good;
}
