#include "engine/interp.h"

#include <errno.h>
#include <string.h>

#include "base/pages.h"
#include "domain/scalar.h"
#include "engine/resolve.h"
#include "engine/tail.h"

/* What two instructions have to do with each other (interp_pairs.def). */
enum how { SAME, READ, FEED, ANY };

/* A pair's name. */
#define PAIR(how, kind1, op1, bits1, kind2, op2, bits2) \
	pair_##how##_##kind1##_##op1##bits1##_##kind2##_##op2##bits2

/* Steps: a row of isa.def, or a pair. */
enum {
	BEFORE_PAIRS = FORT_ROWS - 1,
#define FORT_PAIR(...) PAIR(__VA_ARGS__),
#include "engine/interp_pairs.def"
	STEPS
};
_Static_assert(STEPS <= 256, "a step is a byte");

/* One slot, ready to run: 16 bytes. */
struct record {
	uint8_t row, dst, src;
	uint8_t step; /* the row; or the pair, of this instruction with the one that follows */
	/* Memory: added to the address. Jumps and local calls: slots from here to the target.
	 * Helpers: the number. */
	int32_t offset;
	/* Immediate, widened. Local calls: their cost. Helpers: the function's address. */
	int64_t imm;
};

struct fort_code {
	size_t bytes;
	enum fort_isolation isolation;
	fort_helper_lookup *helper; /* for calls by register */
	uint32_t *loop_ends;        /* behind the records: fort_resolve_loops */
	struct record records[];
};

/* A caller, while its callee runs. */
struct frame {
	const struct record *back;
	uint64_t saved[FORT_R10 - FORT_R6]; /* r6 to r9 */
};

/* --- the operations of isa.def as functions of two words, for both widths --- */

/* An atomic operation repeats until nobody came between; compare-and-exchange gives up when memory
 * does not hold what r0 holds. Returns the old word. */
#define ATOMIC_FUNCTION(word, name, fetch, expr)                                            \
	static inline word name(word *at, word b, word expected)                            \
	{                                                                                   \
		word a = __atomic_load_n(at, __ATOMIC_RELAXED);                             \
                                                                                            \
		do {                                                                        \
			if ((fetch)[1] == '0' && a != expected)                             \
				return a;                                                   \
		} while (!__atomic_compare_exchange_n(at, &a, expr, true, __ATOMIC_SEQ_CST, \
						      __ATOMIC_SEQ_CST));                   \
		return a;                                                                   \
	}

/* clang-format off */
#define U    uint64_t
#define BITS 64
#define S(x) ((int64_t)(x))
#define FORT_ALU(op, code, select, value, name, symbol, expr) \
	static inline uint64_t alu64_##op(uint64_t a, uint64_t b) { return expr; }
#include "isa/isa.def"
#define FORT_JCC(op, code, name, symbol, expr) \
	static inline bool jump64_##op(uint64_t a, uint64_t b) { return expr; }
#include "isa/isa.def"
#define FORT_ATOMIC(op, imm, fetch, name, symbol, expr) \
	ATOMIC_FUNCTION(uint64_t, atomic64_A_##op, fetch, expr)
#include "isa/isa.def"
#undef U
#undef BITS
#undef S

#define U    uint32_t
#define BITS 32
#define S(x) ((int32_t)(x))
#define FORT_ALU(op, code, select, value, name, symbol, expr) \
	static inline uint32_t alu32_##op(uint32_t a, uint32_t b) { return expr; }
#include "isa/isa.def"
#define FORT_JCC(op, code, name, symbol, expr) \
	static inline bool jump32_##op(uint32_t a, uint32_t b) { return expr; }
#include "isa/isa.def"
#define FORT_ATOMIC(op, imm, fetch, name, symbol, expr) \
	ATOMIC_FUNCTION(uint32_t, atomic32_A_##op, fetch, expr)
#include "isa/isa.def"
#undef U
#undef BITS
#undef S
/* clang-format on */

/* --- memory, at any alignment --- */

#define MEMORY_FUNCTIONS(bits)                                        \
	static inline uint##bits##_t load##bits(const void *at)       \
	{                                                             \
		uint##bits##_t word;                                  \
                                                                      \
		memcpy(&word, at, sizeof(word));                      \
		return word;                                          \
	}                                                             \
	static inline void store##bits(void *at, uint##bits##_t word) \
	{                                                             \
		memcpy(at, &word, sizeof(word));                      \
	}
MEMORY_FUNCTIONS(8)
MEMORY_FUNCTIONS(16)
MEMORY_FUNCTIONS(32)
MEMORY_FUNCTIONS(64)

static void stop(struct fort_run *run, enum fort_abort_code code, uint32_t pc, uint32_t detail)
{
	fort_run_abort(run, code, detail);
	run->abort.pc = pc;
}

/* The program that a tail call in the outermost frame goes on with, or NULL. */
static const struct fort_code *enter_next(struct fort_run *run)
{
	return fort_tail_enter(run, &fort_engine_interp) ? run->tails.at->code : NULL;
}

static void stop_memory(struct fort_run *run, uint32_t pc, uint64_t address, uint32_t bytes)
{
	stop(run, FORT_ABORT_MEMORY, pc, 0);
	run->abort.address = (uint32_t)address;
	run->abort.bytes = bytes;
}

/* --- the loop, once for each combination --- */

#include "engine/interp_do.inc"

#define NAME     run_none
#define LOADS    0
#define STORES   0
#define OBSERVED 0
#include "engine/interp_run.inc"

#define NAME     run_sfi_store
#define LOADS    0
#define STORES   1
#define OBSERVED 0
#include "engine/interp_run.inc"

#define NAME     run_sfi
#define LOADS    1
#define STORES   1
#define OBSERVED 0
#include "engine/interp_run.inc"

#define NAME     run_none_observed
#define LOADS    0
#define STORES   0
#define OBSERVED 1
#include "engine/interp_run.inc"

#define NAME     run_sfi_observed
#define LOADS    1
#define STORES   1
#define OBSERVED 1
#include "engine/interp_run.inc"

static bool count(void *context, uint32_t pc, uint32_t frame, const uint64_t regs[FORT_REGS])
{
	struct fort_run *run = context;

	if (FORT_LIKELY(run->counts)) /* a program that was called may not count */
		run->counts[pc]++;
	return true;
}

static uint64_t run_code(const struct fort_code *code, struct fort_run *run)
{
	const struct fort_isolation_info *isolation = &fort_isolations[code->isolation];
	const struct fort_observer counter = {count, run};

	if (FORT_UNLIKELY(run->counts))
		return fort_interp_run_observed(code, run, &counter);
	if (isolation->loads)
		return run_sfi(code, run, NULL);
	return isolation->stores ? run_sfi_store(code, run, NULL) : run_none(code, run, NULL);
}

/* Stores alone are not confined here: all accesses are, or none. */
uint64_t fort_interp_run_observed(const struct fort_code *code, struct fort_run *run,
				  const struct fort_observer *observer)
{
	return fort_isolations[code->isolation].stores ? run_sfi_observed(code, run, observer)
						       : run_none_observed(code, run, observer);
}

/* --- compiling --- */

static void compile_call(const struct fort_compile *request, const struct fort_insn *insn,
			 uint32_t pc, struct record *out)
{
	int64_t target = fort_insn_target(insn, pc);

	if (insn->op == FORT_OP_LOCAL) {
		out->offset = (int32_t)(target - pc);
		out->imm = fort_resolve_callee_slots(request->program, (uint32_t)target);
	} else {
		out->offset = (int32_t)insn->imm;
		out->imm = (int64_t)(uintptr_t)request->helper((uint32_t)insn->imm);
	}
}

static int compile_one(const struct fort_compile *request, uint32_t pc, struct record *out)
{
	const struct fort_insn *insn = &request->program->insns[pc];
	int err = fort_resolve_check(request, insn);

	if (err)
		return err;
	*out = (struct record){
		.row = insn->row,
		.dst = insn->dst,
		.src = insn->src,
		.offset = insn->off,
		.imm = insn->imm,
	};
	if (fort_insn_writes_frame_pointer(insn)) { /* a run that gets there ends */
		out->row = FORT_ROW_LDIMM_HIGH;
		return 0;
	}
	switch (insn->kind) {
	case FORT_JA:
	case FORT_JCC_K:
	case FORT_JCC_X: out->offset = (int32_t)(fort_insn_target(insn, pc) - pc); return 0;
	case FORT_CALL: compile_call(request, insn, pc, out); return 0;
	case FORT_LDIMM: return fort_resolve_imm(request, insn, &out->imm);
	default: return 0;
	}
}

/* --- pairs --- */

/* The row of an instruction in a pair. */
#define ROW_ALU_K(op, bits) FORT_ROW_##op##bits##_K
#define ROW_ALU_X(op, bits) FORT_ROW_##op##bits##_X
#define ROW_JCC_K(op, bits) FORT_ROW_##op##bits##_K
#define ROW_JCC_X(op, bits) FORT_ROW_##op##bits##_X
#define ROW_MOV_X(op, bits) FORT_ROW_##op##bits##_X
#define ROW_LDX(op, bits)   FORT_ROW_##op##bits
#define ROW_STX(op, bits)   FORT_ROW_##op##bits

static const struct pair {
	uint8_t first, second, how;
} pairs[STEPS] = {
#define FORT_PAIR(how, kind1, op1, bits1, kind2, op2, bits2)                          \
	[PAIR(how, kind1, op1, bits1, kind2, op2, bits2)] = {ROW_##kind1(op1, bits1), \
							     ROW_##kind2(op2, bits2), how},
#include "engine/interp_pairs.def"
};

/* From a row to the pairs that it is the first one of: a chain that 0 ends. */
struct pair_index {
	uint8_t first[FORT_ROWS], next[STEPS];
};

static void index_pairs(struct pair_index *index)
{
	memset(index, 0, sizeof(*index));
	for (uint32_t step = STEPS; step-- > FORT_ROWS;) {
		index->next[step] = index->first[pairs[step].first];
		index->first[pairs[step].first] = (uint8_t)step;
	}
}

static bool fits(const struct pair *pair, const struct record *at)
{
	const struct record *second = at + 1;

	if (second->row != pair->second)
		return false;
	switch (pair->how) {
	case SAME:
		return second->dst == at->dst &&
		       (second->src != at->dst || !(fort_rows[second->row].fields & FORT_USE('S')));
	case READ: return second->dst == at->dst;
	case FEED: return second->src == at->dst;
	default: return true;
	}
}

/* Pairs where most is won: what one saves is a dispatch, and a way through memory if it passes a
 * value on. From the end backwards, each instruction knows what follows it is worth. */
static void choose_steps(struct record *records, uint32_t count)
{
	uint32_t next = 0, after_next = 0; /* what is won from there on */
	struct pair_index index;

	index_pairs(&index);
	for (struct record *at = records + count; at-- > records;) {
		bool last = at + 1 == records + count;
		uint32_t step = last ? 0 : index.first[at->row], won = next;

		at->step = at->row;
		while (step && !fits(&pairs[step], at))
			step = index.next[step];
		if (step && after_next + (pairs[step].how == ANY ? 2 : 3) > next) {
			won = after_next + (pairs[step].how == ANY ? 2 : 3);
			at->step = (uint8_t)step;
		}
		after_next = next;
		next = won;
	}
}

static void free_code(struct fort_code *code)
{
	if (code)
		fort_pages_free(code, code->bytes);
}

static int compile(const struct fort_compile *request, struct fort_code **out)
{
	uint32_t count = request->program->n_insns;
	size_t bytes =
		sizeof(struct fort_code) + count * (sizeof(struct record) + sizeof(uint32_t));
	struct fort_code *code;
	void *pages;
	int err;

	err = fort_resolve_isolation(request, fort_engine_interp.isolations);
	if (err)
		return err;
	err = fort_pages_alloc(bytes, &pages);
	if (err)
		return err;
	code = pages;
	code->bytes = bytes;
	code->isolation = request->isolation;
	code->helper = request->helper;
	code->loop_ends = (uint32_t *)&code->records[count];
	fort_resolve_loops(request->program, code->loop_ends);
	for (uint32_t pc = 0; pc < count && !err; pc++)
		err = compile_one(request, pc, &code->records[pc]);
	if (err) {
		free_code(code);
		return err;
	}
	choose_steps(code->records, count);
	*out = code;
	return 0;
}

const struct fort_engine fort_engine_interp = {
	.name = "interp",
	.isolations = 1u << FORT_ISOLATION_NONE | 1u << FORT_ISOLATION_SFI_STORE |
		      1u << FORT_ISOLATION_SFI,
	.compile = compile,
	.free = free_code,
	.run = run_code,
};
