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

static bool is_in_frame(struct fort_x64_mem mem)
{
	return mem.base == fort_x64_home(FORT_R10) && mem.disp >= -(int32_t)FORT_STACK_BYTES &&
	       mem.disp < 0;
}

static struct fort_x64_mem place(const struct fort_x64 *x, uint8_t reg, int16_t off, unsigned bits,
				 bool stores)
{
	const struct fort_isolation_info *isolation = &fort_isolations[x->request->isolation];
	struct fort_x64_mem mem = {.base = fort_x64_home(reg), .disp = off};

	mem.window = (stores ? isolation->stores : isolation->loads) &&
		     !(is_in_frame(mem) && off + (int)(bits / 8) <= 0);
	return mem;
}

/* An address whose offset may not be spelled is computed before, in a free register. */
static struct fort_x64_mem place_by(struct fort_x64 *x, struct fort_x64_mem mem,
				    enum fort_x64_reg free)
{
	struct fort_x64_mem by = {.base = mem.base, .disp = fort_x64_part(&x->bytes)};

	if (!by.disp || is_in_frame(mem))
		return mem;
	fort_x64_rm(&x->bytes, FORT_X64_LEA, 64, free, by);
	mem.base = free;
	mem.disp = (int32_t)((uint32_t)mem.disp - (uint32_t)by.disp);
	return mem;
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
	struct fort_x64_mem mem =
		place_by(x, place(x, insn->src, insn->off, insn->bits, false), FORT_X64_FREE1);
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

static void store(struct fort_x64 *x, struct fort_x64_mem mem, unsigned bits,
		  enum fort_x64_reg from)
{
	note(x, mem, bits, false);
	fort_x64_rm(&x->bytes, bits == 8 ? FORT_X64_MOV8 : FORT_X64_MOV, bits, from, mem);
}

/* Immediates are cut to the width, or sign-extended to 64 bits, by the encodings themselves. */
void fort_x64_st(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_mem mem = place(x, insn->dst, insn->off, insn->bits, true);
	enum fort_x64_row row = insn->bits == 8    ? FORT_X64_MOV_I8
				: insn->bits == 16 ? FORT_X64_MOV_I16
						   : FORT_X64_MOV_I32;

	mem = place_by(x, mem, FORT_X64_FREE1);
	if (FORT_UNLIKELY(x->bytes.careful)) {
		fort_x64_const(&x->bytes, FORT_X64_FREE2, (uint64_t)insn->imm);
		store(x, mem, insn->bits, FORT_X64_FREE2);
		return;
	}
	note(x, mem, insn->bits, false);
	fort_x64_rmi(&x->bytes, row, insn->bits, 0, mem, (int32_t)insn->imm);
}

/* Store-release too: x86 keeps the order of stores. */
void fort_x64_stx(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_mem mem = place(x, insn->dst, insn->off, insn->bits, true);

	store(x, place_by(x, mem, FORT_X64_FREE1), insn->bits, fort_x64_home(insn->src));
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

/* Both free registers have their uses in there: the address goes into one of the program's. */
static void fetch_by(struct fort_x64 *x, const struct fort_insn *insn, struct fort_x64_mem mem)
{
	enum fort_x64_reg lent =
		insn->src == FORT_R1 ? fort_x64_home(FORT_R2) : fort_x64_home(FORT_R1);

	fort_x64_reg(&x->bytes, FORT_X64_PUSH, 32, lent);
	fetch(x, insn, place_by(x, mem, lent));
	fort_x64_reg(&x->bytes, FORT_X64_POP, 32, lent);
}

void fort_x64_atomic(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct fort_x64_mem mem = place(x, insn->dst, insn->off, insn->bits, true);

	if (insn->op < FORT_LEN(fetch_rows) && fetch_rows[insn->op]) {
		if (FORT_UNLIKELY(x->bytes.careful))
			fetch_by(x, insn, mem);
		else
			fetch(x, insn, mem);
		return;
	}
	mem = place_by(x, mem, FORT_X64_FREE1);
	note(x, mem, insn->bits, false);
	fort_x64_rm(&x->bytes, atomic_rows[insn->op], insn->bits, fort_x64_home(insn->src), mem);
	/* A comparison that held leaves eax, and with it the upper half, alone. */
	if (insn->op == FORT_OP_A_CMPXCHG && insn->bits == 32)
		fort_x64_mov(&x->bytes, 32, FORT_X64_RAX, FORT_X64_RAX);
}
