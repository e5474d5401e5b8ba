#include "cli/btf_complain.h"

#include <elf.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>

#include "btf/btf.h"

static const struct {
	uint8_t fixed_bytes, item_bytes;
} kinds[FORT_BTF_KINDS] = {
#define FORT_BTF_KIND(id, number, name, fixed, item, rules) [number] = {fixed, item},
#include "btf/kinds.def"
};

/* The section, or nothing. */
static struct fort_span find_btf(struct fort_span file)
{
	Elf64_Ehdr header;
	Elf64_Shdr names, section;

	memcpy(&header, file.data, sizeof(header));
	memcpy(&names, file.data + header.e_shoff + header.e_shstrndx * sizeof(names),
	       sizeof(names));
	for (uint32_t i = 1; i < header.e_shnum; i++) {
		memcpy(&section, file.data + header.e_shoff + i * sizeof(section), sizeof(section));
		if (!strcmp((const char *)file.data + names.sh_offset + section.sh_name, ".BTF"))
			return (struct fort_span){file.data + section.sh_offset, section.sh_size};
	}
	return (struct fort_span){0};
}

/* Compilers leave the places of variables in their section, and its size, to the loader. Gives
 * each DATASEC some that are right, as far as the types can be walked. */
static void place_variables(uint8_t *data, size_t bytes)
{
	struct btf_header header;
	size_t at, end;

	if (bytes < sizeof(header))
		return;
	memcpy(&header, data, sizeof(header));
	at = (size_t)header.hdr_len + header.type_off;
	end = at + header.type_len;
	if (end > bytes)
		return;
	while (at <= end && end - at >= sizeof(struct btf_type)) {
		uint32_t kind, count, offset = 0;
		struct btf_type type;
		size_t more = at + sizeof(type);

		memcpy(&type, data + at, sizeof(type));
		kind = BTF_INFO_KIND(type.info);
		count = BTF_INFO_VLEN(type.info);
		if (kind >= FORT_BTF_KINDS)
			return;
		at = more + kinds[kind].fixed_bytes + (size_t)count * kinds[kind].item_bytes;
		if (kind != FORT_BTF_DATASEC || at > end)
			continue;
		for (uint32_t i = 0; i < count; i++, more += sizeof(struct btf_var_secinfo)) {
			struct btf_var_secinfo var;

			memcpy(&var, data + more, sizeof(var));
			var.offset = offset;
			offset += var.size;
			memcpy(data + more, &var, sizeof(var));
		}
		type.size = offset;
		memcpy(data + (more - count * sizeof(struct btf_var_secinfo) - sizeof(type)), &type,
		       sizeof(type));
	}
}

void fort_btf_complain(struct fort_span file, struct fort_text *out)
{
	struct fort_span section = find_btf(file);
	uint8_t *copy = section.bytes ? malloc(section.bytes) : NULL;
	struct fort_btf_error error = {0};
	struct fort_btf *btf;

	if (!copy)
		return;
	memcpy(copy, section.data, section.bytes);
	place_variables(copy, section.bytes);
	if (!fort_btf_parse(copy, section.bytes, NULL, &btf, &error))
		fort_btf_free(btf);
	else if (error.what[0]) {
		fort_text_add(out, "BTF: offset %zu",
			      (size_t)(section.data - file.data) + error.offset);
		if (error.type_id)
			fort_text_add(out, ", type %u", error.type_id);
		fort_text_add(out, ": %s", error.what);
	}
	free(copy);
}
