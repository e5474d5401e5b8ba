#include "verify/print.h"

#include <inttypes.h>

#include "step/relate.h"
#include "step/types.h"

/* --- numbers: decimal while they fit 16 bits, as the kernel does --- */

static void put_unsigned(struct fort_text *out, uint64_t value)
{
	fort_text_add(out, value <= UINT16_MAX ? "%" PRIu64 : "%#" PRIx64, value);
}

static void put_signed(struct fort_text *out, int64_t value)
{
	if (value >= INT16_MIN && value <= INT16_MAX)
		fort_text_add(out, "%" PRId64, value);
	else
		fort_text_add(out, "%#" PRIx64, (uint64_t)value);
}

/* One bound of one view. */
struct bound {
	const char *name;
	uint64_t value;
	bool omit, is_signed;
};

static uint64_t signed32(int32_t value)
{
	return value >= INT16_MIN && value <= INT16_MAX ? (uint64_t)(int64_t)value
							: (uint32_t)value;
}

static bool is_negative(const struct bound *bound)
{
	return bound->is_signed && (int64_t)bound->value < 0;
}

static void put_separated(struct fort_text *out, const char **separator)
{
	fort_text_add(out, "%s", *separator);
	*separator = ",";
}

/* Equal bounds share one number: "smin=smin32=0". Lower bounds are at even places. */
static void put_bounds(struct fort_text *out, struct bound *bounds, unsigned n,
		       const char **separator)
{
	for (unsigned i = 0; i < n; i++) {
		if (bounds[i].omit)
			continue;
		put_separated(out, separator);
		fort_text_add(out, "%s=", bounds[i].name);
		for (unsigned j = i + 2; j < n; j += 2) {
			if (bounds[j].omit || bounds[j].value != bounds[i].value ||
			    is_negative(&bounds[j]) != is_negative(&bounds[i]))
				continue;
			bounds[j].omit = true;
			fort_text_add(out, "%s=", bounds[j].name);
		}
		if (bounds[i].is_signed)
			put_signed(out, (int64_t)bounds[i].value);
		else
			put_unsigned(out, bounds[i].value);
	}
}

static void put_scalar(struct fort_text *out, const struct fort_scalar *num, const char **separator)
{
	int64_t smin = fort_scalar_smin(num), smax = fort_scalar_smax(num);
	uint64_t umin = fort_scalar_umin(num), umax = fort_scalar_umax(num);
	int32_t smin32 = fort_scalar_smin32(num), smax32 = fort_scalar_smax32(num);
	uint32_t umin32 = fort_scalar_umin32(num), umax32 = fort_scalar_umax32(num);
	struct bound bounds[] = {
		{"smin", (uint64_t)smin, smin == INT64_MIN, true},
		{"smax", (uint64_t)smax, smax == INT64_MAX, true},
		{"umin", umin, umin == 0, false},
		{"umax", umax, umax == UINT64_MAX, false},
		{"smin32", signed32(smin32), smin32 == INT32_MIN, true},
		{"smax32", signed32(smax32), smax32 == INT32_MAX, true},
		{"umin32", umin32, umin32 == 0, false},
		{"umax32", umax32, umax32 == UINT32_MAX, false},
	};

	put_bounds(out, bounds, FORT_LEN(bounds), separator);
	if (num->bits.mask == UINT64_MAX)
		return;
	put_separated(out, separator);
	fort_text_add(out, "var_off=(0x%" PRIx64 "; 0x%" PRIx64 ")", num->bits.value,
		      num->bits.mask);
}

/* --- values --- */

/* K: reg_type_str. In front of the name come words for flags, in this order. */
static const struct {
	uint16_t flag;
	const char *word;
} flag_words[] = {
	{FORT_RDONLY, "rdonly_"}, {FORT_USER, "user_"},           {FORT_PERCPU, "percpu_"},
	{FORT_RCU, "rcu_"},       {FORT_UNTRUSTED, "untrusted_"}, {FORT_TRUSTED, "trusted_"},
};

/* What is got from a map is of the map, until it is known not to be NULL. */
static bool is_element(const struct fort_value *value)
{
	return value->flags & FORT_MAYBE_NULL &&
	       (value->type == FORT_MAP || value->type == FORT_XDP_SOCK);
}

void fort_type_text(const struct fort_value *value, struct fort_text *out)
{
	struct fort_value plain = {.type = value->type};
	bool maybe_null = value->flags & FORT_MAYBE_NULL;

	if (is_element(value))
		plain.type = FORT_MAP_VALUE;
	for (unsigned i = 0; i < FORT_LEN(flag_words); i++)
		if (value->flags & flag_words[i].flag)
			fort_text_add(out, "%s", flag_words[i].word);
	fort_text_add(out, "%s", fort_regtype_text(fort_value_regtype(&plain)));
	if (maybe_null)
		fort_text_add(out, value->type == FORT_BTF ? "or_null_" : "_or_null");
}

static void put_map(const struct fort_env *env, const struct fort_print_names *names,
		    const struct fort_value *value, struct fort_text *out, const char **separator)
{
	const char *name = names && names->map ? names->map(names->context, value->object) : NULL;

	put_separated(out, separator);
	if (name && *name)
		fort_text_add(out, "map=%s,", name);
	fort_text_add(out, "ks=%u,vs=%u", env->maps[value->object].key_bytes,
		      env->maps[value->object].value_bytes);
}

/* A pointer's offset: the part known when the symbol was made, and the range of the rest. */
static void put_offset(const struct fort_state *state, const struct fort_value *value,
		       struct fort_text *out, const char **separator)
{
	bool known = fort_scalar_is_const(&value->num);
	int64_t fixed = known ? (int64_t)value->num.arc.base : value->sym ? value->delta : 0;
	struct fort_scalar rest = fort_scalar_plus(&value->num, fort_wrap_sub(0, fixed));
	bool packet = value->type == FORT_PACKET || value->type == FORT_PACKET_META;

	if (fixed) {
		put_separated(out, separator);
		fort_text_add(out, "off=");
		put_signed(out, fixed);
	}
	if (packet && state) {
		put_separated(out, separator);
		fort_text_add(out, "r=");
		put_signed(out, fort_wrap_add(fort_packet_proven(state, value), fixed));
	}
	if (value->type == FORT_RING_MEM || value->type == FORT_MEM) {
		put_separated(out, separator);
		fort_text_add(out, "sz=");
		put_unsigned(out, value->object);
	}
	if (!known)
		put_scalar(out, &rest, separator);
}

static bool names_symbol(const struct fort_value *value)
{
	return value->sym && (value->type == FORT_NUM || value->type == FORT_PACKET ||
			      value->type == FORT_PACKET_META);
}

void fort_value_text(const struct fort_env *env, const struct fort_print_names *names,
		     const struct fort_state *state, const struct fort_value *value, uint32_t frame,
		     struct fort_text *out)
{
	const char *separator = "";

	if (value->type == FORT_NUM && fort_scalar_is_const(&value->num)) {
		put_signed(out, (int64_t)value->num.arc.base);
		return;
	}
	fort_type_text(value, out);
	if (value->type == FORT_STACK) {
		if (value->frame != frame)
			fort_text_add(out, "[%u]", value->frame);
		if (fort_scalar_is_const(&value->num)) {
			put_signed(out, (int64_t)value->num.arc.base);
			return;
		}
	}
	fort_text_add(out, "(");
	if (value->id || names_symbol(value)) {
		put_separated(out, &separator);
		fort_text_add(out, "id=%u", value->id ? value->id : value->sym);
		if (value->type == FORT_NUM && value->delta)
			fort_text_add(out, "%+" PRId64, value->delta);
	}
	if (value->ref) {
		put_separated(out, &separator);
		fort_text_add(out, "ref_obj_id=%u", value->ref);
	}
	if (value->type == FORT_MAP || value->type == FORT_MAP_VALUE || value->type == FORT_MAP_KEY)
		put_map(env, names, value, out, &separator);
	if (value->type == FORT_NUM)
		put_scalar(out, &value->num, &separator);
	else
		put_offset(state, value, out, &separator);
	fort_text_add(out, ")");
}

/* --- frames --- */

static void put_slot(const struct fort_env *env, const struct fort_print_names *names,
		     const struct fort_state *state, const struct fort_slot *slot, uint32_t frame,
		     uint32_t index, struct fort_text *out)
{
	static const char kinds[] = {[FORT_BYTE_INVALID] = '?',
				     [FORT_BYTE_MISC] = 'm',
				     [FORT_BYTE_ZERO] = '0',
				     [FORT_BYTE_SPILL] = 'r'};
	unsigned spilled = fort_slot_spilled(slot);
	char bytes[9];
	bool written = false;

	for (unsigned i = 0; i < 8; i++) { /* highest address first */
		bytes[i] = kinds[slot->bytes[7 - i]];
		written |= slot->bytes[i] != FORT_BYTE_INVALID;
	}
	bytes[8 - spilled] = 0;
	if (!written)
		return;
	fort_text_add(out, " fp%d=%s", -8 * (int)(index + 1), bytes);
	if (spilled)
		fort_value_text(env, names, state, &slot->spill, frame, out);
}

void fort_frame_text(const struct fort_env *env, const struct fort_print_names *names,
		     const struct fort_state *state, uint32_t frame, uint16_t regs, uint64_t slots,
		     struct fort_text *out)
{
	const struct fort_frame *of = state->frames[frame];

	if (frame)
		fort_text_add(out, " frame%u:", frame);
	for (unsigned r = 0; r < FORT_REGS; r++) {
		if (!(regs >> r & 1) || of->regs[r].type == FORT_NONE)
			continue;
		fort_text_add(out, " R%u=", r);
		fort_value_text(env, names, state, &of->regs[r], frame, out);
	}
	for (uint32_t s = 0; s < of->n_slots; s++)
		if (slots >> s & 1)
			put_slot(env, names, state, &of->slots[s], frame, s, out);
	for (uint32_t i = 0; i < state->n_refs; i++)
		fort_text_add(out, "%s%u", i ? "," : " refs=", state->refs[i].id);
}

void fort_range_text(const struct fort_scalar *num, struct fort_text *out)
{
	int64_t low = fort_scalar_smin(num), high = fort_scalar_smax(num);

	if (low == high)
		fort_text_add(out, "%" PRId64, low);
	else if (low == INT64_MIN && high == INT64_MAX)
		fort_text_add(out, "unknown");
	else if (low >= 0 && high == INT64_MAX)
		fort_text_add(out, "[%" PRId64 ", 2^63)", low);
	else if (low == INT64_MIN)
		fort_text_add(out, "[-2^63, %" PRId64 "]", high);
	else
		fort_text_add(out, "[%" PRId64 ", %" PRId64 "]", low, high);
}
