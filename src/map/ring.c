/* Ring buffers: creation and producers. The idea is in map/ring.h. */
#include "map/ring.h"

#include <errno.h>
#include <linux/fcntl.h>

#include "abi/uapi.h"
#include "base/sys.h"

/* What the metadata keeps of a reservation until it ends. */
static uint64_t reservation(uint32_t token, uint32_t bytes)
{
	return (uint64_t)token << 32 | bytes;
}

static void plan(struct fort_map *map, uint64_t *values_bytes, uint64_t *meta_bytes)
{
	map->ring.bytes = map->shape.max_entries;
	*values_bytes = 2ull * FORT_PAGE_BYTES + 2ull * map->ring.bytes;
	*meta_bytes = sizeof(struct fort_ring_meta) + map->ring.bytes;
}

static int start(struct fort_map *map, bool fresh)
{
	struct fort_ring *ring = &map->ring;

	ring->meta = (struct fort_ring_meta *)map->meta;
	ring->reserved = (uint64_t *)(ring->meta + 1);
	ring->consumer_pos = (uint64_t *)map->values;
	ring->producer_pos = (uint64_t *)(map->values + FORT_PAGE_BYTES);
	ring->data = map->values + 2 * FORT_PAGE_BYTES;
	return 0;
}

static int64_t find(const struct fort_map *map, const void *key, uint32_t cpu)
{
	return -FORT_ENOTSUPP;
}

static int read_value(struct fort_map *map, const struct fort_seat *seat, const void *key,
		      void *value)
{
	return -FORT_ENOTSUPP;
}

static int update(struct fort_map *map, const struct fort_seat *seat, const void *key,
		  const void *value, uint64_t flags, uint32_t cpu)
{
	return -FORT_ENOTSUPP;
}

static int delete_key(struct fort_map *map, const struct fort_seat *seat, const void *key)
{
	return -FORT_ENOTSUPP;
}

static int next_key(struct fort_map *map, const struct fort_seat *seat, const void *key, void *next)
{
	return -FORT_ENOTSUPP;
}

const struct fort_map_ops fort_map_ringbuf = {
	.type = BPF_MAP_TYPE_RINGBUF,
	.plan = plan,
	.start = start,
	.find = find,
	.read = read_value,
	.update = update,
	.delete = delete_key,
	.next_key = next_key,
};

int fort_ring_make_wake(struct fort_map *map)
{
	long fd = fort_sys2(SYS_eventfd2, 0, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return (int)fd;
	if (map->wake_fd >= 0)
		fort_sys1(SYS_close, map->wake_fd);
	map->wake_fd = (int)fd;
	return 0;
}

/* Where a position lies in the data: always the start of a record's 8 bytes. */
static uint32_t data_offset(const struct fort_ring *ring, uint64_t position)
{
	return (uint32_t)position & (ring->bytes - 1) & ~7u;
}

static struct fort_ring_header *header_at(const struct fort_ring *ring, uint32_t offset)
{
	return (struct fort_ring_header *)(ring->data + offset);
}

/* With the lock held. The order matters when this process is killed on the way: a record counts
 * once producer_pos in the metadata passes it, and then all that is needed to bury it is there. */
static int append(struct fort_map *map, const struct fort_seat *seat, uint32_t bytes,
		  uint32_t *offset)
{
	struct fort_ring *ring = &map->ring;
	uint32_t total = (uint32_t)fort_round_up(bytes + FORT_RING_HEADER_BYTES, 8);
	uint64_t consumer = fort_load(ring->consumer_pos);
	uint64_t producer = fort_load(&ring->meta->producer_pos);
	uint32_t start = data_offset(ring, producer);
	struct fort_ring_header *header = header_at(ring, start);

	if (producer + total - consumer > ring->bytes - 1)
		return -EAGAIN;
	fort_store(&ring->reserved[start / 8], reservation(seat->token, bytes));
	fort_store(&header->length, bytes | BPF_RINGBUF_BUSY_BIT);
	fort_store(&header->page, (2 * FORT_PAGE_BYTES + start) / FORT_PAGE_BYTES);
	fort_store(&ring->meta->producer_pos, producer + total);
	fort_store(ring->producer_pos, producer + total);
	*offset = start + FORT_RING_HEADER_BYTES;
	return 0;
}

/* After a death inside, page 1 may lag behind. */
static int lock_ring(struct fort_map *map, const struct fort_seat *seat)
{
	struct fort_ring_meta *meta = map->ring.meta;
	uint32_t died;
	int err = fort_lock_take(seat, &meta->lock, &died);

	if (!err && died)
		fort_store(map->ring.producer_pos, fort_load(&meta->producer_pos));
	return err;
}

static int reserve(struct fort_map *map, const struct fort_seat *seat, uint32_t bytes,
		   uint32_t *offset)
{
	int err = lock_ring(map, seat);

	if (err)
		return err;
	err = append(map, seat, bytes, offset);
	fort_lock_drop(&map->ring.meta->lock);
	return err;
}

int fort_ring_reserve(struct fort_map *map, const struct fort_seat *seat, uint64_t bytes,
		      uint32_t *offset)
{
	int err = -EAGAIN;

	if (bytes <= FORT_RING_RECORD_MAX &&
	    fort_round_up(bytes + FORT_RING_HEADER_BYTES, 8) <= map->ring.bytes) {
		err = reserve(map, seat, (uint32_t)bytes, offset);
		if (FORT_UNLIKELY(err) && fort_ring_bury(map))
			err = reserve(map, seat, (uint32_t)bytes, offset);
	}
	if (FORT_UNLIKELY(err))
		fort_add(&map->meta->dropped, 1);
	return err;
}

static void wake(struct fort_map *map)
{
	uint64_t one = 1;

	if (fort_swap(&map->ring.meta->sleeping, 0) && map->wake_fd >= 0)
		fort_sys3(SYS_write, map->wake_fd, (long)&one, sizeof(one));
}

/* The exchange is the fence between publishing the record and looking at `sleeping`. The
 * reservation goes after it: in between, a death leaves a complete record. */
static void finish(const struct fort_ring *ring, uint32_t start, uint32_t length)
{
	(void)fort_swap(&header_at(ring, start)->length, length);
	fort_store(&ring->reserved[start / 8], 0);
}

static void commit(struct fort_map *map, uint32_t offset, uint32_t length, uint64_t flags)
{
	finish(&map->ring, data_offset(&map->ring, offset - FORT_RING_HEADER_BYTES), length);
	if (flags & BPF_RB_NO_WAKEUP && !(flags & BPF_RB_FORCE_WAKEUP))
		return;
	if (fort_load(&map->ring.meta->sleeping))
		wake(map);
}

void fort_ring_submit(struct fort_map *map, uint32_t offset, uint32_t bytes, uint64_t flags)
{
	commit(map, offset, bytes, flags);
}

void fort_ring_discard(struct fort_map *map, uint32_t offset, uint32_t bytes, uint64_t flags)
{
	commit(map, offset, bytes | BPF_RINGBUF_DISCARD_BIT, flags);
}

/* The records of the dead at the consumer's position, with the lock held: nobody reserves in their
 * place meanwhile. Only the oldest record can hold the consumer up. */
static bool bury_oldest(struct fort_map *map)
{
	const struct fort_ring *ring = &map->ring;
	uint64_t position = fort_load(ring->consumer_pos);
	uint64_t producer = fort_load(&ring->meta->producer_pos);
	uint32_t dead = FORT_TOKEN_LOST;
	bool buried = false;

	while (producer - position <= ring->bytes && producer != position) {
		uint32_t start = data_offset(ring, position);
		uint64_t word = fort_load(&ring->reserved[start / 8]);
		uint32_t bytes = (uint32_t)word, token = (uint32_t)(word >> 32);

		if (!(fort_load(&header_at(ring, start)->length) & BPF_RINGBUF_BUSY_BIT) ||
		    bytes > ring->bytes || !token)
			break;
		if (token != dead && !fort_token_dead(map->shared, token))
			break;
		dead = token;
		finish(ring, start, bytes | BPF_RINGBUF_DISCARD_BIT);
		position += fort_round_up((uint64_t)bytes + FORT_RING_HEADER_BYTES, 8);
		buried = true;
	}
	return buried;
}

bool fort_ring_bury(struct fort_map *map)
{
	const struct fort_seat *seat;
	bool buried = false;

	if (fort_seat_borrow(map->shared, &seat))
		return false;
	if (!lock_ring(map, seat)) {
		buried = bury_oldest(map);
		fort_lock_drop(&map->ring.meta->lock);
	}
	fort_seat_return(seat);
	if (buried && fort_load(&map->ring.meta->sleeping))
		wake(map);
	return buried;
}

uint64_t fort_ring_query(const struct fort_map *map, uint64_t what)
{
	const struct fort_ring *ring = &map->ring;
	uint64_t consumer = fort_load(ring->consumer_pos);
	uint64_t producer = fort_load(&ring->meta->producer_pos);

	switch (what) {
	case BPF_RB_AVAIL_DATA: return producer - consumer;
	case BPF_RB_RING_SIZE: return ring->bytes;
	case BPF_RB_CONS_POS: return consumer;
	case BPF_RB_PROD_POS: return producer;
	default: return 0;
	}
}
