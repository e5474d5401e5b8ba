#include "map/map.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/pages.h"
#include "base/sys.h"
#include "map/memfd.h"

#define META_MAGIC   0x6d746266u /* "fbtm" */
#define META_VERSION 1u

static const struct fort_map_ops *const all_ops[] = {
	&fort_map_array,   &fort_map_percpu_array, &fort_map_hash,
	&fort_map_ringbuf, &fort_map_prog_array,
};

static const struct fort_map_ops *ops_of(uint32_t type)
{
	for (unsigned i = 0; i < FORT_LEN(all_ops); i++)
		if (all_ops[i]->type == type)
			return all_ops[i];
	return NULL;
}

static bool name_ok(const char *name)
{
	unsigned length = 0;

	for (; name[length] && length < FORT_NAME_BYTES; length++) {
		char c = name[length];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '.')
			return false;
	}
	return length < FORT_NAME_BYTES;
}

/* kernel/bpf/syscall.c, map_create: the shape by the type's row, the type's own limits, the name.
 */
int fort_map_check(const struct fort_map_shape *shape, const char *name)
{
	const struct fort_map_ops *ops = ops_of(shape->type);
	int err = ops ? fort_map_verdict(shape) : -EINVAL;

	if (!err && ops->check)
		err = ops->check(shape);
	if (err)
		return err;
	return name_ok(name) ? 0 : -EINVAL;
}

/* Arrays whose values the verifier may come to take for constants. */
static bool is_rodata(const struct fort_map *map)
{
	return map->shape.type == BPF_MAP_TYPE_ARRAY && map->shape.flags & BPF_F_RDONLY_PROG;
}

static int plan(struct fort_map *map)
{
	map->stride = fort_map_stride(&map->shape);
	map->ops->plan(map, &map->values_bytes, &map->meta_bytes);
	map->values_bytes = fort_round_up(map->values_bytes, FORT_PAGE_BYTES);
	map->meta_bytes = fort_round_up(map->meta_bytes, FORT_PAGE_BYTES);
	if (map->values_bytes > FORT_MAP_BYTES_MAX || map->meta_bytes > FORT_MAP_META_MAX)
		return -ENOMEM;
	return 0;
}

/* A map without its objects. */
static int new_map(const struct fort_map_shape *shape, const struct fort_map_ops *ops,
		   struct fort_shared *shared, struct fort_map **out)
{
	struct fort_map *map;
	void *pages;
	int err;

	err = fort_pages_alloc(sizeof(*map), &pages);
	if (err)
		return err;
	map = pages;
	*map = (struct fort_map){.shape = *shape,
				 .info = fort_map_info_of(shape),
				 .ops = ops,
				 .values_fd = -1,
				 .meta_fd = -1,
				 .wake_fd = -1,
				 .n_cpus = shared->n_cpus,
				 .shared = shared};
	err = plan(map);
	if (err) {
		fort_map_close(map);
		return err;
	}
	*out = map;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		fort_sys1(SYS_close, fd);
}

void fort_map_close(struct fort_map *map)
{
	if (!map)
		return;
	if (map->ops->stop)
		map->ops->stop(map);
	fort_memfd_unmap(map->values, map->values_bytes);
	fort_memfd_unmap(map->meta, map->meta_bytes);
	close_fd(map->values_fd);
	close_fd(map->meta_fd);
	close_fd(map->wake_fd);
	fort_pages_free(map, sizeof(*map));
}

static int map_objects(struct fort_map *map)
{
	void *at;
	int err;

	if (map->values_bytes) {
		err = fort_memfd_map(map->values_fd, map->values_bytes, !is_rodata(map), &at);
		if (err)
			return err;
		map->values = at;
	}
	err = fort_memfd_map(map->meta_fd, map->meta_bytes, true, &at);
	if (err)
		return err;
	map->meta = at;
	return 0;
}

static int make_objects(struct fort_map *map, const char *name)
{
	char values_name[32] = "bpf-map:", meta_name[32] = "bpfort-meta:";
	int err;

	memcpy(values_name + strlen(values_name), name, strlen(name) + 1);
	memcpy(meta_name + strlen(meta_name), name, strlen(name) + 1);
	err = fort_memfd_new(values_name, map->values_bytes, !is_rodata(map), &map->values_fd);
	if (!err)
		err = fort_memfd_new(meta_name, map->meta_bytes, true, &map->meta_fd);
	if (!err)
		err = map_objects(map);
	return err;
}

static int create(const struct fort_map_shape *shape, const struct fort_map_ops *ops,
		  const char *name, struct fort_shared *shared, struct fort_map **out)
{
	struct fort_map *map;
	int err;

	err = new_map(shape, ops, shared, &map);
	if (err)
		return err;
	err = make_objects(map, name);
	if (!err) {
		map->meta->shape = *shape;
		map->meta->n_cpus = map->n_cpus;
		map->meta->version = META_VERSION;
		err = map->ops->start(map, true);
	}
	if (err) {
		fort_map_close(map);
		return err;
	}
	fort_store(&map->meta->magic, META_MAGIC);
	*out = map;
	return 0;
}

int fort_map_create(const struct fort_map_shape *shape, const char *name,
		    struct fort_shared *shared, struct fort_map **out)
{
	int err = fort_map_check(shape, name);

	return err ? err : create(shape, ops_of(shape->type), name, shared, out);
}

/* What the verifier may come to take for constants is part of the shape. */
static bool must_hold(const struct fort_map_shape *shape)
{
	return shape->type == BPF_MAP_TYPE_ARRAY && shape->max_entries == 1 &&
	       shape->flags & BPF_F_RDONLY_PROG;
}

int fort_map_create_hollow(const struct fort_map_shape *shape, const char *name,
			   struct fort_shared *shared, struct fort_map **out)
{
	int err = must_hold(shape) ? fort_map_check(shape, name) : fort_map_verdict(shape);

	if (!err && !name_ok(name))
		err = -EINVAL;
	return err ? err
		   : create(shape, must_hold(shape) ? &fort_map_array : &fort_map_hollow, name,
			    shared, out);
}

bool fort_map_is_hollow(const struct fort_map *map)
{
	return map->ops == &fort_map_hollow;
}

static bool meta_fits(const struct fort_map *map)
{
	const struct fort_map_meta *meta = map->meta;
	struct fort_map_shape shape = meta->shape;

	shape.frozen = map->shape.frozen;
	return fort_load(&meta->magic) == META_MAGIC && meta->version == META_VERSION &&
	       meta->n_cpus == map->n_cpus && !memcmp(&shape, &map->shape, sizeof(shape));
}

int fort_map_open(const struct fort_map_shape *shape, int values_fd, int meta_fd,
		  struct fort_shared *shared, struct fort_map **out)
{
	struct fort_map *map;
	int err;

	if (fort_map_check(shape, ""))
		return -EBADMSG;
	err = new_map(shape, ops_of(shape->type), shared, &map);
	if (err)
		return err;
	err = fort_memfd_check(values_fd, map->values_bytes);
	if (!err)
		err = fort_memfd_check(meta_fd, map->meta_bytes);
	if (!err) {
		map->values_fd = values_fd;
		map->meta_fd = meta_fd;
		err = map_objects(map);
	}
	if (!err)
		err = meta_fits(map) ? map->ops->start(map, false) : -EBADMSG;
	if (err) {
		map->values_fd = map->meta_fd = -1; /* stay the caller's */
		fort_map_close(map);
		return err;
	}
	*out = map;
	return 0;
}

struct fort_map_window fort_map_window_of(const struct fort_map *map)
{
	if (map->info->classes & FORT_CLASS_RING)
		return (struct fort_map_window){.file_offset =
							(uint64_t)(map->ring.data - map->values),
						.bytes = 2ull * map->ring.bytes,
						.writable = true};
	return (struct fort_map_window){.bytes = map->values_bytes,
					.writable = !(map->shape.flags & BPF_F_RDONLY_PROG)};
}

uint64_t fort_map_user_bytes(const struct fort_map *map)
{
	if (map->info->classes & FORT_CLASS_PERCPU)
		return (uint64_t)map->stride * map->n_cpus;
	return map->shape.value_bytes;
}

bool fort_map_frozen(const struct fort_map *map)
{
	return map->shape.frozen || fort_load(&map->meta->frozen);
}

const uint8_t *fort_map_constants(const struct fort_map *map)
{
	long seals;

	if (!is_rodata(map) || map->shape.max_entries != 1)
		return NULL;
	seals = fort_sys3(SYS_fcntl, map->values_fd, F_GET_SEALS, 0);
	return seals >= 0 && (seals & F_SEAL_WRITE) ? map->values : NULL;
}

bool fort_map_is_suspect(const struct fort_map *map)
{
	return fort_load(&map->meta->suspect);
}

void fort_map_set_suspect(struct fort_map *map, bool suspect)
{
	fort_store(&map->meta->suspect, suspect);
}

uint64_t fort_map_dropped(const struct fort_map *map)
{
	return fort_load(&map->meta->dropped);
}

static int borrow(const struct fort_map *map, const struct fort_seat **seat)
{
	*seat = NULL;
	return map->ops->locks ? fort_seat_borrow(map->shared, seat) : 0;
}

static void give_back(const struct fort_seat *seat)
{
	if (seat)
		fort_seat_return(seat);
}

int fort_map_lookup(struct fort_map *map, const void *key, void *value, uint64_t flags)
{
	const struct fort_seat *seat;
	int err;

	if (flags) /* BPF_F_LOCK: no value has a spin lock */
		return -EINVAL;
	err = borrow(map, &seat);
	if (err)
		return err;
	err = map->ops->read(map, seat, key, value);
	give_back(seat);
	return err;
}

int fort_map_update(struct fort_map *map, const void *key, const void *value, uint64_t flags)
{
	const struct fort_seat *seat;
	int err;

	if (fort_map_frozen(map))
		return -EPERM;
	if (flags & BPF_F_LOCK)
		return -EINVAL;
	err = borrow(map, &seat);
	if (err)
		return err;
	err = map->ops->update(map, seat, key, value, flags, FORT_CPUS_ALL);
	give_back(seat);
	return err;
}

int fort_map_delete(struct fort_map *map, const void *key)
{
	const struct fort_seat *seat;
	int err;

	if (fort_map_frozen(map))
		return -EPERM;
	err = borrow(map, &seat);
	if (err)
		return err;
	err = map->ops->delete (map, seat, key);
	give_back(seat);
	return err;
}

int fort_map_next_key(struct fort_map *map, const void *key, void *next)
{
	const struct fort_seat *seat;
	int err;

	err = borrow(map, &seat);
	if (err)
		return err;
	err = map->ops->next_key(map, seat, key, next);
	give_back(seat);
	return err;
}

/* Before Linux 6.7 a sealed object cannot be mapped shared, not even for reading, and clients do
 * that with .rodata. There, writable mappings made before the freeze stay writable. */
static long seal_against_writes(void)
{
	void *at = NULL;
	bool ok;
	int fd;

	if (fort_memfd_new("bpfort-probe", FORT_PAGE_BYTES, false, &fd))
		return F_SEAL_FUTURE_WRITE;
	ok = !fort_sys3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
	if (ok) {
		long got = fort_sys6(SYS_mmap, 0, FORT_PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);

		ok = got >= 0 || got < -4095;
		at = ok ? (void *)got : NULL;
	}
	fort_memfd_unmap(at, FORT_PAGE_BYTES);
	fort_sys1(SYS_close, fd);
	return ok ? F_SEAL_WRITE : F_SEAL_FUTURE_WRITE;
}

int fort_map_freeze(struct fort_map *map)
{
	uint32_t thawed = 0;

	if (fort_map_frozen(map))
		return -EPERM; /* freezing is writing */
	if (is_rodata(map)) {
		long seals = seal_against_writes() | F_SEAL_SEAL;
		long err = fort_sys3(SYS_fcntl, map->values_fd, F_ADD_SEALS, seals);

		if (err)
			return err == -EPERM ? -EBUSY : (int)err;
	}
	return fort_cas(&map->meta->frozen, &thawed, 1) ? 0 : -EPERM;
}
