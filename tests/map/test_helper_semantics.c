/* What helpers answer, compared with what libc and the kernel say of the same thing. */
#include "helper_test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include "helper/cpu.h"
#include "helper/trace_text.h"

#define PAGE 4096u

static struct fort_shared *shared;
static struct world world;

static int setup(void **state)
{
	struct fort_map *maps[] = {
		new_map(shared, BPF_MAP_TYPE_ARRAY, 4, 2 * PAGE, 2, 0),
		new_map(shared, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 4, 0),
		new_map(shared, BPF_MAP_TYPE_HASH, 4, 8, 4, 0),
	};

	world_open(&world, shared, maps, FORT_LEN(maps));
	return 0;
}

static int teardown(void **state)
{
	world_close(&world);
	return 0;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void clocks(void **state)
{
	fort_clock_fn *vdso = world.host.clock;

	assert_non_null(vdso);
	for (unsigned with = 0; with < 2; with++) {
		world.host.clock = with ? vdso : NULL;
		for (unsigned i = 0; i < 1000; i++) {
			uint64_t before = now_ns(CLOCK_MONOTONIC);
			uint64_t said = call(&world, BPF_FUNC_ktime_get_ns, 0, 0, 0, 0, 0);

			assert_in_range(said, before, now_ns(CLOCK_MONOTONIC));
			before = now_ns(CLOCK_BOOTTIME);
			said = call(&world, BPF_FUNC_ktime_get_boot_ns, 0, 0, 0, 0, 0);
			assert_in_range(said, before, now_ns(CLOCK_BOOTTIME));
			before = now_ns(CLOCK_MONOTONIC_COARSE);
			said = call(&world, BPF_FUNC_ktime_get_coarse_ns, 0, 0, 0, 0, 0);
			assert_in_range(said, before, now_ns(CLOCK_MONOTONIC_COARSE));
		}
	}
}

static void *ask_who(void *arg)
{
	struct world *w = arg;
	char *comm = stack_at(w, 64);

	prctl(PR_SET_NAME, "a thread");
	fort_services_forget(&w->services);
	memset(comm, 0x55, 64);
	assert_int_equal(call(w, BPF_FUNC_get_current_comm, stack_address(w, 64), 20, 0, 0, 0), 0);
	assert_memory_equal(comm, "a thread\0\0\0\0\0\0\0\0\0\0\0\0U", 21);
	assert_int_equal(call(w, BPF_FUNC_get_current_comm, stack_address(w, 64), 4, 0, 0, 0), 0);
	assert_memory_equal(comm, "a t\0", 4);
	assert_int_equal(call(w, BPF_FUNC_get_current_comm, stack_address(w, 64), 1, 0, 0, 0), 0);
	assert_int_equal(comm[0], 0);
	assert_int_equal(call(w, BPF_FUNC_get_current_pid_tgid, 0, 0, 0, 0, 0),
			 (uint64_t)getpid() << 32 | (uint32_t)gettid());
	assert_int_not_equal(getpid(), gettid());
	return NULL;
}

static void identity(void **state)
{
	pthread_t thread;

	assert_int_equal(call(&world, BPF_FUNC_get_current_pid_tgid, 0, 0, 0, 0, 0),
			 (uint64_t)getpid() << 32 | (uint32_t)getpid());
	assert_int_equal(call(&world, BPF_FUNC_get_current_uid_gid, 0, 0, 0, 0, 0),
			 (uint64_t)getgid() << 32 | getuid());
	assert_int_equal(pthread_create(&thread, NULL, ask_who, &world), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	fort_services_forget(&world.services);
	world.run.hit.cookie = 0x1122334455667788;
	assert_int_equal(call(&world, BPF_FUNC_get_attach_cookie, world.run.ctx, 0, 0, 0, 0),
			 0x1122334455667788);
}

static void processors(void **state)
{
	static const enum fort_cpu_source all[] = {FORT_CPU_RDPID, FORT_CPU_LSL, FORT_CPU_SYSCALL};
	enum fort_cpu_source best = world.host.cpu_source;
	cpu_set_t before, one;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		for (unsigned i = 0; i < FORT_LEN(all); i++) {
			if (all[i] == FORT_CPU_RDPID && best != FORT_CPU_RDPID)
				continue;
			world.host.cpu_source = all[i];
			assert_int_equal(call(&world, BPF_FUNC_get_smp_processor_id, 0, 0, 0, 0, 0),
					 cpu);
		}
	}
	world.host.cpu_source = best;
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

static void random_numbers(void **state)
{
	struct fort_services other = {.host = &world.host};
	struct fort_services *own = world.run.services;
	uint32_t ones[32] = {0};
	uint64_t first[16];
	unsigned same = 0;

	for (unsigned i = 0; i < 4096; i++) {
		uint64_t word = call(&world, BPF_FUNC_get_prandom_u32, 0, 0, 0, 0, 0);

		assert_int_equal(word >> 32, 0);
		for (unsigned bit = 0; bit < 32; bit++)
			ones[bit] += word >> bit & 1;
		if (i < FORT_LEN(first))
			first[i] = word;
	}
	for (unsigned bit = 0; bit < 32; bit++) /* mean 2048, deviation 32 */
		assert_in_range(ones[bit], 2048 - 10 * 32, 2048 + 10 * 32);
	world.run.services = &other;
	for (unsigned i = 0; i < FORT_LEN(first); i++)
		same += call(&world, BPF_FUNC_get_prandom_u32, 0, 0, 0, 0, 0) == first[i];
	assert_int_equal(same, 0);
	world.run.services = own;
	other = *own;
	fort_services_forget(own); /* the child of a fork */
	for (unsigned i = 0; i < FORT_LEN(first); i++) {
		uint64_t word = call(&world, BPF_FUNC_get_prandom_u32, 0, 0, 0, 0, 0);

		world.run.services = &other;
		same += call(&world, BPF_FUNC_get_prandom_u32, 0, 0, 0, 0, 0) == word;
		world.run.services = own;
	}
	assert_int_equal(same, 0);
}

/* Two pages, the second of which cannot be read. */
static uint8_t *page_before_nothing(void)
{
	uint8_t *at =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mprotect(at + PAGE, PAGE, PROT_NONE), 0);
	for (uint32_t i = 0; i < PAGE; i++)
		at[i] = (uint8_t)(i % 255 + 1);
	return at;
}

/* One address space under three names. */
static const int readers[] = {BPF_FUNC_probe_read_user, BPF_FUNC_probe_read_kernel,
			      BPF_FUNC_probe_read};
static const int string_readers[] = {BPF_FUNC_probe_read_user_str, BPF_FUNC_probe_read_kernel_str,
				     BPF_FUNC_probe_read_str};
static unsigned variant;

static int64_t read_user(uint64_t bytes, const void *from)
{
	memset(stack_at(&world, 256), 0x55, 256);
	return (int64_t)call(&world, readers[variant], stack_address(&world, 256), bytes,
			     (uint64_t)(uintptr_t)from, 0, 0);
}

static void all_bytes(uint8_t value, uint32_t bytes)
{
	const uint8_t *at = stack_at(&world, 256);

	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(at[i], value);
	if (bytes < 256)
		assert_int_equal(at[bytes], 0x55);
}

static void read_memory(void)
{
	uint8_t *page = page_before_nothing(), *out = stack_at(&world, 256);
	struct fort_range range = {(uint64_t)(uintptr_t)page, (uint64_t)(uintptr_t)page + 16};
	sigset_t all, before;

	assert_int_equal(read_user(64, page + PAGE - 64), 0);
	assert_memory_equal(out, page + PAGE - 64, 64);
	assert_int_equal(out[64], 0x55);
	sigfillset(&all); /* no signal is needed */
	sigprocmask(SIG_BLOCK, &all, &before);
	assert_int_equal(read_user(64, page + PAGE - 63), -EFAULT);
	all_bytes(0, 64);
	assert_int_equal(read_user(64, page + PAGE), -EFAULT);
	all_bytes(0, 64);
	assert_int_equal(read_user(64, NULL), -EFAULT);
	assert_int_equal(read_user(64, (void *)-8), -EFAULT); /* wraps */
	all_bytes(0, 64);
	assert_int_equal(read_user(64, (void *)0xffffffff81000000), -EFAULT); /* the kernel's */
	assert_int_equal(read_user(64, (void *)0x8000000000000000), -EFAULT);
	sigprocmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(read_user(0, NULL), 0);
	all_bytes(0x55, 256);

	world.host.ranges = &range;
	world.host.n_ranges = 1;
	assert_int_equal(read_user(8, page + 15), -EFAULT);
	all_bytes(0, 8);
	assert_int_equal(read_user(8, page + 16), 0);
	assert_int_equal(read_user(8, page - 8), -EFAULT); /* in front of it: not mapped */
	world.host.n_ranges = 0;
	/* The program's own memory, and the window where nothing is. */
	assert_int_equal(read_user(8, stack_at(&world, 8)), 0);
	assert_int_equal(read_user(8, world.domain.window.base), -EFAULT);
	munmap(page, 2 * PAGE);
}

static int64_t read_string(uint64_t room, const void *from)
{
	memset(stack_at(&world, 256), 0x55, 256);
	return (int64_t)call(&world, string_readers[variant], stack_address(&world, 256), room,
			     (uint64_t)(uintptr_t)from, 0, 0);
}

static void read_strings(void)
{
	uint8_t *page = page_before_nothing();
	char *out = stack_at(&world, 256);

	assert_int_equal(read_string(64, "hello"), 6);
	assert_memory_equal(out, "hello\0UU", 8);
	assert_int_equal(read_string(6, "hello"), 6);
	assert_memory_equal(out, "hello\0U", 7);
	assert_int_equal(read_string(5, "hello"), 5);
	assert_memory_equal(out, "hell\0U", 6);
	assert_int_equal(read_string(1, "hello"), 1);
	assert_memory_equal(out, "\0U", 2);
	assert_int_equal(read_string(0, "hello"), 0);
	assert_int_equal(out[0], 0x55);
	assert_int_equal(read_string(9, ""), 1);

	page[PAGE - 1] = 0; /* ends with the page */
	assert_int_equal(read_string(64, page + PAGE - 10), 10);
	assert_string_equal(out, (char *)page + PAGE - 10);
	page[PAGE - 1] = 'x'; /* does not end */
	assert_int_equal(read_string(64, page + PAGE - 10), -EFAULT);
	all_bytes(0, 64);
	assert_int_equal(read_string(10, page + PAGE - 10), 10); /* cut in time */
	assert_int_equal(out[9], 0);
	assert_int_equal(read_string(64, NULL), -EFAULT);
	munmap(page, 2 * PAGE);
}

static void reading_memory(void **state)
{
	for (variant = 0; variant < FORT_LEN(readers); variant++)
		read_memory();
	variant = 0;
}

static void reading_strings(void **state)
{
	for (variant = 0; variant < FORT_LEN(readers); variant++)
		read_strings();
	variant = 0;
}

/* Longer than a piece, over several pages, into a map's value. */
static void long_strings(void **state)
{
	uint64_t to = fort_domain_address(&world.domain, world.domain.map_start[0]);
	char *text = malloc(3 * PAGE);

	for (uint32_t length = 480; length < 2 * PAGE + 20; length += 61) {
		uint64_t room = 2 * PAGE, wrote = length < room ? length + 1 : room;

		memset(text, 'a' + length % 26, length);
		text[length] = 0;
		assert_int_equal(call(&world, BPF_FUNC_probe_read_user_str, to, room,
				      (uint64_t)(uintptr_t)text, 0, 0),
				 wrote);
		assert_int_equal(strlen(window_at(&world, to)), wrote - 1);
		assert_memory_equal(window_at(&world, to), text, wrote - 1);
	}
	free(text);
}

/* Pointers to values lie in the window, at the value; per-CPU maps give this processor's. */
static void lookups(void **state)
{
	uint64_t key = stack_address(&world, 8), value = stack_address(&world, 16), found;
	uint32_t *index = stack_at(&world, 8);
	uint64_t *word = stack_at(&world, 16);
	cpu_set_t before, one;

	*index = 1;
	found = call(&world, BPF_FUNC_map_lookup_elem, fort_map_handle(0), key, 0, 0, 0);
	assert_int_equal(found,
			 fort_domain_address(&world.domain, world.domain.map_start[0] + 2 * PAGE));
	*index = 2;
	assert_int_equal(call(&world, BPF_FUNC_map_lookup_elem, fort_map_handle(0), key, 0, 0, 0),
			 0);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		*word = 1000 + (uint64_t)cpu;
		assert_int_equal(call(&world, BPF_FUNC_map_update_elem, fort_map_handle(1), key,
				      value, 0, 0),
				 0);
		found = call(&world, BPF_FUNC_map_lookup_elem, fort_map_handle(1), key, 0, 0, 0);
		assert_int_equal(*(uint64_t *)window_at(&world, found), 1000 + cpu);
		assert_int_equal(call(&world, BPF_FUNC_map_lookup_percpu_elem, fort_map_handle(1),
				      key, (uint64_t)cpu, 0, 0),
				 found);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(call(&world, BPF_FUNC_map_lookup_percpu_elem, fort_map_handle(1), key,
			      world.maps[1]->n_cpus, 0, 0),
			 0);
	assert_int_equal(call(&world, BPF_FUNC_map_lookup_percpu_elem, fort_map_handle(1), key,
			      UINT32_MAX, 0, 0),
			 0);
}

static void printing(void **state)
{
	static const char format[] = "n=%d s=%s";
	uint8_t record[FORT_TRACE_RECORD_MAX];
	struct fort_ring_reader reader;
	struct fort_text text = fort_text_new();
	struct fort_map *trace;
	uint32_t bytes;
	char expected[64];

	memcpy(stack_at(&world, 64), format, sizeof(format));
	assert_int_equal(call(&world, BPF_FUNC_trace_printk, stack_address(&world, 64),
			      sizeof(format), 42, (uint64_t)(uintptr_t) "text", 0),
			 11); /* nobody listens */
	assert_int_equal(fort_trace_create(shared, &trace), 0);
	world.host.trace = trace;
	fort_ring_reader_init(&reader, trace);
	assert_int_equal(call(&world, BPF_FUNC_trace_printk, stack_address(&world, 64),
			      sizeof(format), 42, (uint64_t)(uintptr_t) "text", 0),
			 11);
	prctl(PR_SET_NAME, "printer");
	assert_int_equal(call(&world, BPF_FUNC_trace_printk, stack_address(&world, 64),
			      sizeof(format), 43, (uint64_t)(uintptr_t) "text", 0),
			 11);
	assert_int_equal(fort_ring_read(&reader, record, sizeof(record), &bytes), 1);
	assert_int_equal(fort_ring_read(&reader, record, sizeof(record), &bytes), 1);
	assert_int_equal(fort_trace_text(&text, record, bytes), 0);
	snprintf(expected, sizeof(expected), "         printer-%-7d [", gettid());
	assert_memory_equal(text.data, expected, strlen(expected));
	assert_non_null(strstr(text.data, ": bpf_trace_printk: n=43 s=text\n"));
	assert_int_equal(fort_ring_read(&reader, record, sizeof(record), &bytes), 0);
	assert_int_equal(fort_trace_text(&text, record, 31), -EBADMSG);
	/* A full ring drops lines and counts them. */
	while (!fort_map_dropped(trace))
		assert_int_equal(call(&world, BPF_FUNC_trace_printk, stack_address(&world, 64),
				      sizeof(format), 42, (uint64_t)(uintptr_t) "text", 0),
				 11);
	world.host.trace = NULL;
	fort_map_close(trace);
	fort_text_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks),         cmocka_unit_test(identity),
		cmocka_unit_test(processors),     cmocka_unit_test(random_numbers),
		cmocka_unit_test(reading_memory), cmocka_unit_test(reading_strings),
		cmocka_unit_test(long_strings),   cmocka_unit_test(lookups),
		cmocka_unit_test(printing),
	};

	shared = new_shared();
	return cmocka_run_group_tests_name("helper_semantics", tests, setup, teardown);
}
