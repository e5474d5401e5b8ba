/* The abstract domain beside the running kernel's: random programs make two numbers out of unknown
 * words by masks, shifts and comparisons, then go on with any operations on them. After every
 * instruction the kernel says what it knows (log level 2); we must know at least that.
 *
 * A pair of an unsigned and a signed range can be two intervals, which one wrapped interval cannot
 * say. Where the kernel knows more because of that, the number is not followed any further.
 *
 * BPFORT_TEST_SEED, BPFORT_TEST_COUNT: where to start, how many programs
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "abi/uapi.h"
#include "domain/scalar.h"
#include "isa/disasm.h"
#include "isa/insn.h"

#define PROGRAMS  4000u
#define SEED      1u
#define STEPS     10u /* instructions on the two numbers */
#define INSNS     (STEPS + 4)
#define LOG_BYTES (1u << 16)
#define FIRST     FORT_R6 /* the numbers are in this register and the next */

struct range {
	uint64_t umin, umax;
	int64_t smin, smax;
};

/* What the kernel knows of a register, and what we do. */
struct known {
	struct range full, half;
	struct fort_tnum bits;
};

struct followed {
	struct fort_scalar ours;
	struct known theirs;
	bool split; /* the kernel's was two intervals at some time */
	bool lost;  /* it knows more for that, or what we know cannot be compared */
};

static struct fort_insn program[INSNS];
static struct fort_raw_insn raw[INSNS];
static char log_text[LOG_BYTES];
static uint64_t state;
static unsigned long compared, narrower, apart, crossed, failures;

static uint64_t draw(uint64_t below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 33) % below;
}

/* --- programs --- */

static int32_t draw_imm(enum fort_op op, unsigned bits)
{
	int32_t power = (int32_t)(1u << draw(32));

	if (op == FORT_OP_LSH || op == FORT_OP_RSH || op == FORT_OP_ARSH)
		return (int32_t)draw(bits);
	switch (draw(6)) {
	case 0: return (int32_t)draw(16) + 1;
	case 1: return power;
	case 2: return power - 1 ? power - 1 : 1;
	case 3: return -power;
	case 4: return (int32_t)draw(1u << 16) + 1;
	default: return (int32_t)(draw(1ull << 32) | 1);
	}
}

/* Kinds of steps: the first ones of a program narrow one number, later ones are anything. */
static enum fort_kind draw_kind(bool narrow)
{
	static const enum fort_kind kinds[] = {FORT_ALU_K, FORT_ALU_K, FORT_JCC_K, FORT_JCC_K,
					       FORT_ALU_X, FORT_ALU_X, FORT_ALU_X, FORT_JCC_X,
					       FORT_NEG,   FORT_MOVSX, FORT_END,   FORT_MOV_X};

	return kinds[draw(narrow ? 4 : FORT_LEN(kinds))];
}

static enum fort_row draw_row(enum fort_kind kind, bool narrow)
{
	enum fort_row row = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < FORT_ROWS; i++) {
		enum fort_op op = fort_rows[i].op;
		bool shapes = op == FORT_OP_AND || op == FORT_OP_RSH || op == FORT_OP_ARSH ||
			      op == FORT_OP_OR || op == FORT_OP_ADD;

		if (fort_rows[i].kind != kind || (kind == FORT_ALU_K && narrow && !shapes))
			continue;
		if (!draw(++n))
			row = i;
	}
	return row;
}

static void make_step(uint32_t at, bool narrow)
{
	enum fort_kind kind = draw_kind(narrow);
	enum fort_row row = kind == FORT_MOV_X ? FORT_ROW_MOV32_X : draw_row(kind, narrow);
	const struct fort_row_info *info = &fort_rows[row];
	bool known = kind == FORT_ALU_K || kind == FORT_JCC_K;
	bool jump = kind == FORT_JCC_K || kind == FORT_JCC_X;
	uint8_t dst = (uint8_t)(FIRST + draw(2)), other = (uint8_t)(2 * FIRST + 1 - dst), src = 0;

	if (kind == FORT_JCC_X || (kind == FORT_ALU_X && draw(4)))
		src = other;
	else if (kind == FORT_ALU_X)
		src = dst;
	else if (kind == FORT_MOV_X || kind == FORT_MOVSX)
		src = dst; /* a copy would relate the two */
	program[at] = fort_insn_make(row, dst, src, jump ? (int16_t)(INSNS - 2 - at - 1) : 0,
				     known ? draw_imm(info->op, info->bits) : 0);
}

/* False: no way leads past this instruction without jumping. */
static bool step(const struct fort_insn *insn, struct followed *numbers);

static void make_program(uint64_t seed)
{
	struct followed numbers[2] = {{.ours = fort_scalar_unknown()},
				      {.ours = fort_scalar_unknown()}};
	uint32_t n = 0;

	state = seed * 0x9e3779b97f4a7c15ull;
	program[n++] = fort_insn_make(FORT_ROW_LDX64, FIRST, FORT_R10, -8, 0);
	program[n++] = fort_insn_make(FORT_ROW_LDX64, FIRST + 1, FORT_R10, -16, 0);
	while (n < 2 + STEPS) {
		struct followed before[2] = {numbers[0], numbers[1]};

		/* Where every run would jump, the log has nothing to say. */
		make_step(n, n < STEPS - 1);
		if (step(&program[n], numbers))
			n++;
		else
			memcpy(numbers, before, sizeof(before));
	}
	program[n++] = fort_insn_make(FORT_ROW_MOV64_K, FORT_R0, 0, 0, 0);
	program[n++] = fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0);
	for (uint32_t i = 0; i < n; i++)
		(void)fort_insn_encode(&program[i], &raw[i]);
}

static void print_program(uint32_t until)
{
	for (uint32_t pc = 0; pc <= until; pc++) {
		char line[256];
		struct fort_text text = fort_text_on(line, sizeof(line));

		fort_insn_text(&program[pc], NULL, &text);
		printf("# %4u: %s\n", pc, line);
	}
}

/* --- the kernel's side --- */

static int load(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log_text, .log_size = sizeof(log_text),
		    .log_level = 2);
	log_text[0] = 0;
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "domain", "GPL",
			       (const struct bpf_insn *)raw, INSNS, &opts);

	return fd < 0 ? -errno : fd;
}

/* Names are as in "umax=umax32=255": the value is behind the last. Signed numbers may be written as
 * the unsigned word. */
static void take_field(struct known *out, const char *name, size_t length, const char *number)
{
	uint64_t u =
		*number == '-' ? (uint64_t)strtoll(number, NULL, 10) : strtoull(number, NULL, 0);
	bool half = length > 2 && !strncmp(name + length - 2, "32", 2);
	struct range *r = half ? &out->half : &out->full;
	int64_t s = half ? (int32_t)u : (int64_t)u;

	if (!strncmp(name, "smin", 4))
		r->smin = s;
	else if (!strncmp(name, "smax", 4))
		r->smax = s;
	else if (!strncmp(name, "umin", 4))
		r->umin = half ? (uint32_t)u : u;
	else if (!strncmp(name, "umax", 4))
		r->umax = half ? (uint32_t)u : u;
}

static void take_const(struct known *out, uint64_t x)
{
	out->full = (struct range){x, x, (int64_t)x, (int64_t)x};
	out->half = (struct range){(uint32_t)x, (uint32_t)x, (int32_t)x, (int32_t)x};
	out->bits = (struct fort_tnum){x, 0};
}

/* "scalar(smin=0,smax=umax=255,var_off=(0x0; 0xff))" or a number. */
static bool parse(const char *text, struct known *out)
{
	const char *bits = strstr(text, "var_off=("), *end = strchr(text, '\n');
	unsigned long long value, mask;

	*out = (struct known){{0, UINT64_MAX, INT64_MIN, INT64_MAX},
			      {0, UINT32_MAX, INT32_MIN, INT32_MAX},
			      {0, UINT64_MAX}};
	text += *text == 'P';
	if (strncmp(text, "scalar(", 7)) {
		take_const(out, *text == '-' ? (uint64_t)strtoll(text, NULL, 10)
					     : strtoull(text, NULL, 0));
		return *text == '-' || (*text >= '0' && *text <= '9');
	}
	for (const char *at = text + 7; *at && *at != ')' && *at != '\n'; at++) {
		const char *stop = at + strcspn(at, ",)\n"), *number = stop;

		while (number > at && number[-1] != '=')
			number--;
		if (bits && at == bits && bits < end)
			break;
		for (const char *name = at; name < number; name += strcspn(name, "=") + 1)
			take_field(out, name, strcspn(name, "="), number);
		at = stop;
		if (*at != ',')
			break;
	}
	if (bits && end && bits < end && bits < text + strcspn(text, ")")) {
		if (sscanf(bits, "var_off=(%llx; %llx)", &value, &mask) != 2)
			return false;
		out->bits = (struct fort_tnum){value, mask};
	}
	return true;
}

/* What the log says of a register after instruction pc; false if it says nothing. */
static bool find_state(uint32_t pc, unsigned reg, struct known *out)
{
	char start[32], name[16];
	const char *line, *end, *at;

	snprintf(start, sizeof(start), "\n%u: (", pc);
	snprintf(name, sizeof(name), " R%u=", reg);
	line = strstr(log_text, start);
	end = line ? strchr(line + 1, '\n') : NULL;
	at = line ? strchr(line + 1, ';') : NULL;
	at = at && end && at < end ? strstr(at, name) : NULL;
	return at && at < end && parse(at + strlen(name), out);
}

static bool reached(uint32_t pc)
{
	char start[32];
	const char *line, *branch = strstr(log_text, "\nfrom ");

	snprintf(start, sizeof(start), "\n%u: (", pc);
	line = strstr(log_text, start);
	return line && (!branch || line < branch);
}

/* --- ours --- */

static bool step(const struct fort_insn *insn, struct followed *numbers)
{
	struct fort_scalar *dst = &numbers[insn->dst - FIRST].ours, right = {0};
	unsigned from = insn->op == FORT_OP_MOVSX8 ? 8 : insn->op == FORT_OP_MOVSX16 ? 16 : 32;
	bool same = insn->kind == FORT_ALU_X && insn->dst == insn->src;

	if (insn->kind == FORT_ALU_X || insn->kind == FORT_JCC_X)
		right = numbers[insn->src - FIRST].ours;
	else
		right = fort_scalar_const((uint64_t)insn->imm);
	switch (insn->kind) {
	case FORT_ALU_K:
	case FORT_ALU_X: *dst = fort_scalar_alu(insn->op, insn->bits, dst, &right, same); break;
	case FORT_NEG: *dst = fort_scalar_neg(insn->bits, dst); break;
	case FORT_END: *dst = fort_scalar_swap(insn->op, insn->bits, dst); break;
	case FORT_MOV_X: *dst = fort_scalar_truncate(dst, 32); break;
	case FORT_MOVSX: *dst = fort_scalar_sign_extend(dst, from, insn->bits); break;
	default:
		if (!fort_scalar_assume(insn->op, insn->bits, false, dst, &right))
			return false;
		if (insn->kind == FORT_JCC_X)
			numbers[insn->src - FIRST].ours = right;
	}
	return true;
}

static bool one_interval(const struct range *r, uint64_t ones)
{
	uint64_t s = (uint64_t)r->smin & ones, t = (uint64_t)r->smax & ones;

	if (s <= t || s == t + 1)
		return true;
	return (r->umin <= t) != (s <= r->umax) || (!r->umin && r->umax == ones);
}

static bool within(const struct fort_scalar *a, const struct known *k)
{
	return fort_scalar_umin(a) >= k->full.umin && fort_scalar_umax(a) <= k->full.umax &&
	       fort_scalar_smin(a) >= k->full.smin && fort_scalar_smax(a) <= k->full.smax &&
	       fort_scalar_umin32(a) >= k->half.umin && fort_scalar_umax32(a) <= k->half.umax &&
	       fort_scalar_smin32(a) >= k->half.smin && fort_scalar_smax32(a) <= k->half.smax &&
	       !(a->bits.mask & ~k->bits.mask) &&
	       !((a->bits.value ^ k->bits.value) & ~k->bits.mask);
}

/* No more words in each view, if others: where the kernel forgot something, and what it learned
 * since makes two intervals of what we know. */
static bool no_larger(const struct fort_scalar *a, const struct known *k)
{
	uint64_t u = k->full.umax - k->full.umin,
		 s = (uint64_t)k->full.smax - (uint64_t)k->full.smin;
	uint64_t u32 = k->half.umax - k->half.umin, s32 = (uint64_t)(k->half.smax - k->half.smin);

	return a->arc.size <= (u < s ? u : s) && a->low.size <= (u32 < s32 ? u32 : s32) &&
	       !(a->bits.mask & ~k->bits.mask);
}

static bool equal(const struct fort_scalar *a, const struct known *k)
{
	return fort_scalar_umin(a) == k->full.umin && fort_scalar_umax(a) == k->full.umax &&
	       fort_scalar_smin(a) == k->full.smin && fort_scalar_smax(a) == k->full.smax &&
	       fort_scalar_umin32(a) == k->half.umin && fort_scalar_umax32(a) == k->half.umax &&
	       fort_scalar_smin32(a) == k->half.smin && fort_scalar_smax32(a) == k->half.smax &&
	       a->bits.mask == k->bits.mask;
}

static void fail(uint64_t seed, uint32_t pc, unsigned i, const struct followed *f)
{
	const struct known *k = &f->theirs;
	const struct fort_scalar *a = &f->ours;

	printf("# BPFORT_TEST_SEED=%llu BPFORT_TEST_COUNT=1: the kernel knows more of r%u after "
	       "%u\n",
	       (unsigned long long)seed, FIRST + i, pc);
	if (failures++ > 3)
		return;
	print_program(pc);
	printf("# kernel: u [%#llx, %#llx] s [%lld, %lld] u32 [%#llx, %#llx] s32 [%lld, %lld] bits "
	       "%#llx/%#llx\n",
	       (unsigned long long)k->full.umin, (unsigned long long)k->full.umax,
	       (long long)k->full.smin, (long long)k->full.smax, (unsigned long long)k->half.umin,
	       (unsigned long long)k->half.umax, (long long)k->half.smin, (long long)k->half.smax,
	       (unsigned long long)k->bits.value, (unsigned long long)k->bits.mask);
	printf("# ours:   u [%#llx, %#llx] s [%lld, %lld] u32 [%#x, %#x] s32 [%d, %d] bits "
	       "%#llx/%#llx\n",
	       (unsigned long long)fort_scalar_umin(a), (unsigned long long)fort_scalar_umax(a),
	       (long long)fort_scalar_smin(a), (long long)fort_scalar_smax(a),
	       fort_scalar_umin32(a), fort_scalar_umax32(a), fort_scalar_smin32(a),
	       fort_scalar_smax32(a), (unsigned long long)a->bits.value,
	       (unsigned long long)a->bits.mask);
}

/* AND and OR of -1 or 0 with a constant make two paths in the kernel, and the log is of one. */
static bool kernel_forks(const struct fort_insn *insn, const struct followed *numbers)
{
	const struct known *k = &numbers[insn->dst - FIRST].theirs;

	return (insn->op == FORT_OP_AND || insn->op == FORT_OP_OR) &&
	       ((k->full.smin == -1 && !k->full.smax) || (k->half.smin == -1 && !k->half.smax));
}

static void compare(uint64_t seed, uint32_t pc, struct followed *numbers)
{
	for (unsigned i = 0; i < 2; i++) {
		struct followed *f = &numbers[i];
		struct known k;

		if (!find_state(pc, FIRST + i, &k))
			continue;
		f->theirs = k;
		f->split |=
			!one_interval(&k.full, UINT64_MAX) || !one_interval(&k.half, UINT32_MAX);
		if (f->lost)
			continue;
		compared++;
		if (within(&f->ours, &k)) {
			narrower += !equal(&f->ours, &k);
		} else if (f->split) {
			apart++;
			f->lost = true;
		} else if (no_larger(&f->ours, &k)) {
			crossed++;
			f->lost = true;
		} else {
			fail(seed, pc, i, f);
		}
	}
}

/* What one number was told by the other. */
static void share(struct followed *dst, struct followed *src, bool both)
{
	dst->split |= src->split;
	dst->lost |= src->lost;
	if (both) {
		src->split = dst->split;
		src->lost = dst->lost;
	}
}

static bool follow(uint64_t seed)
{
	struct followed numbers[2] = {{.ours = fort_scalar_unknown()},
				      {.ours = fort_scalar_unknown()}};
	int fd;

	make_program(seed);
	fd = load();
	if (fd < 0)
		return false;
	close(fd);
	for (uint32_t pc = 2; pc < 2 + STEPS; pc++) {
		const struct fort_insn *insn = &program[pc];
		bool uses_src = insn->kind == FORT_ALU_X || insn->kind == FORT_JCC_X;

		if (!reached(pc) || kernel_forks(insn, numbers))
			break;
		if (uses_src)
			share(&numbers[insn->dst - FIRST], &numbers[insn->src - FIRST],
			      insn->kind == FORT_JCC_X);
		(void)step(insn, numbers);
		compare(seed, pc, numbers);
	}
	return true;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
	uint64_t seed = number_from("BPFORT_TEST_SEED", SEED);
	uint64_t want = number_from("BPFORT_TEST_COUNT", PROGRAMS), refused = 0;
	bool good;

	for (uint64_t n = 0; n < want; n++)
		if (!follow(seed + n) && !refused++ && !n) {
			printf("1..0 # SKIP the kernel loads no programs: %s\n", strerror(errno));
			return 0;
		}
	printf("# seed %llu, %llu programs, %llu refused: of %lu states ours is narrower in %lu; "
	       "%lu are two intervals in the kernel, %lu would be here\n",
	       (unsigned long long)seed, (unsigned long long)want, (unsigned long long)refused,
	       compared, narrower, apart, crossed);
	good = compared > 7 * want && 10 * apart < compared && 1000 * crossed < compared;
	printf("%s 1 - we know at least what the kernel knows\n", failures ? "not ok" : "ok");
	printf("%s 2 - programs were followed, nearly all to the end\n1..2\n",
	       good ? "ok" : "not ok");
	return failures || !good;
}
