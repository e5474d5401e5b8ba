#include "generate.h"

#include "abi/helpers.h"

#define FUNCTIONS_MAX 3u
#define BODY_MAX      30u

struct draft {
	struct hostile_maker *maker;
	struct hostile *out;
	uint32_t starts[FUNCTIONS_MAX + 1], n_functions;
};

static uint32_t below(struct draft *draft, uint32_t n)
{
	return rng_below(&draft->maker->rng, n);
}

static bool one_in(struct draft *draft, uint32_t n)
{
	return !below(draft, n);
}

static void add(struct draft *draft, struct fort_insn insn)
{
	struct hostile *out = draft->out;

	if (out->n + 2 > HOSTILE_SLOTS_MAX - 8)
		return;
	out->insns[out->n++] = insn;
	if (insn.kind == FORT_LDIMM)
		out->insns[out->n++] = fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0);
}

static uint8_t any_reg(struct draft *draft)
{
	return (uint8_t)below(draft, FORT_REGS);
}

/* Writing r10 ends a run: seldom wanted. */
static uint8_t any_dst(struct draft *draft)
{
	return (uint8_t)below(draft, one_in(draft, 60) ? FORT_REGS : FORT_R10);
}

static uint64_t bad_address(struct draft *draft)
{
	struct hostile_maker *maker = draft->maker;
	uint64_t address = maker->bad[below(draft, maker->n_bad)].address;

	return one_in(draft, 3) ? address + (uint64_t)(int64_t)(int16_t)rng_next(&maker->rng)
				: address;
}

static int64_t number(struct draft *draft)
{
	static const int64_t edges[] = {0,         1,         -1,        8,         16,
					31,        63,        64,        4096,      -4096,
					INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN, UINT32_MAX,
					INT64_MAX, INT64_MIN, 1ll << 29, 1ll << 32};
	uint64_t random = rng_next(&draft->maker->rng);

	switch (below(draft, 4)) {
	case 0: return (int64_t)random;
	case 1: return (int64_t)(random >> below(draft, 64));
	case 2: return (int64_t)bad_address(draft);
	default: return edges[below(draft, FORT_LEN(edges))];
	}
}

static void load_constant(struct draft *draft, uint8_t reg, uint64_t value)
{
	add(draft, fort_insn_make(FORT_ROW_LDIMM, reg, 0, 0, (int64_t)value));
}

/* --- calls of helpers --- */

/* r`reg` as the kind of argument wants it, or nearly. */
static void load_argument(struct draft *draft, uint8_t reg, enum fort_arg kind)
{
	if (one_in(draft, 12)) {
		load_constant(draft, reg, (uint64_t)number(draft));
		return;
	}
	switch (kind) {
	case FORT_ARG_MAP:
		add(draft,
		    fort_insn_make(FORT_ROW_LDIMM_MAP_IDX, reg, 0, 0, below(draft, CAGE_MAPS)));
		break;
	case FORT_ARG_KEY:
	case FORT_ARG_VALUE:
	case FORT_ARG_MEM:
	case FORT_ARG_MEM_OUT:
		if (one_in(draft, 3)) {
			add(draft, fort_insn_make(FORT_ROW_MOV64_X, reg, FORT_R8, 0, 0));
			break;
		}
		add(draft, fort_insn_make(FORT_ROW_MOV64_X, reg, FORT_R10, 0, 0));
		add(draft,
		    fort_insn_make(FORT_ROW_ADD64_K, reg, 0, 0, -8 * (1 + (int)below(draft, 64))));
		break;
	case FORT_ARG_SIZE:
	case FORT_ARG_SIZE_OR_ZERO:
	case FORT_ARG_CONST_SIZE:
		add(draft, fort_insn_make(FORT_ROW_MOV64_K, reg, 0, 0, 1 + below(draft, 64)));
		break;
	case FORT_ARG_RING_MEM:
		add(draft, fort_insn_make(FORT_ROW_MOV64_X, reg, FORT_R7, 0, 0));
		break;
	case FORT_ARG_FUNC: add(draft, fort_insn_make(FORT_ROW_LDIMM_FUNC, reg, 0, 0, 0)); break;
	case FORT_ARG_STACK_OPT:
	case FORT_ARG_CTX: add(draft, fort_insn_make(FORT_ROW_MOV64_X, reg, FORT_R6, 0, 0)); break;
	case FORT_ARG_ANY:
	case FORT_ARG_ANY_OPT:
	case FORT_ARG_NONE:
	default: load_constant(draft, reg, below(draft, 4)); break;
	}
}

/* Results depend on more than the program and its memory. */
static bool result_varies(const struct fort_helper_info *info)
{
	switch (info->number) {
	case BPF_FUNC_ktime_get_ns:
	case BPF_FUNC_ktime_get_boot_ns:
	case BPF_FUNC_ktime_get_coarse_ns:
	case BPF_FUNC_get_prandom_u32: return true;
	default: return info->right == FORT_RIGHT_PERF; /* reads memory of the host */
	}
}

static void call_helper(struct draft *draft)
{
	const struct fort_helper_info *info = &fort_helpers[below(draft, FORT_HELPERS)];

	/* Mostly what there is, and what gives the same again. */
	for (unsigned tries = 0; tries < 8 && (!info->runs || result_varies(info)); tries++)
		info = &fort_helpers[below(draft, FORT_HELPERS)];
	draft->out->varies |= result_varies(info);
	for (uint8_t i = 0; i < FORT_HELPER_ARGS; i++)
		if (info->args[i] != FORT_ARG_NONE)
			load_argument(draft, (uint8_t)(FORT_R1 + i), info->args[i]);
	add(draft, fort_insn_make(FORT_ROW_CALL, 0, 0, 0, info->number));
	if (one_in(draft, 2)) /* what it gave is kept where arguments come from */
		add(draft, fort_insn_make(FORT_ROW_MOV64_X, one_in(draft, 2) ? FORT_R7 : FORT_R8,
					  FORT_R0, 0, 0));
}

/* --- everything else --- */

/* Over what comes next, so that the rest of the function stays reachable. */
static void add_way_around(struct draft *draft)
{
	add(draft, fort_insn_make(FORT_ROW_JSGT64_K, any_reg(draft), 0, 1, (int32_t)number(draft)));
}

static struct fort_insn access_insn(struct draft *draft, enum fort_row row)
{
	const struct fort_row_info *info = &fort_rows[row];
	bool loads = info->kind == FORT_LDX || info->kind == FORT_LDACQ;
	uint8_t base = any_reg(draft), data = any_reg(draft);
	int16_t off = (int16_t)(one_in(draft, 3) ? (int16_t)rng_next(&draft->maker->rng)
						 : (int)below(draft, 64) - 32);

	if (!one_in(draft, 3)) {
		base = one_in(draft, 2) ? FORT_R8 : FORT_R10;
		off = (int16_t)(8 * ((int)below(draft, 64) - (base == FORT_R10 ? 64 : 0)));
	}
	if (loads)
		return fort_insn_make(row, any_dst(draft), base, off, 0);
	return fort_insn_make(row, base, info->kind == FORT_ST ? 0 : data, off,
			      info->kind == FORT_ST ? (int32_t)number(draft) : 0);
}

static void add_simple(struct draft *draft, enum fort_row row)
{
	const char *uses = fort_rows[row].uses;

	add(draft, fort_insn_make(row, strpbrk(uses, "Dbd") ? any_dst(draft) : 0,
				  strchr(uses, 'S') ? any_reg(draft) : 0, 0,
				  strchr(uses, 'I') ? (int32_t)number(draft) : 0));
}

/* Where jumps and local calls lead is settled at the end. */
static void add_row(struct draft *draft, enum fort_row row)
{
	switch (fort_rows[row].kind) {
	case FORT_LDX:
	case FORT_ST:
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_LDACQ:
	case FORT_STREL: add(draft, access_insn(draft, row)); break;
	case FORT_LDIMM:
		add(draft, fort_insn_make(row, any_dst(draft), 0, 0,
					  row == FORT_ROW_LDIMM ? number(draft)
								: below(draft, CAGE_RING)));
		break;
	case FORT_LDIMM_HIGH:
	case FORT_CALLX: break;
	case FORT_MAY_GOTO: add(draft, fort_insn_make(row, 0, 0, 0, 0)); break;
	case FORT_JA:
	case FORT_EXIT:
		add_way_around(draft);
		add(draft, fort_insn_make(row, 0, 0, 0, 0));
		break;
	case FORT_CALL:
		if (row == FORT_ROW_CALL_LOCAL)
			add(draft, fort_insn_make(row, 0, 0, 0, 0));
		break;
	default: add_simple(draft, row);
	}
}

/* Rows whose immediates name what is not there. */
static bool is_loadable(enum fort_row row)
{
	return fort_rows[row].kind != FORT_LDIMM || row == FORT_ROW_LDIMM ||
	       row == FORT_ROW_LDIMM_FUNC || row == FORT_ROW_LDIMM_MAP_IDX ||
	       row == FORT_ROW_LDIMM_MAP_IDX_VALUE;
}

static void add_body(struct draft *draft)
{
	for (uint32_t left = 2 + below(draft, BODY_MAX / draft->n_functions); left; left--) {
		enum fort_row row = (enum fort_row)below(draft, FORT_ROWS);

		if (one_in(draft, 5))
			call_helper(draft);
		else if (is_loadable(row))
			add_row(draft, row);
	}
}

/* r6 the context, r7 something to write through, r8 values of a map, r9 and others anything. */
static void add_start(struct draft *draft)
{
	add(draft, fort_insn_make(FORT_ROW_MOV64_X, FORT_R6, FORT_R1, 0, 0));
	load_constant(draft, FORT_R7, bad_address(draft));
	add(draft, fort_insn_make(FORT_ROW_LDIMM_MAP_IDX_VALUE, FORT_R8, 0, 0, CAGE_ARRAY));
	load_constant(draft, FORT_R9, bad_address(draft));
	load_constant(draft, (uint8_t)below(draft, FORT_R6), (uint64_t)number(draft));
}

static uint32_t any_slot(struct draft *draft, uint32_t start, uint32_t end)
{
	uint32_t slot;

	do
		slot = start + below(draft, end - start);
	while (draft->out->insns[slot].kind == FORT_LDIMM_HIGH);
	return slot;
}

static void settle(struct draft *draft, uint32_t start, uint32_t end)
{
	for (uint32_t pc = start; pc < end; pc++) {
		struct fort_insn *insn = &draft->out->insns[pc];
		int32_t to = (int32_t)any_slot(draft, start, end) - (int32_t)pc - 1;

		if (fort_insn_names_subprog(insn))
			insn->imm = (int32_t)draft->starts[below(draft, draft->n_functions)] -
				    (int32_t)pc - 1;
		else if (insn->op == FORT_OP_JA32)
			insn->imm = to;
		else if (fort_insn_jumps(insn) && !insn->off)
			insn->off = (int16_t)to;
	}
}

void hostile_init(struct hostile_maker *maker, const struct cage *cage, uint64_t seed)
{
	maker->rng = (struct rng){seed};
	maker->n_bad = bad_addresses(cage, maker->bad);
}

void hostile_make(struct hostile_maker *maker, struct hostile *out)
{
	struct draft draft = {.maker = maker, .out = out};

	out->n = 0;
	out->varies = false;
	draft.n_functions = 1 + below(&draft, FUNCTIONS_MAX);
	for (uint32_t f = 0; f < draft.n_functions; f++) {
		draft.starts[f] = out->n;
		if (!f)
			add_start(&draft);
		add_body(&draft);
		out->insns[out->n++] = fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0);
	}
	draft.starts[draft.n_functions] = out->n;
	for (uint32_t f = 0; f < draft.n_functions; f++)
		settle(&draft, draft.starts[f], draft.starts[f + 1]);
}
