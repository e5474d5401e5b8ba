/* MAP_CREATE. The order of checks is that of map_create in kernel/bpf/syscall.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "btf/values.h"
#include "store/call.h"

static bool node_exists(uint32_t node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", node);
	return !node || !access(path, F_OK);
}

static int check_attr(const struct fort_attr_map_create *attr, uint32_t flags)
{
	if (attr->btf_vmlinux_value_type_id) /* STRUCT_OPS only, which we do not have */
		return -EINVAL;
	if (attr->btf_key_type_id && !attr->btf_value_type_id)
		return -EINVAL;
	if (attr->map_extra || attr->map_ifindex)
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
	struct fort_btf_record record;
	struct fort_object *object;
	int err;

	if (!attr->btf_value_type_id)
		return 0;
	err = fort_call_object(call, attr->btf_fd, FORT_OBJECT_BTF, &object);
	if (err)
		return err;
	call->map_create.btf = (struct fort_btf_object *)object;
	err = fort_btf_check_map(call->map_create.btf->btf, NULL, &call->map_create.shape,
				 attr->btf_key_type_id, attr->btf_value_type_id, &record);
	/* Locks, timers, owned pointers, lists and trees: not yet. */
	return err ? err : record.count ? -EOPNOTSUPP : 0;
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
	err = fort_map_check(shape, "");
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
	return find_btf(call, attr);
}

static int start(struct fort_call *call, struct fort_map_object *map)
{
	const struct fort_attr_map_create *attr = &call->attr.map_create;
	int err = fort_map_create(&call->map_create.shape, call->map_create.name,
				  call->store->shared, &map->map);

	if (err)
		return err;
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
	free(map->locks);
	free(map);
}
