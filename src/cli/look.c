#include "cli/look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "abi/helpers.h"
#include "helper/helper.h"
#include "isa/disasm.h"

int fort_look_open(struct fort_look *look, struct fort_front *front, int fd)
{
	int err;

	*look = (struct fort_look){0};
	err = fort_store_program(fort_front_store(front), fd, &look->program);
	if (!err && !look->program.loaded)
		err = -EOPNOTSUPP;
	if (err)
		return err;
	look->code = &look->program.loaded->hardened.program;
	if (look->program.loaded->engine->view)
		look->program.loaded->engine->view(look->program.loaded->code, &look->machine);
	ZydisDecoderInit(&look->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&look->formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterSetProperty(&look->formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
				  ZYDIS_PADDING_DISABLED);
	return 0;
}

/* --- instructions --- */

bool fort_look_has(const struct fort_look *look, uint32_t pc)
{
	return look->code->insns[pc].kind != FORT_LDIMM_HIGH;
}

static const char *function_name(uint32_t number)
{
	const char *internal = fort_internal_name(number);

	return internal ? internal : fort_helper_kernel_name(number);
}

static const char *name_call(void *context, const struct fort_insn *insn)
{
	return insn->op == FORT_OP_HELPER ? function_name((uint32_t)insn->imm) : NULL;
}

/* The source line of what a slot was made of. */
static bool place_of(const struct fort_look *look, uint32_t pc, struct fort_place *out)
{
	const struct fort_hardened *hardened = &look->program.loaded->hardened;

	return fort_info_place(look->program.info, fort_hardened_origin(hardened, pc), out);
}

static const char *name_imm(void *context, const struct fort_insn *insn)
{
	struct fort_look *look = context;
	struct fort_text name = fort_text_on(look->map, sizeof(look->map));
	uint32_t index = (uint32_t)insn->imm;

	if ((insn->op != FORT_OP_MAP_IDX && insn->op != FORT_OP_MAP_IDX_VALUE) ||
	    index >= look->program.n_maps)
		return NULL;
	fort_text_add(&name, "map[%s]", look->program.maps[index]);
	if (insn->op == FORT_OP_MAP_IDX_VALUE)
		fort_text_add(&name, "[0]+%u", (uint32_t)((uint64_t)insn->imm >> 32));
	return look->map;
}

void fort_look_insn(struct fort_look *look, uint32_t pc, struct fort_text *out)
{
	const struct fort_disasm_names names = {name_call, name_imm, look};

	fort_insn_text(&look->code->insns[pc], &names, out);
}

json_t *fort_look_insn_json(struct fort_look *look, uint32_t pc)
{
	struct fort_text text = fort_text_new();
	struct fort_place place;
	json_t *insn;

	fort_look_insn(look, pc, &text);
	insn = json_pack("{s:o, s:o}", "insn", fort_json_number(pc), "text",
			 fort_json_text(text.data));
	if (place_of(look, pc, &place))
		json_object_set_new(insn, "line",
				    json_pack("{s:o, s:o, s:o}", "file", fort_json_text(place.file),
					      "number", fort_json_number(place.line), "text",
					      fort_json_text(place.text)));
	fort_text_free(&text);
	return insn;
}

bool fort_look_line(const struct fort_look *look, uint32_t before, uint32_t pc,
		    struct fort_place *out)
{
	struct fort_place last;

	if (!place_of(look, pc, out))
		return false;
	return before >= look->code->n_insns || !place_of(look, before, &last) ||
	       last.line != out->line || strcmp(last.file, out->file) != 0;
}

/* --- machine code --- */

/* What a call through a slot reaches. Other functions than helpers stand for a lookup in maps of a
 * certain kind, or for calls by register. */
static const char *slot_name(const struct fort_look *look, uint64_t offset)
{
	const struct fort_code_view *machine = &look->machine;
	uint64_t index = (0 - offset - machine->gap) / sizeof(machine->slots[0]);
	fort_helper_fn *function;

	if (!index || index > machine->n_slots)
		return NULL;
	function = machine->slots[index - 1];
	for (uint32_t number = 0; number < FORT_HELPER_NUMBERS; number++)
		if (fort_helper_function(number) == function ||
		    fort_helper_shape(number).function == function)
			return function_name(number);
	return "a function of the runtime";
}

/* Calls of the host are through words before the code: what is there has a name. */
static void add_target(const struct fort_look *look, const ZydisDecodedInstruction *insn,
		       const ZydisDecodedOperand *operand, uint32_t at, struct fort_text *out)
{
	const char *name;

	if (insn->meta.category != ZYDIS_CATEGORY_CALL ||
	    operand->type != ZYDIS_OPERAND_TYPE_MEMORY || operand->mem.base != ZYDIS_REGISTER_RIP)
		return;
	name = slot_name(look, at + insn->length + (uint64_t)operand->mem.disp.value);
	if (name)
		fort_text_add(out, "  ; %s", name);
}

uint32_t fort_look_machine(const struct fort_look *look, uint32_t at, struct fort_text *out)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	char text[128];

	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&look->decoder, look->machine.bytes + at,
					       look->machine.n_bytes - at, &insn, operands)) ||
	    ZYAN_FAILED(ZydisFormatterFormatInstruction(&look->formatter, &insn, operands,
							insn.operand_count_visible, text,
							sizeof(text), at, NULL))) {
		fort_text_add(out, "db 0x%02x", look->machine.bytes[at]);
		return 1;
	}
	fort_text_add(out, "%s", text);
	if (insn.operand_count)
		add_target(look, &insn, &operands[0], at, out);
	return insn.length;
}
