#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "base/sys.h"
#include "engine/watch.h"
#include "helper/trace.h"
#include "map/cpus.h"
#include "store/crash.h"
#include "store/event.h"
#include "store/handle.h"
#include "store/tails.h"

static int start(struct fort_store *store)
{
	uint32_t n_cpus;
	int err;

	store->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (store->epoll < 0)
		return -errno;
	err = fort_cpus_possible(&n_cpus);
	if (!err)
		err = fort_shared_create(n_cpus, &store->shared);
	err = err ? err : fort_trace_create(store->shared, &store->trace);
	err = err ? err : fort_crashes_open(store);
	if (!err) {
		fort_host_init(&store->host, store->shared, store->trace);
		store->host.crashes = store->crashes.ring;
	}
	err = err ? err
		  : fort_watch_open(FORT_RUN_NS_MAX, FORT_WATCH_PERIOD_NS, &store->host.watch);
	err = err ? err : fort_code_pool_open(&store->pool);
	store->engine = &fort_engine_interp;
	store->isolation = FORT_ISOLATION_SFI;
	store->uprobe_type = fort_event_uprobe_type();
	return err;
}

int fort_store_create(struct fort_store **out)
{
	struct fort_store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	store->epoll = -1;
	pthread_mutex_init(&store->lock, NULL);
	store->memory.lock = &store->lock;
	err = start(store);
	if (err) {
		fort_store_free(store);
		return err;
	}
	*out = store;
	return 0;
}

void fort_store_free(struct fort_store *store)
{
	if (!store)
		return;
	fort_handle_drop_all(store);
	fort_tails_close(store);
	if (store->keys.runtime)
		fort_keys_close(&store->keys);
	fort_watch_close(store->host.watch);
	fort_crashes_close(store);
	if (store->trace)
		fort_map_close(store->trace);
	fort_shared_close(store->shared);
	if (store->epoll >= 0)
		close(store->epoll);
	for (unsigned kind = 0; kind < FORT_OBJECT_KINDS; kind++)
		free(store->tables[kind].objects);
	free(store->identities.entries);
	fort_spares_close(&store->spares);
	fort_code_pool_close(store->pool);
	fort_arena_free(&store->memory.proof);
	fort_arena_free(&store->memory.check);
	fort_arena_free(&store->memory.scratch);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

void fort_store_reap(struct fort_store *store)
{
	int saved = errno;

	fort_handle_reap(store);
	errno = saved;
}

int fort_store_poll_fd(const struct fort_store *store)
{
	return store->epoll;
}

void fort_store_before_fork(struct fort_store *store)
{
	pthread_mutex_lock(&store->lock);
	fort_code_pool_before_fork(store->pool);
}

void fort_store_after_fork(struct fort_store *store, bool child)
{
	fort_code_pool_after_fork(store->pool, child);
	pthread_mutex_unlock(&store->lock);
	if (!child)
		return;
	fort_shared_forked(store->shared);
	fort_watch_forked(store->host.watch);
	fort_event_forked(store);
	/* Without an epoll of its own the child only does not notice closed descriptors. */
	if (fort_handle_forked(store))
		store->epoll = -1;
	fort_tails_forked(store);
}

void fort_store_set_attacher(struct fort_store *store, const struct fort_store_attacher *attacher)
{
	store->attacher = *attacher;
}

void fort_store_set_listener(struct fort_store *store, fort_store_listener *listener, void *owner)
{
	store->listener = listener;
	store->listener_owner = owner;
}

const struct fort_load_report *fort_store_last_load(const struct fort_store *store)
{
	return &store->report;
}

const struct fort_test_result *fort_store_last_run(const struct fort_store *store)
{
	return &store->last_run;
}

int fort_store_set_engine(struct fort_store *store, const struct fort_engine *engine,
			  enum fort_isolation isolation)
{
	int err = 0;

	if (!(engine->isolations & 1u << isolation))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&store->lock);
	if (fort_isolations[isolation].keys && !store->keys.runtime)
		err = fort_keys_open(&store->keys);
	if (err) {
		pthread_mutex_unlock(&store->lock);
		return err;
	}
	store->engine = engine;
	store->isolation = isolation;
	pthread_mutex_unlock(&store->lock);
	return 0;
}

void fort_store_set_vetting(struct fort_store *store, const struct fort_kernel *kernel)
{
	pthread_mutex_lock(&store->lock);
	store->vets = true;
	store->kernel = kernel;
	pthread_mutex_unlock(&store->lock);
}

const struct fort_engine *fort_store_engine(const struct fort_store *store)
{
	return store->engine;
}

enum fort_isolation fort_store_isolation(const struct fort_store *store)
{
	return store->isolation;
}

void fort_store_set_blinding(struct fort_store *store, bool blind)
{
	pthread_mutex_lock(&store->lock);
	store->blind = blind;
	pthread_mutex_unlock(&store->lock);
}

int fort_store_set_sealing(struct fort_store *store, bool seals)
{
	/* Of nothing, to ask whether the kernel knows it. */
	if (seals && fort_sys3(FORT_SYS_MSEAL, 0, 0, 0))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&store->lock);
	store->seals = seals;
	pthread_mutex_unlock(&store->lock);
	return 0;
}

void fort_store_set_counting(struct fort_store *store, bool counts)
{
	pthread_mutex_lock(&store->lock);
	store->counts = counts;
	pthread_mutex_unlock(&store->lock);
}

int fort_store_program(struct fort_store *store, int fd, struct fort_store_program *out)
{
	const struct fort_prog_object *prog;
	struct fort_object *object;
	int err = fort_handle_get(store, fd, FORT_OBJECT_PROG, &object);

	if (err)
		return err;
	prog = (struct fort_prog_object *)object;
	*out = (struct fort_store_program){.name = prog->name,
					   .loaded = fort_road_loaded(prog->road),
					   .info = &prog->info,
					   .verified_insns = prog->verified_insns,
					   .n_maps = prog->n_used};
	memcpy(out->tag, prog->tag, sizeof(out->tag));
	for (uint32_t i = 0; i < prog->n_used; i++)
		out->maps[i] = prog->maps[i]->name;
	fort_object_put(object); /* the descriptor holds it */
	return 0;
}

struct fort_store_rings fort_store_rings(const struct fort_store *store)
{
	return (struct fort_store_rings){store->trace, store->crashes.ring};
}

uint32_t fort_store_uprobe_type(const struct fort_store *store)
{
	return store->uprobe_type;
}

int fort_store_map(struct fort_store *store, int fd, struct fort_map **out)
{
	struct fort_object *object;
	int err = fort_handle_get(store, fd, FORT_OBJECT_MAP, &object);

	if (err)
		return err;
	*out = ((struct fort_map_object *)object)->map;
	fort_object_put(object); /* the descriptor holds it */
	return 0;
}
