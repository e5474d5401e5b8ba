#include "load/crash.h"

#include <errno.h>
#include <linux/time.h>
#include <string.h>

#include "abi/uapi.h"
#include "helper/task.h"
#include "helper/time.h"

static const struct {
	const char *name, *text;
	uint32_t bit;
} actions[] = {
#define FORT_CRASH_ACTION(id, bit, name, stops, text) {name, text, 1u << (bit)},
#include "load/crash.def"
};

/* The bits of one word of a list; 0 for an unknown one. */
static uint32_t action_of(const char *name, size_t length)
{
	for (size_t i = 0; i < FORT_LEN(actions); i++)
		if (strlen(actions[i].name) == length && !memcmp(actions[i].name, name, length))
			return actions[i].bit;
	return 0;
}

int fort_crash_actions_by_name(const char *names, uint32_t *out)
{
	uint32_t bits = 0;

	if (!strcmp(names, "keep")) {
		*out = 0;
		return 0;
	}
	for (;;) {
		const char *end = names;
		uint32_t bit;

		while (*end && *end != ',')
			end++;
		bit = action_of(names, (size_t)(end - names));
		if (!bit)
			return -EINVAL;
		bits |= bit;
		if (!*end)
			break;
		names = end + 1;
	}
	*out = bits;
	return 0;
}

const char *fort_crash_action_name(uint32_t bit)
{
	for (size_t i = 0; i < FORT_LEN(actions); i++)
		if (actions[i].bit == bit)
			return actions[i].name;
	return NULL;
}

const char *fort_crash_action_text(uint32_t bit)
{
	for (size_t i = 0; i < FORT_LEN(actions); i++)
		if (actions[i].bit == bit)
			return actions[i].text;
	return NULL;
}

uint32_t fort_crash_place_open(struct fort_shared *shared, uint32_t index)
{
	uint64_t *word = &shared->table->crashes[index];
	uint32_t generation = (uint32_t)(fort_load(word) >> 32) + 1;

	fort_store(word, (uint64_t)generation << 32);
	return generation;
}

static const struct fort_map_shape shape = {.type = BPF_MAP_TYPE_RINGBUF,
					    .max_entries = FORT_CRASH_RING_BYTES};

int fort_crash_ring_create(struct fort_shared *shared, struct fort_map **out)
{
	return fort_map_create(&shape, "crashes", shared, out);
}

int fort_crash_ring_open(int values_fd, int meta_fd, struct fort_shared *shared,
			 struct fort_map **out)
{
	return fort_map_open(&shape, values_fd, meta_fd, shared, out);
}

/* One more; how many there are now. The count stays where it is once it is full. */
static uint32_t add(const struct fort_crash_counter *counter)
{
	uint64_t word = fort_load(counter->word);

	do {
		if (word >> 32 != counter->place.generation || (uint32_t)word == UINT32_MAX)
			return UINT32_MAX;
	} while (!fort_cas(counter->word, &word, word + 1));
	return (uint32_t)word + 1;
}

/* Those that the program could write: by itself, or by helpers. */
static void mark_maps(const struct fort_run *run)
{
	for (uint32_t i = 0; i < run->n_maps; i++)
		if (fort_map_window_of(run->maps[i]).writable)
			fort_map_set_suspect(run->maps[i], true);
}

static void tell(const struct fort_run *run, struct fort_crash_event *event)
{
	struct fort_services *services = run->services;
	const struct fort_host *host = services->host;
	uint64_t pid_tgid = fort_task_pid_tgid(services);
	uint32_t offset;

	event->time_ns = fort_host_clock(host, CLOCK_MONOTONIC);
	event->pid = (uint32_t)(pid_tgid >> 32);
	event->tid = (uint32_t)pid_tgid;
	fort_task_comm(event->comm);
	if (fort_ring_reserve(host->crashes, &services->seat, sizeof(*event), &offset))
		return; /* counted: fort_map_dropped */
	memcpy(host->crashes->ring.data + offset, event, sizeof(*event));
	fort_ring_submit(host->crashes, offset, sizeof(*event), 0);
}

void fort_crash_note(const struct fort_crash_policy *policy,
		     const struct fort_crash_counter *counter, const struct fort_run *run)
{
	struct fort_crash_event event = {.code = run->abort.code,
					 .pc = run->abort.pc,
					 .address = run->abort.address,
					 .bytes = run->abort.bytes,
					 .detail = run->abort.detail,
					 .place = counter->place,
					 .crashes = add(counter)};

	/* Runs that were under way when the last one counted are no occasion of anything, but what
	 * they wrote is as doubtful. */
	if (policy->after && event.crashes >= policy->after) {
		if (policy->actions & FORT_CRASH_MARK)
			mark_maps(run);
		if (event.crashes == policy->after)
			event.actions = policy->actions;
	}
	if (run->services->host->crashes)
		tell(run, &event);
}
