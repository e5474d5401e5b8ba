#include "cli/elf_check.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* A file being checked. Headers are copied out: nothing says that they are aligned. */
struct image {
	struct fort_span file;
	Elf64_Ehdr header;
	uint64_t n_sections;
	struct fort_text *why;
};

static int fail(const struct image *image, uint64_t offset, const char *fmt, ...)
	FORT_PRINTF(3, 4) FORT_CHECKED;
static int fail(const struct image *image, uint64_t offset, const char *fmt, ...)
{
	va_list args;

	fort_text_add(image->why, "ELF: offset %" PRIu64 ": ", offset);
	va_start(args, fmt);
	fort_text_addv(image->why, fmt, args);
	va_end(args);
	return -EBADMSG;
}

static uint64_t section_at(const struct image *image, uint64_t index)
{
	return image->header.e_shoff + index * sizeof(Elf64_Shdr);
}

/* `index` is below n_sections. */
static Elf64_Shdr section_of(const struct image *image, uint64_t index)
{
	Elf64_Shdr section;

	memcpy(&section, image->file.data + section_at(image, index), sizeof(section));
	return section;
}

#define SECTION_FIELD(index, field) (section_at(image, (index)) + offsetof(Elf64_Shdr, field))

static int check_header(struct image *image)
{
	const Elf64_Ehdr *header = &image->header;

	if (image->file.bytes < sizeof(*header))
		return fail(image, image->file.bytes, "the file ends within the ELF header");
	memcpy(&image->header, image->file.data, sizeof(*header));
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return fail(image, 0, "e_ident: not an ELF file");
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return fail(image, EI_CLASS, "EI_CLASS %u: not a 64-bit object",
			    header->e_ident[EI_CLASS]);
	if (header->e_ident[EI_DATA] != ELFDATA2LSB)
		return fail(image, EI_DATA, "EI_DATA %u: not little-endian",
			    header->e_ident[EI_DATA]);
	if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
		return fail(image, EI_VERSION, "e_version: not version 1 of ELF");
	if (header->e_type != ET_REL)
		return fail(image, offsetof(Elf64_Ehdr, e_type),
			    "e_type %u: not a relocatable object", header->e_type);
	if (header->e_machine != EM_BPF)
		return fail(image, offsetof(Elf64_Ehdr, e_machine),
			    "e_machine %u: not for BPF; compile with clang -target bpf",
			    header->e_machine);
	if (header->e_phnum)
		return fail(image, offsetof(Elf64_Ehdr, e_phnum),
			    "e_phnum %u: an object has no program headers", header->e_phnum);
	return 0;
}

static int check_table(struct image *image)
{
	const Elf64_Ehdr *header = &image->header;

	if (header->e_shentsize != sizeof(Elf64_Shdr))
		return fail(image, offsetof(Elf64_Ehdr, e_shentsize),
			    "e_shentsize %u: expected %zu", header->e_shentsize,
			    sizeof(Elf64_Shdr));
	image->n_sections = header->e_shnum;
	if (header->e_shnum < 2) /* more than 65279 sections would be counted elsewhere */
		return fail(image, offsetof(Elf64_Ehdr, e_shnum), "e_shnum %u: no sections",
			    header->e_shnum);
	if (header->e_shoff < sizeof(*header) || header->e_shoff > image->file.bytes ||
	    image->n_sections * sizeof(Elf64_Shdr) > image->file.bytes - header->e_shoff)
		return fail(
			image, offsetof(Elf64_Ehdr, e_shoff),
			"e_shoff %" PRIu64 ": the %" PRIu64
			" section headers pass the end of the file, %zu: it is cut off or damaged",
			header->e_shoff, image->n_sections, image->file.bytes);
	if (header->e_shstrndx >= image->n_sections)
		return fail(image, offsetof(Elf64_Ehdr, e_shstrndx),
			    "e_shstrndx %u: there are %" PRIu64 " sections", header->e_shstrndx,
			    image->n_sections);
	return 0;
}

static int check_place(const struct image *image, uint64_t index, const Elf64_Shdr *section)
{
	if (section->sh_type == SHT_NOBITS) {
		if (section->sh_size > FORT_MAP_BYTES_MAX)
			return fail(image, SECTION_FIELD(index, sh_size),
				    "section %" PRIu64 ": sh_size %" PRIu64 " is too large", index,
				    section->sh_size);
		return 0;
	}
	if (section->sh_offset > image->file.bytes)
		return fail(image, SECTION_FIELD(index, sh_offset),
			    "section %" PRIu64 ": sh_offset %" PRIu64
			    " is behind the end of the file, %zu",
			    index, section->sh_offset, image->file.bytes);
	if (section->sh_size > image->file.bytes - section->sh_offset)
		return fail(image, SECTION_FIELD(index, sh_size),
			    "section %" PRIu64 ": sh_size %" PRIu64
			    " passes the end of the file, %zu",
			    index, section->sh_size, image->file.bytes);
	if (section->sh_flags & SHF_COMPRESSED)
		return fail(image, SECTION_FIELD(index, sh_flags),
			    "section %" PRIu64 " is compressed", index);
	return 0;
}

static bool is_string_table(const struct image *image, uint64_t index)
{
	Elf64_Shdr section;

	if (index >= image->n_sections)
		return false;
	section = section_of(image, index);
	return section.sh_type == SHT_STRTAB && section.sh_size &&
	       !image->file.data[section.sh_offset + section.sh_size - 1];
}

/* Entries of a fixed size: symbols, relocations. */
static int check_entries(const struct image *image, uint64_t index, const Elf64_Shdr *section,
			 size_t bytes)
{
	if (section->sh_entsize != bytes)
		return fail(image, SECTION_FIELD(index, sh_entsize),
			    "section %" PRIu64 ": sh_entsize %" PRIu64 ", expected %zu", index,
			    section->sh_entsize, bytes);
	if (section->sh_size % bytes)
		return fail(image, SECTION_FIELD(index, sh_size),
			    "section %" PRIu64 ": sh_size %" PRIu64 " is no multiple of %zu", index,
			    section->sh_size, bytes);
	return 0;
}

static int check_symbol(const struct image *image, uint64_t at, const Elf64_Sym *symbol,
			uint64_t strings_bytes)
{
	Elf64_Shdr home;

	if (symbol->st_name >= strings_bytes)
		return fail(image, at + offsetof(Elf64_Sym, st_name),
			    "st_name %u is behind the end of the names, %" PRIu64, symbol->st_name,
			    strings_bytes);
	if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS ||
	    symbol->st_shndx == SHN_COMMON)
		return 0;
	if (symbol->st_shndx >= image->n_sections)
		return fail(image, at + offsetof(Elf64_Sym, st_shndx),
			    "st_shndx %u: there are %" PRIu64 " sections", symbol->st_shndx,
			    image->n_sections);
	home = section_of(image, symbol->st_shndx);
	if (symbol->st_value > home.sh_size)
		return fail(image, at + offsetof(Elf64_Sym, st_value),
			    "st_value %" PRIu64 " is behind the end of section %u, %" PRIu64,
			    symbol->st_value, symbol->st_shndx, home.sh_size);
	if (symbol->st_size > home.sh_size - symbol->st_value)
		return fail(image, at + offsetof(Elf64_Sym, st_size),
			    "st_size %" PRIu64 " passes the end of section %u, %" PRIu64,
			    symbol->st_size, symbol->st_shndx, home.sh_size);
	if ((home.sh_flags & SHF_EXECINSTR) && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
	    (symbol->st_value % 8 || symbol->st_size % 8))
		return fail(image, at, "a function that does not consist of whole instructions");
	return 0;
}

static int check_symbols(const struct image *image, uint64_t index, const Elf64_Shdr *section)
{
	int err = check_entries(image, index, section, sizeof(Elf64_Sym));

	if (err)
		return err;
	if (!is_string_table(image, section->sh_link))
		return fail(image, SECTION_FIELD(index, sh_link),
			    "section %" PRIu64 ": sh_link %u is no table of names", index,
			    section->sh_link);
	for (uint64_t i = 0; i < section->sh_size / sizeof(Elf64_Sym) && !err; i++) {
		uint64_t at = section->sh_offset + i * sizeof(Elf64_Sym);
		Elf64_Sym symbol;

		memcpy(&symbol, image->file.data + at, sizeof(symbol));
		err = check_symbol(image, at, &symbol, section_of(image, section->sh_link).sh_size);
	}
	return err;
}

static int check_relocations(const struct image *image, uint64_t index, const Elf64_Shdr *section)
{
	int err = check_entries(image, index, section, sizeof(Elf64_Rel));
	Elf64_Shdr symbols, target;

	if (err)
		return err;
	if (section->sh_link >= image->n_sections ||
	    section_of(image, section->sh_link).sh_type != SHT_SYMTAB)
		return fail(image, SECTION_FIELD(index, sh_link),
			    "section %" PRIu64 ": sh_link %u is no symbol table", index,
			    section->sh_link);
	if (!section->sh_info || section->sh_info >= image->n_sections)
		return fail(image, SECTION_FIELD(index, sh_info),
			    "section %" PRIu64 ": sh_info %u: there are %" PRIu64 " sections",
			    index, section->sh_info, image->n_sections);
	symbols = section_of(image, section->sh_link);
	target = section_of(image, section->sh_info);
	for (uint64_t i = 0; i < section->sh_size / sizeof(Elf64_Rel); i++) {
		uint64_t at = section->sh_offset + i * sizeof(Elf64_Rel);
		Elf64_Rel relocation;

		memcpy(&relocation, image->file.data + at, sizeof(relocation));
		if (ELF64_R_SYM(relocation.r_info) >= symbols.sh_size / sizeof(Elf64_Sym))
			return fail(image, at + offsetof(Elf64_Rel, r_info),
				    "r_info: there is no symbol %" PRIu64,
				    (uint64_t)ELF64_R_SYM(relocation.r_info));
		if (relocation.r_offset > target.sh_size ||
		    target.sh_size - relocation.r_offset < 4)
			return fail(image, at + offsetof(Elf64_Rel, r_offset),
				    "r_offset %" PRIu64 " is behind the end of section %u",
				    relocation.r_offset, section->sh_info);
	}
	return 0;
}

static int check_section(const struct image *image, uint64_t index)
{
	Elf64_Shdr section = section_of(image, index);

	if (section.sh_name >= section_of(image, image->header.e_shstrndx).sh_size)
		return fail(image, SECTION_FIELD(index, sh_name),
			    "section %" PRIu64 ": sh_name %u is behind the end of the names", index,
			    section.sh_name);
	if ((section.sh_flags & SHF_EXECINSTR) && section.sh_size % 8)
		return fail(image, SECTION_FIELD(index, sh_size),
			    "section %" PRIu64 ": %" PRIu64 " bytes are no whole instructions",
			    index, section.sh_size);
	switch (section.sh_type) {
	case SHT_SYMTAB: return check_symbols(image, index, &section);
	case SHT_REL: return check_relocations(image, index, &section);
	case SHT_RELA:
		return fail(image, SECTION_FIELD(index, sh_type),
			    "section %" PRIu64 ": relocations with addends are not BPF's", index);
	default: return 0;
	}
}

int fort_elf_check(struct fort_span file, struct fort_text *why)
{
	struct image image = {.file = file, .why = why};
	uint32_t n_symbol_tables = 0;
	int err = check_header(&image);

	err = err ? err : check_table(&image);
	/* Places first: what follows reads contents. */
	for (uint64_t i = 1; !err && i < image.n_sections; i++) {
		Elf64_Shdr section = section_of(&image, i);

		err = check_place(&image, i, &section);
		n_symbol_tables += section.sh_type == SHT_SYMTAB;
	}
	if (!err && !is_string_table(&image, image.header.e_shstrndx))
		err = fail(&image, offsetof(Elf64_Ehdr, e_shstrndx),
			   "e_shstrndx %u is no table of names", image.header.e_shstrndx);
	if (!err && n_symbol_tables != 1)
		err = fail(&image, image.header.e_shoff, "%u symbol tables, expected 1",
			   n_symbol_tables);
	for (uint64_t i = 1; !err && i < image.n_sections; i++)
		err = check_section(&image, i);
	return err;
}
