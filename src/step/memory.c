/* Loads, stores and atomics: whatever the address register points to. */
#include "step/rules.h"

#include "abi/uapi.h"

static struct fort_reach instruction_reach(const struct fort_rule *rule, unsigned reg, bool write)
{
	return (struct fort_reach){
		.reg = reg, .off = rule->insn->off, .bytes = rule->insn->bits / 8, .write = write};
}

/* --- one access of any kind --- */

static bool bad_pointer(struct fort_rule *rule, unsigned reg)
{
	const struct fort_value *base = fort_rule_reg(rule, reg);

	if (base->flags & FORT_MAYBE_NULL)
		return fort_rule_bad(rule, FORT_DIAG_MEM_NULL, reg, 0, 0, 0, 0);
	return fort_rule_bad(rule, FORT_DIAG_MEM_SCALAR, reg, 0, 0, 0, 0);
}

/* An address goes where others may read it. */
static bool keeps_secrets(struct fort_rule *rule, const struct fort_reach *reach,
			  const struct fort_value *stored)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);

	if (!reach->write || base->type == FORT_STACK || !fort_rule_is_secret(rule, stored))
		return true;
	return fort_rule_bad(rule, FORT_DIAG_LEAK_STORE, rule->insn->src, base->type, 0, 0, 0);
}

static bool access_stack(struct fort_rule *rule, const struct fort_reach *reach,
			 const struct fort_value *stored, struct fort_value *out)
{
	struct fort_stack_reach where;

	return fort_rule_in_stack(rule, reach, &where) &&
	       (reach->write ? fort_stack_store(rule, reach, &where, stored)
			     : fort_stack_load(rule, reach, &where, out));
}

/* Is it allowed? What comes out of memory is a number, unless *out says otherwise. */
static bool access_object(struct fort_rule *rule, const struct fort_reach *reach,
			  const struct fort_value *stored, struct fort_value *out)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);

	switch (base->type) {
	case FORT_MAP_VALUE:
		if (!fort_rule_in_value(rule, reach))
			return false;
		*out = fort_rule_value_load(rule, reach);
		return true;
	case FORT_MAP_KEY: return fort_rule_in_key(rule, reach);
	case FORT_MEM:
	case FORT_RING_MEM: return fort_rule_in_memory(rule, reach);
	case FORT_BUF:
	case FORT_TP_BUFFER: return fort_rule_in_buffer(rule, reach);
	case FORT_PACKET:
	case FORT_PACKET_META: return fort_rule_in_packet(rule, reach);
	case FORT_SOCKET:
	case FORT_SOCK_COMMON:
	case FORT_TCP_SOCK:
	case FORT_XDP_SOCK:
	case FORT_FLOW_KEYS: return fort_rule_behind(rule, reach);
	case FORT_STACK: return access_stack(rule, reach, stored, out);
	case FORT_BTF: return fort_rule_in_btf(rule, reach, out);
	case FORT_MAP: return fort_rule_in_map(rule, reach, out);
	default: return bad_pointer(rule, reach->reg);
	}
}

/* Loads that say themselves what comes out. */
static inline bool tells_all(const struct fort_value *base)
{
	return base->type == FORT_STACK || base->type == FORT_CTX;
}

/* Checks the access; for loads *out is what comes out of memory, not yet extended. `stored` is
 * what a store puts there. */
static bool access_memory(struct fort_rule *rule, const struct fort_reach *reach,
			  const struct fort_value *stored, struct fort_value *out)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	bool sign_extends = rule->insn->op == FORT_OP_LDXS;
	const struct fort_ctx_field *field = NULL;

	if (!reach->write && !tells_all(base))
		*out = fort_value_number(fort_scalar_of_width(reach->bytes * 8));
	if (base->flags & FORT_MAYBE_NULL)
		return bad_pointer(rule, reach->reg);
	if (!keeps_secrets(rule, reach, stored))
		return false;
	if (base->type == FORT_CTX) {
		if (!fort_rule_in_ctx(rule, reach, sign_extends, &field) ||
		    (!reach->write && !fort_rule_ctx_load(rule, reach, field, out)))
			return false;
	} else if (!access_object(rule, reach, stored, out)) {
		return false;
	}
	return fort_rule_note_access(rule, base, field);
}

/* K: atomic_ptr_type_ok */
static bool takes_atomics(const struct fort_value *base)
{
	switch (base->type) {
	case FORT_CTX:
	case FORT_PACKET:
	case FORT_PACKET_META:
	case FORT_FLOW_KEYS:
	case FORT_SOCKET:
	case FORT_SOCK_COMMON:
	case FORT_TCP_SOCK:
	case FORT_XDP_SOCK: return false;
	default: return true;
	}
}

/* Atomic accesses need natural alignment and memory that belongs to the program. */
static bool atomic_access(struct fort_rule *rule, const struct fort_reach *reach)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);
	uint64_t low = reach->bytes - 1;

	if (!takes_atomics(base))
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
	struct fort_value value, unused;

	if (insn->kind != FORT_ST) {
		if (!fort_rule_readable(rule, insn->src))
			return false;
		/* The stored copy stays related to the register. */
		fort_rule_name(rule, fort_rule_reg(rule, insn->src));
		value = *fort_rule_reg(rule, insn->src);
	} else {
		value = fort_value_const((uint64_t)insn->imm);
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

/* What goes into memory, and what it is compared with, is no address. */
static bool shows_no_address(struct fort_rule *rule, unsigned reg)
{
	if (!fort_rule_is_secret(rule, fort_rule_reg(rule, reg)))
		return true;
	return fort_rule_bad(rule, FORT_DIAG_LEAK_STORE, reg, FORT_MEM, 0, 0, 0);
}

/* A stored address that is taken for a number. (K: "leaking pointer from stack") */
static bool takes_no_address(struct fort_rule *rule, const struct fort_reach *reach,
			     const struct fort_value *old)
{
	if (!fort_rule_is_secret(rule, old))
		return true;
	fort_rule_bad(rule, FORT_DIAG_LEAK_ATOMIC, reach->reg,
		      fort_scalar_smin(&fort_rule_reg(rule, reach->reg)->num) + reach->off, 0, 0,
		      0);
	rule->out->violation.value = *old;
	return false;
}

bool fort_rule_atomic(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_reach read = instruction_reach(rule, insn->dst, false);
	struct fort_reach write = instruction_reach(rule, insn->dst, true);
	struct fort_value sum = fort_value_unknown(), old, unused;
	unsigned to = old_value_to(insn);

	if (!fort_rule_readable(rule, insn->src) || !fort_rule_readable(rule, insn->dst) ||
	    (to == FORT_R0 &&
	     (!fort_rule_readable(rule, FORT_R0) || !shows_no_address(rule, FORT_R0))) ||
	    !shows_no_address(rule, insn->src) ||
	    (to < FORT_REGS && !fort_rule_writable(rule, to)) || !atomic_access(rule, &write))
		return false;
	if (!access_memory(rule, &read, NULL, &old) || !takes_no_address(rule, &read, &old) ||
	    !access_memory(rule, &write, &sum, &unused))
		return false;
	if (to < FORT_REGS)
		*fort_rule_reg(rule, to) = old;
	return true;
}

/* --- 64-bit immediates --- */

/* K: check_map_prog_compatibility. Programs that may run where a lock is held take none, and have
 * no values that work later. */
static bool may_name(struct fort_rule *rule, uint32_t index)
{
	static const uint8_t specials[FORT_FIELD_KINDS] = {
		[FORT_FIELD_SPIN_LOCK] = 1 + FORT_SPECIAL_SPIN_LOCK,
		[FORT_FIELD_RES_SPIN_LOCK] = 1 + FORT_SPECIAL_RES_SPIN_LOCK,
		[FORT_FIELD_TIMER] = 1 + FORT_SPECIAL_TIMER,
		[FORT_FIELD_WORK_QUEUE] = 1 + FORT_SPECIAL_WORKQUEUE,
		[FORT_FIELD_LIST_HEAD] = 1 + FORT_SPECIAL_LIST_HEAD,
		[FORT_FIELD_RB_ROOT] = 1 + FORT_SPECIAL_RB_ROOT,
	};
	const struct fort_map_info *info = fort_map_info_of(&rule->env->maps[index]);
	const struct fort_btf_record *record = fort_env_record(rule->env, index);
	const struct fort_prog_info *prog = rule->env->hook.prog;

	if (!info || info->traits & FORT_TRAIT_BARRED)
		return fort_rule_bad(rule, FORT_DIAG_MAP_BARRED, FORT_REGS, index, 0, 0, 0);
	if (rule->env->sleepable && !(info->traits & FORT_TRAIT_SLEEPY))
		return fort_rule_bad(rule, FORT_DIAG_MAP_SLEEPS, FORT_REGS, info->number, 0, 0, 0);
	for (uint32_t i = 0; record && i < record->count; i++) {
		uint8_t special = specials[record->fields[i].kind];

		if (!special || !(fort_specials[special - 1].barred & prog->bit))
			continue;
		fort_rule_bad(rule, FORT_DIAG_MAP_SPECIAL, FORT_REGS, info->number, 0, 0, 0);
		rule->out->violation.text = fort_specials[special - 1].words;
		rule->out->violation.field = prog->bit == FORT_BIT_SF ? "socket filter" : "tracing";
		return false;
	}
	return true;
}

/* A map, or a place in the only value of an array. (K: resolve_pseudo_ldimm64,
 * map_direct_value_addr of array and arena) */
static bool load_map(struct fort_rule *rule, struct fort_value *dst)
{
	uint32_t index = (uint32_t)rule->insn->imm;
	int64_t off = (int64_t)((uint64_t)rule->insn->imm >> 32);
	const struct fort_map_shape *map = &rule->env->maps[index];
	const struct fort_map_info *info = fort_map_info_of(map);

	if (!may_name(rule, index))
		return false;
	if (rule->insn->op == FORT_OP_MAP_IDX) {
		*dst = fort_value_pointer(FORT_MAP, index);
		return true;
	}
	if (info == &fort_maps[FORT_MAP_ARENA])
		return fort_rule_bad(rule, FORT_DIAG_ARENA_LATER, FORT_REGS, 0, 0, 0, 0);
	if (!(info->traits & FORT_TRAIT_DIRECT))
		return fort_rule_bad(rule, FORT_DIAG_LDIMM_TYPE, FORT_REGS, map->type, 0, 0, 0);
	if (map->max_entries != 1)
		return fort_rule_bad(rule, FORT_DIAG_LDIMM_MAP, FORT_REGS, off, 0, 0,
				     map->value_bytes);
	if (off >= map->value_bytes)
		return fort_rule_bad(rule, FORT_DIAG_LDIMM_VALUE, FORT_REGS, off, 0, 0,
				     map->value_bytes);
	*dst = fort_rule_map_value(rule, index, 0);
	dst->num = fort_scalar_const((uint64_t)off);
	return true;
}

bool fort_rule_ldimm(struct fort_rule *rule)
{
	const struct fort_insn *insn = rule->insn;
	struct fort_value *dst = fort_rule_reg(rule, insn->dst);

	if (!fort_rule_writable(rule, insn->dst))
		return false;
	switch (insn->op) {
	case FORT_OP_CONST: *dst = fort_value_const((uint64_t)insn->imm); return true;
	case FORT_OP_FUNC: return fort_rule_ldimm_func(rule);
	case FORT_OP_MAP_IDX:
	case FORT_OP_MAP_IDX_VALUE:
		if ((uint32_t)insn->imm < rule->env->n_maps)
			return load_map(rule, dst);
		return fort_rule_bad(rule, FORT_DIAG_INSN_LATER, FORT_REGS, insn->imm, 0, 0, 0);
	case FORT_OP_BTF_VAR: return fort_rule_ldimm_variable(rule, dst);
	default: return fort_rule_bad(rule, FORT_DIAG_INSN_LATER, FORT_REGS, insn->imm, 0, 0, 0);
	}
}
