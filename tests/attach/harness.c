#include "tests/attach/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/attach/stage.h"

#define NOBODY  65534
#define WAIT_US 10000000ull

uint64_t harness_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const char *harness_program(const char *variable)
{
	const char *path = getenv(variable);

	if (!path)
		fail_msg("%s is not set: run by meson", variable);
	return path;
}

struct fort_span harness_read(const char *variable)
{
	struct fort_span span;
	struct stat stat;
	int fd = open(harness_program(variable), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && !fstat(fd, &stat));
	span.data = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(span.data, MAP_FAILED);
	span.bytes = (size_t)stat.st_size;
	close(fd);
	return span;
}

struct fort_span harness_agent(void)
{
	static struct fort_span span;

	if (!span.data)
		span = harness_read("TEST_AGENT");
	return span;
}

/* Victims that run, for the end of a test that fails. */
static pid_t running[16];

static void forget(pid_t pid)
{
	for (size_t i = 0; i < FORT_LEN(running); i++)
		if (running[i] == pid)
			running[i] = 0;
}

static void remember(pid_t pid)
{
	size_t i = 0;

	while (running[i])
		assert_true(++i < FORT_LEN(running));
	running[i] = pid;
}

static int kill_running(void **state)
{
	for (size_t i = 0; i < FORT_LEN(running); i++) {
		if (!running[i])
			continue;
		kill(running[i], SIGKILL);
		waitpid(running[i], NULL, 0);
		running[i] = 0;
	}
	return 0;
}

struct victim harness_start(const char *variable, const char *mode, int threads)
{
	const char *program = harness_program(variable);
	struct victim victim = {.fd = memfd_create("victim", MFD_CLOEXEC)};
	uint64_t late = harness_now_us() + WAIT_US;
	char count[16];

	assert_true(victim.fd >= 0);
	assert_int_equal(ftruncate(victim.fd, sizeof(*victim.control)), 0);
	victim.control = mmap(NULL, sizeof(*victim.control), PROT_READ | PROT_WRITE, MAP_SHARED,
			      victim.fd, 0);
	assert_ptr_not_equal(victim.control, MAP_FAILED);
	snprintf(count, sizeof(count), "%d", threads);
	victim.pid = fork();
	if (!victim.pid) {
		dup2(victim.fd, VICTIM_FD);
		fcntl(VICTIM_FD, F_SETFD, 0); /* it may have been that one before */
		execl(program, "victim", mode, count, (char *)NULL);
		_exit(127);
	}
	remember(victim.pid);
	while (!victim.control->ready && harness_now_us() < late)
		usleep(200);
	assert_true(victim.control->ready);
	return victim;
}

static int reap(struct victim *victim)
{
	uint64_t late = harness_now_us() + WAIT_US;
	int status = -1;

	while (waitpid(victim->pid, &status, WNOHANG) == 0) {
		if (harness_now_us() > late)
			fail_msg("victim %d does not end", (int)victim->pid);
		usleep(500);
	}
	forget(victim->pid);
	munmap(victim->control, sizeof(*victim->control));
	close(victim->fd);
	return status;
}

void harness_end(struct victim *victim)
{
	uint64_t wrong;
	int status;

	victim->control->stop = 1;
	wrong = victim->control->wrong;
	status = reap(victim);
	if (status)
		fail_msg("victim ended with status %#x, %" PRIu64 " wrong results", status, wrong);
}

void harness_kill(struct victim *victim)
{
	kill(victim->pid, SIGKILL);
	reap(victim);
}

uint64_t harness_calls(const struct victim *victim)
{
	uint64_t calls = 0;

	for (int i = 0; i < VICTIM_THREADS; i++)
		calls += victim->control->thread[i].calls;
	return calls;
}

void harness_progress(const struct victim *victim, uint64_t calls)
{
	uint64_t wanted = victim->control->thread[0].calls + calls;
	uint64_t late = harness_now_us() + WAIT_US;

	while (victim->control->thread[0].calls < wanted) {
		if (harness_now_us() > late)
			fail_msg("victim %d makes no progress", (int)victim->pid);
		usleep(100);
	}
}

void harness_hold(const struct victim *victim, uint32_t threads)
{
	uint64_t late = harness_now_us() + WAIT_US;

	victim->control->hold = 1;
	while (victim->control->held < threads) {
		if (harness_now_us() > late)
			fail_msg("victim %d does not pause", (int)victim->pid);
		usleep(100);
	}
}

void harness_go_on(const struct victim *victim)
{
	victim->control->hold = 0;
	while (victim->control->held)
		usleep(100);
}

void harness_aim_load(struct aim *aim)
{
	struct fort_text why = fort_text_new();
	int fd = memfd_create("counting", MFD_CLOEXEC), err;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(struct counting)), 0);
	aim->counting =
		mmap(NULL, sizeof(struct counting), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = fort_target_load(aim->target, (struct fort_span){(const uint8_t *)"c", 1}, &fd, 1,
			       &aim->package, &why);
	if (err)
		fail_msg("load: %d %s", err, why.data);
	close(fd);
	fort_text_free(&why);
}

struct aim harness_aim(pid_t pid)
{
	struct fort_target_options options = {.agent = harness_agent()};
	struct fort_text why = fort_text_new();
	struct aim aim = {0};
	int err = fort_target_open(pid, &options, &aim.target, &why);

	if (err)
		fail_msg("open: %d %s", err, why.data);
	fort_text_free(&why);
	harness_aim_load(&aim);
	return aim;
}

void harness_aim_close(struct aim *aim)
{
	struct fort_text why = fort_text_new();
	int err = fort_target_close(aim->target, &why);

	if (err)
		fail_msg("close: %d %s", err, why.data);
	assert_int_equal(aim->counting->overlaps, 0);
	munmap(aim->counting, sizeof(*aim->counting));
	fort_text_free(&why);
}

struct fort_probe *harness_probe(const struct aim *aim, const char *module, const char *function,
				 bool is_return, enum counting_program program, uint64_t cookie)
{
	struct fort_probe_spec spec = {.module = module,
				       .function = function,
				       .is_return = is_return,
				       .package = aim->package,
				       .program = program,
				       .cookie = cookie};
	struct fort_text why = fort_text_new();
	struct fort_probe *probe = NULL;
	int err = fort_probe_attach(aim->target, &spec, &probe, &why);

	if (err)
		fail_msg("attach %s: %d %s", function, err, why.data);
	fort_text_free(&why);
	return probe;
}

void harness_unprobe(struct fort_probe *probe)
{
	struct fort_text why = fort_text_new();
	int err = fort_probe_detach(probe, &why);

	if (err)
		fail_msg("detach: %d %s", err, why.data);
	fort_text_free(&why);
}

uint64_t harness_runs(const struct aim *aim)
{
	uint64_t runs = 0;

	for (uint32_t i = 0; i < FORT_RUN_SLOTS; i++)
		runs += aim->counting->runs[i][0];
	return runs;
}

/* Bytes of a mapping that are not those of its file. */
static uint64_t compare_region(int mem_fd, const char *path, uint64_t start, uint64_t end,
			       uint64_t offset)
{
	uint64_t bytes = end - start, changed = 0;
	uint8_t *memory = malloc(bytes), *file = calloc(1, bytes);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? pread(fd, file, bytes, (off_t)offset) : 0;

	assert_true(memory && file);
	if (got > 0 && pread(mem_fd, memory, bytes, (off_t)start) == (ssize_t)bytes)
		for (ssize_t i = 0; i < got; i++)
			changed += memory[i] != file[i];
	if (fd >= 0)
		close(fd);
	free(memory);
	free(file);
	return changed;
}

static uint64_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	uint64_t n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

struct remains harness_remains(pid_t pid)
{
	struct remains remains = {0};
	char path[4200], line[4400], file[4200];
	int mem_fd;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem_fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		uint64_t start, end, offset;
		char rights[5];

		file[0] = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %4199s", &start,
			   &end, rights, &offset, file) < 4 ||
		    rights[2] != 'x')
			continue;
		if (file[0] == '/')
			remains.changed_bytes += compare_region(mem_fd, file, start, end, offset);
		else if (!file[0])
			remains.executable_bytes += end - start;
	}
	if (maps)
		fclose(maps);
	close(mem_fd);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	remains.threads = count_entries(path);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	remains.fds = count_entries(path);
	return remains;
}

void harness_assert_clean(pid_t pid, const struct remains *before)
{
	struct remains now = {0};
	uint64_t late = harness_now_us() + WAIT_US;

	do { /* the agent's thread may be about to end */
		now = harness_remains(pid);
		if (now.threads == before->threads && !now.changed_bytes)
			break;
		usleep(5000);
	} while (harness_now_us() < late);
	assert_int_equal(now.changed_bytes, 0);
	assert_int_equal(now.threads, before->threads);
	assert_int_equal(now.fds, before->fds);
	assert_int_equal(now.executable_bytes, before->executable_bytes);
}

int harness_main(struct CMUnitTest *tests, size_t n)
{
	signal(SIGPIPE, SIG_IGN);
	if (geteuid() == 0) {
		gid_t gid = NOBODY;

		stage_programs(NOBODY);
		if (setgroups(1, &gid) || setresgid(NOBODY, NOBODY, NOBODY) ||
		    setresuid(NOBODY, NOBODY, NOBODY) || prctl(PR_SET_DUMPABLE, 1)) {
			perror("becoming an unprivileged user");
			return 1;
		}
	}
	for (size_t i = 0; i < n; i++)
		tests[i].teardown_func = kill_running;
	if (getenv("TEST_ONLY"))
		cmocka_set_test_filter(getenv("TEST_ONLY"));
	return _cmocka_run_group_tests("attach", tests, n, NULL, NULL);
}

struct fort_probe_counts harness_unprobe_counts(struct fort_probe *probe)
{
	struct fort_probe_counts counts = fort_probe_counts(probe);

	harness_unprobe(probe);
	return counts;
}
