/* The stack: bytes, spilled values, accesses at a variable offset. */
#include "step/slots.h"

/* Slot i holds the bytes from fp - 8 (i + 1). */
static uint32_t slot_of(int32_t off)
{
	return (uint32_t)(-off - 1) / 8;
}

static unsigned byte_of(int32_t off)
{
	return (unsigned)((uint32_t)off % 8);
}

/* The first byte of the next slot upwards, or `high`: accesses are looked at slot by slot. */
static int32_t next_slot(int32_t off, int32_t high)
{
	int32_t next = (off | 7) + 1;

	return next < high ? next : high;
}

static bool stack_bad(struct fort_rule *rule, const struct fort_reach *reach, int64_t low,
		      enum fort_diag diag)
{
	return fort_rule_bad(rule, diag, reach->reg, low, reach->bytes, reach->write,
			     reach->helper);
}

static void note_depth(struct fort_rule *rule, uint32_t subprog, uint32_t bytes)
{
	uint32_t *most = &rule->env->stacks[subprog];

	*most = bytes > *most ? bytes : *most;
}

/* Where the access ends at most. With a size, its sum with the address may be known better than
 * both. */
static int64_t end_of(const struct fort_rule *rule, const struct fort_reach *reach, int64_t high)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	int64_t end = high + (int64_t)reach->bytes, sum;

	if (!reach->size)
		return end;
	sum = fort_relate_most(rule->state, base, reach->size, NULL);
	return sum < end ? sum : end;
}

static bool may_read_unwritten(const struct fort_rule *rule)
{
	const uint32_t uninit = FORT_MAY_READ_UNINIT_STACK | FORT_MAY_LEAK_POINTERS;

	return (rule->env->rights & uninit) == uninit;
}

bool fort_rule_in_stack(struct fort_rule *rule, const struct fort_reach *reach,
			struct fort_stack_reach *where)
{
	const struct fort_value *base = fort_rule_reg(rule, reach->reg);
	struct fort_frame *frame = rule->state->frames[base->frame];
	bool known = fort_scalar_is_const(&base->num);
	int64_t low = fort_wrap_add((int64_t)base->num.arc.base, reach->off), high = low, end;

	if (FORT_UNLIKELY(!known)) {
		struct fort_scalar at = fort_scalar_plus(&base->num, reach->off);

		low = fort_scalar_smin(&at);
		high = fort_scalar_smax(&at);
	}
	if (!reach->bytes && !reach->zero_ok)
		return stack_bad(rule, reach, low, FORT_DIAG_ZERO_READ);
	end = high > 0 ? high : end_of(rule, reach, high);
	if (low < -(int64_t)FORT_STACK_BYTES || end > 0 || low == 0) {
		if (known)
			return stack_bad(rule, reach, low, FORT_DIAG_STACK_BOUNDS);
		if (high >= (int64_t)FORT_PTR_OFFSET_MAX || low <= -(int64_t)FORT_PTR_OFFSET_MAX)
			return stack_bad(rule, reach, low, FORT_DIAG_STACK_UNBOUNDED);
		return stack_bad(rule, reach, low, FORT_DIAG_STACK_VAR_BOUNDS);
	}
	/* K: deeper than anything was written (check_stack_slot_within_bounds). */
	if (!reach->write && reach->bytes && slot_of((int32_t)low) >= frame->n_slots &&
	    !may_read_unwritten(rule))
		return stack_bad(rule, reach, low, FORT_DIAG_STACK_UNTOUCHED);
	if (!fort_frame_touch(rule->pool, frame, slot_of((int32_t)low) + 1))
		return fort_rule_no_memory(rule);
	note_depth(rule, frame->subprog, 8 * (slot_of((int32_t)low) + 1));
	*where = (struct fort_stack_reach){
		.frame = frame, .low = (int32_t)low, .high = (int32_t)end, .fixed = low == high};
	return true;
}

/* --- slots --- */

/* A write into part of a slot ends what was spilled there: its bytes become plain ones. */
static void break_spill(struct fort_slot *slot)
{
	for (unsigned i = 0; i < 8; i++)
		if (slot->bytes[i] == FORT_BYTE_SPILL)
			slot->bytes[i] = FORT_BYTE_MISC;
	slot->spill = (struct fort_value){0};
}

static void spill(struct fort_slot *slot, const struct fort_value *value, uint32_t bytes)
{
	if (bytes == 8) {
		memset(slot->bytes, FORT_BYTE_SPILL, 8);
		slot->spill = *value;
		return;
	}
	break_spill(slot);
	memset(slot->bytes, FORT_BYTE_SPILL, bytes);
	slot->spill = *value;
	if (fort_scalar_umax(&value->num) >= 1ull << (8 * bytes))
		slot->spill = fort_value_number(fort_scalar_truncate(&value->num, 8 * bytes));
}

/* --- loads --- */

/* Bytes that a helper wrote are remembered when so many are read at once; fewer are flags and
 * characters, which are looked at where they are read. */
#define REMEMBERED_LEAST 4u

/* A load of `bytes` from the start of a spilled value: what is the same stays related. */
static struct fort_value fill(struct fort_rule *rule, struct fort_slot *slot, unsigned spilled,
			      uint32_t bytes)
{
	struct fort_value *value = &slot->spill;

	if (bytes == spilled ||
	    (value->type == FORT_NUM && fort_scalar_umax(&value->num) < 1ull << (8 * bytes))) {
		fort_rule_name(rule, value);
		return *value;
	}
	return fort_value_number(fort_scalar_truncate(&value->num, 8 * bytes));
}

/* Numbers in all bytes, or zeroes: the common case. */
static bool is_plain(const struct fort_slot *slot)
{
	uint64_t marks = fort_slot_marks(slot);

	return marks == fort_marks_of(FORT_BYTE_MISC) || marks == fort_marks_of(FORT_BYTE_ZERO) ||
	       (marks == fort_marks_of(FORT_BYTE_SPILL) && slot->spill.type == FORT_NUM);
}

/* May byte `off` be read as part of a number? A byte of a pointer needs the right to leak it; so
 * does one that was never written, because a function that ended may have left a pointer there. */
static bool byte_readable(struct fort_rule *rule, const struct fort_reach *reach,
			  const struct fort_stack_reach *where, int32_t off, bool may_leak)
{
	const struct fort_slot *slot = &where->frame->slots[slot_of(off)];
	uint8_t byte = slot->bytes[byte_of(off)];

	if (byte == FORT_BYTE_INVALID && !may_read_unwritten(rule))
		return fort_rule_bad(rule,
				     reach->helper ? FORT_DIAG_STACK_ARG_UNINIT
						   : FORT_DIAG_STACK_UNINIT,
				     reach->reg, where->low, reach->bytes, 0, off - where->low);
	if (byte == FORT_BYTE_OBJECT)
		return fort_rule_bad(rule,
				     reach->helper ? FORT_DIAG_STACK_ARG_OBJECT
						   : FORT_DIAG_STACK_OBJECT,
				     reach->reg, where->low, reach->bytes, 0, off - where->low);
	if (byte != FORT_BYTE_SPILL || !fort_value_is_pointer(&slot->spill) || may_leak)
		return true;
	if (reach->helper)
		return fort_rule_bad(rule, FORT_DIAG_STACK_ARG_POINTER, reach->reg, where->low,
				     reach->bytes, 0, off - where->low);
	fort_rule_bad(rule, FORT_DIAG_STACK_READ, reach->reg, where->low, reach->bytes, 0,
		      off - where->low);
	rule->out->violation.value = slot->spill;
	return false;
}

/* Is the byte surely zero? */
static bool byte_is_zero(const struct fort_stack_reach *where, int32_t off)
{
	const struct fort_slot *slot = &where->frame->slots[slot_of(off)];
	uint8_t byte = slot->bytes[byte_of(off)];

	if (byte == FORT_BYTE_SPILL)
		return slot->spill.type == FORT_NUM && fort_scalar_umax(&slot->spill.num) == 0;
	return byte == FORT_BYTE_ZERO;
}

/* Every byte of [low, high) as a number: all zero, or unknown. A byte of a pointer is refused where
 * it is surely read; as one of several possible bytes it is a number like any other. */
static bool load_bytes(struct fort_rule *rule, const struct fort_reach *reach,
		       const struct fort_stack_reach *where, struct fort_value *out)
{
	bool may_leak = !where->fixed && (rule->env->rights & FORT_MAY_LEAK_POINTERS);
	bool zero = true;

	for (int32_t off = where->low; off < where->high; off++) {
		if (!byte_readable(rule, reach, where, off, may_leak))
			return false;
		zero &= byte_is_zero(where, off);
	}
	*out = zero ? fort_value_const(0)
		    : fort_value_number(fort_scalar_of_width(reach->bytes * 8));
	return true;
}

/* Bytes at the start of a slot of which no more is known than that they are numbers: what is read
 * now is what will be read as long as nobody writes there. So the slot holds it from here on. */
static void remember(struct fort_rule *rule, struct fort_slot *slot, struct fort_value *value,
		     uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		if (slot->bytes[i] != FORT_BYTE_MISC)
			return;
	fort_rule_name(rule, value);
	spill(slot, value, bytes);
}

bool fort_stack_load(struct fort_rule *rule, const struct fort_reach *reach,
		     const struct fort_stack_reach *where, struct fort_value *out)
{
	struct fort_slot *slot = &where->frame->slots[slot_of(where->low)];
	unsigned spilled = fort_slot_spilled(slot);
	bool whole = where->fixed && !byte_of(where->low) && spilled >= reach->bytes;
	bool inside = where->fixed && slot_of(where->low) == slot_of(where->high - 1);

	if (inside && spilled == 8 && fort_value_is_pointer(&slot->spill) && reach->bytes != 8) {
		fort_rule_bad(rule, FORT_DIAG_FILL_SIZE, reach->reg, where->low, reach->bytes, 0,
			      0);
		rule->out->violation.value = slot->spill;
		return false;
	}
	if (whole) {
		*out = fill(rule, slot, spilled, reach->bytes);
		return true;
	}
	if (!load_bytes(rule, reach, where, out))
		return false;
	if (inside && reach->bytes >= REMEMBERED_LEAST && !byte_of(where->low))
		remember(rule, slot, out, reach->bytes);
	return true;
}

bool fort_stack_known(const struct fort_reach *reach, const struct fort_stack_reach *where,
		      uint64_t *out)
{
	const struct fort_slot *slot = &where->frame->slots[slot_of(where->low)];
	bool zero = true;

	if (where->fixed && !byte_of(where->low) && fort_slot_spilled(slot) >= reach->bytes &&
	    reach->bytes <= 8 && fort_value_known(&slot->spill, out)) {
		*out &= reach->bytes == 8 ? UINT64_MAX : (1ull << (8 * reach->bytes)) - 1;
		return true;
	}
	for (int32_t off = where->low; off < where->high; off++)
		zero &= byte_is_zero(where, off);
	*out = 0;
	return zero;
}

bool fort_stack_readable(struct fort_rule *rule, const struct fort_reach *reach,
			 const struct fort_stack_reach *where)
{
	bool may_leak = rule->env->rights & FORT_MAY_LEAK_POINTERS;

	for (int32_t off = where->low; off < where->high;) {
		int32_t next = next_slot(off, where->high);

		if (is_plain(&where->frame->slots[slot_of(off)]))
			off = next;
		for (; off < next; off++)
			if (!byte_readable(rule, reach, where, off, may_leak))
				return false;
	}
	return true;
}

/* --- stores --- */

static bool is_zero(const struct fort_value *value)
{
	uint64_t number;

	return fort_value_known(value, &number) && !number;
}

/* A zero somewhere: what is zero stays so. */
static void store_zero(const struct fort_stack_reach *where)
{
	for (int32_t off = where->low; off < where->high; off++) {
		struct fort_slot *slot = &where->frame->slots[slot_of(off)];
		uint8_t *byte = &slot->bytes[byte_of(off)];

		if (byte_is_zero(where, off))
			continue;
		break_spill(slot);
		if (*byte != FORT_BYTE_INVALID)
			*byte = FORT_BYTE_MISC;
	}
}

void fort_stack_clobber(const struct fort_stack_reach *where)
{
	for (int32_t off = where->low; off < where->high;) {
		struct fort_slot *slot = &where->frame->slots[slot_of(off)];
		int32_t next = next_slot(off, where->high);

		break_spill(slot);
		/* A byte that only may have been written keeps "never written" if it was so. */
		for (; off < next; off++)
			if (where->fixed || slot->bytes[byte_of(off)] != FORT_BYTE_INVALID)
				slot->bytes[byte_of(off)] = FORT_BYTE_MISC;
	}
}

/* Fixed bytes that do not start a slot: zeroes are worth remembering, nothing else is. */
static void store_bytes(const struct fort_stack_reach *where, const struct fort_value *value)
{
	bool zero = is_zero(value);

	fort_stack_clobber(where);
	for (int32_t off = where->low; zero && off < where->high; off++)
		where->frame->slots[slot_of(off)].bytes[byte_of(off)] = FORT_BYTE_ZERO;
}

/* Is all of the slot overwritten at once? */
static bool covers_slot(const struct fort_reach *reach, const struct fort_stack_reach *where,
			int32_t off)
{
	int32_t start = -8 * (int32_t)(slot_of(off) + 1);

	return !reach->helper && where->fixed && where->low <= start && start + 8 <= where->high;
}

bool fort_stack_breakable(struct fort_rule *rule, const struct fort_reach *reach,
			  const struct fort_stack_reach *where)
{
	if (rule->env->rights & FORT_MAY_LEAK_POINTERS)
		return true;
	for (int32_t off = where->low; off < where->high; off = next_slot(off, where->high)) {
		const struct fort_slot *slot = &where->frame->slots[slot_of(off)];

		if (slot->bytes[0] != FORT_BYTE_SPILL || !fort_value_is_pointer(&slot->spill) ||
		    covers_slot(reach, where, off))
			continue;
		fort_rule_bad(rule,
			      where->fixed ? FORT_DIAG_SPILL_BROKEN : FORT_DIAG_SPILL_VARIABLE,
			      reach->reg, off, reach->bytes, 1, where->low);
		rule->out->violation.value = slot->spill;
		return false;
	}
	return true;
}

/* Is something there, or put there, that is not just bytes? */
static bool changes_kind(const struct fort_stack_reach *where, const struct fort_value *value)
{
	if (fort_value_is_pointer(value))
		return true;
	for (int32_t off = where->low; off < where->high; off++) {
		uint8_t byte = where->frame->slots[slot_of(off)].bytes[byte_of(off)];

		if (byte != FORT_BYTE_MISC && byte != FORT_BYTE_ZERO)
			return true;
	}
	return false;
}

bool fort_stack_store(struct fort_rule *rule, const struct fort_reach *reach,
		      const struct fort_stack_reach *where, const struct fort_value *value)
{
	bool pointer = fort_value_is_pointer(value);
	bool starts = where->fixed && !byte_of(where->low);

	if (pointer && where->fixed && reach->bytes != 8)
		return fort_rule_bad(rule, FORT_DIAG_SPILL_SIZE, rule->insn->src, where->low,
				     reach->bytes, 1, 0);
	if (value->type == FORT_STACK && where->frame != fort_state_top(rule->state))
		return fort_rule_bad(rule, FORT_DIAG_SPILL_TO_CALLER, rule->insn->src, where->low,
				     reach->bytes, 1, 0);
	if (!fort_stack_breakable(rule, reach, where) || !fort_slots_overwrite(rule, where))
		return false;
	if (changes_kind(where, value))
		fort_rule_barrier(rule, FORT_BARRIER_AFTER);
	if (starts)
		spill(&where->frame->slots[slot_of(where->low)], value, reach->bytes);
	else if (where->fixed)
		store_bytes(where, value);
	else if (is_zero(value))
		store_zero(where);
	else
		fort_stack_clobber(where);
	return true;
}
