/* The same program, run by the kernel (BPF_PROG_TEST_RUN) and by our interpreter with our helpers
 * and maps: every result and every byte that it leaves must agree. Needs root.
 *
 * Programs are raw_tracepoint ones, generated as assembly text. Map 0 takes results: r9 points to
 * its value, slot n of 8 bytes is the n-th answer.
 */
#include "helper_test.h"
#include "machine.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "base/text.h"

#define RESULT_BYTES 16384u
#define MAPS_MAX     3u

static struct fort_shared *shared;

/* Two worlds with the same maps, and the program for both. */
struct trial {
	struct fort_map_shape shapes[MAPS_MAX];
	int kernel[MAPS_MAX]; /* map descriptors */
	struct world world;
	uint32_t n_maps;
	struct fort_text source;
	uint32_t n_slots; /* of results used so far */
	uint8_t *ours, *theirs;
};

static int create_in_kernel(const struct fort_map_shape *shape)
{
	union bpf_attr attr = {.map_type = shape->type,
			       .key_size = shape->key_bytes,
			       .value_size = shape->value_bytes,
			       .max_entries = shape->max_entries,
			       .map_flags = shape->flags};

	return (int)kernel_bpf(BPF_MAP_CREATE, &attr, sizeof(attr));
}

static void trial_begin(struct trial *t, const struct fort_map_shape *others, uint32_t n_others)
{
	struct fort_map *maps[MAPS_MAX];

	*t = (struct trial){.n_maps = 1 + n_others, .source = fort_text_new()};
	t->shapes[0] = (struct fort_map_shape){BPF_MAP_TYPE_ARRAY, 4, RESULT_BYTES, 1, 0, 0};
	for (uint32_t i = 0; i < n_others; i++)
		t->shapes[1 + i] = others[i];
	for (uint32_t i = 0; i < t->n_maps; i++) {
		t->kernel[i] = create_in_kernel(&t->shapes[i]);
		assert_true(t->kernel[i] >= 0);
		assert_int_equal(fort_map_create(&t->shapes[i], "oracle", shared, &maps[i]), 0);
	}
	world_open(&t->world, shared, maps, t->n_maps);
	t->ours = t->world.maps[0]->values;
	t->theirs = calloc(1, RESULT_BYTES);
	fort_text_add(&t->source, "lddw r9, map_idx_value 0, 0\n");
}

static void trial_end(struct trial *t)
{
	for (uint32_t i = 0; i < t->n_maps; i++)
		close(t->kernel[i]);
	world_close(&t->world);
	fort_text_free(&t->source);
	free(t->theirs);
}

/* The next result slot: r0. */
static void keep_r0(struct trial *t)
{
	fort_text_add(&t->source, "stxdw [r9+%u], r0\n", 8 * t->n_slots++);
	assert_in_range(t->n_slots, 1, RESULT_BYTES / 8);
}

static void run_in_kernel(struct trial *t, const struct fort_assembly *assembly)
{
	static char log[1 << 20];
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT,
		.insns = (uint64_t)(uintptr_t)assembly->insns,
		.insn_cnt = assembly->n_insns,
		.license = (uint64_t)(uintptr_t) "GPL",
		.log_level = 1,
		.log_size = sizeof(log),
		.log_buf = (uint64_t)(uintptr_t)log,
		.fd_array = (uint64_t)(uintptr_t)t->kernel,
	};
	int fd = (int)kernel_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	uint32_t zero = 0;
	long err;

	if (fd < 0)
		print_error("the kernel refuses (%d):\n%.3000s\n", fd, log);
	assert_true(fd >= 0);
	attr = (union bpf_attr){.test = {.prog_fd = (uint32_t)fd}};
	err = kernel_bpf(BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	assert_int_equal(err, 0);
	close(fd);
	attr = (union bpf_attr){.map_fd = (uint32_t)t->kernel[0],
				.key = (uint64_t)(uintptr_t)&zero,
				.value = (uint64_t)(uintptr_t)t->theirs};
	assert_int_equal(kernel_bpf(BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)), 0);
}

/* Runs the program in both; results are then in t->ours and t->theirs. */
static void trial_run(struct trial *t)
{
	struct world *w = &t->world;
	struct fort_assembly assembly;
	struct fort_asm_error error;
	struct machine m;

	fort_text_add(&t->source, "mov r0, 0\nexit\n");
	machine_load(&m, t->source.data, NULL, 0);
	assert_int_equal(
		fort_assemble(&m.arena, t->source.data, t->source.length, &assembly, &error), 0);
	run_in_kernel(t, &assembly);
	fort_domain_close(&m.domain);
	m.domain = w->domain; /* the one with maps */
	m.helper = fort_helper_function;
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	w->run.fuel = MACHINE_FUEL;
	w->run.abort = (struct fort_abort){0};
	fort_services_enter(&w->services);
	fort_engine_interp.run(m.code, &w->run);
	fort_services_leave(&w->services);
	fort_run_release_all(&w->run);
	if (w->run.abort.code)
		print_error("aborted: %s, detail %u, at %u\n", fort_abort_name(w->run.abort.code),
			    w->run.abort.detail, w->run.abort.pc);
	assert_int_equal(w->run.abort.code, FORT_ABORT_NONE);
	fort_engine_interp.free(m.code);
	fort_arena_free(&m.arena);
}

static void same_results(const struct trial *t)
{
	for (uint32_t i = 0; i < RESULT_BYTES / 8; i++) {
		uint64_t ours, theirs;

		memcpy(&ours, t->ours + 8 * i, 8);
		memcpy(&theirs, t->theirs + 8 * i, 8);
		if (ours != theirs)
			print_error("result %u of %u: ours %#lx, the kernel's %#lx\n%s\n", i,
				    t->n_slots, (unsigned long)ours, (unsigned long)theirs,
				    t->source.data);
		assert_int_equal(ours, theirs);
	}
}

/* --- maps --- */

static void element_call(struct trial *t, struct rng *rng, uint32_t max_entries)
{
	static const uint64_t flags[] = {0, 0, 0, 1, 2, 3, 4, 1ull << 32, UINT64_MAX};
	uint32_t key =
		rng_below(rng, 40) ? rng_below(rng, max_entries + max_entries / 4 + 2) : UINT32_MAX;

	fort_text_add(&t->source, "stw [r10-8], %d\nlddw r1, map_idx 1\nmov r2, r10\nadd r2, -8\n",
		      (int)key);
	switch (rng_below(rng, 4)) {
	case 0:
	case 1:
		fort_text_add(&t->source,
			      "stdw [r10-24], %u\nstdw [r10-16], %u\nmov r3, r10\nadd r3, -24\n"
			      "lddw r4, 0x%llx\ncall 2\n",
			      rng_below(rng, 1000), rng_below(rng, 1000),
			      (unsigned long long)flags[rng_below(rng, FORT_LEN(flags))]);
		break;
	case 2: fort_text_add(&t->source, "call 3\n"); break;
	default:
		fort_text_add(&t->source, "call 1\njeq r0, 0, +2\nldxdw r0, [r0+0]\nja +1\n"
					  "mov r0, -1\n");
	}
	keep_r0(t);
}

static void map_calls(void **state)
{
	static const struct fort_map_shape shapes[] = {
		{BPF_MAP_TYPE_ARRAY, 4, 16, 10, 0, 0},
		{BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 10, 0, 0},
		{BPF_MAP_TYPE_HASH, 4, 16, 10, 0, 0},
		{BPF_MAP_TYPE_HASH, 4, 16, 1, 0, 0},
		{BPF_MAP_TYPE_HASH, 4, 16, 200, BPF_F_NO_PREALLOC, 0},
	};

	for (uint32_t i = 0; i < 2 * FORT_LEN(shapes); i++) {
		const struct fort_map_shape *shape = &shapes[i % FORT_LEN(shapes)];
		struct rng rng = {i};
		struct trial t;

		trial_begin(&t, shape, 1);
		for (unsigned n = 0; n < 500; n++)
			element_call(&t, &rng, shape->max_entries);
		trial_run(&t);
		same_results(&t);
		trial_end(&t);
	}
}

/* --- rings --- */

static void ring_reserve(struct trial *t, struct rng *rng)
{
	uint32_t size = rng_below(rng, 4) ? rng_below(rng, 120) : rng_below(rng, 5000);
	uint32_t slot = 8 * t->n_slots++;

	fort_text_add(&t->source,
		      "stdw [r9+%u], 0\nlddw r1, map_idx 1\nmov r2, %u\nmov r3, %u\ncall 131\n"
		      "jeq r0, 0, +%u\n",
		      slot, size, rng_below(rng, 20) == 0, size >= 8 ? 5 : 4);
	if (size >= 8)
		fort_text_add(&t->source, "stdw [r0+0], %u\n", rng_below(rng, 100000));
	fort_text_add(&t->source, "mov r1, r0\nmov r2, %u\ncall %u\nstdw [r9+%u], 1\n",
		      rng_below(rng, 4), rng_below(rng, 4) ? 132 : 133, slot);
}

static void ring_output(struct trial *t, struct rng *rng)
{
	uint32_t size = rng_below(rng, 25);

	fort_text_add(&t->source,
		      "stdw [r10-24], %u\nstdw [r10-16], %u\nstdw [r10-8], %u\nlddw r1, map_idx 1\n"
		      "mov r2, r10\nadd r2, -24\nmov r3, %u\nmov r4, %u\ncall 130\n",
		      rng_below(rng, 100000), rng_below(rng, 100000), rng_below(rng, 100000), size,
		      rng_below(rng, 6));
	keep_r0(t);
}

static void same_rings(const struct trial *t)
{
	const struct fort_ring *ring = &t->world.maps[1]->ring;
	const uint8_t *theirs =
		mmap(NULL, 4096 + 2 * ring->bytes, PROT_READ, MAP_SHARED, t->kernel[1], 4096);
	uint64_t end = *ring->producer_pos;

	assert_ptr_not_equal(theirs, MAP_FAILED);
	assert_int_equal(end, *(const uint64_t *)theirs);
	for (uint64_t at = 0; at < end;) {
		const struct fort_ring_header *mine = (const void *)(ring->data + at);
		const struct fort_ring_header *other = (const void *)(theirs + 4096 + at);
		uint32_t bytes = mine->length & ~BPF_RINGBUF_DISCARD_BIT;

		assert_int_equal(mine->length, other->length);
		assert_memory_equal(mine + 1, other + 1, bytes);
		at += fort_round_up(bytes + 8, 8);
	}
	munmap((void *)(uintptr_t)theirs, 4096 + 2 * ring->bytes);
}

static void ring_calls(void **state)
{
	const struct fort_map_shape shape = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 0};

	for (uint32_t i = 0; i < 10; i++) {
		struct rng rng = {i};
		struct trial t;

		trial_begin(&t, &shape, 1);
		for (unsigned n = 0; n < 100; n++) {
			uint32_t choice = rng_below(&rng, 8);

			if (choice < 3) {
				ring_reserve(&t, &rng);
			} else if (choice < 6) {
				ring_output(&t, &rng);
			} else {
				fort_text_add(&t.source,
					      "lddw r1, map_idx 1\nmov r2, %u\ncall 134\n",
					      rng_below(&rng, 6));
				keep_r0(&t);
			}
		}
		trial_run(&t);
		same_results(&t);
		same_rings(&t);
		trial_end(&t);
	}
}

/* --- identity --- */

static void identity(void **state)
{
	static const char *const names[] = {"", "a", "fifteen_letters"};
	char before[16];

	prctl(PR_GET_NAME, before);
	for (uint32_t i = 0; i < FORT_LEN(names); i++) {
		struct trial t;

		prctl(PR_SET_NAME, names[i]);
		trial_begin(&t, NULL, 0);
		fort_text_add(&t.source, "call 14\n");
		keep_r0(&t);
		fort_text_add(&t.source, "call 15\n");
		keep_r0(&t);
		fort_text_add(&t.source, "call 8\n");
		keep_r0(&t);
		for (uint32_t size = 1; size < 40; size += size < 20 ? 1 : 9) {
			fort_text_add(&t.source, "mov r1, r9\nadd r1, %u\nmov r2, %u\ncall 16\n",
				      1000 + 64 * size, size);
			keep_r0(&t);
		}
		trial_run(&t);
		same_results(&t);
		trial_end(&t);
	}
	prctl(PR_SET_NAME, before);
}

/* --- reading memory --- */

static void probe_calls(void **state)
{
	const uint32_t page = 4096;
	char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rng rng = {3};

	assert_ptr_not_equal(at, MAP_FAILED);
	for (uint32_t i = 0; i < page; i++)
		at[i] = (char)(rng_below(&rng, 40) ? 'a' + i % 26 : 0);
	assert_int_equal(mprotect(at + page, page, PROT_NONE), 0);
	for (uint32_t round = 0; round < 20; round++) {
		struct trial t;

		trial_begin(&t, NULL, 0);
		for (unsigned n = 0; n < 60; n++) {
			uint32_t size = rng_below(&rng, 200);
			uint64_t from = (uint64_t)(uintptr_t)at + page - rng_below(&rng, 300);

			if (!rng_below(&rng, 10))
				from = rng_below(&rng, 2) ? rng_next(&rng) : rng_below(&rng, 5000);
			fort_text_add(&t.source,
				      "mov r1, r9\nadd r1, %u\nmov r2, %u\nlddw r3, 0x%llx\n"
				      "call %u\n",
				      4000 + 200 * n, size, (unsigned long long)from,
				      rng_below(&rng, 2) ? 112 : 114);
			keep_r0(&t);
		}
		trial_run(&t);
		same_results(&t);
		trial_end(&t);
	}
	munmap(at, 2 * page);
}

/* --- printing --- */

#define FORMAT_BYTES  96u
#define FORMATS       48u
#define STRINGS_START 8192u /* in the value of map 1, behind the formats */

/* What a format's conversions take decides what may be given to them: a number of the program's
 * memory, or of ours, is another one in the kernel; %pus reads user memory only and %pI the
 * kernel's, which for us is the program's. */
enum taste { WORDS, STRINGS, USER_STRINGS, ADDRESSES, TASTES };

#define CONVERSIONS_MAX 80u

static const char *const conversions[TASTES][CONVERSIONS_MAX] = {
	[WORDS] = {"%d",     "%i",    "%u",      "%x",    "%X",    "%ld",  "%lu",    "%lx",
		   "%lX",    "%lld",  "%llu",    "%llx",  "%li",   "%lli", "%c",     "%s",
		   "%p",     "%px",   "%pK",     "%ps",   "%pS",   "%pB",  "%5d",    "%-5d|",
		   "%05d",   "%+d",   "% d",     "%+5x",  "%08x",  "%-8x", "%012p",  "%20p",
		   "%-20px", "%24pS", "%-24ps|", "%5c",   "%-5c|", "%20s", "%-20s|", "%-+ 07d",
		   "%0-5d",  "%%",    "%%%d",    "%lls",  "%lc",   "%hd",  "%hhx",   "%f",
		   "%.3d",   "%*d",   "%n",      "%o",    "%e",    "%#x",  "%",      "%5",
		   "%l",     "%ll",   "%lll",    "%llld", "%zu",   "%pI",  "%pI5",   "%pM",
		   "%pk",    "%pu",   "%pq",     "%sx",   "%dx",   "%pxx", "%p4",    "%1000d",
		   "%300x"},
	[STRINGS] = {"%s", "%20s", "%-20s|", "%020s", "%-1000s"},
	[USER_STRINGS] = {"%pus", "%s", "%9pus", "%pus,"},
	[ADDRESSES] = {"%pI4", "%pi4", "%pI6", "%pi6", "%9pI4", "%pI4z", "%-50pi6"},
};

struct format {
	char text[FORMAT_BYTES];
	bool hashed; /* prints an address as %p does: its text is nobody's business */
	enum taste taste;
};

static const char *const plain[] = {"",     " ",    "a",    "text ",    ": ",   "\n",
				    "\t",   "\x01", "\x7f", "\xc3\xa9", "\xa9", "\xa0",
				    "\x80", "\xd7", "9",    ".",        ",",    "%%"};

static void make_format(struct format *format, struct rng *rng, uint32_t number)
{
	struct fort_text text = fort_text_on(format->text, FORMAT_BYTES);
	uint32_t pieces = 1 + rng_below(rng, 4), n_choices = 0;

	fort_text_add(&text, "@%u@", number);
	format->taste = rng_below(rng, 2) ? WORDS : rng_below(rng, TASTES);
	while (conversions[format->taste][n_choices])
		n_choices++;
	for (uint32_t i = 0; i < pieces; i++) {
		fort_text_add(&text, "%s", plain[rng_below(rng, FORT_LEN(plain))]);
		fort_text_add(&text, "%s", conversions[format->taste][rng_below(rng, n_choices)]);
	}
	format->hashed = false;
	for (const char *at = format->text; (at = strchr(at, 'p')); at++)
		format->hashed |= !strchr("xsSBiIu", at[1]) || !at[1];
}

/* Words, strings of the process, and memory of the program. */
static void format_argument(struct trial *t, struct rng *rng, unsigned reg, enum taste taste)
{
	static const uint64_t words[] = {0,          1,           42,         UINT32_MAX,
					 1ull << 31, 1ull << 32,  1ull << 63, UINT64_MAX,
					 'A',        0x1234567890};
	static const char *const strings[] = {
		"", "x", "a string", "with\nnewline",
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789"
		"0123456789012345678901234567890123456789012345678901234567890123456789"};
	bool own = taste == STRINGS || taste == ADDRESSES, user = taste != ADDRESSES;
	uint32_t choice = rng_below(rng, 3);
	uint64_t word = words[rng_below(rng, FORT_LEN(words))];

	if (choice == 2 && own) {
		fort_text_add(&t->source, "mov r%u, r8\nadd r%u, %u\n", reg, reg,
			      STRINGS_START + 8 * rng_below(rng, 64));
		return;
	}
	if (choice && user)
		word = (uint64_t)(uintptr_t)strings[rng_below(rng, FORT_LEN(strings))];
	fort_text_add(&t->source, "lddw r%u, 0x%llx\n", reg, (unsigned long long)word);
}

/* The formats and what strings are made of, as the value of map 1 in both worlds. */
static void store_formats(struct trial *t, const struct format *formats, struct rng *rng)
{
	static uint8_t value[RESULT_BYTES];
	uint32_t zero = 0;
	union bpf_attr attr = {.map_fd = (uint32_t)t->kernel[1],
			       .key = (uint64_t)(uintptr_t)&zero,
			       .value = (uint64_t)(uintptr_t)value};

	memset(value, 0, sizeof(value));
	for (uint32_t i = 0; i < FORMATS; i++)
		memcpy(value + FORMAT_BYTES * i, formats[i].text, FORMAT_BYTES);
	for (uint32_t i = 0; i < 600; i++)
		value[STRINGS_START + i] =
			(uint8_t)(rng_below(rng, 12) ? ' ' + rng_below(rng, 90) : 0);
	assert_int_equal(kernel_bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)), 0);
	assert_int_equal(fort_map_update(t->world.maps[1], &zero, value, 0), 0);
}

/* All that the kernel's trace holds; "" without one. */
static int trace_pipe = -1;

static const char *kernel_trace(void)
{
	static char text[1 << 20];
	size_t length = 0;
	ssize_t got;

	while (trace_pipe >= 0 && length < sizeof(text) - 1 &&
	       (got = read(trace_pipe, text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = 0;
	return text;
}

/* Our lines, against the kernel's by their numbers. */
static unsigned same_lines(struct fort_map *trace, const struct format *formats)
{
	const char *theirs = kernel_trace();
	struct fort_ring_reader reader;
	char record[FORT_TRACE_RECORD_MAX + 1];
	unsigned compared = 0;
	uint32_t bytes;

	fort_ring_reader_init(&reader, trace);
	while (fort_ring_read(&reader, record, sizeof(record) - 1, &bytes) == 1) {
		const char *text = record + sizeof(struct fort_trace_line);
		char tag[16];
		const char *line;
		uint32_t number;

		record[bytes] = 0;
		assert_int_equal(sscanf(text, "@%u@", &number), 1);
		assert_in_range(number, 0, FORMATS - 1);
		snprintf(tag, sizeof(tag), "@%u@", number);
		line = strstr(theirs, tag);
		if (formats[number].hashed || !*theirs)
			continue;
		assert_non_null(line);
		if (strncmp(line, text, strlen(text)) != 0 || line[strlen(text)] != '\n')
			print_error("format '%s'\n  ours   '%s'\n  theirs '%.*s'\n",
				    formats[number].text, text, (int)strlen(text) + 4, line);
		assert_memory_equal(line, text, strlen(text));
		assert_int_equal(line[strlen(text)], '\n');
		compared++;
	}
	return compared;
}

static unsigned print_round(uint64_t seed)
{
	const struct fort_map_shape shape = {BPF_MAP_TYPE_ARRAY, 4, RESULT_BYTES, 1, 0, 0};
	static struct format formats[FORMATS];
	struct fort_map *trace;
	struct rng rng = {seed};
	struct trial t;
	unsigned compared;

	trial_begin(&t, &shape, 1);
	assert_int_equal(fort_trace_create(shared, &trace), 0);
	t.world.host.trace = trace;
	fort_text_add(&t.source, "lddw r8, map_idx_value 1, 0\n");
	for (uint32_t i = 0; i < FORMATS; i++) {
		uint32_t room;

		make_format(&formats[i], &rng, i);
		room = rng_below(&rng, 20)
			       ? FORMAT_BYTES
			       : 1 + rng_below(&rng, (uint32_t)strlen(formats[i].text) + 1);
		fort_text_add(&t.source, "mov r1, r8\nadd r1, %u\nmov r2, %u\n", FORMAT_BYTES * i,
			      room);
		for (unsigned reg = 3; reg <= 5; reg++)
			format_argument(&t, &rng, reg, formats[i].taste);
		fort_text_add(&t.source, "call 6\n");
		keep_r0(&t);
	}
	store_formats(&t, formats, &rng);
	(void)kernel_trace();
	trial_run(&t);
	for (uint32_t i = 0; i < FORMATS; i++)
		if (memcmp(t.ours + 8 * i, t.theirs + 8 * i, 8) != 0)
			print_error("format '%s': ours %ld, the kernel's %ld\n", formats[i].text,
				    ((long *)t.ours)[i], ((long *)t.theirs)[i]);
	assert_memory_equal(t.ours, t.theirs, RESULT_BYTES);
	compared = same_lines(trace, formats);
	trial_end(&t);
	fort_map_close(trace);
	return compared;
}

/* A trace of our own mount namespace: tests leave nothing mounted. */
static void open_trace(void)
{
	static const char path[] = "/sys/kernel/tracing/trace_pipe";

	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    (access(path, R_OK) && mount("bpfort", "/sys/kernel/tracing", "tracefs", 0, NULL)))
		return;
	trace_pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void print_calls(void **state)
{
	unsigned compared = 0;

	open_trace();
	for (uint64_t seed = 0; seed < 300; seed++)
		compared += print_round(seed);
	if (trace_pipe < 0)
		print_message("# no tracefs here: lengths were compared, texts were not\n");
	else
		assert_in_range(compared, 300, 300 * FORMATS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(map_calls),   cmocka_unit_test(ring_calls),
		cmocka_unit_test(identity),    cmocka_unit_test(probe_calls),
		cmocka_unit_test(print_calls),
	};
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	shared = new_shared();
	return cmocka_run_group_tests_name("helper_oracle", tests, NULL, NULL);
}
