/* Claims, byte by byte: what no rule makes is refused, whatever is read is a state that the rules
 * can have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proof/claim_format.h"
#include "../verify/lab.h"
#include "../verify/programs.h"

static struct lab lab;
static struct fort_pool pool;

static void open_lab(const char *type, const char *code)
{
	if (!lab_open(&lab, type, code))
		fail_msg("%s", lab.error);
	fort_pool_init(&pool, &lab.arena);
}

/* Does anybody believe that these are the slots of a frame? One that does gets a state that the
 * rules can have. */
static bool reads(const uint8_t *slots, size_t n_bytes, unsigned n)
{
	/* No ids, no references, one frame: of the program, no registers. */
	static const uint8_t head[] = {FORT_CLAIM_SAID, 0, 0, 1, FORT_FRAME_CALLED, 0, 0, 0},
			     rest[] = {0, 0, 0, 0}; /* counters, rest, facts, ghosts */
	struct fort_buf claim;
	struct fort_state *read;
	bool good;

	fort_buf_init(&claim, FORT_CERT_BYTES_MAX);
	fort_buf_put(&claim, head, sizeof(head));
	fort_buf_varint(&claim, n);
	fort_buf_put(&claim, slots, n_bytes);
	fort_buf_put(&claim, rest, sizeof(rest));
	good = !fort_claim_read((struct fort_span){claim.data, claim.bytes}, &pool, &lab.env, 0,
				&read);
	assert_true(!good || fort_state_validate(read));
	fort_buf_free(&claim);
	return good;
}

#define READS(n, ...) \
	reads((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), n)

/* A slot whose bytes have these marks, each its own. */
static bool reads_marks(const uint8_t marks[8], const uint8_t *value, size_t n_bytes)
{
	struct fort_buf slot;
	uint32_t packed = 0;
	bool good;

	for (unsigned i = 0; i < 8; i++)
		packed |= (uint32_t)marks[i] << 3 * i;
	fort_buf_init(&slot, 64);
	fort_buf_u8(&slot, 0);
	fort_buf_u8(&slot, FORT_MARKS_EACH);
	fort_buf_varint(&slot, packed);
	fort_buf_put(&slot, value, n_bytes);
	good = reads(slot.data, slot.bytes, 1);
	fort_buf_free(&slot);
	return good;
}

enum {
	X = FORT_BYTE_INVALID,
	M = FORT_BYTE_MISC,
	Z = FORT_BYTE_ZERO,
	S = FORT_BYTE_SPILL,
	O = FORT_BYTE_OBJECT
};

/* Slots that are said together: none twice, none above the first, none below the last. */
static void runs_of_slots(void **state)
{
	(void)state;
	open_lab("socket_filter", "mov r0, 0\nexit\n");
	assert_true(READS(1, 3, M, 3));
	assert_true(READS(1, 63, Z, 63));
	assert_true(READS(2, 5, M, 2, 2, Z, 2));
	assert_false(READS(1, 3, M, 4));
	assert_false(READS(1, 0, M, 1));
	assert_false(READS(1, 64, M, 0));
	assert_false(READS(1, 63, M, 64));
	assert_false(READS(2, 5, M, 2, 3, Z, 0)); /* 3 was said */
	assert_false(READS(2, 5, M, 5, 0, Z, 0));
	assert_false(READS(2, 5, M, 0, 6, Z, 0));
	assert_false(READS(1, 3, M, 0x80, 0x80, 0x80, 0x80, 0x10)); /* 2^32 */
	lab_free(&lab);
}

/* Marks that no rule makes, and values that cannot be where they are said to be. */
static void slots_that_cannot_be(void **state)
{
	static const uint8_t number[] = {FORT_NUM, 0}, pointer[] = {FORT_CTX, 0},
			     iterator[] = {FORT_ITER, 0};

	(void)state;
	open_lab("socket_filter", "mov r0, 0\nexit\n");
	assert_true(READS(1, 0, S, FORT_NUM, 0));
	assert_true(READS(1, 0, S, FORT_CTX, 0));
	assert_false(READS(1, 0, S, FORT_NONE, 0));
	assert_false(READS(1, 0, S, FORT_ITER, 0));
	assert_false(READS(1, 0, S, FORT_TYPES, 0));
	assert_true(READS(1, 0, O, FORT_ITER, 0));
	assert_true(READS(1, 0, O, FORT_DYNPTR, 0));
	assert_false(READS(1, 0, O, FORT_NUM, 0));
	assert_false(READS(1, 0, O, FORT_CTX, 0));
	assert_false(READS(1, 0, FORT_MARKS_EACH + 1));
	assert_true(reads_marks((uint8_t[]){S, S, S, S, M, M, X, Z}, number, sizeof(number)));
	assert_true(reads_marks((uint8_t[]){M, Z, X, M, M, M, X, Z}, NULL, 0));
	assert_false(reads_marks((uint8_t[]){S, S, S, M, M, M, M, M}, number, sizeof(number)));
	assert_false(reads_marks((uint8_t[]){S, S, M, S, M, M, M, M}, number, sizeof(number)));
	assert_false(reads_marks((uint8_t[]){M, S, S, S, M, M, M, M}, NULL, 0));
	assert_false(reads_marks((uint8_t[]){S, S, S, S, M, M, M, M}, pointer, sizeof(pointer)));
	assert_false(reads_marks((uint8_t[]){O, O, O, O, M, M, M, M}, iterator, sizeof(iterator)));
	assert_false(reads_marks((uint8_t[]){M, M, M, M, M, M, M, O}, NULL, 0));
	assert_false(reads_marks((uint8_t[]){M, M, M, M, M, M, M, FORT_BYTES}, NULL, 0));
	lab_free(&lab);
}

/* A register with such a value, and `ids` ids of which `ref` is held; 0 for none. */
static bool reads_register(uint8_t ids, uint8_t ref, const uint8_t *value, size_t n_bytes)
{
	const uint8_t frame[] = {1, FORT_FRAME_CALLED, 0, 0, 1 << FORT_R6},
		      rest[] = {0, 0, 0, 0, 0}; /* slots, counters, rest, facts, ghosts */
	struct fort_buf claim;
	struct fort_state *read;
	bool good;

	fort_buf_init(&claim, FORT_CERT_BYTES_MAX);
	fort_buf_u8(&claim, FORT_CLAIM_SAID);
	fort_buf_u8(&claim, ids);
	fort_buf_u8(&claim, !!ref);
	if (ref)
		fort_buf_u8(&claim, ref);
	fort_buf_put(&claim, frame, sizeof(frame));
	fort_buf_put(&claim, value, n_bytes);
	fort_buf_put(&claim, rest, sizeof(rest));
	good = !fort_claim_read((struct fort_span){claim.data, claim.bytes}, &pool, &lab.env, 0,
				&read);
	assert_true(!good || fort_state_validate(read));
	fort_buf_free(&claim);
	return good;
}

#define READS_REGISTER(ids, ref, ...)                            \
	reads_register(ids, ref, (const uint8_t[]){__VA_ARGS__}, \
		       sizeof((const uint8_t[]){__VA_ARGS__}))

/* Pointers to stacks that end before, with references that nobody holds, with ids out of range;
 * numbers that hold something. */
static void registers_that_cannot_be(void **state)
{
	(void)state;
	open_lab("socket_filter", "mov r0, 0\nexit\n");
	assert_true(READS_REGISTER(1, 1, FORT_RING_MEM, FORT_PART_OBJECT | FORT_PART_REF, 8, 1));
	assert_false(READS_REGISTER(2, 1, FORT_RING_MEM, FORT_PART_OBJECT | FORT_PART_REF, 8, 2));
	assert_false(READS_REGISTER(1, 0, FORT_RING_MEM, FORT_PART_OBJECT | FORT_PART_REF, 8, 1));
	assert_false(READS_REGISTER(1, 2, FORT_RING_MEM, FORT_PART_OBJECT | FORT_PART_REF, 8, 1));
	assert_false(READS_REGISTER(0, 1, FORT_RING_MEM, FORT_PART_OBJECT | FORT_PART_REF, 8, 1));
	assert_true(READS_REGISTER(1, 0, FORT_NUM, FORT_PART_RELATED, 1, 0));
	assert_false(READS_REGISTER(0, 0, FORT_NUM, FORT_PART_RELATED, 1, 0));
	assert_false(READS_REGISTER(1, 1, FORT_NUM, FORT_PART_REF, 1));
	assert_false(READS_REGISTER(1, 0, FORT_NUM, FORT_PART_FLAGS | FORT_PART_ID, 1, 1));
	assert_true(READS_REGISTER(0, 0, FORT_STACK, 0));
	assert_false(READS_REGISTER(0, 0, FORT_STACK, FORT_PART_FRAME, 1));
	assert_true(READS_REGISTER(1, 0, FORT_MAP_VALUE, FORT_PART_FLAGS | FORT_PART_ID, 1, 1));
	assert_false(READS_REGISTER(1, 0, FORT_MAP_VALUE, FORT_PART_ID, 1));
	assert_false(READS_REGISTER(1, 0, FORT_MAP_VALUE, FORT_PART_FLAGS, 1));
	assert_false(READS_REGISTER(0, 0, FORT_MAP_VALUE, FORT_PART_OBJECT, LAB_MAPS + LAB_INNER));
	assert_false(READS_REGISTER(0, 0, FORT_ITER, 0));
	lab_free(&lab);
}

static uint64_t random_state = 0x2545f4914f6cdd1d;

static uint32_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static void change_and_read(const struct fort_cert_state *from, unsigned rounds, unsigned counts[2])
{
	uint8_t bytes[4096];
	struct fort_state *read;

	if (from->claim.bytes > sizeof(bytes))
		return;
	for (unsigned i = 0; i < rounds; i++) {
		memcpy(bytes, from->claim.data, from->claim.bytes);
		for (unsigned n = 1 + random_number() % 3; n; n--)
			bytes[random_number() % from->claim.bytes] ^=
				(uint8_t)(1u << random_number() % 8);
		if (fort_claim_read((struct fort_span){bytes, from->claim.bytes}, &pool, &lab.env,
				    FORT_GHOSTS_MAX, &read)) {
			counts[0]++;
			continue;
		}
		counts[1]++;
		assert_true(fort_state_validate(read));
		fort_state_free(&pool, read);
	}
}

/* Whatever is read as a claim is a state that the rules can have. */
static void what_is_read_is_formed(void **state)
{
	unsigned counts[2] = {0}; /* refused, read */

	(void)state;
	for (size_t i = 0; i < FORT_LEN(lab_safe); i++) {
		struct fort_certificate cert;
		size_t offset;

		open_lab(lab_safe[i].type, lab_safe[i].code);
		assert_true(lab_search(&lab, FORT_SABOTAGE_NONE));
		assert_int_equal(
			fort_certificate_parse((struct fort_span){lab.result.certificate.data,
								  lab.result.certificate.bytes},
					       &lab.env, &lab.arena, &cert, &offset),
			0);
		for (uint32_t n = 0; n < cert.n_states; n++)
			change_and_read(&cert.states[n], 20000 / (cert.n_states + 1), counts);
		lab_free(&lab);
	}
	print_message("# %u refused, %u read\n", counts[0], counts[1]);
	assert_true(counts[0] > 1000 && counts[1] > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_of_slots),
		cmocka_unit_test(slots_that_cannot_be),
		cmocka_unit_test(registers_that_cannot_be),
		cmocka_unit_test(what_is_read_is_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
