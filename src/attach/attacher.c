#include "attach/attacher.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "attach/attachee.h"
#include "attach/target.h"
#include "map/prog_array.h"

/* One program at one place; for every process (pid -1), in several. */
struct attachment {
	struct attachment *next;
	uint64_t offset, cookie;
	bool returns;
	uint32_t n;
	struct {
		struct fort_attachee *attachee;
		struct fort_probe *probe;
		uint32_t package;
	} part[FORT_ATTACH_PROCESSES_MAX];
	char path[];
};

struct fort_attacher {
	struct fort_span agent;
	struct fort_store_rings rings;
	pthread_mutex_t lock; /* of all below */
	int epoll;
	struct fort_text why;
	struct fort_attachee *attachees[FORT_ATTACH_PROCESSES_MAX];
	uint32_t n_attachees;
	struct attachment *attachments; /* oldest first */
};

int fort_attacher_create(const struct fort_attacher_options *options, struct fort_attacher **out)
{
	struct fort_attacher *attacher = calloc(1, sizeof(*attacher));
	int err;

	if (!attacher)
		return -ENOMEM;
	attacher->agent = options->agent;
	attacher->rings = options->rings;
	attacher->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (attacher->epoll < 0) {
		err = -errno;
		free(attacher);
		return err;
	}
	pthread_mutex_init(&attacher->lock, NULL);
	attacher->why = fort_text_new();
	*out = attacher;
	return 0;
}

static pid_t pid_of(const struct fort_attachee *attachee)
{
	return fort_target_pid(attachee->target);
}

static void drop_attachee(struct fort_attacher *attacher, struct fort_attachee *attachee)
{
	uint32_t i = 0;

	while (attacher->attachees[i] != attachee)
		i++;
	attacher->attachees[i] = attacher->attachees[--attacher->n_attachees];
	fort_attachee_close(attachee, attacher->rings.trace->shared);
}

/* Those that were only opened for their probes are left with the last. */
static void put_attachee(struct fort_attacher *attacher, struct fort_attachee *attachee)
{
	if (!attachee->users && !attachee->kept)
		drop_attachee(attacher, attachee);
}

/* An attachee that is not in the list yet, and has no target. */
static int new_attachee(struct fort_attacher *attacher, struct fort_attachee **out,
			struct fort_text *why)
{
	struct fort_attachee *attachee;

	if (attacher->n_attachees == FORT_ATTACH_PROCESSES_MAX) {
		fort_reason_add(why, FORT_REASON_FULL, FORT_ATTACH_PROCESSES_MAX);
		return -ENOSPC;
	}
	attachee = calloc(1, sizeof(*attachee));
	if (!attachee)
		return -ENOMEM;
	*out = attachee;
	return 0;
}

/* Takes in an attachee whose target is open. */
static int watch(struct fort_attacher *attacher, struct fort_attachee *attachee)
{
	struct epoll_event event = {.events = EPOLLIN};

	attacher->attachees[attacher->n_attachees++] = attachee;
	if (!epoll_ctl(attacher->epoll, EPOLL_CTL_ADD, fort_target_fd(attachee->target), &event))
		return 0;
	drop_attachee(attacher, attachee);
	return -ENOMEM;
}

static struct fort_attachee *find_attachee(const struct fort_attacher *attacher, pid_t pid)
{
	for (uint32_t i = 0; i < attacher->n_attachees; i++)
		if (pid_of(attacher->attachees[i]) == pid &&
		    fort_target_poll(attacher->attachees[i]->target) == FORT_TARGET_OPEN)
			return attacher->attachees[i];
	return NULL;
}

static int open_attachee(struct fort_attacher *attacher, pid_t pid, struct fort_attachee **out,
			 struct fort_text *why)
{
	const struct fort_target_options options = {.agent = attacher->agent};
	int err;

	*out = find_attachee(attacher, pid);
	if (*out)
		return 0;
	err = new_attachee(attacher, out, why);
	if (err)
		return err;
	err = fort_target_open(pid, &options, &(*out)->target, why);
	if (err) {
		free(*out);
		return err;
	}
	return watch(attacher, *out);
}

/* One probe more of an attachment. */
static int attach_to(struct fort_attacher *attacher, struct attachment *attachment,
		     struct fort_attachee *attachee, const struct fort_attach_request *request)
{
	struct fort_probe_spec spec = {.module = request->path,
				       .offset = request->offset,
				       .is_return = request->returns,
				       .cookie = request->cookie};
	struct fort_text *why = &attacher->why;
	struct fort_probe *probe;
	int err = fort_attachee_load(attachee, request, &attacher->rings, &spec.package, why);

	if (err)
		return err;
	err = fort_probe_attach(attachee->target, &spec, &probe, why);
	if (err) {
		fort_attachee_unload(attachee, spec.package);
		return err;
	}
	attachee->users++;
	attachment->part[attachment->n].attachee = attachee;
	attachment->part[attachment->n].probe = probe;
	attachment->part[attachment->n++].package = spec.package;
	return 0;
}

static void detach_all(struct fort_attacher *attacher, struct attachment *attachment)
{
	char text[256];
	struct fort_text ignored = fort_text_on(text, sizeof(text));

	while (attachment->n) {
		struct fort_attachee *attachee = attachment->part[--attachment->n].attachee;

		(void)fort_probe_detach(attachment->part[attachment->n].probe, &ignored);
		fort_attachee_unload(attachee, attachment->part[attachment->n].package);
		attachee->users--;
		put_attachee(attacher, attachee);
	}
}

static int attach_one(struct fort_attacher *attacher, struct attachment *attachment,
		      const struct fort_attach_request *request)
{
	struct fort_attachee *attachee;
	int err = open_attachee(attacher, request->pid, &attachee, &attacher->why);

	if (err)
		return err;
	err = attach_to(attacher, attachment, attachee, request);
	if (err)
		put_attachee(attacher, attachee);
	return err;
}

/* In all processes that were opened and have the file; one must. */
static int attach_every(struct fort_attacher *attacher, struct attachment *attachment,
			const struct fort_attach_request *request)
{
	int err = -EOPNOTSUPP;

	if (!attacher->n_attachees)
		fort_text_add(&attacher->why, "a probe for every process needs to be told which; "
					      "name one (--pid), or start one");
	for (uint32_t i = 0; i < attacher->n_attachees; i++) {
		struct fort_attachee *attachee = attacher->attachees[i];

		if (!attachee->kept || fort_target_poll(attachee->target) != FORT_TARGET_OPEN)
			continue;
		err = attach_to(attacher, attachment, attachee, request);
		if (err && err != -ENOENT)
			return err;
	}
	return attachment->n ? 0 : err;
}

static int check(struct fort_attacher *attacher, const struct fort_attach_request *request)
{
	if (request->ref_ctr_offset) {
		fort_text_add(&attacher->why,
			      "a semaphore (USDT) in the process cannot be counted up here; use a "
			      "probe without one");
		return -EOPNOTSUPP;
	}
	if (fort_loaded_is_detached(fort_road_loaded(request->program))) {
		fort_text_add(
			&attacher->why,
			"%u runs of the program ended early, and its policy has taken it away "
			"for good; load it again",
			fort_road_loaded(request->program)->crash.after);
		return -EPERM;
	}
	for (uint32_t i = 0; i < request->n_maps; i++)
		if (fort_map_is_prog_array(request->maps[i])) {
			fort_text_add(&attacher->why,
				      "tail calls are not supported yet in programs that are "
				      "attached to processes (map %u is a prog_array)",
				      i);
			return -EOPNOTSUPP;
		}
	if (request->pid > 0 || request->pid == -1)
		return 0;
	fort_text_add(&attacher->why, "process %d cannot be attached to", (int)request->pid);
	return -EOPNOTSUPP;
}

static void keep(struct fort_attacher *attacher, struct attachment *attachment)
{
	struct attachment **link = &attacher->attachments;

	while (*link)
		link = &(*link)->next;
	*link = attachment;
}

static int attach_locked(struct fort_attacher *attacher, const struct fort_attach_request *request,
			 struct attachment **out)
{
	size_t length = strlen(request->path) + 1;
	struct attachment *attachment;
	int err = check(attacher, request);

	if (err)
		return err;
	attachment = calloc(1, sizeof(*attachment) + length);
	if (!attachment)
		return -ENOMEM;
	attachment->offset = request->offset;
	attachment->cookie = request->cookie;
	attachment->returns = request->returns;
	memcpy(attachment->path, request->path, length);
	err = request->pid > 0 ? attach_one(attacher, attachment, request)
			       : attach_every(attacher, attachment, request);
	if (err) {
		detach_all(attacher, attachment);
		free(attachment);
		return err;
	}
	keep(attacher, attachment);
	*out = attachment;
	return 0;
}

static int attach(void *owner, const struct fort_attach_request *request, void **out)
{
	struct fort_attacher *attacher = owner;
	struct attachment *attachment;
	int err;

	pthread_mutex_lock(&attacher->lock);
	fort_text_clear(&attacher->why);
	err = attach_locked(attacher, request, &attachment);
	if (!err) {
		fort_text_clear(&attacher->why);
		*out = attachment;
	}
	pthread_mutex_unlock(&attacher->lock);
	return err;
}

static void detach_locked(struct fort_attacher *attacher, struct attachment *attachment)
{
	struct attachment **link = &attacher->attachments;

	while (*link != attachment)
		link = &(*link)->next;
	*link = attachment->next;
	detach_all(attacher, attachment);
	free(attachment);
}

static void detach(void *owner, void *attachment)
{
	struct fort_attacher *attacher = owner;

	pthread_mutex_lock(&attacher->lock);
	detach_locked(attacher, attachment);
	pthread_mutex_unlock(&attacher->lock);
}

struct fort_store_attacher fort_attacher_hooks(struct fort_attacher *attacher)
{
	return (struct fort_store_attacher){attach, detach, attacher};
}

void fort_attacher_free(struct fort_attacher *attacher)
{
	if (!attacher)
		return;
	while (attacher->attachments)
		detach_locked(attacher, attacher->attachments);
	while (attacher->n_attachees)
		drop_attachee(attacher, attacher->attachees[0]);
	close(attacher->epoll);
	fort_text_free(&attacher->why);
	pthread_mutex_destroy(&attacher->lock);
	free(attacher);
}

void fort_attacher_why(struct fort_attacher *attacher, struct fort_text *text)
{
	pthread_mutex_lock(&attacher->lock);
	if (attacher->why.length)
		fort_text_put(text, attacher->why.data, attacher->why.length);
	pthread_mutex_unlock(&attacher->lock);
}

int fort_attacher_open(struct fort_attacher *attacher, pid_t pid, struct fort_text *why)
{
	struct fort_attachee *attachee;
	int err;

	pthread_mutex_lock(&attacher->lock);
	err = open_attachee(attacher, pid, &attachee, why);
	if (!err)
		attachee->kept = true;
	pthread_mutex_unlock(&attacher->lock);
	return err;
}

static int spawn(struct fort_attacher *attacher, char *const argv[], pid_t *pid,
		 struct fort_text *why)
{
	const struct fort_target_options options = {.agent = attacher->agent};
	struct fort_attachee *attachee;
	int err = new_attachee(attacher, &attachee, why);

	if (err)
		return err;
	err = fort_target_spawn(argv, &options, &attachee->target, why);
	if (err) {
		free(attachee);
		return err;
	}
	attachee->kept = true;
	*pid = pid_of(attachee);
	return watch(attacher, attachee);
}

int fort_attacher_spawn(struct fort_attacher *attacher, char *const argv[], pid_t *pid,
			struct fort_text *why)
{
	int err;

	pthread_mutex_lock(&attacher->lock);
	err = spawn(attacher, argv, pid, why);
	pthread_mutex_unlock(&attacher->lock);
	return err;
}

int fort_attacher_start(struct fort_attacher *attacher, pid_t pid, struct fort_text *why)
{
	struct fort_attachee *attachee;
	int err = -ESRCH;

	pthread_mutex_lock(&attacher->lock);
	attachee = find_attachee(attacher, pid);
	if (attachee)
		err = fort_target_start(attachee->target, why);
	else
		fort_text_add(why, "process %d is not open, or has ended", (int)pid);
	pthread_mutex_unlock(&attacher->lock);
	return err;
}

int fort_attacher_fd(const struct fort_attacher *attacher)
{
	return attacher->epoll;
}

bool fort_attacher_next(struct fort_attacher *attacher, struct fort_attacher_event *out)
{
	bool found = false;

	pthread_mutex_lock(&attacher->lock);
	for (uint32_t i = 0; i < attacher->n_attachees && !found; i++) {
		struct fort_attachee *attachee = attacher->attachees[i];
		struct fort_target *target = attachee->target;

		if (attachee->reported || fort_target_poll(target) == FORT_TARGET_OPEN)
			continue;
		found = attachee->reported = true;
		epoll_ctl(attacher->epoll, EPOLL_CTL_DEL, fort_target_fd(target), NULL);
		*out = (struct fort_attacher_event){.pid = pid_of(attachee),
						    .state = fort_target_poll(target)};
		memcpy(out->name, target->process.name, sizeof(out->name));
	}
	pthread_mutex_unlock(&attacher->lock);
	return found;
}

void fort_attacher_listen(struct fort_attacher *attacher)
{
	pthread_mutex_lock(&attacher->lock);
	for (uint32_t i = 0; i < attacher->n_attachees; i++) {
		struct fort_target *target = attacher->attachees[i]->target;

		/* Of those that have ended there is nothing more to come. */
		if (fort_target_poll(target) != FORT_TARGET_OPEN)
			epoll_ctl(attacher->epoll, EPOLL_CTL_DEL, fort_target_fd(target), NULL);
	}
	pthread_mutex_unlock(&attacher->lock);
}

static void visit_parts(const struct attachment *attachment,
			void (*visit)(const struct fort_attacher_row *row, void *arg), void *arg)
{
	for (uint32_t i = 0; i < attachment->n; i++) {
		const struct fort_target *target = attachment->part[i].attachee->target;
		const struct fort_probe *probe = attachment->part[i].probe;
		const struct fort_attacher_row row = {
			.pid = target->process.pid,
			.process = target->process.name,
			.path = attachment->path,
			.offset = attachment->offset,
			.address = fort_probe_address(probe),
			.cookie = attachment->cookie,
			.returns = attachment->returns,
			.counts = fort_probe_counts(probe),
		};

		visit(&row, arg);
	}
}

void fort_attacher_visit(struct fort_attacher *attacher,
			 void (*visit)(const struct fort_attacher_row *row, void *arg), void *arg)
{
	pthread_mutex_lock(&attacher->lock);
	for (const struct attachment *at = attacher->attachments; at; at = at->next)
		visit_parts(at, visit, arg);
	pthread_mutex_unlock(&attacher->lock);
}
