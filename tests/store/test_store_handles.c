/* Descriptors and lifetimes of the embedded store: what they are recognised by, and when what
 * they stand for goes away. No kernel bpf(2) is needed.
 */
#include "store_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* --- what descriptors are --- */

static void every_descriptor_is_close_on_exec(void **state)
{
	int fds[] = {make_map(), make_btf(), make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit")};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(fds); i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
}

/* bpftool tells maps by the name behind their descriptor. */
static void map_descriptor_has_the_maps_name(void **state)
{
	char path[64], name[64] = "";
	int map = make_map();

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", map);
	assert_true(readlink(path, name, sizeof(name) - 1) > 0);
	assert_non_null(strstr(name, "bpf-map:m"));
	close(map);
}

static void copies_are_the_same_object(void **state)
{
	int map = make_map(), copy = dup(map), other = make_map(), value_fd;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(put(map, 11), 0);
	assert_int_equal(get(copy, &value), 0);
	assert_int_equal(value, 11);
	/* dup3 over the number of another map: the number means the first now */
	assert_int_equal(dup3(map, other, O_CLOEXEC), other);
	value = 0;
	assert_int_equal(get(other, &value), 0);
	assert_int_equal(value, 11);
	assert_int_equal(maps(), 1);
	value_fd = fcntl(map, F_DUPFD_CLOEXEC, 200);
	assert_int_equal(get(value_fd, &value), 0);
	close(map);
	close(copy);
	close(other);
	assert_int_equal(maps(), 1);
	assert_int_equal(get(value_fd, &value), 0);
	close(value_fd);
	assert_int_equal(maps(), 0);
}

/* A number that is closed and comes back as something else. */
static void reused_numbers(void **state)
{
	int prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"), map = make_map(), ends[2];
	uint64_t value;

	(void)state;
	close(map);
	assert_int_equal(get(map, &value), -EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(get(ends[0], &value), -EINVAL);
	assert_int_equal(dup2(ends[0], map), map);
	assert_int_equal(get(map, &value), -EINVAL);
	assert_int_equal(dup2(prog, map), map);
	assert_int_equal(get(map, &value), -EINVAL);
	assert_int_equal(get(open("/dev/null", O_RDWR), &value), -EINVAL);
	assert_int_equal(get(memfd_create("bpf-map:m", 0), &value), -EINVAL);
	close(ends[0]);
	close(ends[1]);
	close(prog);
	close(map);
}

/* B1: two loaders in one process, the same numbers and names, nothing in common. */
static void two_stores(void **state)
{
	struct fort_store *other;
	int mine = make_map(), theirs;
	uint64_t value = 0;
	uint32_t key = 1;
	union fort_attr attr;

	(void)state;
	assert_int_equal(fort_store_create(&other), 0);
	theirs = make_map_in(other, BPF_MAP_TYPE_ARRAY, 0);
	assert_int_equal(put(mine, 5), 0);
	attr = (union fort_attr){
		.elem = {.map_fd = (uint32_t)theirs, .key = PTR(&key), .value = PTR(&value)}};
	assert_int_equal(bpf_in(other, FORT_CMD_MAP_LOOKUP_ELEM, &attr), 0);
	assert_int_equal(value, 0);
	assert_int_equal(get(theirs, &value), -EINVAL);
	attr.elem.map_fd = (uint32_t)mine;
	assert_int_equal(bpf_in(other, FORT_CMD_MAP_LOOKUP_ELEM, &attr), -EINVAL);
	fort_store_free(other);
	assert_int_equal(get(mine, &value), 0);
	assert_int_equal(value, 5);
	close(mine);
	close(theirs);
}

/* --- the last close --- */

static void last_close(void **state)
{
	int map = make_map(), btf = make_btf(),
	    prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");

	(void)state;
	assert_int_equal(maps() + btfs() + progs(), 3);
	close(map);
	assert_int_equal(maps(), 0);
	close(btf);
	assert_int_equal(btfs(), 0);
	assert_int_equal(recording.unloads, 0);
	close(prog);
	assert_int_equal(progs(), 0);
	assert_int_equal(recording.unloads, 1);
}

/* Objects use others: a program its maps, a map its BTF, and so on. */
static void references_keep_objects(void **state)
{
	int map = make_map(), prog;
	char text[100];

	(void)state;
	snprintf(text, sizeof(text), "lddw r1, map_fd %d\nmov r0, 0\nexit", map);
	prog = make_prog(BPF_PROG_TYPE_KPROBE, text);
	close(map);
	assert_int_equal(maps(), 1);
	close(prog);
	assert_int_equal(progs(), 0);
	assert_int_equal(maps(), 0);
}

static void a_map_keeps_its_btf(void **state)
{
	int btf = make_btf();
	union fort_attr attr = {.map_create = {.map_type = BPF_MAP_TYPE_ARRAY,
					       .key_size = 4,
					       .value_size = 32,
					       .max_entries = 1,
					       .btf_fd = (uint32_t)btf,
					       .btf_key_type_id = S_INT,
					       .btf_value_type_id = S_STRUCT}};
	int map = (int)bpf_in(store, FORT_CMD_MAP_CREATE, &attr);

	(void)state;
	assert_true(map >= 0);
	close(btf);
	assert_int_equal(btfs(), 1);
	close(map);
	assert_int_equal(maps(), 0);
	assert_int_equal(btfs(), 0);
}

static void bound_maps_stay(void **state)
{
	int map = make_map(), prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
	union fort_attr attr = {.bind_map = {.prog_fd = (uint32_t)prog, .map_fd = (uint32_t)map}};

	(void)state;
	assert_int_equal(bpf_in(store, FORT_CMD_PROG_BIND_MAP, &attr), 0);
	assert_int_equal(bpf_in(store, FORT_CMD_PROG_BIND_MAP, &attr), 0);
	close(map);
	assert_int_equal(maps(), 1);
	close(prog);
	assert_int_equal(progs() + maps(), 0);
}

static void a_failed_load_keeps_nothing(void **state)
{
	int map = make_map();
	struct fort_arena arena;
	struct fort_assembly assembly;
	struct fort_asm_error error;
	union fort_attr attr = {
		.prog_load = {.prog_type = BPF_PROG_TYPE_KPROBE, .license = PTR("GPL")}};
	char text[100];

	(void)state;
	snprintf(text, sizeof(text), "lddw r1, map_fd %d\nmov r0, 0\nexit", map);
	fort_arena_init(&arena, 1 << 20);
	assert_int_equal(fort_assemble(&arena, text, strlen(text), &assembly, &error), 0);
	attr.prog_load.insns = PTR(assembly.insns);
	attr.prog_load.insn_cnt = assembly.n_insns;
	recording.load_result = -EACCES;
	assert_int_equal(bpf_in(store, FORT_CMD_PROG_LOAD, &attr), -EACCES);
	assert_int_equal(progs(), 0);
	close(map);
	assert_int_equal(maps(), 0);
	fort_arena_free(&arena);
}

/* The policy is that of the load; each program counts in a place of its own. Places that were given
 * back are used again, in another generation. */
static void policies_and_places_of_programs(void **state)
{
	const struct fort_crash_policy policy = {5, FORT_CRASH_DETACH}, none = {0};
	bool seen[FORT_CRASH_PLACES] = {false};
	struct fort_crash_place first = {0};
	int programs[200];
	uint32_t again = 0;

	fort_store_set_crash_policy(store, &policy);
	for (uint32_t i = 0; i < FORT_LEN(programs); i++) {
		const struct fort_crash_place *place = &recording.request.crash_place;

		programs[i] = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
		assert_memory_equal(&recording.request.crash, &policy, sizeof(policy));
		assert_true(place->index < FORT_CRASH_PLACES && !seen[place->index]);
		seen[place->index] = true;
		if (!i)
			first = *place;
	}
	fort_store_set_crash_policy(store, &none);
	close(programs[0]);
	for (uint32_t i = 0; i < FORT_CRASH_PLACES && !again; i++) {
		close(make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"));
		assert_memory_equal(&recording.request.crash, &none, sizeof(none));
		if (recording.request.crash_place.index == first.index)
			again = recording.request.crash_place.generation;
	}
	assert_int_equal(again, first.generation + 1);
	for (uint32_t i = 1; i < FORT_LEN(programs); i++)
		close(programs[i]);
}

/* More programs than places: the last have none, and count by themselves. */
static void without_a_place(void **state)
{
	static int copies[FORT_CRASH_PLACES];
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max < 4 * FORT_CRASH_PLACES) {
		print_message("# not so many descriptors\n");
		skip();
	}
	limit.rlim_cur = 4 * FORT_CRASH_PLACES;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (uint32_t i = 0; i < FORT_CRASH_PLACES; i++)
		copies[i] = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
	assert_true(recording.request.crash_place.index < FORT_CRASH_PLACES);
	close(make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"));
	assert_int_equal(recording.request.crash_place.index, FORT_CRASH_PLACES);
	for (uint32_t i = 0; i < FORT_CRASH_PLACES; i++)
		close(copies[i]);
	close(make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"));
	assert_true(recording.request.crash_place.index < FORT_CRASH_PLACES);
}

/* What is sealed is never given back, so there is a last one. */
static void sealed_programs_are_counted(void **state)
{
	union fort_attr attr = {
		.prog_load = {.prog_type = BPF_PROG_TYPE_KPROBE, .license = PTR("GPL")}};
	static const struct fort_raw_insn insns[2] = {{.opcode = 0xb7}, {.opcode = 0x95}};
	int err = fort_store_set_sealing(store, true);

	if (err == -EOPNOTSUPP) {
		print_message("# the kernel has no mseal(2)\n");
		skip();
	}
	assert_int_equal(err, 0);
	attr.prog_load.insns = PTR(insns);
	attr.prog_load.insn_cnt = FORT_LEN(insns);
	for (uint32_t i = 0; i < FORT_SEALED_MAX; i++) {
		close(make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"));
		assert_true(recording.request.seal);
	}
	assert_int_equal(bpf_in(store, FORT_CMD_PROG_LOAD, &attr), -ENOSPC);
	assert_int_equal(fort_store_set_sealing(store, false), 0);
	close(make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"));
	assert_false(recording.request.seal);
}

/* Each descriptor by id is one of its own: the object lives as long as one of them. */
static void descriptors_by_id(void **state)
{
	int prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"), map = make_map(), second,
	    third;
	union fort_attr attr = {0};

	(void)state;
	assert_int_equal(bpf_in(store, FORT_CMD_PROG_GET_NEXT_ID, &attr), 0);
	attr = (union fort_attr){.by_id.id = attr.by_id.next_id};
	second = (int)bpf_in(store, FORT_CMD_PROG_GET_FD_BY_ID, &attr);
	assert_true(second >= 0);
	close(prog);
	assert_int_equal(progs(), 1);
	attr = (union fort_attr){0};
	assert_int_equal(bpf_in(store, FORT_CMD_MAP_GET_NEXT_ID, &attr), 0);
	attr = (union fort_attr){.by_id.id = attr.by_id.next_id};
	third = (int)bpf_in(store, FORT_CMD_MAP_GET_FD_BY_ID, &attr);
	assert_true(third >= 0);
	close(map);
	assert_int_equal(maps(), 1);
	assert_int_equal(put(third, 3), 0);
	close(second);
	close(third);
	assert_int_equal(progs() + maps(), 0);
}

/* A mapping keeps a map, in the kernel and here. */
static void a_mapping_keeps_the_map(void **state)
{
	int map = make_map();
	uint64_t *values = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0), value = 0;

	(void)state;
	assert_ptr_not_equal(values, MAP_FAILED);
	assert_int_equal(put(map, 42), 0);
	assert_int_equal(values[1], 42);
	values[1] = 43;
	assert_int_equal(get(map, &value), 0);
	assert_int_equal(value, 43);
	close(map);
	assert_int_equal(maps(), 1);
	munmap(values, 4096);
	assert_int_equal(maps(), 0);
}

static void wait_for(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
}

/* Descriptors in another process count too, until it dies, whatever it dies of. */
static void other_processes(void **state)
{
	int map, prog, ready[2];
	pid_t child;
	char byte;

	(void)state;
	for (int killed = 0; killed < 2; killed++) {
		map = make_map();
		prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
		assert_int_equal(pipe(ready), 0);
		child = fork();
		assert_true(child >= 0);
		if (!child) {
			if (write(ready[1], "x", 1) != 1)
				_exit(1);
			if (killed)
				for (;;)
					pause();
			usleep(50000);
			_exit(0);
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
		close(map);
		close(prog);
		assert_int_equal(maps() + progs(), 2);
		if (killed)
			kill(child, SIGKILL);
		wait_for(child);
		assert_int_equal(maps() + progs(), 0);
		close(ready[0]);
		close(ready[1]);
	}
}

static void send_fds(int socket, const int *fds, unsigned n)
{
	char control[CMSG_SPACE(sizeof(int) * 4)] = {0}, byte = 'x';
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(header), fds, sizeof(int) * n);
	assert_int_equal(sendmsg(socket, &message, 0), 1);
}

static void receive_fds(int socket, int *fds, unsigned n)
{
	char control[CMSG_SPACE(sizeof(int) * 4)], byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};

	assert_int_equal(recvmsg(socket, &message, 0), 1);
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int) * n);
}

/* Passed through a socket and back: the same objects under new numbers, alive meanwhile. */
static void passed_descriptors(void **state)
{
	int ends[2], fds[2] = {make_map(), make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit")},
		     back[2];
	union fort_attr attr = {0};
	uint64_t value = 0;

	(void)state;
	assert_int_equal(put(fds[0], 9), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	send_fds(ends[0], fds, 2);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(maps() + progs(), 2); /* in flight */
	receive_fds(ends[1], back, 2);
	assert_int_equal(get(back[0], &value), 0);
	assert_int_equal(value, 9);
	attr.bind_map.prog_fd = (uint32_t)back[1];
	attr.bind_map.map_fd = (uint32_t)back[0];
	assert_int_equal(bpf_in(store, FORT_CMD_PROG_BIND_MAP, &attr), 0);
	close(back[0]);
	close(back[1]);
	assert_int_equal(progs() + maps(), 0);
	close(ends[0]);
	close(ends[1]);
}

/* The child of a fork has a store of its own on the same maps; what it closes and makes does not
 * disturb its parent. */
static void forked_store(void **state)
{
	int map = make_map(), prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
	uint64_t value = 0;
	pid_t child;

	(void)state;
	fort_store_before_fork(store);
	child = fork();
	fort_store_after_fork(store, !child);
	if (!child) {
		bool good = !put(map, 77) && maps() == 1 && progs() == 1;

		close(prog); /* one of two copies */
		good = good && progs() == 1;
		close(make_map());
		good = good && maps() == 1;
		_exit(good ? 0 : 1);
	}
	wait_for(child);
	assert_int_equal(get(map, &value), 0);
	assert_int_equal(value, 77);
	assert_int_equal(maps() + progs(), 2);
	close(map);
	close(prog);
	assert_int_equal(progs() + maps(), 0);
}

/* Ids go round; one that was given back is not the next to be given out. */
static void ids_are_not_reused_soon(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (int i = 0; i < 50; i++) {
		union fort_attr attr = {0};
		int map = make_map();

		assert_int_equal(bpf_in(store, FORT_CMD_MAP_GET_NEXT_ID, &attr), 0);
		assert_true(attr.by_id.next_id > last);
		last = attr.by_id.next_id;
		close(map);
		assert_int_equal(maps(), 0);
	}
}

/* Freeing the store leaves descriptors that belong to nothing. */
static void freed_store(void **state)
{
	struct fort_store *other;
	char byte;
	int map;

	(void)state;
	assert_int_equal(fort_store_create(&other), 0);
	map = make_map_in(other, BPF_MAP_TYPE_HASH, 0);
	fort_store_free(other);
	assert_int_equal(pread(map, &byte, 1, 0), 1);
	assert_int_equal(get(map, &(uint64_t){0}), -EINVAL);
	close(map);
}

/* --- many threads --- */

static void *churn(void *argument)
{
	uint64_t seed = (uintptr_t)argument, value;

	for (int i = 0; i < 300; i++) {
		union fort_attr attr = {.map_create = {.map_type = BPF_MAP_TYPE_HASH,
						       .key_size = 4,
						       .value_size = 8,
						       .max_entries = 4}};
		int map = (int)bpf_in(store, FORT_CMD_MAP_CREATE, &attr), btf = make_btf();

		if (map < 0 || put(map, seed + (uint64_t)i) || get(map, &value) ||
		    value != seed + (uint64_t)i)
			return (void *)1;
		fort_store_reap(store);
		close(map);
		close(btf);
	}
	return NULL;
}

static void threads(void **state)
{
	pthread_t thread[4];
	void *result;

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, churn, (void *)(i * 1000)), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &result), 0);
		assert_null(result);
	}
	assert_int_equal(maps() + btfs(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_descriptor_is_close_on_exec),
		TEST(map_descriptor_has_the_maps_name),
		TEST(copies_are_the_same_object),
		TEST(reused_numbers),
		TEST(two_stores),
		TEST(last_close),
		TEST(references_keep_objects),
		TEST(a_map_keeps_its_btf),
		TEST(bound_maps_stay),
		TEST(a_failed_load_keeps_nothing),
		TEST(policies_and_places_of_programs),
		TEST(without_a_place),
		TEST(sealed_programs_are_counted),
		TEST(descriptors_by_id),
		TEST(a_mapping_keeps_the_map),
		TEST(other_processes),
		TEST(passed_descriptors),
		TEST(forked_store),
		TEST(ids_are_not_reused_soon),
		TEST(freed_store),
		TEST(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
