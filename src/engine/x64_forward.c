/* Along each block, first to last: operands that are copies, constants or sums of others are
 * replaced by these, so that moves and additions have nobody left who needs them; and operations
 * that one instruction of the machine does together are marked.
 *
 * Nothing here removes an operation that something else may need: that is known backwards only.
 */
#include "engine/x64_forward.h"

/* --- conditions --- */

/* Bytes and words of memory can be compared with constants that they could be. */
static bool compares_memory(const struct fort_x64 *x, const struct fort_x64_values *values,
			    const struct fort_x64_op *op)
{
	const struct fort_x64_op *load = &x->ops[values->of[op->a].at];

	if (!fort_x64_can_take(x, values, op->a) || load->op != FORT_OP_LDX ||
	    op->op == FORT_OP_JSET)
		return false;
	if (load->bits == op->bits)
		return true;
	return load->bits == 8 && op->b == FORT_X64_NO_REG && (uint64_t)op->imm <= UINT8_MAX &&
	       op->op != FORT_OP_JSGT && op->op != FORT_OP_JSGE && op->op != FORT_OP_JSLT &&
	       op->op != FORT_OP_JSLE;
}

static void condition(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t value;

	op->a = fort_x64_source(values, op->a, op->bits);
	if (op->b != FORT_X64_NO_REG && fort_x64_constant_of(values, op->b, &value) &&
	    (op->bits == 32 || fort_x64_fits(value))) {
		op->b = FORT_X64_NO_REG;
		op->imm = (int32_t)value;
	}
	if (op->b != FORT_X64_NO_REG)
		op->b = fort_x64_source(values, op->b, op->bits);
	if (op->kind == FORT_X64_OP_BRANCH && op->a != op->b) {
		if (compares_memory(x, values, op))
			fort_x64_mark(x, op, FORT_X64_TAKE_A, values->of[op->a].at, x->at);
		else if (op->b != FORT_X64_NO_REG && op->op != FORT_OP_JSET &&
			 fort_x64_takes_memory(x, values, op, op->b))
			fort_x64_mark(x, op, FORT_X64_TAKE_B, values->of[op->b].at, x->at);
	}
	fort_x64_use(values, op->a);
	fort_x64_use(values, op->b);
}

/* --- conditions of isa.def on constants --- */

/* clang-format off */
#define S(x) ((int64_t)(x))
static bool holds_64(enum fort_op op, uint64_t a, uint64_t b)
{
	switch (op) {
#define FORT_JCC(op, code, name, symbol, expr) case FORT_OP_##op: return expr;
#include "isa/isa.def"
	default: return false;
	}
}
#undef S
#define S(x) ((int32_t)(x))
static bool holds_32(enum fort_op op, uint32_t a, uint32_t b)
{
	switch (op) {
#define FORT_JCC(op, code, name, symbol, expr) case FORT_OP_##op: return expr;
#include "isa/isa.def"
	default: return false;
	}
}
#undef S
/* clang-format on */

/* A branch that always goes the same way is a jump, or nothing. */
static bool decided(struct fort_x64_values *values, struct fort_x64_op *op)
{
	int64_t a;
	bool holds;

	if (op->b != FORT_X64_NO_REG || !fort_x64_constant_of(values, op->a, &a))
		return false;
	holds = op->bits == 64 ? holds_64(op->op, (uint64_t)a, (uint64_t)op->imm)
			       : holds_32(op->op, (uint32_t)a, (uint32_t)op->imm);
	op->kind =
		holds != !!(op->flags & FORT_X64_UNLESS) ? FORT_X64_OP_JUMP : FORT_X64_OP_NOTHING;
	if (op->kind == FORT_X64_OP_NOTHING)
		op->flags &= (uint8_t)~FORT_X64_BACK;
	op->a = FORT_X64_NO_REG;
	return true;
}

/* To what comes next; nothing is to be moved there. */
static void nobody_comes(struct fort_x64_values *values)
{
	static const uint8_t nothing_known[FORT_REGS] = {0};

	fort_x64_values_join(values, nothing_known);
}

/* Where it leads somebody may need anything, with all faults that come before. */
static void branch(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	if (decided(values, op)) {
		if (op->kind == FORT_X64_OP_JUMP)
			nobody_comes(values);
		return;
	}
	condition(x, values, op);
	for (uint8_t reg = 0; reg < FORT_REGS; reg++)
		fort_x64_use(values, reg);
	values->last_effect = x->at + 1;
}

static void select_one(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	uint8_t width = values->of[op->dst].width, other;
	int64_t value;

	condition(x, values, op);
	if (op->index != FORT_X64_NO_REG) {
		other = values->of[op->index].width;
		op->index = fort_x64_source(values, op->index, 64);
		if (fort_x64_constant_of(values, op->index, &value) && fort_x64_fits(value)) {
			op->index = FORT_X64_NO_REG;
			op->disp = (int32_t)value;
		}
	} else {
		other = fort_x64_width_of((uint64_t)(int64_t)op->disp);
	}
	fort_x64_use(values, op->index);
	fort_x64_use(values, op->dst);
	if (op->index == op->dst) {
		fort_x64_become_nothing(op);
		return;
	}
	/* Of two constants that are 0 and 1, the condition is the value. */
	op->keep = values->of[op->dst].is_constant && (uint64_t)values->of[op->dst].constant <= 1 &&
		   op->index == FORT_X64_NO_REG && op->disp == !values->of[op->dst].constant;
	if (op->keep)
		op->value = (uint8_t)values->of[op->dst].constant;
	fort_x64_define(values, op->dst)->width = width > other ? width : other;
}

/* --- calls --- */

static void after_call(struct fort_x64 *x, struct fort_x64_values *values)
{
	for (uint8_t reg = FORT_R0; reg <= FORT_R5; reg++)
		fort_x64_define(values, reg);
	fort_x64_spills_forget(values);
	values->last_effect = x->at + 1;
}

static const struct fort_map_lookup *map_in(const struct fort_x64 *x,
					    const struct fort_x64_values *values, uint32_t *index)
{
	const struct fort_compile *request = x->request;
	int64_t handle;

	if (!request->lookups || !fort_x64_constant_of(values, FORT_R1, &handle))
		return NULL;
	*index = (uint32_t)handle;
	if (*index >= request->domain->n_maps || (uint64_t)handle != fort_map_handle(*index) ||
	    !request->domain->map_start[*index])
		return NULL;
	return &request->lookups[*index];
}

static bool can_index(const struct fort_x64 *x, const struct fort_map_lookup *lookup)
{
	return lookup->n && lookup->stride <= INT32_MAX && lookup->cpu_bytes <= INT32_MAX &&
	       (!lookup->n_cpus || x->cpu_offset);
}

/* The key may have been in r1, where the map's handle is now: nobody needs that in a register, and
 * after the call nobody finds it there. */
static void uncover_key(struct fort_x64 *x, struct fort_x64_values *values,
			const struct fort_x64_op *op)
{
	struct fort_x64_value *r1 = &values->of[FORT_R1];
	struct fort_x64_op *handle = &x->ops[r1->at];

	if (!r1->is_constant || r1->used || r1->origin != FORT_X64_COVERS ||
	    !fort_x64_spill_uncover(values, op, r1->other_version))
		return;
	fort_x64_become_nothing(handle);
}

/* Where the key was just stored in the frame. */
static void take_key(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	const struct fort_x64_spill *spill;

	uncover_key(x, values, op);
	spill = fort_x64_spilled_at(values, op);
	if (!spill)
		return;
	op->a = spill->reg;
	fort_x64_use(values, op->a);
	if (op->a != FORT_X64_NO_REG)
		return;
	op->value |= FORT_X64_KEY_CONSTANT;
	op->imm = (int64_t)((uint64_t)spill->constant << 32 | (uint32_t)op->imm);
}

bool fort_x64_lookup_constant(const struct fort_x64 *x, const struct fort_x64_op *op, int64_t *out)
{
	const struct fort_domain *domain = x->request->domain;
	const struct fort_map_lookup *lookup = &x->request->lookups[op->target];
	uint32_t key = (uint32_t)((uint64_t)op->imm >> 32);

	if (op->kind != FORT_X64_OP_LOOKUP || !(op->value & FORT_X64_KEY_CONSTANT) ||
	    lookup->n_cpus)
		return false;
	*out = key < lookup->n
		       ? (int64_t)(fort_domain_address(domain, domain->map_start[op->target]) +
				   (uint64_t)key * lookup->stride)
		       : 0;
	return true;
}

static void look_up(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	const struct fort_map_lookup *lookup = map_in(x, values, &op->target);

	if (!lookup)
		return;
	if (can_index(x, lookup)) {
		op->kind = FORT_X64_OP_LOOKUP;
		op->bits = 32;
		fort_x64_take_mem(x, values, op, FORT_R2, 0);
		take_key(x, values, op);
	} else if (lookup->function) {
		op->value = 1;
	}
}

static void helper(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_helper_shape shape = {.n_args = 5};
	int64_t address;

	if (x->request->shape)
		shape = x->request->shape((uint32_t)op->imm);
	op->scale = shape.n_args;
	if (!x->request->helper((uint32_t)op->imm))
		shape.inlines = FORT_INLINE_NOTHING;
	if (shape.inlines == FORT_INLINE_LOOKUP) {
		look_up(x, values, op);
	} else if (shape.inlines == FORT_INLINE_CPU) {
		op->kind = FORT_X64_OP_CPU;
	} else if (shape.inlines == FORT_INLINE_CACHED) {
		op->kind = FORT_X64_OP_CACHED;
		op->disp = (int32_t)shape.offset;
	}
	for (uint8_t reg = FORT_R1; reg <= FORT_R5; reg++)
		fort_x64_use(values, reg);
	after_call(x, values);
	if (fort_x64_lookup_constant(x, op, &address))
		fort_x64_define_constant(values, FORT_R0, address);
}

/* A constant that is loaded. */
static void constant(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	struct fort_x64_value *value = &values->of[op->dst];
	uint32_t version = value->version;

	fort_x64_define_constant(values, op->dst, op->imm);
	value->origin = FORT_X64_COVERS;
	value->at = x->at;
	value->other_version = version;
}

/* --- all of it --- */

static void step(struct fort_x64 *x, struct fort_x64_values *values, struct fort_x64_op *op)
{
	/* dispatch: a case for each kind */
	switch (op->kind) {
	case FORT_X64_OP_MOVE: fort_x64_forward_move(x, values, op); break;
	case FORT_X64_OP_CONST: constant(x, values, op); break;
	case FORT_X64_OP_ALU: fort_x64_forward_alu(x, values, op); break;
	case FORT_X64_OP_SHIFT: fort_x64_forward_shift(x, values, op); break;
	case FORT_X64_OP_NEG:
		fort_x64_take_a(values, op, op->bits);
		fort_x64_define(values, op->dst)->width = op->bits;
		break;
	case FORT_X64_OP_SWAP: fort_x64_forward_swap(x, values, op); break;
	case FORT_X64_OP_EXTEND: fort_x64_forward_extend(x, values, op); break;
	case FORT_X64_OP_DIVIDE: fort_x64_forward_divide(x, values, op); break;
	case FORT_X64_OP_LOAD: fort_x64_forward_load(x, values, op); break;
	case FORT_X64_OP_STORE: fort_x64_forward_store(x, values, op); break;
	case FORT_X64_OP_ATOMIC: fort_x64_forward_atomic(x, values, op); break;
	case FORT_X64_OP_BRANCH: branch(x, values, op); break;
	case FORT_X64_OP_SELECT: select_one(x, values, op); break;
	case FORT_X64_OP_STOP: nobody_comes(values); break;
	case FORT_X64_OP_HELPER: helper(x, values, op); break;
	case FORT_X64_OP_CALLX:
		op->a = fort_x64_source(values, op->a, 64);
		after_call(x, values);
		break;
	case FORT_X64_OP_LOCAL: after_call(x, values); break;
	default: break;
	}
}

void fort_x64_forward(struct fort_x64 *x)
{
	struct fort_x64_values values = {0};

	for (x->at = 0; x->at < x->n_ops; x->at++) {
		struct fort_x64_op *op = &x->ops[x->at];

		if (op->flags & FORT_X64_LABEL)
			fort_x64_values_join(&values, x->joins[op->join].known);
		step(x, &values, op);
	}
}
