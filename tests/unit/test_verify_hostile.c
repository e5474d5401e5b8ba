/* Certificates made by somebody who wants the checker to fall over, or to believe what is not so:
 * states that no run reaches, in which the rules would leave their arrays; claims that two
 * references are one, or one is two; claims that cost more to check than to write.
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

/* A state with `n` frames; all but the first return to `return_pc`. */
static struct fort_state *state_of(uint32_t n, uint32_t return_pc)
{
	struct fort_state *state = fort_state_new(&pool);

	assert_non_null(state);
	for (uint32_t i = 0; i < n; i++)
		assert_true(fort_state_push_frame(&pool, state, i ? 1 : 0, i ? return_pc : 0));
	state->packet = state->meta = fort_value_number(fort_scalar_of_width(32));
	return state;
}

/* One state of a certificate; the last of a list is the root. */
struct entry {
	uint32_t pc;
	const struct fort_state *state;
	uint32_t n_edges;
	const uint32_t *edges; /* 0 to go on, n + 1 for the state with number n */
};

static void put_claim(struct fort_buf *claim, const struct fort_state *state)
{
	struct fort_buf ghosts;

	fort_buf_init(&ghosts, FORT_CERT_BYTES_MAX);
	claim->bytes = 0;
	fort_claim_write(claim, &ghosts, state);
	fort_buf_varint(claim, state->n_ghosts);
	for (const uint8_t *at = ghosts.data; at && at < ghosts.data + ghosts.bytes;) {
		struct fort_reader reader =
			fort_reader_on(at, (size_t)(ghosts.data + ghosts.bytes - at));
		uint32_t owner = 0, bytes = 0;

		assert_false(fort_reader_u32(&reader, &owner) || fort_reader_u32(&reader, &bytes));
		fort_buf_varint(claim, owner);
		fort_buf_put(claim, reader.at, bytes);
		at = reader.at + bytes;
	}
	fort_buf_free(&ghosts);
}

static bool passes_with(const struct fort_cert_group *groups, uint32_t n_groups,
			const struct entry *entries, uint32_t n)
{
	const struct fort_cert_counts counts = {FORT_BUDGET_INSNS, n_groups, n - 1, 1};
	const struct fort_root root = {.kind = FORT_ROOT_MAIN};
	struct fort_buf claim, cert;
	bool good;

	fort_buf_init(&claim, FORT_CERT_BYTES_MAX);
	fort_buf_init(&cert, FORT_CERT_BYTES_MAX);
	fort_certificate_begin(&cert, &lab.env, &counts);
	for (uint32_t i = 0; i < n_groups; i++)
		fort_certificate_put_group(&cert, &groups[i]);
	for (uint32_t i = 0; i < n; i++) {
		if (i < n - 1) {
			put_claim(&claim, entries[i].state);
			fort_certificate_put_state(&cert, entries[i].pc,
						   (struct fort_span){claim.data, claim.bytes},
						   (struct fort_span){NULL, 0});
		} else {
			fort_certificate_put_root(&cert, &root);
		}
		fort_certificate_put_edges(&cert, entries[i].edges, entries[i].n_edges);
	}
	assert_int_equal(claim.err, 0);
	assert_int_equal(cert.err, 0);
	good = lab_check(&lab, cert.data, cert.bytes);
	fort_buf_free(&claim);
	fort_buf_free(&cert);
	return good;
}

static bool passes(const struct entry *entries, uint32_t n)
{
	return passes_with(NULL, 0, entries, n);
}

static void assert_refused(const struct entry *entries, uint32_t n, enum fort_check_fault fault)
{
	if (passes(entries, n))
		fail_msg("accepted");
	if (lab.check.fault != fault)
		fail_msg("refused because %s", fort_check_fault_text(lab.check.fault));
}

/* A root whose path ends in the first state. */
#define CALLS_IT {.n_edges = 1, .edges = (uint32_t[]){1}}

#define CALLER "mov r0, 0\ncall local f\nmov r0, 0\nexit\n"

/* Returning to a place that is no return point: outside the program, inside an immediate. */
static void returns_to_nowhere(void **state)
{
	static const uint32_t places[] = {0,         1, 2, 4,   5,      6,
					  7,         8, 9, 999, 999999, FORT_PROG_INSNS_MAX,
					  UINT32_MAX};

	(void)state;
	open_lab("socket_filter", "lddw r0, 7\ncall local f\nmov r0, 0\nexit\n"
				  "f: lddw r0, 1\nexit\n");
	for (size_t i = 0; i < FORT_LEN(places); i++)
		assert_refused((struct entry[]){{5, state_of(2, places[i]), 0, NULL}, CALLS_IT}, 2,
			       FORT_CHECK_CLAIM);
	/* The right place, so that the refusals above are for their reason. */
	(void)passes((struct entry[]){{5, state_of(2, 3), 1, (uint32_t[]){0}},
				      {.n_edges = 2, .edges = (uint32_t[]){1, 0}}},
		     2);
	assert_int_not_equal(lab.check.fault, FORT_CHECK_CLAIM);
	lab_free(&lab);
}

static void outermost_frame_returns(void **state)
{
	struct fort_state *s;

	(void)state;
	open_lab("socket_filter", CALLER "f: exit\n");
	s = state_of(2, 2);
	s->frames[0]->return_pc = 2;
	assert_refused((struct entry[]){{4, s, 0, NULL}, CALLS_IT}, 2, FORT_CHECK_CLAIM);
	lab_free(&lab);
}

/* A caller that knows its callee's stack would know it after the callee is gone. */
static void pointer_into_the_future(void **state)
{
	struct fort_state *s;

	(void)state;
	open_lab("socket_filter", "mov r0, 0\ncall local f\nstdw [r6-8], 1\nexit\n"
				  "f: stdw [r10-8], 0\nexit\n");
	s = state_of(2, 2);
	s->frames[0]->regs[FORT_R6] = s->frames[1]->regs[FORT_R10];
	assert_refused((struct entry[]){{4, s, 1, (uint32_t[]){0}}, CALLS_IT}, 2, FORT_CHECK_CLAIM);
	/* The same through a spilled pointer. */
	s = state_of(2, 2);
	assert_true(fort_frame_touch(&pool, s->frames[0], 1));
	memset(s->frames[0]->slots[0].bytes, FORT_BYTE_SPILL, 8);
	s->frames[0]->slots[0].spill = s->frames[1]->regs[FORT_R10];
	assert_refused((struct entry[]){{4, s, 1, (uint32_t[]){0}}, CALLS_IT}, 2, FORT_CHECK_CLAIM);
	lab_free(&lab);
}

static struct fort_value reserved(struct fort_state *state, uint32_t bytes, bool maybe_null)
{
	struct fort_value value = fort_value_pointer(FORT_RING_MEM, bytes);

	value.ref = state->next_id++;
	state->refs[state->n_refs++] = (struct fort_ref){.id = value.ref};
	if (maybe_null) {
		value.flags = FORT_MAYBE_NULL;
		value.id = value.ref;
	}
	return value;
}

#define RESERVE "lddw r1, map_idx 2\nmov r2, 8\nmov r3, 0\ncall 131\n"
#define SUBMIT  "mov r2, 0\ncall 132\n"

/* A program that gives the same memory back twice, by way of a join, and a claim that there are
 * two. */
static void one_reference_as_two(void **state)
{
	struct fort_state *s;

	(void)state;
	open_lab("kprobe", RESERVE "jeq r0, 0, out\nmov r6, r0\nmov r7, r0\ncall 7\n"
				   "jset r0, 1, c\nc: mov r1, r6\n" SUBMIT "mov r1, r7\n" SUBMIT
				   "out: mov r0, 0\nexit\n");
	s = state_of(1, 0);
	s->frames[0]->regs[FORT_R6] = reserved(s, 8, false);
	s->frames[0]->regs[FORT_R7] = reserved(s, 8, false);
	assert_int_equal(lab.graph.marks[10] & FORT_MARK_JOIN, FORT_MARK_JOIN);
	assert_refused((struct entry[]){{10, s, 1, (uint32_t[]){0}},
					{.n_edges = 3, .edges = (uint32_t[]){0, 1, 1}}},
		       2, FORT_CHECK_COVER);
	lab_free(&lab);
}

/* Two are held, and the claim at the join knows of one. */
static void two_references_as_one(void **state)
{
	struct fort_state *s;

	(void)state;
	open_lab("kprobe",
		 RESERVE "mov r6, r0\n" RESERVE "mov r7, r0\ncall 7\njset r0, 1, b\nb: mov r1, r6\n"
			 "jeq r1, 0, out\n" SUBMIT "out: mov r0, 0\nexit\n");
	s = state_of(1, 0);
	s->frames[0]->regs[FORT_R6] = reserved(s, 8, true);
	assert_refused((struct entry[]){{14, s, 2, (uint32_t[]){0, 0}},
					{.n_edges = 2, .edges = (uint32_t[]){1, 1}}},
		       2, FORT_CHECK_COVER);
	lab_free(&lab);
}

/* A packet pointer about which more is claimed than was proven. */
static void packet_range_from_nowhere(void **state)
{
	struct fort_state *s;

	(void)state;
	open_lab("xdp", "ldxw r6, [r1+0]\ncall 7\njset r0, 1, b\nb: ldxb r0, [r6+0]\nexit\n");
	s = state_of(1, 0);
	s->frames[0]->regs[FORT_R6] = fort_value_pointer(FORT_PACKET, 0);
	s->packet.num = fort_scalar_range(1, UINT32_MAX);
	assert_refused((struct entry[]){{3, s, 0, NULL},
					{.n_edges = 2, .edges = (uint32_t[]){1, 1}}},
		       2, FORT_CHECK_COVER);
	lab_free(&lab);
}

/* A relation that does not hold: r6 == r7 is claimed, they are different numbers. */
static void relation_from_nowhere(void **state)
{
	struct fort_state *s;

	(void)state;
	open_lab("socket_filter", "call 7\nmov r6, r0\ncall 7\nmov r7, r0\njset r0, 1, b\n"
				  "b: jgt r6, 63, out\nlddw r1, map_idx_value 3, 0\nadd r1, r7\n"
				  "ldxb r0, [r1+0]\nout: mov r0, 0\nexit\n");
	s = state_of(1, 0);
	s->frames[0]->regs[FORT_R6] = fort_value_unknown();
	s->frames[0]->regs[FORT_R6].sym = s->next_id++;
	s->frames[0]->regs[FORT_R7] = s->frames[0]->regs[FORT_R6];
	assert_refused((struct entry[]){{5, s, 2, (uint32_t[]){0, 0}},
					{.n_edges = 2, .edges = (uint32_t[]){1, 1}}},
		       2, FORT_CHECK_COVER);
	lab_free(&lab);
}

/* --- claims, byte by byte --- */

/* Does anybody believe that these are the slots of a frame? One that does gets a state that the
 * rules can have. */
static bool reads(const uint8_t *slots, size_t n_bytes, unsigned n)
{
	/* No ids, no references, one frame: of the program, no registers. */
	static const uint8_t head[] = {0, 0, 1, FORT_FRAME_CALLED, 0, 0, 0},
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

enum { X = FORT_BYTE_INVALID, M = FORT_BYTE_MISC, Z = FORT_BYTE_ZERO, S = FORT_BYTE_SPILL,
       O = FORT_BYTE_OBJECT };

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

#define READS_REGISTER(ids, ref, ...) \
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
		assert_int_equal(fort_certificate_parse(
					 (struct fort_span){lab.result.certificate.data,
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
		cmocka_unit_test(returns_to_nowhere),
		cmocka_unit_test(outermost_frame_returns),
		cmocka_unit_test(pointer_into_the_future),
		cmocka_unit_test(one_reference_as_two),
		cmocka_unit_test(two_references_as_one),
		cmocka_unit_test(packet_range_from_nowhere),
		cmocka_unit_test(relation_from_nowhere),
		cmocka_unit_test(runs_of_slots),
		cmocka_unit_test(slots_that_cannot_be),
		cmocka_unit_test(registers_that_cannot_be),
		cmocka_unit_test(what_is_read_is_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
