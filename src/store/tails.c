#include "store/tails.h"

#include <errno.h>
#include <stdlib.h>

#include "map/prog_array.h"
#include "store/area.h"

/* --- areas --- */

static int find_area(struct fort_prog_object *prog, struct fort_area **out)
{
	struct fort_store *store = prog->object.store;
	uint32_t number = prog->type->number;
	int err = 0;

	if (number >= FORT_AREAS_MAX)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&store->lock);
	if (!store->areas[number])
		err = fort_area_open(&fort_road_loaded(prog->road)->domain, &store->areas[number]);
	*out = store->areas[number];
	pthread_mutex_unlock(&store->lock);
	return err;
}

static int join(struct fort_prog_object *prog)
{
	struct fort_area *area;
	int err = find_area(prog, &area);

	return err ? err : fort_road_join(prog->road, area, prog->object.id);
}

void fort_tails_forked(struct fort_store *store)
{
	const struct fort_object_table *table = &store->tables[FORT_OBJECT_PROG];

	for (uint32_t i = 0; i < FORT_AREAS_MAX; i++)
		if (store->areas[i] && fort_area_forked(store->areas[i]))
			return; /* the parent's memory stays: better than none */
	for (uint32_t i = 0; i < table->n_objects; i++) {
		struct fort_prog_object *prog = (struct fort_prog_object *)table->objects[i];

		if (prog->road && fort_road_rejoin(prog->road))
			return;
	}
}

void fort_tails_close(struct fort_store *store)
{
	for (uint32_t i = 0; i < FORT_AREAS_MAX; i++)
		fort_area_close(store->areas[i]);
}

/* --- which programs an array takes --- */

/* What else the kernel compares belongs to programs that do not run here: the function that it is
 * attached to, storage of control groups. */
static struct fort_tails_owner owner_of(const struct fort_prog_object *prog)
{
	const struct fort_loaded *loaded = fort_road_loaded(prog->road);

	return (struct fort_tails_owner){
		.type = prog->type,
		.expected_attach_type = prog->expected_attach_type,
		.frags = prog->flags & BPF_F_XDP_HAS_FRAGS,
		.engine = loaded->engine,
		.isolation = loaded->isolation,
	};
}

static bool is_alike(const struct fort_tails_owner *a, const struct fort_tails_owner *b)
{
	return a->type == b->type && a->expected_attach_type == b->expected_attach_type &&
	       a->frags == b->frags && a->engine == b->engine && a->isolation == b->isolation;
}

/* With the store's lock. */
static bool admits(struct fort_map_object *map, const struct fort_prog_object *prog)
{
	struct fort_tails_owner owner = owner_of(prog);

	if (!map->tails.owner.type)
		map->tails.owner = owner;
	return is_alike(&map->tails.owner, &owner);
}

bool fort_tails_has(const struct fort_prog_object *prog)
{
	for (uint32_t i = 0; i < prog->n_used; i++)
		if (fort_map_is_prog_array(prog->maps[i]->map))
			return true;
	return false;
}

int fort_tails_check(struct fort_prog_object *prog)
{
	struct fort_store *store = prog->object.store;
	bool good = true;

	pthread_mutex_lock(&store->lock);
	for (uint32_t i = 0; good && i < prog->n_used; i++)
		if (fort_map_is_prog_array(prog->maps[i]->map))
			good = admits(prog->maps[i], prog);
	pthread_mutex_unlock(&store->lock);
	return good ? 0 : -EINVAL;
}

int fort_tails_prepare(struct fort_prog_object *prog)
{
	return fort_tails_has(prog) ? join(prog) : 0;
}

/* --- elements --- */

int fort_tails_lookup(struct fort_map_object *map, uint32_t index, uint32_t *id)
{
	struct fort_store *store = map->object.store;
	const struct fort_prog_object *prog = NULL;

	pthread_mutex_lock(&store->lock);
	if (index < map->map->shape.max_entries && map->tails.progs)
		prog = map->tails.progs[index];
	if (prog)
		*id = prog->object.id;
	pthread_mutex_unlock(&store->lock);
	return prog ? 0 : -ENOENT;
}

/* Puts a program, whose reference the caller has, or NULL, where another one may be; which is the
 * caller's then. */
static int replace(struct fort_map_object *map, uint32_t index, struct fort_prog_object *prog,
		   struct fort_prog_object **before)
{
	struct fort_store *store = map->object.store;
	int err = 0;

	pthread_mutex_lock(&store->lock);
	if (!map->tails.progs)
		map->tails.progs = calloc(map->map->shape.max_entries, sizeof(prog));
	if (!map->tails.progs)
		err = -ENOMEM;
	else if (prog && !map->n_locks) /* its descriptor was closed meanwhile */
		err = -EBADF;
	if (!err) {
		*before = map->tails.progs[index];
		map->tails.progs[index] = prog;
		fort_prog_array_set(map->map, index, prog ? fort_road_tail(prog->road) : NULL);
	}
	pthread_mutex_unlock(&store->lock);
	return err;
}

static int admit(struct fort_map_object *map, struct fort_prog_object *prog)
{
	struct fort_store *store = map->object.store;
	bool good;

	pthread_mutex_lock(&store->lock);
	good = prog->road && admits(map, prog);
	pthread_mutex_unlock(&store->lock);
	return good ? join(prog) : -EINVAL;
}

int fort_tails_update(struct fort_map_object *map, uint32_t index, int prog_fd, uint64_t flags)
{
	struct fort_prog_object *before;
	struct fort_object *prog;
	int err;

	if (flags)
		return -EINVAL;
	if (index >= map->map->shape.max_entries)
		return -E2BIG;
	err = fort_handle_get(map->object.store, prog_fd, FORT_OBJECT_PROG, &prog);
	if (err)
		return err;
	err = admit(map, (struct fort_prog_object *)prog);
	err = err ? err : replace(map, index, (struct fort_prog_object *)prog, &before);
	if (err) {
		fort_object_put(prog);
		return err;
	}
	if (before)
		fort_object_put(&before->object);
	return 0;
}

int fort_tails_delete(struct fort_map_object *map, uint32_t index)
{
	struct fort_prog_object *before;
	int err;

	if (index >= map->map->shape.max_entries)
		return -E2BIG;
	err = replace(map, index, NULL, &before);
	if (err)
		return err;
	if (!before)
		return -ENOENT;
	fort_object_put(&before->object);
	return 0;
}

void fort_tails_clear(struct fort_map_object *map)
{
	struct fort_prog_object *before;

	if (!map->tails.progs)
		return;
	for (uint32_t i = 0; i < map->map->shape.max_entries; i++)
		if (!replace(map, i, NULL, &before) && before)
			fort_object_put(&before->object);
}

void fort_tails_free(struct fort_map_object *map)
{
	free(map->tails.progs);
}
