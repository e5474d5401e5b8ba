/* MAP_CREATE. The order of checks is that of map_create in kernel/bpf/syscall.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "btf/values.h"
#include "store/tails.h"

static bool node_exists(uint32_t node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", node);
	return !node || !access(path, F_OK);
}

/* What map_extra may say: how many hashes, where the arena is to be mapped. */
static bool extra_fits(const struct fort_attr_map_create *attr)
{
	switch (attr->map_type) {
	case BPF_MAP_TYPE_BLOOM_FILTER: return attr->map_extra < 16;
	case FORT_BPF_MAP_TYPE_ARENA: return !(attr->map_extra % FORT_PAGE_BYTES);
	default: return !attr->map_extra;
	}
}

static bool types_fit(const struct fort_attr_map_create *attr)
{
	const struct fort_map_info *info = fort_map_by_number(attr->map_type);
	bool key = attr->btf_key_type_id, value = attr->btf_value_type_id;

	if (info && info->btf == FORT_MAP_BTF_STRUCT)
		return attr->btf_vmlinux_value_type_id && !key && !value;
	if (attr->btf_vmlinux_value_type_id)
		return false;
	return info && info->btf == FORT_MAP_BTF_NEEDED ? key && value : !key || value;
}

static int check_attr(const struct fort_attr_map_create *attr, uint32_t flags)
{
	if (!types_fit(attr) || !extra_fits(attr) || attr->map_ifindex)
		return -EINVAL;
	if (flags & BPF_F_NUMA_NODE && !node_exists(attr->numa_node))
		return -EINVAL;
	/* Maps for one program only: not yet. */
	if (attr->excl_prog_hash || attr->excl_prog_hash_size)
		return -EINVAL;
	return 0;
}

static int find_btf(struct fort_call *call, const struct fort_attr_map_create *attr)
{
	struct fort_btf_record *record = &call->map_create.record;
	struct fort_object *object;
	int err;

	if (!attr->btf_value_type_id)
		return 0;
	err = fort_call_object(call, attr->btf_fd, FORT_OBJECT_BTF, &object);
	if (err)
		return err;
	call->map_create.btf = (struct fort_btf_object *)object;
	err = fort_btf_check_map(call->map_create.btf->btf, fort_store_types(call->store),
				 &call->map_create.shape, attr->btf_key_type_id,
				 attr->btf_value_type_id, record);
	/* Locks, timers, owned pointers, lists and trees cannot run yet. */
	return err ? err : record->count && !call->store->vets ? -EOPNOTSUPP : 0;
}

/* map_in_map.c in kernel/bpf: bpf_map_meta_alloc. */
static int find_inner(struct fort_call *call, const struct fort_attr_map_create *attr)
{
	const struct fort_map_info *info = fort_map_info_of(&call->map_create.shape), *inner;
	struct fort_object *object;
	int err;

	if (info->gives != FORT_GIVES_MAP)
		return 0;
	err = fort_call_object(call, attr->inner_map_fd, FORT_OBJECT_MAP, &object);
	if (err)
		return err;
	call->map_create.inner = (struct fort_map_object *)object;
	inner = call->map_create.inner->map->info;
	if (inner->gives == FORT_GIVES_MAP)
		return -EINVAL;
	return inner->traits & FORT_TRAIT_INNER ? 0 : -FORT_ENOTSUPP;
}

static int check_shape(const struct fort_call *call)
{
	const struct fort_map_shape *shape = &call->map_create.shape;

	return call->store->vets ? fort_map_verdict(shape) : fort_map_check(shape, "");
}

int fort_map_create_decode(struct fort_call *call)
{
	const struct fort_attr_map_create *attr = &call->attr.map_create;
	uint32_t flags = attr->map_flags & ~(uint32_t)FORT_BPF_F_TOKEN_FD;
	struct fort_map_shape *shape = &call->map_create.shape;
	int err = check_attr(attr, flags);

	if (err)
		return err;
	*shape = (struct fort_map_shape){
		.type = attr->map_type,
		.key_bytes = attr->key_size,
		.value_bytes = attr->value_size,
		.max_entries = attr->max_entries,
		.flags = flags,
	};
	err = check_shape(call);
	if (err)
		return err;
	if (attr->map_flags & FORT_BPF_F_TOKEN_FD)
		return fort_call_token(attr->map_token_fd);
	err = fort_call_name(attr->map_name, call->map_create.name);
	if (err)
		return err;
	call->map_create.access = flags & BPF_F_RDONLY   ? O_RDONLY
				  : flags & BPF_F_WRONLY ? O_WRONLY
							 : O_RDWR;
	/* How the descriptor was opened is no property of the map. */
	shape->flags &= ~(uint32_t)(BPF_F_RDONLY | BPF_F_WRONLY);
	err = find_inner(call, attr);
	return err ? err : find_btf(call, attr);
}

static int start(struct fort_call *call, struct fort_map_object *map)
{
	const struct fort_attr_map_create *attr = &call->attr.map_create;
	int err = (call->store->vets ? fort_map_create_hollow : fort_map_create)(
		&call->map_create.shape, call->map_create.name, call->store->shared, &map->map);

	if (err)
		return err;
	map->record = call->map_create.record;
	map->inner = call->map_create.inner;
	if (map->inner)
		fort_object_get(&map->inner->object);
	memcpy(map->name, call->map_create.name, sizeof(map->name));
	if (call->map_create.btf) {
		fort_object_get(&call->map_create.btf->object);
		map->btf = call->map_create.btf;
		map->key_type = attr->btf_key_type_id;
		map->value_type = attr->btf_value_type_id;
	}
	err = fort_handle_identify(map);
	return err ? err : fort_object_publish(&map->object);
}

long fort_map_create_invoke(struct fort_call *call)
{
	struct fort_map_object *map = fort_object_new(call->store, FORT_OBJECT_MAP, sizeof(*map));
	int err;

	if (!map)
		return -ENOMEM;
	fort_call_hold(call, &map->object);
	err = start(call, map);
	return err ? err : fort_handle_open(&map->object, call->map_create.access);
}

void fort_map_object_free(struct fort_map_object *map)
{
	if (map->map)
		fort_handle_forget(map);
	fort_map_close(map->map);
	if (map->btf)
		fort_object_put(&map->btf->object);
	if (map->inner)
		fort_object_put(&map->inner->object);
	fort_tails_free(map);
	free(map->locks);
	free(map);
}
