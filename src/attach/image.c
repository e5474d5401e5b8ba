#include "attach/image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/limits.h"

static bool fits(struct fort_span file, uint64_t offset, uint64_t bytes)
{
	return offset <= file.bytes && bytes <= file.bytes - offset;
}

static int add_segment(struct fort_image *image, const Elf64_Phdr *header)
{
	uint64_t start = header->p_vaddr & ~(uint64_t)(FORT_PAGE_BYTES - 1);
	uint64_t end;

	if (image->n_segments == FORT_IMAGE_SEGMENTS_MAX ||
	    header->p_vaddr > FORT_IMAGE_BYTES_MAX || header->p_memsz > FORT_IMAGE_BYTES_MAX ||
	    header->p_filesz > header->p_memsz ||
	    !fits(image->file, header->p_offset, header->p_filesz) || start < image->bytes)
		return -EBADMSG;
	end = fort_round_up(header->p_vaddr + header->p_memsz, FORT_PAGE_BYTES);
	image->segment[image->n_segments++] =
		(struct fort_image_segment){start, end - start,
					    (header->p_flags & PF_R ? PROT_READ : 0) |
						    (header->p_flags & PF_W ? PROT_WRITE : 0) |
						    (header->p_flags & PF_X ? PROT_EXEC : 0)};
	image->bytes = end;
	image->filled = header->p_vaddr + header->p_filesz;
	return 0;
}

static int read_dynamic(struct fort_image *image, const Elf64_Phdr *header)
{
	Elf64_Dyn dynamic;

	if (!fits(image->file, header->p_offset, header->p_filesz))
		return -EBADMSG;
	for (uint64_t at = 0; at + sizeof(dynamic) <= header->p_filesz; at += sizeof(dynamic)) {
		memcpy(&dynamic, image->file.data + header->p_offset + at, sizeof(dynamic));
		if (dynamic.d_tag == DT_RELA)
			image->relocs = dynamic.d_un.d_ptr;
		if (dynamic.d_tag == DT_RELASZ)
			image->n_relocs = dynamic.d_un.d_val / sizeof(Elf64_Rela);
	}
	return 0;
}

static int read_header(struct fort_image *image, const Elf64_Ehdr *elf, uint32_t index)
{
	uint64_t offset = elf->e_phoff + index * sizeof(Elf64_Phdr);
	Elf64_Phdr header;

	if (!fits(image->file, offset, sizeof(header)))
		return -EBADMSG;
	memcpy(&header, image->file.data + offset, sizeof(header));
	if (header.p_type == PT_LOAD && header.p_memsz)
		return add_segment(image, &header);
	if (header.p_type == PT_DYNAMIC)
		return read_dynamic(image, &header);
	return 0;
}

int fort_image_open(struct fort_span file, struct fort_image *out)
{
	struct fort_image image = {.file = file};
	Elf64_Ehdr elf;
	int err;

	if (file.bytes < sizeof(elf))
		return -EBADMSG;
	memcpy(&elf, file.data, sizeof(elf));
	if (memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 || elf.e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf.e_type != ET_DYN || elf.e_machine != EM_X86_64 ||
	    elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum > 4 * FORT_IMAGE_SEGMENTS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < elf.e_phnum; i++) {
		err = read_header(&image, &elf, i);
		if (err)
			return err;
	}
	image.entry = elf.e_entry;
	if (!image.n_segments || image.segment[0].start || image.filled < FORT_PAGE_BYTES ||
	    image.entry >= FORT_PAGE_BYTES)
		return -EBADMSG;
	*out = image;
	return 0;
}

static int relocate(const struct fort_image *image, uint64_t base, uint8_t *memory)
{
	Elf64_Rela rela;
	uint64_t value;

	if (image->n_relocs > image->filled / sizeof(rela) || image->relocs > image->filled ||
	    image->n_relocs * sizeof(rela) > image->filled - image->relocs)
		return -EBADMSG;
	for (uint64_t i = 0; i < image->n_relocs; i++) {
		memcpy(&rela, memory + image->relocs + i * sizeof(rela), sizeof(rela));
		if (ELF64_R_TYPE(rela.r_info) != R_X86_64_RELATIVE ||
		    rela.r_offset > image->filled - sizeof(value))
			return -EBADMSG;
		value = base + (uint64_t)rela.r_addend;
		memcpy(memory + rela.r_offset, &value, sizeof(value));
	}
	return 0;
}

int fort_image_place(const struct fort_image *image, uint64_t base, uint8_t *memory)
{
	Elf64_Ehdr elf;
	Elf64_Phdr header;

	memset(memory, 0, image->filled);
	memcpy(&elf, image->file.data, sizeof(elf));
	for (uint32_t i = 0; i < elf.e_phnum; i++) {
		memcpy(&header, image->file.data + elf.e_phoff + i * sizeof(header),
		       sizeof(header));
		if (header.p_type == PT_LOAD && header.p_memsz)
			memcpy(memory + header.p_vaddr, image->file.data + header.p_offset,
			       header.p_filesz);
	}
	return relocate(image, base, memory);
}
