/* Machine code of several programs in one pack: each is itself, what is nobody's is traps, nothing
 * in it can be written but through the pool, and forks and lost descriptors do no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MACHINE_POOL
#define MACHINE_ENGINE fort_engine_x64
#include "machine.h"

#define PAGE FORT_PAGE_BYTES
#define TRAP 0xcc

/* --- programs --- */

static uint64_t twice(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
		      struct fort_run *run)
{
	return 2 * a;
}

static fort_helper_fn *doubles(uint32_t number)
{
	return number == 1 ? twice : NULL;
}

/* One that returns `number`, in `insns` instructions more than it needs, by way of a helper. */
static void build(struct machine *m, unsigned number, unsigned insns)
{
	size_t room = 64 + insns * 32, length = 0;
	char *source = malloc(room);

	assert_non_null(source);
	length += (size_t)snprintf(source, room, "mov r6, r1\nmov r1, %u\ncall 1\n", number);
	for (unsigned i = 0; i < insns; i++)
		length += (size_t)snprintf(source + length, room - length, "stxdw [r10-%u], r0\n",
					   8 + i % 60 * 8);
	snprintf(source + length, room - length, "rsh r0, 1\nexit");
	machine_load(m, source, NULL, 0);
	m->helper = doubles;
	free(source);
}

static void compile(struct machine *m, unsigned number, unsigned insns)
{
	build(m, number, insns);
	assert_int_equal(machine_compile(m, FORT_ISOLATION_SFI), 0);
}

static struct fort_code_view view_of(const struct machine *m)
{
	struct fort_code_view view;

	m->engine->view(m->code, &view);
	return view;
}

static void check_run(struct machine *m, unsigned number)
{
	m->run.fuel = MACHINE_FUEL;
	assert_int_equal(machine_run(m), number);
	assert_int_equal(m->run.abort.code, 0);
}

/* --- what /proc/self says --- */

struct part {
	const uint8_t *start, *end;
	char rights[5];
};

/* The mapping that has an address. */
static struct part part_with(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	struct part part = {0};
	char line[512];

	assert_non_null(maps);
	while (!part.start && fgets(line, sizeof(line), maps)) {
		assert_int_equal(sscanf(line, "%lx-%lx %4s", &from, &to, part.rights), 3);
		if ((uintptr_t)address >= from && (uintptr_t)address < to) {
			part.start = (const uint8_t *)from;
			part.end = (const uint8_t *)to;
		}
	}
	fclose(maps);
	assert_non_null(part.start);
	return part;
}

static unsigned count_code(const char *rights)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "bpfort-code") && strstr(line, rights);
	fclose(maps);
	return n;
}

/* Calls `look` with every descriptor of a file of code. */
static unsigned for_descriptors(void (*look)(int fd))
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		char path[300], target[300] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		if (readlink(path, target, sizeof(target) - 1) < 0 ||
		    !strstr(target, "bpfort-code"))
			continue;
		n++;
		if (look)
			look(atoi(entry->d_name));
	}
	closedir(dir);
	return n;
}

/* --- pieces --- */

static void programs_share_pages(void **state)
{
	struct machine a, b;

	compile(&a, 11, 3);
	compile(&b, 22, 5);
	assert_ptr_equal(part_with(view_of(&a).bytes).start, part_with(view_of(&b).bytes).start);
	assert_true((uintptr_t)view_of(&a).bytes / PAGE == (uintptr_t)view_of(&b).bytes / PAGE);
	check_run(&a, 11);
	check_run(&b, 22);
	check_run(&a, 11);
	machine_free(&a);
	check_run(&b, 22);
	machine_free(&b);
}

static bool is_filled(const uint8_t *at, const uint8_t *end, uint8_t byte)
{
	while (at < end)
		if (*at++ != byte)
			return false;
	return true;
}

/* All of a pack but what [start, end) has. */
static void check_traps(const uint8_t *inside, const uint8_t *start, const uint8_t *end)
{
	struct part part = part_with(inside);

	assert_true(is_filled(part.start, start, TRAP));
	assert_true(is_filled(end, part.end, TRAP));
}

static void what_is_nobodys_is_traps(void **state)
{
	struct machine first, second;
	struct fort_code_view view;
	const uint8_t *at;
	const void *slot;

	compile(&first, 1, 0);
	view = view_of(&first);
	at = view.bytes;
	slot = at - view.gap - 8;
	assert_memory_equal(slot, &(fort_helper_fn *){twice}, 8);
	check_traps(at, at, at + view.n_bytes);
	compile(&second, 2, 50); /* so that the pack stays */
	machine_free(&first);
	assert_true(is_filled(at, at + view.n_bytes, TRAP));
	assert_memory_equal(slot, "\0\0\0\0\0\0\0", 8);
	view = view_of(&second);
	check_traps(at, view.bytes, view.bytes + view.n_bytes);
	/* The next one finds the place, and is not the last one. */
	compile(&first, 3, 0);
	assert_ptr_equal(view_of(&first).bytes, at);
	check_run(&first, 3);
	check_run(&second, 2);
	machine_free(&first);
	machine_free(&second);
	check_traps(at, at, at);
}

/* Whoever jumps to where a program was gets a trap, which is told as one. */
static void a_freed_program_traps(void **state)
{
	struct machine kept, freed;
	uint64_t (*entry)(void);
	int status;
	pid_t child;

	compile(&kept, 1, 0);
	compile(&freed, 2, 0);
	entry = (uint64_t(*)(void))(uintptr_t)view_of(&freed).bytes;
	machine_free(&freed);
	fort_code_pool_before_fork(machine_pool);
	child = fork();
	fort_code_pool_after_fork(machine_pool, !child);
	if (!child) {
		signal(SIGTRAP, SIG_DFL);
		entry();
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTRAP);
	machine_free(&kept);
}

/* No mapping can be written, or made so; nor the descriptor used to make one that is executed and
 * written at once, by protections. */
static void nothing_in_it_can_be_written(void **state)
{
	struct fort_code_view view;
	struct part code, slots;
	struct machine m;

	compile(&m, 7, 0);
	view = view_of(&m);
	code = part_with(view.bytes);
	slots = part_with(view.bytes - view.gap - 8);
	assert_string_equal(code.rights, "r-xs");
	assert_string_equal(slots.rights, "r--s");
	assert_int_equal(count_code(" rw"), 0);
	assert_int_equal(count_code("wx"), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct part part = i ? slots : code;
		size_t bytes = (size_t)(part.end - part.start);
		void *at = (void *)(uintptr_t)part.start;

		assert_int_equal(mprotect(at, bytes, PROT_READ | PROT_WRITE), -1);
		assert_int_equal(errno, EACCES);
		assert_int_equal(mprotect(at, bytes, PROT_READ | PROT_WRITE | PROT_EXEC), -1);
	}
	assert_string_equal(part_with(code.start - PAGE).rights[0] == 'r' ? "r" : "-", "r");
	assert_string_equal(part_with(slots.start - 1).rights, "---p");
	assert_string_equal(part_with(code.end).rights, "---p");
	check_run(&m, 7);
	machine_free(&m);
}

static void try_to_cut(int fd)
{
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void nobody_can_cut_the_file(void **state)
{
	struct machine m;

	compile(&m, 9, 0);
	assert_true(for_descriptors(try_to_cut) > 0);
	check_run(&m, 9);
	machine_free(&m);
}

/* Large ones, and those that are sealed for ever, have files of their own. */
static void some_lie_alone(void **state)
{
	struct machine small, large, sealed;

	compile(&small, 1, 0);
	compile(&large, 2, 6000);
	assert_ptr_not_equal(part_with(view_of(&small).bytes).start,
			     part_with(view_of(&large).bytes).start);
	assert_int_equal(view_of(&large).gap, 0);
	build(&sealed, 3, 0);
	sealed.seal = true;
	if (machine_compile(&sealed, FORT_ISOLATION_SFI) == 0) {
		assert_int_equal(view_of(&sealed).gap, 0);
		check_run(&sealed, 3);
		machine_free(&sealed);
	} else {
		print_message("# the kernel has no mseal(2)\n");
	}
	check_run(&small, 1);
	check_run(&large, 2);
	machine_free(&small);
	machine_free(&large);
}

#define MANY 300u

/* More than a pack holds; every other one goes, others of all sizes come. */
static void many_come_and_go(void **state)
{
	static struct machine machines[MANY];
	unsigned before = count_code("r-x");

	for (unsigned i = 0; i < MANY; i++)
		compile(&machines[i], 1000 + i, i % 97);
	assert_true(count_code("r-x") > before);
	for (unsigned i = 0; i < MANY; i += 2)
		machine_free(&machines[i]);
	for (unsigned i = 0; i < MANY; i += 2)
		compile(&machines[i], 2000 + i, (i * 7) % 89);
	for (unsigned i = 0; i < MANY; i++)
		check_run(&machines[i], i % 2 ? 1000 + i : 2000 + i);
	for (unsigned i = 0; i < MANY; i++)
		machine_free(&machines[i]);
	assert_true(count_code("r-x") <= before + 1);
}

/* --- threads --- */

#define THREADS 4u
#define ROUNDS  150u

struct loader {
	pthread_t thread;
	unsigned seed;
	const char *wrong; /* what went wrong, or NULL */
};

static const char *live(unsigned seed)
{
	struct machine machines[5] = {0};
	unsigned numbers[5] = {0};

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned i = round % FORT_LEN(machines), number = seed * 100000 + round;

		if (machines[i].code)
			machine_free(&machines[i]);
		build(&machines[i], number, (round * seed) % 61);
		numbers[i] = number;
		if (machine_compile(&machines[i], FORT_ISOLATION_SFI))
			return "not compiled";
		for (unsigned k = 0; k < FORT_LEN(machines); k++) {
			if (!machines[k].code)
				continue;
			machines[k].run.fuel = MACHINE_FUEL;
			if (machine_run(&machines[k]) != numbers[k] || machines[k].run.abort.code)
				return "another one's result";
		}
	}
	for (unsigned i = 0; i < FORT_LEN(machines); i++)
		machine_free(&machines[i]);
	return NULL;
}

static void *load(void *argument)
{
	struct loader *loader = argument;

	loader->wrong = live(loader->seed);
	return NULL;
}

static void threads_load_and_unload(void **state)
{
	struct loader loaders[THREADS];
	struct machine m;

	compile(&m, 5, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		loaders[i] = (struct loader){.seed = i + 1};
		assert_int_equal(pthread_create(&loaders[i].thread, NULL, load, &loaders[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(loaders[i].thread, NULL), 0);
		if (loaders[i].wrong)
			fail_msg("thread %u: %s", i, loaders[i].wrong);
	}
	check_run(&m, 5);
	machine_free(&m);
}

/* --- forks --- */

static bool gives(struct machine *m, unsigned number)
{
	m->run.fuel = MACHINE_FUEL;
	return machine_run(m) == number && !m->run.abort.code;
}

/* What one side does to its programs is nothing to the other's. */
static void both_sides_of_a_fork_go_on(void **state)
{
	struct machine a, b, more;
	int ready[2], status;
	pid_t child;
	char byte;

	compile(&a, 1, 0);
	compile(&b, 2, 0);
	assert_int_equal(pipe(ready), 0);
	fort_code_pool_before_fork(machine_pool);
	child = fork();
	fort_code_pool_after_fork(machine_pool, !child);
	if (!child) {
		bool good = gives(&a, 1);

		machine_free(&b);
		compile(&more, 3, 0);
		good = good && gives(&more, 3);
		if (read(ready[0], &byte, 1) != 1) /* the other side has freed a, loaded others */
			_exit(2);
		_exit(good && gives(&a, 1) && gives(&more, 3) ? 0 : 1);
	}
	machine_free(&a);
	compile(&more, 4, 0);
	check_run(&b, 2);
	check_run(&more, 4);
	assert_int_equal(write(ready[1], "", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	check_run(&b, 2);
	check_run(&more, 4);
	machine_free(&b);
	machine_free(&more);
	close(ready[0]);
	close(ready[1]);
}

/* A child that nobody told us of frees and loads: it has files of its own, and ours stays. */
static void a_child_nobody_told_of_writes_nothing(void **state)
{
	struct machine a, b, more;
	int status;
	pid_t child;

	compile(&a, 1, 0);
	compile(&b, 2, 0);
	child = fork();
	if (!child) {
		machine_free(&b);
		compile(&more, 3, 0);
		_exit(gives(&more, 3) && !view_of(&more).gap ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	check_run(&a, 1);
	check_run(&b, 2);
	machine_free(&a);
	machine_free(&b);
}

/* --- what goes wrong --- */

static int other_file;

static void replace(int fd)
{
	assert_int_equal(dup2(other_file, fd), fd);
}

/* A host that closes descriptors that it does not know, and opens its own. */
static void somebody_elses_file_is_not_written(void **state)
{
	static uint8_t bytes[2u << 16];
	struct machine a, b, more;

	compile(&a, 1, 0);
	compile(&b, 2, 0);
	other_file = memfd_create("the host's", MFD_CLOEXEC);
	assert_true(other_file >= 0);
	assert_int_equal(ftruncate(other_file, sizeof(bytes)), 0);
	assert_true(for_descriptors(replace) > 0);
	compile(&more, 3, 0);
	check_run(&a, 1);
	check_run(&more, 3);
	machine_free(&b);
	check_run(&a, 1);
	machine_free(&a);
	check_run(&more, 3);
	machine_free(&more);
	assert_int_equal(pread(other_file, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_true(is_filled(bytes, bytes + sizeof(bytes), 0));
	close(other_file);
}

/* Without descriptors there is no pack, and no file either; afterwards there is. */
static void without_descriptors_it_fails_and_works_later(void **state)
{
	struct fort_code_pool *before = machine_pool;
	struct rlimit limit, none;
	struct machine m;

	machine_pool = NULL; /* one that has no pack yet */
	build(&m, 6, 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	m.engine->free(m.code);
	fort_code_pool_close(machine_pool);
	m.pool = machine_pool = NULL;
	m.pool = machine_open_pool();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){0, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(machine_compile(&m, FORT_ISOLATION_SFI), 0);
	assert_true(view_of(&m).gap > 0);
	check_run(&m, 6);
	machine_free(&m);
	fort_code_pool_close(machine_pool);
	machine_pool = before;
}

static void nothing_is_left_behind(void **state)
{
	struct fort_code_pool *before = machine_pool;
	unsigned parts = count_code(""), fds = for_descriptors(NULL);
	struct machine m;

	machine_pool = NULL;
	compile(&m, 6, 0);
	machine_free(&m);
	fort_code_pool_close(machine_pool);
	machine_pool = before;
	assert_int_equal(count_code(""), parts);
	assert_int_equal(for_descriptors(NULL), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_share_pages),
		cmocka_unit_test(what_is_nobodys_is_traps),
		cmocka_unit_test(a_freed_program_traps),
		cmocka_unit_test(nothing_in_it_can_be_written),
		cmocka_unit_test(nobody_can_cut_the_file),
		cmocka_unit_test(some_lie_alone),
		cmocka_unit_test(many_come_and_go),
		cmocka_unit_test(threads_load_and_unload),
		cmocka_unit_test(both_sides_of_a_fork_go_on),
		cmocka_unit_test(a_child_nobody_told_of_writes_nothing),
		cmocka_unit_test(somebody_elses_file_is_not_written),
		cmocka_unit_test(without_descriptors_it_fails_and_works_later),
		cmocka_unit_test(nothing_is_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
