/* The window and the domain: what is mapped where, and that the rights table says the same as the
 * page tables at every border.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolate/domain.h"
#include "mappings.h"

#define PAGE FORT_PAGE_BYTES

/* Asks the kernel whether a byte may be read (written), without touching it here. */
static bool page_tables_allow(const struct fort_window *window, uint64_t offset,
			      enum fort_rights right)
{
	uint8_t *at = window->base + offset;
	int fds[2];
	bool allowed;

	assert_int_equal(pipe(fds), 0);
	if (right == FORT_READ) {
		allowed = write(fds[1], at, 1) == 1;
	} else {
		assert_int_equal(write(fds[1], "", 1), 1);
		allowed = read(fds[0], at, 1) == 1;
	}
	close(fds[0]);
	close(fds[1]);
	return allowed;
}

static void check_page(const struct fort_window *window, uint64_t offset, unsigned rights)
{
	static const enum fort_rights each[] = {FORT_READ, FORT_WRITE};

	for (unsigned i = 0; i < FORT_LEN(each); i++) {
		bool wanted = rights & each[i];

		if (fort_window_allows(window, offset, 1, each[i]) != wanted)
			fail_msg("offset 0x%llx: the table is wrong", (unsigned long long)offset);
		if (page_tables_allow(window, offset, each[i]) != wanted)
			fail_msg("offset 0x%llx: the mapping is wrong", (unsigned long long)offset);
	}
}

static int values_file(uint64_t bytes, unsigned seals)
{
	int fd = memfd_create("test-values", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* --- the window --- */

static void a_fresh_window_has_nothing(void **state)
{
	static const uint64_t offsets[] = {0,
					   1,
					   PAGE,
					   FORT_WINDOW_LOW - 1,
					   FORT_WINDOW_LOW,
					   FORT_WINDOW_BYTES / 2,
					   FORT_WINDOW_BYTES - PAGE,
					   FORT_WINDOW_BYTES - 1};
	struct fort_window window;

	assert_int_equal(fort_window_open(&window), 0);
	assert_int_equal((uint32_t)(uintptr_t)window.base, 0);
	for (unsigned i = 0; i < FORT_LEN(offsets); i++)
		check_page(&window, offsets[i], 0);
	assert_false(page_tables_allow(&window, FORT_WINDOW_BYTES, FORT_READ));
	fort_window_close(&window);
}

static void bases_are_random(void **state)
{
	uintptr_t seen[64];
	unsigned distinct = 0;

	for (unsigned i = 0; i < FORT_LEN(seen); i++) {
		struct fort_window window;
		bool known = false;

		assert_int_equal(fort_window_open(&window), 0);
		seen[i] = (uintptr_t)window.base;
		fort_window_close(&window);
		for (unsigned j = 0; j < i; j++)
			known |= seen[j] == seen[i];
		distinct += !known;
	}
	assert_true(distinct > 48); /* of 32,766 places; 32 or fewer has no measurable chance */
}

/* Kernels without CONFIG_ANON_VMA_NAME refuse; the window then has no name and works. */
static bool kernel_names_mappings(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, PAGE, "probe");

	munmap(page, PAGE);
	return !err;
}

static void the_mapping_has_a_name(void **state)
{
	struct fort_window window;
	char line[512], wanted[32];
	bool named = false, found = false;
	FILE *file;

	assert_int_equal(fort_window_open(&window), 0);
	snprintf(wanted, sizeof(wanted), "%lx-", (unsigned long)(uintptr_t)window.base);
	file = fopen("/proc/self/maps", "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, wanted, strlen(wanted)))
			continue;
		found = true;
		named = strstr(line, "[anon:bpfort-window]");
	}
	fclose(file);
	fort_window_close(&window);
	assert_true(found);
	assert_int_equal(named, kernel_names_mappings());
}

static void each_area_ends_in_a_guard(void **state)
{
	static const uint64_t sizes[] = {1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE};
	static const enum fort_rights rights[] = {FORT_RW, FORT_READ};
	struct fort_window window;
	uint64_t expected = FORT_WINDOW_LOW;

	assert_int_equal(fort_window_open(&window), 0);
	for (unsigned i = 0; i < FORT_LEN(sizes); i++) {
		uint64_t pages = fort_round_up(sizes[i], PAGE);
		enum fort_rights r = rights[i % FORT_LEN(rights)];
		uint32_t start;

		assert_int_equal(fort_window_add(&window, sizes[i], r, &start), 0);
		assert_int_equal(start, expected);
		check_page(&window, start - 1, 0);
		check_page(&window, start, r);
		check_page(&window, start + pages - 1, r);
		check_page(&window, start + pages, 0);
		check_page(&window, start + pages + PAGE - 1, 0);
		expected = start + pages + PAGE;
	}
	fort_window_close(&window);
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
	static const uint64_t huge[] = {
		UINT64_MAX,        UINT64_MAX - PAGE,
		1ull << 63,        FORT_WINDOW_BYTES + 1,
		FORT_WINDOW_BYTES, FORT_WINDOW_BYTES - PAGE - FORT_WINDOW_LOW + 1};
	struct fort_window window;
	uint32_t start = 7;

	assert_int_equal(fort_window_open(&window), 0);
	assert_int_equal(fort_window_add(&window, 0, FORT_RW, &start), -EINVAL);
	for (unsigned i = 0; i < FORT_LEN(huge); i++)
		assert_int_equal(fort_window_add(&window, huge[i], FORT_RW, &start), -ENOSPC);
	assert_int_equal(start, 7);
	/* All there is: up to the last page, and then nothing more. */
	assert_int_equal(fort_window_add(&window, FORT_WINDOW_BYTES - PAGE - FORT_WINDOW_LOW,
					 FORT_READ, &start),
			 0);
	assert_int_equal(start, FORT_WINDOW_LOW);
	check_page(&window, FORT_WINDOW_LOW, FORT_READ);
	check_page(&window, FORT_WINDOW_BYTES - PAGE - 1, FORT_READ);
	check_page(&window, FORT_WINDOW_BYTES - PAGE, 0);
	assert_int_equal(fort_window_add(&window, 1, FORT_RW, &start), -ENOSPC);
	assert_int_equal(fort_window_add(&window, UINT64_MAX, FORT_RW, &start), -ENOSPC);
	fort_window_close(&window);
}

static void ranges_are_checked_to_the_byte_of_the_page(void **state)
{
	struct fort_window window;
	uint32_t rw, ro;
	uint64_t end, base;

	assert_int_equal(fort_window_open(&window), 0);
	assert_int_equal(fort_window_add(&window, 3 * PAGE, FORT_RW, &rw), 0);
	assert_int_equal(fort_window_add(&window, PAGE, FORT_READ, &ro), 0);
	end = rw + 3 * PAGE;
	base = (uint64_t)(uintptr_t)window.base;
	const struct {
		uint64_t address, bytes;
		enum fort_rights rights;
		bool allowed;
	} cases[] = {
		{rw, 1, FORT_RW, true},
		{rw, 3 * PAGE, FORT_RW, true},
		{rw, 3 * PAGE + 1, FORT_RW, false},
		{rw - 1, 1, FORT_READ, false},
		{rw - 1, 2, FORT_READ, false},
		{end - 1, 1, FORT_WRITE, true},
		{end - 1, 2, FORT_WRITE, false},
		{end - 8, 8, FORT_RW, true},
		{end - 7, 8, FORT_RW, false},
		{end, 1, FORT_READ, false},
		{end, 0, FORT_RW, true},
		{0, 0, FORT_RW, true},
		{0, 1, FORT_READ, false},
		{rw + PAGE - 4, 8, FORT_RW, true},
		{ro, 8, FORT_READ, true},
		{ro, 8, FORT_WRITE, false},
		{ro, 8, FORT_RW, false},
		{rw, UINT64_MAX, FORT_READ, false},
		{rw, UINT64_MAX - rw + 1, FORT_READ, false},
		{rw, FORT_WINDOW_BYTES, FORT_READ, false},
		{0xffffffff, 1, FORT_READ, false},
		{0xffffffff, 2, FORT_READ, false},
		{0xffffffff, 8, FORT_READ, false},
		{UINT64_MAX, 8, FORT_READ, false},
		{base + rw, 8, FORT_RW, true},
		{0xdead000000000000 | rw, 8, FORT_RW, true}, /* only the low half counts */
		{base - 1, 1, FORT_READ, false},
	};
	for (unsigned i = 0; i < FORT_LEN(cases); i++) {
		bool small = cases[i].bytes && cases[i].bytes <= 8;

		if (fort_window_allows(&window, cases[i].address, cases[i].bytes,
				       cases[i].rights) != cases[i].allowed)
			fail_msg("case %u: range", i);
		if (small &&
		    fort_window_allows_word(&window, cases[i].address, (uint32_t)cases[i].bytes,
					    cases[i].rights) != cases[i].allowed)
			fail_msg("case %u: word", i);
	}
	assert_ptr_equal(fort_window_at(&window, base + rw), window.base + rw);
	assert_ptr_equal(fort_window_at(&window, UINT64_MAX), window.base + 0xffffffff);
	fort_window_close(&window);
}

static void files_are_shared(void **state)
{
	int fd = values_file(4 * PAGE, F_SEAL_SHRINK | F_SEAL_GROW);
	uint8_t *other = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct fort_window window;
	uint32_t rw, ro;

	assert_ptr_not_equal(other, MAP_FAILED);
	assert_int_equal(fort_window_open(&window), 0);
	assert_int_equal(fort_window_add_fd(&window, fd, PAGE, PAGE + 1, FORT_RW, &rw), 0);
	assert_int_equal(fort_window_add_fd(&window, fd, 0, 4 * PAGE, FORT_READ, &ro), 0);
	check_page(&window, rw, FORT_RW);
	check_page(&window, rw + 2 * PAGE - 1, FORT_RW);
	check_page(&window, rw + 2 * PAGE, 0);
	check_page(&window, ro, FORT_READ);
	window.base[rw] = 42;
	assert_int_equal(other[PAGE], 42);
	assert_int_equal(window.base[ro + PAGE], 42);
	fort_window_close(&window);
	assert_int_equal(other[PAGE], 42);
	munmap(other, 4 * PAGE);
	close(fd);
}

static void files_that_could_fault_are_refused(void **state)
{
	int sealed = values_file(2 * PAGE, F_SEAL_SHRINK);
	int uneven = values_file(PAGE + 1, F_SEAL_SHRINK);
	int open_ended = values_file(2 * PAGE, F_SEAL_GROW);
	int fds[2];
	struct fort_window window;
	uint64_t next;
	uint32_t start = 7;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fort_window_open(&window), 0);
	next = window.next;
	const struct {
		int fd;
		uint64_t offset, bytes;
		int err;
	} cases[] = {
		{open_ended, 0, PAGE, -EPERM},
		{fds[0], 0, PAGE, -EINVAL},
		{-1, 0, PAGE, -EBADF},
		{sealed, 0, 0, -EINVAL},
		{sealed, 0, 2 * PAGE + 1, -EINVAL},
		{sealed, PAGE, PAGE + 1, -EINVAL},
		{sealed, 2 * PAGE, 1, -EINVAL},
		{sealed, UINT64_MAX - PAGE + 1, PAGE, -EINVAL},
		{sealed, 1, PAGE, -EINVAL},
		{uneven, 0, PAGE + 1, -EINVAL},
		{sealed, 0, UINT64_MAX, -ENOSPC},
	};
	for (unsigned i = 0; i < FORT_LEN(cases); i++) {
		int err = fort_window_add_fd(&window, cases[i].fd, cases[i].offset, cases[i].bytes,
					     FORT_RW, &start);

		if (err != cases[i].err)
			fail_msg("case %u: %d", i, err);
	}
	assert_int_equal(start, 7);
	assert_int_equal(window.next, next);
	check_page(&window, FORT_WINDOW_LOW, 0);
	fort_window_close(&window);
	close(sealed);
	close(uneven);
	close(open_ended);
	close(fds[0]);
	close(fds[1]);
}

static void closing_gives_everything_back(void **state)
{
	unsigned before = count_mappings();
	struct fort_window window;
	uint32_t start;

	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(fort_window_open(&window), 0);
		assert_int_equal(fort_window_add(&window, 3 * PAGE, FORT_RW, &start), 0);
		fort_window_close(&window);
		fort_window_close(&window); /* a closed window is no window */
	}
	assert_int_equal(count_mappings(), before);
}

/* What the child sees: 0 if opening fails cleanly under the limit and works without it. */
static int open_under_limit(void)
{
	struct rlimit limit, tight;
	struct fort_window window;
	unsigned before;

	if (getrlimit(RLIMIT_AS, &limit))
		return 1;
	tight = limit;
	tight.rlim_cur = 3ull << 30;
	before = count_mappings();
	if (setrlimit(RLIMIT_AS, &tight))
		return 2;
	if (fort_window_open(&window) != -ENOMEM)
		return 3;
	if (setrlimit(RLIMIT_AS, &limit))
		return 4;
	if (count_mappings() != before)
		return 5;
	return fort_window_open(&window) ? 6 : 0;
}

static void address_space_limits_are_honoured(void **state)
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child)
		_exit(open_under_limit());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- the domain --- */

static void slots_are_apart(void **state)
{
	static const uint32_t ctx_sizes[] = {0, 1, PAGE, PAGE + 1};

	for (unsigned i = 0; i < FORT_LEN(ctx_sizes); i++) {
		struct fort_domain_layout layout = {.n_slots = 3, .ctx_bytes = ctx_sizes[i]};
		struct fort_domain domain;

		assert_int_equal(fort_domain_open(&layout, NULL, 0, &domain), 0);
		for (uint32_t slot = 0; slot < 3; slot++) {
			uint64_t top = fort_domain_stack_top(&domain, slot) -
				       fort_domain_address(&domain, 0);
			uint64_t ctx =
				fort_domain_ctx(&domain, slot) - fort_domain_address(&domain, 0);
			uint64_t bottom = top - FORT_FRAMES_MAX * FORT_STACK_BYTES;
			uint64_t ctx_end = ctx + fort_round_up(ctx_sizes[i], PAGE);

			check_page(&domain.window, bottom - 1, 0);
			check_page(&domain.window, bottom, FORT_RW);
			check_page(&domain.window, top - 1, FORT_RW);
			check_page(&domain.window, top, 0);
			check_page(&domain.window, ctx - 1, ctx == top ? FORT_RW : 0);
			check_page(&domain.window, ctx, ctx_sizes[i] ? FORT_RW : 0);
			check_page(&domain.window, ctx_end, 0);
		}
		fort_domain_close(&domain);
	}
}

static void packets_are_written_from_outside(void **state)
{
	for (unsigned writable = 0; writable < 2; writable++) {
		struct fort_domain_layout layout = {.n_slots = 1,
						    .packet_bytes = PAGE + 5,
						    .packet_writable = writable};
		unsigned rights = writable ? FORT_RW : FORT_READ;
		struct fort_domain domain;

		assert_int_equal(fort_domain_open(&layout, NULL, 0, &domain), 0);
		assert_int_equal(fort_domain_put_packet(&domain, PAGE, "abcde", 5), 0);
		assert_int_equal(fort_domain_put_packet(&domain, PAGE + 5, "", 0), 0);
		assert_int_equal(fort_domain_put_packet(&domain, PAGE, "abcdef", 6), -E2BIG);
		assert_int_equal(fort_domain_put_packet(&domain, UINT32_MAX, "ab", 2), -E2BIG);
		assert_memory_equal(domain.window.base + domain.packet_start + PAGE, "abcde", 5);
		check_page(&domain.window, domain.packet_start, rights);
		check_page(&domain.window, domain.packet_start + PAGE + 4, rights);
		check_page(&domain.window, domain.packet_start + 2 * PAGE, 0);
		fort_domain_close(&domain);
	}
}

static void maps_lie_in_the_window(void **state)
{
	int fd = values_file(2 * PAGE, F_SEAL_SHRINK);
	const struct fort_domain_map maps[] = {
		{.fd = fd, .bytes = PAGE, .writable = true},
		{.fd = -1, .bytes = 0},
		{.fd = fd, .file_offset = PAGE, .bytes = 9, .writable = false},
	};
	struct fort_domain_layout layout = {.n_slots = 1};
	struct fort_domain domain;

	assert_int_equal(fort_domain_open(&layout, maps, 3, &domain), 0);
	assert_int_equal(domain.n_maps, 3);
	check_page(&domain.window, domain.map_start[0], FORT_RW);
	assert_int_equal(domain.map_start[1], 0);
	check_page(&domain.window, domain.map_start[2], FORT_READ);
	fort_domain_close(&domain);
	close(fd);
}

static void a_domain_that_fails_leaves_nothing(void **state)
{
	int fd = values_file(PAGE, F_SEAL_GROW);
	struct fort_domain_map maps[FORT_MAPS_PER_PROG_MAX + 1] = {{.fd = fd, .bytes = PAGE}};
	const struct {
		struct fort_domain_layout layout;
		uint32_t n_maps;
		int err;
	} cases[] = {
		{{.n_slots = 0}, 0, -EINVAL},
		{{.n_slots = FORT_SLOTS_MAX + 1}, 0, -EINVAL},
		{{.n_slots = UINT32_MAX}, 0, -EINVAL},
		{{.n_slots = 1}, FORT_MAPS_PER_PROG_MAX + 1, -E2BIG},
		{{.n_slots = 1, .packet_bytes = UINT32_MAX}, 0, -ENOSPC},
		{{.n_slots = 1, .ctx_bytes = UINT32_MAX}, 0, -ENOSPC},
		{{.n_slots = 1}, 1, -EPERM},
	};
	unsigned before = count_mappings();

	for (unsigned i = 0; i < FORT_LEN(cases); i++) {
		struct fort_domain domain = {.shape.n_slots = 77};
		int err = fort_domain_open(&cases[i].layout, maps, cases[i].n_maps, &domain);

		if (err != cases[i].err)
			fail_msg("case %u: %d", i, err);
		assert_int_equal(domain.shape.n_slots, 77);
	}
	assert_int_equal(count_mappings(), before);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_window_has_nothing),
		cmocka_unit_test(bases_are_random),
		cmocka_unit_test(the_mapping_has_a_name),
		cmocka_unit_test(each_area_ends_in_a_guard),
		cmocka_unit_test(sizes_that_do_not_fit_are_refused),
		cmocka_unit_test(ranges_are_checked_to_the_byte_of_the_page),
		cmocka_unit_test(files_are_shared),
		cmocka_unit_test(files_that_could_fault_are_refused),
		cmocka_unit_test(closing_gives_everything_back),
		cmocka_unit_test(address_space_limits_are_honoured),
		cmocka_unit_test(slots_are_apart),
		cmocka_unit_test(packets_are_written_from_outside),
		cmocka_unit_test(maps_lie_in_the_window),
		cmocka_unit_test(a_domain_that_fails_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
