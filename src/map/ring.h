/* Ring buffers: producers (programs, in any process) and one consumer.
 *
 * Values object, as the kernel lays it out for mmap: page 0 holds the consumer's position, page 1
 * the producers', then twice `bytes` of data. A record starts in the first half and is contiguous;
 * the second half takes what crosses the end (no page is mapped twice: every known consumer reads
 * records where they start). Record: {u32 length with BUSY and DISCARD bits, u32 page}, payload,
 * rounded up to 8.
 *
 * Consumers can write all of that. The position that producers believe is in the metadata, page 1
 * is a copy; headers are never read back by producers; the consumer's position is believed only as
 * far as it leaves room. Per 8 bytes of data the metadata keeps the token and length of the
 * reservation that starts there, so that what a killed producer left BUSY can be discarded.
 *
 * Waking the consumer: it sets `sleeping`, fences, looks again, and only then blocks on the
 * eventfd. A producer publishes its record with a locked exchange (the fence), then looks at
 * `sleeping`. The kernel wakes if the consumer had caught up with the record; here a consumer that
 * is not sleeping will look by itself, so its position does not matter.
 */
#pragma once

#include "map/lock.h"
#include "map/map.h"

struct fort_ring_meta {
	struct fort_map_meta common;
	uint64_t lock;
	uint64_t producer_pos;
	_Alignas(64) uint32_t sleeping;
};
_Static_assert(sizeof(struct fort_ring_meta) % 64 == 0, "shared layout");

struct fort_ring_header {
	uint32_t length, page;
};

#define FORT_RING_HEADER_BYTES 8u
#define FORT_RING_RECORD_MAX   (UINT32_MAX / 4) /* K */

/* Room for a record of `bytes`: *offset is that of its payload from the start of the data (and so
 * of the map's part of a domain window). -EAGAIN when there is no room, which is counted, or the
 * lock could not be had.
 */
FORT_CHECKED int fort_ring_reserve(struct fort_map *map, const struct fort_seat *seat,
				   uint64_t bytes, uint32_t *offset);
/* Ends a reservation made before with these two numbers. `flags`: BPF_RB_NO_WAKEUP,
 * BPF_RB_FORCE_WAKEUP; others are ignored. */
void fort_ring_submit(struct fort_map *map, uint32_t offset, uint32_t bytes, uint64_t flags);
void fort_ring_discard(struct fort_map *map, uint32_t offset, uint32_t bytes, uint64_t flags);
/* Turns what dead producers left BUSY at the consumer's position into discarded records. True if
 * there was any. */
bool fort_ring_bury(struct fort_map *map);
/* BPF_RB_AVAIL_DATA and the like; 0 for unknown queries. */
uint64_t fort_ring_query(const struct fort_map *map, uint64_t what);

/* The consumer. Nothing in the ring is believed: whatever it holds, calls end, and copy no more
 * than fits. */
struct fort_ring_reader {
	struct fort_map *map; /* not owned */
	uint64_t position;
	uint64_t busy_since_ns; /* when the record at `position` was first seen BUSY; 0: not */
};

void fort_ring_reader_init(struct fort_ring_reader *reader, struct fort_map *map);
/* Copies the next record. Returns 1 with *bytes; 0 when there is none yet; -EMSGSIZE for a record
 * larger than `room` (*bytes is set, the record is skipped); -EBADMSG when the ring makes no sense
 * (all of it is skipped).
 */
FORT_CHECKED int fort_ring_read(struct fort_ring_reader *reader, void *record, size_t room,
				uint32_t *bytes);
/* Before blocking on map->wake_fd: true if there is nothing to read, so that blocking is right.
 * A producer that dies leaves its record BUSY and wakes nobody: block FORT_RING_NAP_NS at most. */
FORT_CHECKED bool fort_ring_sleep(struct fort_ring_reader *reader);
/* After blocking, or instead of it. */
void fort_ring_awake(struct fort_ring_reader *reader);
/* All of that for several rings: waits until one of them may have a record, `fd` (-1: none) is
 * readable, or timeout_ns are over (negative: never). Returns 1, 0 when the time is over, or
 * poll's error (-EINTR), or -E2BIG for more than FORT_RINGS_MAX.
 */
FORT_CHECKED int fort_ring_wait(struct fort_ring_reader *const *readers, uint32_t n_readers, int fd,
				int64_t timeout_ns);

/* Makes the eventfd that wakes this map's consumer: map->wake_fd. Other processes that produce get
 * a copy and store it there. */
FORT_CHECKED int fort_ring_make_wake(struct fort_map *map);
