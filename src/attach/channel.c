#include "attach/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/sys.h"

struct control {
	_Alignas(struct cmsghdr) char data[CMSG_SPACE(FORT_MESSAGE_FDS_MAX * sizeof(int))];
};

int fort_channel_send(int fd, unsigned type, uint32_t id, const void *body, const int *fds,
		      uint32_t n_fds)
{
	struct fort_message_head head = {FORT_PROTOCOL_MAGIC, FORT_PROTOCOL_VERSION, (uint16_t)type,
					 id, fort_message_bytes(type)};
	struct iovec parts[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)body, head.bytes}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	struct control control;
	struct cmsghdr *rights = (struct cmsghdr *)control.data;
	long sent;

	if (n_fds > FORT_MESSAGE_FDS_MAX)
		return -E2BIG;
	if (n_fds) {
		memset(&control, 0, sizeof(control));
		*rights = (struct cmsghdr){.cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
					   .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(rights), fds, n_fds * sizeof(int));
		message.msg_control = control.data;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	do
		sent = fort_sys3(SYS_sendmsg, fd, (long)&message, MSG_NOSIGNAL);
	while (sent == -EINTR);
	return sent < 0 ? (int)sent : 0;
}

void fort_channel_close_fds(struct fort_message *message)
{
	for (uint32_t i = 0; i < message->n_fds; i++)
		fort_sys1(SYS_close, message->fds[i]);
	message->n_fds = 0;
}

static void take_fds(const struct msghdr *header, struct fort_message *out)
{
	const struct cmsghdr *rights = header->msg_control;

	out->n_fds = 0;
	if (header->msg_controllen < sizeof(*rights) || rights->cmsg_level != SOL_SOCKET ||
	    rights->cmsg_type != SCM_RIGHTS || rights->cmsg_len < CMSG_LEN(0))
		return;
	out->n_fds = (uint32_t)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(out->fds, CMSG_DATA(rights), out->n_fds * sizeof(int));
}

static int check(const struct fort_message *message, long bytes, int flags)
{
	const struct fort_message_head *head = &message->head;

	if (bytes == 0)
		return -EPIPE;
	if (bytes < (long)sizeof(*head) || flags & (MSG_TRUNC | MSG_CTRUNC) ||
	    head->magic != FORT_PROTOCOL_MAGIC)
		return -EBADMSG;
	if (head->version != FORT_PROTOCOL_VERSION)
		return -EPROTONOSUPPORT;
	if (head->bytes != fort_message_bytes(head->type) ||
	    (uint64_t)bytes != sizeof(*head) + head->bytes)
		return -EBADMSG;
	return 0;
}

int fort_channel_receive(int fd, int flags, struct fort_message *out)
{
	struct iovec parts[2] = {{&out->head, sizeof(out->head)}, {out->body, sizeof(out->body)}};
	struct control control;
	struct msghdr message = {.msg_iov = parts,
				 .msg_iovlen = 2,
				 .msg_control = control.data,
				 .msg_controllen = sizeof(control.data)};
	long got;
	int err;

	do
		got = fort_sys3(SYS_recvmsg, fd, (long)&message, flags | MSG_CMSG_CLOEXEC);
	while (got == -EINTR);
	if (got == -ECONNRESET)
		return -EPIPE;
	if (got < 0)
		return (int)got;
	take_fds(&message, out);
	err = check(out, got, message.msg_flags);
	if (err)
		fort_channel_close_fds(out);
	return err;
}
