/* The instruction set on known words: isa.def's expressions as functions. */
#include "domain/scalar.h"

/* The tables inside the switches confuse the formatter. */
/* clang-format off */
#define S64(x) ((int64_t)(x))
#define S32(x) ((int32_t)(x))

static uint64_t alu64(enum fort_op op, uint64_t a, uint64_t b)
{
#define U    uint64_t
#define BITS 64
#define S    S64
	switch (op) {
#define FORT_ALU(op, code, select, value, name, symbol, expr) case FORT_OP_##op: return expr;
#include "isa/isa.def"
	default: return 0;
	}
#undef U
#undef BITS
#undef S
}

static uint32_t alu32(enum fort_op op, uint32_t a, uint32_t b)
{
#define U    uint32_t
#define BITS 32
#define S    S32
	switch (op) {
#define FORT_ALU(op, code, select, value, name, symbol, expr) case FORT_OP_##op: return expr;
#include "isa/isa.def"
	default: return 0;
	}
#undef U
#undef BITS
#undef S
}

static bool compare64(enum fort_op op, uint64_t a, uint64_t b)
{
#define S S64
	switch (op) {
#define FORT_JCC(op, code, name, symbol, expr) case FORT_OP_##op: return expr;
#include "isa/isa.def"
	default: return false;
	}
#undef S
}

static bool compare32(enum fort_op op, uint32_t a, uint32_t b)
{
#define S S32
	switch (op) {
#define FORT_JCC(op, code, name, symbol, expr) case FORT_OP_##op: return expr;
#include "isa/isa.def"
	default: return false;
	}
#undef S
}
/* clang-format on */

uint64_t fort_word_alu(enum fort_op op, unsigned bits, uint64_t a, uint64_t b)
{
	return bits == 64 ? alu64(op, a, b) : alu32(op, (uint32_t)a, (uint32_t)b);
}

uint64_t fort_word_swap(enum fort_op op, unsigned bits, uint64_t a)
{
	if (op != FORT_OP_LE)
		a = __builtin_bswap64(a) >> (64 - bits);
	return bits == 64 ? a : a & ((1ull << bits) - 1);
}

bool fort_word_compare(enum fort_op op, unsigned bits, uint64_t a, uint64_t b)
{
	return bits == 64 ? compare64(op, a, b) : compare32(op, (uint32_t)a, (uint32_t)b);
}
