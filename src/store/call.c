#include "store/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

void fort_call_hold(struct fort_call *call, struct fort_object *object)
{
	call->objects[call->n_objects++] = object;
}

int fort_call_object(struct fort_call *call, uint32_t fd, enum fort_object_kind kind,
		     struct fort_object **out)
{
	int err = fort_handle_get(call->store, (int)fd, kind, out);

	if (!err)
		fort_call_hold(call, *out);
	return err;
}

void *fort_call_alloc(struct fort_call *call, uint64_t bytes)
{
	void *buffer = calloc(1, bytes ? bytes : 1);

	if (buffer)
		call->buffers[call->n_buffers++] = buffer;
	return buffer;
}

int fort_call_read(const struct fort_call *call, uint64_t address, void *data, size_t bytes)
{
	return fort_caller_read(&call->caller, address, data, bytes);
}

int fort_call_write(const struct fort_call *call, uint64_t address, const void *data, size_t bytes)
{
	return fort_caller_write(&call->caller, address, data, bytes);
}

int fort_call_copy(struct fort_call *call, uint64_t address, uint64_t bytes, void **out)
{
	void *buffer = fort_call_alloc(call, bytes);
	int err;

	if (!buffer)
		return -ENOMEM;
	err = fort_call_read(call, address, buffer, bytes);
	if (!err)
		*out = buffer;
	return err;
}

int fort_call_answer(const struct fort_call *call, size_t offset, const void *data, size_t bytes)
{
	if (offset + bytes > call->size)
		return 0;
	return fort_call_write(call, call->address + offset, data, bytes);
}

int fort_call_token(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EINVAL;
}

static int write_log(void *owner, uint64_t offset, const void *data, size_t bytes)
{
	const struct fort_call *call = owner;
	bool btf = call->cmd == FORT_CMD_BTF_LOAD;

	return fort_call_write(
		call,
		(btf ? call->attr.btf_load.btf_log_buf : call->attr.prog_load.log_buf) + offset,
		data, bytes);
}

static int read_log(void *owner, uint64_t offset, void *data, size_t bytes)
{
	const struct fort_call *call = owner;
	bool btf = call->cmd == FORT_CMD_BTF_LOAD;

	return fort_call_read(
		call,
		(btf ? call->attr.btf_load.btf_log_buf : call->attr.prog_load.log_buf) + offset,
		data, bytes);
}

int fort_call_start_log(struct fort_call *call, uint32_t level, uint64_t buffer, uint32_t size)
{
	struct fort_log_target target = {.write = write_log, .read = read_log, .owner = call};

	if (!buffer != !size || (buffer && !level) || level & ~(uint32_t)FORT_LOG_MASK ||
	    size > FORT_LOG_BYTES_MAX)
		return -EINVAL;
	if (level)
		fort_log_start(&call->log, target, size, level & FORT_LOG_FIXED);
	return 0;
}

int fort_call_finish_log(struct fort_call *call, int err, uint32_t *needed)
{
	int log_err = fort_log_finish(&call->log, needed);

	return log_err ? log_err : err;
}

int fort_call_name(const char *from, char to[FORT_NAME_BYTES])
{
	memset(to, 0, FORT_NAME_BYTES);
	for (uint32_t i = 0; i < FORT_NAME_BYTES; i++) {
		char c = from[i];

		if (!c)
			return 0;
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '.')
			return -EINVAL;
		to[i] = c;
	}
	return -EINVAL;
}
