/* Ring buffers: our own consumer. */
#include "map/ring.h"

#include <errno.h>
#include <linux/poll.h>
#include <string.h>

#include "abi/uapi.h"
#include "map/clock.h"

/* A record BUSY for longer is looked at: its producer may be dead. */
#define BUSY_NS 1000000u

void fort_ring_reader_init(struct fort_ring_reader *reader, struct fort_map *map)
{
	*reader = (struct fort_ring_reader){.map = map,
					    .position = fort_load(map->ring.consumer_pos) & ~7ull};
}

static void move_to(struct fort_ring_reader *reader, uint64_t position)
{
	reader->position = position;
	reader->busy_since_ns = 0;
	fort_store(reader->map->ring.consumer_pos, position);
}

static int skip_all(struct fort_ring_reader *reader, uint64_t producer)
{
	move_to(reader, producer & ~7ull);
	return -EBADMSG;
}

/* The oldest record is being written. Whether somebody still does so is looked at when that takes
 * long, and once in that time. True if it is not BUSY any more. */
static bool give_up_on_busy(struct fort_ring_reader *reader)
{
	uint64_t now = fort_clock_ns(CLOCK_MONOTONIC);

	if (!reader->busy_since_ns)
		reader->busy_since_ns = now;
	if (now - reader->busy_since_ns < BUSY_NS)
		return false;
	reader->busy_since_ns = now;
	return fort_ring_bury(reader->map);
}

static uint32_t length_at(const struct fort_ring_reader *reader)
{
	const struct fort_ring *ring = &reader->map->ring;
	uint32_t start = (uint32_t)reader->position & (ring->bytes - 1);

	return fort_load(&((const struct fort_ring_header *)(ring->data + start))->length);
}

static uint64_t available(const struct fort_ring_reader *reader, uint64_t *producer)
{
	*producer = fort_load(&reader->map->ring.meta->producer_pos);
	return *producer - reader->position;
}

/* Passes over one record; copies it unless it is discarded. 2: go on with the next. */
static int step(struct fort_ring_reader *reader, void *record, size_t room, uint32_t *bytes)
{
	const struct fort_ring *ring = &reader->map->ring;
	uint64_t producer, left = available(reader, &producer), total;
	uint32_t start = (uint32_t)reader->position & (ring->bytes - 1);
	uint32_t word, length;

	if (!left)
		return 0;
	if (left > ring->bytes)
		return skip_all(reader, producer);
	word = length_at(reader);
	if (word & BPF_RINGBUF_BUSY_BIT)
		return give_up_on_busy(reader) ? 2 : 0;
	length = word & ~BPF_RINGBUF_DISCARD_BIT;
	total = fort_round_up((uint64_t)length + FORT_RING_HEADER_BYTES, 8);
	if (total > left)
		return skip_all(reader, producer);
	if (!(word & BPF_RINGBUF_DISCARD_BIT) && length <= room)
		memcpy(record, ring->data + start + FORT_RING_HEADER_BYTES, length);
	move_to(reader, reader->position + total);
	if (word & BPF_RINGBUF_DISCARD_BIT)
		return 2;
	*bytes = length;
	return length <= room ? 1 : -EMSGSIZE;
}

int fort_ring_read(struct fort_ring_reader *reader, void *record, size_t room, uint32_t *bytes)
{
	uint32_t records_max = reader->map->ring.bytes / FORT_RING_HEADER_BYTES;
	int result = 0;

	for (uint32_t i = 0; i < records_max; i++) {
		result = step(reader, record, room, bytes);
		if (result != 2)
			return result;
	}
	return 0;
}

/* Is there something to read, or to complain of? */
static bool has_record(const struct fort_ring_reader *reader)
{
	uint64_t producer, left = available(reader, &producer);

	if (!left)
		return false;
	return left > reader->map->ring.bytes || !(length_at(reader) & BPF_RINGBUF_BUSY_BIT);
}

bool fort_ring_sleep(struct fort_ring_reader *reader)
{
	(void)fort_swap(&reader->map->ring.meta->sleeping, 1);
	if (!has_record(reader))
		return true;
	fort_ring_awake(reader);
	return false;
}

void fort_ring_awake(struct fort_ring_reader *reader)
{
	uint64_t count;

	(void)fort_swap(&reader->map->ring.meta->sleeping, 0);
	if (reader->map->wake_fd >= 0)
		fort_sys3(SYS_read, reader->map->wake_fd, (long)&count, sizeof(count));
}

static long poll_for(struct pollfd *fds, uint32_t n_fds, uint64_t ns)
{
	struct fort_timespec timeout = {(int64_t)(ns / 1000000000u), (int64_t)(ns % 1000000000u)};

	return fort_sys6(SYS_ppoll, (long)fds, n_fds, (long)&timeout, 0, 0, 0);
}

/* Marks all as sleeping; how many there are when the last has nothing to read, else fewer. */
static uint32_t go_to_sleep(struct fort_ring_reader *const *readers, uint32_t n_readers)
{
	uint32_t n = 0;

	while (n < n_readers && fort_ring_sleep(readers[n]))
		n++;
	return n;
}

int fort_ring_wait(struct fort_ring_reader *const *readers, uint32_t n_readers, int fd,
		   int64_t timeout_ns)
{
	struct pollfd fds[FORT_RINGS_MAX + 1];
	uint64_t start = fort_clock_ns(CLOCK_MONOTONIC), spent = 0;
	uint32_t asleep;
	long ready = 1;

	if (n_readers > FORT_RINGS_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < n_readers; i++)
		fds[i] = (struct pollfd){.fd = readers[i]->map->wake_fd, .events = POLLIN};
	fds[n_readers] = (struct pollfd){.fd = fd, .events = POLLIN};
	do {
		uint64_t left = timeout_ns < 0 ? UINT64_MAX : (uint64_t)timeout_ns - spent;

		asleep = go_to_sleep(readers, n_readers);
		if (asleep == n_readers)
			ready = poll_for(fds, n_readers + 1,
					 left < FORT_RING_NAP_NS ? left : FORT_RING_NAP_NS);
		for (uint32_t i = 0; i < asleep; i++)
			fort_ring_awake(readers[i]);
		for (uint32_t i = 0; i < n_readers && !ready; i++)
			ready = fort_ring_bury(readers[i]->map) || has_record(readers[i]);
		spent = fort_clock_ns(CLOCK_MONOTONIC) - start;
	} while (!ready && (timeout_ns < 0 || spent < (uint64_t)timeout_ns));
	return ready > 0 ? 1 : (int)ready;
}
