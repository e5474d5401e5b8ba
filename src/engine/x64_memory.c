/* Memory: every access of a program is emitted here, and noted for when it faults.
 *
 * Under sfi an address is gs:[r32 + offset]: computed in 32 bits, so that nothing but the window
 * can be named, also by the processor's speculation. Two exceptions need no prefix: what the
 * isolation does not confine, and constant offsets from r10 inside its frame, since no instruction
 * of a program writes r10.
 */
#include "engine/x64_code.h"

static const uint8_t atomic_rows[] = {
#define FORT_X64_ATOMIC(op, id) [FORT_OP_##op] = FORT_X64_##id,
#include "engine/x64.def"
};

static const uint8_t fetch_rows[] = {
#define FORT_X64_FETCH(op, id) [FORT_OP_##op] = FORT_X64_##id,
#include "engine/x64.def"
};

static struct fort_x64_mem place(const struct fort_x64 *x, uint8_t reg, int16_t off, unsigned bits,
				 bool stores)
{
	const struct fort_isolation_info *isolation = &fort_isolations[x->request->isolation];
	bool in_frame =
		reg == FORT_R10 && off >= -(int)FORT_STACK_BYTES && off + (int)(bits / 8) <= 0;

	return (struct fort_x64_mem){
		.base = fort_x64_home(reg),
		.disp = off,
		.window = (stores ? isolation->stores : isolation->loads) && !in_frame,
	};
}

/* The next instruction emitted is an access. */
static void note(struct fort_x64 *x, struct fort_x64_mem mem, unsigned bits, bool r0_in_free1)
{
	if (x->accesses)
		x->accesses[x->n_accesses] = (struct fort_x64_access){
			.at = x->bytes.at,
			.pc = x->pc,
			.disp = mem.disp,
			.base = (uint8_t)mem.base,
			.bytes = (uint8_t)(bits / 8),
			.r0_in_free1 = r0_in_free1,
		};
	x->n_accesses++;
}

/* Loads of 64 bits with the sign are those without. */
void fort_x64_ldx(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_mem mem = place(x, insn->src, insn->off, insn->bits, false);
	enum fort_x64_reg dst = fort_x64_home(insn->dst);
	bool sign = insn->op == FORT_OP_LDXS;

	note(x, mem, insn->bits, false);
	switch (insn->bits) {
	case 8:
		fort_x64_rm(&x->bytes, sign ? FORT_X64_MOVSX8 : FORT_X64_MOVZX8, sign ? 64 : 32,
			    dst, mem);
		break;
	case 16:
		fort_x64_rm(&x->bytes, sign ? FORT_X64_MOVSX16 : FORT_X64_MOVZX16, sign ? 64 : 32,
			    dst, mem);
		break;
	case 32:
		fort_x64_rm(&x->bytes, sign ? FORT_X64_MOVSX32 : FORT_X64_LOAD, sign ? 64 : 32, dst,
			    mem);
		break;
	default: fort_x64_rm(&x->bytes, FORT_X64_LOAD, 64, dst, mem);
	}
}

/* Immediates are cut to the width, or sign-extended to 64 bits, by the encodings themselves. */
void fort_x64_st(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_mem mem = place(x, insn->dst, insn->off, insn->bits, true);
	enum fort_x64_row row = insn->bits == 8    ? FORT_X64_MOV_I8
				: insn->bits == 16 ? FORT_X64_MOV_I16
						   : FORT_X64_MOV_I32;

	note(x, mem, insn->bits, false);
	fort_x64_rmi(&x->bytes, row, insn->bits, 0, mem, (int32_t)insn->imm);
}

/* Store-release too: x86 keeps the order of stores. */
void fort_x64_stx(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_mem mem = place(x, insn->dst, insn->off, insn->bits, true);

	note(x, mem, insn->bits, false);
	fort_x64_rm(&x->bytes, insn->bits == 8 ? FORT_X64_MOV8 : FORT_X64_MOV, insn->bits,
		    fort_x64_home(insn->src), mem);
}

/* Fetch-and-op without an instruction of its own: repeat until nobody came between. rax has the
 * expected word, so r0 waits in FREE1, also as operand or address; src gets the old word.
 */
static void fetch(struct fort_x64 *x, const struct fort_insn *insn, struct fort_x64_mem mem)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg src = fort_x64_home(insn->src);
	enum fort_x64_reg operand = src == FORT_X64_RAX ? FORT_X64_FREE1 : src;
	uint32_t again;

	if (mem.base == FORT_X64_RAX)
		mem.base = FORT_X64_FREE1;
	fort_x64_mov(to, 64, FORT_X64_FREE1, FORT_X64_RAX);
	note(x, mem, insn->bits, true);
	fort_x64_rm(to, FORT_X64_LOAD, insn->bits, FORT_X64_RAX, mem);
	again = to->at;
	fort_x64_mov(to, 64, FORT_X64_FREE2, FORT_X64_RAX);
	fort_x64_rr(to, fetch_rows[insn->op], insn->bits, operand, FORT_X64_FREE2);
	note(x, mem, insn->bits, true);
	fort_x64_rm(to, FORT_X64_CMPXCHG, insn->bits, FORT_X64_FREE2, mem);
	fort_x64_jump(to, FORT_X64_NOT_EQUAL, 1, again);
	fort_x64_mov(to, insn->bits, src, FORT_X64_RAX);
	if (src != FORT_X64_RAX)
		fort_x64_mov(to, 64, FORT_X64_RAX, FORT_X64_FREE1);
}

void fort_x64_atomic(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_mem mem = place(x, insn->dst, insn->off, insn->bits, true);

	if (insn->op < FORT_LEN(fetch_rows) && fetch_rows[insn->op]) {
		fetch(x, insn, mem);
		return;
	}
	note(x, mem, insn->bits, false);
	fort_x64_rm(&x->bytes, atomic_rows[insn->op], insn->bits, fort_x64_home(insn->src), mem);
	/* A comparison that held leaves eax, and with it the upper half, alone. */
	if (insn->op == FORT_OP_A_CMPXCHG && insn->bits == 32)
		fort_x64_mov(&x->bytes, 32, FORT_X64_RAX, FORT_X64_RAX);
}
