/* Links: a program bound to a perf event for as long as the link lives. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "store/call.h"
#include "store/event.h"

/* bpf_prog_attach_check_attach_type (kernel/bpf/syscall.c) for the program types that we have. */
static int check_attach_type(const struct fort_prog_object *prog, uint32_t attach_type)
{
	uint32_t expected = prog->expected_attach_type;

	switch (prog->type->number) {
	case BPF_PROG_TYPE_TRACEPOINT: return attach_type == BPF_PERF_EVENT ? 0 : -EINVAL;
	case BPF_PROG_TYPE_KPROBE:
		if ((expected == BPF_TRACE_KPROBE_MULTI ||
		     expected == FORT_BPF_TRACE_UPROBE_MULTI) &&
		    attach_type != expected)
			return -EINVAL;
		if (attach_type == BPF_PERF_EVENT)
			return 0;
		return attach_type == BPF_TRACE_KPROBE_MULTI ||
				       attach_type == FORT_BPF_TRACE_UPROBE_MULTI
			       ? -EOPNOTSUPP
			       : -EINVAL;
	default: return -EINVAL; /* to devices and the like, which we do not have */
	}
}

int fort_link_create_decode(struct fort_call *call)
{
	const struct fort_attr_link_create *attr = &call->attr.link_create;
	struct fort_object *prog, *event;
	int err = fort_call_object(call, attr->prog_fd, FORT_OBJECT_PROG, &prog);

	if (err)
		return err;
	call->link.prog = (struct fort_prog_object *)prog;
	err = check_attach_type(call->link.prog, attr->attach_type);
	if (err)
		return err;
	if (attr->flags)
		return -EINVAL;
	/* K: whatever is no perf event is a bad descriptor here */
	if (fort_call_object(call, attr->target_fd, FORT_OBJECT_EVENT, &event))
		return -EBADF;
	call->link.event = (struct fort_event_object *)event;
	return 0;
}

long fort_link_create_invoke(struct fort_call *call)
{
	struct fort_event_object *event = call->link.event;
	struct fort_link_object *link =
		fort_object_new(call->store, FORT_OBJECT_LINK, sizeof(*link));
	int err;

	if (!link)
		return -ENOMEM;
	fort_call_hold(call, &link->object);
	err = fort_event_set_prog(event, call->link.prog, call->attr.link_create.bpf_cookie);
	if (err)
		return err;
	fort_object_get(&event->object);
	fort_object_get(&call->link.prog->object);
	link->event = event;
	link->prog = call->link.prog;
	err = fort_object_publish(&link->object);
	return err ? err : fort_handle_open(&link->object, O_RDWR);
}

void fort_link_object_free(struct fort_link_object *link)
{
	if (link->event) {
		fort_event_clear_prog(link->event);
		fort_object_put(&link->event->object);
		fort_object_put(&link->prog->object);
	}
	free(link);
}

/* A link to a perf event can be neither updated nor detached, in the kernel either: closing it is
 * the way. What remains is to refuse in the right order.
 */
int fort_link_update_decode(struct fort_call *call)
{
	const struct fort_attr_link_update *attr = &call->attr.link_update;
	struct fort_object *object;
	int err;

	if (attr->flags & ~(uint32_t)BPF_F_REPLACE)
		return -EINVAL;
	err = fort_call_object(call, attr->link_fd, FORT_OBJECT_LINK, &object);
	if (!err)
		err = fort_call_object(call, attr->new_prog_fd, FORT_OBJECT_PROG, &object);
	if (!err && attr->flags & BPF_F_REPLACE)
		err = fort_call_object(call, attr->old_prog_fd, FORT_OBJECT_PROG, &object);
	return err;
}

int fort_link_detach_decode(struct fort_call *call)
{
	struct fort_object *object;

	return fort_call_object(call, call->attr.fd, FORT_OBJECT_LINK, &object);
}

long fort_link_refuse_invoke(struct fort_call *call)
{
	return call->cmd == FORT_CMD_LINK_UPDATE ? -EINVAL : -EOPNOTSUPP;
}
