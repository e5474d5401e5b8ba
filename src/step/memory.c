/* Loads, stores and atomics: whatever the address register points to. */
#include "step/rules.h"

#include <string.h>

#include "abi/uapi.h"

static struct fort_reach instruction_reach(const struct fort_rule *rule, unsigned reg, bool write)
{
	return (struct fort_reach){
		.reg = reg, .off = rule->insn->off, .bytes = rule->insn->bits / 8, .write = write};
}

/* --- objects of known size --- */

bool fort_rule_in_object(struct fort_rule *rule, const struct fort_reach *reach, int64_t limit,
			 enum fort_diag bounds)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	int64_t low = fort_scalar_smin(&at), high = fort_scalar_smax(&at);
	int64_t bytes = reach->bytes;

	if (low >= 0 && high <= limit && bytes <= limit - high)
		return true;
	if (fort_scalar_is_const(&at))
		return fort_rule_bad(rule, bounds, reach->reg, low, bytes, reach->write, limit);
	if (low < 0 && high >= 0 && low == INT64_MIN)
		return fort_rule_bad(rule, FORT_DIAG_MEM_MIN_NEGATIVE, reach->reg, low, bytes,
				     reach->write, limit);
	if (low < 0)
		return fort_rule_bad(rule,
				     fort_scalar_smin(&base->num) < 0 ? FORT_DIAG_MEM_MIN_NEGATIVE
								      : FORT_DIAG_MEM_MIN,
				     reach->reg, low, bytes, reach->write, limit);
	if (low > limit || bytes > limit - low)
		return fort_rule_bad(rule, FORT_DIAG_MEM_MIN, reach->reg, low, bytes, reach->write,
				     limit);
	if (high >= FORT_PTR_OFFSET_MAX)
		return fort_rule_bad(rule, FORT_DIAG_MEM_UNBOUNDED, reach->reg, high, bytes,
				     reach->write, limit);
	return fort_rule_bad(rule, FORT_DIAG_MEM_MAX, reach->reg, high, bytes, reach->write, limit);
}

bool fort_rule_in_value(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const struct fort_map_shape *map = &rule->env->maps[base->object];
	int64_t off = fort_wrap_add(fort_scalar_smin(&base->num), reach->off);

	if (reach->write && (map->flags & BPF_F_RDONLY_PROG))
		return fort_rule_bad(rule, FORT_DIAG_VALUE_WRITE, reach->reg, off, reach->bytes, 1,
				     map->value_bytes);
	if (!reach->write && (map->flags & BPF_F_WRONLY_PROG))
		return fort_rule_bad(rule, FORT_DIAG_VALUE_READ, reach->reg, off, reach->bytes, 0,
				     map->value_bytes);
	return fort_rule_in_object(rule, reach, map->value_bytes, FORT_DIAG_VALUE_BOUNDS) &&
	       fort_rule_beside_fields(rule, reach);
}

bool fort_rule_in_memory(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	enum fort_diag bounds =
		base->type == FORT_RING_MEM ? FORT_DIAG_RING_BOUNDS : FORT_DIAG_MEM_BOUNDS;

	if (reach->write && (base->flags & FORT_RDONLY))
		return fort_rule_bad(rule, FORT_DIAG_MEM_WRITE, reach->reg,
				     fort_scalar_smin(&base->num), reach->bytes, 1, base->object);
	/* Loads from memory that is not trusted may fault: where they go does not matter. */
	if (base->flags & FORT_UNTRUSTED)
		return true;
	return fort_rule_in_object(rule, reach, base->object, bounds);
}

bool fort_rule_in_key(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);

	if (reach->write)
		return fort_rule_bad(rule,
				     reach->helper ? FORT_DIAG_MEM_WRITE : FORT_DIAG_KEY_WRITE,
				     reach->reg, fort_scalar_smin(&base->num), reach->bytes, 1, 0);
	return fort_rule_in_object(rule, reach, rule->env->maps[base->object].key_bytes,
				   FORT_DIAG_KEY_BOUNDS);
}

/* K: bpf_map_is_rdonly. What a load of a known part of a constant value gives. */
static struct fort_value value_load(const struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	const struct fort_map_shape *map = &rule->env->maps[base->object];
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	uint64_t word = 0;

	if (!map->frozen || !rule->env->constants || !rule->env->constants[base->object] ||
	    !fort_scalar_is_const(&at))
		return fort_value_number(fort_scalar_of_width(reach->bytes * 8));
	memcpy(&word, rule->env->constants[base->object] + fort_scalar_umin(&at), reach->bytes);
	return fort_value_const(word);
}

/* --- packets --- */

bool fort_rule_in_packet(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	int64_t proven = fort_packet_proven(rule->state, base);
	int64_t off = reach->off;

	if (reach->write && rule->env->hook.prog->packet < FORT_PACKET_RW)
		return fort_rule_bad(rule, FORT_DIAG_PACKET_WRITE, reach->reg, off, reach->bytes, 1,
				     proven);
	if (!fort_scalar_is_const(&at) &&
	    (fort_scalar_smin(&at) < 0 || fort_scalar_smin(&base->num) < -(int64_t)INT32_MAX))
		return fort_rule_bad(rule, FORT_DIAG_PACKET_MIN_NEGATIVE, reach->reg,
				     fort_scalar_smin(&at), reach->bytes, reach->write, proven);
	if (fort_scalar_smin(&at) < 0 || !fort_value_is_near(base) ||
	    off + (int64_t)reach->bytes > proven)
		return fort_rule_bad(rule, FORT_DIAG_PACKET_BOUNDS, reach->reg, off, reach->bytes,
				     base->sym, proven);
	return true;
}

/* --- the context --- */

/* Records what harden does with this instruction; one instruction has one answer. */
static bool note_access(struct fort_rule *rule, const struct fort_ctx_field *field)
{
	struct fort_access *access = &rule->env->access[rule->pc];
	bool pointer = field && field->yields != FORT_YIELD_SCALAR;
	struct fort_access now = {
		.kind = pointer ? FORT_ACCESS_CTX_POINTER : FORT_ACCESS_PLAIN,
		.field = pointer ? (uint8_t)(field - rule->env->hook.prog->ctx->fields) : 0};

	if (access->kind != FORT_ACCESS_UNSEEN &&
	    (access->kind != now.kind || access->field != now.field))
		return fort_rule_bad(rule, FORT_DIAG_MIXED_POINTERS, FORT_REGS, 0, 0, 0, 0);
	*access = now;
	return true;
}

bool fort_rule_in_ctx(struct fort_rule *rule, const struct fort_reach *reach, bool sign_extends,
		      const struct fort_ctx_field **field)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	int64_t moved = fort_scalar_smin(&base->num);

	if (!fort_scalar_is_const(&base->num))
		return fort_rule_bad(rule, FORT_DIAG_CTX_VARIABLE, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	if (moved)
		return fort_rule_bad(rule,
				     moved < 0 ? FORT_DIAG_CTX_NEGATIVE : FORT_DIAG_CTX_MODIFIED,
				     reach->reg, moved, reach->bytes, reach->write, 0);
	*field = fort_ctx_access(&rule->env->hook, reach->off, reach->bytes, reach->write,
				 sign_extends);
	if (!*field)
		return fort_rule_bad(rule, FORT_DIAG_CTX_ACCESS, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	if (!fort_yield_runs((*field)->yields))
		return fort_rule_bad(rule, FORT_DIAG_CTX_LATER, reach->reg, reach->off,
				     reach->bytes, reach->write, 0);
	return true;
}

static struct fort_value ctx_load(const struct fort_ctx_field *field, const struct fort_insn *insn)
{
	switch (field->yields) {
	case FORT_YIELD_PACKET: return fort_value_pointer(FORT_PACKET, 0);
	case FORT_YIELD_PACKET_META: return fort_value_pointer(FORT_PACKET_META, 0);
	case FORT_YIELD_PACKET_END: return fort_value_pointer(FORT_PACKET_END, 0);
	default: return fort_value_number(fort_scalar_of_width(insn->bits));
	}
}

/* --- one access of any kind --- */

static bool bad_pointer(struct fort_rule *rule, unsigned reg)
{
	const struct fort_value *base = fort_rule_reg(rule, reg);

	if (base->type == FORT_MAP)
		return fort_rule_bad(rule, FORT_DIAG_MAP_DIRECT, reg, 0, 0, 0, 0);
	return fort_rule_bad(rule,
			     base->flags & FORT_MAYBE_NULL ? FORT_DIAG_MEM_NULL
							   : FORT_DIAG_MEM_SCALAR,
			     reg, 0, 0, 0, 0);
}

/* Checks the access; for loads *out is what comes out of memory, not yet extended. `stored` is
 * what a store puts there, NULL for something unknown. */
static bool access_memory(struct fort_rule *rule, const struct fort_reach *reach,
			  const struct fort_value *stored, struct fort_value *out)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	bool sign_extends = rule->insn->op == FORT_OP_LDXS;
	const struct fort_ctx_field *field = NULL;
	struct fort_stack_reach where;

	*out = fort_value_number(fort_scalar_of_width(reach->bytes * 8));
	if (base->flags & FORT_MAYBE_NULL)
		return bad_pointer(rule, reach->reg);
	switch (base->type) {
	case FORT_MAP_VALUE:
		if (!fort_rule_in_value(rule, reach))
			return false;
		*out = value_load(rule, reach);
		break;
	case FORT_MEM:
	case FORT_RING_MEM:
		if (!fort_rule_in_memory(rule, reach))
			return false;
		break;
	case FORT_MAP_KEY:
		if (!fort_rule_in_key(rule, reach))
			return false;
		break;
	case FORT_PACKET:
	case FORT_PACKET_META:
		if (!fort_rule_in_packet(rule, reach))
			return false;
		break;
	case FORT_CTX:
		if (!fort_rule_in_ctx(rule, reach, sign_extends, &field))
			return false;
		*out = ctx_load(field, rule->insn);
		break;
	case FORT_STACK:
		if (!fort_rule_in_stack(rule, reach, &where))
			return false;
		if (reach->write ? !fort_stack_store(rule, reach, &where, stored)
				 : !fort_stack_load(rule, reach, &where, out))
			return false;
		break;
	default: return bad_pointer(rule, reach->reg);
	}
	return note_access(rule, field);
}

/* Atomic accesses need natural alignment and memory that belongs to the program. */
static bool atomic_access(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	uint64_t low = reach->bytes - 1;

	if (base->type == FORT_CTX || base->type == FORT_PACKET || base->type == FORT_PACKET_META)
		return fort_rule_bad(rule,
				     reach->write ? FORT_DIAG_ATOMIC_TARGET
						  : FORT_DIAG_ATOMIC_SOURCE,
				     reach->reg, 0, 0, 0, 0);
	if (base->type != FORT_NUM && ((at.bits.value | at.bits.mask) & low))
		return fort_rule_bad(rule, FORT_DIAG_MISALIGNED_ATOMIC, reach->reg,
				     fort_scalar_smin(&base->num), reach->off, reach->bytes, 0);
	return true;
}

bool fort_rule_ldx(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_reach reach = instruction_reach(rule, insn->src, false);
	struct fort_value value;

	if (!fort_rule_readable(rule, insn->src) || !fort_rule_writable(rule, insn->dst) ||
	    (insn->kind == FORT_LDACQ && !atomic_access(rule, &reach)) ||
	    !access_memory(rule, &reach, NULL, &value))
		return false;
	if (insn->op == FORT_OP_LDXS && value.type == FORT_NUM)
		value = fort_value_number(fort_scalar_sign_extend(&value.num, insn->bits, 64));
	else if (insn->op == FORT_OP_LDXS)
		return fort_rule_bad(rule, FORT_DIAG_FILL_SIZE, FORT_REGS, 0, reach.bytes, 0, 0);
	*fort_rule_reg(rule, insn->dst) = value;
	return true;
}

bool fort_rule_store(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_reach reach = instruction_reach(rule, insn->dst, true);
	struct fort_value value = fort_value_const((uint64_t)insn->imm), unused;

	if (insn->kind != FORT_ST) {
		if (!fort_rule_readable(rule, insn->src))
			return false;
		/* The stored copy stays related to the register. */
		fort_rule_name(rule, fort_rule_reg(rule, insn->src));
		value = *fort_rule_reg(rule, insn->src);
	}
	return fort_rule_readable(rule, insn->dst) &&
	       (insn->kind != FORT_STREL || atomic_access(rule, &reach)) &&
	       access_memory(rule, &reach, &value, &unused);
}

/* --- atomics --- */

/* The register that receives the old value, or FORT_REGS. */
static unsigned old_value_to(const struct fort_insn *insn)
{
	if (fort_insn_uses(insn, '0'))
		return FORT_R0;
	return fort_insn_uses(insn, 's') ? insn->src : FORT_REGS;
}

bool fort_rule_atomic(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_reach read = instruction_reach(rule, insn->dst, false);
	struct fort_reach write = instruction_reach(rule, insn->dst, true);
	struct fort_value sum = fort_value_unknown(), old, unused;
	unsigned to = old_value_to(insn);

	if (!fort_rule_readable(rule, insn->src) || !fort_rule_readable(rule, insn->dst) ||
	    (to == FORT_R0 && !fort_rule_readable(rule, FORT_R0)) ||
	    (to < FORT_REGS && !fort_rule_writable(rule, to)) || !atomic_access(rule, &write))
		return false;
	if (!access_memory(rule, &read, NULL, &old) || !access_memory(rule, &write, &sum, &unused))
		return false;
	if (to < FORT_REGS)
		*fort_rule_reg(rule, to) = old;
	return true;
}

/* --- 64-bit immediates --- */

bool fort_rule_ldimm(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);
	uint32_t map = (uint32_t)insn->imm;
	int64_t off = (int64_t)((uint64_t)insn->imm >> 32);

	if (!fort_rule_writable(rule, insn->dst))
		return false;
	if (insn->op == FORT_OP_CONST) {
		*dst = fort_value_const((uint64_t)insn->imm);
		return true;
	}
	if (insn->op == FORT_OP_FUNC)
		return fort_rule_ldimm_func(rule);
	if ((insn->op != FORT_OP_MAP_IDX && insn->op != FORT_OP_MAP_IDX_VALUE) ||
	    map >= rule->env->n_maps)
		return fort_rule_bad(rule, FORT_DIAG_INSN_LATER, FORT_REGS, insn->imm, 0, 0, 0);
	if (!fort_rule_may_use(rule, map))
		return false;
	if (insn->op == FORT_OP_MAP_IDX) {
		*dst = fort_value_pointer(FORT_MAP, map);
		return true;
	}
	if (rule->env->maps[map].type != BPF_MAP_TYPE_ARRAY ||
	    rule->env->maps[map].max_entries != 1)
		return fort_rule_bad(rule, FORT_DIAG_LDIMM_MAP, FORT_REGS, off, 0, 0,
				     rule->env->maps[map].value_bytes);
	if (off >= rule->env->maps[map].value_bytes)
		return fort_rule_bad(rule, FORT_DIAG_LDIMM_VALUE, FORT_REGS, off, 0, 0,
				     rule->env->maps[map].value_bytes);
	*dst = fort_value_pointer(FORT_MAP_VALUE, map);
	dst->num = fort_scalar_const((uint64_t)off);
	return true;
}
