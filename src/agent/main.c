/* The agent's thread: waits for requests, and leaves when the loader says so, closes its end or
 * dies; or when the process is about to end, or changes its user behind our back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent.h"
#include "agent/leave.h"
#include "agent/notice.h"
#include "agent/serve.h"
#include "attach/procfs.h"
#include "attach/world.h"
#include "base/limits.h"
#include "base/sys.h"

#define TICK_MS         1000
#define NOTICE_PAUSE_NS 1000000ull /* crashes come in crowds */
#define IDS             8 /* real, effective, saved and file system ids of user and group */

struct fort_agent fort_agent;
uint32_t fort_agent_parked;

/* A descriptor table of our own: what the process opens, closes and hands on does not meet ours.
 * Nor does its working directory (clone(2) has copied it, and would keep it from being unmounted).
 */
static int take_socket(int socket)
{
	long err = fort_sys3(SYS_close_range, socket + 1, -1, CLOSE_RANGE_UNSHARE);

	fort_sys1(SYS_chdir, (long)"/");
	if (!err && socket > 0)
		err = fort_sys3(SYS_close_range, 0, socket - 1, 0);
	return (int)err;
}

static int map_live(void)
{
	long at = fort_sys6(SYS_mmap, 0, FORT_PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long err;

	if (at < 0 && at >= -4095)
		return (int)at;
	fort_agent.live = (volatile uint32_t *)at;
	err = fort_sys3(SYS_madvise, at, FORT_PAGE_BYTES, MADV_WIPEONFORK);
	return (int)err;
}

static bool read_ids(uint64_t ids[IDS])
{
	char text[FORT_STATUS_BYTES];

	if (fort_agent.proc_fd < 0 ||
	    fort_procfs_read(fort_agent.proc_fd, "status", text, sizeof(text)) <= 0)
		return false;
	for (unsigned i = 0; i < IDS; i++)
		if (!fort_procfs_field_word(text, i < 4 ? "Uid" : "Gid", i % 4, &ids[i]))
			return false;
	return true;
}

/* setuid(2) of libc reaches only libc's threads. A thread that keeps the old user in a process
 * that gave it up would be a way back to it.
 */
static bool user_changed(const uint64_t before[IDS])
{
	uint64_t now[IDS];

	return read_ids(now) && memcmp(before, now, sizeof(now)) != 0;
}

/* Is a thread of the process neither dead nor an agent's? */
static bool is_real(int32_t tid)
{
	char path[FORT_PATH_BYTES], text[FORT_STATUS_BYTES], state;
	const size_t length = sizeof(FORT_AGENT_NAME) - 1;

	fort_procfs_task_path(path, tid, "status");
	if (tid == fort_agent.tid ||
	    fort_procfs_read(fort_agent.proc_fd, path, text, sizeof(text)) <= 0)
		return false;
	state = fort_procfs_state(text);
	return state != 'Z' && state != 'X' &&
	       strncmp(text, "Name:\t" FORT_AGENT_NAME "\n", sizeof("Name:\t") + length) != 0;
}

/* Are only agents left? A process ends with its last thread, and that must not be us. */
static bool alone(void)
{
	int32_t tids[64];
	bool real = false;
	long fd, n;

	fd = fort_sys4(SYS_openat, fort_agent.proc_fd, (long)"task", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	while (!real && (n = fort_procfs_tids((int)fd, tids, FORT_LEN(tids))) > 0)
		for (long i = 0; i < n && !real; i++)
			real = is_real(tids[i]);
	fort_sys1(SYS_close, fd);
	return !real;
}

static int greet(const struct fort_boot *boot)
{
	struct fort_hello hello = {.tid = fort_agent.tid,
				   .slots = FORT_RUN_SLOTS,
				   .image = boot->image,
				   .image_bytes = boot->bytes,
				   .park = (uint64_t)(uintptr_t)fort_gate_park};

	return fort_channel_send(fort_agent.socket, FORT_HELLO, 0, &hello, NULL, 0);
}

/* Programs have crashed: does what is to be done about it here, and tells the loader, which has the
 * crashes from the ring. One who does not listen does not keep us. */
static int tell_crashes(void)
{
	struct pollfd poll = {.fd = fort_agent.socket, .events = POLLOUT};

	fort_serve_crashes();
	if (fort_sys3(SYS_poll, (long)&poll, 1, 0) != 1)
		return 0;
	return fort_channel_send(fort_agent.socket, FORT_CRASHED, 0, NULL, NULL, 0);
}

/* Takes and answers one request. False when it was the last. */
static bool answer_one(void)
{
	struct fort_answer answer = {0};
	struct fort_message message;
	bool leave;

	if (fort_channel_receive(fort_agent.socket, 0, &message))
		return false;
	leave = fort_serve(&message, &answer);
	fort_channel_close_fds(&message);
	return !leave && !fort_channel_send(fort_agent.socket, FORT_ANSWER, message.head.id,
					    &answer, NULL, 0);
}

/* Answers requests until it is time to leave. */
static void serve(void)
{
	int notice = fort_notice_open();
	uint64_t ids[IDS] = {0}, tick = 0;
	bool known = false;

	for (;;) {
		struct pollfd polls[2] = {{.fd = fort_agent.socket, .events = POLLIN},
					  {.fd = notice, .events = POLLIN}};
		long ready = fort_sys3(SYS_poll, (long)polls, FORT_LEN(polls), TICK_MS);

		if (fort_world_now_ns() > tick) {
			if (known && (user_changed(ids) || alone()))
				return;
			fort_serve_crashes(); /* of programs that others have counted out */
			tick = fort_world_now_ns() + TICK_MS * 1000000ull;
		}
		if (ready <= 0)
			continue;
		if (polls[1].revents) {
			fort_notice_take(notice);
			if (tell_crashes())
				return;
			fort_world_pause_ns(NOTICE_PAUSE_NS);
		}
		if (polls[0].revents && !answer_one())
			return;
		if (polls[0].revents && !known)
			known = read_ids(ids);
	}
}

struct fort_rest fort_agent_main(const struct fort_boot *boot)
{
	struct fort_left left;

	fort_agent.boot = *boot;
	fort_agent.fsgsbase = boot->flags & FORT_BOOT_FSGSBASE;
	fort_agent.secret = boot->secret;
	fort_agent.socket = boot->socket;
	fort_agent.proc_fd = fort_agent.mem_fd = -1;
	fort_agent.pid = (int32_t)fort_sys0(SYS_getpid);
	fort_agent.tid = (int32_t)fort_sys0(SYS_gettid);
	fort_agent_parked = boot->park != 0;
	fort_sys2(SYS_prctl, PR_SET_NAME, (long)FORT_AGENT_NAME);
	if (take_socket(boot->socket) || map_live() || greet(boot))
		return (struct fort_rest){0};
	serve();
	left = fort_agent_undo(alone);
	left.ended = alone();
	(void)!fort_channel_send(fort_agent.socket, FORT_LEFT, 0, &left, NULL, 0);
	if (left.kept)
		return (struct fort_rest){0};
	return (struct fort_rest){boot->image + FORT_PAGE_BYTES, boot->bytes - FORT_PAGE_BYTES};
}
