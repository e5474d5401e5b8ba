#include "engine/llvm_object.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>

#include "engine/llvm_accesses.h"
#include "engine/llvm_inspect.h"

#define SECTIONS_MAX 64u
#define ALIGN        64u
#define NOWHERE      UINT32_MAX
#define BARRED_BYTES 3u /* of the longest barred sequence */

struct object {
	const struct fort_compile *request;
	struct fort_span bytes;
	const Elf64_Shdr *sections;
	uint32_t n_sections;
	uint32_t placed[SECTIONS_MAX]; /* offset in the image, or NOWHERE */
	uint32_t text;                 /* section */
	uint32_t code_bytes;
	const Elf64_Sym *symbols;
	uint32_t n_symbols, n_slots;
	struct fort_span names; /* of symbols */
	struct fort_span section_names;
};

/* --- reading --- */

/* `n` things of `size` at `at`, or NULL. */
static const void *look(const struct object *o, uint64_t at, uint64_t n, uint64_t size)
{
	if (at > o->bytes.bytes || at % 8 || n > (o->bytes.bytes - at) / size)
		return NULL;
	return o->bytes.data + at;
}

static const uint8_t *contents(const struct object *o, const Elf64_Shdr *section)
{
	if (section->sh_offset > o->bytes.bytes ||
	    section->sh_size > o->bytes.bytes - section->sh_offset)
		return NULL;
	return o->bytes.data + section->sh_offset;
}

/* A name in a table of names, or "". */
static const char *name_in(struct fort_span names, uint32_t at)
{
	if (at >= names.bytes || !memchr(names.data + at, 0, names.bytes - at))
		return "";
	return (const char *)names.data + at;
}

static bool table_of_names(const struct object *o, uint32_t index, struct fort_span *out)
{
	const uint8_t *data;

	if (index >= o->n_sections)
		return false;
	data = contents(o, &o->sections[index]);
	*out = (struct fort_span){data, data ? o->sections[index].sh_size : 0};
	return data;
}

static bool open_header(struct object *o)
{
	const Elf64_Ehdr *header = look(o, 0, 1, sizeof(*header));

	if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_type != ET_REL ||
	    header->e_machine != EM_X86_64 || header->e_shentsize != sizeof(Elf64_Shdr) ||
	    header->e_shnum > SECTIONS_MAX)
		return false;
	o->n_sections = header->e_shnum;
	o->sections = look(o, header->e_shoff, o->n_sections, sizeof(Elf64_Shdr));
	return o->sections && table_of_names(o, header->e_shstrndx, &o->section_names);
}

static bool open_symbols(struct object *o, const Elf64_Shdr *section)
{
	o->n_symbols = (uint32_t)(section->sh_size / sizeof(Elf64_Sym));
	o->symbols = look(o, section->sh_offset, o->n_symbols, sizeof(Elf64_Sym));
	if (!o->symbols || !table_of_names(o, section->sh_link, &o->names))
		return false;
	for (uint32_t i = 1; i < o->n_symbols; i++)
		o->n_slots += o->symbols[i].st_shndx == SHN_UNDEF;
	return true;
}

/* What is needed when it runs lies behind the code, which comes first. */
static bool place_section(struct object *o, uint32_t index)
{
	const Elf64_Shdr *section = &o->sections[index];

	if (!contents(o, section) || section->sh_size > INT32_MAX - o->code_bytes - ALIGN ||
	    section->sh_type != SHT_PROGBITS || section->sh_flags & SHF_WRITE ||
	    section->sh_addralign > ALIGN)
		return false;
	o->placed[index] = o->code_bytes;
	o->code_bytes += (uint32_t)fort_round_up(section->sh_size, ALIGN);
	return true;
}

static bool place_sections(struct object *o)
{
	for (uint32_t i = 0; i < o->n_sections; i++) {
		const Elf64_Shdr *section = &o->sections[i];

		o->placed[i] = NOWHERE;
		if (section->sh_type == SHT_SYMTAB && !open_symbols(o, section))
			return false;
		if (section->sh_flags & SHF_EXECINSTR && section->sh_size) {
			if (o->code_bytes || !place_section(o, i))
				return false;
			o->text = i;
		}
	}
	for (uint32_t i = 0; i < o->n_sections; i++) {
		const Elf64_Shdr *section = &o->sections[i];

		if (section->sh_flags & SHF_ALLOC && section->sh_size && i != o->text &&
		    !place_section(o, i))
			return false;
	}
	return o->symbols && o->code_bytes;
}

/* --- writing --- */

/* The word before the image that belongs to a symbol from outside. */
static int64_t slot_of(const struct object *o, uint32_t symbol)
{
	int64_t slot = 0;

	for (uint32_t i = 1; i < symbol; i++)
		slot += o->symbols[i].st_shndx == SHN_UNDEF;
	return -8 * (1 + slot);
}

/* Where a symbol is, relative to the image. */
static bool place_of(const struct object *o, uint32_t index, bool slot, int64_t *out)
{
	const Elf64_Sym *symbol = &o->symbols[index];

	if (!index || index >= o->n_symbols)
		return false;
	if (slot) {
		*out = slot_of(o, index);
		return symbol->st_shndx == SHN_UNDEF;
	}
	if (symbol->st_shndx >= o->n_sections || o->placed[symbol->st_shndx] == NOWHERE ||
	    symbol->st_value > o->sections[symbol->st_shndx].sh_size)
		return false;
	*out = (int64_t)(o->placed[symbol->st_shndx] + symbol->st_value);
	return true;
}

static bool relocate(const struct object *o, const Elf64_Rela *rela, uint32_t section,
		     uint8_t *code)
{
	uint32_t type = ELF64_R_TYPE(rela->r_info);
	bool slot = type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX ||
		    type == R_X86_64_REX_GOTPCRELX;
	int64_t to, value;
	int32_t word;

	if (!slot && type != R_X86_64_PC32 && type != R_X86_64_PLT32)
		return false;
	if (o->sections[section].sh_size < sizeof(word) ||
	    rela->r_offset > o->sections[section].sh_size - sizeof(word) ||
	    !place_of(o, (uint32_t)ELF64_R_SYM(rela->r_info), slot, &to))
		return false;
	value = fort_wrap_sub(fort_wrap_add(to, rela->r_addend),
			      (int64_t)(o->placed[section] + rela->r_offset));
	word = (int32_t)value;
	memcpy(code + o->placed[section] + rela->r_offset, &word, sizeof(word));
	return word == value;
}

static bool relocate_section(const struct object *o, const Elf64_Shdr *list, uint8_t *code)
{
	uint64_t n = list->sh_size / sizeof(Elf64_Rela);
	const Elf64_Rela *relas = look(o, list->sh_offset, n, sizeof(*relas));

	if (list->sh_info >= o->n_sections)
		return false;
	if (o->placed[list->sh_info] == NOWHERE)
		return true; /* not part of the image */
	for (uint64_t i = 0; relas && i < n; i++)
		if (!relocate(o, &relas[i], list->sh_info, code))
			return false;
	return relas;
}

static bool fill_slots(const struct object *o, uint8_t *code)
{
	for (uint32_t i = 1; i < o->n_symbols; i++) {
		void *address;

		if (o->symbols[i].st_shndx != SHN_UNDEF)
			continue;
		address = fort_llvm_symbol(o->request, name_in(o->names, o->symbols[i].st_name));
		if (!address)
			return false;
		memcpy(code + slot_of(o, i), &address, sizeof(address));
	}
	return true;
}

static bool write_image(const struct object *o, uint8_t *code)
{
	for (uint32_t i = 0; i < o->n_sections; i++)
		if (o->placed[i] != NOWHERE)
			memcpy(code + o->placed[i], contents(o, &o->sections[i]),
			       o->sections[i].sh_size);
	for (uint32_t i = 0; i < o->n_sections; i++)
		if (o->sections[i].sh_type == SHT_RELA &&
		    !relocate_section(o, &o->sections[i], code))
			return false;
	return fill_slots(o, code);
}

static bool find_start(const struct object *o, uint64_t *out)
{
	for (uint32_t i = 1; i < o->n_symbols; i++) {
		int64_t at;

		if (o->symbols[i].st_shndx != o->text ||
		    strcmp(name_in(o->names, o->symbols[i].st_name), "run"))
			continue;
		if (!place_of(o, i, false, &at))
			return false;
		*out = (uint64_t)at;
		return true;
	}
	return false;
}

/* --- what instructions belong to --- */

static struct fort_span section_named(const struct object *o, const char *name)
{
	for (uint32_t i = 0; i < o->n_sections; i++)
		if (!strcmp(name_in(o->section_names, o->sections[i].sh_name), name)) {
			const uint8_t *data = contents(o, &o->sections[i]);

			return (struct fort_span){data, data ? o->sections[i].sh_size : 0};
		}
	return (struct fort_span){0};
}

static int note(const struct object *o, const uint8_t *code, struct fort_llvm_built *out)
{
	struct fort_span table = section_named(o, ".debug_line");
	uint32_t bytes = (uint32_t)o->sections[o->text].sh_size;
	uint32_t room = (uint32_t)table.bytes + 1, n; /* a row takes a byte or more */
	struct fort_llvm_line *lines = calloc(room, sizeof(*lines));
	int err = lines ? fort_llvm_lines(table, lines, room, &n) : -ENOMEM;

	if (!err)
		err = fort_llvm_note((struct fort_span){code, bytes}, lines, n, out);
	free(lines);
	return err == -EBADMSG ? -ENOEXEC : err;
}

/* --- reading it back --- */

static enum fort_llvm_slot kind_of(const char *name)
{
	if (!strcmp(name, FORT_LLVM_LEAVE))
		return FORT_LLVM_SLOT_LEAVE;
	return name[0] == FORT_LLVM_VALUES ? FORT_LLVM_SLOT_WORD : FORT_LLVM_SLOT_FUNCTION;
}

/* Where nothing is confined there is nothing to see. Proven programs are not read, as those of x64
 * are not: of the largest, of a hundred thousand jumps, some distance always spells what is barred.
 */
static int inspect(const struct object *o, const uint8_t *code, uint64_t start, uint32_t *at)
{
	struct fort_llvm_inspect view = {.code = code,
					 .bytes = (uint32_t)o->sections[o->text].sh_size,
					 .start = (uint32_t)start,
					 .n_slots = o->n_slots,
					 .isolation = o->request->isolation,
					 .cpu_offset = __rseq_size ? (int32_t)__rseq_offset : 0};
	struct fort_inspection found;
	uint8_t *slots;
	bool good;

	if (!fort_isolations[o->request->isolation].stores ||
	    (o->request->proven && !o->request->inspect))
		return 0;
	slots = malloc(o->n_slots + 1u);
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 1, slot = 0; i < o->n_symbols; i++)
		if (o->symbols[i].st_shndx == SHN_UNDEF)
			slots[slot++] = kind_of(name_in(o->names, o->symbols[i].st_name));
	view.slots = slots;
	view.n_cached = fort_inspect_cached(o->request, view.cached);
	good = fort_llvm_inspect(&view, &found);
	free(slots);
	if (good)
		return 0;
	*at = found.at;
	return found.fault == FORT_INSPECT_NO_ROOM ? -ENOMEM : -EILSEQ;
}

/* The slots that the bytes at `at`, and what follows them, were made of. */
static void count_refused(const struct fort_llvm_built *built, uint32_t at,
			  fort_llvm_hidden *refused)
{
	const struct fort_code_place *places = built->places;
	uint32_t i = 0;

	while (i + 1 < built->n_places && places[i + 1].at <= at)
		i++;
	for (uint32_t last = UINT32_MAX; i < built->n_places && places[i].at < at + BARRED_BYTES;
	     i++) {
		if (places[i].pc != last && refused[places[i].pc] < FORT_CAREFUL_ROUNDS)
			refused[places[i].pc]++;
		last = places[i].pc;
	}
}

int fort_llvm_build(const struct fort_compile *request, struct fort_span object,
		    fort_llvm_hidden *refused, struct fort_llvm_built *out)
{
	struct object o = {.request = request, .bytes = object};
	struct fort_llvm_built built = {0};
	struct fort_x64_draft draft;
	uint32_t at = 0;
	int err;

	if (!open_header(&o) || !place_sections(&o) || !find_start(&o, &built.start))
		return -ENOEXEC;
	err = fort_x64_draft_open(NULL, o.n_slots, o.code_bytes, &draft);
	if (err)
		return err;
	err = write_image(&o, draft.code) ? note(&o, draft.code, &built) : -ENOEXEC;
	err = err ? err : inspect(&o, draft.code, built.start, &at);
	if (err == -EILSEQ)
		count_refused(&built, at, refused);
	if (err)
		fort_x64_draft_drop(&draft);
	else
		err = fort_x64_draft_seal(&draft, &built.image);
	if (err) {
		fort_llvm_drop(&built);
		return err;
	}
	built.code_bytes = o.code_bytes;
	built.start += (uint64_t)(uintptr_t)built.image.code;
	*out = built;
	return 0;
}

void fort_llvm_drop(struct fort_llvm_built *built)
{
	fort_x64_image_close(&built->image);
	free(built->accesses);
	free(built->places);
	*built = (struct fort_llvm_built){0};
}
