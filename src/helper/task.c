#include "helper/task.h"

#include <linux/prctl.h>
#include <string.h>

#include "base/sys.h"
#include "helper/call.h"
#include "helper/cpu.h"

uint64_t fort_task_pid_tgid(struct fort_services *services)
{
	if (!services->pid)
		services->pid = (uint32_t)fort_sys0(SYS_getpid);
	if (!services->pid_tgid)
		services->pid_tgid =
			(uint64_t)services->pid << 32 | (uint32_t)fort_sys0(SYS_gettid);
	return services->pid_tgid;
}

void fort_task_comm(char comm[FORT_COMM_BYTES])
{
	memset(comm, 0, FORT_COMM_BYTES);
	fort_sys2(SYS_prctl, PR_GET_NAME, (long)comm);
	comm[FORT_COMM_BYTES - 1] = 0;
}

uint64_t fort_do_GET_CURRENT_PID_TGID(struct fort_call *call)
{
	return fort_task_pid_tgid(fort_call_services(call));
}

/* As seen in the process's user namespace; the kernel says what they are in the initial one. */
uint64_t fort_do_GET_CURRENT_UID_GID(struct fort_call *call)
{
	struct fort_services *services = fort_call_services(call);

	if (!services->knows_uid_gid) {
		services->uid_gid =
			(uint64_t)fort_sys0(SYS_getgid) << 32 | (uint32_t)fort_sys0(SYS_getuid);
		services->knows_uid_gid = true;
	}
	return services->uid_gid;
}

/* kernel/bpf/helpers.c, strscpy_pad: cut and terminated, the rest zero */
uint64_t fort_do_GET_CURRENT_COMM(struct fort_call *call)
{
	uint64_t room = call->args[1], length;
	char comm[FORT_COMM_BYTES];
	char *out = fort_call_at(call, 0);

	fort_task_comm(comm);
	length = strlen(comm);
	if (length >= room)
		length = room - 1;
	memcpy(out, comm, length);
	memset(out + length, 0, room - length);
	return 0;
}

uint64_t fort_do_GET_SMP_PROCESSOR_ID(struct fort_call *call)
{
	return fort_cpu(fort_call_services(call)->host);
}

uint64_t fort_do_GET_ATTACH_COOKIE(struct fort_call *call)
{
	return call->run->hit.cookie;
}
