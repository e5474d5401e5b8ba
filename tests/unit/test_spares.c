/* Windows that go from one program to the next: nothing of the first is left, and the second could
 * not tell it from a new one, page by page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolate/spares.h"
#include "mappings.h"

#define PAGE FORT_PAGE_BYTES

/* Every page of these shapes is somewhere in here. */
#define LOOKED_AT (4u << 20)

static bool is_zero(const uint8_t *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i])
			return false;
	return true;
}

/* Fills what may be written, and packets that may only be read. */
static void fill(const struct fort_domain *domain)
{
	uint8_t junk[PAGE];

	memset(junk, 0xa5, sizeof(junk));
	for (uint64_t at = 0; at < LOOKED_AT; at += PAGE)
		if (fort_window_allows(&domain->window, at, PAGE, FORT_RW))
			memcpy(domain->window.base + at, junk, PAGE);
	for (uint32_t at = 0; at < domain->shape.packet_bytes; at += PAGE)
		assert_int_equal(fort_domain_put_packet(domain, at, junk, PAGE), 0);
}

static bool kernel_reads(const uint8_t *at)
{
	int fds[2];
	bool good;

	assert_int_equal(pipe(fds), 0);
	good = write(fds[1], at, 1) == 1;
	close(fds[0]);
	close(fds[1]);
	return good;
}

/* Like a new one: rights in both tables, and zeroes. */
static void compare(const struct fort_domain *again, const struct fort_domain *fresh)
{
	assert_int_equal(again->slot_start, fresh->slot_start);
	assert_int_equal(again->slot_stride, fresh->slot_stride);
	assert_int_equal(again->ctx_from_stack, fresh->ctx_from_stack);
	assert_int_equal(again->packet_start, fresh->packet_start);
	assert_int_equal(again->window.next, fresh->window.next);
	assert_memory_equal(again->map_start, fresh->map_start, sizeof(again->map_start));
	for (uint64_t page = 0; page < FORT_WINDOW_PAGES; page++)
		if (again->window.rights[page] != fresh->window.rights[page])
			fail_msg("page %llu", (unsigned long long)page);
	for (uint64_t at = 0; at < LOOKED_AT; at += PAGE) {
		bool there = fresh->window.rights[at / PAGE];

		assert_int_equal(kernel_reads(again->window.base + at), there);
		if (there && !is_zero(again->window.base + at, PAGE))
			fail_msg("offset 0x%llx has what was there", (unsigned long long)at);
	}
}

static const struct fort_domain_layout shapes[] = {
	{.n_slots = 1},
	{.n_slots = 3, .ctx_bytes = PAGE + 1},
	{.n_slots = 1, .ctx_bytes = 100, .packet_bytes = 3 * PAGE},
	{.n_slots = 1, .ctx_bytes = 100, .packet_bytes = 3 * PAGE, .packet_writable = true},
	{.n_slots = 1, .ctx_bytes = 100, .packet_bytes = 3 * PAGE, .hidden = true},
	{.n_slots = 1, .n_levels = FORT_TAIL_LEVELS_MAX, .ctx_bytes = 100},
};

static int values_file(uint64_t bytes)
{
	int fd = memfd_create("test-values", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static void nothing_of_the_first_owner_is_left(void **state)
{
	int fd = values_file(8 * PAGE);
	const struct fort_domain_map maps[] = {{.fd = fd, .bytes = 8 * PAGE, .writable = true},
					       {.fd = fd, .bytes = PAGE}};

	for (unsigned i = 0; i < FORT_LEN(shapes); i++) {
		struct fort_domain_layout layout = shapes[i];
		struct fort_spares spares = {0};
		struct fort_domain first, again, fresh;
		uint8_t *base;

		assert_int_equal(fort_domain_open(&layout, NULL, 0, &fresh), 0);
		layout.spares = &spares;
		assert_int_equal(fort_domain_open(&layout, maps, 2, &first), 0);
		base = first.window.base;
		fill(&first);
		fort_domain_close(&first);
		assert_int_equal(fort_domain_open(&layout, NULL, 0, &again), 0);
		assert_ptr_equal(again.window.base, base);
		compare(&again, &fresh);
		fort_domain_close(&again);
		/* and once more, with maps */
		assert_int_equal(fort_domain_open(&layout, maps, 2, &again), 0);
		assert_ptr_equal(again.window.base, base);
		assert_true(
			fort_window_allows(&again.window, again.map_start[0], 8 * PAGE, FORT_RW));
		assert_int_equal(again.window.base[again.map_start[1]], 0xa5); /* the map's own */
		fort_domain_close(&again);
		fort_spares_close(&spares);
		fort_domain_close(&fresh);
	}
	close(fd);
}

static void only_the_same_shape_fits(void **state)
{
	struct fort_spares spares = {0};
	struct fort_domain domains[FORT_LEN(shapes)];
	unsigned before = count_mappings();

	for (unsigned i = 0; i < FORT_LEN(shapes); i++) {
		struct fort_domain_layout layout = shapes[i];
		struct fort_domain first, other;
		uint8_t *base;

		layout.spares = &spares;
		assert_int_equal(fort_domain_open(&layout, NULL, 0, &first), 0);
		base = first.window.base;
		fort_domain_close(&first);
		for (unsigned j = 0; j < FORT_LEN(shapes); j++) {
			layout = shapes[j];
			layout.spares = &spares;
			assert_int_equal(fort_domain_open(&layout, NULL, 0, &domains[j]), 0);
			if (i == j)
				assert_ptr_equal(domains[j].window.base, base);
			else
				assert_ptr_not_equal(domains[j].window.base, base);
		}
		for (unsigned j = 0; j < FORT_LEN(shapes); j++) {
			domains[j].spares = NULL;
			fort_domain_close(&domains[j]);
		}
		assert_int_equal(fort_domain_open(&layout, NULL, 0, &other), 0);
		other.spares = NULL;
		fort_domain_close(&other);
	}
	assert_int_equal(count_mappings(), before);
}

/* What is not private memory is not handed on. */
static void shared_domains_are_not_kept(void **state)
{
	struct fort_spares spares = {0};
	struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = 9, .spares = &spares};
	unsigned before = count_mappings();
	struct fort_domain domain;
	int fd;

	assert_int_equal(fort_domain_open(&layout, NULL, 0, &domain), 0);
	fd = values_file(fort_domain_shared_bytes(&domain));
	assert_int_equal(fort_domain_share(&domain, fd), 0);
	fort_domain_close(&domain);
	assert_int_equal(count_mappings(), before);
	close(fd);
}

static void few_are_kept_and_all_are_closed(void **state)
{
	struct fort_spares spares = {0};
	struct fort_domain_layout layout = {.n_slots = 1, .spares = &spares};
	struct fort_domain domains[FORT_SPARES_MAX + 2];
	unsigned before = count_mappings(), each, kept;

	for (unsigned i = 0; i < FORT_LEN(domains); i++)
		assert_int_equal(fort_domain_open(&layout, NULL, 0, &domains[i]), 0);
	each = (count_mappings() - before) / FORT_LEN(domains);
	for (unsigned i = 0; i < FORT_LEN(domains); i++)
		fort_domain_close(&domains[i]);
	kept = count_mappings() - before;
	assert_true(each && kept >= FORT_SPARES_MAX * (each - 1) &&
		    kept <= FORT_SPARES_MAX * (each + 1));
	fort_spares_close(&spares);
	assert_int_equal(count_mappings(), before);
}

/* Address space that is kept is given up when it is needed. */
static int opens_in_little_room(void)
{
	struct fort_spares spares = {0};
	struct fort_domain_layout small = {.n_slots = 1, .spares = &spares},
				  other = {.n_slots = 2, .spares = &spares};
	struct rlimit limit = {6ull << 30, 6ull << 30};
	struct fort_domain domain;

	if (setrlimit(RLIMIT_AS, &limit) || fort_domain_open(&small, NULL, 0, &domain))
		return 1;
	fort_domain_close(&domain);
	if (fort_domain_open(&other, NULL, 0, &domain))
		return 2;
	fort_domain_close(&domain);
	return 0;
}

static void spares_go_before_there_is_no_memory(void **state)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(opens_in_little_room());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define THREADS 4
#define ROUNDS  2000

struct visitor {
	pthread_t thread;
	struct fort_spares *spares;
	const char *wrong; /* what went wrong, or NULL */
};

static const char *open_and_close(struct fort_spares *spares)
{
	struct fort_domain_layout layout = {.n_slots = 1, .ctx_bytes = 64, .spares = spares};

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct fort_domain domain;
		uint8_t *stack;

		if (fort_domain_open(&layout, NULL, 0, &domain))
			return "not opened";
		stack = domain.window.base + domain.slot_start;
		if (!is_zero(stack, 64))
			return "not clean, or somebody else's";
		memset(stack, (int)i | 1, 64);
		for (unsigned k = 1; k < 64; k++)
			if (stack[k] != stack[0])
				return "shared with another";
		fort_domain_close(&domain);
	}
	return NULL;
}

static void *visit(void *argument)
{
	struct visitor *visitor = argument;

	visitor->wrong = open_and_close(visitor->spares);
	return NULL;
}

static void threads_never_get_the_same(void **state)
{
	static struct fort_spares spares;
	struct visitor visitors[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		visitors[i] = (struct visitor){.spares = &spares};
		assert_int_equal(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(visitors[i].thread, NULL), 0);
		if (visitors[i].wrong)
			fail_msg("%s", visitors[i].wrong);
	}
	fort_spares_close(&spares);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_of_the_first_owner_is_left),
		cmocka_unit_test(only_the_same_shape_fits),
		cmocka_unit_test(shared_domains_are_not_kept),
		cmocka_unit_test(few_are_kept_and_all_are_closed),
		cmocka_unit_test(spares_go_before_there_is_no_memory),
		cmocka_unit_test(threads_never_get_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
