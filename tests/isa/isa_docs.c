/* Prints docs/isa.md: isa.def as tables. With `--check FILE`, a TAP test that FILE is current.
 *
 *     build/gcc/tests/isa/isa_docs > docs/isa.md
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/disasm.h"

static const char *const meanings[FORT_ROWS] = {
#define FORT_ALU(op, code, select, value, name, symbol, expr)         \
	[FORT_ROW_##op##32_K] = #expr, [FORT_ROW_##op##32_X] = #expr, \
	[FORT_ROW_##op##64_K] = #expr, [FORT_ROW_##op##64_X] = #expr,
#include "isa/isa.def"
#define FORT_JCC(op, code, name, symbol, expr)                        \
	[FORT_ROW_##op##32_K] = #expr, [FORT_ROW_##op##32_X] = #expr, \
	[FORT_ROW_##op##64_K] = #expr, [FORT_ROW_##op##64_X] = #expr,
#include "isa/isa.def"
#define FORT_ATOMIC(op, imm, fetch, name, symbol, expr) \
	[FORT_ROW_A_##op##32] = #expr, [FORT_ROW_A_##op##64] = #expr,
#include "isa/isa.def"
};

static const char intro[] =
	"# Instruction set\n\n"
	"Generated from `src/isa/isa.def` by `build/gcc/tests/isa_docs > docs/isa.md`; a test "
	"checks\n"
	"that this file is current. The instruction set is that of RFC 9669 (cpu v1 to v4) and "
	"the\n"
	"kernel's additions up to Linux 6.18.\n\n"
	"*Opcode* is the first byte. *Selected by* is the value of another field where several\n"
	"instructions share an opcode. Every field that is not an operand must be zero. *Log* is "
	"the\n"
	"kernel's and `bpftool`'s text, here with registers r1 and r2, offset 8 and number 5.\n"
	"*Meaning* is C: `a` is the destination (of atomics: the old word in memory), `b` the "
	"source,\n"
	"`U` the unsigned word of the instruction's width, `BITS` that width, `S` reads as "
	"signed.\n"
	"32-bit arithmetic clears the upper half of its destination.\n";

static const char *section_of(enum fort_kind kind)
{
	switch (kind) {
	case FORT_ALU_K:
	case FORT_ALU_X:
	case FORT_NEG: return "Arithmetic";
	case FORT_MOV_K:
	case FORT_MOV_X:
	case FORT_MOVSX: return "Moves";
	case FORT_END: return "Byte order";
	case FORT_LDX:
	case FORT_ST:
	case FORT_STX: return "Memory";
	case FORT_ATOMIC: return "Atomics";
	case FORT_LDACQ:
	case FORT_STREL: return "Load-acquire and store-release";
	case FORT_LDIMM:
	case FORT_LDIMM_HIGH: return "64-bit immediates";
	case FORT_LDABS:
	case FORT_LDIND: return "Legacy packet loads";
	default: return "Control";
	}
}

static const char *operands_of(enum fort_kind kind)
{
	switch (kind) {
	case FORT_ALU_K:
	case FORT_MOV_K: return "dst, imm";
	case FORT_ALU_X:
	case FORT_MOV_X:
	case FORT_MOVSX: return "dst, src";
	case FORT_NEG:
	case FORT_END:
	case FORT_CALLX: return "dst";
	case FORT_LDX:
	case FORT_LDACQ: return "dst, [src+off]";
	case FORT_ST: return "[dst+off], imm";
	case FORT_STX:
	case FORT_STREL:
	case FORT_ATOMIC: return "[dst+off], src";
	case FORT_LDIMM: return "dst, imm64";
	case FORT_LDABS: return "imm";
	case FORT_LDIND: return "src, imm";
	case FORT_JA:
	case FORT_MAY_GOTO: return "target";
	case FORT_JCC_K: return "dst, imm, target";
	case FORT_JCC_X: return "dst, src, target";
	case FORT_CALL: return "imm";
	default: return "";
	}
}

/* Code in a table cell: a bar would end the cell. */
static void put_code(struct fort_text *out, const char *code)
{
	fort_text_add(out, " `");
	for (; *code; code++)
		fort_text_add(out, *code == '|' ? "\\%c" : "%c", *code);
	fort_text_add(out, "` |");
}

static void put_row(struct fort_text *out, enum fort_row row)
{
	static const char *const fields[] = {"", "off", "imm", "src"};
	const struct fort_row_info *info = &fort_rows[row];
	struct fort_insn insn = fort_insn_make(row, 1, 2, 8, 5);
	char code[80];
	struct fort_text text = fort_text_on(code, sizeof(code));

	fort_text_add(out, "| `%02x` |", info->opcode);
	if (info->select == FORT_SELECT_NONE)
		fort_text_add(out, " |");
	else
		fort_text_add(out,
			      info->value > 64 || info->kind == FORT_ATOMIC ? " %s 0x%02x |"
									    : " %s %d |",
			      fields[info->select], info->value);
	fort_text_add(&text, "%s %s", info->name, operands_of(info->kind));
	if (info->kind == FORT_LDIMM && info->op != FORT_OP_CONST) {
		fort_text_clear(&text);
		fort_text_add(&text, "%s dst, %s imm%s", info->name, info->symbol,
			      memchr(info->uses, 'H', sizeof(info->uses)) ? ", next_imm" : "");
	}
	put_code(out, text.data);
	fort_text_clear(&text);
	fort_insn_text(&insn, NULL, &text);
	put_code(out, text.data + strlen("(xx) "));
	if (meanings[row])
		put_code(out, meanings[row]);
	else
		fort_text_add(out, " |");
	fort_text_add(out, "\n");
}

static void put_all(struct fort_text *out)
{
	const char *section = "";

	fort_text_add(out, "%s", intro);
	for (unsigned row = 0; row < FORT_ROWS; row++) {
		enum fort_kind kind = fort_rows[row].kind;

		if (kind == FORT_LDIMM_HIGH)
			continue; /* the second slot of the row before */
		if (strcmp(section, section_of(kind))) {
			section = section_of(kind);
			fort_text_add(
				out,
				"\n## %s\n\n| Opcode | Selected by | Assembler | Log | Meaning |\n"
				"| --- | --- | --- | --- | --- |\n",
				section);
		}
		put_row(out, row);
	}
}

static int check(const char *path, const struct fort_text *wanted)
{
	char *found = malloc(wanted->length + 2);
	FILE *file = fopen(path, "r");
	size_t bytes = found && file ? fread(found, 1, wanted->length + 1, file) : 0;
	bool same = bytes == wanted->length && !memcmp(found, wanted->data, bytes);

	if (file)
		fclose(file);
	free(found);
	printf("1..1\n%sok 1 - %s is current\n", same ? "" : "not ", path);
	return same ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct fort_text text = fort_text_new();
	int status = 0;

	put_all(&text);
	if (argc == 3 && !strcmp(argv[1], "--check"))
		status = check(argv[2], &text);
	else
		fwrite(text.data, 1, text.length, stdout);
	fort_text_free(&text);
	return status;
}
