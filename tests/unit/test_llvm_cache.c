/* What the llvm engine keeps in files (engine/llvm_cache.h): when that is used, and when not. That
 * it is used shows when a file lies about its program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MACHINE_ENGINE fort_engine_llvm
#include "engine/llvm.h"
#include "engine/llvm_cache.h"
#include "machine.h"

static char directory[] = "/tmp/bpfort-cache-XXXXXX";

static struct fort_compile request_of(struct machine *m)
{
	return (struct fort_compile){.program = &m->graph.program,
				     .domain = &m->domain,
				     .isolation = FORT_ISOLATION_SFI,
				     .helper = m->helper,
				     .proven = true,
				     .cache = directory};
}

/* The result of a program that the cache knows, or not. */
static uint64_t result_of(const char *source)
{
	struct fort_compile request;
	struct machine m;
	uint64_t r0;

	machine_load(&m, source, NULL, 0);
	request = request_of(&m);
	assert_int_equal(fort_signals_install(), 0);
	m.run = (struct fort_run){.domain = &m.domain, .fuel = MACHINE_FUEL};
	assert_int_equal(m.engine->compile(&request, &m.code), 0);
	r0 = machine_run(&m);
	machine_free(&m);
	return r0;
}

/* Where a program's file is. */
static void path_of(const char *source, char out[256])
{
	struct fort_llvm_cache cache;
	struct fort_compile request;
	struct machine m;
	int at;

	machine_load(&m, source, NULL, 0);
	request = request_of(&m);
	fort_llvm_cache_open(&request, &cache);
	at = snprintf(out, 256, "%s/", directory);
	for (unsigned i = 0; i < sizeof(cache.key); i++)
		at += snprintf(out + at, 256 - (size_t)at, "%02x", cache.key[i]);
	snprintf(out + at, 256 - (size_t)at, ".o");
	fort_llvm_cache_close(&cache);
	machine_free(&m);
}

/* Has the cache say that one program is the other. */
static void lie(const char *source, const char *other)
{
	struct fort_compile request, other_request;
	struct fort_llvm_cache cache;
	struct fort_buf object;
	struct machine m, o;

	machine_load(&m, source, NULL, 0);
	machine_load(&o, other, NULL, 0);
	request = request_of(&m);
	other_request = request_of(&o);
	fort_buf_init(&object, SIZE_MAX);
	assert_int_equal(fort_llvm_compile(&other_request, NULL, &object), 0);
	fort_llvm_cache_open(&request, &cache);
	fort_llvm_cache_put(&cache, &object);
	fort_llvm_cache_close(&cache);
	fort_buf_free(&object);
	machine_free(&m);
	machine_free(&o);
}

#define ONE "mov r0, 1\nexit"
#define TWO "mov r0, 2\nexit"

static int set_up(void **state)
{
	strcpy(strrchr(directory, '-') + 1, "XXXXXX");
	return !mkdtemp(directory);
}

static int clear(void **state)
{
	char path[256];

	chmod(directory, 0700);
	path_of(ONE, path);
	unlink(path);
	path_of(TWO, path);
	unlink(path);
	return rmdir(directory); /* nothing else is left */
}

static void a_file_is_made_and_used(void **state)
{
	struct stat status;
	char path[256];

	assert_int_equal(result_of(ONE), 1);
	path_of(ONE, path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	lie(ONE, TWO);
	assert_int_equal(result_of(ONE), 2);
	assert_int_equal(result_of(TWO), 2);
}

static void files_that_others_may_write_are_not_used(void **state)
{
	char path[256];

	lie(ONE, TWO);
	path_of(ONE, path);
	assert_int_equal(chmod(path, 0620), 0);
	assert_int_equal(result_of(ONE), 1);
}

static void files_of_others_are_not_used(void **state)
{
	char path[256];

	if (geteuid()) {
		print_message("only root gives files away\n");
		skip();
	}
	lie(ONE, TWO);
	path_of(ONE, path);
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(result_of(ONE), 1);
}

static void directories_that_others_may_write_are_not_used(void **state)
{
	lie(ONE, TWO);
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(result_of(ONE), 1);
	assert_int_equal(chmod(directory, 0700), 0);
	assert_int_equal(result_of(ONE), 2);
}

static void links_are_not_followed(void **state)
{
	char path[256], elsewhere[300];

	lie(ONE, TWO);
	path_of(ONE, path);
	snprintf(elsewhere, sizeof(elsewhere), "%s.real", path);
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, path), 0);
	assert_int_equal(result_of(ONE), 1);
	unlink(elsewhere);
}

/* Each byte of a file counts: a changed one makes it worthless, and it is made anew. */
static void damaged_files_are_not_used(void **state)
{
	struct stat status;
	char path[256];

	lie(ONE, TWO);
	path_of(ONE, path);
	assert_int_equal(stat(path, &status), 0);
	for (off_t at = 0; at < status.st_size; at += 97) {
		uint8_t byte;
		int fd;

		lie(ONE, TWO);
		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		assert_int_equal(result_of(ONE), 1);
		assert_int_equal(result_of(ONE), 1);
	}
	lie(ONE, TWO);
	assert_int_equal(truncate(path, status.st_size - 1), 0);
	assert_int_equal(result_of(ONE), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, clear)
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_made_and_used),
		TEST(files_that_others_may_write_are_not_used),
		TEST(files_of_others_are_not_used),
		TEST(directories_that_others_may_write_are_not_used),
		TEST(links_are_not_followed),
		TEST(damaged_files_are_not_used),
	};

	if (machine_must_skip())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
