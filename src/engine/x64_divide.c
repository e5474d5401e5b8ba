/* Division by registers. x86 divides rdx:rax only, and traps where BPF defines a result: by zero,
 * and the least number by -1. These are branched around; rax and rdx, where r0 and r3 live, are
 * kept in the free registers if somebody needs them.
 */
#include "engine/x64_divide.h"

static struct fort_x64_division division_of(const struct fort_x64_op *op)
{
	enum fort_x64_reg dst = fort_x64_home(op->dst);

	return (struct fort_x64_division){
		.bits = op->bits,
		.is_signed = op->op == FORT_OP_SDIV || op->op == FORT_OP_SMOD,
		.remainder = op->op == FORT_OP_MOD || op->op == FORT_OP_SMOD,
		.dst = dst,
		.a = fort_x64_home(op->a),
		.b = fort_x64_home(op->b),
		.keep_rax = op->flags & FORT_X64_KEEP_R0 && dst != FORT_X64_RAX,
		.keep_rdx = op->flags & FORT_X64_KEEP_R3 && dst != FORT_X64_RDX,
	};
}

void fort_x64_put_away(struct fort_x64 *x, const struct fort_x64_division *d,
		       enum fort_x64_reg operand)
{
	if (d->keep_rax || operand == FORT_X64_RAX)
		fort_x64_mov(&x->bytes, 64, FORT_X64_FREE1, FORT_X64_RAX);
	if (d->keep_rdx || operand == FORT_X64_RDX)
		fort_x64_mov(&x->bytes, 64, FORT_X64_FREE2, FORT_X64_RDX);
}

void fort_x64_take_back(struct fort_x64 *x, const struct fort_x64_division *d)
{
	if (d->keep_rax)
		fort_x64_mov(&x->bytes, 64, FORT_X64_RAX, FORT_X64_FREE1);
	if (d->keep_rdx)
		fort_x64_mov(&x->bytes, 64, FORT_X64_RDX, FORT_X64_FREE2);
}

/* --- by registers --- */

/* What division by zero leaves. */
static void by_zero(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_division d = division_of(op);

	if (d.remainder)
		fort_x64_mov(&x->bytes, d.bits, d.dst, d.a);
	else
		fort_x64_const(&x->bytes, d.dst, 0);
}

static void by_minus_one(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_division d = division_of(op);

	if (d.remainder) {
		fort_x64_const(&x->bytes, d.dst, 0);
		return;
	}
	fort_x64_mov(&x->bytes, 64, d.dst, d.a);
	fort_x64_rr(&x->bytes, FORT_X64_NEG, d.bits, 0, d.dst);
}

/* rdx = 0; rdx:rax divided. */
static void unsigned_divide(struct fort_x64 *x, unsigned bits, enum fort_x64_reg divisor)
{
	fort_x64_rr(&x->bytes, FORT_X64_XOR, 32, FORT_X64_RDX, FORT_X64_RDX);
	fort_x64_rr(&x->bytes, FORT_X64_DIV, bits, 0, divisor);
}

static void wide_divide(struct fort_x64 *x, const struct fort_x64_op *op)
{
	unsigned_divide(x, 64, fort_x64_away(fort_x64_home(op->b)));
}

/* Division of 64 bits is slow on many processors, and most numbers are small: where both have no
 * upper half, 32 bits do. */
static void divide_64(struct fort_x64 *x, const struct fort_x64_op *op, enum fort_x64_reg divisor)
{
	struct fort_x64_bytes *to = &x->bytes;
	uint32_t done;

	fort_x64_mov(to, 64, FORT_X64_RDX, FORT_X64_RAX);
	fort_x64_rr(to, FORT_X64_OR, 64, divisor, FORT_X64_RDX);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SHR, FORT_X64_RDX, 32);
	done = fort_x64_seldom(x, FORT_X64_NOT_EQUAL, op, wide_divide);
	x->colds[x->n_colds - 1].keeps_free = true;
	fort_x64_rr(to, FORT_X64_DIV, 32, 0, divisor); /* rdx is 0 */
	fort_x64_bind(x, done);
}

static void divide_registers(struct fort_x64 *x, const struct fort_x64_op *op,
			     const struct fort_x64_division *d)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg divisor = fort_x64_away(d->b);

	fort_x64_put_away(x, d, d->b);
	fort_x64_mov(to, 64, FORT_X64_RAX, d->a);
	if (d->is_signed) {
		fort_x64_plain(to, FORT_X64_CQO, d->bits);
		fort_x64_rr(to, FORT_X64_IDIV, d->bits, 0, divisor);
	} else if (d->bits == 64) {
		divide_64(x, op, divisor);
	} else {
		unsigned_divide(x, 32, divisor);
	}
	fort_x64_mov(to, 64, d->dst, d->remainder ? FORT_X64_RDX : FORT_X64_RAX);
	fort_x64_take_back(x, d);
}

/* One comparison for the common case: b + 1 is above 1 unless b is -1 or 0. */
static uint32_t seldom_signed(struct fort_x64 *x, const struct fort_x64_op *op, uint32_t *minus_one)
{
	enum fort_x64_reg b = fort_x64_home(op->b);
	uint32_t common, done;

	fort_x64_rm(&x->bytes, FORT_X64_LEA, op->bits, FORT_X64_FREE1, fort_x64_at(b, 1));
	fort_x64_alu_imm(&x->bytes, FORT_X64_CMP, op->bits, FORT_X64_FREE1, 1);
	common = fort_x64_label(x);
	fort_x64_jump_to(x, FORT_X64_ABOVE, common);
	done = fort_x64_seldom(x, FORT_X64_EQUAL, op, by_zero);
	*minus_one = fort_x64_seldom(x, FORT_X64_ALWAYS, op, by_minus_one);
	fort_x64_bind(x, common);
	return done;
}

static void divide_by_register(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_division d = division_of(op);
	uint32_t done, minus_one = 0;

	if (d.is_signed) {
		done = seldom_signed(x, op, &minus_one);
	} else {
		fort_x64_rr(&x->bytes, FORT_X64_TEST, d.bits, d.b, d.b);
		done = fort_x64_seldom(x, FORT_X64_EQUAL, op, by_zero);
	}
	divide_registers(x, op, &d);
	fort_x64_bind(x, done);
	if (minus_one)
		fort_x64_bind(x, minus_one);
}

void fort_x64_divide(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_division d = division_of(op);
	int64_t divisor = d.bits == 64  ? op->imm
			  : d.is_signed ? (int32_t)op->imm
					: (int64_t)(uint32_t)op->imm;

	if (op->b != FORT_X64_NO_REG)
		divide_by_register(x, op);
	else if (!divisor)
		by_zero(x, op);
	else if (d.is_signed && divisor == -1)
		by_minus_one(x, op);
	else
		fort_x64_divide_by(x, &d, divisor);
}
