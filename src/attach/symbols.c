#include "attach/symbols.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/span.h"

/* The tables behind one symbol table. */
struct table {
	Elf_Data *symbols, *versions, *definitions;
	size_t n;
	size_t strings;            /* section index of the names */
	size_t definition_strings; /* and of the versions' */
	bool dynamic;
};

static Elf_Data *data_of(Elf *elf, uint32_t type, GElf_Shdr *header)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, header) && header->sh_type == type)
			return elf_getdata(section, NULL);
	return NULL;
}

static void find_table(Elf *elf, bool dynamic, struct table *out)
{
	GElf_Shdr header;

	*out = (struct table){.dynamic = dynamic};
	out->symbols = data_of(elf, dynamic ? SHT_DYNSYM : SHT_SYMTAB, &header);
	if (!out->symbols || !header.sh_entsize)
		return;
	out->strings = header.sh_link;
	out->n = header.sh_size / header.sh_entsize;
	if (out->n > FORT_SYMBOLS_MAX)
		out->n = FORT_SYMBOLS_MAX;
	if (!dynamic)
		return;
	out->versions = data_of(elf, SHT_GNU_versym, &header);
	out->definitions = data_of(elf, SHT_GNU_verdef, &header);
	out->definition_strings = header.sh_link;
}

/* The name of version `index` of the definitions; "" if there is none. */
static const char *version_name(Elf *elf, const struct table *table, unsigned index)
{
	GElf_Verdef definition;
	GElf_Verdaux aux;
	const char *name;
	int at = 0;

	for (uint32_t i = 0; table->definitions && i < FORT_VERSIONS_MAX; i++) {
		if (!gelf_getverdef(table->definitions, at, &definition))
			break;
		if (definition.vd_ndx == index) {
			if (!gelf_getverdaux(table->definitions, at + (int)definition.vd_aux, &aux))
				break;
			name = elf_strptr(elf, table->definition_strings, aux.vda_name);
			return name ? name : "";
		}
		if (!definition.vd_next)
			break;
		at += (int)definition.vd_next;
	}
	return "";
}

static void set_version(Elf *elf, const struct table *table, size_t index,
			struct fort_symbol *symbol)
{
	GElf_Versym version;

	symbol->version = "";
	symbol->is_default = true;
	if (!table->versions || !gelf_getversym(table->versions, (int)index, &version))
		return;
	symbol->is_default = !(version & 0x8000);
	if ((version & 0x7fff) > 1)
		symbol->version = version_name(elf, table, version & 0x7fff);
}

/* Is this section code? */
static bool is_code(Elf *elf, size_t index)
{
	Elf_Scn *section = elf_getscn(elf, index);
	GElf_Shdr header;

	return section && gelf_getshdr(section, &header) && header.sh_flags & SHF_EXECINSTR;
}

static void read_table(Elf *elf, const struct table *table, struct fort_module *module)
{
	GElf_Sym entry;

	for (size_t i = 1; i < table->n; i++) {
		struct fort_symbol *symbol = &module->symbol[module->n_symbols];
		int type;

		if (!gelf_getsym(table->symbols, (int)i, &entry) || entry.st_shndx == SHN_UNDEF ||
		    entry.st_shndx >= SHN_LORESERVE)
			continue;
		type = GELF_ST_TYPE(entry.st_info);
		if ((type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) ||
		    !is_code(elf, entry.st_shndx))
			continue;
		symbol->name = elf_strptr(elf, table->strings, entry.st_name);
		if (!symbol->name)
			continue;
		symbol->start = entry.st_value;
		symbol->bytes = entry.st_size;
		symbol->type = (uint8_t)type;
		set_version(elf, table, i, symbol);
		module->n_symbols++;
	}
}

static int compare_symbols(const void *left, const void *right)
{
	const struct fort_symbol *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

static int compare_words(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* .eh_frame_hdr in the one form that linkers write: version 1, count as udata4, a sorted table of
 * pairs of sdata4 relative to its start. Its first words are where functions begin. */
static void read_frames(struct fort_module *module, const GElf_Phdr *header)
{
	uint8_t head[12], *table;
	uint32_t count;
	int32_t offset;

	if (fort_module_read(module, header->p_vaddr, head, sizeof(head)) || head[0] != 1 ||
	    head[2] != 0x03 || head[3] != 0x3b)
		return;
	memcpy(&count, head + 8, sizeof(count));
	if (!count || count > FORT_SYMBOLS_MAX || count > header->p_memsz / 8)
		return;
	table = malloc((size_t)count * 8);
	module->frame = calloc(count, sizeof(*module->frame));
	if (table && module->frame &&
	    !fort_module_read(module, header->p_vaddr + sizeof(head), table, (size_t)count * 8)) {
		for (uint32_t i = 0; i < count; i++) {
			memcpy(&offset, table + (size_t)i * 8, sizeof(offset));
			module->frame[i] = header->p_vaddr + (uint64_t)(int64_t)offset;
		}
		module->n_frames = count;
		qsort(module->frame, count, sizeof(*module->frame), compare_words);
	}
	free(table);
}

int fort_symbols_read(struct fort_module *module)
{
	struct table table[2];
	GElf_Phdr header;
	size_t n = 0;

	find_table(module->elf, false, &table[0]);
	find_table(module->elf, true, &table[1]);
	module->symbol = calloc(table[0].n + table[1].n + 1, sizeof(*module->symbol));
	if (!module->symbol)
		return -ENOMEM;
	for (int i = 0; i < 2; i++)
		read_table(module->elf, &table[i], module);
	qsort(module->symbol, module->n_symbols, sizeof(*module->symbol), compare_symbols);
	if (elf_getphdrnum(module->elf, &n))
		n = 0;
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(module->elf, (int)i, &header) && header.p_type == PT_GNU_EH_FRAME)
			read_frames(module, &header);
	return 0;
}
