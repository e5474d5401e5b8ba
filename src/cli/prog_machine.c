#include "cli/prog_machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTERS (FORT_CODE_LEAVES - 1) /* as `pc`: before the first instruction */
#define HEX    33u                    /* the longest instruction has 15 bytes */

/* A stretch of machine code that comes from one instruction. */
struct stretch {
	uint32_t pc, start, end;
};

/* Stretch `index` from 0; false when there are no more. */
static bool stretch_at(const struct fort_look *look, uint32_t index, struct stretch *out)
{
	const struct fort_code_view *machine = &look->machine;
	uint32_t n = machine->n_places;

	if (index > n)
		return false;
	*out = (struct stretch){
		.pc = index ? machine->places[index - 1].pc : ENTERS,
		.start = index ? machine->places[index - 1].at : 0,
		.end = index < n ? machine->places[index].at : machine->n_bytes,
	};
	return true;
}

static void to_hex(const struct fort_look *look, uint32_t at, uint32_t n, char hex[HEX])
{
	for (uint32_t i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", look->machine.bytes[at + i]);
}

/* --- as text --- */

struct printing {
	struct fort_look *look;
	struct fort_text text;
	bool *has_code;  /* of each slot */
	uint32_t before; /* the slot printed last; n_insns: none */
};

static void print_insn(struct printing *p, uint32_t pc)
{
	struct fort_place place;

	if (!fort_look_has(p->look, pc))
		return;
	if (fort_look_line(p->look, p->before, pc, &place))
		printf("; %s @ %s:%u\n", place.text, place.file, place.line);
	fort_text_clear(&p->text);
	fort_look_insn(p->look, pc, &p->text);
	printf("%4u: %s\n", pc, p->text.data);
	p->before = pc;
}

static void print_code(struct printing *p, uint32_t start, uint32_t end)
{
	for (uint32_t at = start, n; at < end; at += n) {
		char hex[HEX] = "";

		fort_text_clear(&p->text);
		n = fort_look_machine(p->look, at, &p->text);
		to_hex(p->look, at, n, hex);
		printf("        %5x: %-20s %s\n", at, hex, p->text.data);
	}
}

/* Instructions from the one printed last to this one that have no code of their own. */
static void print_skipped(struct printing *p, uint32_t pc)
{
	uint32_t first = p->before < p->look->code->n_insns ? p->before + 1 : 0;

	for (uint32_t slot = first; slot < pc; slot++)
		if (!p->has_code[slot])
			print_insn(p, slot);
}

static void print_stretch(struct printing *p, const struct stretch *stretch)
{
	if (stretch->pc == ENTERS) {
		printf("; enter\n");
	} else if (stretch->pc == FORT_CODE_LEAVES) {
		print_skipped(p, p->look->code->n_insns);
		printf("; leave early\n");
	} else if (stretch->pc != p->before) {
		print_skipped(p, stretch->pc);
		print_insn(p, stretch->pc);
	}
	print_code(p, stretch->start, stretch->end);
}

void fort_machine_print(struct fort_look *look)
{
	uint32_t n_insns = look->code->n_insns;
	struct printing p = {.look = look,
			     .text = fort_text_new(),
			     .has_code = calloc(n_insns, sizeof(bool)),
			     .before = n_insns};
	struct stretch stretch;

	for (uint32_t i = 0; p.has_code && stretch_at(look, i, &stretch); i++)
		if (stretch.pc < n_insns && stretch.start < stretch.end)
			p.has_code[stretch.pc] = true;
	for (uint32_t i = 0; p.has_code && stretch_at(look, i, &stretch); i++)
		if (stretch.start < stretch.end)
			print_stretch(&p, &stretch);
	free(p.has_code);
	fort_text_free(&p.text);
}

/* --- as JSON --- */

static void add_code(const struct fort_look *look, const struct stretch *stretch, json_t *list)
{
	struct fort_text text = fort_text_new();

	for (uint32_t at = stretch->start, n; at < stretch->end; at += n) {
		char hex[HEX] = "";

		fort_text_clear(&text);
		n = fort_look_machine(look, at, &text);
		to_hex(look, at, n, hex);
		json_array_append_new(list,
				      json_pack("{s:o, s:s, s:o}", "at", fort_json_number(at),
						"bytes", hex, "text", fort_json_text(text.data)));
	}
	fort_text_free(&text);
}

void fort_machine_add_json(struct fort_look *look, json_t *program)
{
	uint32_t n_insns = look->code->n_insns;
	json_t **lists = calloc(n_insns, sizeof(json_t *));
	json_t *insns = json_array(), *enter = json_array(), *leave = json_array();
	struct stretch stretch;

	for (uint32_t pc = 0; lists && pc < n_insns; pc++) {
		json_t *insn;

		if (!fort_look_has(look, pc))
			continue;
		insn = fort_look_insn_json(look, pc);
		lists[pc] = json_array();
		json_object_set_new(insn, "machine", lists[pc]);
		json_array_append_new(insns, insn);
	}
	for (uint32_t i = 0; lists && stretch_at(look, i, &stretch); i++)
		add_code(look, &stretch,
			 stretch.pc == ENTERS             ? enter
			 : stretch.pc == FORT_CODE_LEAVES ? leave
							  : lists[stretch.pc]);
	free(lists);
	json_object_set_new(program, "engine", json_string(look->program.loaded->engine->name));
	json_object_set_new(program, "isolation",
			    json_string(fort_isolation_name(look->program.loaded->isolation)));
	json_object_set_new(program, "machine_bytes", fort_json_number(look->machine.n_bytes));
	json_object_set_new(program, "insns", insns);
	json_object_set_new(program, "enter", enter);
	json_object_set_new(program, "leave", leave);
}
