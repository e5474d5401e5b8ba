/* Calls: of helpers, of subprograms, and what is done instead of calling. */
#include "engine/x64_tail.h"

/* --- helpers --- */

/* r1 to r5 are lost, to the pattern that engines agree on; where nobody looks, nobody needs it. */
static void poison(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg first = FORT_X64_NONE;

	for (uint8_t reg = FORT_R1; reg <= FORT_R5; reg++) {
		if (!(op->keep & 1u << (reg - FORT_R1)))
			continue;
		if (first == FORT_X64_NONE) {
			first = fort_x64_home(reg);
			fort_x64_const(&x->bytes, first, FORT_POISON);
		} else {
			fort_x64_mov(&x->bytes, 64, fort_x64_home(reg), first);
		}
	}
}

/* Does the program call the host again before it touches memory or goes elsewhere? */
static bool calls_again(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	const struct fort_x64_op *end = x->ops + x->n_ops;

	for (op++; op < end && !(op->flags & FORT_X64_LABEL); op++) {
		switch (op->kind) {
		case FORT_X64_OP_HELPER: return true;
		case FORT_X64_OP_NOTHING:
		case FORT_X64_OP_MOVE:
		case FORT_X64_OP_CONST: break;
		default: return false;
		}
	}
	return false;
}

/* Runs around a call of the host: fuel and the run's end are in the run, all registers but the
 * callee-saved are lost. A program that costs nothing never has its fuel in a register. */
static void before_host(struct fort_x64 *x)
{
	if (x->fuel)
		fort_x64_rm(&x->bytes, FORT_X64_MOV, 64, FORT_X64_FUEL, FORT_X64_RUN_MEM(fuel));
	fort_x64_reg(&x->bytes, FORT_X64_PUSH, 32, FORT_X64_RUN);
}

static void after_host(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;

	fort_x64_reg(to, FORT_X64_POP, 32, FORT_X64_RUN);
	if (x->fuel)
		fort_x64_rm(to, FORT_X64_LOAD, 64, FORT_X64_FUEL, FORT_X64_RUN_MEM(fuel));
	fort_x64_alu_mem_imm(to, FORT_X64_CMP, 32, FORT_X64_RUN_MEM(abort.code), 0);
	fort_x64_leave(x, FORT_X64_NOT_EQUAL, op->pc, FORT_X64_STOP_HELPER);
	poison(x, op);
}

void fort_x64_call_around(struct fort_x64 *x, const struct fort_x64_op *op,
			  fort_helper_fn *function)
{
	before_host(x);
	fort_x64_call_host(x, function);
	after_host(x, op);
}

void fort_x64_helper(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_helper_fn *helper = x->request->helper((uint32_t)op->imm);

	if (!helper) {
		fort_x64_leave(x, FORT_X64_ALWAYS, op->pc, FORT_ABORT_HELPER)->detail =
			(uint32_t)op->imm;
		return;
	}
	if (op->value)
		helper = x->request->lookups[op->target].function;
	else if (x->request->shape && x->request->shape((uint32_t)op->imm).function)
		helper = x->request->shape((uint32_t)op->imm).function;
	x->lazy = x->keyed && op->kind == FORT_X64_OP_HELPER && !fort_x64_is_tail(x, op) &&
		  calls_again(x, op);
	fort_x64_call_around(x, op, helper);
	x->lazy = false;
	if (fort_x64_is_tail(x, op))
		fort_x64_tail(x, op);
}

/* Which helper is known only now: a function of the host finds and calls it, so that no address of
 * one comes into code. The whole register counts. */
void fort_x64_callx(struct fort_x64 *x, const struct fort_x64_op *op)
{
	fort_x64_load_entry(x);
	fort_x64_rm(&x->bytes, FORT_X64_MOV, 64, fort_x64_home(op->a), FORT_X64_ENTRY_MEM(number));
	fort_x64_call_around(x, op, fort_x64_call_by_number);
}

/* --- instead of helpers --- */

void fort_x64_cached(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);
	uint32_t done;

	fort_x64_rm(to, FORT_X64_LOAD, 64, r0, FORT_X64_RUN_MEM(services));
	fort_x64_rm(to, FORT_X64_LOAD, 64, r0, fort_x64_at(r0, op->disp));
	fort_x64_rr(to, FORT_X64_TEST, 64, r0, r0);
	done = fort_x64_seldom(x, FORT_X64_EQUAL, op, fort_x64_helper);
	poison(x, op);
	fort_x64_bind(x, done);
}

/* Where the C library has the kernel keep the current processor's number, for this thread. */
static struct fort_x64_mem cpu_word(const struct fort_x64 *x)
{
	return (struct fort_x64_mem){.base = FORT_X64_NONE,
				     .index = FORT_X64_NONE,
				     .segment = FORT_X64_FS,
				     .disp = x->cpu_offset};
}

void fort_x64_cpu(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_bytes *to = &x->bytes;
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);
	uint32_t done;

	if (!x->cpu_offset) {
		fort_x64_helper(x, op);
		return;
	}
	fort_x64_rm(to, FORT_X64_LOAD, 32, r0, cpu_word(x));
	fort_x64_alu_imm(to, FORT_X64_CMP, 32, r0, FORT_CPUS_MAX);
	done = fort_x64_seldom(x, FORT_X64_NOT_BELOW, op, fort_x64_helper);
	poison(x, op);
	fort_x64_bind(x, done);
}

/* The branch that asks whether a lookup found something, or NULL. */
static const struct fort_x64_op *test_of(const struct fort_x64_op *op)
{
	if (!(op->value & FORT_X64_TESTED))
		return NULL;
	do
		op++;
	while (op->kind != FORT_X64_OP_BRANCH);
	return op;
}

/* Nothing was found: the branch goes the way that it goes then. */
static void no_element(struct fort_x64 *x, const struct fort_x64_op *op)
{
	const struct fort_x64_op *test = test_of(op);
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);

	fort_x64_rr(&x->bytes, FORT_X64_XOR, 32, r0, r0);
	poison(x, op);
	if (test && (test->op == FORT_OP_JEQ) != !!(test->flags & FORT_X64_UNLESS))
		fort_x64_ja(x, test);
}

/* r1 and r2 are not what the program had in them: nobody needed that. What is done when nothing is
 * found comes next among what is seldom done. */
static void lookup_slowly(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_mem key = fort_x64_mem_of(x, op, 32);
	const struct fort_domain *domain = x->request->domain;
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);

	key.segment = FORT_X64_FLAT;
	key = fort_x64_put_mem(x, key, FORT_X64_FREE1);
	fort_x64_rm(&x->bytes, FORT_X64_LEA, 64, fort_x64_home(FORT_R2), key);
	fort_x64_put(x, fort_x64_home(FORT_R1), fort_map_handle(op->target));
	fort_x64_helper(x, op);
	if (op->value & FORT_X64_TESTED) {
		fort_x64_rr(&x->bytes, FORT_X64_TEST, 64, r0, r0);
		fort_x64_jump_to(x, FORT_X64_EQUAL, x->colds[x->cold_at + 1].from);
	}
	if (op->value & FORT_X64_OFFSET)
		fort_x64_put_alu(x, FORT_X64_SUB, 32, r0,
				 (int32_t)fort_domain_address(domain,
							      domain->map_start[op->target]));
}

/* reg = reg * by, for what fits 32 bits. */
static void scale(struct fort_x64 *x, enum fort_x64_reg reg, uint64_t by)
{
	if (!fort_is_power_of_two(by))
		fort_x64_put_mul(x, 64, reg, reg, (int32_t)by);
	else if (by > 1)
		fort_x64_rri(&x->bytes, FORT_X64_SHIFT_I8, 64, FORT_X64_SHL, reg,
			     __builtin_ctzll(by));
}

/* From the key in r0, and the offset of the processor's elements in FREE2, to the address. */
static void element_address(struct fort_x64 *x, const struct fort_x64_op *op,
			    const struct fort_map_lookup *array)
{
	const struct fort_domain *domain = x->request->domain;
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);
	struct fort_x64_mem sum = {.base = FORT_X64_FREE1, .index = (uint8_t)r0};

	if (op->value & FORT_X64_INDEX)
		return;
	if (array->stride <= 8 && fort_is_power_of_two(array->stride))
		sum.scale = (uint8_t)__builtin_ctz(array->stride);
	else
		scale(x, r0, array->stride);
	if (!(op->value & FORT_X64_OFFSET))
		fort_x64_put(x, FORT_X64_FREE1,
			     fort_domain_address(domain, domain->map_start[op->target]));
	else
		sum.base = array->n_cpus ? FORT_X64_FREE2 : FORT_X64_NONE;
	if (sum.base != FORT_X64_NONE || sum.scale)
		fort_x64_rm(&x->bytes, FORT_X64_LEA, 64, r0, sum);
	if (array->n_cpus && !(op->value & FORT_X64_OFFSET))
		fort_x64_rr(&x->bytes, FORT_X64_ADD, 64, FORT_X64_FREE2, r0);
}

/* FREE2 = offset of the current processor's elements; returns where to go on from the slow way. */
static uint32_t processor_offset(struct fort_x64 *x, const struct fort_x64_op *op,
				 const struct fort_map_lookup *array)
{
	uint32_t slow;

	fort_x64_rm(&x->bytes, FORT_X64_LOAD, 32, FORT_X64_FREE2, cpu_word(x));
	fort_x64_alu_imm(&x->bytes, FORT_X64_CMP, 32, FORT_X64_FREE2, (int32_t)array->n_cpus);
	slow = fort_x64_seldom(x, FORT_X64_NOT_BELOW, op, lookup_slowly);
	scale(x, FORT_X64_FREE2, array->cpu_bytes);
	return slow;
}

/* r0 = the key; returns the label where to go on when there is no such element. */
static uint32_t take_key(struct fort_x64 *x, const struct fort_x64_op *op,
			 const struct fort_map_lookup *array)
{
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);
	struct fort_x64_mem key;

	if (op->a != FORT_X64_NO_REG) {
		fort_x64_mov(&x->bytes, 32, r0, fort_x64_home(op->a));
	} else {
		key = fort_x64_put_mem(x, fort_x64_mem_of(x, op, 32), FORT_X64_FREE1);
		fort_x64_note(x, key, 0, op->pc, op->pc);
		fort_x64_rm(&x->bytes, FORT_X64_LOAD, 32, r0, key);
	}
	fort_x64_put_alu(x, FORT_X64_CMP, 32, r0, (int32_t)array->n);
	return fort_x64_seldom(x, FORT_X64_NOT_BELOW, op, no_element);
}

/* A key that is known: there is an element, for each processor, or none. */
static void constant_key(struct fort_x64 *x, const struct fort_x64_op *op,
			 const struct fort_map_lookup *array)
{
	const struct fort_domain *domain = x->request->domain;
	uint32_t key = (uint32_t)((uint64_t)op->imm >> 32), slow = 0;
	uint64_t start = fort_domain_address(domain, domain->map_start[op->target]);
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);

	if (key >= array->n) {
		fort_x64_const(&x->bytes, r0, 0);
		poison(x, op);
		return;
	}
	if (array->n_cpus)
		slow = processor_offset(x, op, array);
	fort_x64_put(x, r0, start + (uint64_t)key * array->stride);
	if (array->n_cpus)
		fort_x64_rr(&x->bytes, FORT_X64_ADD, 64, FORT_X64_FREE2, r0);
	poison(x, op);
	if (slow)
		fort_x64_bind(x, slow);
}

void fort_x64_lookup(struct fort_x64 *x, const struct fort_x64_op *op)
{
	const struct fort_map_lookup *array = &x->request->lookups[op->target];
	uint32_t missing, slow = 0;

	if (op->value & FORT_X64_KEY_CONSTANT) {
		constant_key(x, op, array);
		return;
	}
	if (array->n_cpus)
		slow = processor_offset(x, op, array);
	missing = take_key(x, op, array);
	element_address(x, op, array);
	poison(x, op);
	if (slow)
		fort_x64_bind(x, slow);
	if (op->value & FORT_X64_TESTED)
		x->missing = missing;
	else
		fort_x64_bind(x, missing);
}

/* --- subprograms --- */

/* Frames that there may still be, where a program might use them up. */
static void count_frames(struct fort_x64 *x, enum fort_x64_row row)
{
	fort_x64_load_entry(x);
	fort_x64_alu_mem_imm(&x->bytes, row, 32, FORT_X64_ENTRY_MEM(frames), 1);
}

/* The caller keeps on the machine's stack what it needs and the callee changes; the callee is
 * entered as any frame is. */
static void call_frame(struct fort_x64 *x, const struct fort_x64_op *op)
{
	const struct fort_x64_subprog *callee = &x->subprogs[x->joins[op->target].subprog];
	struct fort_x64_bytes *to = &x->bytes;
	bool pad = callee->helpers && !(__builtin_popcount(op->keep) & 1);

	for (uint8_t reg = FORT_R6; reg < FORT_R10; reg++)
		if (op->keep & 1u << (reg - FORT_R6))
			fort_x64_reg(to, FORT_X64_PUSH, 32, fort_x64_home(reg));
	if (pad)
		fort_x64_alu_imm(to, FORT_X64_SUB, 64, FORT_X64_RSP, 8);
	if (callee->frame)
		fort_x64_alu_imm(to, FORT_X64_SUB, 64, fort_x64_home(FORT_R10), FORT_STACK_BYTES);
	fort_x64_call_label(x, x->joins[op->target].label);
	if (callee->frame)
		fort_x64_alu_imm(to, FORT_X64_ADD, 64, fort_x64_home(FORT_R10), FORT_STACK_BYTES);
	if (pad)
		fort_x64_alu_imm(to, FORT_X64_ADD, 64, FORT_X64_RSP, 8);
	for (uint8_t reg = FORT_R10; reg-- > FORT_R6;)
		if (op->keep & 1u << (reg - FORT_R6))
			fort_x64_reg(to, FORT_X64_POP, 32, fort_x64_home(reg));
}

void fort_x64_local(struct fort_x64 *x, const struct fort_x64_op *op)
{
	uint32_t cost = (uint32_t)op->imm;

	if (x->counts_frames) {
		count_frames(x, FORT_X64_SUB);
		fort_x64_leave(x, FORT_X64_BELOW, op->pc, FORT_ABORT_DEPTH);
	}
	fort_x64_take_fuel(x, cost);
	fort_x64_leave(x, FORT_X64_BELOW, op->pc, FORT_ABORT_FUEL)->refund = cost;
	call_frame(x, op);
	if (x->counts_frames)
		count_frames(x, FORT_X64_ADD);
}
