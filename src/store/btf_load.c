/* BTF_LOAD. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "btf/record.h"
#include "store/call.h"

/* Order: kernel/bpf/syscall.c bpf_btf_load, kernel/bpf/btf.c btf_parse. */
int fort_btf_load_decode(struct fort_call *call)
{
	const struct fort_attr_btf_load *attr = &call->attr.btf_load;
	const uint32_t none = 0;
	int err;

	if (attr->btf_flags & ~(uint32_t)FORT_BPF_F_TOKEN_FD)
		return -EINVAL;
	if (attr->btf_flags & FORT_BPF_F_TOKEN_FD)
		return fort_call_token(attr->btf_token_fd);
	if (attr->btf_size > FORT_BTF_BYTES_MAX)
		return -E2BIG;
	err = fort_call_start_log(call, attr->btf_log_level, attr->btf_log_buf, attr->btf_log_size);
	if (err)
		return err;
	err = fort_call_copy(call, attr->btf, attr->btf_size, &call->btf_load.data);
	if (err && FORT_CALL_ANSWER(call, btf_load.btf_log_true_size, none))
		return -EFAULT;
	return err;
}

static int open_btf(struct fort_call *call, struct fort_btf *btf)
{
	struct fort_btf_object *object =
		fort_object_new(call->store, FORT_OBJECT_BTF, sizeof(*object));
	int err;

	if (!object) {
		fort_btf_free(btf);
		return -ENOMEM;
	}
	object->btf = btf;
	fort_call_hold(call, &object->object);
	err = fort_object_publish(&object->object);
	return err ? err : fort_handle_open(&object->object, O_RDWR);
}

long fort_btf_load_invoke(struct fort_call *call)
{
	const struct fort_attr_btf_load *attr = &call->attr.btf_load;
	struct fort_btf *btf = NULL;
	struct fort_btf_error error;
	uint32_t needed;
	int err = fort_btf_parse(call->btf_load.data, attr->btf_size, &call->log, &btf, &error);

	err = err ? err : fort_btf_check_objects(btf, call->store->kernel);
	err = fort_call_finish_log(call, err, &needed);
	if (FORT_CALL_ANSWER(call, btf_load.btf_log_true_size, needed))
		err = -EFAULT;
	if (err) {
		fort_btf_free(btf);
		return err;
	}
	return open_btf(call, btf);
}

void fort_btf_object_free(struct fort_btf_object *btf)
{
	fort_btf_free(btf->btf);
	free(btf);
}
