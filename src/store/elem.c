/* Elements of maps: lookup, update, delete, next key, freeze. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "map/prog_array.h"
#include "store/tails.h"

static bool writes(enum fort_cmd cmd)
{
	return cmd == FORT_CMD_MAP_UPDATE_ELEM || cmd == FORT_CMD_MAP_DELETE_ELEM;
}

/* May this descriptor do this? Not when it was opened otherwise, nor write what is frozen. */
static int check_access(const struct fort_map_object *map, int fd, bool write)
{
	int access = fort_handle_access(fd);

	if (access == (write ? O_RDONLY : O_WRONLY))
		return -EPERM;
	return write && fort_map_frozen(map->map) ? -EPERM : 0;
}

/* Maps without keys want no key. GET_NEXT_KEY may ask for the first one by having none. */
static int copy_key(struct fort_call *call)
{
	uint64_t address = call->attr.elem.key;
	uint32_t bytes = call->elem.map->map->shape.key_bytes;

	if (!address && (!bytes || call->cmd == FORT_CMD_MAP_GET_NEXT_KEY))
		return 0;
	if (!bytes)
		return -EINVAL;
	return fort_call_copy(call, address, bytes, &call->elem.key);
}

int fort_elem_decode(struct fort_call *call)
{
	const struct fort_attr_elem *attr = &call->attr.elem;
	struct fort_object *object;
	uint64_t bytes;
	int err;

	if (call->cmd == FORT_CMD_MAP_LOOKUP_ELEM && attr->flags & ~(uint64_t)BPF_F_LOCK)
		return -EINVAL;
	err = fort_call_object(call, attr->map_fd, FORT_OBJECT_MAP, &object);
	if (err)
		return err;
	call->elem.map = (struct fort_map_object *)object;
	err = check_access(call->elem.map, (int)attr->map_fd, writes(call->cmd));
	if (err)
		return err;
	/* Values with a spin lock are refused at creation: there is nothing to lock. */
	if (call->cmd != FORT_CMD_MAP_DELETE_ELEM && call->cmd != FORT_CMD_MAP_GET_NEXT_KEY &&
	    attr->flags & BPF_F_LOCK)
		return -EINVAL;
	err = copy_key(call);
	if (err)
		return err;
	bytes = fort_map_user_bytes(call->elem.map->map);
	if (call->cmd == FORT_CMD_MAP_UPDATE_ELEM)
		return fort_call_copy(call, attr->value, bytes, &call->elem.value);
	if (call->cmd == FORT_CMD_MAP_GET_NEXT_KEY)
		bytes = call->elem.map->map->shape.key_bytes;
	call->elem.value = fort_call_alloc(call, bytes);
	return call->elem.value ? 0 : -ENOMEM;
}

/* Of arrays: keys are indices. */
static uint32_t index_of(const struct fort_call *call)
{
	uint32_t index;

	memcpy(&index, call->elem.key, sizeof(index));
	return index;
}

long fort_lookup_invoke(struct fort_call *call)
{
	struct fort_map *map = call->elem.map->map;
	int err;

	if (fort_map_is_prog_array(map))
		err = fort_tails_lookup(call->elem.map, index_of(call), call->elem.value);
	else
		err = fort_map_lookup(map, call->elem.key, call->elem.value, call->attr.elem.flags);

	if (err)
		return err;
	return fort_call_write(call, call->attr.elem.value, call->elem.value,
			       fort_map_user_bytes(map));
}

long fort_update_invoke(struct fort_call *call)
{
	int fd;

	if (fort_map_is_prog_array(call->elem.map->map)) {
		memcpy(&fd, call->elem.value, sizeof(fd));
		return fort_tails_update(call->elem.map, index_of(call), fd, call->attr.elem.flags);
	}
	return fort_map_update(call->elem.map->map, call->elem.key, call->elem.value,
			       call->attr.elem.flags);
}

long fort_delete_invoke(struct fort_call *call)
{
	if (fort_map_is_prog_array(call->elem.map->map))
		return fort_tails_delete(call->elem.map, index_of(call));
	return fort_map_delete(call->elem.map->map, call->elem.key);
}

long fort_next_key_invoke(struct fort_call *call)
{
	struct fort_map *map = call->elem.map->map;
	int err = fort_map_next_key(map, call->elem.key, call->elem.value);

	if (err)
		return err;
	return fort_call_write(call, call->attr.elem.value, call->elem.value, map->shape.key_bytes);
}

int fort_freeze_decode(struct fort_call *call)
{
	struct fort_object *object;
	int err = fort_call_object(call, call->attr.fd, FORT_OBJECT_MAP, &object);

	if (err)
		return err;
	call->elem.map = (struct fort_map_object *)object;
	return check_access(call->elem.map, (int)call->attr.fd, true);
}

long fort_freeze_invoke(struct fort_call *call)
{
	return fort_map_freeze(call->elem.map->map);
}
