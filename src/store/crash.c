#include "store/crash.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/event.h"

/* What is there keeps the descriptor readable; when there is nothing, who writes the next wakes. */
static void arm(struct fort_crashes *crashes)
{
	const uint64_t one = 1;

	if (!fort_ring_sleep(&crashes->reader))
		(void)!write(crashes->ring->wake_fd, &one, sizeof(one));
}

int fort_crashes_open(struct fort_store *store)
{
	struct fort_crashes *crashes = &store->crashes;
	int err = fort_crash_ring_create(store->shared, &crashes->ring);

	if (err)
		return err;
	pthread_mutex_init(&crashes->lock, NULL);
	err = fort_ring_make_wake(crashes->ring);
	if (err)
		return err; /* fort_crashes_close frees */
	fort_ring_reader_init(&crashes->reader, crashes->ring);
	arm(crashes);
	return 0;
}

void fort_crashes_close(struct fort_store *store)
{
	if (!store->crashes.ring)
		return;
	fort_map_close(store->crashes.ring);
	pthread_mutex_destroy(&store->crashes.lock);
}

void fort_store_set_crash_policy(struct fort_store *store, const struct fort_crash_policy *policy)
{
	pthread_mutex_lock(&store->lock);
	store->crash = *policy;
	pthread_mutex_unlock(&store->lock);
}

void fort_crashes_enter(struct fort_prog_object *prog)
{
	struct fort_store *store = prog->object.store;
	struct fort_crashes *crashes = &store->crashes;

	prog->crash_place.index = FORT_CRASH_PLACES;
	pthread_mutex_lock(&store->lock);
	for (uint32_t tries = 0; tries < FORT_CRASH_PLACES; tries++) {
		uint32_t at = crashes->next++ % FORT_CRASH_PLACES;

		if (crashes->progs[at])
			continue;
		crashes->progs[at] = prog;
		prog->crash_place =
			(struct fort_crash_place){at, fort_crash_place_open(store->shared, at)};
		break;
	}
	pthread_mutex_unlock(&store->lock);
}

void fort_crashes_leave(const struct fort_prog_object *prog)
{
	struct fort_store *store = prog->object.store;
	uint32_t at = prog->crash_place.index;

	pthread_mutex_lock(&store->lock);
	if (at < FORT_CRASH_PLACES && store->crashes.progs[at] == prog)
		store->crashes.progs[at] = NULL;
	pthread_mutex_unlock(&store->lock);
}

bool fort_crash_has_detached(const struct fort_prog_object *prog)
{
	const struct fort_loaded *loaded = prog->road ? fort_road_loaded(prog->road) : NULL;

	return loaded && loaded->crash.actions & FORT_CRASH_DETACH &&
	       fort_loaded_is_stopped(loaded);
}

/* The program that has the place still, with a reference; or NULL. */
static struct fort_prog_object *find_prog(struct fort_store *store,
					  const struct fort_crash_place *place)
{
	struct fort_prog_object *prog = NULL;

	pthread_mutex_lock(&store->lock);
	if (place->index < FORT_CRASH_PLACES)
		prog = store->crashes.progs[place->index];
	if (prog && prog->object.refs && prog->crash_place.generation == place->generation)
		prog->object.refs++;
	else
		prog = NULL;
	pthread_mutex_unlock(&store->lock);
	return prog;
}

static void detach(struct fort_store *store, const struct fort_prog_object *prog)
{
	uint32_t id = 0;

	while ((id = fort_object_next_id(store, FORT_OBJECT_EVENT, id))) {
		struct fort_object *object = fort_object_by_id(store, FORT_OBJECT_EVENT, id);

		if (object)
			fort_event_detach(((struct fort_event_object *)object), prog);
		fort_object_put(object);
	}
}

static void copy_text(char *to, size_t room, const char *from)
{
	size_t length = strnlen(from, room - 1);

	memcpy(to, from, length);
	to[length] = 0;
}

static void describe(const struct fort_prog_object *prog, struct fort_store_crash *out)
{
	struct fort_place place;

	out->prog_id = prog->object.id;
	memcpy(out->prog, prog->name, sizeof(out->prog));
	if (!fort_info_place(&prog->info, out->event.pc, &place))
		return;
	out->line = place.line;
	copy_text(out->file, sizeof(out->file), place.file);
	copy_text(out->text, sizeof(out->text), place.text);
}

/* The next record that makes sense. */
static bool read_event(struct fort_crashes *crashes, struct fort_crash_event *event)
{
	const uint32_t most = FORT_CRASH_RING_BYTES / FORT_RING_HEADER_BYTES;
	uint32_t bytes;

	fort_ring_awake(&crashes->reader);
	for (uint32_t i = 0; i < most; i++) {
		int got = fort_ring_read(&crashes->reader, event, sizeof(*event), &bytes);

		if (got == 1 && bytes == sizeof(*event)) {
			arm(crashes);
			return true;
		}
		if (!got)
			break;
		crashes->lost++;
	}
	arm(crashes);
	return false;
}

bool fort_store_next_crash(struct fort_store *store, struct fort_store_crash *out)
{
	struct fort_crashes *crashes = &store->crashes;
	struct fort_prog_object *prog;
	struct fort_crash_event event;
	bool found;

	pthread_mutex_lock(&crashes->lock);
	found = read_event(crashes, &event);
	pthread_mutex_unlock(&crashes->lock);
	if (!found)
		return false;
	event.comm[sizeof(event.comm) - 1] = 0;
	event.actions &= FORT_CRASH_ALL;
	*out = (struct fort_store_crash){.event = event,
					 .attached = event.pid != (uint32_t)getpid()};
	prog = find_prog(store, &event.place);
	if (!prog)
		return true;
	describe(prog, out);
	if (event.actions & FORT_CRASH_DETACH && fort_crash_has_detached(prog))
		detach(store, prog);
	fort_object_put(&prog->object);
	return true;
}

int fort_store_crash_fd(const struct fort_store *store)
{
	return store->crashes.ring->wake_fd;
}

uint64_t fort_store_crashes_lost(const struct fort_store *store)
{
	return store->crashes.lost + fort_map_dropped(store->crashes.ring);
}
