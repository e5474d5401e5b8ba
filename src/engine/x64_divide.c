/* Division. x86 divides rdx:rax only, and traps where BPF defines a result: by zero, and the least
 * number by -1. These are branched around; rax and rdx, where r0 and r3 live, are kept in the free
 * registers unless they are overwritten anyway.
 */
#include "engine/x64_code.h"

struct division {
	unsigned bits;
	bool is_signed, remainder;
	enum fort_x64_reg dst;
};

static struct division division_of(const struct fort_insn *insn)
{
	return (struct division){
		.bits = insn->bits,
		.is_signed = insn->op == FORT_OP_SDIV || insn->op == FORT_OP_SMOD,
		.remainder = insn->op == FORT_OP_MOD || insn->op == FORT_OP_SMOD,
		.dst = fort_x64_home(insn->dst),
	};
}

/* rdx = 0; rdx:rax divided. */
static void divide_unsigned(struct fort_x64 *x, unsigned bits, enum fort_x64_reg divisor)
{
	fort_x64_rr(&x->bytes, FORT_X64_XOR, 32, FORT_X64_RDX, FORT_X64_RDX);
	fort_x64_rr(&x->bytes, FORT_X64_DIV, bits, 0, divisor);
}

/* Division of 64 bits is slow on many processors, and most numbers are small: where both have no
 * upper half, 32 bits do. */
static void divide_unsigned_64(struct fort_x64 *x, enum fort_x64_reg divisor)
{
	struct fort_x64_bytes *to = &x->bytes;
	uint32_t large, done;

	fort_x64_mov(to, 64, FORT_X64_RDX, FORT_X64_RAX);
	fort_x64_rr(to, FORT_X64_OR, 64, divisor, FORT_X64_RDX);
	fort_x64_rri(to, FORT_X64_SHIFT_I8, 64, FORT_X64_SHR, FORT_X64_RDX, 32);
	large = fort_x64_skip(x, FORT_X64_NOT_EQUAL);
	fort_x64_rr(to, FORT_X64_DIV, 32, 0, divisor); /* rdx is 0 */
	done = fort_x64_skip(x, FORT_X64_ALWAYS);
	fort_x64_land(x, large);
	divide_unsigned(x, 64, divisor);
	fort_x64_land(x, done);
}

/* From rax, with the divisor anywhere but in rax and rdx, to dst; rax and rdx from FREE1, FREE2. */
static void divide(struct fort_x64 *x, const struct division *d, enum fort_x64_reg divisor)
{
	struct fort_x64_bytes *to = &x->bytes;

	if (d->is_signed) {
		fort_x64_plain(to, FORT_X64_CQO, d->bits);
		fort_x64_rr(to, FORT_X64_IDIV, d->bits, 0, divisor);
	} else if (d->bits == 64) {
		divide_unsigned_64(x, divisor);
	} else {
		divide_unsigned(x, 32, divisor);
	}
	fort_x64_mov(to, 64, d->dst, d->remainder ? FORT_X64_RDX : FORT_X64_RAX);
	if (d->dst != FORT_X64_RAX)
		fort_x64_mov(to, 64, FORT_X64_RAX, FORT_X64_FREE1);
	if (d->dst != FORT_X64_RDX)
		fort_x64_mov(to, 64, FORT_X64_RDX, FORT_X64_FREE2);
}

/* What division by zero leaves. */
static void by_zero(struct fort_x64 *x, const struct division *d)
{
	if (d->remainder)
		fort_x64_mov(&x->bytes, d->bits, d->dst, d->dst);
	else
		fort_x64_const(&x->bytes, d->dst, 0);
}

static void by_minus_one(struct fort_x64 *x, const struct division *d)
{
	if (d->remainder)
		fort_x64_const(&x->bytes, d->dst, 0);
	else
		fort_x64_rr(&x->bytes, FORT_X64_NEG, d->bits, 0, d->dst);
}

static void divide_by(struct fort_x64 *x, const struct division *d, enum fort_x64_reg src)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg divisor = src == FORT_X64_RAX   ? FORT_X64_FREE1
				    : src == FORT_X64_RDX ? FORT_X64_FREE2
							  : src;

	if (d->dst != FORT_X64_RAX || src == FORT_X64_RAX)
		fort_x64_mov(to, 64, FORT_X64_FREE1, FORT_X64_RAX);
	if (d->dst != FORT_X64_RDX || src == FORT_X64_RDX)
		fort_x64_mov(to, 64, FORT_X64_FREE2, FORT_X64_RDX);
	fort_x64_mov(to, 64, FORT_X64_RAX, d->dst);
	divide(x, d, divisor);
}

/* One comparison for the common case: src + 1 is above 1 unless src is -1 or 0. */
static void divide_signed(struct fort_x64 *x, const struct division *d, enum fort_x64_reg src)
{
	struct fort_x64_bytes *to = &x->bytes;
	uint32_t common, minus_one, done[2];

	fort_x64_rm(to, FORT_X64_LEA, d->bits, FORT_X64_FREE1,
		    (struct fort_x64_mem){.base = src, .disp = 1});
	fort_x64_alu_imm(to, FORT_X64_CMP, d->bits, FORT_X64_FREE1, 1);
	common = fort_x64_skip(x, FORT_X64_ABOVE);
	minus_one = fort_x64_skip(x, FORT_X64_BELOW);
	by_zero(x, d);
	done[0] = fort_x64_skip(x, FORT_X64_ALWAYS);
	fort_x64_land(x, minus_one);
	by_minus_one(x, d);
	done[1] = fort_x64_skip(x, FORT_X64_ALWAYS);
	fort_x64_land(x, common);
	divide_by(x, d, src);
	fort_x64_land(x, done[0]);
	fort_x64_land(x, done[1]);
}

void fort_x64_divide_x(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct division d = division_of(insn);
	enum fort_x64_reg src = fort_x64_home(insn->src);
	uint32_t common, done;

	if (d.is_signed) {
		divide_signed(x, &d, src);
		return;
	}
	fort_x64_rr(&x->bytes, FORT_X64_TEST, d.bits, src, src);
	common = fort_x64_skip(x, FORT_X64_NOT_EQUAL);
	by_zero(x, &d);
	done = fort_x64_skip(x, FORT_X64_ALWAYS);
	fort_x64_land(x, common);
	divide_by(x, &d, src);
	fort_x64_land(x, done);
}

/* Unsigned division by a power of two is a shift, its remainder a mask. */
static bool divide_by_power(struct fort_x64 *x, const struct division *d, uint64_t divisor)
{
	uint64_t mask = divisor - 1;

	if (d->is_signed || !fort_is_power_of_two(divisor))
		return false;
	if (!d->remainder) {
		if (divisor == 1)
			fort_x64_mov(&x->bytes, d->bits, d->dst, d->dst);
		else
			fort_x64_rri(&x->bytes, FORT_X64_SHIFT_I8, d->bits, FORT_X64_SHR, d->dst,
				     __builtin_ctzll(divisor));
		return true;
	}
	if (mask > INT32_MAX)
		return false;
	fort_x64_alu_imm(&x->bytes, FORT_X64_AND, 32, d->dst, (int32_t)mask);
	return true;
}

void fort_x64_divide_k(struct fort_x64 *x, const struct fort_insn *insn)
{
	struct division d = division_of(insn);
	uint64_t value = d.bits == 32 ? (uint32_t)insn->imm : (uint64_t)insn->imm;
	enum fort_x64_reg divisor = d.dst == FORT_X64_RAX   ? FORT_X64_FREE1
				    : d.dst == FORT_X64_RDX ? FORT_X64_FREE2
							    : d.dst;

	if (!insn->imm) {
		by_zero(x, &d);
		return;
	}
	if (d.is_signed && insn->imm == -1) {
		by_minus_one(x, &d);
		return;
	}
	if (divide_by_power(x, &d, value))
		return;
	if (d.dst != FORT_X64_RAX)
		fort_x64_mov(&x->bytes, 64, FORT_X64_FREE1, FORT_X64_RAX);
	if (d.dst != FORT_X64_RDX)
		fort_x64_mov(&x->bytes, 64, FORT_X64_FREE2, FORT_X64_RDX);
	fort_x64_mov(&x->bytes, 64, FORT_X64_RAX, d.dst);
	fort_x64_const(&x->bytes, divisor, value);
	divide(x, &d, divisor);
}
