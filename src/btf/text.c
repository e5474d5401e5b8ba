/* Values as C initialisers. */
#include <errno.h>

#include "btf/print.h"

struct line {
	struct fort_text *out;
	bool first; /* nothing written yet in the innermost braces */
	bool named; /* a member's name has been written: its value follows */
};

/* What stands between two parts. */
static void separate(struct line *line)
{
	if (!line->first && !line->named)
		fort_text_put(line->out, ",", 1);
	line->first = line->named = false;
}

static int open_brace(struct line *line, const char *brace)
{
	separate(line);
	fort_text_put(line->out, brace, 1);
	line->first = true;
	return 0;
}

static int close_brace(struct line *line, const char *brace)
{
	fort_text_put(line->out, brace, 1);
	line->first = false;
	return 0;
}

static int open_struct(void *owner, const char *type)
{
	(void)type;
	return open_brace(owner, "{");
}

static int close_struct(void *owner)
{
	return close_brace(owner, "}");
}

static int open_array(void *owner, uint32_t count)
{
	(void)count;
	return open_brace(owner, "[");
}

static int close_array(void *owner)
{
	return close_brace(owner, "]");
}

static int name(void *owner, const char *text)
{
	struct line *line = owner;

	separate(line);
	if (*text)
		fort_text_add(line->out, ".%s = ", text);
	line->named = true;
	return 0;
}

static int number(void *owner, int64_t value)
{
	struct line *line = owner;

	separate(line);
	fort_text_add(line->out, "%lld", (long long)value);
	return 0;
}

static int unsigned_number(void *owner, uint64_t value)
{
	struct line *line = owner;

	separate(line);
	fort_text_add(line->out, "%llu", (unsigned long long)value);
	return 0;
}

static int wide(void *owner, uint64_t high, uint64_t low, bool is_signed)
{
	struct line *line = owner;

	(void)is_signed;
	separate(line);
	if (high)
		fort_text_add(line->out, "0x%llx%016llx", (unsigned long long)high,
			      (unsigned long long)low);
	else
		fort_text_add(line->out, "0x%llx", (unsigned long long)low);
	return 0;
}

static int boolean(void *owner, bool value)
{
	struct line *line = owner;

	separate(line);
	fort_text_add(line->out, "%s", value ? "true" : "false");
	return 0;
}

static void put_character(struct line *line, char c)
{
	if (c == '"' || c == '\'' || c == '\\')
		fort_text_add(line->out, "\\%c", c);
	else if (c >= ' ' && c <= '~')
		fort_text_put(line->out, &c, 1);
	else if (c == '\n')
		fort_text_put(line->out, "\\n", 2);
	else
		fort_text_add(line->out, "\\%03o", (uint8_t)c);
}

static int character(void *owner, char value)
{
	struct line *line = owner;

	separate(line);
	fort_text_put(line->out, "'", 1);
	put_character(line, value);
	fort_text_put(line->out, "'", 1);
	return 0;
}

static int string(void *owner, const char *text, size_t length)
{
	struct line *line = owner;

	separate(line);
	fort_text_put(line->out, "\"", 1);
	for (size_t i = 0; i < length; i++)
		put_character(line, text[i]);
	fort_text_put(line->out, "\"", 1);
	return 0;
}

static int constant(void *owner, const char *text, int64_t value)
{
	struct line *line = owner;

	(void)value;
	separate(line);
	fort_text_add(line->out, "%s", text);
	return 0;
}

static int pointer(void *owner, uint64_t value)
{
	struct line *line = owner;

	separate(line);
	fort_text_add(line->out, "0x%llx", (unsigned long long)value);
	return 0;
}

static int real(void *owner, double value)
{
	struct line *line = owner;

	separate(line);
	fort_text_add(line->out, "%.9g", value);
	return 0;
}

static int raw(void *owner, const uint8_t *bytes, size_t count)
{
	struct line *line = owner;

	separate(line);
	fort_text_put(line->out, "<", 1);
	for (size_t i = 0; i < count; i++)
		fort_text_add(line->out, i ? " %02x" : "%02x", bytes[i]);
	fort_text_put(line->out, ">", 1);
	return 0;
}

int fort_btf_print_text(const struct fort_btf *btf, uint32_t id, const void *data, size_t bytes,
			struct fort_text *out)
{
	static const struct fort_btf_emitter emitter = {
		.open_struct = open_struct,
		.close_struct = close_struct,
		.open_array = open_array,
		.close_array = close_array,
		.name = name,
		.number = number,
		.unsigned_number = unsigned_number,
		.wide = wide,
		.boolean = boolean,
		.character = character,
		.string = string,
		.constant = constant,
		.pointer = pointer,
		.real = real,
		.raw = raw,
	};
	struct line line = {.out = out, .first = true};

	return fort_btf_walk(btf, id, data, bytes, &emitter, &line);
}
