/* What one operation on abstract values costs: the inner loop of verification. Operands are of the
 * kinds that programs have, made beforehand; the library is called as the verifier calls it.
 * Numbers are ns of processor time per call, the least of some rounds: other load disturbs them
 * less.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "domain/scalar.h"
#include "bench.h"

#define VALUES 64u
#define CALLS  (1u << 15)

enum kind { CONSTANTS, BYTES, RANGES, MASKED, SIGNED, LOW_HALF, UNKNOWN, KINDS };

static const char *const kind_names[KINDS] = {"constants", "bytes",   "ranges", "masked",
					      "signed",    "32 bits", "unknown"};

static struct fort_scalar values[KINDS][VALUES];
static volatile unsigned long sink;

static struct fort_scalar value_of(enum kind kind)
{
	uint64_t low = (uint64_t)rand() % 4096, size = (uint64_t)rand() % 4096;
	struct fort_scalar mask, unknown = fort_scalar_unknown();

	switch (kind) {
	case CONSTANTS: return fort_scalar_const((uint64_t)(rand() % 512) - 64);
	case BYTES: return fort_scalar_of_width(rand() % 2 ? 8 : 16);
	case RANGES: return fort_scalar_range(low, low + size);
	case MASKED:
		mask = fort_scalar_const((uint64_t)rand() & 0xfff8);
		return fort_scalar_alu(FORT_OP_AND, 64, &unknown, &mask, false);
	case SIGNED: return fort_scalar_signed_range(-(int64_t)low - 1, (int64_t)size);
	case LOW_HALF: return fort_scalar_of_width(32);
	default: return unknown;
	}
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Each body does one operation on a, from `kind`, and b, from `other`, and gives a number. */
#define MEASURE(label, kind, other, body)                                                      \
	do {                                                                                   \
		double least = 1e9;                                                            \
		for (unsigned round_ = 0; round_ < BENCH_ROUNDS; round_++) {                   \
			double start_ = now_ns(), ns_;                                         \
			for (unsigned i_ = 0; i_ < CALLS; i_++) {                              \
				const struct fort_scalar *a = &values[kind][i_ % VALUES];      \
				const struct fort_scalar *b = &values[other][i_ / 7 % VALUES]; \
				(void)a;                                                       \
				(void)b;                                                       \
				sink += (unsigned long)(body);                                 \
			}                                                                      \
			ns_ = (now_ns() - start_) / CALLS;                                     \
			least = ns_ < least ? ns_ : least;                                     \
		}                                                                              \
		add(label, least);                                                             \
	} while (0)

static double log_sum;
static unsigned n_lines;
static const char *row;

static void add(const char *label, double ns)
{
	if (row != label)
		printf("%s%-22s", row ? "\n" : "", label);
	row = label;
	printf(" %9.1f", ns);
	fflush(stdout);
	log_sum += log(ns);
	n_lines++;
}

static const struct {
	const char *name;
	enum fort_op op;
} alu_ops[] = {
#define FORT_ALU(op, ...) {#op, FORT_OP_##op},
#include "isa/isa.def"
};

static void measure_alu(const char *label, enum fort_op op, unsigned bits, enum kind other)
{
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE(label, kind, other, fort_scalar_alu(op, bits, a, b, false).arc.base);
}

static bool narrows(enum fort_op op, unsigned bits, const struct fort_scalar *a,
		    const struct fort_scalar *b)
{
	struct fort_scalar left = *a, right = *b;

	return fort_scalar_assume(op, bits, true, &left, &right) && left.arc.base;
}

static bool met(const struct fort_scalar *a, const struct fort_scalar *b)
{
	struct fort_scalar both = *a;

	return fort_scalar_meet(&both, b);
}

static bool reduced(const struct fort_scalar *a)
{
	struct fort_scalar copy = *a;

	return fort_scalar_reduce(&copy);
}

static void measure_rest(void)
{
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("nothing", kind, kind, a->arc.base + b->arc.base);
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("reduce", kind, kind, reduced(a));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("covers itself", kind, kind, fort_scalar_covers(a, a));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("covers another", kind, kind, fort_scalar_covers(a, b));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("meet", kind, kind, met(a, b));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("join", kind, kind, fort_scalar_join(a, b).arc.base);
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("plus", kind, kind, fort_scalar_plus(a, i_ % 64 + 1).arc.base);
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("truncate to 32", kind, kind, fort_scalar_truncate(a, 32).arc.base);
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("sign-extend 32", kind, kind, fort_scalar_sign_extend(a, 32, 64).arc.base);
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("swap 16", kind, kind, fort_scalar_swap(FORT_OP_BE, 16, a).arc.base);
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("decide < constant", kind, CONSTANTS,
			fort_scalar_decide(FORT_OP_JLT, 64, a, b));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("assume == constant", kind, CONSTANTS, narrows(FORT_OP_JEQ, 64, a, b));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("assume < constant", kind, CONSTANTS, narrows(FORT_OP_JLT, 64, a, b));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("assume s< constant", kind, CONSTANTS, narrows(FORT_OP_JSLT, 64, a, b));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("assume32 < constant", kind, CONSTANTS, narrows(FORT_OP_JLT, 32, a, b));
	for (unsigned kind = 0; kind < KINDS; kind++)
		MEASURE("assume < range", kind, RANGES, narrows(FORT_OP_JLT, 64, a, b));
}

int main(void)
{
	static char labels[4 * FORT_LEN(alu_ops)][32];
	unsigned n = 0;

	srand(1);
	for (unsigned kind = 0; kind < KINDS; kind++)
		for (unsigned i = 0; i < VALUES; i++)
			values[kind][i] = value_of(kind);
	printf("ns per call; columns are the kind of the left operand\n%-22s", "");
	for (unsigned kind = 0; kind < KINDS; kind++)
		printf(" %9s", kind_names[kind]);
	printf("\n");
	for (size_t i = 0; i < FORT_LEN(alu_ops); i++)
		for (unsigned form = 0; form < 3; form++) {
			static const enum kind others[] = {CONSTANTS, CONSTANTS, RANGES};
			char *label = labels[n++];

			snprintf(label, sizeof(labels[0]), "%s%s by a %s", alu_ops[i].name,
				 form == 1 ? "32" : "", form == 2 ? "range" : "constant");
			measure_alu(label, alu_ops[i].op, form == 1 ? 32 : 64, others[form]);
		}
	measure_rest();
	printf("\ngeometric mean of %u: %.1f ns\n", n_lines, exp(log_sum / n_lines));
	return 0;
}
