#include "data.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "isa/asm.h"

enum section {
	SECTION_HEADER, /* before the first */
	SECTION_ASM,
	SECTION_RAW,
	SECTION_MEM,
	SECTION_RESULT,
	SECTION_ERROR,
	SECTION_C,
	SECTION_NO_REGISTER_OFFSET,
	SECTIONS
};

static const char *const section_names[SECTIONS] = {
	[SECTION_HEADER] = "",       [SECTION_ASM] = "asm",
	[SECTION_RAW] = "raw",       [SECTION_MEM] = "mem",
	[SECTION_RESULT] = "result", [SECTION_ERROR] = "error",
	[SECTION_C] = "c",           [SECTION_NO_REGISTER_OFFSET] = "no register offset",
};

/* A stretch of the file's text. */
struct piece {
	const char *at, *end;
};

struct parser {
	struct fort_arena *arena;
	struct data_case *out;
	struct fort_text *message;
	const char *at, *end;
	uint32_t line; /* of what was read last */
	enum section section;
	bool seen[SECTIONS];
	struct piece assembly;
	uint32_t assembly_line;
	/* Words of raw and bytes of mem, as many as the file could hold. */
	struct fort_raw_insn *raw;
	uint32_t n_raw;
	uint8_t *mem;
};

static int fail(struct parser *p, const char *what)
{
	fort_text_add(p->message, "line %u: %s", p->line, what);
	return -EINVAL;
}

static struct piece trim(struct piece piece)
{
	while (piece.at < piece.end && strchr(" \t\r", *piece.at) && *piece.at)
		piece.at++;
	while (piece.at < piece.end && strchr(" \t\r", piece.end[-1]) && piece.end[-1])
		piece.end--;
	return piece;
}

static bool piece_is(struct piece piece, const char *string)
{
	size_t length = (size_t)(piece.end - piece.at);

	return length == strlen(string) && !memcmp(piece.at, string, length);
}

static const char *copy_string(struct parser *p, struct piece piece)
{
	size_t length = (size_t)(piece.end - piece.at);
	char *copy = fort_arena_alloc(p->arena, length + 1);

	if (copy)
		memcpy(copy, piece.at, length);
	return copy;
}

/* --- numbers --- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* Decimal, or hex after 0x; at most 64 bits, nothing else. */
static bool read_number(struct piece piece, uint64_t *out)
{
	bool hex = piece.end - piece.at > 2 && piece.at[0] == '0' && piece.at[1] == 'x';
	uint64_t value = 0;

	if (hex)
		piece.at += 2;
	if (piece.at == piece.end)
		return false;
	for (; piece.at < piece.end; piece.at++) {
		int digit = digit_of(*piece.at);

		if (digit >= (hex ? 16 : 10) ||
		    __builtin_mul_overflow(value, hex ? 16u : 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
	}
	*out = value;
	return true;
}

/* --- sections --- */

/* `# word: value` before the first section. */
static int read_directive(struct parser *p, struct piece comment)
{
	const struct {
		const char *name, **value;
	} directives[] = {
		{"engine", &p->out->engine},
		{"isolation", &p->out->isolation},
		{"profile", &p->out->profile},
		{"kernel", &p->out->kernel},
	};
	struct piece key = trim(comment), value;
	const char *colon = memchr(key.at, ':', (size_t)(key.end - key.at));

	if (!colon)
		return 0;
	value = trim((struct piece){colon + 1, key.end});
	key.end = colon;
	for (const char *c = key.at; c < key.end; c++)
		if (*c < 'a' || *c > 'z')
			return 0; /* prose */
	if (piece_is(key, "fault")) {
		p->out->has_fault = true;
		return read_number(value, &p->out->fault) ? 0 : fail(p, "expected an offset");
	}
	for (unsigned i = 0; i < FORT_LEN(directives); i++) {
		if (!piece_is(key, directives[i].name))
			continue;
		if (*directives[i].value || value.at == value.end)
			return fail(p, "expected one value");
		*directives[i].value = copy_string(p, value);
		return *directives[i].value ? 0 : -ENOMEM;
	}
	return fail(p, "unknown directive");
}

static int read_raw(struct parser *p, struct piece line)
{
	uint64_t word;

	if (!read_number(line, &word))
		return fail(p, "expected a 64-bit word");
	memcpy(&p->raw[p->n_raw++], &word, sizeof(word));
	return 0;
}

static int read_mem(struct parser *p, struct piece line)
{
	while (line.at < line.end) {
		int high = digit_of(line.at[0]);
		int low = line.end - line.at > 1 ? digit_of(line.at[1]) : 16;

		if (high > 15 || low > 15)
			return fail(p, "expected two hex digits");
		if (p->out->mem_bytes == FORT_PLUGIN_MEM_BYTES_MAX)
			return fail(p, "too much memory");
		p->mem[p->out->mem_bytes++] = (uint8_t)(high << 4 | low);
		line.at += 2;
		if (line.at < line.end && *line.at != ' ' && *line.at != '\t')
			return fail(p, "expected a space between bytes");
		line = trim(line);
	}
	return 0;
}

static int read_content(struct parser *p, struct piece line)
{
	struct data_case *out = p->out;

	switch (p->section) {
	case SECTION_HEADER: return fail(p, "expected a section");
	case SECTION_RAW: return read_raw(p, line);
	case SECTION_MEM: return read_mem(p, line);
	case SECTION_RESULT:
		if (out->has_result || !read_number(line, &out->result))
			return fail(p, "expected one number");
		out->has_result = true;
		return 0;
	case SECTION_ERROR:
		if (out->error)
			return fail(p, "expected one line");
		out->error = copy_string(p, line);
		return out->error ? 0 : -ENOMEM;
	default: return 0;
	}
}

static int open_section(struct parser *p, struct piece name)
{
	for (unsigned i = SECTION_HEADER + 1; i < SECTIONS; i++) {
		if (!piece_is(name, section_names[i]))
			continue;
		if (p->seen[i])
			return fail(p, "the section occurs twice");
		p->seen[i] = true;
		p->section = i;
		if (i == SECTION_ASM) {
			p->assembly = (struct piece){p->at, p->at};
			p->assembly_line = p->line;
		}
		return 0;
	}
	return fail(p, "unknown section");
}

static int read_line(struct parser *p, struct piece line)
{
	const char *hash = memchr(line.at, '#', (size_t)(line.end - line.at));

	if (hash && p->section == SECTION_HEADER) {
		int err = read_directive(p, (struct piece){hash + 1, line.end});

		if (err)
			return err;
	}
	line = trim((struct piece){line.at, hash ? hash : line.end});
	if (line.end - line.at >= 2 && !memcmp(line.at, "--", 2))
		return open_section(p, trim((struct piece){line.at + 2, line.end}));
	if (p->section == SECTION_ASM)
		p->assembly.end = p->at;
	return line.at == line.end ? 0 : read_content(p, line);
}

static int assemble(struct parser *p)
{
	struct fort_assembly assembly;
	struct fort_asm_error error;
	size_t bytes = (size_t)(p->assembly.end - p->assembly.at);
	int err = fort_assemble(p->arena, p->assembly.at, bytes, &assembly, &error);

	if (err == -EINVAL) {
		error.line += p->assembly_line;
		fort_asm_error_text(&error, p->message);
	}
	if (err)
		return err;
	p->out->insns = assembly.insns;
	p->out->n_insns = assembly.n_insns;
	return 0;
}

static int finish(struct parser *p)
{
	struct data_case *out = p->out;

	if (p->seen[SECTION_ASM]) {
		int err = assemble(p);

		if (err)
			return err;
	}
	if (p->seen[SECTION_RAW]) {
		if (!p->n_raw)
			return fail(p, "raw: no words");
		if (out->insns && (out->n_insns != p->n_raw ||
				   memcmp(out->insns, p->raw, p->n_raw * sizeof(*p->raw))))
			return fail(p, "asm and raw differ");
		out->insns = p->raw;
		out->n_insns = p->n_raw;
	}
	if (!out->insns)
		return fail(p, "neither asm nor raw");
	if (out->has_result == (out->error || out->has_fault))
		return fail(p, "expected either a result or an error");
	return 0;
}

int data_parse(struct fort_arena *arena, const char *text, size_t bytes, struct data_case *out,
	       struct fort_text *message)
{
	struct data_case found = {0};
	struct parser p = {
		.arena = arena,
		.out = &found,
		.message = message,
		.at = text,
		.end = text + bytes,
		.raw = FORT_ARENA_ARRAY(arena, bytes / 2 + 1, struct fort_raw_insn),
		.mem = fort_arena_alloc(arena, FORT_PLUGIN_MEM_BYTES_MAX),
	};
	int err = p.raw && p.mem ? 0 : -ENOMEM;

	while (!err && p.at < p.end) {
		const char *newline = memchr(p.at, '\n', (size_t)(p.end - p.at));
		struct piece line = {p.at, newline ? newline : p.end};

		p.at = newline ? newline + 1 : p.end;
		p.line++;
		err = read_line(&p, line);
	}
	if (!err)
		err = finish(&p);
	if (err)
		return err;
	found.mem = p.mem;
	*out = found;
	return 0;
}

bool data_lists(const char *list, const char *word)
{
	size_t length = strlen(word);

	if (!list)
		return true;
	for (const char *at = list; *at; at += *at == ',') {
		size_t item = strcspn(at, ",");

		if (item == length && !memcmp(at, word, length))
			return true;
		at += item;
	}
	return false;
}
