/* Cases of the abstract operations as text (transfer.txt has the format): what is known before, the
 * operation, and exactly what is known after. Every result is also held against runs on members.
 * usage: test_domain_cases FILE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain/scalar.h"

#define LINE_BYTES 512
#define MEMBERS    5u

struct runner {
	const char *file;
	unsigned line, count, failed;
};

static const struct {
	const char *name;
	enum fort_op op;
} alu_names[] =
	{
#define FORT_ALU(op, ...) {#op, FORT_OP_##op},
#include "isa/isa.def"
},
  jcc_names[] = {
#define FORT_JCC(op, ...) {#op, FORT_OP_##op},
#include "isa/isa.def"
};

/* --- values: parts joined by &, each a number, [LOW,HIGH], s[LOW,HIGH] read signed, VALUE/MASK,
 * or `any` --- */

static bool read_part(const char *text, struct fort_scalar *out)
{
	char *end;
	uint64_t low, high;

	*out = fort_scalar_unknown();
	if (!strcmp(text, "any"))
		return true;
	if (text[0] == '[' || (text[0] == 's' && text[1] == '[')) {
		bool is_signed = text[0] == 's';

		low = strtoull(text + 1 + is_signed, &end, 0);
		if (*end != ',')
			return false;
		high = strtoull(end + 1, &end, 0);
		*out = is_signed ? fort_scalar_signed_range((int64_t)low, (int64_t)high)
				 : fort_scalar_range(low, high);
		return !strcmp(end, "]");
	}
	low = strtoull(text, &end, 0);
	if (*end == '/') {
		high = strtoull(end + 1, &end, 0);
		out->bits = (struct fort_tnum){low & ~high, high};
		return !*end && fort_scalar_reduce(out);
	}
	*out = fort_scalar_const(low);
	return !*end && end != text;
}

static bool read_value(char *text, struct fort_scalar *out)
{
	char *rest = text, *part;

	*out = fort_scalar_unknown();
	while ((part = strsep(&rest, "&"))) {
		struct fort_scalar one;

		if (!read_part(part, &one) || !fort_scalar_meet(out, &one))
			return false;
	}
	return true;
}

/* --- what happens --- */

static bool same(const struct fort_scalar *a, const struct fort_scalar *b)
{
	return fort_scalar_covers(a, b) && fort_scalar_covers(b, a);
}

/* Members that show the ends. */
static unsigned some_members(const struct fort_scalar *a, uint64_t *out)
{
	uint64_t tries[MEMBERS] = {fort_scalar_umin(a), fort_scalar_umax(a),
				   (uint64_t)fort_scalar_smin(a), (uint64_t)fort_scalar_smax(a),
				   a->bits.value};
	unsigned n = 0;

	for (unsigned i = 0; i < MEMBERS; i++)
		if (fort_scalar_has(a, tries[i]))
			out[n++] = tries[i];
	return n;
}

static const char *check_alu(enum fort_op op, unsigned bits, const struct fort_scalar *a,
			     const struct fort_scalar *b, const struct fort_scalar *want)
{
	struct fort_scalar have = fort_scalar_alu(op, bits, a, b, false);
	uint64_t xs[MEMBERS], ys[MEMBERS];
	unsigned n = some_members(a, xs), m = some_members(b, ys);

	if (!n || !m)
		return "no member is known";
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < m; j++) {
			uint64_t result = fort_word_alu(op, bits, xs[i], ys[j]);

			if (!fort_scalar_has(&have, result))
				return "a result is lost";
			if (!fort_scalar_has(want, result))
				return "the case is wrong: a result is not in what it expects";
		}
	return same(&have, want) ? NULL : "something else is known";
}

static const char *check_jump(enum fort_op op, unsigned bits, bool holds, struct fort_scalar a,
			      struct fort_scalar b, const struct fort_scalar *want_a,
			      const struct fort_scalar *want_b, bool dead)
{
	uint64_t xs[MEMBERS], ys[MEMBERS];
	unsigned n = some_members(&a, xs), m = some_members(&b, ys);
	bool alive = fort_scalar_assume(op, bits, holds, &a, &b);

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < m; j++)
			if (fort_word_compare(op, bits, xs[i], ys[j]) == holds &&
			    !(alive && fort_scalar_has(&a, xs[i]) && fort_scalar_has(&b, ys[j])))
				return "a member is lost";
	if (dead || !alive)
		return dead && !alive ? NULL : dead ? "it can happen" : "it cannot happen";
	return same(&a, want_a) && same(&b, want_b) ? NULL : "something else is known";
}

/* --- cases: A OP B = RESULT, or A JUMP B (true|false) = A' B' or dead --- */

static bool find_op(const char *word, bool jump, enum fort_op *op, unsigned *bits)
{
	size_t n = jump ? FORT_LEN(jcc_names) : FORT_LEN(alu_names);
	size_t length = strlen(word);

	*bits = length > 2 && !strcmp(word + length - 2, "32") ? 32 : 64;
	length -= *bits == 32 ? 2 : 0;
	for (size_t i = 0; i < n; i++) {
		const char *name = jump ? jcc_names[i].name : alu_names[i].name;

		*op = jump ? jcc_names[i].op : alu_names[i].op;
		if (strlen(name) == length && !strncasecmp(name, word, length))
			return true;
	}
	return false;
}

static const char *run_case(char *line)
{
	char *words[8], *rest = line, *word;
	struct fort_scalar a, b, want, want_b;
	unsigned n = 0, bits;
	enum fort_op op;

	while (n < FORT_LEN(words) && (word = strsep(&rest, " \t")))
		if (*word)
			words[n++] = word;
	if (n < 5 || !read_value(words[0], &a) || !read_value(words[2], &b))
		return "not a case";
	if (n == 5 && !strcmp(words[3], "=") && find_op(words[1], false, &op, &bits))
		return read_value(words[4], &want) ? check_alu(op, bits, &a, &b, &want)
						   : "not a value";
	if (!find_op(words[1], true, &op, &bits) || n < 6 || strcmp(words[4], "=") ||
	    (strcmp(words[3], "true") && strcmp(words[3], "false")))
		return "not a case";
	want = want_b = a;
	if (strcmp(words[5], "dead") &&
	    (n != 7 || !read_value(words[5], &want) || !read_value(words[6], &want_b)))
		return "not a value";
	return check_jump(op, bits, !strcmp(words[3], "true"), a, b, &want, &want_b,
			  !strcmp(words[5], "dead"));
}

static int run_file(struct runner *r, const char *path)
{
	FILE *file = fopen(path, "r");
	char line[LINE_BYTES], copy[LINE_BYTES];

	if (!file)
		return -1;
	for (r->line = 1; fgets(line, sizeof(line), file); r->line++) {
		const char *why;

		line[strcspn(line, "#\n")] = 0;
		if (!line[strspn(line, " \t")])
			continue;
		strcpy(copy, line);
		why = run_case(copy);
		r->failed += why != NULL;
		printf("%sok %u - line %u: %s\n", why ? "not " : "", ++r->count, r->line, line);
		if (why)
			printf("# %s\n", why);
	}
	fclose(file);
	return 0;
}

int main(int argc, char **argv)
{
	struct runner r = {0};

	for (int i = 1; i < argc; i++)
		if (run_file(&r, argv[i])) {
			printf("Bail out! cannot read %s\n", argv[i]);
			return 1;
		}
	printf("1..%u\n", r.count);
	return r.failed || !r.count;
}
