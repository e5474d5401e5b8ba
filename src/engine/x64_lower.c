/* From instructions to operations, one by one, but for what compilers write around jumps because
 * BPF has no conditional moves and no short way to negate a condition. */
#include "engine/x64_op.h"

#include "engine/resolve.h"

static struct fort_x64_op *add(struct fort_x64 *x, enum fort_x64_kind kind, uint32_t pc)
{
	static const struct fort_x64_op nothing = {.dst = FORT_X64_NO_REG,
						   .a = FORT_X64_NO_REG,
						   .b = FORT_X64_NO_REG,
						   .base = FORT_X64_NO_REG,
						   .index = FORT_X64_NO_REG};
	struct fort_x64_op *op = &x->ops[x->n_ops++];

	*op = nothing;
	op->kind = (uint8_t)kind;
	op->pc = pc;
	return op;
}

/* --- arithmetic and memory --- */

static void lower_alu(struct fort_x64_op *op, const struct fort_insn *insn)
{
	op->dst = op->a = insn->dst;
	op->imm = insn->imm;
	if (insn->kind == FORT_ALU_X)
		op->b = insn->src;
	switch (insn->op) {
	case FORT_OP_DIV:
	case FORT_OP_MOD:
	case FORT_OP_SDIV:
	case FORT_OP_SMOD: op->kind = FORT_X64_OP_DIVIDE; break;
	case FORT_OP_LSH:
	case FORT_OP_RSH:
	case FORT_OP_ARSH:
		op->kind = FORT_X64_OP_SHIFT;
		op->imm &= insn->bits - 1;
		break;
	default: op->kind = FORT_X64_OP_ALU;
	}
}

/* The host's order is little: LE only cuts, BE and BSWAP swap. */
static void lower_end(struct fort_x64_op *op, const struct fort_insn *insn)
{
	op->dst = op->a = insn->dst;
	if (insn->op != FORT_OP_LE) {
		op->kind = FORT_X64_OP_SWAP;
	} else if (insn->bits == 16) {
		op->kind = FORT_X64_OP_EXTEND;
		op->bits = 32;
		op->imm = 16;
	} else {
		op->kind = FORT_X64_OP_MOVE;
	}
}

static void lower_movsx(struct fort_x64_op *op, const struct fort_insn *insn)
{
	op->kind = FORT_X64_OP_EXTEND;
	op->dst = insn->dst;
	op->a = insn->src;
	op->imm = insn->op == FORT_OP_MOVSX8 ? 8 : insn->op == FORT_OP_MOVSX16 ? 16 : 32;
}

static void lower_memory(struct fort_x64_op *op, const struct fort_insn *insn)
{
	bool load = insn->kind == FORT_LDX || insn->kind == FORT_LDACQ;

	op->base = load ? insn->src : insn->dst;
	op->disp = insn->off;
	op->imm = insn->imm;
	if (load) {
		op->kind = FORT_X64_OP_LOAD;
		op->dst = insn->dst;
	} else {
		op->kind = insn->kind == FORT_ATOMIC ? FORT_X64_OP_ATOMIC : FORT_X64_OP_STORE;
		if (insn->kind != FORT_ST)
			op->a = insn->src;
	}
	if (insn->op == FORT_OP_A_CMPXCHG)
		op->dst = FORT_R0;
	else if (insn->kind == FORT_ATOMIC && fort_insn_uses(insn, 's'))
		op->dst = insn->src;
}

/* --- jumps --- */

static const struct fort_insn *insn_at(const struct fort_x64 *x, uint32_t pc)
{
	return pc < x->request->program->n_insns ? &x->request->program->insns[pc] : NULL;
}

#define REFS_MAX UINT8_MAX /* and more: such a slot stays a target */

static bool is_target(const struct fort_x64 *x, uint32_t pc)
{
	return x->refs[pc];
}

static void forget_target(struct fort_x64 *x, uint32_t pc)
{
	x->refs[pc] = (uint8_t)(x->refs[pc] - (x->refs[pc] < REFS_MAX));
}

static void jump_from(struct fort_x64_op *op, uint32_t pc, uint32_t target)
{
	op->target = target;
	if (target <= pc)
		op->flags |= FORT_X64_BACK;
}

static struct fort_x64_op *add_condition(struct fort_x64 *x, const struct fort_insn *insn,
					 enum fort_x64_kind kind, uint32_t pc)
{
	struct fort_x64_op *op = add(x, kind, pc);

	op->op = insn->op;
	op->bits = insn->bits;
	op->a = insn->dst;
	op->imm = insn->imm;
	if (insn->kind == FORT_JCC_X)
		op->b = insn->src;
	return op;
}

/* May `mov` be the only thing that a jump leaps over, or does not? Constants must fit 32 bits. */
static bool can_select(const struct fort_insn *mov)
{
	if (fort_insn_writes_frame_pointer(mov))
		return false;
	if (mov->kind == FORT_MOV_K)
		return mov->bits == 64 || mov->imm >= 0;
	return mov->kind == FORT_MOV_X && mov->bits == 64;
}

/* if (condition) goto next; dst = other; next: */
static void add_select(struct fort_x64 *x, uint32_t pc)
{
	const struct fort_insn *jump = insn_at(x, pc), *mov = insn_at(x, pc + 1);
	struct fort_x64_op *op = add_condition(x, jump, FORT_X64_OP_SELECT, pc);

	op->dst = mov->dst;
	if (mov->kind == FORT_MOV_X)
		op->index = mov->src;
	else
		op->disp = (int32_t)mov->imm;
}

static void add_ja(struct fort_x64 *x, uint32_t pc)
{
	jump_from(add(x, FORT_X64_OP_JUMP, pc), pc, (uint32_t)fort_insn_target(insn_at(x, pc), pc));
}

/* A conditional jump and what follows. Returns the slots done. Jumps that are gone lead nowhere. */
static uint32_t lower_jcc(struct fort_x64 *x, const struct fort_insn *insn, uint32_t pc)
{
	uint32_t target = (uint32_t)fort_insn_target(insn, pc);
	const struct fort_insn *next = insn_at(x, pc + 1), *after = insn_at(x, pc + 2);
	bool alone = !is_target(x, pc + 1);
	struct fort_x64_op *op;

	if (alone && target == pc + 2 && next->kind == FORT_JA) {
		forget_target(x, target);
		op = add_condition(x, insn, FORT_X64_OP_BRANCH, pc);
		op->flags = FORT_X64_UNLESS;
		jump_from(op, pc + 1, (uint32_t)fort_insn_target(next, pc + 1));
		return 2;
	}
	if (alone && target == pc + 2 && can_select(next)) {
		forget_target(x, target);
		add_select(x, pc);
		return 2;
	}
	if (alone && can_select(next) && after && after->kind == FORT_JA && !is_target(x, pc + 2) &&
	    fort_insn_target(after, pc + 2) == target) {
		forget_target(x, target);
		add_select(x, pc);
		add_ja(x, pc + 2);
		return 3;
	}
	if (target == pc + 1) { /* whichever way */
		forget_target(x, target);
		return 1;
	}
	op = add_condition(x, insn, FORT_X64_OP_BRANCH, pc);
	jump_from(op, pc, target);
	return 1;
}

static void lower_call(struct fort_x64 *x, const struct fort_insn *insn, uint32_t pc)
{
	uint32_t target = (uint32_t)fort_insn_target(insn, pc);
	struct fort_x64_op *op;

	if (insn->op == FORT_OP_LOCAL) {
		op = add(x, FORT_X64_OP_LOCAL, pc);
		op->imm = fort_resolve_callee_slots(x->request->program, target);
		op->target = target;
	} else {
		op = add(x, FORT_X64_OP_HELPER, pc);
		op->imm = (int32_t)insn->imm;
		op->dst = FORT_R0;
	}
}

/* --- all of it --- */

static void lower_move(struct fort_x64 *x, const struct fort_insn *insn, uint32_t pc)
{
	struct fort_x64_op *op = add(x, FORT_X64_OP_MOVE, pc);
	int err = 0;

	op->dst = insn->dst;
	op->bits = insn->bits;
	if (insn->kind == FORT_MOV_X) {
		op->a = insn->src;
		return;
	}
	op->kind = FORT_X64_OP_CONST;
	op->bits = 64;
	op->imm = insn->bits == 32 ? (int64_t)(uint32_t)insn->imm : insn->imm;
	if (insn->kind == FORT_LDIMM)
		err = fort_resolve_imm(x->request, insn, &op->imm);
	(void)err; /* checked before */
}

/* What is at pc; returns the slots done. Nothing that writes r10 becomes an operation. */
static uint32_t lower_next(struct fort_x64 *x, uint32_t pc)
{
	/* dispatch: a case for each kind */
	const struct fort_insn *insn = insn_at(x, pc);
	struct fort_x64_op *op;

	if (FORT_UNLIKELY(fort_insn_writes_frame_pointer(insn))) {
		add(x, FORT_X64_OP_STOP, pc);
		return fort_insn_slots(insn);
	}
	switch (insn->kind) {
	case FORT_JCC_K:
	case FORT_JCC_X: return lower_jcc(x, insn, pc);
	case FORT_JA:
		if (fort_insn_target(insn, pc) == pc + 1)
			forget_target(x, pc + 1);
		else
			add_ja(x, pc);
		return 1;
	case FORT_CALL: lower_call(x, insn, pc); return 1;
	case FORT_EXIT: add(x, FORT_X64_OP_EXIT, pc); return 1;
	case FORT_MOV_K:
	case FORT_MOV_X:
	case FORT_LDIMM: lower_move(x, insn, pc); return fort_insn_slots(insn);
	default: break;
	}
	op = add(x, FORT_X64_OP_NOTHING, pc);
	op->op = insn->op;
	op->bits = insn->bits;
	switch (insn->kind) {
	case FORT_ALU_K:
	case FORT_ALU_X: lower_alu(op, insn); break;
	case FORT_NEG:
		op->kind = FORT_X64_OP_NEG;
		op->dst = op->a = insn->dst;
		break;
	case FORT_MOVSX: lower_movsx(op, insn); break;
	case FORT_END: lower_end(op, insn); break;
	case FORT_CALLX:
		op->kind = FORT_X64_OP_CALLX;
		op->a = insn->dst;
		op->dst = FORT_R0;
		break;
	default: lower_memory(op, insn);
	}
	return 1;
}

static void add_target(struct fort_x64 *x, uint32_t pc)
{
	x->refs[pc] = (uint8_t)(x->refs[pc] + (x->refs[pc] < REFS_MAX));
}

#define KIND(kind) (1u << FORT_##kind)
#define LOOKED_AT                                                                        \
	(KIND(JA) | KIND(JCC_K) | KIND(JCC_X) | KIND(LDIMM) | KIND(CALL) | KIND(CALLX) | \
	 KIND(LDABS) | KIND(LDIND) | KIND(MAY_GOTO))

/* What the instruction alone says: can it be compiled, and where does it lead? Of kinds in
 * LOOKED_AT. */
static int look_at(struct fort_x64 *x, const struct fort_insn *insn, uint32_t pc)
{
	int64_t value;

	switch (insn->kind) {
	case FORT_JA:
	case FORT_JCC_K:
	case FORT_JCC_X:
		add_target(x, (uint32_t)fort_insn_target(insn, pc));
		fort_resolve_loop(insn, pc, x->loop_ends);
		return 0;
	case FORT_LDIMM:
		return fort_insn_writes_frame_pointer(insn)
			       ? 0
			       : fort_resolve_imm(x->request, insn, &value);
	case FORT_CALL:
		if (insn->op == FORT_OP_LOCAL)
			add_target(x, (uint32_t)fort_insn_target(insn, pc));
		return fort_resolve_check(x->request, insn);
	case FORT_CALLX:
	case FORT_LDABS:
	case FORT_LDIND:
	case FORT_MAY_GOTO: return fort_resolve_check(x->request, insn);
	default: return 0;
	}
}

/* A join at the operation to come, if paths join at its slot. The start of the program is one. */
static void add_join(struct fort_x64 *x, uint32_t pc)
{
	struct fort_x64_join *join = &x->joins[++x->n_joins];

	*join = (struct fort_x64_join){.pc = pc, .cost = fort_resolve_loop_slots(x->loop_ends, pc)};
	x->join_at[pc] = x->n_joins;
}

int fort_x64_lower(struct fort_x64 *x)
{
	const struct fort_program *program = x->request->program;

	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		const struct fort_insn *insn = &program->insns[pc];
		int err = LOOKED_AT >> insn->kind & 1 ? look_at(x, insn, pc) : 0;

		if (err)
			return err;
	}
	for (uint32_t pc = 0; pc < program->n_insns;) {
		uint32_t first = x->n_ops, slots;

		if (!pc || is_target(x, pc))
			add_join(x, pc);
		slots = lower_next(x, pc);
		if (x->join_at[pc]) {
			if (x->n_ops == first)
				add(x, FORT_X64_OP_NOTHING, pc);
			x->ops[first].flags |= FORT_X64_LABEL;
			x->ops[first].join = x->join_at[pc];
		}
		pc += slots;
	}
	for (uint32_t i = 0; i < x->n_ops && x->n_joins + x->refs[0] > 1; i++)
		if (x->ops[i].kind == FORT_X64_OP_JUMP || x->ops[i].kind == FORT_X64_OP_BRANCH ||
		    x->ops[i].kind == FORT_X64_OP_LOCAL)
			x->ops[i].target = x->join_at[x->ops[i].target];
	return 0;
}
