/* SHA-256 against the examples of FIPS 180-4 and their continuation in the CAVP files, and against
 * itself: how the input is cut into pieces changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256_blocks.h"

static void digest_of(const void *data, size_t bytes, char hex[65])
{
	struct fort_sha256 hash;
	uint8_t digest[FORT_SHA256_BYTES];

	fort_sha256_init(&hash);
	fort_sha256_add(&hash, data, bytes);
	fort_sha256_end(&hash, digest);
	for (unsigned i = 0; i < FORT_SHA256_BYTES; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
}

static void standard_examples(void **state)
{
	static const struct {
		const char *text, *digest;
	} rows[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
		 "klmnopqrlmnopqrsmnopqrstnopqrstu",
		 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
	};
	char hex[65];

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(rows); i++) {
		digest_of(rows[i].text, strlen(rows[i].text), hex);
		assert_string_equal(hex, rows[i].digest);
	}
}

static void a_million(void **state)
{
	char *text = malloc(1000000), hex[65];

	(void)state;
	assert_non_null(text);
	memset(text, 'a', 1000000);
	digest_of(text, 1000000, hex);
	assert_string_equal(hex,
			    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(text);
}

static void pieces(void **state)
{
	uint8_t data[300], whole[FORT_SHA256_BYTES], parts[FORT_SHA256_BYTES];

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 1);
	for (unsigned bytes = 0; bytes <= sizeof(data); bytes++)
		for (unsigned cut = 0; cut <= bytes; cut++) {
			struct fort_sha256 hash;

			fort_sha256_init(&hash);
			fort_sha256_add(&hash, data, bytes);
			fort_sha256_end(&hash, whole);
			fort_sha256_init(&hash);
			fort_sha256_add(&hash, data, cut);
			fort_sha256_add(&hash, data + cut, bytes - cut);
			fort_sha256_end(&hash, parts);
			assert_memory_equal(whole, parts, sizeof(whole));
		}
}

/* The processor's instructions beside plain arithmetic, which the examples may never have met. */
static void both_ways(void **state)
{
	uint32_t plain[8], fast[8];
	uint8_t blocks[5 * 64];
	uint64_t x = 88172645463325252u;

	(void)state;
	if (!fort_sha256_is_fast()) {
		print_message("# this processor has no instructions for SHA-256\n");
		skip();
	}
	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < sizeof(blocks); i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			blocks[i] = (uint8_t)x;
		}
		memcpy(plain, blocks, sizeof(plain));
		memcpy(fast, blocks, sizeof(fast));
		fort_sha256_blocks_plain(plain, blocks, round % 6);
		fort_sha256_blocks_fast(fast, blocks, round % 6);
		assert_memory_equal(plain, fast, sizeof(plain));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(standard_examples),
		cmocka_unit_test(a_million),
		cmocka_unit_test(pieces),
		cmocka_unit_test(both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
