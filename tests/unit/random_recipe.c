#include "random_recipe.h"

#include <string.h>

#include "abi/uapi.h"

#define BODY_MAX 40
#define PAGE     FORT_PAGE_BYTES

/* splitmix64 */
static uint64_t state_;

void draw_from(uint64_t seed)
{
	state_ = seed;
}

uint64_t any(void)
{
	uint64_t z = state_ += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint32_t below(uint32_t n)
{
	return (uint32_t)(any() % n);
}

bool one_in(uint32_t n)
{
	return !below(n);
}

/* --- making programs --- */

/* Numbers near which something changes. */
static int64_t number(void)
{
	static const int64_t edges[] = {0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 128, -128, 255, 256,
					INT16_MAX, INT16_MIN, INT32_MAX, INT32_MIN, 0x80000000,
					UINT32_MAX, INT64_MAX, INT64_MIN, 0x100000000,
					/* what spells instructions that no image may have */
					0x50f, 0x340f, 0x80cd, 0xef010f, 0x68ae0f00, 0xd8ae0f,
					0x18c70f};

	switch (below(4)) {
	case 0: return (int64_t)any();
	case 1: return (int64_t)any() >> below(64);
	default: return edges[below(FORT_LEN(edges))];
	}
}

static void add(struct recipe *recipe, struct fort_insn insn)
{
	recipe->insns[recipe->n++] = insn;
	if (insn.kind == FORT_LDIMM) {
		recipe->insns[recipe->n] = fort_insn_make(FORT_ROW_LDIMM_HIGH, 0, 0, 0, 0);
		recipe->n++;
	}
}

/* r6 the context, r7 the stack, r8 the map, r9 the sealed map; wild programs may change them. */
static const uint8_t pointers[PAGES] = {
	[STACK] = FORT_R7, [CONTEXT] = FORT_R6, [MAP] = FORT_R8, [SEALED] = FORT_R9};

static uint8_t writable_register(const struct recipe *recipe)
{
	return (uint8_t)(recipe->tame || !one_in(12) ? below(FORT_R6) : below(FORT_REGS));
}

static bool is_load(const struct fort_row_info *info)
{
	return info->kind == FORT_LDX || info->kind == FORT_LDACQ;
}

/* An access; most go through a pointer to the inside of its page. */
static struct fort_insn access_insn(const struct recipe *recipe, enum fort_row row)
{
	const struct fort_row_info *info = &fort_rows[row];
	int bytes = info->bits / 8, off = (int)below(PAGE / (unsigned)bytes) * bytes;
	unsigned place = below(is_load(info) ? PAGES : SEALED);
	uint8_t base = pointers[place], data = writable_register(recipe);

	if (one_in(3) && place == STACK) {
		base = FORT_R10;
		off = -bytes * (1 + (int)below(FORT_STACK_BYTES / (unsigned)bytes));
	}
	if (!recipe->tame && one_in(6)) { /* around the borders of pages, and anywhere */
		static const int borders[] = {-1, 0, PAGE, PAGE - 1, PAGE - 7, -8};

		off = one_in(2)   ? borders[below(FORT_LEN(borders))] + (int)below(3)
		      : one_in(2) ? (int)number()
				  : (int16_t)any();
		base = (uint8_t)(one_in(2) ? below(FORT_REGS) : pointers[below(PAGES)]);
	}
	if (is_load(info))
		return fort_insn_make(row, data, base, (int16_t)off, 0);
	return fort_insn_make(row, base, info->kind == FORT_ST ? 0 : data, (int16_t)off,
			      info->kind == FORT_ST ? (int32_t)number() : 0);
}

/* The word at which a compare-and-exchange is aimed, in r0, so that it happens; above it, for 32
 * bits, something that must go. */
static void aim(struct recipe *recipe, struct fort_insn insn)
{
	bool wide = insn.bits == 64;

	add(recipe,
	    fort_insn_make(wide ? FORT_ROW_LDX64 : FORT_ROW_LDX32, FORT_R0, insn.dst, insn.off, 0));
	if (wide)
		return;
	add(recipe, fort_insn_make(FORT_ROW_LDIMM, FORT_R5, 0, 0, 0x7bull << 40));
	add(recipe, fort_insn_make(FORT_ROW_OR64_X, FORT_R0, FORT_R5, 0, 0));
}

/* Over what comes next, so that the rest of the function stays reachable. */
static void add_way_around(struct recipe *recipe)
{
	add(recipe,
	    fort_insn_make(FORT_ROW_JSGT64_K, (uint8_t)below(FORT_R10), 0, 1, (int32_t)number()));
}

static void add_simple(struct recipe *recipe, enum fort_row row)
{
	bool dst = strpbrk(fort_rows[row].uses, "Db") || strchr(fort_rows[row].uses, 'd');
	bool src = strchr(fort_rows[row].uses, 'S'), imm = strchr(fort_rows[row].uses, 'I');

	add(recipe,
	    fort_insn_make(row, dst ? writable_register(recipe) : 0,
			   src ? (uint8_t)below(FORT_REGS) : 0, 0, imm ? (int32_t)number() : 0));
}

/* What compilers write and x64 takes together: a copy that is added to, and a low half extended. */
static void add_idiom(struct recipe *recipe)
{
	uint8_t dst = writable_register(recipe), src = (uint8_t)below(FORT_REGS);
	bool sign = one_in(2);

	if (!one_in(3))
		add(recipe, fort_insn_make(FORT_ROW_MOV64_X, dst, src, 0, 0));
	switch (below(3)) {
	case 0: add(recipe, fort_insn_make(FORT_ROW_ADD64_K, dst, 0, 0, (int32_t)number())); break;
	case 1:
		add(recipe, fort_insn_make(FORT_ROW_ADD64_X, dst, (uint8_t)below(FORT_REGS), 0, 0));
		break;
	default:
		add(recipe, fort_insn_make(FORT_ROW_LSH64_K, dst, 0, 0, one_in(8) ? 31 : 32));
		add(recipe, fort_insn_make(sign ? FORT_ROW_ARSH64_K : FORT_ROW_RSH64_K, dst, 0, 0,
					   one_in(2) ? 32 : (int32_t)below(70)));
	}
}

/* Is there anything to call? */
static bool has_functions(const struct recipe *recipe)
{
	return recipe->calls_main || recipe->n_functions > 1;
}

/* A loop of the runtime, through a map or not; most of them with arguments that make sense. */
static void add_loop(struct recipe *recipe)
{
	bool map = one_in(2);

	if (!has_functions(recipe))
		return;
	if (map)
		add(recipe, fort_insn_make(FORT_ROW_LDIMM_MAP_IDX, FORT_R1, 0, 0, 0));
	else
		add(recipe, fort_insn_make(FORT_ROW_MOV64_K, FORT_R1, 0, 0,
					   one_in(8) ? (int32_t)number() : (int32_t)below(6)));
	if (!one_in(8))
		add(recipe, fort_insn_make(FORT_ROW_LDIMM_FUNC, FORT_R2, 0, 0, 0));
	if (one_in(4))
		add(recipe,
		    fort_insn_make(FORT_ROW_MOV64_X, FORT_R3, (uint8_t)below(FORT_REGS), 0, 0));
	if (!one_in(8))
		add(recipe, fort_insn_make(FORT_ROW_MOV64_K, FORT_R4, 0, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_CALL, 0, 0, 0,
				   map ? BPF_FUNC_for_each_map_elem : BPF_FUNC_loop));
}

static void add_tail_call(struct recipe *recipe)
{
	if (!one_in(12))
		add(recipe, fort_insn_make(FORT_ROW_MOV64_X, FORT_R1, FORT_R6, 0, 0));
	if (!one_in(12))
		add(recipe, fort_insn_make(FORT_ROW_LDIMM_MAP_IDX, FORT_R2, 0, 0, 1));
	add(recipe, fort_insn_make(FORT_ROW_MOV64_K, FORT_R3, 0, 0,
				   one_in(8) ? (int32_t)number() : (int32_t)below(RECIPE_TAILS)));
	add(recipe, fort_insn_make(FORT_ROW_CALL, 0, 0, 0, BPF_FUNC_tail_call));
}

/* A counted jump backward, which is what they are for. */
static void add_turns(struct recipe *recipe)
{
	uint8_t reg = writable_register(recipe);

	add(recipe, fort_insn_make(FORT_ROW_MAY_GOTO, 0, 0, 2, 0));
	add(recipe, fort_insn_make(FORT_ROW_ADD64_K, reg, 0, 0, (int32_t)below(1u << 24)));
	add(recipe, fort_insn_make(FORT_ROW_JA, 0, 0, -3, 0));
}

/* Where jumps and local calls go is settled when everything has its place. */
static void add_row(struct recipe *recipe, enum fort_row row)
{
	struct fort_insn insn;

	switch (fort_rows[row].kind) {
	case FORT_LDX:
	case FORT_ST:
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_LDACQ:
	case FORT_STREL:
		insn = access_insn(recipe, row);
		if (insn.op == FORT_OP_A_CMPXCHG && one_in(2))
			aim(recipe, insn);
		add(recipe, insn);
		break;
	case FORT_LDIMM:
		if (row == FORT_ROW_LDIMM_FUNC && !has_functions(recipe))
			break;
		add(recipe, fort_insn_make(row, writable_register(recipe), 0, 0,
					   row == FORT_ROW_LDIMM ? number() : below(2)));
		break;
	case FORT_LDABS:
	case FORT_LDIND:
		add(recipe,
		    fort_insn_make(row, 0,
				   fort_rows[row].kind == FORT_LDIND ? (uint8_t)below(FORT_REGS)
								     : 0,
				   0, one_in(3) ? (int32_t)number() : (int32_t)below(80)));
		break;
	case FORT_MAY_GOTO: add(recipe, fort_insn_make(row, 0, 0, 0, 0)); break;
	case FORT_JA:
	case FORT_EXIT:
		if (one_in(2))
			break;
		add_way_around(recipe);
		add(recipe, fort_insn_make(row, 0, 0, 0, 0));
		break;
	case FORT_CALL:
		if (row == FORT_ROW_CALL_LOCAL && !has_functions(recipe))
			break;
		add(recipe, fort_insn_make(row, 0, 0, 0, below(RECIPE_HELPERS)));
		break;
	case FORT_CALLX:
		if (!one_in(4))
			add(recipe,
			    fort_insn_make(FORT_ROW_MOV64_K, FORT_R0, 0, 0, below(RECIPE_HELPERS)));
		add(recipe, fort_insn_make(row, FORT_R0, 0, 0, 0));
		break;
	default: add_simple(recipe, row);
	}
}

bool recipe_has(enum fort_row row)
{
	const struct fort_row_info *info = &fort_rows[row];

	switch (info->kind) {
	case FORT_LDIMM_HIGH: return false;
	case FORT_LDIMM:
		return info->op == FORT_OP_CONST || info->op == FORT_OP_MAP_IDX ||
		       info->op == FORT_OP_MAP_IDX_VALUE || info->op == FORT_OP_FUNC;
	case FORT_CALL: return info->op != FORT_OP_KFUNC;
	default: return true;
	}
}

static void add_body(struct recipe *recipe, const enum fort_row *rows, uint32_t n_rows, bool tails)
{
	for (uint32_t left = 3 + below(BODY_MAX / recipe->n_functions); left; left--)
		if (one_in(8))
			add_idiom(recipe);
		else if (one_in(24))
			add_loop(recipe);
		else if (one_in(48))
			add_turns(recipe);
		else if (tails && one_in(16))
			add_tail_call(recipe);
		else
			add_row(recipe, rows[below(n_rows)]);
}

static void add_maps(struct recipe *recipe)
{
	add(recipe, fort_insn_make(FORT_ROW_LDIMM_MAP_IDX_VALUE, FORT_R8, 0, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_LDIMM_MAP_IDX_VALUE, FORT_R9, 0, 0, 1));
}

static void add_start(struct recipe *recipe)
{
	add(recipe, fort_insn_make(FORT_ROW_MOV64_X, FORT_R6, FORT_R1, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_MOV64_X, FORT_R7, FORT_R10, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_ADD64_K, FORT_R7, 0, 0,
				   -(int)(FORT_FRAMES_MAX * FORT_STACK_BYTES)));
	add_maps(recipe);
	for (uint8_t reg = FORT_R0; reg < FORT_R6; reg++)
		add(recipe, fort_insn_make(FORT_ROW_LDIMM, reg, 0, 0, number()));
}

/* All frames of a stack are in one page; r10 of the first points behind it. */
static void add_start_again(struct recipe *recipe, uint64_t ctx)
{
	add(recipe, fort_insn_make(FORT_ROW_LDIMM, FORT_R6, 0, 0, (int64_t)ctx));
	add(recipe, fort_insn_make(FORT_ROW_MOV64_X, FORT_R7, FORT_R10, 0, 0));
	add(recipe, fort_insn_make(FORT_ROW_ADD64_K, FORT_R7, 0, 0, -1));
	add(recipe, fort_insn_make(FORT_ROW_AND64_K, FORT_R7, 0, 0, -(int)PAGE));
	add_maps(recipe);
}

/* All registers to memory, where the comparison sees them. */
static void add_end(struct recipe *recipe)
{
	for (uint8_t reg = FORT_R0; reg < FORT_R10; reg++)
		add(recipe,
		    fort_insn_make(FORT_ROW_STX64, FORT_R10, reg, (int16_t)(-8 * (reg + 1)), 0));
}

static uint32_t random_slot(const struct recipe *recipe, uint32_t start, uint32_t end)
{
	uint32_t slot;

	do
		slot = start + below(end - start);
	while (recipe->insns[slot].kind == FORT_LDIMM_HIGH);
	return slot;
}

static uint32_t callee(const struct recipe *recipe)
{
	return recipe->calls_main ? below(recipe->n_functions) : 1 + below(recipe->n_functions - 1);
}

static void settle_jumps(struct recipe *recipe, uint32_t start, uint32_t end)
{
	for (uint32_t pc = start; pc < end; pc++) {
		struct fort_insn *insn = &recipe->insns[pc];
		bool settled = insn->off && (insn->kind == FORT_JCC_K || insn->kind == FORT_JA ||
					     insn->kind == FORT_MAY_GOTO);
		int32_t to = (int32_t)random_slot(recipe, start, end) - (int32_t)pc - 1;

		if (insn->op == FORT_OP_LOCAL)
			insn->imm = (int32_t)recipe->starts[callee(recipe)] - (int32_t)pc - 1;
		else if (insn->op == FORT_OP_JA32)
			insn->imm = to;
		else if (insn->op == FORT_OP_FUNC)
			insn->imm =
				(int32_t)recipe->starts[recipe->n_functions - 1] - (int32_t)pc - 1;
		else if (fort_insn_jumps(insn) && !settled)
			insn->off = (int16_t)to;
	}
}

static void add_function(struct recipe *recipe, const struct recipe_place *place, uint32_t f)
{
	enum fort_row rows[FORT_ROWS];
	uint32_t n_rows = 0;

	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (recipe_has(row))
			rows[n_rows++] = row;
	recipe->starts[f] = recipe->n;
	if (!f)
		add_start(recipe);
	else if (f + 1 == recipe->n_functions)
		add_start_again(recipe, place->ctx);
	recipe->bodies[f] = recipe->n;
	add_body(recipe, rows, n_rows, place->tails);
	if (!f)
		add_end(recipe);
	add(recipe, fort_insn_make(FORT_ROW_EXIT, 0, 0, 0, 0));
}

void make_recipe(struct recipe *recipe, const struct recipe_place *place)
{
	*recipe = (struct recipe){.tame = place->tame,
				  .calls_main = !place->tame && !place->tails,
				  .n_functions = 1 + below(RECIPE_FUNCTIONS)};
	for (uint32_t f = 0; f < recipe->n_functions; f++)
		add_function(recipe, place, f);
	recipe->starts[recipe->n_functions] = recipe->n;
	for (uint32_t f = 0; f < recipe->n_functions; f++)
		settle_jumps(recipe, recipe->bodies[f], recipe->starts[f + 1]);
}
