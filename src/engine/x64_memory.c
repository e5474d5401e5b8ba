/* Memory: every access of a program is emitted here or takes its operand from here, and is noted
 * for when it faults.
 *
 * Under sfi an address is gs:[r32 + r32 << scale + disp]: computed in 32 bits, so that nothing but
 * the window can be named, also by the processor's speculation. Two exceptions need no prefix:
 * what the isolation does not confine, and constant offsets from r10 inside its frame, since no
 * instruction of a program writes r10.
 */
#include "engine/x64_layout.h"
#include "engine/x64_value.h"

static const uint8_t atomic_rows[] = {
#define FORT_X64_ATOMIC(op, id) [FORT_OP_##op] = FORT_X64_##id,
#include "engine/x64.def"
};

static const uint8_t fetch_rows[] = {
#define FORT_X64_FETCH(op, id) [FORT_OP_##op] = FORT_X64_##id,
#include "engine/x64.def"
};

/* What the isolation confines goes to the window. */
static bool is_confined(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	const struct fort_isolation_info *isolation = &fort_isolations[x->request->isolation];
	bool stores = op->kind == FORT_X64_OP_STORE || op->kind == FORT_X64_OP_UPDATE ||
		      op->kind == FORT_X64_OP_ATOMIC;

	return stores ? isolation->stores : isolation->loads;
}

struct fort_x64_mem fort_x64_mem_of(const struct fort_x64 *x, const struct fort_x64_op *op,
				    unsigned bits)
{
	return (struct fort_x64_mem){
		.base = (uint8_t)fort_x64_home(op->base),
		.index = (uint8_t)fort_x64_home(op->index),
		.scale = op->scale,
		.disp = op->disp,
		.segment = is_confined(x, op) && !fort_x64_in_frame(op, bits) ? FORT_X64_GS
									      : FORT_X64_FLAT,
	};
}

struct fort_x64_mem fort_x64_place(struct fort_x64 *x, const struct fort_x64_op *op, unsigned bits)
{
	return fort_x64_put_mem(x, fort_x64_mem_of(x, op, bits), FORT_X64_FREE2);
}

void fort_x64_note(struct fort_x64 *x, struct fort_x64_mem mem, unsigned bytes, uint32_t pc,
		   uint32_t load_pc)
{
	const struct fort_x64_op *op = &x->ops[x->at];

	x->accesses[x->n_accesses++] = (struct fort_x64_access){
		.at = x->bytes.at,
		.refund = op->flags & FORT_X64_PAID ? op->join : 0,
		.pc = pc,
		.load_pc = load_pc,
		.disp = mem.disp,
		.base = mem.base,
		.index = mem.index,
		.scale = mem.scale,
		.bytes = (uint8_t)bytes,
	};
}

/* Loads of 64 bits with the sign are those without. */
void fort_x64_load(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_mem mem = fort_x64_place(x, op, op->bits);
	bool sign = op->op == FORT_OP_LDXS;
	enum fort_x64_row row = op->bits == 8    ? sign ? FORT_X64_MOVSX8 : FORT_X64_MOVZX8
				: op->bits == 16 ? sign ? FORT_X64_MOVSX16 : FORT_X64_MOVZX16
				: op->bits == 32 && sign ? FORT_X64_MOVSX32
							 : FORT_X64_LOAD;

	fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc);
	fort_x64_rm(&x->bytes, row, sign || op->bits == 64 ? 64 : 32, fort_x64_home(op->dst), mem);
}

/* Immediates are cut to the width, or sign-extended to 64 bits, by the encodings themselves.
 * Store-release is a store: x86 keeps the order of stores. */
void fort_x64_store(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_mem mem = fort_x64_place(x, op, op->bits);
	enum fort_x64_reg a = fort_x64_home(op->a);
	enum fort_x64_row row = op->bits == 8    ? FORT_X64_MOV_I8
				: op->bits == 16 ? FORT_X64_MOV_I16
						 : FORT_X64_MOV_I32;

	if (op->a == FORT_X64_NO_REG)
		a = fort_x64_hidden(x, op->imm, FORT_X64_FREE1);
	fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc);
	if (a == FORT_X64_NONE)
		fort_x64_rmi(&x->bytes, row, op->bits, 0, mem, (int32_t)op->imm);
	else
		fort_x64_rm(&x->bytes, op->bits == 8 ? FORT_X64_MOV8 : FORT_X64_MOV, op->bits, a,
			    mem);
}

/* Load, operation and store in one; not atomic. */
void fort_x64_update(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_mem mem = fort_x64_place(x, op, op->bits);
	enum fort_x64_row row = fort_x64_alu_row(op->op);
	enum fort_x64_reg b = fort_x64_home(op->b);

	if (op->b == FORT_X64_NO_REG)
		b = fort_x64_hidden(x, op->imm, FORT_X64_FREE1);
	fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc - op->from);
	if (b == FORT_X64_NONE)
		fort_x64_alu_mem_imm(&x->bytes, row, op->bits, mem, (int32_t)op->imm);
	else
		fort_x64_rm(&x->bytes, row, op->bits, b, mem);
}

/* Fetch-and-op without an instruction of its own: repeat until nobody came between. rax has the
 * expected word, so r0 waits elsewhere, also as operand or address: in FREE1 or, where FREE1 has
 * the address, on the machine's stack. src gets the old word.
 */
static void fetch(struct fort_x64 *x, const struct fort_x64_op *op, struct fort_x64_mem mem)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_row row = fetch_rows[op->op];
	enum fort_x64_reg src = fort_x64_home(op->a);
	bool stack = mem.base == FORT_X64_FREE1;
	uint32_t again;

	if (stack)
		fort_x64_reg(to, FORT_X64_PUSH, 32, FORT_X64_RAX);
	else
		fort_x64_mov(to, 64, FORT_X64_FREE1, FORT_X64_RAX);
	if (mem.base == FORT_X64_RAX)
		mem.base = FORT_X64_FREE1;
	if (mem.index == FORT_X64_RAX)
		mem.index = FORT_X64_FREE1;
	fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc);
	fort_x64_rm(to, FORT_X64_LOAD, op->bits, FORT_X64_RAX, mem);
	again = to->at;
	fort_x64_mov(to, 64, FORT_X64_FREE2, FORT_X64_RAX);
	if (src == FORT_X64_RAX && stack)
		fort_x64_rm(to, fort_x64_load_row(row), op->bits, FORT_X64_FREE2,
			    fort_x64_at(FORT_X64_RSP, 0));
	else
		fort_x64_rr(to, row, op->bits, src == FORT_X64_RAX ? FORT_X64_FREE1 : src,
			    FORT_X64_FREE2);
	fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc);
	fort_x64_rm(to, FORT_X64_CMPXCHG, op->bits, FORT_X64_FREE2, mem);
	fort_x64_jump(to, FORT_X64_NOT_EQUAL, 1, (int64_t)again - (to->at + 2));
	fort_x64_mov(to, op->bits, src, FORT_X64_RAX);
	if (src == FORT_X64_RAX && stack)
		fort_x64_reg(to, FORT_X64_POP, 32, FORT_X64_FREE1);
	else if (stack)
		fort_x64_reg(to, FORT_X64_POP, 32, FORT_X64_RAX);
	else if (src != FORT_X64_RAX)
		fort_x64_mov(to, 64, FORT_X64_RAX, FORT_X64_FREE1);
}

void fort_x64_atomic(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_mem mem =
		fort_x64_put_mem(x, fort_x64_mem_of(x, op, op->bits), FORT_X64_FREE1);

	if (op->op < FORT_LEN(fetch_rows) && fetch_rows[op->op]) {
		fetch(x, op, mem);
		return;
	}
	fort_x64_note(x, mem, op->bits / 8, op->pc, op->pc);
	fort_x64_rm(&x->bytes, atomic_rows[op->op], op->bits, fort_x64_home(op->a), mem);
	/* A comparison that held leaves eax, and with it the upper half, alone. */
	if (op->op == FORT_OP_A_CMPXCHG && op->bits == 32)
		fort_x64_mov(&x->bytes, 32, FORT_X64_RAX, FORT_X64_RAX);
}
