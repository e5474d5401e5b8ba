#include "store/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *fort_object_new(struct fort_store *store, enum fort_object_kind kind, size_t bytes)
{
	struct fort_object *object = calloc(1, bytes);

	if (!object)
		return NULL;
	object->store = store;
	object->kind = kind;
	object->refs = 1;
	return object;
}

/* Index of the first object whose id is at least `id`. */
static uint32_t position(const struct fort_object_table *table, uint32_t id)
{
	uint32_t low = 0, high = table->n_objects;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (table->objects[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Cyclic, so that an id is not reused soon: the first free one behind the last. */
static uint32_t free_id(const struct fort_object_table *table)
{
	uint32_t id = table->last_id;

	for (uint32_t tries = 0; tries <= table->n_objects; tries++) {
		uint32_t at;

		id = id == INT32_MAX ? 1 : id + 1;
		at = position(table, id);
		if (at == table->n_objects || table->objects[at]->id != id)
			return id;
	}
	return 0;
}

static int make_room(struct fort_object_table *table)
{
	uint32_t room = table->room ? table->room * 2 : 16;
	struct fort_object **objects;

	if (table->n_objects < table->room)
		return 0;
	if (room > FORT_OBJECTS_MAX)
		return -ENOSPC;
	objects = realloc(table->objects, room * sizeof(*objects));
	if (!objects)
		return -ENOMEM;
	table->objects = objects;
	table->room = room;
	return 0;
}

int fort_object_publish(struct fort_object *object)
{
	struct fort_object_table *table = &object->store->tables[object->kind];
	uint32_t at;
	int err;

	pthread_mutex_lock(&object->store->lock);
	err = make_room(table);
	if (!err) {
		object->id = table->last_id = free_id(table);
		at = position(table, object->id);
		memmove(table->objects + at + 1, table->objects + at,
			(table->n_objects - at) * sizeof(*table->objects));
		table->objects[at] = object;
		table->n_objects++;
	}
	pthread_mutex_unlock(&object->store->lock);
	return err;
}

static void unpublish(struct fort_object *object)
{
	struct fort_object_table *table = &object->store->tables[object->kind];
	uint32_t at = position(table, object->id);

	if (!object->id)
		return;
	table->n_objects--;
	memmove(table->objects + at, table->objects + at + 1,
		(table->n_objects - at) * sizeof(*table->objects));
}

void fort_object_get(struct fort_object *object)
{
	pthread_mutex_lock(&object->store->lock);
	object->refs++;
	pthread_mutex_unlock(&object->store->lock);
}

void fort_object_put(struct fort_object *object)
{
	bool last;

	if (!object)
		return;
	pthread_mutex_lock(&object->store->lock);
	last = !--object->refs;
	if (last)
		unpublish(object);
	pthread_mutex_unlock(&object->store->lock);
	if (!last)
		return;
	switch (object->kind) {
	case FORT_OBJECT_MAP: fort_map_object_free((struct fort_map_object *)object); return;
	case FORT_OBJECT_PROG: fort_prog_object_free((struct fort_prog_object *)object); return;
	case FORT_OBJECT_LINK: fort_link_object_free((struct fort_link_object *)object); return;
	case FORT_OBJECT_BTF: fort_btf_object_free((struct fort_btf_object *)object); return;
	case FORT_OBJECT_EVENT: fort_event_object_free((struct fort_event_object *)object); return;
	default: return;
	}
}

struct fort_object *fort_object_by_id(struct fort_store *store, enum fort_object_kind kind,
				      uint32_t id)
{
	struct fort_object_table *table = &store->tables[kind];
	struct fort_object *object = NULL;
	uint32_t at;

	pthread_mutex_lock(&store->lock);
	at = position(table, id);
	if (id && at < table->n_objects && table->objects[at]->id == id) {
		object = table->objects[at];
		object->refs++;
	}
	pthread_mutex_unlock(&store->lock);
	return object;
}

uint32_t fort_object_next_id(struct fort_store *store, enum fort_object_kind kind, uint32_t id)
{
	struct fort_object_table *table = &store->tables[kind];
	uint32_t at, next = 0;

	pthread_mutex_lock(&store->lock);
	at = position(table, id + 1);
	if (at < table->n_objects)
		next = table->objects[at]->id;
	pthread_mutex_unlock(&store->lock);
	return next;
}
