/* Questions about the functions of a module. */
#include "attach/module.h"

#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

/* Index of the first symbol at or behind an address. */
static size_t first_symbol(const struct fort_module *module, uint64_t address)
{
	size_t low = 0, high = module->n_symbols;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (module->symbol[middle].start < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t first_frame(const struct fort_module *module, uint64_t address)
{
	size_t low = 0, high = module->n_frames;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (module->frame[middle] < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_function(const struct fort_symbol *symbol)
{
	return symbol->type == STT_FUNC || symbol->type == STT_GNU_IFUNC;
}

/* Where the next function starts, as far as anything says so; 0: unknown. */
static uint64_t next_start(const struct fort_module *module, uint64_t start)
{
	size_t symbol = first_symbol(module, start + 1), frame = first_frame(module, start + 1);
	uint64_t next = 0;

	while (symbol < module->n_symbols && !is_function(&module->symbol[symbol]))
		symbol++;
	if (symbol < module->n_symbols)
		next = module->symbol[symbol].start;
	if (frame < module->n_frames && (!next || module->frame[frame] < next))
		next = module->frame[frame];
	return next;
}

/* The function at `start`, whose largest symbol says `bytes` (0: nothing). */
static void describe(const struct fort_module *module, uint64_t start, uint64_t bytes,
		     const char *name, struct fort_function *out)
{
	uint64_t next = next_start(module, start);

	if (!bytes && next)
		bytes = next - start;
	if (bytes > FORT_FUNCTION_BYTES_MAX)
		bytes = FORT_FUNCTION_BYTES_MAX;
	out->start = start;
	out->bytes = bytes;
	snprintf(out->name, sizeof(out->name), "%s", name);
}

/* Does a symbol match what was asked for: a name, with or without a version? */
static bool name_matches(const struct fort_symbol *symbol, const char *wanted)
{
	const char *at = strchr(wanted, '@');
	size_t length = at ? (size_t)(at - wanted) : strlen(wanted);

	if (strncmp(symbol->name, wanted, length) != 0 || symbol->name[length])
		return at && !strcmp(symbol->name, wanted);
	if (!at)
		return true;
	if (at[1] == '@')
		return symbol->is_default && !strcmp(symbol->version, at + 2);
	return !strcmp(symbol->version, at + 1);
}

static void list(const struct fort_module *module, const char *name, struct fort_text *why)
{
	uint64_t last = 0;

	for (size_t i = 0; i < module->n_symbols; i++) {
		const struct fort_symbol *symbol = &module->symbol[i];

		if (!is_function(symbol) || !name_matches(symbol, name) || symbol->start == last)
			continue;
		last = symbol->start;
		fort_text_add(why, " %s%s%s at %#llx", symbol->name, *symbol->version ? "@" : "",
			      symbol->version, (unsigned long long)symbol->start);
	}
}

static bool has_default(const struct fort_module *module, const char *name)
{
	for (size_t i = 0; i < module->n_symbols; i++)
		if (is_function(&module->symbol[i]) && module->symbol[i].is_default &&
		    name_matches(&module->symbol[i], name))
			return true;
	return false;
}

int fort_module_by_name(const struct fort_module *module, const char *name,
			struct fort_function *out, struct fort_text *why)
{
	const struct fort_symbol *found = NULL;
	bool several = false, is_default = has_default(module, name);

	for (size_t i = 0; i < module->n_symbols; i++) {
		const struct fort_symbol *symbol = &module->symbol[i];

		if (!is_function(symbol) || symbol->is_default != is_default ||
		    !name_matches(symbol, name))
			continue;
		several |= found && found->start != symbol->start;
		if (!found || symbol->bytes > found->bytes)
			found = symbol;
	}
	if (!found) {
		fort_text_add(why, "%s has no function '%s'%s", module->path, name,
			      module->n_symbols ? "" : " (it is stripped of all symbols)");
		return -ENOENT;
	}
	if (several) {
		fort_text_add(why, "'%s' names several functions in %s:", name, module->path);
		list(module, name, why);
		fort_text_add(why, "; give the file offset of one");
		return -ENOTUNIQ;
	}
	if (found->type == STT_GNU_IFUNC) {
		fort_text_add(why,
			      "'%s' in %s is an indirect function (IFUNC): it only chooses the "
			      "one that is called, at start; name that one",
			      name, module->path);
		return -EOPNOTSUPP;
	}
	describe(module, found->start, found->bytes, found->name, out);
	return 0;
}

/* The largest symbol of a function at `start`, or NULL. */
static const struct fort_symbol *symbol_at(const struct fort_module *module, uint64_t start)
{
	const struct fort_symbol *found = NULL;

	for (size_t i = first_symbol(module, start);
	     i < module->n_symbols && module->symbol[i].start == start; i++)
		if (is_function(&module->symbol[i]) &&
		    (!found || module->symbol[i].bytes > found->bytes))
			found = &module->symbol[i];
	return found;
}

static void name_nearest(const struct fort_module *module, uint64_t start, struct fort_text *why)
{
	size_t at = first_symbol(module, start);
	uint64_t offset;

	fort_text_add(why, "no function of %s starts there", module->path);
	while (at && !is_function(&module->symbol[at - 1]))
		at--;
	if (at && !fort_module_to_offset(module, module->symbol[at - 1].start, &offset))
		fort_text_add(why, "; the last one before is %s, at file offset %#llx",
			      module->symbol[at - 1].name, (unsigned long long)offset);
	at = first_symbol(module, start);
	while (at < module->n_symbols && !is_function(&module->symbol[at]))
		at++;
	if (at < module->n_symbols &&
	    !fort_module_to_offset(module, module->symbol[at].start, &offset))
		fort_text_add(why, "; the next one is %s, at %#llx", module->symbol[at].name,
			      (unsigned long long)offset);
}

int fort_module_by_start(const struct fort_module *module, uint64_t start,
			 struct fort_function *out, struct fort_text *why)
{
	const struct fort_symbol *symbol = symbol_at(module, start);
	size_t frame = first_frame(module, start);

	if (symbol && symbol->type == STT_GNU_IFUNC) {
		fort_text_add(why, "%s in %s is an indirect function (IFUNC)", symbol->name,
			      module->path);
		return -EOPNOTSUPP;
	}
	if (symbol) {
		describe(module, start, symbol->bytes, symbol->name, out);
		return 0;
	}
	if (frame < module->n_frames && module->frame[frame] == start) {
		describe(module, start, 0, "", out);
		return 0;
	}
	name_nearest(module, start, why);
	return -EINVAL;
}

void fort_module_aliases(const struct fort_module *module, uint64_t start,
			 bool (*visit)(const struct fort_symbol *symbol, void *arg), void *arg)
{
	for (size_t i = first_symbol(module, start);
	     i < module->n_symbols && module->symbol[i].start == start; i++)
		if (!visit(&module->symbol[i], arg))
			return;
}

bool fort_module_label_inside(const struct fort_module *module, uint64_t start, uint64_t end)
{
	size_t symbol = first_symbol(module, start + 1), frame = first_frame(module, start + 1);

	return (symbol < module->n_symbols && module->symbol[symbol].start < end) ||
	       (frame < module->n_frames && module->frame[frame] < end);
}
