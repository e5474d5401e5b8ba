#include "cage.h"

#include <dirent.h>

#include "isolate/signals.h"
#include "map/ring.h"

const struct fort_engine *const cage_engines[2] = {&fort_engine_interp, &fort_engine_x64};

static uint8_t in_data[CAGE_CANARY_BYTES] = {1};

static bool in_child;

void cage_is_child(void)
{
	in_child = true;
}

void cage_fail(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (in_child) {
		fprintf(stderr, "%s\n", text);
		_exit(1);
	}
	fail_msg("%s", text);
	abort(); /* it does not return */
}

/* --- areas --- */

static void add(struct cage_area *areas, uint32_t *n, const char *what, void *at, size_t bytes)
{
	assert_true(*n < CAGE_AREAS_MAX);
	areas[*n] = (struct cage_area){what, at, bytes, malloc(bytes)};
	memcpy(areas[*n].was, at, bytes);
	(*n)++;
}

static void fill(void *at, size_t bytes, uint64_t seed)
{
	struct rng rng = {seed};

	for (size_t i = 0; i + 8 <= bytes; i += 8) {
		uint64_t word = rng_next(&rng);

		memcpy((uint8_t *)at + i, &word, 8);
	}
}

static void add_map(struct cage *cage, uint32_t index)
{
	struct fort_map *map = cage->world.maps[index];

	if (map->shape.type != BPF_MAP_TYPE_HASH && map->shape.type != BPF_MAP_TYPE_RINGBUF &&
	    !(map->shape.flags & BPF_F_RDONLY_PROG))
		fill(map->values, map->values_bytes, index);
	if (map->values_bytes)
		add(cage->own, &cage->n_own, "values", map->values, map->values_bytes);
	add(cage->own, &cage->n_own, "metadata", map->meta, map->meta_bytes);
}

static void add_own(struct cage *cage)
{
	struct world *w = &cage->world;
	const struct fort_domain *domain = &w->domain;
	uint8_t *base = domain->window.base, packet[CAGE_PACKET_BYTES];

	for (uint32_t slot = 0; slot < domain->shape.n_slots; slot++) {
		uint8_t *stack = base + domain->slot_start + slot * domain->slot_stride;

		if (domain->shape.n_levels > 1)
			add(cage->own, &cage->n_own, "stacks", stack,
			    domain->shape.n_levels * FORT_LEVEL_BYTES);
		else
			add(cage->own, &cage->n_own, "stack", stack, FORT_LEVEL_STACK_BYTES);
		add(cage->own, &cage->n_own, "context", stack + domain->ctx_from_stack,
		    FORT_PAGE_BYTES); /* what it can write, not what there is */
		if (domain->shape.n_levels == 1)
			add(cage->own, &cage->n_own, "hidden memory", stack + 2 * FORT_PAGE_BYTES,
			    FORT_HIDDEN_BYTES);
	}
	fill(packet, sizeof(packet), 99);
	assert_int_equal(fort_domain_put_packet(domain, 0, packet, sizeof(packet)), 0);
	add(cage->own, &cage->n_own, "packet", base + domain->packet_start, CAGE_PACKET_BYTES);
	for (uint32_t i = 0; i < CAGE_MAPS; i++)
		add_map(cage, i);
	/* When deleted elements may be used again. */
	add(cage->own, &cage->n_own, "epochs", w->shared->table, FORT_PAGE_BYTES);
	add(cage->own, &cage->n_own, "what is known of epochs", w->shared, sizeof(*w->shared));
}

static void add_host(struct cage *cage)
{
	const struct fort_domain *other = &cage->other;
	uint8_t *stack = other->window.base + other->slot_start;

	cage->heap = malloc(CAGE_CANARY_BYTES);
	fill(cage->heap, CAGE_CANARY_BYTES, 1);
	fill(in_data, sizeof(in_data), 2);
	fill(stack, FORT_FRAMES_MAX * FORT_STACK_BYTES, 3);
	fill(other->window.base + other->packet_start, CAGE_PACKET_BYTES, 4);
	add(cage->host, &cage->n_host, "heap", cage->heap, CAGE_CANARY_BYTES);
	add(cage->host, &cage->n_host, "data", in_data, sizeof(in_data));
	add(cage->host, &cage->n_host, "another domain's stack", stack,
	    FORT_FRAMES_MAX * FORT_STACK_BYTES);
	add(cage->host, &cage->n_host, "another domain's packet",
	    other->window.base + other->packet_start, CAGE_PACKET_BYTES);
	add(cage->host, &cage->n_host, "rights of pages", cage->world.domain.window.rights,
	    (size_t)(cage->world.domain.window.next / FORT_PAGE_BYTES) + 64);
	add(cage->host, &cage->n_host, "the domain", &cage->world.domain,
	    sizeof(cage->world.domain));
	add(cage->host, &cage->n_host, "the list of maps", cage->world.maps,
	    sizeof(cage->world.maps));
}

static struct fort_map *make_map(struct fort_shared *shared, uint32_t index)
{
	switch (index) {
	case CAGE_HASH: return new_map(shared, BPF_MAP_TYPE_HASH, 8, CAGE_VALUE_BYTES, 16, 0);
	case CAGE_ARRAY: return new_map(shared, BPF_MAP_TYPE_ARRAY, 4, CAGE_VALUE_BYTES, 16, 0);
	case CAGE_PERCPU:
		return new_map(shared, BPF_MAP_TYPE_PERCPU_ARRAY, 4, CAGE_VALUE_BYTES, 4, 0);
	case CAGE_RING: return new_map(shared, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	case CAGE_RODATA:
		return new_map(shared, BPF_MAP_TYPE_ARRAY, 4, CAGE_VALUE_BYTES, 1,
			       BPF_F_RDONLY_PROG);
	case CAGE_PROGS: return new_map(shared, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, CAGE_TAILS, 0);
	default:
		return new_map(shared, BPF_MAP_TYPE_ARRAY, 4, CAGE_VALUE_BYTES, 1,
			       BPF_F_WRONLY_PROG);
	}
}

void cage_open(struct cage *cage)
{
	cage_open_levels(cage, 1);
}

void cage_open_levels(struct cage *cage, uint32_t n_levels)
{
	struct fort_domain_layout layout = {.n_slots = 1, .packet_bytes = CAGE_PACKET_BYTES};
	struct fort_shared *shared = new_shared();
	struct fort_map *maps[CAGE_MAPS];

	*cage = (struct cage){0};
	for (uint32_t i = 0; i < CAGE_MAPS; i++)
		maps[i] = make_map(shared, i);
	world_open_levels(&cage->world, shared, maps, CAGE_MAPS, n_levels);
	layout.packet_writable = true;
	assert_int_equal(fort_domain_open(&layout, NULL, 0, &cage->other), 0);
	cage->world.run.packet = (struct fort_run_packet){.start = cage->world.domain.window.base +
								   cage->world.domain.packet_start,
							  .bytes = CAGE_PACKET_BYTES,
							  .data = 14,
							  .network = 14};
	add_own(cage);
	add_host(cage);
}

void cage_close(struct cage *cage)
{
	struct fort_shared *shared = cage->world.shared;

	for (uint32_t i = 0; i < cage->n_own; i++)
		free(cage->own[i].was);
	for (uint32_t i = 0; i < cage->n_host; i++)
		free(cage->host[i].was);
	free(cage->heap);
	fort_domain_close(&cage->other);
	world_close(&cage->world);
	fort_shared_close(shared);
}

static bool is_writable(const struct cage *cage, const struct cage_area *area)
{
	return area->at != cage->world.maps[CAGE_RODATA]->values &&
	       area->at != cage->world.domain.window.base + cage->world.domain.packet_start;
}

void cage_reset(struct cage *cage)
{
	for (uint32_t i = 0; i < cage->n_own; i++)
		if (is_writable(cage, &cage->own[i]))
			memcpy(cage->own[i].at, cage->own[i].was, cage->own[i].bytes);
}

static uint64_t sum_of(const struct cage *cage)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < cage->n_own; i++)
		for (size_t at = 0; at + 8 <= cage->own[i].bytes; at += 8) {
			uint64_t word;

			memcpy(&word, (const uint8_t *)cage->own[i].at + at, 8);
			sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
		}
	return sum;
}

const char *cage_damage(const struct cage *cage)
{
	for (uint32_t i = 0; i < cage->n_host; i++)
		if (memcmp(cage->host[i].at, cage->host[i].was, cage->host[i].bytes))
			return cage->host[i].what;
	for (uint32_t i = 0; i < cage->n_own; i++)
		if (!is_writable(cage, &cage->own[i]) &&
		    memcmp(cage->own[i].at, cage->own[i].was, cage->own[i].bytes))
			return "what is read only";
	return NULL;
}

uint64_t *cage_ctx(struct cage *cage)
{
	return (uint64_t *)(void *)cage->own[1].was;
}

/* --- programs --- */

bool caged_build(struct caged *caged, const struct fort_insn *insns, uint32_t n)
{
	struct fort_graph_error error;
	const struct fort_insn *own;

	fort_arena_init(&caged->arena, 1u << 22);
	own = fort_arena_copy(&caged->arena, insns, n * sizeof(insns[0]));
	assert_non_null(own);
	if (!fort_graph_build(&caged->arena, own, n, &caged->graph, &error) &&
	    !fort_expand(&caged->graph.program, &caged->arena, &caged->expanded))
		return true;
	caged_free(caged);
	return false;
}

void caged_assemble(struct caged *caged, const char *source)
{
	struct fort_assembly assembly;
	struct fort_asm_error error = {0};
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_insn *insns;

	fort_arena_init(&caged->arena, 1u << 22);
	if (fort_assemble(&caged->arena, source, strlen(source), &assembly, &error))
		fail_msg("line %u, column %u: expected %s\n%s", error.line, error.column,
			 error.expected, source);
	insns = FORT_ARENA_ARRAY(&caged->arena, assembly.n_insns, struct fort_insn);
	assert_int_equal(fort_insn_decode(assembly.insns, assembly.n_insns, insns, &decode_error),
			 0);
	if (fort_graph_build(&caged->arena, insns, assembly.n_insns, &caged->graph, &graph_error))
		fail_msg("graph: %d at %u\n%s", graph_error.fault, graph_error.pc, source);
	assert_int_equal(fort_expand(&caged->graph.program, &caged->arena, &caged->expanded), 0);
}

void caged_free(struct caged *caged)
{
	fort_arena_free(&caged->arena);
}

struct fort_helper_shape cage_shape(uint32_t number)
{
	struct fort_helper_shape shape = {.n_args = 5};

	return fort_helper_shape(number).inlines == FORT_INLINE_TAIL ? fort_helper_shape(number)
								     : shape;
}

struct fort_compile cage_compile(const struct cage *cage, enum fort_isolation isolation,
				 bool proven, const struct caged *caged)
{
	return (struct fort_compile){
		.program = &caged->expanded.program,
		.domain = &cage->world.domain,
		.isolation = isolation,
		.helper = fort_helper_function,
		.shape = cage_shape,
		.proven = proven,
		.inspect = true,
	};
}

/* With a canary on the host's stack, right above what the program's frames use. */
static uint64_t run_here(struct cage *cage, const struct fort_engine *engine,
			 const struct fort_code *code)
{
	volatile uint64_t canary[64];
	uint64_t r0;

	for (unsigned i = 0; i < FORT_LEN(canary); i++)
		canary[i] = 0x5ca1ab1e00000000ull + i;
	r0 = engine->run(code, &cage->world.run);
	for (unsigned i = 0; i < FORT_LEN(canary); i++)
		if (canary[i] != 0x5ca1ab1e00000000ull + i)
			cage_fail("%s: damaged: the host's stack", engine->name);
	return r0;
}

struct outcome cage_run_code(struct cage *cage, const struct fort_engine *engine,
			     const struct fort_code *code, uint64_t fuel)
{
	struct world *w = &cage->world;
	struct outcome outcome = {0};
	const char *damage;

	assert_int_equal(fort_signals_install(), 0); /* cmocka has handlers of its own */
	cage_reset(cage);
	w->run.fuel = fuel;
	w->run.ctx_length = CAGE_CTX_BYTES;
	w->run.abort = (struct fort_abort){0};
	w->run.n_held = 0;
	w->run.tails = (struct fort_run_tails){.zeroed = FORT_FRAMES_MAX * FORT_STACK_BYTES};
	fort_services_enter(&w->services);
	outcome.r0 = run_here(cage, engine, code);
	fort_run_release_all(&w->run);
	fort_services_leave(&w->services);
	assert_int_equal(w->run.n_held, 0);
	damage = cage_damage(cage);
	if (damage)
		cage_fail("%s: damaged: %s", engine->name, damage);
	outcome.fuel = w->run.fuel;
	outcome.abort = w->run.abort;
	outcome.memory = sum_of(cage);
	return outcome;
}

struct outcome cage_run(struct cage *cage, const struct fort_engine *engine,
			enum fort_isolation isolation, bool proven, const struct caged *caged,
			uint64_t fuel)
{
	struct fort_compile request = cage_compile(cage, isolation, proven, caged);
	struct outcome outcome;
	struct fort_code *code;
	int err = engine->compile(&request, &code);

	if (err)
		cage_fail("%s does not compile: %d", engine->name, err);
	outcome = cage_run_code(cage, engine, code, fuel);
	engine->free(code);
	return outcome;
}

void cage_ring_is_free(struct cage *cage, const char *what)
{
	struct fort_map *ring = cage->world.maps[CAGE_RING];
	struct fort_ring_reader reader;
	uint8_t record[64];
	uint32_t bytes, offset;
	int err;

	fort_ring_reader_init(&reader, ring);
	do
		err = fort_ring_read(&reader, record, sizeof(record), &bytes);
	while (err == 1);
	if (err || reader.position != ring->ring.meta->producer_pos)
		fail_msg("%s: the ring is stuck: %d", what, err);
	/* All of it can be reserved again. */
	err = fort_ring_reserve(ring, &cage->world.services.seat,
				ring->ring.bytes - 2 * FORT_RING_HEADER_BYTES, &offset);
	if (err)
		fail_msg("%s: the ring is full: %d", what, err);
	fort_ring_discard(ring, offset, ring->ring.bytes - 2 * FORT_RING_HEADER_BYTES, 0);
}

/* --- what a process has --- */

static unsigned entries_of(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

struct cage_counts cage_count(void)
{
	struct cage_counts counts = {.descriptors = entries_of("/proc/self/fd"),
				     .threads = entries_of("/proc/self/task")};
	FILE *maps = fopen("/proc/self/maps", "re");
	int c;

	assert_non_null(maps);
	while ((c = fgetc(maps)) != EOF)
		counts.mappings += c == '\n';
	fclose(maps);
	return counts;
}

/* Slots lie before the code, from its start backwards. */
static uint32_t count_slots(const uint8_t *code, size_t before)
{
	uint32_t n = 0;

	while (8 * (n + 1) <= before && *(const uint64_t *)(const void *)(code - 8 * (n + 1)))
		n++;
	return n;
}

bool cage_find_image(struct cage_image *out)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end, slots_start = 0, slots_end = 0;
	char line[512], rights[5];

	assert_non_null(maps);
	*out = (struct cage_image){0};
	while (!out->code && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "bpfort-code") ||
		    sscanf(line, "%lx-%lx %4s", &start, &end, rights) != 3)
			continue;
		if (rights[2] != 'x') {
			slots_start = start;
			slots_end = end;
			continue;
		}
		*out = (struct cage_image){(uint8_t *)start, end - start, 0};
		if (slots_end == start)
			out->n_slots = count_slots(out->code, slots_end - slots_start);
	}
	fclose(maps);
	return out->code;
}

/* --- hostile addresses --- */

static void put(struct bad_address *out, uint32_t *n, const char *what, uint64_t address)
{
	assert_true(*n < BAD_ADDRESSES_MAX);
	out[(*n)++] = (struct bad_address){what, address};
}

static uint64_t host(const void *at)
{
	return (uint64_t)(uintptr_t)at;
}

static uint64_t stack_end(const struct fort_domain *domain)
{
	uint64_t levels =
		domain->shape.n_levels > 1 ? domain->shape.n_levels * FORT_LEVEL_BYTES : 0;

	return fort_domain_stack_top(domain, 0) - FORT_LEVEL_STACK_BYTES +
	       (levels ? levels : FORT_LEVEL_STACK_BYTES);
}

uint32_t bad_addresses(const struct cage *cage, struct bad_address out[BAD_ADDRESSES_MAX])
{
	const struct fort_domain *domain = &cage->world.domain, *other = &cage->other;
	uint64_t base = host(domain->window.base), array = base + domain->map_start[CAGE_ARRAY];
	struct cage_image image;
	uint32_t n = 0;

	put(out, &n, "null", 0);
	put(out, &n, "near null", 8);
	put(out, &n, "the last page of low addresses", 0xffff);
	put(out, &n, "minus one", UINT64_MAX);
	put(out, &n, "an error value", (uint64_t)-4095);
	put(out, &n, "the lowest non-canonical address", 0x0000800000000000);
	put(out, &n, "a non-canonical address", 0xdeadbeefdeadbeef);
	put(out, &n, "the window, in a non-canonical copy", base | 1ull << 62);
	put(out, &n, "a kernel address", 0xffffffff81000000);
	put(out, &n, "the vsyscall page", 0xffffffffff600000);
	put(out, &n, "heap", host(cage->heap + 64));
	put(out, &n, "data", host(in_data + 64));
	put(out, &n, "the host's stack", host(__builtin_frame_address(0)));
	put(out, &n, "the host's code", host((const void *)(uintptr_t)cage_open));
	put(out, &n, "libc's code", host((const void *)(uintptr_t)printf));
	put(out, &n, "libc's data", host(&stdout));
	put(out, &n, "a pointer of libc's", host(stdout));
	put(out, &n, "the run", host(&cage->world.run));
	put(out, &n, "the domain", host(domain));
	put(out, &n, "rights of pages", host(domain->window.rights));
	put(out, &n, "services", host(&cage->world.services));
	put(out, &n, "the table of seats", host(cage->world.shared->table));
	put(out, &n, "metadata of a hash", host(cage->world.maps[CAGE_HASH]->meta));
	put(out, &n, "metadata of a ring", host(cage->world.maps[CAGE_RING]->meta));
	put(out, &n, "a map", host(cage->world.maps[CAGE_ARRAY]));
	put(out, &n, "values, as the host has them", host(cage->world.maps[CAGE_ARRAY]->values));
	put(out, &n, "another domain's stack", host(other->window.base) + other->slot_start);
	put(out, &n, "another domain's packet", host(other->window.base) + other->packet_start);
	put(out, &n, "the window's start", base);
	put(out, &n, "before the window", base - 1);
	put(out, &n, "far before the window", base - 4096);
	put(out, &n, "below what is ever given away", base + FORT_WINDOW_LOW - 1);
	put(out, &n, "over the window's end", base + FORT_WINDOW_BYTES - 1);
	put(out, &n, "the window's last page", base + FORT_WINDOW_BYTES - 4096);
	put(out, &n, "behind the window", base + FORT_WINDOW_BYTES);
	put(out, &n, "behind the stack", stack_end(domain));
	put(out, &n, "over the stack's end", stack_end(domain) - 1);
	put(out, &n, "over a map's start", array - 1);
	put(out, &n, "a map's values", array + 8);
	put(out, &n, "what is read only", base + domain->map_start[CAGE_RODATA] + 8);
	put(out, &n, "the packet", base + domain->packet_start + 8);
	put(out, &n, "a map's handle", fort_map_handle(CAGE_ARRAY));
	put(out, &n, "what helpers leave", FORT_POISON);
	if (cage_find_image(&image))
		put(out, &n, "code of a program", host(image.code));
	return n;
}
