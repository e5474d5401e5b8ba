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
	const uint32_t *edges;  /* 0 to go on, n + 1 for the state with number n */
	struct fort_span claim; /* if there is no state */
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
			struct fort_span said = entries[i].claim;

			if (entries[i].state) {
				put_claim(&claim, entries[i].state);
				said = (struct fort_span){claim.data, claim.bytes};
			}
			fort_certificate_put_state(&cert, entries[i].pc, said,
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
#define CALLS_IT                                    \
	{                                           \
		.n_edges = 1, .edges = (uint32_t[]) \
		{                                   \
			1                           \
		}                                   \
	}

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

/* --- claims that keep what arrives --- */

#define CLAIM(...)                                                                     \
	{                                                                              \
		(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
	}
/* Of the only frame these registers, and nothing else. */
#define KEEPS(registers) CLAIM(FORT_CLAIM_KEPT, 1, (registers)&0x7f, 0, 0)
#define R6               (1 << FORT_R6)

#define INDEXED "lddw r1, map_idx_value 3, 0\nadd r1, r6\nldxb r0, [r1+0]\nmov r0, 0\nexit\n"

/* State 0 at `pc`, where both sides of the program's only fork end, the one that jumps first. */
static void assert_two(uint32_t pc, struct fort_span claim, enum fort_check_fault fault)
{
	const uint32_t to_it[] = {1, 1};
	const struct entry entries[] = {{.pc = pc, .claim = claim}, {.n_edges = 2, .edges = to_it}};

	if (passes(entries, 2) != !fault || lab.check.fault != fault)
		fail_msg("%s instead of %s", fort_check_fault_text(lab.check.fault),
			 fort_check_fault_text(fault));
}

static void assert_kept(const uint8_t *bytes, size_t n_bytes, enum fort_check_fault fault)
{
	assert_two(4, (struct fort_span){bytes, n_bytes}, fault);
}

#define ASSERT_KEPT(fault, ...) \
	assert_kept((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), fault)

/* What is kept is all that is claimed, of whatever arrives later too. */
static void kept_of_the_first(void **state)
{
	(void)state;
	open_lab("socket_filter", "mov r6, 1\ncall 7\njeq r0, 0, b\nmov r7, 2\nb: " INDEXED);
	assert_two(4, (struct fort_span)KEEPS(R6), FORT_CHECK_OK);
	/* A register that is needed, and was not kept. */
	assert_two(4, (struct fort_span)KEEPS(0), FORT_CHECK_UNSAFE);
	/* No kept register has what it had. */
	lab_free(&lab);
	open_lab("socket_filter", "mov r6, 1\ncall 7\njeq r0, 0, b\nmov r6, 2\nb: " INDEXED);
	assert_two(4, (struct fort_span)KEEPS(R6), FORT_CHECK_COVER);
	lab_free(&lab);
	open_lab("socket_filter", "mov r6, 1\ncall 7\njeq r0, 0, b\nmov r6, r0\nb: " INDEXED);
	assert_two(4, (struct fort_span)KEEPS(R6), FORT_CHECK_COVER);
	lab_free(&lab);
}

/* Bytes that are no such claim, or one of a state with other frames. */
static void kept_malformed(void **state)
{
	(void)state;
	open_lab("socket_filter", "mov r6, 1\ncall 7\njeq r0, 0, b\nmov r7, 2\nb: " INDEXED);
	ASSERT_KEPT(FORT_CHECK_OK, FORT_CLAIM_KEPT, 1, R6, 0, 0);
	ASSERT_KEPT(FORT_CHECK_OK, FORT_CLAIM_KEPT, 1, R6 | 0x80, 0x04, 0, 0); /* r9 */
	ASSERT_KEPT(FORT_CHECK_OK, FORT_CLAIM_KEPT, 1, R6, 0x7f, 1);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 1, 0xff, 0x0f, 0, 0); /* r10 */
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 1, R6, 0, 2);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 1, R6, 0, 0, 0);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 1, R6, 0);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 1, R6);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 1);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 0);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 2, R6, 0, 0, R6, 0, 0);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT, 0x81, 0, R6, 0, 0);
	ASSERT_KEPT(FORT_CHECK_CLAIM, FORT_CLAIM_KEPT + 1, 1, R6, 0, 0);
	assert_two(4, (struct fort_span){NULL, 0}, FORT_CHECK_CLAIM);
	lab_free(&lab);
}

/* What is kept and connects values connects them for all that arrives. */
static void kept_relation(void **state)
{
	(void)state;
	open_lab("socket_filter",
		 "call 7\nmov r6, r0\nmov r7, r6\ncall 7\njset r0, 1, b\n"
		 "mov r7, r0\nb: jgt r7, 63, out\n" INDEXED "out: mov r0, 0\nexit\n");
	assert_refused((struct entry[]){{.pc = 6,
					 .claim = CLAIM(FORT_CLAIM_KEPT, 1, 0xc0, 0x01, 0, 0),
					 .n_edges = 1,
					 .edges = (uint32_t[]){0}},
					{.n_edges = 2, .edges = (uint32_t[]){1, 1}}},
		       2, FORT_CHECK_COVER);
	/* It is what the rest needs. */
	assert_refused((struct entry[]){{.pc = 6,
					 .claim = CLAIM(FORT_CLAIM_KEPT, 1, 0xc0, 0x01, 0, 0),
					 .n_edges = 1,
					 .edges = (uint32_t[]){0}},
					{.n_edges = 2, .edges = (uint32_t[]){1, 0}}},
		       2, FORT_CHECK_UNSAFE);
	lab_free(&lab);
}

/* Held when the first one arrives, given back when the second does. */
static void kept_reference(void **state)
{
	(void)state;
	open_lab("kprobe",
		 RESERVE "jeq r0, 0, out\nmov r6, r0\ncall 7\njset r0, 1, b\n"
			 "mov r1, r6\n" SUBMIT "b: mov r1, r6\n" SUBMIT "out: mov r0, 0\nexit\n");
	assert_refused(
		(struct entry[]){
			{.pc = 12, .claim = KEEPS(R6), .n_edges = 1, .edges = (uint32_t[]){0}},
			{.n_edges = 3, .edges = (uint32_t[]){0, 1, 1}}},
		2, FORT_CHECK_COVER);
	/* A register that is not kept is not given back for that. */
	assert_refused((struct entry[]){{.pc = 15, .claim = KEEPS(0)},
					{.n_edges = 3, .edges = (uint32_t[]){1, 1, 1}}},
		       2, FORT_CHECK_EDGE);
	lab_free(&lab);
}

/* A state that nothing leads to: what would it be? Nor may one be made of what is found in it. */
static void kept_of_nothing(void **state)
{
	(void)state;
	open_lab("socket_filter", "mov r6, 1\ncall 7\njeq r0, 0, b\nmov r7, 2\nb: " INDEXED);
	assert_refused((struct entry[]){{.pc = 4, .claim = KEEPS(R6)},
					{.n_edges = 2, .edges = (uint32_t[]){0, 0}}},
		       2, FORT_CHECK_ARRIVAL);
	lab_free(&lab);
	open_lab("socket_filter", "mov r6, 0\nl: add r6, 1\njlt r6, 100, l\nmov r0, 0\nexit\n");
	assert_refused(
		(struct entry[]){
			{.pc = 1, .claim = KEEPS(R6), .n_edges = 1, .edges = (uint32_t[]){1}},
			{.n_edges = 2, .edges = (uint32_t[]){0, 0}}},
		2, FORT_CHECK_EDGES);
	lab_free(&lab);
}

/* The head of a loop keeps what enters it: what comes around is something else, with or without a
 * rank that counts. */
static void kept_around_a_loop(void **state)
{
	const struct fort_cert_group counts = {.count = 1, .rank = {.index = FORT_R6}},
				     still = {.count = 1, .rank = {.index = FORT_R7}};
	const struct entry entries[] = {
		{.pc = 2, .claim = KEEPS(R6), .n_edges = 1, .edges = (uint32_t[]){1}},
		{.n_edges = 1, .edges = (uint32_t[]){1}}};
	const struct entry forgets[] = {
		{.pc = 2, .claim = KEEPS(0), .n_edges = 1, .edges = (uint32_t[]){1}},
		{.n_edges = 1, .edges = (uint32_t[]){1}}};

	(void)state;
	open_lab("socket_filter",
		 "mov r6, 0\nmov r7, 0\nl: add r6, 1\njlt r6, 100, l\nmov r0, 0\nexit\n");
	assert_false(passes_with(&counts, 1, entries, 2));
	assert_int_equal(lab.check.fault, FORT_CHECK_COVER);
	assert_false(passes_with(&counts, 1, forgets, 2));
	assert_int_equal(lab.check.fault, FORT_CHECK_RANK);
	assert_false(passes_with(&still, 1, entries, 2));
	assert_int_equal(lab.check.fault, FORT_CHECK_RANK);
	assert_false(passes(entries, 2));
	assert_int_equal(lab.check.fault, FORT_CHECK_RANK);
	lab_free(&lab);
	/* One that ends nowhere, with a state that is the same each time. */
	open_lab("socket_filter", "mov r6, 0\nmov r7, 0\nl: mov r6, 0\nja l\n");
	assert_false(passes_with(&counts, 1, entries, 2));
	assert_int_equal(lab.check.fault, FORT_CHECK_RANK);
	lab_free(&lab);
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
		cmocka_unit_test(kept_of_the_first),
		cmocka_unit_test(kept_malformed),
		cmocka_unit_test(kept_relation),
		cmocka_unit_test(kept_reference),
		cmocka_unit_test(kept_of_nothing),
		cmocka_unit_test(kept_around_a_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
