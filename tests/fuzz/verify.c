/* Any bytes as a program: the search ends within its budget, what it accepts has a certificate that
 * the checker accepts, what it rejects has a text for each field of its diagnostic.
 *
 * An input is a byte for the program type, a byte for rights and license, and instructions. The
 * mutator knows what an instruction is, so that most of its programs pass the decoder.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "verify/render.h"

#define HEAD_BYTES   2u
#define BUDGET_INSNS 20000u

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed);

static struct lab lab;

static void check_text(const struct fort_render *render, const char *text)
{
	struct fort_text out = fort_text_new();

	fort_render_text(render, text, &out);
	FUZZ_ASSERT(out.length);
	FUZZ_ASSERT(!strchr(out.data, '{') || strchr(text, '{'));
	fort_text_free(&out);
}

static void check_rejection(void)
{
	const struct fort_violation *v = &lab.result.violation;
	const struct fort_diag_info *info = fort_diag_info(v->diag);
	struct fort_render render = {.env = &lab.env, .violation = v, .state = lab.result.state};

	FUZZ_ASSERT(!lab.result.state || lab.result.retraced);
	FUZZ_ASSERT(v->diag && v->pc < lab.n_insns && info->errno_value);
	check_text(&render, info->kernel);
	check_text(&render, info->message);
	check_text(&render, info->needed);
	check_text(&render, info->known);
	check_text(&render, info->hint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fort_verify_options options = {.budget_insns = BUDGET_INSNS};
	struct fort_raw_insn raw[LAB_INSNS];
	uint32_t count;

	if (bytes < HEAD_BYTES + sizeof(*raw) || bytes > HEAD_BYTES + sizeof(raw))
		return 0;
	count = (uint32_t)((bytes - HEAD_BYTES) / sizeof(*raw));
	memcpy(raw, data + HEAD_BYTES, count * sizeof(*raw));
	if (lab_open_raw(&lab, fort_progs[data[0] % FORT_PROGS].name, raw, count)) {
		lab.env.rights = data[1] & LAB_ALL_RIGHTS;
		lab.env.gpl = data[1] >> 7;
		FUZZ_ASSERT(!fort_verify_search(&lab.env, &lab.arena, &options, &lab.result));
		FUZZ_ASSERT(lab.result.insns_processed <= BUDGET_INSNS + 1);
		if (lab.result.verdict == FORT_REJECT)
			check_rejection();
		else
			FUZZ_ASSERT(lab_check(&lab, lab.result.certificate.data,
					      lab.result.certificate.bytes));
	}
	lab_free(&lab);
	return 0;
}

/* --- mutation --- */

static unsigned pick(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 8) % n;
}

/* A valid instruction, mostly: any row, small operands. */
static struct fort_raw_insn any_insn(unsigned *seed)
{
	static const int32_t numbers[] = {0,  1,  2,  3,   4,   7,   8,     -1,     -4,
					  -8, 16, 48, 255, 256, 512, 65535, 0x7fff, INT32_MIN};
	const struct fort_row_info *row = &fort_rows[pick(seed, FORT_ROWS)];
	struct fort_raw_insn insn = {.opcode = row->opcode};
	bool memory = strchr(row->uses, 'O');

	if (strpbrk(row->uses, "Ddb"))
		insn.dst = pick(seed, 11);
	if (strpbrk(row->uses, "Ss"))
		insn.src = pick(seed, 11);
	if (memory)
		insn.off = (int16_t)(row->kind == FORT_JA || row->kind == FORT_JCC_K ||
						     row->kind == FORT_JCC_X
					     ? (int)pick(seed, 12) - 3
					     : numbers[pick(seed, FORT_LEN(numbers))]);
	if (strchr(row->uses, 'I'))
		insn.imm = pick(seed, 4) ? numbers[pick(seed, FORT_LEN(numbers))]
					 : (int32_t)pick(seed, 220);
	switch (row->select) {
	case FORT_SELECT_OFF: insn.off = (int16_t)row->value; break;
	case FORT_SELECT_IMM: insn.imm = row->value; break;
	case FORT_SELECT_SRC: insn.src = (uint8_t)(row->value & 15); break;
	default: break;
	}
	return insn;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed)
{
	struct fort_raw_insn insn = any_insn(&seed);
	size_t count = bytes > HEAD_BYTES ? (bytes - HEAD_BYTES) / sizeof(insn) : 0, at;
	uint8_t *place;

	if (!count || !pick(&seed, 3))
		return LLVMFuzzerMutate(data, bytes, room);
	at = pick(&seed, (unsigned)count);
	place = data + HEAD_BYTES + at * sizeof(insn);
	switch (pick(&seed, 4)) {
	case 0: /* insert */
		if (bytes + sizeof(insn) > room)
			break;
		memmove(place + sizeof(insn), place, bytes - (size_t)(place - data));
		memcpy(place, &insn, sizeof(insn));
		return bytes + sizeof(insn);
	case 1: /* remove */
		memmove(place, place + sizeof(insn), bytes - (size_t)(place - data) - sizeof(insn));
		return bytes - sizeof(insn);
	case 2: /* copy another */
		memcpy(place, data + HEAD_BYTES + pick(&seed, (unsigned)count) * sizeof(insn),
		       sizeof(insn));
		return bytes;
	default: break;
	}
	memcpy(place, &insn, sizeof(insn));
	return bytes;
}
