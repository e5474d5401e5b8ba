#include "engine/code_pool.h"

#include <asm/stat.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/membarrier.h>
#include <linux/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/pages.h"
#include "base/sys.h"
#include "engine/x64_image.h"
#include "isolate/signals.h"

#define LINE_BYTES FORT_SIGNAL_LINE /* and heads of loops are aligned to it */
#define PACK_BYTES (64u << 10)
#define LINES      (PACK_BYTES / LINE_BYTES)
#define RESERVED   (2 * PACK_BYTES + 2 * FORT_PAGE_BYTES)
/* Larger ones have a file of their own. */
#define PIECE_LINES_MAX (LINES / 4)
/* Behind the code of a piece, at least: running off its end is a trap. */
#define TRAP_BYTES 16u
#define INT3       0xcc

struct fort_code_pack {
	struct fort_code_pool *pool;
	struct fort_code_pack *next;
	uint8_t *reserved;
	const uint8_t *code;
	int fd;
	uint64_t device, inode;
	bool retired; /* never written again */
	uint32_t n_used, n_pieces;
	uint64_t used[LINES / 64];
};

struct fort_code_pool {
	pthread_mutex_t lock;
	struct fort_code_pack *packs;
	uint32_t n_packs;
	uint8_t *ours; /* 1; a page that reads zero in children of forks. NULL: no pack was made */
	bool refused;  /* there can be none here */
};

static const uint8_t traps[FORT_PAGE_BYTES] = {[0 ... FORT_PAGE_BYTES - 1] = INT3};
static const uint8_t zeroes[FORT_PAGE_BYTES];

/* --- the file --- */

static int write_at(int fd, const uint8_t *data, uint64_t bytes, uint64_t offset)
{
	while (bytes) {
		long written = fort_sys4(SYS_pwrite64, fd, (long)data, (long)bytes, (long)offset);

		if (written <= 0)
			return written ? (int)written : -EIO;
		data += written;
		bytes -= (uint64_t)written;
		offset += (uint64_t)written;
	}
	return 0;
}

static int fill(int fd, const uint8_t page[FORT_PAGE_BYTES], uint64_t bytes, uint64_t offset)
{
	int err = 0;

	for (uint64_t at = 0; !err && at < bytes; at += FORT_PAGE_BYTES) {
		uint64_t part = bytes - at < FORT_PAGE_BYTES ? bytes - at : FORT_PAGE_BYTES;

		err = write_at(fd, page, part, offset + at);
	}
	return err;
}

/* Where things of a line are in the file: addresses first. */
static uint64_t slots_at(uint32_t line)
{
	return (uint64_t)line * LINE_BYTES;
}

static uint64_t code_at(uint32_t line)
{
	return PACK_BYTES + (uint64_t)line * LINE_BYTES;
}

static int make_file(void)
{
	int fd = fort_x64_file_new(), err;

	if (fd < 0)
		return fd;
	err = (int)fort_sys2(SYS_ftruncate, fd, 2 * PACK_BYTES);
	err = err ? err : fill(fd, traps, PACK_BYTES, code_at(0));
	if (!err)
		err = (int)fort_sys3(SYS_fcntl, fd, F_ADD_SEALS,
				     F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	if (err)
		fort_sys1(SYS_close, fd);
	return err ? err : fd;
}

static int note_identity(struct fort_code_pack *pack)
{
	struct stat status;
	int err = (int)fort_sys2(SYS_fstat, pack->fd, (long)&status);

	pack->device = status.st_dev;
	pack->inode = status.st_ino;
	return err;
}

static bool is_writable(const struct fort_code_pack *pack)
{
	struct stat status;

	return !pack->retired && *pack->pool->ours &&
	       !fort_sys2(SYS_fstat, pack->fd, (long)&status) && status.st_dev == pack->device &&
	       status.st_ino == pack->inode;
}

/* --- packs --- */

static int map_pack(struct fort_code_pack *pack)
{
	char path[32];
	long fd;
	int err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pack->fd);
	fd = fort_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	err = fort_x64_map((int)fd, PACK_BYTES, PACK_BYTES, &pack->reserved);
	fort_sys1(SYS_close, fd);
	if (err)
		return err;
	pack->code = pack->reserved + FORT_PAGE_BYTES + PACK_BYTES;
	return (int)fort_sys3(SYS_madvise, (long)pack->reserved, RESERVED, MADV_DONTFORK);
}

static void close_pack(struct fort_code_pack *pack)
{
	struct stat status;

	if (pack->reserved && *pack->pool->ours) /* else it is not mapped, or something else is */
		fort_sys2(SYS_munmap, (long)pack->reserved, RESERVED);
	if (pack->fd >= 0 && !fort_sys2(SYS_fstat, pack->fd, (long)&status) &&
	    status.st_dev == pack->device && status.st_ino == pack->inode)
		fort_sys1(SYS_close, pack->fd);
	free(pack);
}

static int open_pack(struct fort_code_pool *pool)
{
	struct fort_code_pack *pack = calloc(1, sizeof(*pack));
	int err;

	if (!pack)
		return -ENOMEM;
	pack->pool = pool;
	pack->fd = make_file();
	err = pack->fd < 0 ? pack->fd : note_identity(pack);
	err = err ? err : map_pack(pack);
	if (err) {
		close_pack(pack);
		return err;
	}
	pack->next = pool->packs;
	pool->packs = pack;
	pool->n_packs++;
	return 0;
}

static int mark_ours(struct fort_code_pool *pool)
{
	void *page;
	int err = fort_pages_alloc(FORT_PAGE_BYTES, &page);

	if (err)
		return err;
	err = (int)fort_sys3(SYS_madvise, (long)page, FORT_PAGE_BYTES, MADV_WIPEONFORK);
	if (err) {
		fort_pages_free(page, FORT_PAGE_BYTES);
		return err;
	}
	pool->ours = page;
	*pool->ours = 1;
	return 0;
}

static int add_pack(struct fort_code_pool *pool)
{
	int err = 0;

	if (pool->refused || pool->n_packs == FORT_CODE_PACKS_MAX)
		return -ENOSPC;
	if (!pool->ours) {
		err = (int)fort_sys3(SYS_membarrier,
				     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
		err = err ? err : mark_ours(pool);
	}
	err = err ? err : open_pack(pool);
	pool->refused = err && err != -ENOMEM && err != -EMFILE && err != -ENFILE;
	return err;
}

int fort_code_pool_open(struct fort_code_pool **out)
{
	struct fort_code_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	*out = pool;
	return 0;
}

void fort_code_pool_close(struct fort_code_pool *pool)
{
	if (!pool)
		return;
	while (pool->packs) {
		struct fort_code_pack *pack = pool->packs;

		pool->packs = pack->next;
		close_pack(pack);
	}
	fort_pages_free(pool->ours, FORT_PAGE_BYTES);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* --- pieces --- */

/* The first line from `at` on that is used, or is not. */
static uint32_t next_line(const struct fort_code_pack *pack, uint32_t at, bool used)
{
	while (at < LINES) {
		uint64_t word = used ? pack->used[at / 64] : ~pack->used[at / 64];

		word &= ~0ull << at % 64;
		if (word)
			return at / 64 * 64 + (uint32_t)__builtin_ctzll(word);
		at = (at / 64 + 1) * 64;
	}
	return LINES;
}

/* LINES: there is no room. */
static uint32_t find_lines(const struct fort_code_pack *pack, uint32_t n)
{
	for (uint32_t at = 0; pack->n_used + n <= LINES && at < LINES;) {
		uint32_t first = next_line(pack, at, false), end = next_line(pack, first, true);

		if (end - first >= n)
			return first;
		at = end;
	}
	return LINES;
}

static void set_lines(struct fort_code_pack *pack, uint32_t first, uint32_t n, bool used)
{
	for (uint32_t line = first; line < first + n; line++) {
		uint64_t bit = 1ull << line % 64;

		if (used)
			pack->used[line / 64] |= bit;
		else
			pack->used[line / 64] &= ~bit;
	}
	pack->n_used = used ? pack->n_used + n : pack->n_used - n;
}

static bool take(struct fort_code_pack *pack, uint32_t n, uint64_t slot_bytes,
		 struct fort_code_piece *out)
{
	uint32_t first = pack->retired ? LINES : find_lines(pack, n);
	uint64_t bytes = (uint64_t)n * LINE_BYTES;

	if (first == LINES)
		return false;
	set_lines(pack, first, n, true);
	pack->n_pieces++;
	*out = (struct fort_code_piece){.pack = pack,
					.first = first,
					.n = n,
					.code = pack->code + (uint64_t)first * LINE_BYTES,
					.bytes = bytes,
					.slot_bytes = slot_bytes,
					.gap = PACK_BYTES - bytes};
	return true;
}

static int take_any(struct fort_code_pool *pool, uint32_t n, uint64_t slot_bytes,
		    struct fort_code_piece *out)
{
	int err;

	if (pool->ours && !*pool->ours)
		return -ESTALE;
	for (struct fort_code_pack *pack = pool->packs; pack; pack = pack->next)
		if (take(pack, n, slot_bytes, out))
			return 0;
	err = add_pack(pool);
	if (!err && !take(pool->packs, n, slot_bytes, out))
		err = -ENOSPC;
	return err;
}

int fort_code_pool_take(struct fort_code_pool *pool, uint64_t code_bytes, uint64_t slot_bytes,
			struct fort_code_piece *out)
{
	uint64_t bytes =
		code_bytes + TRAP_BYTES > slot_bytes ? code_bytes + TRAP_BYTES : slot_bytes;
	uint64_t n = fort_round_up(bytes, LINE_BYTES) / LINE_BYTES;
	int err;

	if (n > PIECE_LINES_MAX)
		return -E2BIG;
	pthread_mutex_lock(&pool->lock);
	err = take_any(pool, (uint32_t)n, slot_bytes, out);
	pthread_mutex_unlock(&pool->lock);
	return err;
}

static int write_piece(const struct fort_code_piece *piece, const uint8_t *code,
		       const uint8_t *slots)
{
	struct fort_code_pack *pack = piece->pack;
	int err;

	if (!is_writable(pack))
		return -ESTALE;
	err = write_at(pack->fd, slots, piece->slot_bytes,
		       slots_at(piece->first + piece->n) - piece->slot_bytes);
	err = err ? err : write_at(pack->fd, code, piece->bytes, code_at(piece->first));
	if (!err)
		err = (int)fort_sys3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0,
				     0);
	return err;
}

int fort_code_piece_write(const struct fort_code_piece *piece, const uint8_t *code,
			  const uint8_t *slots)
{
	struct fort_code_pool *pool = piece->pack->pool;
	int err;

	pthread_mutex_lock(&pool->lock);
	err = write_piece(piece, code, slots);
	pthread_mutex_unlock(&pool->lock);
	return err;
}

/* One empty pack may stay; what was retired goes with its last piece. */
static void drop_empty(struct fort_code_pool *pool, struct fort_code_pack *pack)
{
	bool other = false;

	for (const struct fort_code_pack *p = pool->packs; p; p = p->next)
		other |= p != pack && !p->n_pieces;
	if (pack->n_pieces || (!pack->retired && !other))
		return;
	for (struct fort_code_pack **at = &pool->packs; *at; at = &(*at)->next)
		if (*at == pack) {
			*at = pack->next;
			pool->n_packs--;
			close_pack(pack);
			return;
		}
}

/* What cannot be filled with traps is never given away again. */
static void poison(const struct fort_code_piece *piece)
{
	struct fort_code_pack *pack = piece->pack;

	if (!is_writable(pack) || fill(pack->fd, traps, piece->bytes, code_at(piece->first)) ||
	    fill(pack->fd, zeroes, piece->slot_bytes,
		 slots_at(piece->first + piece->n) - piece->slot_bytes))
		pack->retired = true;
}

void fort_code_piece_give(struct fort_code_piece *piece)
{
	struct fort_code_pool *pool = piece->pack->pool;

	pthread_mutex_lock(&pool->lock);
	poison(piece);
	set_lines(piece->pack, piece->first, piece->n, false);
	piece->pack->n_pieces--;
	drop_empty(pool, piece->pack);
	pthread_mutex_unlock(&pool->lock);
	*piece = (struct fort_code_piece){0};
}

/* --- forks --- */

void fort_code_pool_before_fork(struct fort_code_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	for (struct fort_code_pack *pack = pool->packs; pack; pack = pack->next) {
		pack->retired = true;
		fort_sys3(SYS_madvise, (long)pack->reserved, RESERVED, MADV_DOFORK);
	}
}

void fort_code_pool_after_fork(struct fort_code_pool *pool, bool child)
{
	if (child && pool->ours)
		*pool->ours = 1;
	pthread_mutex_unlock(&pool->lock);
}
