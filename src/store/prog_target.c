/* What a program is attached to, as far as loading it is concerned. */
#include <errno.h>

#include "abi/uapi.h"
#include "btf/remark.h"
#include "store/prog.h"

/* bpf_prog_load_check_attach in kernel/bpf/syscall.c. Programs that attach to functions of the
 * kernel can only be judged, those that attach to other programs not even that; what remains is to
 * say so in the kernel's words. */
int fort_prog_check_target(struct fort_call *call)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	const struct fort_prog_info *type = fort_prog_by_number(attr->prog_type);
	struct fort_object *object;

	if (!attr->attach_prog_fd && !attr->attach_btf_id)
		return 0;
	if (!attr->attach_prog_fd)
		return call->store->vets && type && type->target != FORT_TARGET_NONE ? 0 : -EINVAL;
	if (!fort_call_object(call, attr->attach_prog_fd, FORT_OBJECT_PROG, &object))
		return -EINVAL;
	if (!fort_call_object(call, attr->attach_prog_fd, FORT_OBJECT_BTF, &object))
		return -FORT_ENOTSUPP;
	return -EINVAL;
}

static void tell(struct fort_call *call, const struct fort_btf_remark *remark)
{
	struct fort_text words = fort_text_new();

	fort_btf_remark_print(remark, &words);
	if (words.length)
		fort_log_add(&call->log, "%s\n", words.data);
	fort_text_free(&words);
}

int fort_prog_find_target(struct fort_call *call, struct fort_prog_object *prog)
{
	uint32_t id = call->attr.prog_load.attach_btf_id;
	struct fort_btf_remark remark = {0};
	struct fort_btf_target *target;
	int err;

	if (!(prog->type->bit & (FORT_BIT_TRC | FORT_BIT_LSM)) || !id)
		return 0;
	if (!call->store->kernel) {
		fort_log_add(&call->log, "the kernel's types are not known\n");
		return -EINVAL;
	}
	target = FORT_ARENA_NEW(&prog->arena, struct fort_btf_target);
	if (!target)
		return -ENOMEM;
	err = fort_btf_find_target(call->store->kernel, prog->type->number,
				   prog->expected_attach_type, id, target, &remark);
	if (err)
		tell(call, &remark);
	else
		prog->target = target;
	return err;
}

const char *fort_prog_target_name(const struct fort_prog_object *prog)
{
	return prog->target ? fort_btf_string(prog->target->btf, prog->target->name) : NULL;
}
