#include "attach/target.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach/boot.h"
#include "attach/channel.h"
#include "attach/inject.h"
#include "attach/procfs.h"
#include "attach/sealed.h"
#include "base/limits.h"

#define ANSWER_MS      15000
#define LEAVE_MS       4000
#define PROBES_DEFAULT 1024u
#define SWEEPS_MAX     4u
#define RESIDUE_BYTES  (64u << 10)

/* Takes in what the agent says unasked. */
static void note(struct fort_target *target, const struct fort_message *message)
{
	if (message->head.type != FORT_LEFT)
		return;
	memcpy(&target->left, message->body, sizeof(target->left));
	target->has_left = true;
}

static bool has_exited(const struct fort_target *target)
{
	struct pollfd poll_fd = {.fd = target->process.pid_fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

/* The agent's end of the socket is closed: why? */
static void lost(struct fort_target *target)
{
	struct pollfd poll_fd = {.fd = target->process.pid_fd, .events = POLLIN};

	if (target->state != FORT_TARGET_OPEN)
		return;
	/* A process that ends closes its sockets a moment before it is reported. */
	if (!target->has_left)
		(void)!poll(&poll_fd, 1, 100);
	if (has_exited(target) || (target->has_left && target->left.ended))
		target->state = FORT_TARGET_EXITED;
	else
		target->state = target->has_left ? FORT_TARGET_LEFT : FORT_TARGET_REPLACED;
}

enum fort_target_state fort_target_poll(struct fort_target *target)
{
	struct fort_message message;
	int err = 0;

	while (target->state == FORT_TARGET_OPEN && !err) {
		err = fort_channel_receive(target->socket, MSG_DONTWAIT, &message);
		if (!err) {
			note(target, &message);
			fort_channel_close_fds(&message);
		} else if (err != -EAGAIN) {
			lost(target);
		} else if (has_exited(target)) {
			target->state = FORT_TARGET_EXITED;
		}
	}
	return target->state;
}

int fort_target_fd(const struct fort_target *target)
{
	return target->poll_fd;
}

pid_t fort_target_pid(const struct fort_target *target)
{
	return target->process.pid;
}

static const char *const gone[] = {
	[FORT_TARGET_OPEN] = "the agent does not speak the protocol",
	[FORT_TARGET_EXITED] = "the process has ended",
	[FORT_TARGET_REPLACED] = "the process runs another program now (execve)",
	[FORT_TARGET_LEFT] = "the agent has left, because the process changed its user",
};

static int explain_gone(struct fort_target *target, struct fort_text *why)
{
	fort_text_add(why, "process %d (%s): %s", (int)target->process.pid, target->process.name,
		      gone[fort_target_poll(target)]);
	return -EPIPE;
}

/* Waits for the answer to request `id`. */
static int await(struct fort_target *target, uint32_t id, struct fort_answer *answer,
		 struct fort_text *why)
{
	uint64_t deadline = fort_world_now_ns() + ANSWER_MS * 1000000ull;
	struct fort_message message;

	for (;;) {
		struct pollfd polls[2] = {{.fd = target->socket, .events = POLLIN},
					  {.fd = target->process.pid_fd, .events = POLLIN}};
		int err;

		if (poll(polls, 2, 100) > 0 && polls[1].revents && !polls[0].revents)
			return explain_gone(target, why);
		if (fort_world_now_ns() > deadline) {
			fort_text_add(why,
				      "the agent in process %d (%s) does not answer; is the "
				      "process stopped?",
				      (int)target->process.pid, target->process.name);
			return -ETIMEDOUT;
		}
		if (!polls[0].revents)
			continue;
		err = fort_channel_receive(target->socket, MSG_DONTWAIT, &message);
		if (err == -EAGAIN)
			continue;
		if (err)
			return explain_gone(target, why);
		fort_channel_close_fds(&message);
		note(target, &message);
		if (message.head.type != FORT_ANSWER || message.head.id != id)
			continue;
		memcpy(answer, message.body, sizeof(*answer));
		return 0;
	}
}

int fort_target_ask(struct fort_target *target, unsigned type, const void *body, const int *fds,
		    uint32_t n_fds, struct fort_answer *answer, struct fort_text *why)
{
	uint32_t id = ++target->next_id;
	int err;

	if (fort_target_poll(target) != FORT_TARGET_OPEN)
		return explain_gone(target, why);
	err = fort_channel_send(target->socket, type, id, body, fds, n_fds);
	if (err)
		return explain_gone(target, why);
	err = await(target, id, answer, why);
	if (err || !answer->err)
		return err;
	fort_text_add(why, "process %d (%s): ", (int)target->process.pid, target->process.name);
	if (answer->reason)
		fort_reason_add(why, answer->reason, answer->detail);
	else
		fort_text_add(why, "the agent reports: %s", strerror(-answer->err));
	return answer->err < 0 ? answer->err : -EPROTO;
}

/* Pages that agents of earlier loaders left behind because those were killed. */
static void sweep_residue(const struct fort_process *process)
{
	struct fort_regions regions;
	uint32_t swept = 0;

	if (fort_regions_read(process, &regions))
		return;
	for (size_t i = 0; i < regions.n && swept < SWEEPS_MAX; i++) {
		const struct fort_region *region = &regions.region[i];

		if (!fort_inject_is_residue(process, region))
			continue;
		fort_inject_sweep(process, region->start);
		swept++;
	}
	fort_regions_free(&regions);
}

static int open_counters(struct fort_target *target)
{
	uint64_t bytes = fort_counters_bytes(target->probes);
	void *at;

	target->counters_fd = fort_sealed_empty("bpfort-counters", bytes);
	if (target->counters_fd < 0)
		return target->counters_fd;
	at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, target->counters_fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	target->counters = at;
	target->probe = calloc(target->probes, sizeof(struct fort_probe *));
	target->site = calloc(target->probes, sizeof(*target->site));
	return target->probe && target->site ? 0 : -ENOMEM;
}

static int open_poll(struct fort_target *target)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	target->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (target->poll_fd < 0 ||
	    epoll_ctl(target->poll_fd, EPOLL_CTL_ADD, target->socket, &event) ||
	    epoll_ctl(target->poll_fd, EPOLL_CTL_ADD, target->process.pid_fd, &event))
		return -errno;
	return 0;
}

static int start_agent(struct fort_target *target, struct fort_text *why)
{
	struct fort_start start = {.probes = target->probes};
	int fds[2] = {target->process.proc_fd, target->counters_fd};
	struct fort_answer answer;

	return fort_target_ask(target, FORT_START, &start, fds, 2, &answer, why);
}

static void free_target(struct fort_target *target)
{
	for (size_t i = 0; i < target->n_modules; i++) {
		fort_module_close(target->module[i]);
		free(target->module[i]);
	}
	free(target->module);
	free(target->site);
	free(target->probe);
	if (target->counters)
		munmap(target->counters, fort_counters_bytes(target->probes));
	for (int i = 0; i < 3; i++) {
		int fd = i == 0 ? target->counters_fd : i == 1 ? target->poll_fd : target->socket;

		if (fd >= 0)
			close(fd);
	}
	fort_process_close(&target->process);
	free(target);
}

int fort_target_enter(const struct fort_process *process, int32_t traced,
		      const struct fort_target_options *options, struct fort_target **out,
		      struct fort_text *why)
{
	struct fort_target *target = calloc(1, sizeof(*target));
	struct fort_injection injection = {.process = process, .traced = traced, .socket = -1};
	uint32_t probes = options->probes ? options->probes : PROBES_DEFAULT;
	int err = -ENOMEM;

	if (!target) {
		struct fort_process copy = *process;

		fort_process_close(&copy);
		return err;
	}
	target->process = *process;
	target->counters_fd = target->poll_fd = target->socket = -1;
	target->probes = probes > FORT_PROBES_MAX ? FORT_PROBES_MAX : probes;
	target->shadow_stack = fort_process_has_shadow_stack(process);
	err = fort_image_open(options->agent, &target->image);
	if (err)
		fort_text_add(why, "the agent's image is damaged");
	if (!err)
		err = open_counters(target);
	injection.image = &target->image;
	if (!err)
		err = fort_inject(&injection, why);
	target->socket = injection.socket;
	target->hello = injection.hello;
	if (!err)
		err = open_poll(target);
	if (!err)
		err = start_agent(target, why);
	if (err)
		free_target(target);
	else
		*out = target;
	return err;
}

int fort_target_open(pid_t pid, const struct fort_target_options *options, struct fort_target **out,
		     struct fort_text *why)
{
	struct fort_process process;
	int err = fort_process_open(pid, &process, why);

	if (err)
		return err;
	sweep_residue(&process);
	return fort_target_enter(&process, 0, options, out, why);
}

int fort_target_start(struct fort_target *target, struct fort_text *why)
{
	char text[256];
	struct fort_text reason = fort_text_on(text, sizeof(text));
	struct fort_answer answer;
	int err = fort_target_ask(target, FORT_RELEASE, NULL, NULL, 0, &answer, &reason);

	if (err == -EPIPE) /* it may have come to its end before the agent could answer */
		return 0;
	if (err)
		fort_text_put(why, reason.data, reason.length);
	return err;
}

/* Waits until the agent says that it has left. */
static void await_left(struct fort_target *target)
{
	uint64_t deadline = fort_world_now_ns() + LEAVE_MS * 1000000ull;

	while (!target->has_left && fort_target_poll(target) == FORT_TARGET_OPEN &&
	       fort_world_now_ns() < deadline) {
		struct pollfd poll_fd = {.fd = target->poll_fd, .events = POLLIN};

		(void)!poll(&poll_fd, 1, 100);
	}
}

/* The agent's thread ends a moment after it said so; its last page is ours to take away. */
static void take_last_page(const struct fort_target *target)
{
	char path[FORT_PATH_BYTES];

	fort_procfs_task_path(path, target->hello.tid, "");
	for (int i = 0; i < 50 && !faccessat(target->process.proc_fd, path, F_OK, 0); i++)
		fort_world_pause_ns(200000);
	fort_inject_sweep(&target->process, target->left.page);
}

int fort_target_close(struct fort_target *target, struct fort_text *why)
{
	int err = 0;

	for (uint32_t i = 0; i < target->probes; i++)
		free(target->probe[i]);
	if (fort_target_poll(target) == FORT_TARGET_OPEN &&
	    !fort_channel_send(target->socket, FORT_LEAVE, ++target->next_id, NULL, NULL, 0)) {
		await_left(target);
		if (target->has_left && target->left.page)
			take_last_page(target);
		if (!target->has_left && fort_target_poll(target) == FORT_TARGET_OPEN) {
			fort_text_add(why,
				      "the agent in process %d (%s) has not left yet: it waits "
				      "until it can stop all threads, or until another tool "
				      "has taken its own patch away",
				      (int)target->process.pid, target->process.name);
			err = -EBUSY;
		}
	}
	free_target(target);
	return err;
}
