/* Walking ids, and opening objects by them. */
#include <errno.h>
#include <fcntl.h>

#include "store/call.h"

static enum fort_object_kind kind_of(enum fort_cmd cmd)
{
	switch (cmd) {
	case FORT_CMD_MAP_GET_NEXT_ID:
	case FORT_CMD_MAP_GET_FD_BY_ID: return FORT_OBJECT_MAP;
	case FORT_CMD_LINK_GET_NEXT_ID:
	case FORT_CMD_LINK_GET_FD_BY_ID: return FORT_OBJECT_LINK;
	case FORT_CMD_BTF_GET_NEXT_ID:
	case FORT_CMD_BTF_GET_FD_BY_ID: return FORT_OBJECT_BTF;
	default: return FORT_OBJECT_PROG;
	}
}

int fort_next_id_decode(struct fort_call *call)
{
	uint32_t id = call->attr.by_id.id;

	if (id >= INT32_MAX)
		return -EINVAL;
	call->by_id.next = fort_object_next_id(call->store, kind_of(call->cmd), id);
	return call->by_id.next ? 0 : -ENOENT;
}

long fort_next_id_invoke(struct fort_call *call)
{
	return FORT_CALL_ANSWER(call, by_id.next_id, call->by_id.next);
}

static int check_flags(struct fort_call *call)
{
	const struct fort_attr_by_id *attr = &call->attr.by_id;

	call->by_id.access = O_RDWR;
	if (call->cmd == FORT_CMD_MAP_GET_FD_BY_ID) {
		if (attr->open_flags & ~(uint32_t)(BPF_F_RDONLY | BPF_F_WRONLY))
			return -EINVAL;
		if (attr->open_flags == (BPF_F_RDONLY | BPF_F_WRONLY))
			return -EINVAL;
		if (attr->open_flags)
			call->by_id.access = attr->open_flags & BPF_F_RDONLY ? O_RDONLY : O_WRONLY;
	} else if (call->cmd == FORT_CMD_BTF_GET_FD_BY_ID) {
		if (attr->open_flags & ~(uint32_t)FORT_BPF_F_TOKEN_FD)
			return -EINVAL;
		if (attr->open_flags)
			return fort_call_token(attr->token_fd);
	}
	return 0;
}

int fort_fd_by_id_decode(struct fort_call *call)
{
	struct fort_object *object;
	int err = check_flags(call);

	if (err)
		return err;
	object = fort_object_by_id(call->store, kind_of(call->cmd), call->attr.by_id.id);
	if (!object)
		return -ENOENT;
	fort_call_hold(call, object);
	call->by_id.object = object;
	return 0;
}

long fort_fd_by_id_invoke(struct fort_call *call)
{
	return fort_handle_open(call->by_id.object, call->by_id.access);
}
