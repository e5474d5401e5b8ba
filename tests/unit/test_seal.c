/* Machine code that is sealed in memory: what the host's own code tries on it, it is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "base/sys.h"
#define MACHINE_ENGINE fort_engine_x64
#include "machine.h"

static const char source[] = "mov r0, 41\nadd r0, 1\nexit";

/* The kernel has to know mseal(2). */
static void need_mseal(void)
{
	if (fort_sys3(FORT_SYS_MSEAL, 0, 0, 0)) {
		print_message("# the kernel has no mseal(2)\n");
		skip();
	}
}

static void compile(struct machine *m, const struct fort_engine *engine, bool seal)
{
	machine_load(m, source, NULL, 0);
	m->engine = engine;
	m->seal = seal;
	assert_int_equal(machine_compile(m, FORT_ISOLATION_SFI), 0);
}

/* The image with its guards: what /proc/self/maps has around an address, all that touches. */
static uint64_t around(uint64_t address, uint64_t *end)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t first = 0, last = 0;
	unsigned long from, to;
	char line[512], rights[5];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		bool ours;

		assert_int_equal(sscanf(line, "%lx-%lx %4s", &from, &to, rights), 3);
		ours = strstr(line, "bpfort-code") || rights[0] == '-';
		if (from != last || !ours) {
			if (address >= first && address < last)
				break;
			first = from;
		}
		last = ours ? to : from;
	}
	fclose(maps);
	assert_true(address >= first && address < last);
	*end = last;
	return first;
}

static void assert_refused(uint64_t at, uint64_t bytes)
{
	void *page = (void *)(uintptr_t)at;
	static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
					  PROT_READ | PROT_WRITE | PROT_EXEC};

	for (size_t i = 0; i < FORT_LEN(protections); i++) {
		errno = 0;
		assert_int_equal(mprotect(page, bytes, protections[i]), -1);
		/* a file that is sealed against writing says so before */
		assert_true(errno == EPERM || (protections[i] & PROT_WRITE && errno == EACCES));
	}
	assert_int_equal(munmap(page, bytes), -1);
	assert_int_equal(errno, EPERM);
	assert_ptr_equal(mremap(page, bytes, 2 * bytes, MREMAP_MAYMOVE), MAP_FAILED);
	assert_int_equal(errno, EPERM);
	assert_ptr_equal(mmap(page, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 MAP_FAILED);
	assert_int_equal(errno, EPERM);
	assert_int_equal(madvise(page, bytes, MADV_REMOVE), -1);
}

static void nothing_can_be_done_to_it(void **state)
{
	need_mseal();
	for (unsigned i = 0; fort_engines[i]; i++) {
		struct fort_code_view view;
		struct machine m;
		uint64_t start, end;

		if (!fort_engines[i]->view || fort_engines[i]->absent)
			continue;
		compile(&m, fort_engines[i], true);
		m.engine->view(m.code, &view);
		start = around((uint64_t)(uintptr_t)view.bytes, &end);
		/* Guard, perhaps addresses, code, guard: each page alone. */
		assert_true((end - start) / FORT_PAGE_BYTES >= 3);
		for (uint64_t at = start; at < end; at += FORT_PAGE_BYTES)
			assert_refused(at, FORT_PAGE_BYTES);
		assert_int_equal(machine_run(&m), 42);
		machine_free(&m);
		assert_refused(start, FORT_PAGE_BYTES); /* it stays */
	}
}

/* Without the wish for it, images come and go. */
static void others_are_unmapped(void **state)
{
	struct fort_code_view view;
	struct machine m;
	unsigned char seen;

	compile(&m, &fort_engine_x64, false);
	m.engine->view(m.code, &view);
	assert_int_equal(machine_run(&m), 42);
	assert_int_equal(mincore((void *)((uintptr_t)view.bytes & ~4095ul), 1, &seen), 0);
	machine_free(&m);
	assert_int_equal(mincore((void *)((uintptr_t)view.bytes & ~4095ul), 1, &seen), -1);
	assert_int_equal(errno, ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_can_be_done_to_it),
		cmocka_unit_test(others_are_unmapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
