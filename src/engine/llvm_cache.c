#include "engine/llvm_cache.h"

#include <cpuid.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/x64_run.h"

/* Counts what the engine makes of the same program. */
#define VERSION "bpfort llvm 19 code 5"

#define NAME_BYTES (2 * FORT_SHA256_BYTES + 32)

/* --- what an object depends on --- */

static void add_word(struct fort_sha256 *hash, uint64_t word)
{
	fort_sha256_add(hash, &word, sizeof(word));
}

static void add_processor(struct fort_sha256 *hash)
{
	static const uint32_t leaves[][2] = {{0, 0}, {1, 0}, {7, 0}, {7, 1}, {0x80000001, 0}};

	for (unsigned i = 0; i < FORT_LEN(leaves); i++) {
		uint32_t a = 0, b = 0, c = 0, d = 0;

		__get_cpuid_count(leaves[i][0], leaves[i][1], &a, &b, &c, &d);
		if (leaves[i][0] == 1)
			b &= 0xffff; /* the rest says on which processor we are */
		add_word(hash, (uint64_t)a << 32 | b);
		add_word(hash, (uint64_t)c << 32 | d);
	}
}

/* What code knows of the host: where things are in structures, and what numbers mean. */
static void add_engine(struct fort_sha256 *hash)
{
	fort_sha256_add(hash, VERSION, sizeof(VERSION));
	for (unsigned row = 0; row < FORT_ROWS; row++)
		add_word(hash, (uint64_t)fort_rows[row].opcode << 24 | fort_rows[row].kind << 16 |
				       fort_rows[row].op << 8 | fort_rows[row].bits);
	add_word(hash, offsetof(struct fort_run, fuel));
	add_word(hash, offsetof(struct fort_run, abort.code));
	add_word(hash, offsetof(struct fort_run, services));
	add_word(hash, offsetof(struct fort_x64_entry, number));
	add_word(hash, FORT_ABORT_CODES);
	add_word(hash, FORT_STACK_BYTES);
	add_word(hash, __rseq_size ? (uint64_t)__rseq_offset : 0);
}

static void add_maps(struct fort_sha256 *hash, const struct fort_compile *request)
{
	const struct fort_domain *domain = request->domain;

	add_word(hash, domain->n_maps);
	for (uint32_t i = 0; i < domain->n_maps; i++) {
		struct fort_map_lookup lookup = {0};

		if (request->lookups)
			lookup = request->lookups[i];
		add_word(hash, (uint64_t) !!domain->map_start[i] << 32 | lookup.n);
		add_word(hash, (uint64_t)lookup.n_cpus << 32 | lookup.stride);
		add_word(hash, lookup.cpu_bytes);
		add_word(hash, lookup.function != NULL);
	}
}

static void add_helper(struct fort_sha256 *hash, const struct fort_compile *request,
		       uint32_t number)
{
	struct fort_helper_shape shape = {0};
	bool there = request->helper(number);

	if (there && request->shape)
		shape = request->shape(number);
	add_word(hash, (uint64_t)there << 16 | shape.inlines);
	add_word(hash, shape.offset);
}

static void add_program(struct fort_sha256 *hash, const struct fort_compile *request)
{
	const struct fort_program *program = request->program;

	add_word(hash, (uint64_t)request->isolation << 32 | request->callx);
	add_word(hash, program->n_insns);
	add_word(hash, program->n_subprogs);
	for (uint32_t i = 0; i < program->n_subprogs; i++)
		add_word(hash,
			 (uint64_t)program->subprogs[i].start << 32 | program->subprogs[i].end);
	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		const struct fort_insn *insn = &program->insns[pc];

		add_word(hash, (uint64_t)insn->row << 32 | insn->dst << 24 | insn->src << 16 |
				       (uint16_t)insn->off);
		add_word(hash, (uint64_t)insn->imm);
		if (insn->kind == FORT_CALL && insn->op == FORT_OP_HELPER)
			add_helper(hash, request, (uint32_t)insn->imm);
	}
}

/* --- files --- */

/* Nobody but this user may have written it. */
static bool is_ours(int fd, mode_t type, mode_t forbidden, uint64_t *bytes)
{
	struct stat status;

	if (fstat(fd, &status) || status.st_uid != geteuid() || geteuid() != getuid() ||
	    (status.st_mode & S_IFMT) != type || status.st_mode & forbidden)
		return false;
	*bytes = (uint64_t)status.st_size;
	return true;
}

static void name_of(const struct fort_llvm_cache *cache, char out[NAME_BYTES], pid_t writer)
{
	int at = 0;

	for (unsigned i = 0; i < FORT_SHA256_BYTES; i++)
		at += snprintf(out + at, NAME_BYTES - (size_t)at, "%02x", cache->key[i]);
	if (writer)
		snprintf(out + at, NAME_BYTES - (size_t)at, ".%d", (int)writer);
	else
		snprintf(out + at, NAME_BYTES - (size_t)at, ".o");
}

static void digest(const struct fort_llvm_cache *cache, const void *object, size_t bytes,
		   uint8_t out[FORT_SHA256_BYTES])
{
	struct fort_sha256 hash;

	fort_sha256_init(&hash);
	fort_sha256_add(&hash, cache->key, sizeof(cache->key));
	fort_sha256_add(&hash, object, bytes);
	fort_sha256_end(&hash, out);
}

static bool read_file(int fd, uint64_t bytes, struct fort_buf *out)
{
	uint8_t part[16384];

	while (bytes && !out->err) {
		ssize_t n = read(fd, part, bytes < sizeof(part) ? bytes : sizeof(part));

		if (n <= 0)
			return false;
		fort_buf_put(out, part, (size_t)n);
		bytes -= (uint64_t)n;
	}
	return !out->err;
}

static bool write_all(int fd, const uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, data, bytes);

		if (n <= 0)
			return false;
		data += n;
		bytes -= (size_t)n;
	}
	return true;
}

void fort_llvm_cache_open(const struct fort_compile *request, struct fort_llvm_cache *out)
{
	struct fort_sha256 hash;
	uint64_t bytes;

	out->directory = -1;
	if (!request->cache)
		return;
	fort_sha256_init(&hash);
	add_engine(&hash);
	add_processor(&hash);
	add_maps(&hash, request);
	add_program(&hash, request);
	fort_sha256_end(&hash, out->key);
	if (mkdir(request->cache, 0700)) {
		/* It may be there; opening tells. */
	}
	out->directory = open(request->cache, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out->directory >= 0 && !is_ours(out->directory, S_IFDIR, 022, &bytes))
		fort_llvm_cache_close(out);
}

void fort_llvm_cache_close(struct fort_llvm_cache *cache)
{
	if (cache->directory >= 0)
		close(cache->directory);
	cache->directory = -1;
}

bool fort_llvm_cache_get(const struct fort_llvm_cache *cache, struct fort_buf *out)
{
	uint8_t expected[FORT_SHA256_BYTES], found[FORT_SHA256_BYTES];
	char name[NAME_BYTES];
	uint64_t bytes;
	bool good;
	int fd;

	if (cache->directory < 0)
		return false;
	name_of(cache, name, 0);
	fd = openat(cache->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	good = is_ours(fd, S_IFREG, 077, &bytes) && bytes > sizeof(expected) &&
	       bytes <= FORT_LLVM_BYTES_MAX &&
	       read(fd, expected, sizeof(expected)) == sizeof(expected) &&
	       read_file(fd, bytes - sizeof(expected), out);
	close(fd);
	if (!good)
		return false;
	digest(cache, out->data, out->bytes, found);
	return !memcmp(found, expected, sizeof(found));
}

/* Written elsewhere first, so that readers see all of it or nothing. */
void fort_llvm_cache_put(const struct fort_llvm_cache *cache, const struct fort_buf *object)
{
	char name[NAME_BYTES], draft[NAME_BYTES];
	uint8_t hash[FORT_SHA256_BYTES];
	bool good;
	int fd;

	if (cache->directory < 0)
		return;
	name_of(cache, name, 0);
	name_of(cache, draft, getpid());
	fd = openat(cache->directory, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return;
	digest(cache, object->data, object->bytes, hash);
	good = write_all(fd, hash, sizeof(hash)) && write_all(fd, object->data, object->bytes);
	close(fd);
	if (!good || renameat(cache->directory, draft, cache->directory, name))
		unlinkat(cache->directory, draft, 0);
}
