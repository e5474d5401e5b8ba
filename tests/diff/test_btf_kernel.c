/* Our BTF check against the running kernel's: the same blob must give the same verdict, the same
 * errno and, at log level 1, the same log, byte for byte.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "abi/uapi.h"
#include "btf/record.h"
#include "btf_build.h"

#define LOG_BYTES  (1u << 20)
#define BLOB_BYTES (16u << 20)
#define MUTATIONS  15000 /* of each seed */

static char kernel_log[LOG_BYTES], our_log[LOG_BYTES];

static int load_in_kernel(const void *blob, uint32_t bytes)
{
	union bpf_attr attr = {
		.btf = (uint64_t)(uintptr_t)blob,
		.btf_size = bytes,
		.btf_log_buf = (uint64_t)(uintptr_t)kernel_log,
		.btf_log_size = sizeof(kernel_log),
		.btf_log_level = 1,
	};
	long fd;

	kernel_log[0] = 0;
	fd = syscall(SYS_bpf, BPF_BTF_LOAD, &attr, 28);
	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static int write_log(void *owner, uint64_t offset, const void *data, size_t bytes)
{
	memcpy((char *)owner + offset, data, bytes);
	return 0;
}

static int read_log(void *owner, uint64_t offset, void *data, size_t bytes)
{
	memcpy(data, (const char *)owner + offset, bytes);
	return 0;
}

static int load_here(const void *blob, uint32_t bytes)
{
	struct fort_log_target target = {.write = write_log, .read = read_log, .owner = our_log};
	struct fort_btf_error error;
	struct fort_btf *btf;
	struct fort_log log;
	uint32_t needed;
	int err, log_err;

	our_log[0] = 0;
	fort_log_start(&log, target, sizeof(our_log), false);
	err = fort_btf_parse(blob, bytes, &log, &btf, &error);
	if (!err) {
		err = fort_btf_check_objects(btf, NULL);
		fort_btf_free(btf);
	}
	log_err = fort_log_finish(&log, &needed);
	return log_err ? log_err : err;
}

static void compare(const void *blob, uint32_t bytes, const char *what)
{
	int theirs = load_in_kernel(blob, bytes), ours = load_here(blob, bytes);

	if (theirs != ours || strcmp(kernel_log, our_log)) {
		size_t i = 0;

		while (kernel_log[i] && kernel_log[i] == our_log[i])
			i++;
		while (i && kernel_log[i - 1] != '\n')
			i--;
		print_error("%s: kernel %d, here %d\nkernel: %.200s\nhere:   %.200s\n", what,
			    theirs, ours, kernel_log + i, our_log + i);
		fail();
	}
}

static void sample_is_accepted(void **state)
{
	struct btf_build b;

	(void)state;
	build_sample(&b);
	compare(b.blob, b.bytes, "sample");
	assert_int_equal(load_here(b.blob, b.bytes), 0);
}

static void every_rule(void **state)
{
	static const struct {
		uint32_t type, word, value;
		const char *what;
	} rows[] = {
#define ROW(type_, word_, value_, what_) {type_, word_, value_, what_},
#include "btf_rows.inc"
	};

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		static struct btf_build b;
		char name[160];

		build_sample(&b);
		b.words[b.at[rows[i].type] + rows[i].word] = rows[i].value;
		build_finish(&b);
		snprintf(name, sizeof(name), "row %u: type %u word %u = %#x (%s)", i, rows[i].type,
			 rows[i].word, rows[i].value, rows[i].what ? rows[i].what : "accepted");
		compare(b.blob, b.bytes, name);
		if (rows[i].what ? !strstr(our_log, rows[i].what) : load_here(b.blob, b.bytes))
			fail_msg("%s: not what the row says: %s", name,
				 our_log + (strlen(our_log) > 100 ? strlen(our_log) - 100 : 0));
	}
}

static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 33) % below);
}

/* Numbers near the edges of what fields may hold. */
static uint32_t edge(uint32_t bytes)
{
	const uint32_t edges[] = {0,     1,          2,          3,         7,         8,
				  16,    32,         0x7fffffff, bytes,     bytes - 1, bytes + 1,
				  65535, 0x80000000, 0xffffffff, 0xfffffff, 0x100000,  0xffffff};

	return pick(4) ? edges[pick(FORT_LEN(edges))] : pick(0xffffffff);
}

/* The header is six words: each takes every edge, with and without bytes that follow. */
static void every_header_field(void **state)
{
	static struct btf_build b;

	(void)state;
	for (unsigned word = 0; word < 6; word++)
		for (unsigned i = 0; i < 400; i++) {
			char name[80];
			uint32_t value;

			build_sample(&b);
			memcpy(&value, b.blob + word * 4, 4);
			value = i < 64 ? value ^ 1u << (i & 31) : edge(b.bytes);
			memcpy(b.blob + word * 4, &value, 4);
			snprintf(name, sizeof(name), "header word %u = %#x", word, value);
			compare(b.blob, b.bytes, name);
		}
}

static void every_length(void **state)
{
	static struct btf_build b;

	(void)state;
	build_sample(&b);
	for (uint32_t bytes = 0; bytes <= b.bytes + 4; bytes++) {
		char name[80];

		snprintf(name, sizeof(name), "cut at %u", bytes);
		compare(b.blob, bytes, name);
	}
}

/* A longer header with fields of the future: fine while they are zero. */
static void longer_header(void **state)
{
	static struct btf_build b;
	static uint8_t blob[sizeof(b.blob) + 64];

	(void)state;
	build_sample(&b);
	for (uint32_t more = 0; more <= 40; more++)
		for (uint32_t set = 0; set <= more; set++) {
			uint32_t header_bytes = 24 + more;
			char name[80];

			memcpy(blob, b.blob, 24);
			memset(blob + 24, 0, more);
			memcpy(blob + 24 + more, b.blob + 24, b.bytes - 24);
			memcpy(blob + 4, &header_bytes, 4);
			if (set)
				blob[23 + set] = 1;
			snprintf(name, sizeof(name), "header of %u, byte %u set", header_bytes,
				 set);
			compare(blob, b.bytes + more, name);
		}
	assert_int_equal(load_here(blob, b.bytes + 40), -E2BIG);
}

/* Chains of one kind up to and past the depth limit, resolved from either end. */
static void chains(void **state)
{
	static const uint8_t kinds[] = {FORT_BTF_CONST, FORT_BTF_TYPEDEF, FORT_BTF_PTR,
					FORT_BTF_ARRAY, FORT_BTF_STRUCT,  FORT_BTF_TYPE_TAG};
	static struct btf_build b;

	(void)state;
	for (unsigned k = 0; k < FORT_LEN(kinds); k++)
		for (uint32_t length = 28; length < 36; length++)
			for (int down = 0; down < 2; down++) {
				bool named = kinds[k] == FORT_BTF_TYPEDEF ||
					     kinds[k] == FORT_BTF_TYPE_TAG;
				char name[80];

				memset(&b, 0, sizeof(b));
				build_type(&b, "int", INFO(FORT_BTF_INT, 0, 0), 4);
				BUILD_MORE(&b, 32);
				for (uint32_t i = 2; i < length + 2; i++) {
					uint32_t next = down ? i + 1 : i - 1;

					if (down && i == length + 1)
						next = 1;
					if (kinds[k] == FORT_BTF_ARRAY) {
						build_type(&b, NULL, INFO(kinds[k], 0, 0), 0);
						BUILD_MORE(&b, next, 1, 1);
					} else if (kinds[k] == FORT_BTF_STRUCT) {
						build_type(&b, NULL, INFO(kinds[k], 1, 0), 4);
						BUILD_MORE(&b, 0, next, 0);
					} else {
						build_type(&b, named ? "t" : NULL,
							   INFO(kinds[k], 0, 0), next);
					}
				}
				build_finish(&b);
				snprintf(name, sizeof(name), "%u of kind %u, %s", length, kinds[k],
					 down ? "down" : "up");
				compare(b.blob, b.bytes, name);
			}
}

/* Every byte as first and as later character of each sort of name. */
static void characters_of_names(void **state)
{
	static struct btf_build b;
	static const uint32_t types[] = {S_INT,      S_TYPEDEF,  S_DATASEC,
					 S_DECL_TAG, S_TYPE_TAG, S_FUNC};

	(void)state;
	for (unsigned t = 0; t < FORT_LEN(types); t++)
		for (unsigned byte = 0; byte < 256; byte++)
			for (unsigned place = 0; place < 2; place++) {
				char name[80];

				build_sample(&b);
				b.strings[b.words[b.at[types[t]]] + place] = (char)byte;
				build_finish(&b);
				snprintf(name, sizeof(name), "byte %#x at %u of type %u's name",
					 byte, place, types[t]);
				compare(b.blob, b.bytes, name);
			}
}

/* Names around the kernel's limit of 512. */
static void lengths_of_names(void **state)
{
	static struct btf_build b;
	char name[600];

	(void)state;
	memset(name, 'x', sizeof(name));
	for (unsigned length = 508; length < 516; length++)
		for (unsigned kind = 0; kind < 2; kind++) {
			memset(&b, 0, sizeof(b));
			name[length] = 0;
			build_type(&b, "int", INFO(FORT_BTF_INT, 0, 0), 4);
			BUILD_MORE(&b, 32);
			if (kind)
				build_type(&b, name, INFO(FORT_BTF_TYPEDEF, 0, 0), 1);
			else
				build_type(&b, name, INFO(FORT_BTF_DATASEC, 0, 0), 1);
			name[length] = 'x';
			build_finish(&b);
			compare(b.blob, b.bytes, "long name");
		}
}

/* One to three changes: words to edges, bits, bytes, copies of other words. */
static void mutate(uint8_t *blob, uint32_t bytes)
{
	for (uint32_t i = 0; i < 1 + pick(3); i++) {
		uint32_t at = pick(bytes / 4) * 4, value = edge(bytes);

		switch (pick(5)) {
		case 0: memcpy(blob + at, &value, 4); break;
		case 1: blob[pick(bytes)] ^= (uint8_t)(1u << pick(8)); break;
		case 2: blob[pick(bytes)] = (uint8_t)pick(256); break;
		case 3: memcpy(blob + at, blob + pick(bytes / 4) * 4, 4); break;
		default:
			memcpy(&value, blob + at, 4);
			value += pick(2) ? 1 : 0xffffffff;
			memcpy(blob + at, &value, 4);
		}
	}
}

static void compare_mutations(const char *seed, const void *blob, uint32_t bytes)
{
	uint8_t *copy = malloc(bytes);
	char name[120];

	assert_non_null(copy);
	snprintf(name, sizeof(name), "%s", seed);
	compare(blob, bytes, name);
	for (uint32_t i = 0; i < MUTATIONS; i++) {
		random_state = i * 0x9e3779b97f4a7c15u;
		memcpy(copy, blob, bytes);
		mutate(copy, bytes);
		snprintf(name, sizeof(name), "%s, mutation %u", seed, i);
		compare(copy, bytes, name);
	}
	free(copy);
}

static void mutations_of_sample(void **state)
{
	static struct btf_build b;

	(void)state;
	build_sample(&b);
	compare_mutations("sample", b.blob, b.bytes);
}

/* What libbpf hands to the kernel for a compiled object. */
static void mutations_of_object(void **state)
{
	const char *path = getenv("BPFORT_TEST_OBJECT");
	struct bpf_object *object;
	const void *blob;
	uint32_t bytes;

	(void)state;
	assert_non_null(path);
	object = bpf_object__open(path);
	assert_non_null(object);
	blob = btf__raw_data(bpf_object__btf(object), &bytes);
	assert_non_null(blob);
	assert_int_equal(load_here(blob, bytes), 0);
	compare_mutations(path, blob, bytes);
	bpf_object__close(object);
}

/* The kernel's own types: 100,000 and more, not loadable by rule; the verdict is the same. */
static void vmlinux(void **state)
{
	FILE *file = fopen("/sys/kernel/btf/vmlinux", "rb");
	uint8_t *blob = malloc(BLOB_BYTES);
	struct fort_btf_error error;
	struct fort_btf *btf;
	union bpf_attr attr;
	uint32_t bytes;
	int theirs, ours;
	long fd;

	(void)state;
	if (!file) {
		free(blob);
		print_message("no /sys/kernel/btf/vmlinux here\n");
		skip();
	}
	assert_non_null(blob);
	bytes = (uint32_t)fread(blob, 1, BLOB_BYTES, file);
	fclose(file);
	memset(&attr, 0, sizeof(attr));
	attr.btf = (uint64_t)(uintptr_t)blob;
	attr.btf_size = bytes;
	fd = syscall(SYS_bpf, BPF_BTF_LOAD, &attr, 28);
	theirs = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close((int)fd);
	ours = fort_btf_parse(blob, bytes, NULL, &btf, &error);
	print_message("vmlinux: %u bytes, kernel %d, here %d %s\n", bytes, theirs, ours,
		      error.what);
	if (!ours)
		fort_btf_free(btf);
	assert_int_equal(ours, theirs);
	free(blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sample_is_accepted),
		cmocka_unit_test(every_rule),
		cmocka_unit_test(every_header_field),
		cmocka_unit_test(every_length),
		cmocka_unit_test(longer_header),
		cmocka_unit_test(chains),
		cmocka_unit_test(characters_of_names),
		cmocka_unit_test(lengths_of_names),
		cmocka_unit_test(mutations_of_sample),
		cmocka_unit_test(mutations_of_object),
		cmocka_unit_test(vmlinux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
