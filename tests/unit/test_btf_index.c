/* Types by name and by tag, in blobs made for it and in the running kernel's BTF: what a table says
 * is what looking at all types says, and what libbpf says.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <cmocka.h>

#include "btf/index.h"
#include "btf/kernel.h"
#include "base/limits.h"
#include "btf_build.h"

#define SAMPLES 4000

/* Tables that are refused memory: look-ups go without. */
static bool starve;
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	return starve ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return starve ? NULL : __real_calloc(count, bytes);
}

static struct btf_build build;

static struct fort_btf *parse_build(void)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	build_finish(&build);
	assert_int_equal(fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error), 0);
	return btf;
}

static void plain_lengths(void **state)
{
	static const struct {
		const char *name;
		size_t length;
	} rows[] = {
		{"", 0},
		{"a", 1},
		{"a___", 4},
		{"a___b", 1},
		{"___b", 4},
		{"a____b", 6},
		{"task___old", 4},
		{"a___b___c", 5},
		{"a_____b", 7},
		{"_a___b", 2},
		{"a___b_", 1},
		{"abcd___e___", 4},
		{"nf_conn___init", 7},
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		if (fort_btf_plain_length(rows[i].name) != rows[i].length)
			fail_msg("%s: %zu, not %zu", rows[i].name,
				 fort_btf_plain_length(rows[i].name), rows[i].length);
}

enum { INT = 1, PAIR, PAIR_OLD, PAIR_AGAIN, PAIR_UNION, NAMELESS, ONE_TAG, TWO_TAGS };

static void make_names(void)
{
	memset(&build, 0, sizeof(build));
	build_type(&build, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&build, 32);
	build_type(&build, "pair", INFO(FORT_BTF_STRUCT, 1, 0), 4);
	BUILD_MORE(&build, build_name(&build, "a"), INT, 0);
	build_type(&build, "pair___old", INFO(FORT_BTF_STRUCT, 0, 0), 4);
	build_type(&build, "pair", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	build_type(&build, "pair", INFO(FORT_BTF_UNION, 0, 0), 8);
	build_type(&build, NULL, INFO(FORT_BTF_STRUCT, 0, 0), 8);
	build_type(&build, "first", INFO(FORT_BTF_DECL_TAG, 0, 0), PAIR);
	BUILD_MORE(&build, 0);
	build_type(&build, "first:and more", INFO(FORT_BTF_DECL_TAG, 0, 0), PAIR);
	BUILD_MORE(&build, 0);
	build_type(&build, "whole", INFO(FORT_BTF_DECL_TAG, 0, 0), PAIR);
	BUILD_MORE(&build, 0xffffffff);
}

static void check_names(const struct fort_btf *btf)
{
	uint32_t id = 0;

	assert_int_equal(fort_btf_find(btf, "pair", FORT_BTF_STRUCT), PAIR);
	assert_int_equal(fort_btf_find(btf, "pair", FORT_BTF_UNION), PAIR_UNION);
	assert_int_equal(fort_btf_find(btf, "pair___old", FORT_BTF_STRUCT), PAIR_OLD);
	assert_int_equal(fort_btf_find(btf, "pair", FORT_BTF_ENUM), 0);
	assert_int_equal(fort_btf_find(btf, "pai", FORT_BTF_STRUCT), 0);
	assert_int_equal(fort_btf_find(btf, "", FORT_BTF_STRUCT), NAMELESS);
	assert_int_equal(fort_btf_find(btf, "", FORT_BTF_PTR), 0);
	assert_int_equal(fort_btf_find_flavours(btf, "pair", FORT_BTF_STRUCT, &id), 2);
	assert_int_equal(id, PAIR);
	assert_int_equal(fort_btf_find_flavours(btf, "pair___new", FORT_BTF_UNION, &id), 1);
	assert_int_equal(id, PAIR_UNION);
	assert_int_equal(fort_btf_find_flavours(btf, "int___x", FORT_BTF_INT, &id), 1);
	assert_int_equal(id, INT);
	assert_int_equal(fort_btf_find_flavours(btf, "", FORT_BTF_STRUCT, &id), 0);
	assert_int_equal(fort_btf_find_flavours(btf, "pai", FORT_BTF_STRUCT, &id), 0);

	assert_int_equal(fort_btf_next_tag(btf, PAIR, 0, "first", 0), ONE_TAG);
	assert_int_equal(fort_btf_next_tag(btf, PAIR, 0, "first", ONE_TAG), TWO_TAGS);
	assert_int_equal(fort_btf_next_tag(btf, PAIR, 0, "first:", 0), TWO_TAGS);
	assert_int_equal(fort_btf_next_tag(btf, PAIR, 0, "first", TWO_TAGS), 0);
	assert_int_equal(fort_btf_next_tag(btf, PAIR, 0, "whole", 0), 0);
	assert_int_equal(fort_btf_next_tag(btf, PAIR, -1, "", 0), TWO_TAGS + 1);
	assert_int_equal(fort_btf_next_tag(btf, PAIR, 1, "", 0), 0);
	assert_int_equal(fort_btf_next_tag(btf, INT, 0, "", 0), 0);
}

static void names_and_tags(void **state)
{
	uint8_t before[FORT_SHA256_BYTES], after[FORT_SHA256_BYTES];
	struct fort_sha256 hash;
	struct fort_btf *btf;

	(void)state;
	make_names();
	btf = parse_build();
	starve = true;
	check_names(btf);
	fort_btf_digest(btf, before);
	fort_sha256_init(&hash);
	fort_sha256_add(&hash, build.blob, build.bytes);
	fort_sha256_end(&hash, after);
	assert_memory_equal(before, after, sizeof(before));
	starve = false;
	check_names(btf);
	check_names(btf);
	fort_btf_digest(btf, after);
	assert_memory_equal(before, after, sizeof(before));
	fort_btf_digest(btf, after);
	assert_memory_equal(before, after, sizeof(before));
	fort_btf_free(btf);
}

/* A table takes as long as there are types, whatever their names. */
static void one_name_for_all(void **state)
{
	uint32_t count = FORT_BTF_TYPES_MAX - 1, id;
	uint32_t *blob = malloc(24 + count * 12 + 16);
	struct fort_btf_error error;
	struct fort_btf *btf;
	const uint32_t header[6] = {0x0001eb9f, 24, 0, count * 12, count * 12, 3};

	(void)state;
	assert_non_null(blob);
	memcpy(blob, header, sizeof(header));
	for (uint32_t i = 0; i < count; i++) {
		blob[6 + i * 3] = 1;
		blob[7 + i * 3] = INFO(FORT_BTF_FWD, 0, 0);
		blob[8 + i * 3] = 0;
	}
	memcpy(blob + 6 + count * 3, "\0s", 3);
	assert_int_equal(fort_btf_parse(blob, 24 + count * 12 + 3, NULL, &btf, &error), 0);
	assert_int_equal(fort_btf_find(btf, "s", FORT_BTF_FWD), 1);
	assert_int_equal(fort_btf_find(btf, "s", FORT_BTF_STRUCT), 0);
	assert_int_equal(fort_btf_find_flavours(btf, "s", FORT_BTF_FWD, &id), 2);
	fort_btf_free(btf);
	free(blob);
}

static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 33) % below);
}

static struct fort_btf *open_kernel(void)
{
	struct fort_btf_error error;
	struct fort_btf *btf = NULL;

	if (access(FORT_BTF_VMLINUX, R_OK)) {
		print_message("no " FORT_BTF_VMLINUX " here\n");
		skip();
	}
	if (fort_btf_open_kernel(NULL, &btf, &error))
		fail_msg("type %u, offset %u: %s", error.type_id, error.offset, error.what);
	return btf;
}

/* libbpf looks at all types in order, too, but leaves out the void that is no type. */
static void kernel_names(void **state)
{
	struct fort_btf *btf = open_kernel();
	struct btf *theirs = btf__parse(FORT_BTF_VMLINUX, NULL);
	const char *seed = getenv("BPFORT_TEST_SEED");

	(void)state;
	assert_non_null(theirs);
	assert_int_equal(fort_btf_count(btf), btf__type_cnt(theirs));
	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid();
	print_message("BPFORT_TEST_SEED=%llu\n", (unsigned long long)random_state);
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint32_t id = 1 + pick(fort_btf_count(btf) - 1), sized;
		struct fort_btf_type type = fort_btf_type(btf, id);
		const char *name = fort_btf_string(btf, type.name);
		int found = btf__find_by_name_kind(theirs, name, type.kind);
		int64_t bytes = btf__resolve_size(theirs, id);

		assert_string_equal(name, btf__name_by_offset(theirs, type.name));
		if (type.name && (int)fort_btf_find(btf, name, type.kind) != found)
			fail_msg("%s: %u, not %d", name, fort_btf_find(btf, name, type.kind),
				 found);
		if (type.kind == FORT_BTF_FUNC || type.kind == FORT_BTF_DECL_TAG)
			continue; /* libbpf follows these to other types */
		if (fort_btf_size(btf, id, &sized) ? bytes > 0 : bytes != sized)
			fail_msg("type %u: size %u, not %lld", id, sized, (long long)bytes);
	}
	btf__free(theirs);
	fort_btf_free(btf);
}

/* Every kernel function that BPF may call is tagged. */
static void kernel_tags(void **state)
{
	struct fort_btf *btf = open_kernel();
	uint32_t tagged = 0, found = 0;

	(void)state;
	for (uint32_t id = 1; id < fort_btf_count(btf); id++) {
		struct fort_btf_type type = fort_btf_type(btf, id);

		if (type.kind == FORT_BTF_DECL_TAG && fort_btf_component(&type) == -1 &&
		    !strcmp(fort_btf_string(btf, type.name), "bpf_kfunc"))
			tagged++;
		found += fort_btf_next_tag(btf, id, -1, "bpf_kfunc", 0) != 0;
	}
	assert_int_equal(tagged, found);
	fort_btf_free(btf);
}

static void write_file(const char *path, const void *data, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, bytes), bytes);
	close(fd);
}

static void expect_open(const char *path, int err, const char *what)
{
	struct fort_btf_error error;
	struct fort_btf *btf = NULL;
	int got = fort_btf_open_kernel(path, &btf, &error);

	if (got != err || strcmp(error.what, what) != 0)
		fail_msg("%d %s, not %d %s", got, error.what, err, what);
	if (!got)
		check_names(btf);
	fort_btf_free(btf);
}

static void run(const char *command)
{
	int status = system(command);

	if (status)
		fail_msg("%s: status %d", command, status);
}

static void files(void **state)
{
	char folder[] = "/tmp/bpfort-btf-XXXXXX", raw[64], elf[64], command[256];
	struct fort_btf *btf;

	(void)state;
	make_names();
	btf = parse_build();
	fort_btf_free(btf);
	assert_non_null(mkdtemp(folder));
	snprintf(raw, sizeof(raw), "%s/raw", folder);
	snprintf(elf, sizeof(elf), "%s/elf", folder);

	write_file(raw, build.blob, build.bytes);
	expect_open(raw, 0, "");
	snprintf(command, sizeof(command), "objcopy --add-section .BTF=%s /bin/true %s", raw, elf);
	run(command);
	expect_open(elf, 0, "");
	expect_open("/bin/true", -ENODATA, "neither BTF nor an ELF file with a section .BTF");
	expect_open(folder, -EISDIR, "cannot be read");
	write_file(elf, "\177ELF", 4);
	expect_open(elf, -ENODATA, "neither BTF nor an ELF file with a section .BTF");
	write_file(raw, build.blob, build.bytes - 1);
	expect_open(raw, -EINVAL, "Total section length too long");
	write_file(raw, build.blob, 1);
	expect_open(raw, -ENODATA, "neither BTF nor an ELF file with a section .BTF");
	assert_int_equal(truncate(raw, 0), 0);
	write_file(raw, build.blob, build.bytes);
	assert_int_equal(truncate(raw, (16 << 20) + 1), 0);
	expect_open(raw, -E2BIG, "larger than 16 MiB");
	snprintf(command, sizeof(command), "rm -r %s", folder);
	run(command);
	expect_open(folder, -ENOENT, "cannot be opened");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_lengths),    cmocka_unit_test(names_and_tags),
		cmocka_unit_test(one_name_for_all), cmocka_unit_test(kernel_names),
		cmocka_unit_test(kernel_tags),      cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
