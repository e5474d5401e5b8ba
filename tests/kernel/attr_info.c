#include "attr_info.h"

#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "step/kernel.h"

static int read_here(void *owner, uint64_t offset, void *data, size_t bytes)
{
	memcpy(data, (const char *)owner + offset, bytes);
	return 0;
}

bool attr_btf_read(int fd, struct fort_btf **out)
{
	struct bpf_btf_info info = {0};
	struct fort_btf_error error;
	uint32_t bytes = sizeof(info), room;
	void *blob;
	bool good;

	if (bpf_obj_get_info_by_fd(fd, &info, &bytes))
		return false;
	room = info.btf_size;
	blob = malloc(room);
	info = (struct bpf_btf_info){.btf = (uintptr_t)blob, .btf_size = room};
	bytes = sizeof(info);
	good = blob && !bpf_obj_get_info_by_fd(fd, &info, &bytes) &&
	       !fort_btf_parse(blob, room, NULL, out, &error);
	free(blob);
	return good;
}

/* Opened once: they are large. */
const struct fort_kernel *attr_kernel(void)
{
	static struct fort_kernel *kernel;
	struct fort_btf_error error;

	if (!kernel && fort_kernel_open(NULL, &kernel, &error))
		return NULL;
	return kernel;
}

const struct fort_btf *attr_btf_kernel(void)
{
	return attr_kernel() ? attr_kernel()->btf : NULL;
}

bool attr_info_open(struct attr_info *out, struct fort_arena *arena, const union bpf_attr *attr)
{
	struct fort_info_records records = {.count = attr->func_info_cnt,
					    .record_bytes = attr->func_info_rec_size,
					    .read = read_here,
					    .owner = (void *)(uintptr_t)attr->func_info};
	const struct fort_func_owner owner = {.prog_type = attr->prog_type,
					      .attach_type = attr->expected_attach_type,
					      .kernel = attr_btf_kernel()};
	uint32_t known;

	memset(out, 0, sizeof(*out));
	if (!attr->func_info_cnt)
		return true;
	if (!attr_btf_read((int)attr->prog_btf_fd, &out->btf))
		return false;
	out->info.btf = out->btf;
	return !fort_info_read_funcs(&out->info, arena, &records, NULL, &known) &&
	       !fort_describe(arena, &out->info, &owner, &out->described);
}

void attr_info_close(struct attr_info *info)
{
	fort_btf_free(info->btf);
}
