#include "store/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/tails.h"

#define REAP_AT_ONCE 32

/* Index of the first entry that is not before (inode, device). */
static uint32_t position(const struct fort_identity_table *table, uint64_t inode, uint64_t device)
{
	uint32_t low = 0, high = table->n_entries;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct fort_identity *entry = &table->entries[middle];

		if (entry->inode < inode || (entry->inode == inode && entry->device < device))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct fort_identity *find(struct fort_identity_table *table, uint64_t inode,
				  uint64_t device)
{
	uint32_t at = position(table, inode, device);
	struct fort_identity *entry;

	if (at == table->n_entries)
		return NULL;
	entry = &table->entries[at];
	return entry->inode == inode && entry->device == device ? entry : NULL;
}

static int insert(struct fort_identity_table *table, struct fort_identity identity)
{
	uint32_t at = position(table, identity.inode, identity.device);

	if (table->n_entries == table->room) {
		uint32_t room = table->room ? table->room * 2 : 32;
		struct fort_identity *entries;

		if (room > FORT_HANDLES_MAX)
			return -ENFILE;
		entries = realloc(table->entries, room * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		table->entries = entries;
		table->room = room;
	}
	memmove(table->entries + at + 1, table->entries + at,
		(table->n_entries - at) * sizeof(identity));
	table->entries[at] = identity;
	table->n_entries++;
	return 0;
}

static void take_out(struct fort_identity_table *table, struct fort_identity *entry)
{
	uint32_t at = (uint32_t)(entry - table->entries);

	table->n_entries--;
	memmove(entry, entry + 1, (table->n_entries - at) * sizeof(*entry));
}

static int watch(const struct fort_store *store, const struct fort_identity *identity)
{
	/* No event is asked for: hanging up is always reported. */
	struct epoll_event event = {.data.u64 = identity->inode};

	return epoll_ctl(store->epoll, EPOLL_CTL_ADD, identity->peer, &event) ? -errno : 0;
}

static int open_socket(struct fort_object *object)
{
	struct fort_store *store = object->store;
	struct fort_identity identity = {.object = object};
	struct stat stat;
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	identity.peer = ends[1];
	err = fstat(ends[0], &stat) ? -errno : 0;
	if (!err) {
		identity.device = stat.st_dev;
		identity.inode = stat.st_ino;
		err = watch(store, &identity);
	}
	if (!err) {
		pthread_mutex_lock(&store->lock);
		err = insert(&store->identities, identity);
		if (!err)
			object->refs++;
		pthread_mutex_unlock(&store->lock);
	}
	if (err) {
		close(ends[1]);
		close(ends[0]);
		return err;
	}
	return ends[0];
}

static struct flock lock_of(uint32_t byte, int access)
{
	return (struct flock){
		.l_type = access == O_RDONLY ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
}

static int remember_lock(struct fort_map_object *map, uint32_t byte)
{
	uint32_t *locks;

	if (map->n_locks == FORT_HANDLES_MAX)
		return -ENFILE;
	locks = realloc(map->locks, (map->n_locks + 1) * sizeof(*locks));
	if (!locks)
		return -ENOMEM;
	map->locks = locks;
	locks[map->n_locks++] = byte;
	return 0;
}

static int open_map(struct fort_map_object *map, int access)
{
	struct fort_store *store = map->object.store;
	struct flock lock;
	uint32_t byte;
	char path[40];
	int fd, err;

	pthread_mutex_lock(&store->lock);
	byte = map->next_lock++;
	pthread_mutex_unlock(&store->lock);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", map->map->values_fd);
	fd = open(path, access | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	lock = lock_of(byte, access);
	err = fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
	if (!err) {
		/* Locked first: from here on the byte is tested. */
		pthread_mutex_lock(&store->lock);
		err = remember_lock(map, byte);
		if (!err)
			map->object.refs++;
		pthread_mutex_unlock(&store->lock);
	}
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int fort_handle_open(struct fort_object *object, int access)
{
	if (object->kind == FORT_OBJECT_MAP)
		return open_map((struct fort_map_object *)object, access);
	return open_socket(object);
}

int fort_handle_identify(struct fort_map_object *map)
{
	struct fort_store *store = map->object.store;
	struct stat stat;
	int err;

	if (fstat(map->map->values_fd, &stat))
		return -errno;
	map->device = stat.st_dev;
	map->inode = stat.st_ino;
	pthread_mutex_lock(&store->lock);
	err = insert(&store->identities, (struct fort_identity){.device = stat.st_dev,
								.inode = stat.st_ino,
								.object = &map->object,
								.peer = -1});
	pthread_mutex_unlock(&store->lock);
	return err;
}

void fort_handle_forget(struct fort_map_object *map)
{
	struct fort_store *store = map->object.store;
	struct fort_identity *entry;

	pthread_mutex_lock(&store->lock);
	entry = find(&store->identities, map->inode, map->device);
	if (entry && entry->object == &map->object)
		take_out(&store->identities, entry);
	pthread_mutex_unlock(&store->lock);
}

int fort_handle_get_any(struct fort_store *store, int fd, struct fort_object **out)
{
	struct fort_identity *entry;
	struct stat stat;
	int err = -EINVAL;

	if (fstat(fd, &stat))
		return -EBADF;
	pthread_mutex_lock(&store->lock);
	entry = find(&store->identities, stat.st_ino, stat.st_dev);
	if (entry && entry->object->refs) {
		entry->object->refs++;
		*out = entry->object;
		err = 0;
	}
	pthread_mutex_unlock(&store->lock);
	return err;
}

int fort_handle_get(struct fort_store *store, int fd, enum fort_object_kind kind,
		    struct fort_object **out)
{
	struct fort_object *object;
	int err = fort_handle_get_any(store, fd, &object);

	if (err)
		return err;
	if (object->kind != kind) {
		fort_object_put(object);
		return -EINVAL;
	}
	*out = object;
	return 0;
}

int fort_handle_access(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? O_RDONLY : flags & O_ACCMODE;
}

/* The object whose descriptor had this socket inode, no longer recognised; NULL if it is none. */
static struct fort_object *drop_socket(struct fort_store *store, uint64_t inode)
{
	struct fort_identity_table *table = &store->identities;
	struct fort_object *object = NULL;

	pthread_mutex_lock(&store->lock);
	for (uint32_t at = position(table, inode, 0);
	     !object && at < table->n_entries && table->entries[at].inode == inode; at++) {
		struct fort_identity *entry = &table->entries[at];

		if (entry->peer < 0)
			continue;
		object = entry->object;
		epoll_ctl(store->epoll, EPOLL_CTL_DEL, entry->peer, NULL);
		close(entry->peer);
		take_out(table, entry);
	}
	pthread_mutex_unlock(&store->lock);
	return object;
}

static void reap_sockets(struct fort_store *store)
{
	struct epoll_event events[REAP_AT_ONCE];
	int n;

	do {
		n = epoll_wait(store->epoll, events, REAP_AT_ONCE, 0);
		for (int i = 0; i < n; i++)
			fort_object_put(drop_socket(store, events[i].data.u64));
	} while (n == REAP_AT_ONCE);
}

/* Forgets the locks that nobody holds any more; their number. */
static uint32_t drop_locks(struct fort_map_object *map)
{
	uint32_t kept = 0, n = map->n_locks;

	for (uint32_t i = 0; i < n; i++) {
		struct flock lock = lock_of(map->locks[i], O_RDWR);

		if (fcntl(map->map->values_fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK)
			map->locks[kept++] = map->locks[i];
	}
	map->n_locks = kept;
	return n - kept;
}

static void reap_maps(struct fort_store *store)
{
	uint32_t id = 0;

	while ((id = fort_object_next_id(store, FORT_OBJECT_MAP, id))) {
		struct fort_object *object = fort_object_by_id(store, FORT_OBJECT_MAP, id);
		uint32_t gone;
		bool last;

		if (!object)
			continue;
		pthread_mutex_lock(&store->lock);
		gone = drop_locks((struct fort_map_object *)object);
		last = gone && !((struct fort_map_object *)object)->n_locks;
		pthread_mutex_unlock(&store->lock);
		if (last)
			fort_tails_clear((struct fort_map_object *)object);
		for (; gone; gone--)
			fort_object_put(object);
		fort_object_put(object);
	}
}

void fort_handle_reap(struct fort_store *store)
{
	reap_sockets(store);
	reap_maps(store);
}

void fort_handle_drop_all(struct fort_store *store)
{
	struct fort_identity_table *table = &store->identities;

	/* From the end: what falls with an object takes out entries at or behind its own. */
	for (uint32_t i = table->n_entries; i-- > 0;) {
		struct fort_identity entry = table->entries[i];
		struct fort_map_object *map = (struct fort_map_object *)entry.object;
		uint32_t references = 1;

		if (entry.peer < 0) {
			references = map->n_locks;
			map->n_locks = 0;
			if (references)
				fort_tails_clear(map);
		} else {
			close(entry.peer);
			take_out(table, &table->entries[i]);
		}
		for (; references; references--)
			fort_object_put(entry.object);
		if (i > table->n_entries)
			i = table->n_entries;
	}
}

int fort_handle_forked(struct fort_store *store)
{
	int err = 0;

	close(store->epoll);
	store->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (store->epoll < 0)
		return -errno;
	for (uint32_t i = 0; !err && i < store->identities.n_entries; i++)
		if (store->identities.entries[i].peer >= 0)
			err = watch(store, &store->identities.entries[i]);
	return err;
}
