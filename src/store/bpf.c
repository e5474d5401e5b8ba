/* The front door: the frame that all bpf(2) commands share.
 *
 * The order of checks is the kernel's (__sys_bpf in kernel/bpf/syscall.c), and visible: size,
 * tail, copy, command, unknown attributes, and then the command's own. Clients probe for features
 * with each of these.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/call.h"

static const struct fort_command commands[FORT_CMDS] = {
	[FORT_CMD_MAP_CREATE] = {fort_map_create_decode, fort_map_create_invoke},
	[FORT_CMD_MAP_LOOKUP_ELEM] = {fort_elem_decode, fort_lookup_invoke},
	[FORT_CMD_MAP_UPDATE_ELEM] = {fort_elem_decode, fort_update_invoke},
	[FORT_CMD_MAP_DELETE_ELEM] = {fort_elem_decode, fort_delete_invoke},
	[FORT_CMD_MAP_GET_NEXT_KEY] = {fort_elem_decode, fort_next_key_invoke},
	[FORT_CMD_PROG_LOAD] = {fort_prog_load_decode, fort_prog_load_invoke},
	[FORT_CMD_PROG_TEST_RUN] = {fort_test_run_decode, fort_test_run_invoke},
	[FORT_CMD_PROG_GET_NEXT_ID] = {fort_next_id_decode, fort_next_id_invoke},
	[FORT_CMD_MAP_GET_NEXT_ID] = {fort_next_id_decode, fort_next_id_invoke},
	[FORT_CMD_BTF_GET_NEXT_ID] = {fort_next_id_decode, fort_next_id_invoke},
	[FORT_CMD_LINK_GET_NEXT_ID] = {fort_next_id_decode, fort_next_id_invoke},
	[FORT_CMD_PROG_GET_FD_BY_ID] = {fort_fd_by_id_decode, fort_fd_by_id_invoke},
	[FORT_CMD_MAP_GET_FD_BY_ID] = {fort_fd_by_id_decode, fort_fd_by_id_invoke},
	[FORT_CMD_BTF_GET_FD_BY_ID] = {fort_fd_by_id_decode, fort_fd_by_id_invoke},
	[FORT_CMD_LINK_GET_FD_BY_ID] = {fort_fd_by_id_decode, fort_fd_by_id_invoke},
	[FORT_CMD_OBJ_GET_INFO_BY_FD] = {fort_info_decode, fort_info_invoke},
	[FORT_CMD_BTF_LOAD] = {fort_btf_load_decode, fort_btf_load_invoke},
	[FORT_CMD_MAP_FREEZE] = {fort_freeze_decode, fort_freeze_invoke},
	[FORT_CMD_LINK_CREATE] = {fort_link_create_decode, fort_link_create_invoke},
	[FORT_CMD_LINK_UPDATE] = {fort_link_update_decode, fort_link_refuse_invoke},
	[FORT_CMD_LINK_DETACH] = {fort_link_detach_decode, fort_link_refuse_invoke},
	[FORT_CMD_PROG_BIND_MAP] = {fort_bind_map_decode, fort_bind_map_invoke},
};

/* Attributes of a newer client are fine as long as they say nothing that we do not know. */
static int copy_attr(struct fort_call *call)
{
	uint32_t known = call->size < FORT_ATTR_BYTES ? call->size : FORT_ATTR_BYTES;
	int zero = 1;

	if (call->size > FORT_PAGE_BYTES)
		return -E2BIG;
	if (call->size > FORT_ATTR_BYTES)
		zero = fort_caller_is_zero(&call->caller, call->address + FORT_ATTR_BYTES,
					   call->size - FORT_ATTR_BYTES);
	if (zero < 0)
		return zero;
	if (!zero)
		return -E2BIG;
	return fort_call_read(call, call->address, call->attr.bytes, known);
}

/* Calls on elements are made by the million and free nothing: they do not look for closed
 * descriptors. */
static bool should_reap(enum fort_cmd cmd)
{
	return cmd > FORT_CMD_MAP_GET_NEXT_KEY;
}

static long run(struct fort_call *call, int cmd)
{
	long result;
	int err = copy_attr(call);

	if (err)
		return err;
	if (cmd < 0 || cmd >= FORT_CMDS)
		return -EINVAL;
	call->cmd = (enum fort_cmd)cmd;
	if (should_reap(call->cmd) || cmd == FORT_CMD_MAP_CREATE)
		fort_handle_reap(call->store);
	if (!fort_cmd_tail_is_zero(call->cmd, &call->attr))
		return -EINVAL;
	if (!commands[cmd].decode)
		return fort_cmds[cmd].answer;
	result = commands[cmd].decode(call);
	return result ? result : commands[cmd].invoke(call);
}

static void give_back(struct fort_call *call)
{
	while (call->n_objects)
		fort_object_put(call->objects[--call->n_objects]);
	while (call->n_buffers)
		free(call->buffers[--call->n_buffers]);
}

long fort_store_bpf_for(struct fort_store *store, const struct fort_caller *caller, int cmd,
			uint64_t attr, unsigned int size)
{
	struct fort_call call;
	int saved = errno;
	long result;

	memset(&call, 0, offsetof(struct fort_call, log));
	fort_log_silence(&call.log);
	call.store = store;
	call.caller = *caller;
	call.address = attr;
	call.size = size;
	result = run(&call, cmd);
	give_back(&call);
	errno = saved;
	return result;
}

long fort_store_bpf(struct fort_store *store, int cmd, void *attr, unsigned int size)
{
	return fort_store_bpf_for(store, &(struct fort_caller){0}, cmd, (uintptr_t)attr, size);
}
