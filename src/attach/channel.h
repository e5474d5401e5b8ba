/* One end of the socket between loader and agent. */
#pragma once

#include "attach/protocol.h"
#include "base/compiler.h"

/* The largest body. */
#define FORT_MESSAGE_BYTES_MAX (sizeof(struct fort_site_plan))

struct fort_message {
	struct fort_message_head head;
	_Alignas(8) uint8_t body[FORT_MESSAGE_BYTES_MAX];
	uint32_t n_fds;
	int fds[FORT_MESSAGE_FDS_MAX]; /* received: close-on-exec, owned by the reader */
};

/* Sends one record of `type`; the body's size must be that of the type. Returns 0 or -errno
 * (-EPIPE: the other side is gone). Never raises SIGPIPE.
 */
FORT_CHECKED int fort_channel_send(int fd, unsigned type, uint32_t id, const void *body,
				   const int *fds, uint32_t n_fds);

/* Receives one record. Returns 0, -EPIPE at the end, -EAGAIN when there is none (flags
 * MSG_DONTWAIT), -EBADMSG for one that is no record of the protocol (descriptors that came with
 * it are closed), -EPROTONOSUPPORT for another version.
 */
FORT_CHECKED int fort_channel_receive(int fd, int flags, struct fort_message *out);

void fort_channel_close_fds(struct fort_message *message);
