#include "isa/asm.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

/* A piece of the text, and where it stands for complaints. */
struct word {
	const char *at;
	size_t bytes;
	uint32_t line, column;
};

struct label {
	struct word name;
	uint32_t slot;
};

/* An instruction whose target is a label: known once all text is read. */
struct fixup {
	struct word name;
	uint32_t slot;
	bool wide; /* the distance goes to imm, not to off */
};

struct assembler {
	const char *at, *end, *line_start;
	uint32_t line;
	struct fort_raw_insn *insns;
	uint32_t n_insns, max_insns;
	struct label *labels; /* open-addressed by name; a free place has no name.at */
	uint32_t label_mask;
	struct fixup *fixups;
	uint32_t n_fixups;
	int64_t first_exit; /* slot, or -1 */
	struct fort_asm_error *error;
};

/* --- characters and words --- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       c == '.';
}

#define LINE_END (-1)

/* The next character that matters on this line, or LINE_END. */
static int peek(struct assembler *a)
{
	while (a->at < a->end && (*a->at == ' ' || *a->at == '\t' || *a->at == '\r'))
		a->at++;
	return a->at == a->end || *a->at == '\n' || *a->at == '#' ? LINE_END : (uint8_t)*a->at;
}

static int fail_at(struct assembler *a, uint32_t line, uint32_t column, const char *expected)
{
	*a->error = (struct fort_asm_error){line, column, expected};
	return -EINVAL;
}

/* Complains about what comes next. */
static int fail(struct assembler *a, const char *expected)
{
	peek(a);
	return fail_at(a, a->line, (uint32_t)(a->at - a->line_start) + 1, expected);
}

static int fail_word(struct assembler *a, const struct word *word, const char *expected)
{
	return fail_at(a, word->line, word->column, expected);
}

static bool take(struct assembler *a, char c)
{
	if (peek(a) != c)
		return false;
	a->at++;
	return true;
}

static int expect(struct assembler *a, char c, const char *expected)
{
	return take(a, c) ? 0 : fail(a, expected);
}

/* Letters, digits, `_` and `.`; empty when something else comes next. */
static struct word next_word(struct assembler *a)
{
	struct word word = {.line = a->line};

	peek(a);
	word.at = a->at;
	word.column = (uint32_t)(a->at - a->line_start) + 1;
	while (a->at < a->end && is_word_char(*a->at))
		a->at++;
	word.bytes = (size_t)(a->at - word.at);
	return word;
}

static bool word_is(const struct word *word, const char *string)
{
	return strlen(string) == word->bytes && !memcmp(word->at, string, word->bytes);
}

static bool next_is_word(struct assembler *a, const char *string)
{
	const char *before = a->at;
	struct word word = next_word(a);

	if (word_is(&word, string))
		return true;
	a->at = before;
	return false;
}

/* --- operands --- */

/* r0 to r15, with or without %. */
static bool take_register(struct assembler *a, uint8_t *out)
{
	const char *before = a->at;
	struct word word;
	unsigned number;

	(void)take(a, '%');
	word = next_word(a);
	if (word.bytes >= 2 && word.bytes <= 3 && word.at[0] == 'r' && is_digit(word.at[1])) {
		number = (unsigned)(word.at[1] - '0');
		if (word.bytes == 3)
			number = is_digit(word.at[2]) && number == 1
					 ? 10 + (unsigned)(word.at[2] - '0')
					 : 16;
		if (number < 16) {
			*out = (uint8_t)number;
			return true;
		}
	}
	a->at = before;
	return false;
}

static int read_register(struct assembler *a, uint8_t *out)
{
	return take_register(a, out) ? 0 : fail(a, "a register");
}

static int digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Digits, decimal or 0x hex, of at most 64 bits. */
static int read_magnitude(struct assembler *a, uint64_t *out)
{
	struct word word = next_word(a);
	bool hex = word.bytes > 2 && word.at[0] == '0' && (word.at[1] | 0x20) == 'x';
	uint64_t value = 0;

	if (!word.bytes)
		return fail_word(a, &word, "a number");
	for (size_t i = hex ? 2 : 0; i < word.bytes; i++) {
		int digit = digit_value(word.at[i]);

		if (digit >= (hex ? 16 : 10))
			return fail_word(a, &word, "a number");
		if (__builtin_mul_overflow(value, hex ? 16u : 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return fail_word(a, &word, "a number of at most 64 bits");
	}
	*out = value;
	return 0;
}

/* A number that fits `bits`, read as signed or as unsigned; sign-extended from `bits`. */
static int read_number(struct assembler *a, unsigned bits, bool is_unsigned, const char *expected,
		       int64_t *out)
{
	int sign = peek(a);
	const char *before = a->at;
	uint64_t limit = 1ull << (bits - 1), magnitude;
	unsigned shift = 64 - bits;
	int err;

	if (sign == '-' || sign == '+')
		a->at++;
	err = read_magnitude(a, &magnitude);
	if (err)
		return err;
	if (sign != '-')
		limit = is_unsigned ? limit - 1 + limit : limit - 1;
	if (magnitude > limit) {
		a->at = before;
		return fail(a, expected);
	}
	if (sign == '-')
		magnitude = 0 - magnitude;
	*out = (int64_t)(magnitude << shift) >> shift;
	return 0;
}

static int read_imm32(struct assembler *a, int64_t *out)
{
	return read_number(a, 32, true, "a number of at most 32 bits", out);
}

/* [reg], [reg+off], [reg-off] */
static int read_memory(struct assembler *a, uint8_t *reg, int16_t *off)
{
	int64_t number = 0;
	int err = expect(a, '[', "[register+offset]");

	if (!err)
		err = read_register(a, reg);
	if (!err && (peek(a) == '+' || peek(a) == '-'))
		err = read_number(a, 16, false, "an offset of at most 16 bits", &number);
	*off = (int16_t)number;
	return err ? err : expect(a, ']', "+, - or ]");
}

static int read_comma(struct assembler *a)
{
	return expect(a, ',', "a comma");
}

/* A label, to be resolved later, or a distance with its sign. */
static int read_target(struct assembler *a, bool wide, int64_t *distance)
{
	struct word name;
	int c = peek(a);

	*distance = 0;
	if (c == '+' || c == '-')
		return read_number(a, wide ? 32 : 16, false, "a distance that fits the jump",
				   distance);
	name = next_word(a);
	if (!name.bytes || is_digit(name.at[0]))
		return fail_word(a, &name, "a label, +N or -N");
	a->fixups[a->n_fixups++] = (struct fixup){name, a->n_insns, wide};
	return 0;
}

/* --- instructions --- */

/* The mnemonic as isa.def writes it: words joined by one space. */
struct mnemonic {
	char text[32];
	struct word first;
};

static void append(struct mnemonic *m, const char *string, size_t bytes)
{
	size_t used = strlen(m->text);

	if (bytes >= sizeof(m->text) - used)
		bytes = sizeof(m->text) - used - 1; /* no row is that long: it will not be found */
	memcpy(m->text + used, string, bytes);
	m->text[used + bytes] = 0;
}

static struct mnemonic read_mnemonic(struct assembler *a)
{
	struct mnemonic m = {.first = next_word(a)};
	struct word word;
	uint8_t reg;

	append(&m, m.first.at, m.first.bytes);
	if (word_is(&m.first, "lock")) {
		append(&m, " ", 1);
		if (next_is_word(a, "fetch"))
			append(&m, "fetch_", 6);
		word = next_word(a);
		append(&m, word.at, word.bytes);
	} else if (word_is(&m.first, "call")) {
		const char *before = a->at;

		if (next_is_word(a, "local"))
			append(&m, " local", 6);
		else if (next_is_word(a, "kfunc"))
			append(&m, " kfunc", 6);
		else if (take_register(a, &reg)) {
			append(&m, "x", 1);
			a->at = before;
		}
	}
	return m;
}

/* The first row with this mnemonic and, if `kind` is not negative, this kind. */
static int find_row(const char *name, int kind)
{
	for (int row = 0; row < FORT_ROWS; row++) {
		const struct fort_row_info *info = &fort_rows[row];
		bool other_name = info->kind == FORT_END && !strcmp(info->symbol, name);

		if (*name && (!strcmp(info->name, name) || other_name) &&
		    (kind < 0 || info->kind == kind))
			return row;
	}
	return -1;
}

static int read_reg_or_imm(struct assembler *a, const char *name, int kind_imm, int kind_reg,
			   struct fort_insn *insn)
{
	uint8_t src = 0;
	int64_t imm = 0;
	bool is_reg = take_register(a, &src);
	int row = find_row(name, is_reg ? kind_reg : kind_imm);

	if (row < 0)
		return fail(a, is_reg ? "a number" : "a register");
	if (!is_reg) {
		int err = read_imm32(a, &imm);

		if (err)
			return err;
	}
	*insn = fort_insn_make((enum fort_row)row, insn->dst, src, insn->off, imm);
	return 0;
}

static int read_alu(struct assembler *a, const char *name, struct fort_insn *insn)
{
	int err = read_register(a, &insn->dst);
	bool move = insn->op == FORT_OP_MOV;

	if (err || insn->kind == FORT_NEG || insn->kind == FORT_END)
		return err;
	err = read_comma(a);
	if (err)
		return err;
	if (insn->kind == FORT_MOVSX)
		return read_register(a, &insn->src);
	return read_reg_or_imm(a, name, move ? FORT_MOV_K : FORT_ALU_K,
			       move ? FORT_MOV_X : FORT_ALU_X, insn);
}

static int read_load(struct assembler *a, struct fort_insn *insn)
{
	int err = read_register(a, &insn->dst);

	if (!err)
		err = read_comma(a);
	return err ? err : read_memory(a, &insn->src, &insn->off);
}

static int read_store(struct assembler *a, struct fort_insn *insn)
{
	int err = read_memory(a, &insn->dst, &insn->off);

	if (!err)
		err = read_comma(a);
	if (err)
		return err;
	return insn->kind == FORT_ST ? read_imm32(a, &insn->imm) : read_register(a, &insn->src);
}

static int read_packet_load(struct assembler *a, struct fort_insn *insn)
{
	int err = 0;

	if (insn->kind == FORT_LDIND) {
		err = read_register(a, &insn->src);
		if (!err)
			err = read_comma(a);
	}
	return err ? err : read_imm32(a, &insn->imm);
}

/* The row of `lddw` whose symbol comes next; the plain one if none does. */
static int pseudo_row(struct assembler *a)
{
	for (int row = 0; row < FORT_ROWS; row++)
		if (fort_rows[row].kind == FORT_LDIMM && *fort_rows[row].symbol &&
		    next_is_word(a, fort_rows[row].symbol))
			return row;
	return FORT_ROW_LDIMM;
}

static int read_ldimm(struct assembler *a, struct fort_insn *insn)
{
	int64_t low, high = 0;
	int err = read_register(a, &insn->dst);

	if (!err)
		err = read_comma(a);
	if (err)
		return err;
	*insn = fort_insn_make((enum fort_row)pseudo_row(a), insn->dst, 0, 0, 0);
	if (insn->op == FORT_OP_CONST)
		return read_number(a, 64, true, "a number of at most 64 bits", &insn->imm);
	err = insn->op == FORT_OP_FUNC ? read_target(a, true, &low) : read_imm32(a, &low);
	if (!err && take(a, ','))
		err = read_imm32(a, &high);
	insn->imm = (int64_t)((uint64_t)(uint32_t)low | (uint64_t)high << 32);
	return err;
}

static int read_jump(struct assembler *a, const char *name, struct fort_insn *insn)
{
	bool wide = insn->op == FORT_OP_JA32;
	int64_t distance;
	int err = 0;

	if (insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X) {
		err = read_register(a, &insn->dst);
		if (!err)
			err = read_comma(a);
		if (!err)
			err = read_reg_or_imm(a, name, FORT_JCC_K, FORT_JCC_X, insn);
		if (!err)
			err = read_comma(a);
	}
	if (!err)
		err = read_target(a, wide, &distance);
	if (err)
		return err;
	if (wide)
		insn->imm = distance;
	else
		insn->off = (int16_t)distance;
	return 0;
}

static int read_call(struct assembler *a, struct fort_insn *insn)
{
	int64_t off = 0;
	int err;

	if (insn->kind == FORT_CALLX)
		return read_register(a, &insn->dst);
	if (insn->op == FORT_OP_LOCAL)
		return read_target(a, true, &insn->imm);
	err = read_imm32(a, &insn->imm);
	if (!err && insn->op == FORT_OP_KFUNC && take(a, ','))
		err = read_number(a, 16, false, "an offset of at most 16 bits", &off);
	insn->off = (int16_t)off;
	return err;
}

static int read_operands(struct assembler *a, const char *name, struct fort_insn *insn)
{
	switch (insn->kind) {
	case FORT_LDX:
	case FORT_LDACQ: return read_load(a, insn);
	case FORT_ST:
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_STREL: return read_store(a, insn);
	case FORT_LDIMM: return read_ldimm(a, insn);
	case FORT_LDABS:
	case FORT_LDIND: return read_packet_load(a, insn);
	case FORT_JA:
	case FORT_JCC_K:
	case FORT_JCC_X:
	case FORT_MAY_GOTO: return read_jump(a, name, insn);
	case FORT_CALL:
	case FORT_CALLX: return read_call(a, insn);
	case FORT_EXIT: return 0;
	default: return read_alu(a, name, insn);
	}
}

static int read_insn(struct assembler *a)
{
	struct mnemonic m = read_mnemonic(a);
	int row = find_row(m.text, -1), err;
	struct fort_insn insn;

	if (row < 0)
		return fail_word(a, &m.first, "an instruction");
	insn = fort_insn_make((enum fort_row)row, 0, 0, 0, 0);
	err = read_operands(a, m.text, &insn);
	if (err)
		return err;
	if (a->max_insns - a->n_insns < fort_insn_slots(&insn))
		return fail_word(a, &m.first, "the end: a program has no more slots");
	if (insn.kind == FORT_EXIT && a->first_exit < 0)
		a->first_exit = a->n_insns;
	a->n_insns += fort_insn_encode(&insn, &a->insns[a->n_insns]);
	return 0;
}

/* --- labels --- */

/* The place of a label: where it is, or where it would go. There is always a free one. */
static struct label *label_place(struct assembler *a, const struct word *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < name->bytes; i++)
		hash = (hash ^ (uint8_t)name->at[i]) * 16777619u;
	for (uint32_t i = hash;; i++) {
		struct label *label = &a->labels[i & a->label_mask];

		if (!label->name.at || (label->name.bytes == name->bytes &&
					!memcmp(label->name.at, name->at, name->bytes)))
			return label;
	}
}

static int add_label(struct assembler *a, const struct word *name)
{
	struct label *label = label_place(a, name);

	if (label->name.at)
		return fail_word(a, name, "a label that is not taken");
	*label = (struct label){*name, a->n_insns};
	return 0;
}

static int resolve(struct assembler *a)
{
	for (uint32_t i = 0; i < a->n_fixups; i++) {
		const struct fixup *fixup = &a->fixups[i];
		const struct label *label = label_place(a, &fixup->name);
		int64_t slot = label->slot, distance;

		if (!label->name.at) {
			slot = word_is(&fixup->name, "exit") ? a->first_exit : -1;
			if (slot < 0)
				return fail_word(a, &fixup->name, "a label of this program");
		}
		distance = slot - fixup->slot - 1;
		if (!fixup->wide && distance != (int16_t)distance)
			return fail_word(a, &fixup->name, "a distance that fits the jump");
		if (fixup->wide)
			a->insns[fixup->slot].imm = (int32_t)distance;
		else
			a->insns[fixup->slot].off = (int16_t)distance;
	}
	return 0;
}

/* Labels first, then perhaps an instruction. */
static int read_line(struct assembler *a)
{
	while (peek(a) != LINE_END) {
		const char *before = a->at;
		struct word word = next_word(a);
		int err;

		if (word.bytes && take(a, ':')) {
			err = add_label(a, &word);
			if (err)
				return err;
			continue;
		}
		a->at = before;
		err = read_insn(a);
		if (err)
			return err;
		return peek(a) == LINE_END ? 0 : fail(a, "the end of the line");
	}
	return 0;
}

static int read_lines(struct assembler *a)
{
	while (a->at < a->end) {
		const char *newline;
		int err = read_line(a);

		if (err)
			return err;
		newline = memchr(a->at, '\n', (size_t)(a->end - a->at));
		a->at = newline ? newline + 1 : a->end;
		a->line_start = a->at;
		a->line++;
	}
	return a->n_insns ? resolve(a) : fail(a, "an instruction");
}

/* What the tables must hold: an instruction a line, a label a colon. */
static int allocate(struct assembler *a, struct fort_arena *arena)
{
	size_t lines = 1, colons = 0, places = 2;

	for (const char *c = a->at; c < a->end; c++) {
		lines += *c == '\n';
		colons += *c == ':';
	}
	while (places < 2 * (colons + 1))
		places *= 2;
	a->max_insns = lines < FORT_PROG_INSNS_MAX / 2 ? (uint32_t)lines * 2 : FORT_PROG_INSNS_MAX;
	a->label_mask = (uint32_t)places - 1;
	a->insns = FORT_ARENA_ARRAY(arena, a->max_insns, struct fort_raw_insn);
	a->labels = FORT_ARENA_ARRAY(arena, places, struct label);
	a->fixups = FORT_ARENA_ARRAY(arena, lines, struct fixup);
	return a->insns && a->labels && a->fixups ? 0 : -ENOMEM;
}

int fort_assemble(struct fort_arena *arena, const char *text, size_t bytes,
		  struct fort_assembly *out, struct fort_asm_error *error)
{
	struct assembler a = {
		.at = text,
		.end = text + bytes,
		.line_start = text,
		.line = 1,
		.first_exit = -1,
		.error = error,
	};
	int err;

	if (bytes > FORT_ASM_BYTES_MAX)
		return fail(&a, "no more than 64 MiB of text");
	err = allocate(&a, arena);
	if (!err)
		err = read_lines(&a);
	if (err)
		return err;
	*out = (struct fort_assembly){a.insns, a.n_insns};
	return 0;
}

void fort_asm_error_text(const struct fort_asm_error *error, struct fort_text *out)
{
	fort_text_add(out, "line %u, column %u: expected %s", error->line, error->column,
		      error->expected);
}
