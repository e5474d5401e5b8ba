#include "object.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	bool by_value; /* programs name the address of its value */
} maps[BENCH_PROGRAM_MAPS] = {
#define X(name, type, key, value, entries, by_value) {#name, by_value},
	BENCH_MAPS_LIST(X)
#undef X
};

bool bench_object_open(const char *path, struct bench_object *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *at = MAP_FAILED;

	if (fd >= 0 && !fstat(fd, &status))
		at = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (at == MAP_FAILED) {
		fprintf(stderr, "cannot map %s\n", path);
		return false;
	}
	out->bytes = at;
	return true;
}

static const Elf64_Shdr *section_at(const struct bench_object *object, unsigned i)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)object->bytes;

	return i < header->e_shnum ? (const Elf64_Shdr *)(object->bytes + header->e_shoff) + i
				   : NULL;
}

static const char *name_of(const struct bench_object *object, const Elf64_Shdr *section)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)object->bytes;
	const Elf64_Shdr *names = section_at(object, header->e_shstrndx);

	return (const char *)object->bytes + names->sh_offset + section->sh_name;
}

/* The section PREFIXbpf/NAME. */
static const Elf64_Shdr *find_section(const struct bench_object *object, const char *prefix,
				      const char *name)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "%sbpf/%s", prefix, name);
	for (unsigned i = 0; section_at(object, i); i++)
		if (!strcmp(name_of(object, section_at(object, i)), wanted))
			return section_at(object, i);
	return NULL;
}

static int map_by_name(const char *name)
{
	for (int i = 0; i < BENCH_PROGRAM_MAPS; i++)
		if (!strcmp(maps[i].name, name))
			return i;
	return -1;
}

/* A 64-bit immediate that names a map: by index, with the offset in the value where clang put it.
 */
static void relocate(struct fort_raw_insn insns[2], int map)
{
	enum fort_row row =
		maps[map].by_value ? FORT_ROW_LDIMM_MAP_IDX_VALUE : FORT_ROW_LDIMM_MAP_IDX;
	int64_t imm = (uint32_t)map | (int64_t)((uint64_t)(uint32_t)insns[0].imm << 32);
	struct fort_insn insn = fort_insn_make(row, insns[0].dst, 0, 0, imm);

	fort_insn_encode(&insn, insns);
}

static bool relocate_all(const struct bench_object *object, const char *name,
			 struct fort_raw_insn *insns)
{
	const Elf64_Shdr *relocations = find_section(object, ".rel", name);
	const Elf64_Shdr *symbols, *names;
	const Elf64_Rel *rel;

	if (!relocations)
		return true;
	symbols = section_at(object, relocations->sh_link);
	names = section_at(object, symbols->sh_link);
	rel = (const Elf64_Rel *)(object->bytes + relocations->sh_offset);
	for (size_t i = 0; i < relocations->sh_size / sizeof(*rel); i++) {
		const Elf64_Sym *symbol = (const Elf64_Sym *)(object->bytes + symbols->sh_offset) +
					  ELF64_R_SYM(rel[i].r_info);
		const char *wanted =
			(const char *)object->bytes + names->sh_offset + symbol->st_name;
		int map = map_by_name(wanted);

		if (map < 0) {
			fprintf(stderr, "%s names %s\n", name, wanted);
			return false;
		}
		relocate(&insns[rel[i].r_offset / sizeof(*insns)], map);
	}
	return true;
}

uint32_t bench_object_program(const struct bench_object *object, const char *name,
			      struct fort_raw_insn out[BENCH_INSNS_MAX])
{
	const Elf64_Shdr *section = find_section(object, "", name);
	uint32_t n = section ? (uint32_t)(section->sh_size / sizeof(out[0])) : 0;

	if (!n || n > BENCH_INSNS_MAX) {
		fprintf(stderr, "no program %s\n", name);
		return 0;
	}
	memcpy(out, object->bytes + section->sh_offset, section->sh_size);
	return relocate_all(object, name, out) ? n : 0;
}
