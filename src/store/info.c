/* OBJ_GET_INFO_BY_FD for maps, links and BTF; programs are in prog_info.c.
 *
 * The caller says how much it knows (info_len), we know how much we know: the smaller is copied
 * in, filled, copied out and reported. What the caller knows beyond must be zero.
 */
#include "store/info.h"

#include <errno.h>
#include <string.h>

#include "base/sha256.h"

/* struct bpf_map_info, bpf_link_info of Linux 6.18. */
struct map_info {
	uint32_t type, id, key_size, value_size, max_entries, map_flags;
	char name[FORT_NAME_BYTES];
	uint32_t ifindex, btf_vmlinux_value_type_id;
	uint64_t netns_dev, netns_ino;
	uint32_t btf_id, btf_key_type_id, btf_value_type_id, btf_vmlinux_id;
	uint64_t map_extra;
	uint64_t hash;
	uint32_t hash_size, pad;
};
_Static_assert(sizeof(struct map_info) == 104, "ABI");
_Static_assert(offsetof(struct map_info, map_extra) == 80, "ABI");

struct link_info {
	uint32_t type, id, prog_id, pad;
	uint32_t event_type, event_pad; /* enum bpf_perf_event_type */
	uint64_t file_name;
	uint32_t name_len, offset;
	uint64_t cookie;
	uint64_t ref_ctr_offset, unused;
};
_Static_assert(sizeof(struct link_info) == 64, "ABI");

enum { EVENT_UPROBE = 1, EVENT_URETPROBE = 2 };

/* The struct of a kind, and where its last field ends: padding behind that must be zero. */
struct layout {
	uint32_t bytes, fields;
};

static struct layout layout_of(const struct fort_object *object)
{
	switch (object->kind) {
	case FORT_OBJECT_MAP:
		return (struct layout){sizeof(struct map_info), offsetof(struct map_info, pad)};
	case FORT_OBJECT_PROG:
		return (struct layout){FORT_PROG_INFO_BYTES, FORT_PROG_INFO_BYTES - 4};
	case FORT_OBJECT_LINK:
		return (struct layout){sizeof(struct link_info), sizeof(struct link_info)};
	case FORT_OBJECT_BTF:
		return (struct layout){sizeof(struct bpf_btf_info), sizeof(struct bpf_btf_info)};
	default: return (struct layout){0};
	}
}

int fort_info_decode(struct fort_call *call)
{
	const struct fort_attr_info *attr = &call->attr.info;
	struct fort_object *object;
	struct layout layout;
	int err = fort_handle_get_any(call->store, (int)attr->bpf_fd, &object), zero = 1;

	if (err)
		return err == -EBADF ? -EBADFD : err;
	fort_call_hold(call, object);
	layout = layout_of(object);
	if (!layout.bytes)
		return -EINVAL;
	if (attr->info_len > FORT_PAGE_BYTES)
		return -E2BIG;
	if (attr->info_len > layout.fields)
		zero = fort_caller_is_zero(&call->caller, attr->info + layout.fields,
					   attr->info_len - layout.fields);
	if (zero <= 0)
		return zero ? zero : -E2BIG;
	call->info.object = object;
	call->info.bytes = attr->info_len < layout.bytes ? attr->info_len : layout.bytes;
	return 0;
}

int fort_info_start(struct fort_call *call, void *info, size_t bytes)
{
	memset(info, 0, bytes);
	return fort_call_read(call, call->attr.info.info, info, call->info.bytes);
}

int fort_info_finish(struct fort_call *call, const void *info)
{
	int err = fort_call_write(call, call->attr.info.info, info, call->info.bytes);

	return err ? err : FORT_CALL_ANSWER(call, info.info_len, call->info.bytes);
}

/* The hash of a frozen array's values, as the kernel makes it for signed loaders. */
static int hash_map(struct fort_call *call, const struct fort_map *map,
		    const struct map_info *asked)
{
	struct fort_sha256 hash;
	uint8_t digest[FORT_SHA256_BYTES];

	if (!asked->hash && !asked->hash_size)
		return 0;
	if (map->shape.type != BPF_MAP_TYPE_ARRAY || asked->hash_size != sizeof(digest))
		return -EINVAL;
	if (!fort_map_frozen(map))
		return -EPERM;
	fort_sha256_init(&hash);
	fort_sha256_add(&hash, map->values, (uint64_t)map->stride * map->shape.max_entries);
	fort_sha256_end(&hash, digest);
	return fort_call_write(call, asked->hash, digest, sizeof(digest));
}

static long map_info(struct fort_call *call, const struct fort_map_object *object)
{
	const struct fort_map_shape *shape = &object->map->shape;
	struct map_info info, asked;
	int err = fort_info_start(call, &asked, sizeof(asked));

	if (err)
		return err;
	info = (struct map_info){
		.type = shape->type,
		.id = object->object.id,
		.key_size = shape->key_bytes,
		.value_size = shape->value_bytes,
		.max_entries = shape->max_entries,
		.map_flags = shape->flags,
		.btf_id = object->btf ? object->btf->object.id : 0,
		.btf_key_type_id = object->key_type,
		.btf_value_type_id = object->value_type,
		.hash = asked.hash,
		.hash_size = asked.hash_size,
	};
	memcpy(info.name, object->name, sizeof(info.name));
	err = hash_map(call, object->map, &asked);
	return err ? err : fort_info_finish(call, &info);
}

/* A string for a caller who has `room` bytes: cut and terminated, and then -ENOSPC. */
static int answer_string(struct fort_call *call, uint64_t address, uint32_t room, const char *text)
{
	uint32_t bytes = (uint32_t)strlen(text) + 1;
	int err;

	if (room >= bytes)
		return fort_call_write(call, address, text, bytes);
	err = fort_call_write(call, address, text, room - 1);
	err = err ? err : fort_call_write(call, address + room - 1, "", 1);
	return err ? err : -ENOSPC;
}

static long link_info(struct fort_call *call, const struct fort_link_object *link)
{
	const struct fort_event_object *event = link->event;
	struct link_info info;
	uint32_t room;
	int err = fort_info_start(call, &info, sizeof(info));

	if (err)
		return err;
	room = info.name_len;
	if (!room != !info.file_name)
		return -EINVAL;
	info.type = BPF_LINK_TYPE_PERF_EVENT;
	info.id = link->object.id;
	info.prog_id = link->prog->object.id;
	info.event_type = event->returns ? EVENT_URETPROBE : EVENT_UPROBE;
	info.name_len = (uint32_t)strlen(event->path) + 1;
	info.offset = (uint32_t)event->offset;
	info.cookie = event->cookie;
	info.ref_ctr_offset = event->ref_ctr_offset;
	if (room) {
		err = answer_string(call, info.file_name, room, event->path);
		if (err)
			return err;
	}
	return fort_info_finish(call, &info);
}

/* btf_get_info_by_fd: a short name buffer is reported after everything was filled in. */
static long btf_info(struct fort_call *call, const struct fort_btf_object *object)
{
	struct bpf_btf_info info;
	size_t bytes;
	const void *data = fort_btf_data(object->btf, &bytes);
	uint32_t room, copied;
	int err = fort_info_start(call, &info, sizeof(info)), cut = 0;

	if (err)
		return err;
	copied = info.btf_size < bytes ? info.btf_size : (uint32_t)bytes;
	err = fort_call_write(call, info.btf, data, copied);
	if (err)
		return err;
	room = info.name_len;
	if (!info.name != !room)
		return -EINVAL;
	info.id = object->object.id;
	info.btf_size = (uint32_t)bytes;
	info.name_len = 0; /* only the kernel's own BTF has a name */
	info.kernel_btf = 0;
	if (info.name)
		cut = answer_string(call, info.name, room, "");
	err = fort_info_finish(call, &info);
	return err ? err : cut;
}

long fort_info_invoke(struct fort_call *call)
{
	struct fort_object *object = call->info.object;

	switch (object->kind) {
	case FORT_OBJECT_MAP: return map_info(call, (struct fort_map_object *)object);
	case FORT_OBJECT_PROG: return fort_prog_info(call, (struct fort_prog_object *)object);
	case FORT_OBJECT_LINK: return link_info(call, (struct fort_link_object *)object);
	default: return btf_info(call, (struct fort_btf_object *)object);
	}
}
