#include "cli/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/image.h"
#include "attach/attacher.h"

struct fort_run_target {
	struct fort_front *front;
	struct fort_attacher *attacher;
	pid_t pid;
	bool started; /* by us: a child, and to be let go */
	bool ended;
	struct fort_text words;
};

static int open_process(struct fort_run_target *target, pid_t pid, char *const *command,
			struct fort_text *why)
{
	if (command) {
		target->started = true;
		return fort_attacher_spawn(target->attacher, command, &target->pid, why);
	}
	target->pid = pid;
	return fort_attacher_open(target->attacher, pid, why);
}

int fort_run_target_open(struct fort_front *front, pid_t pid, char *const *command,
			 struct fort_run_target **out, struct fort_text *why)
{
	struct fort_run_target *target = calloc(1, sizeof(*target));
	struct fort_store *store = fort_front_store(front);
	struct fort_attacher_options options = {.agent = fort_agent_image(),
						.rings = fort_store_rings(store)};
	struct fort_store_attacher hooks;
	int err;

	if (!target) {
		fort_text_add(why, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	target->front = front;
	target->words = fort_text_new();
	err = fort_attacher_create(&options, &target->attacher);
	if (err) {
		fort_text_add(why, "attaching: %s", strerror(-err));
		free(target);
		return err;
	}
	hooks = fort_attacher_hooks(target->attacher);
	fort_store_set_attacher(store, &hooks);
	*out = target; /* the caller closes it, whatever comes */
	return open_process(target, pid, command, why);
}

int fort_run_target_start(struct fort_run_target *target, struct fort_text *why)
{
	return target->started ? fort_attacher_start(target->attacher, target->pid, why) : 0;
}

void fort_run_target_close(struct fort_run_target *target)
{
	if (!target)
		return;
	fort_store_set_attacher(fort_front_store(target->front), &(struct fort_store_attacher){0});
	fort_attacher_free(target->attacher);
	fort_text_free(&target->words);
	free(target);
}

pid_t fort_run_target_pid(const struct fort_run_target *target)
{
	return target->pid;
}

int fort_run_target_fd(const struct fort_run_target *target)
{
	return fort_attacher_fd(target->attacher);
}

static const char *state_words(enum fort_target_state state)
{
	switch (state) {
	case FORT_TARGET_REPLACED: return "runs another program now; its probes are gone";
	case FORT_TARGET_LEFT: return "changed its user; its probes are gone";
	default: return "has ended";
	}
}

bool fort_run_target_ended(struct fort_run_target *target, struct fort_text *why)
{
	struct fort_attacher_event event;

	while (!target->ended && fort_attacher_next(target->attacher, &event)) {
		if (event.pid != target->pid || event.state == FORT_TARGET_OPEN)
			continue;
		target->ended = true;
		fort_text_add(why, "process %d (%s) %s", (int)event.pid, event.name,
			      state_words(event.state));
	}
	if (target->ended && target->started)
		waitpid(target->pid, NULL, WNOHANG);
	return target->ended;
}

const char *fort_run_target_words(struct fort_run_target *target)
{
	fort_text_clear(&target->words);
	fort_attacher_why(target->attacher, &target->words);
	return target->words.length ? target->words.data : "";
}

static void add_misses(const struct fort_attacher_row *row, void *arg)
{
	uint64_t *missed = arg;

	*missed += row->counts.missed;
}

uint64_t fort_run_target_missed(struct fort_run_target *target)
{
	uint64_t missed = 0;

	fort_attacher_visit(target->attacher, add_misses, &missed);
	return missed;
}
