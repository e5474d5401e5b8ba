#include "cli/conformance_elf.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

#include "base/limits.h"

static int fail(struct fort_text *message, const char *what)
{
	fort_text_add(message, "ELF: %s", what);
	return -EINVAL;
}

static int check_header(Elf *elf, struct fort_text *message)
{
	GElf_Ehdr header;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
		return fail(message, "offset 0: not an object file");
	if (header.e_ident[EI_CLASS] != ELFCLASS64)
		return fail(message, "offset 4: not a 64-bit object");
	if (header.e_ident[EI_DATA] != ELFDATA2LSB)
		return fail(message, "offset 5: not little-endian");
	if (header.e_machine != EM_BPF)
		return fail(message, "offset 18: not for BPF");
	return 0;
}

/* The section to run: .text if it has instructions, else the first that has. 0 if none. */
static size_t find_section(Elf *elf, GElf_Shdr *out)
{
	size_t names, found = 0;
	Elf_Scn *section = NULL;

	if (elf_getshdrstrndx(elf, &names))
		return 0;
	for (unsigned i = 0; i < FORT_ELF_SECTIONS_MAX; i++) {
		GElf_Shdr header;
		const char *name;
		bool text;

		section = elf_nextscn(elf, section);
		if (!section || !gelf_getshdr(section, &header))
			break;
		if (header.sh_type != SHT_PROGBITS || !(header.sh_flags & SHF_EXECINSTR) ||
		    !header.sh_size)
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		text = name && !strcmp(name, ".text");
		if (found && !text)
			continue;
		found = elf_ndxscn(section);
		*out = header;
		if (text)
			break;
	}
	return found;
}

/* Are there relocations for this section? Without them applied it would be another program. */
static bool has_relocations(Elf *elf, size_t index)
{
	Elf_Scn *section = NULL;

	for (unsigned i = 0; i < FORT_ELF_SECTIONS_MAX; i++) {
		GElf_Shdr header;

		section = elf_nextscn(elf, section);
		if (!section || !gelf_getshdr(section, &header))
			break;
		if ((header.sh_type == SHT_REL || header.sh_type == SHT_RELA) &&
		    header.sh_info == index && header.sh_size)
			return true;
	}
	return false;
}

static int find_program(Elf *elf, struct fort_span file, struct fort_span *out,
			struct fort_text *message)
{
	GElf_Shdr header = {0};
	int err = check_header(elf, message);
	size_t index;

	if (err)
		return err;
	index = find_section(elf, &header);
	if (!index)
		return fail(message, "no section with instructions");
	if (header.sh_offset > file.bytes || header.sh_size > file.bytes - header.sh_offset) {
		fort_text_add(message, "ELF: offset %llu: the program's %llu bytes pass the end",
			      (unsigned long long)header.sh_offset,
			      (unsigned long long)header.sh_size);
		return -EINVAL;
	}
	if (has_relocations(elf, index))
		return fail(message, "the program needs relocation");
	*out = (struct fort_span){file.data + header.sh_offset, header.sh_size};
	return 0;
}

int fort_conformance_elf(struct fort_span file, struct fort_span *out, struct fort_text *message)
{
	union {
		const uint8_t *read_only;
		char *for_libelf; /* which does not write to an image it only reads */
	} image = {.read_only = file.data};
	Elf *elf;
	int err;

	elf_version(EV_CURRENT);
	elf = elf_memory(image.for_libelf, file.bytes);
	if (!elf)
		return fail(message, elf_errmsg(-1));
	err = find_program(elf, file, out, message);
	elf_end(elf);
	return err;
}
