/* A blob's frame: header, sections, strings; then the phases of the check in their order.
 *
 * Every rule, its order and its message are those of btf_parse in kernel/bpf/btf.c, so that a log
 * reads the same and a program that sees two faults is told the same one.
 */
#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/limits.h"
#include "base/pages.h"
#include "btf/blob.h"

#define MAGIC       0xeb9f
#define ARENA_BYTES (96u << 20) /* a blob of the largest size, and 16 bytes for each 12 of it */

struct header {
	uint16_t magic;
	uint8_t version, flags;
	uint32_t header_bytes;
	uint32_t type_offset, type_bytes; /* offsets count from the end of the header */
	uint32_t string_offset, string_bytes;
};
_Static_assert(sizeof(struct header) == 24, "ABI");

struct section {
	uint32_t offset, bytes;
};

static int refuse(struct fort_btf_check *check, uint32_t offset, const char *what, int err)
{
	fort_btf_say(check, offset, "%s", what);
	return err;
}

static void list_header(struct fort_btf_check *check, const struct header *header)
{
	struct fort_log *log = check->log;

	fort_log_add(log, "magic: 0x%x\n", header->magic);
	fort_log_add(log, "version: %u\n", header->version);
	fort_log_add(log, "flags: 0x%x\n", header->flags);
	fort_log_add(log, "hdr_len: %u\n", header->header_bytes);
	fort_log_add(log, "type_off: %u\n", header->type_offset);
	fort_log_add(log, "type_len: %u\n", header->type_bytes);
	fort_log_add(log, "str_off: %u\n", header->string_offset);
	fort_log_add(log, "str_len: %u\n", header->string_bytes);
	fort_log_add(log, "btf_total_size: %u\n", check->btf->bytes);
}

/* Types and strings, in either order, must fill what follows the header without gap or overlap. */
static int check_sections(struct fort_btf_check *check, const struct header *header)
{
	uint32_t expected = check->btf->bytes - header->header_bytes, total = 0;
	struct section sections[2] = {
		{header->type_offset, header->type_bytes},
		{header->string_offset, header->string_bytes},
	};

	/* As the kernel orders them: differences are taken as signed numbers. */
	if ((int32_t)(sections[0].offset - sections[1].offset) > 0 ||
	    (sections[0].offset == sections[1].offset &&
	     (int32_t)(sections[0].bytes - sections[1].bytes) > 0)) {
		struct section first = sections[1];

		sections[1] = sections[0];
		sections[0] = first;
	}
	for (unsigned i = 0; i < FORT_LEN(sections); i++) {
		const struct section *section = &sections[i];

		if (expected < section->offset)
			return refuse(check, 8, "Invalid section offset", -EINVAL);
		if (total < section->offset)
			return refuse(check, 8, "Unsupported section found", -EINVAL);
		if (total > section->offset)
			return refuse(check, 8, "Section overlap found", -EINVAL);
		if (expected - total < section->bytes)
			return refuse(check, 8, "Total section length too long", -EINVAL);
		total += section->bytes;
	}
	if (expected != total)
		return refuse(check, 8, "Unsupported section found", -EINVAL);
	return 0;
}

/* A header longer than ours comes from a newer compiler: fine as long as it says nothing new. A
 * shorter one lacks fields, which are then zero.
 */
static int read_header(struct fort_btf_check *check, struct header *header)
{
	const struct fort_btf *btf = check->btf;
	uint32_t header_bytes;

	if (btf->bytes < offsetof(struct header, type_offset))
		return refuse(check, 0, "hdr_len not found", -EINVAL);
	header_bytes = fort_btf_word(btf->data + offsetof(struct header, header_bytes));
	if (btf->bytes < header_bytes)
		return refuse(check, 4, "btf_header not found", -EINVAL);
	for (uint32_t i = sizeof(*header); i < header_bytes; i++)
		if (btf->data[i])
			return refuse(check, i, "Unsupported btf_header", -E2BIG);
	memset(header, 0, sizeof(*header));
	memcpy(header, btf->data, header_bytes < sizeof(*header) ? header_bytes : sizeof(*header));
	return 0;
}

static int check_header(struct fort_btf_check *check, struct header *header)
{
	int err = read_header(check, header);

	if (err)
		return err;
	list_header(check, header);
	if (header->magic != MAGIC)
		return refuse(check, 0, "Invalid magic", -EINVAL);
	if (header->version != 1)
		return refuse(check, 2, "Unsupported version", -FORT_ENOTSUPP);
	if (header->flags)
		return refuse(check, 3, "Unsupported flags", -FORT_ENOTSUPP);
	if (check->btf->bytes == header->header_bytes)
		return refuse(check, 4, "No data", -EINVAL);
	return check_sections(check, header);
}

static int check_strings(struct fort_btf_check *check, const struct header *header)
{
	struct fort_btf *btf = check->btf;
	uint32_t start = header->header_bytes + header->string_offset;
	uint32_t bytes = header->string_bytes;

	if (start + bytes != btf->bytes)
		return refuse(check, 16, "String section is not at the end", -EINVAL);
	if (!bytes || bytes - 1 > FORT_BTF_NAME_MAX || btf->data[btf->bytes - 1] ||
	    btf->data[start])
		return refuse(check, start, "Invalid string section", -EINVAL);
	btf->strings = (const char *)btf->data + start;
	btf->strings_bytes = bytes;
	return 0;
}

static int check_types(struct fort_btf_check *check, const struct header *header)
{
	struct fort_btf *btf = check->btf;
	uint32_t room = header->type_bytes / FORT_BTF_HEADER_BYTES + 1;
	int err;

	if (header->type_offset & 3)
		return refuse(check, 8, "Unaligned type_off", -EINVAL);
	if (!header->type_bytes)
		return refuse(check, 12, "No type found", -EINVAL);
	btf->types = btf->data + header->header_bytes + header->type_offset;
	btf->types_bytes = header->type_bytes;
	btf->offsets = FORT_ARENA_ARRAY(&btf->arena, room, uint32_t);
	if (!btf->offsets)
		return -ENOMEM;
	btf->n_types = 1;
	err = fort_btf_check_metas(check);
	if (err)
		return err;
	btf->resolved_ids = FORT_ARENA_ARRAY(&btf->arena, btf->n_types, uint32_t);
	if (!btf->resolved_ids)
		return -ENOMEM;
	if (btf->is_kernel) /* K: of its own types, the kernel checks no more */
		return fort_btf_check_tags(check);
	btf->resolved_sizes = FORT_ARENA_ARRAY(&btf->arena, btf->n_types, uint32_t);
	if (!btf->resolved_sizes)
		return -ENOMEM;
	err = fort_btf_check_types(check);
	return err ? err : fort_btf_check_tags(check);
}

int fort_btf_check_all(struct fort_btf *btf, struct fort_log *log, struct fort_btf_error *error)
{
	struct fort_btf_check check = {.btf = btf, .log = log, .error = error, .metas = true};
	struct header header;
	int err = check_header(&check, &header);

	err = err ? err : check_strings(&check, &header);
	return err ? err : check_types(&check, &header);
}

struct fort_btf *fort_btf_new(void)
{
	struct fort_arena arena;
	struct fort_btf *btf;

	fort_arena_init(&arena, ARENA_BYTES);
	btf = FORT_ARENA_NEW(&arena, struct fort_btf);
	if (btf)
		btf->index = fort_btf_index_new();
	if (!btf || !btf->index) {
		fort_arena_free(&arena);
		return NULL;
	}
	btf->arena = arena;
	return btf;
}

int fort_btf_parse(const void *data, size_t bytes, struct fort_log *log, struct fort_btf **out,
		   struct fort_btf_error *error)
{
	struct fort_btf *btf;
	int err = -ENOMEM;

	*error = (struct fort_btf_error){0};
	if (bytes > FORT_BTF_BYTES_MAX) {
		memcpy(error->what, "larger than 16 MiB", sizeof("larger than 16 MiB"));
		return -E2BIG;
	}
	btf = fort_btf_new();
	if (!btf)
		return -ENOMEM;
	btf->data = fort_arena_copy(&btf->arena, data, bytes);
	btf->bytes = (uint32_t)bytes;
	if (btf->data)
		err = fort_btf_check_all(btf, log, error);
	if (err) {
		fort_btf_free(btf);
		return err;
	}
	*out = btf;
	return 0;
}

void fort_btf_free(struct fort_btf *btf)
{
	struct fort_arena arena;

	if (!btf)
		return;
	fort_btf_index_free(btf->index);
	if (btf->pages)
		fort_pages_free(btf->pages, btf->pages_bytes);
	arena = btf->arena; /* which holds *btf too */
	fort_arena_free(&arena);
}
