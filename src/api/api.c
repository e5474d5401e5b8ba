/* The public library: include/bpfort/bpfort.h on top of the store. */
#include <bpfort/bpfort.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/image.h"
#include "attach/attacher.h"
#include "store/store.h"

struct bpfort {
	struct fort_store *store;
	struct fort_attacher *attacher;
	int crash_fd;                  /* an epoll of what the two say of crashes */
	struct fort_store_crash crash; /* the last that was taken */
	char crash_actions[64];
};

/* What the first version of each struct had. */
#define OPTIONS_BYTES_MIN (offsetof(struct bpfort_options, isolation) + sizeof(char *))
#define CRASH_BYTES_MIN   (offsetof(struct bpfort_crash, comm) + sizeof(char *))
#define REPORT_BYTES_MIN  (offsetof(struct bpfort_report, log_tail) + sizeof(char *))

/* Is a member behind those of the first version known to the caller, and set? */
#define IS_SET(options, member)                                                                    \
	((options)->size >= offsetof(struct bpfort_options, member) + sizeof((options)->member) && \
	 (options)->member)

const char *bpfort_version(void)
{
	return FORT_VERSION;
}

static int choose_engine(struct fort_store *store, const struct bpfort_options *options)
{
	const struct fort_engine *engine = fort_store_engine(store);
	enum fort_isolation isolation = fort_store_isolation(store);

	if (!options)
		return 0;
	if (options->size < OPTIONS_BYTES_MIN)
		return -EINVAL;
	if (options->engine)
		engine = fort_engine_by_name(options->engine);
	if (!engine)
		return -EINVAL;
	if (options->isolation && fort_isolation_by_name(options->isolation, &isolation))
		return -EINVAL;
	if (IS_SET(options, hide_constants))
		fort_store_set_blinding(store, true);
	if (IS_SET(options, seal_code)) {
		int err = fort_store_set_sealing(store, true);

		if (err)
			return err;
	}
	return fort_store_set_engine(store, engine, isolation);
}

static int open_crash_fd(struct bpfort *store)
{
	int fds[] = {fort_store_crash_fd(store->store), fort_attacher_fd(store->attacher)};
	struct epoll_event event = {.events = EPOLLIN};

	store->crash_fd = epoll_create1(EPOLL_CLOEXEC);
	if (store->crash_fd < 0)
		return -errno;
	for (size_t i = 0; i < FORT_LEN(fds); i++)
		if (epoll_ctl(store->crash_fd, EPOLL_CTL_ADD, fds[i], &event))
			return -errno;
	return 0;
}

static int open_store(struct bpfort *store, const struct bpfort_options *options)
{
	struct fort_attacher_options attaching = {.agent = fort_agent_image()};
	struct fort_store_attacher hooks;
	int err = fort_store_create(&store->store);

	err = err ? err : choose_engine(store->store, options);
	if (err)
		return err;
	attaching.rings = fort_store_rings(store->store);
	err = fort_attacher_create(&attaching, &store->attacher);
	if (err)
		return err;
	hooks = fort_attacher_hooks(store->attacher);
	fort_store_set_attacher(store->store, &hooks);
	return open_crash_fd(store);
}

int bpfort_open(const struct bpfort_options *options, struct bpfort **out)
{
	struct bpfort *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	store->crash_fd = -1;
	err = open_store(store, options);
	if (err)
		bpfort_close(store);
	else
		*out = store;
	return err;
}

void bpfort_close(struct bpfort *store)
{
	if (!store)
		return;
	/* The attacher detaches everything while maps and programs still exist. */
	if (store->attacher) {
		fort_store_set_attacher(store->store, &(struct fort_store_attacher){0});
		fort_attacher_free(store->attacher);
	}
	fort_store_free(store->store);
	if (store->crash_fd >= 0)
		close(store->crash_fd);
	free(store);
}

long bpfort_bpf(struct bpfort *store, int cmd, void *attr, unsigned int size)
{
	return fort_store_bpf(store->store, cmd, attr, size);
}

long bpfort_perf_event_open(struct bpfort *store, const void *attr, int pid, int cpu, int group_fd,
			    unsigned long flags)
{
	return fort_store_perf_event_open(store->store, attr, pid, cpu, group_fd, flags);
}

uint32_t bpfort_uprobe_type(const struct bpfort *store)
{
	return fort_store_uprobe_type(store->store);
}

int bpfort_ioctl(struct bpfort *store, int fd, unsigned long request, unsigned long arg,
		 long *result)
{
	return fort_store_ioctl(store->store, fd, request, arg, result);
}

size_t bpfort_attach_why(struct bpfort *store, char *text, size_t room)
{
	struct fort_text why = fort_text_new();
	size_t length;

	fort_attacher_why(store->attacher, &why);
	length = why.length;
	if (room) {
		size_t kept = length < room ? length : room - 1;

		if (kept)
			memcpy(text, why.data, kept);
		text[kept] = 0;
	}
	fort_text_free(&why);
	return length;
}

int bpfort_last_load(const struct bpfort *store, struct bpfort_report *report)
{
	const struct fort_load_report *load = fort_store_last_load(store->store);
	const struct fort_load_diag *diag = &load->diag;
	struct bpfort_report full = {
		.size = report->size,
		.err = load->err,
		.accepted = load->verdict == FORT_LOAD_ACCEPTED,
		.name = load->name,
		.type = load->type ? load->type->name : "",
		.insns = load->insns,
		.insns_processed = load->insns_processed,
		.states = load->states,
		.peak_states = load->peak_states,
		.certificate_bytes = load->certificate_bytes,
		.verify_ns = load->verify_ns,
		.check_ns = load->check_ns,
		.code = diag->code,
		.title = diag->title,
		.message = diag->message,
		.needed = diag->needed,
		.known = diag->known,
		.hint = diag->hint,
		.insn = diag->place.insn,
		.line = diag->place.line,
		.file = diag->place.file,
		.text = diag->place.text,
		.log_tail = load->log_tail,
	};

	if (report->size < REPORT_BYTES_MIN)
		return -EINVAL;
	memcpy(report, &full, report->size < sizeof(full) ? report->size : sizeof(full));
	return 0;
}

int bpfort_set_crash_policy(struct bpfort *store, const char *actions, unsigned int after)
{
	struct fort_crash_policy policy = {.after = after};
	int err = fort_crash_actions_by_name(actions, &policy.actions);

	if (!err)
		fort_store_set_crash_policy(store->store, &policy);
	return err;
}

static void name_actions(struct bpfort *store)
{
	struct fort_text text = fort_text_on(store->crash_actions, sizeof(store->crash_actions));

	store->crash_actions[0] = 0;
	for (uint32_t bit = 1; bit & FORT_CRASH_ALL; bit <<= 1)
		if (store->crash.event.actions & bit)
			fort_text_add(&text, "%s%s", text.length ? "," : "",
				      fort_crash_action_name(bit));
}

int bpfort_next_crash(struct bpfort *store, struct bpfort_crash *crash)
{
	const struct fort_store_crash *next = &store->crash;
	const struct fort_crash_event *event = &next->event;
	struct bpfort_crash full;

	if (crash->size < CRASH_BYTES_MIN)
		return -EINVAL;
	fort_attacher_listen(store->attacher);
	if (!fort_store_next_crash(store->store, &store->crash))
		return 0;
	name_actions(store);
	full = (struct bpfort_crash){.size = crash->size,
				     .time_ns = event->time_ns,
				     .prog = next->prog,
				     .prog_id = next->prog_id,
				     .crashes = event->crashes,
				     .actions = store->crash_actions,
				     .kind = fort_abort_name(event->code),
				     .insn = event->pc,
				     .line = next->line,
				     .file = next->file,
				     .text = next->text,
				     .address = event->address,
				     .bytes = event->bytes,
				     .detail = event->detail,
				     .pid = event->pid,
				     .tid = event->tid,
				     .comm = event->comm};
	memcpy(crash, &full, crash->size < sizeof(full) ? crash->size : sizeof(full));
	return 1;
}

int bpfort_crash_fd(const struct bpfort *store)
{
	return store->crash_fd;
}

int bpfort_map_suspect(struct bpfort *store, int fd)
{
	struct fort_map *map;
	int err = fort_store_map(store->store, fd, &map);

	return err ? err : fort_map_is_suspect(map);
}

int bpfort_map_clear_suspect(struct bpfort *store, int fd)
{
	struct fort_map *map;
	int err = fort_store_map(store->store, fd, &map);

	if (!err)
		fort_map_set_suspect(map, false);
	return err;
}

void bpfort_reap(struct bpfort *store)
{
	fort_store_reap(store->store);
}

int bpfort_poll_fd(const struct bpfort *store)
{
	return fort_store_poll_fd(store->store);
}

void bpfort_before_fork(struct bpfort *store)
{
	fort_store_before_fork(store->store);
}

void bpfort_after_fork(struct bpfort *store, int child)
{
	fort_store_after_fork(store->store, child != 0);
}
