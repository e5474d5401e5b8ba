/* Programs that are safe and must be accepted (cases/accept.test) and are too long for a case:
 * generated, each with its twin in which one bound is wrong by one, and which must be rejected as
 * unsafe.
 *
 * What is not accepted yet says so, with the reason, and is skipped; once it is accepted, the
 * reason must go. So must the twin's, which until then may be rejected because the search gives up.
 */
#include <stdio.h>
#include <string.h>

#include "abi/uapi.h"
#include "lab.h"
#include "load/unit.h"
#include "verify/render.h"

#define MAPS     (LAB_MAPS + LAB_INNER + 1)
#define BIG      (LAB_MAPS + LAB_INNER) /* an array of one value of 4,096 bytes */
#define LOOKUPS  1000u
#define DIAMONDS 25000u

/* --- programs: `bound` is the number that may be wrong --- */

static void index_value(struct fort_text *text, unsigned map, const char *reg)
{
	fort_text_add(text, "lddw r2, map_idx_value %u, 0\nadd r2, %s\nldxb r3, [r2+0]\n", map,
		      reg);
}

static void end(struct fort_text *text)
{
	fort_text_add(text, "mov r0, 0\nexit\n");
}

static void two_counters(struct fort_text *text, unsigned bound)
{
	fort_text_add(text,
		      "mov r6, 0\nouter: mov r7, 0\ninner: mov r8, r6\nlsh r8, 6\nadd r8, r7\n");
	index_value(text, BIG, "r8");
	fort_text_add(text, "add r7, 1\njlt r7, 64, inner\nadd r6, 1\njlt r6, %u, outer\n", bound);
	end(text);
}

/* `n` bits of one word, each of which adds `step`. */
static void bits_of_word(struct fort_text *text, unsigned n, unsigned step, unsigned start)
{
	fort_text_add(text, "ldxw r4, [r1+8]\nmov r6, %u\n", start);
	for (unsigned i = 0; i < n; i++)
		fort_text_add(text, "jset r4, 0x%x, +1\nadd r6, %u\n", 1u << i, step);
	index_value(text, LAB_GLOBAL, "r6");
	end(text);
}

static void twenty_bits(struct fort_text *text, unsigned bound)
{
	bits_of_word(text, 20, 3, bound - 60);
}

static void thirty_bits(struct fort_text *text, unsigned bound)
{
	bits_of_word(text, 30, 2, bound - 60);
}

/* All sums are different ones. */
static void weighed_bits(struct fort_text *text, unsigned bound)
{
	fort_text_add(text, "ldxw r4, [r1+8]\nmov r6, %u\n", bound);
	for (unsigned i = 0; i < 30; i++)
		fort_text_add(text, "jset r4, 0x%x, +1\nadd r6, 0x%x\n", 1u << i, 1u << i);
	fort_text_add(text, "rsh r6, 24\n");
	index_value(text, LAB_GLOBAL, "r6");
	end(text);
}

/* What the branches do differently, nobody asks. */
static void long_diamonds(struct fort_text *text, unsigned bound)
{
	fort_text_add(text, "mov r6, 0\n");
	for (unsigned i = 0; i < DIAMONDS; i++)
		fort_text_add(text, "ldxw r4, [r1+8]\njset r4, 0x%x, +1\nxor r6, %u\nadd r6, 1\n",
			      1u << i % 31, i);
	fort_text_add(text, "mov r6, %u\n", bound);
	index_value(text, LAB_GLOBAL, "r6");
	end(text);
}

static void many_lookups(struct fort_text *text, unsigned bound)
{
	for (unsigned i = 0; i < LOOKUPS; i++)
		fort_text_add(text,
			      "stdw [r10-8], %u\nmov r2, r10\nadd r2, -8\nlddw r1, map_idx %u\n"
			      "call 1\njeq r0, 0, +2\nmov r1, 1\nlock add [r0+%u], r1\n",
			      i, LAB_HASH, bound);
	end(text);
}

/* 64 bytes, 8 rounds each, written out: the mask is 0 or -1, and nobody asks which. */
static void unrolled_checksum(struct fort_text *text, unsigned bound)
{
	fort_text_add(text, "mov32 r6, -1\n");
	for (unsigned byte = 0; byte < 64; byte++) {
		fort_text_add(text,
			      "lddw r2, map_idx_value %u, 0\nldxb r3, [r2+%u]\nxor32 r6, r3\n",
			      LAB_GLOBAL, byte == 63 ? bound : byte);
		for (unsigned bit = 0; bit < 8; bit++)
			fort_text_add(text, "mov32 r4, r6\nlsh32 r4, 31\narsh32 r4, 31\n"
					    "and32 r4, 0xedb88320\nrsh32 r6, 1\nxor32 r6, r4\n");
	}
	fort_text_add(text, "and r6, 63\n");
	index_value(text, LAB_GLOBAL, "r6");
	end(text);
}

static const struct {
	const char *name;
	void (*write)(struct fort_text *text, unsigned bound);
	unsigned good, bad;
	const char *later; /* NULL: it is accepted */
} programs[] = {
	{"the index i * 64 + j of two loops", two_counters, 64, 65, NULL},
	{"20 bits of a word, and the sum as an index", twenty_bits, 63, 64, NULL},
	{"30 bits of a word, and the sum as an index", thirty_bits, 63, 64, NULL},
	{"30 bits of a word, each with a weight of its own", weighed_bits, 0, 1, NULL},
	{"100,000 instructions of branches that join", long_diamonds, 63, 64, NULL},
	{"1,000 lookups, each tested and added to", many_lookups, 8, 16, NULL},
	{"a checksum without branches, unrolled", unrolled_checksum, 63, 64, NULL},
};

/* --- */

static struct fort_map_shape shapes[MAPS];
static unsigned count;

enum outcome { ACCEPTED, UNSAFE, GAVE_UP };

static enum outcome search(struct fort_unit *unit, struct fort_arena *arena, char *why, size_t room)
{
	struct fort_verify_options options = {.budget_insns = FORT_BUDGET_INSNS};
	struct fort_verify_result result;
	struct fort_check check;
	struct fort_proven proven;
	const struct fort_diag_info *info;
	enum outcome outcome = GAVE_UP;

	if (fort_verify_search(&unit->env, arena, &options, &result)) {
		snprintf(why, room, "no memory");
	} else if (result.verdict == FORT_REJECT) {
		info = fort_diag_info(result.violation.diag);
		snprintf(why, room, "%s (%s) at %u", info->code, info->title, result.violation.pc);
		outcome = info->class == FORT_CLASS_SAFETY ? UNSAFE : GAVE_UP;
	} else if (!fort_certificate_check((struct fort_span){result.certificate.data,
							      result.certificate.bytes},
					   &unit->env, arena, &check, &proven)) {
		snprintf(why, room, "certificate: %s", fort_check_fault_text(check.fault));
	} else {
		snprintf(why, room, "accepted");
		outcome = ACCEPTED;
	}
	fort_buf_free(&result.certificate);
	return outcome;
}

static enum outcome judge(const char *text, size_t bytes, char *why, size_t room)
{
	struct fort_unit_request request = {.hook = {.prog = fort_prog_by_name("sched_cls")},
					    .maps = shapes,
					    .n_maps = MAPS,
					    .rights = LAB_ALL_RIGHTS,
					    .gpl = true};
	enum outcome outcome = GAVE_UP;
	struct fort_unit_error unit_error;
	struct fort_asm_error error;
	struct fort_assembly code;
	struct fort_arena arena;
	struct fort_unit unit;

	fort_arena_init(&arena, FORT_SEARCH_BYTES_MAX);
	snprintf(why, room, "the program cannot be made");
	if (!fort_assemble(&arena, text, bytes, &code, &error)) {
		request.insns = code.insns;
		request.n_insns = code.n_insns;
		if (!fort_unit_build(&arena, &request, &unit, &unit_error))
			outcome = search(&unit, &arena, why, room);
	}
	fort_arena_free(&arena);
	return outcome;
}

static void report(bool good, const char *name, bool twin, const char *skip, const char *why)
{
	printf("%s %u - %s%s", good ? "ok" : "not ok", ++count, name, twin ? ", one too far" : "");
	printf(skip ? " # SKIP later: %s\n" : "\n", skip);
	if (!good)
		printf("# %s\n", why);
}

static void one_program(size_t i)
{
	const char *later = programs[i].later;

	for (unsigned twin = 0; twin < 2; twin++) {
		enum outcome want = twin ? UNSAFE : ACCEPTED, got;
		struct fort_text text = fort_text_new();
		char why[256];
		bool skip;

		programs[i].write(&text, twin ? programs[i].bad : programs[i].good);
		got = judge(text.data, text.length, why, sizeof(why));
		fort_text_free(&text);
		skip = later && got == GAVE_UP;
		if (later && got == ACCEPTED && !twin)
			snprintf(why, sizeof(why), "accepted: the reason `later` must go");
		report(skip || (got == want && (!later || twin)), programs[i].name, twin,
		       skip ? later : NULL, why);
	}
}

int main(void)
{
	memcpy(shapes, lab_shapes, sizeof(lab_shapes));
	shapes[BIG] = (struct fort_map_shape){
		.type = BPF_MAP_TYPE_ARRAY, .key_bytes = 4, .value_bytes = 4096, .max_entries = 1};
	for (size_t i = 0; i < FORT_LEN(programs); i++)
		one_program(i);
	printf("1..%u\n", count);
	return 0;
}
