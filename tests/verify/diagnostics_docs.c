/* Prints docs/diagnostics.md: what step/diag.def, verify/explain.def and verify/patterns.def say.
 * With `--check FILE`, a TAP test that FILE is current.
 *
 *     build/gcc/tests/verify/diagnostics_docs > docs/diagnostics.md
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/explain.h"

#define WIDTH 100u

static const char intro[] =
	"Generated from `src/step/diag.def`, `src/verify/explain.def` and "
	"`src/verify/patterns.def` by"
	" `build/gcc/tests/verify/diagnostics_docs > docs/diagnostics.md`; a test checks that this "
	"file is"
	" current. `bpfort explain CODE` prints an entry, `bpfort verify FILE --explain` fills it "
	"in for a"
	" program: numbers, source lines, and the earlier events that led there.";

static const char legend[] =
	"Codes stay what they are, and are not used again. \"Class\" says who "
	"has to change something:"
	" `source_bug` the author; `lowering` the author, to work around what "
	"the compiler made of the"
	" source; `environment` whoever loads the program, with what does not support it; `limit` "
	"the "
	"author, for it is too large or too"
	" complex; `false_rejection` us. \"Errno\" is what loading fails with. "
	"\"Log\" is the last line of the"
	" verifier log, in the kernel's words. Words in braces stand for "
	"parts of the program: `{r}` is the"
	" register's number, `{type}` what it holds, `{range}` the numbers it "
	"may hold, `{0}` to `{3}`"
	" numbers of the instruction.";

/* By the first two digits of codes. */
static const char *const groups[] = {
	[1] = "The program's text",
	[2] = "Registers and pointers",
	[3] = "Maps' values and other memory",
	[4] = "The stack",
	[5] = "Packets",
	[6] = "The context",
	[7] = "Calls",
	[8] = "References",
	[9] = "Limits",
	[10] = "Not supported yet",
	[11] = "Faults of bpfort",
	[12] = "Results",
	[13] = "What a program gives away",
	[14] = "Iterators and dynptrs",
	[15] = "Functions of the kernel",
	[16] = "Types of the kernel",
	[17] = "Locks, timers and other fields of values",
};

/* "12" of F1234; 0 for a group without a name. */
static unsigned group_of(const struct fort_diag_info *info)
{
	unsigned group = (unsigned)strtoul(info->code + 1, NULL, 10) / 100;

	return group < FORT_LEN(groups) && groups[group] ? group : 0;
}

/* --- text --- */

/* What means something in Markdown, outside of code. */
static void put_escaped(struct fort_text *out, const char *text, size_t length, bool *code)
{
	for (size_t i = 0; i < length; i++) {
		*code ^= text[i] == '`';
		if (!*code && strchr("<*", text[i]))
			fort_text_add(out, "\\");
		fort_text_put(out, text + i, 1);
	}
}

/* A paragraph, or an item of a list whose further lines are set in. */
static void put_wrapped(struct fort_text *out, const char *text, const char *inset)
{
	size_t column = 0;
	bool code = false;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column && column + 1 + word > WIDTH) {
			fort_text_add(out, "\n%s", inset);
			column = strlen(inset);
		} else if (column) {
			fort_text_add(out, " ");
			column++;
		}
		put_escaped(out, text, word, &code);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	fort_text_add(out, "\n");
}

static void put_item(struct fort_text *out, const char *name, const char *text)
{
	struct fort_text item = fort_text_new();

	fort_text_add(&item, "- %s: %s", name, text);
	put_wrapped(out, item.data, "  ");
	fort_text_free(&item);
}

/* The text has lines of its own; each becomes code. */
static void put_code(struct fort_text *out, const char *name, const char *text)
{
	fort_text_add(out, "- %s:", name);
	while (*text) {
		size_t length = strcspn(text, "\n");

		fort_text_add(out, " `%.*s`", (int)length, text);
		text += length + (text[length] == '\n');
	}
	fort_text_add(out, "\n");
}

/* --- entries --- */

static void put_diag(struct fort_text *out, enum fort_diag diag)
{
	const struct fort_diag_info *info = fort_diag_info(diag);
	const struct fort_explain_info *explain = fort_explain_info(diag);
	struct fort_text facts = fort_text_new();

	fort_text_add(out, "\n### %s\n\n**%s**\n\n", info->code, info->title);
	put_wrapped(out, explain->why, "");
	fort_text_add(out, "\n");
	put_item(out, "Message", info->message);
	put_item(out, "To fix", info->hint);
	fort_text_add(&facts, "`%s`, errno `%s`", fort_cause_name((enum fort_cause)explain->cause),
		      strerrorname_np(info->errno_value));
	put_item(out, "Class", facts.data);
	put_code(out, "Log", info->kernel);
	fort_text_free(&facts);
}

static int by_code(const void *a, const void *b)
{
	const enum fort_diag *x = a, *y = b;

	return strcmp(fort_diag_info(*x)->code, fort_diag_info(*y)->code);
}

/* False: a code belongs to no group. */
static bool put_diags(struct fort_text *out)
{
	enum fort_diag diags[FORT_DIAGS];
	unsigned group = 0, n = 0;

	for (unsigned i = 1; i < FORT_DIAGS; i++)
		diags[n++] = (enum fort_diag)i;
	qsort(diags, n, sizeof(diags[0]), by_code);
	for (unsigned i = 0; i < n; i++) {
		unsigned next = group_of(fort_diag_info(diags[i]));

		if (!next)
			return false;
		if (next != group)
			fort_text_add(out, "\n## %s\n", groups[next]);
		group = next;
		put_diag(out, diags[i]);
	}
	return true;
}

static const struct {
	const char *name, *message;
	enum fort_cause cause;
} patterns[] = {
#define FORT_PATTERN(id, cause, message, ...) {#id, message, FORT_CAUSE_##cause},
#include "verify/patterns.def"
};

static void put_patterns(struct fort_text *out)
{
	fort_text_add(out, "\n## Patterns\n\n");
	put_wrapped(out,
		    "Rejections of well-known kinds are told better than their code alone can: "
		    "`pattern` in"
		    " `--json` names the kind.",
		    "");
	fort_text_add(out, "\n");
	for (size_t i = 0; i < FORT_LEN(patterns); i++) {
		struct fort_text name = fort_text_new();

		fort_text_add(&name, "`%s` (`%s`)", patterns[i].name,
			      fort_cause_name(patterns[i].cause));
		put_item(out, name.data, patterns[i].message);
		fort_text_free(&name);
	}
}

static bool put_all(struct fort_text *out)
{
	bool good;

	fort_text_add(out, "# Diagnostics\n\n");
	put_wrapped(out, intro, "");
	fort_text_add(out, "\n");
	put_wrapped(out, legend, "");
	good = put_diags(out);
	put_patterns(out);
	return good;
}

/* What is not supported yet is for whoever loads it to know: another version may. */
static bool later_is_environment(void)
{
	for (unsigned i = 1; i < FORT_DIAGS; i++)
		if (fort_diag_info((enum fort_diag)i)->class == FORT_CLASS_LATER &&
		    fort_explain_info((enum fort_diag)i)->cause != FORT_CAUSE_ENVIRONMENT)
			return false;
	return true;
}

static int check(const char *path, const struct fort_text *wanted, bool complete)
{
	char *found = malloc(wanted->length + 2);
	FILE *file = fopen(path, "r");
	size_t bytes = found && file ? fread(found, 1, wanted->length + 1, file) : 0;
	bool same = bytes == wanted->length && !memcmp(found, wanted->data, bytes);
	bool later = later_is_environment();

	if (file)
		fclose(file);
	free(found);
	printf("1..3\n%sok 1 - %s is current\n", same ? "" : "not ", path);
	printf("%sok 2 - every code belongs to a group that has a name\n", complete ? "" : "not ");
	printf("%sok 3 - what is not supported yet is of class environment\n", later ? "" : "not ");
	return same && complete && later ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct fort_text text = fort_text_new();
	bool complete = put_all(&text);
	int status = complete ? 0 : 1;

	if (argc == 3 && !strcmp(argv[1], "--check"))
		status = check(argv[2], &text, complete);
	else
		fwrite(text.data, 1, text.length, stdout);
	fort_text_free(&text);
	return status;
}
