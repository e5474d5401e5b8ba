#include "engine/x64_value.h"

#include <string.h>

/* A register that is the same as `reg`, among those whose sums may have it. */
static uint8_t copy_of(const struct fort_x64_values *values, uint8_t reg, uint16_t among)
{
	for (; among; among &= (uint16_t)(among - 1)) {
		uint8_t other = (uint8_t)__builtin_ctz(among);
		const struct fort_x64_value *value = &values->of[other];

		if (value->is_sum && value->sum.exact && value->sum.base == reg &&
		    fort_x64_sum_is_register(&value->sum))
			return other;
	}
	return FORT_X64_NO_REG;
}

static void rename(struct fort_x64_values *values, struct fort_x64_sum *sum, uint8_t from,
		   uint8_t to)
{
	if (sum->base == from) {
		sum->base = to;
		sum->base_version = values->of[to].version;
	}
	if (sum->index == from) {
		sum->index = to;
		sum->index_version = values->of[to].version;
	}
}

void fort_x64_let_go(struct fort_x64_values *values, uint8_t reg)
{
	uint16_t among = values->mentioned[reg];
	uint8_t copy = copy_of(values, reg, among);

	values->mentioned[reg] = 0;
	for (; among; among &= (uint16_t)(among - 1)) {
		uint8_t other = (uint8_t)__builtin_ctz(among);
		struct fort_x64_value *value = &values->of[other];

		if (!value->is_sum || !fort_x64_sum_names(&value->sum, reg))
			continue;
		value->is_sum = copy != FORT_X64_NO_REG && copy != other;
		if (!value->is_sum)
			continue;
		rename(values, &value->sum, reg, copy);
		values->mentioned[copy] |= (uint16_t)(1u << other);
	}
}

void fort_x64_set_sum(struct fort_x64_values *values, uint8_t reg, const struct fort_x64_sum *sum)
{
	uint16_t bit = (uint16_t)(1u << reg);

	if (fort_x64_sum_names(sum, reg))
		return;
	values->of[reg].is_sum = true;
	values->of[reg].sum = *sum;
	if (sum->base != FORT_X64_NO_REG)
		values->mentioned[sum->base] |= bit;
	if (sum->index != FORT_X64_NO_REG)
		values->mentioned[sum->index] |= bit;
}

struct fort_x64_value *fort_x64_define_sum(struct fort_x64_values *values, uint8_t reg,
					   const struct fort_x64_sum *sum)
{
	struct fort_x64_value *value = fort_x64_define(values, reg);

	fort_x64_set_sum(values, reg, sum);
	return value;
}

void fort_x64_values_join(struct fort_x64_values *values, const uint8_t known[FORT_REGS])
{
	memset(values->mentioned, 0, sizeof(values->mentioned));
	for (uint8_t reg = 0; reg < FORT_REGS; reg++) {
		struct fort_x64_value *value = fort_x64_define(values, reg);

		value->used = true;
		value->width = known[reg] == FORT_X64_LOW_HALF ? 32 : 64;
		value->is_constant = known[reg] >= FORT_X64_MAP && known[reg] < FORT_X64_UNREACHED;
		if (value->is_constant)
			value->constant = (int64_t)fort_map_handle(known[reg] - FORT_X64_MAP);
	}
	values->last_effect = 0;
	fort_x64_spills_forget(values);
}

static bool still(const struct fort_x64_values *values, uint8_t reg, uint32_t version)
{
	return reg == FORT_X64_NO_REG || values->of[reg].version == version;
}

bool fort_x64_sum_holds(const struct fort_x64_values *values, const struct fort_x64_sum *sum)
{
	return still(values, sum->base, sum->base_version) &&
	       still(values, sum->index, sum->index_version);
}

bool fort_x64_sum_add(struct fort_x64_sum *to, const struct fort_x64_sum *other)
{
	struct fort_x64_sum sum, with;

	if (to->base != FORT_X64_NO_REG && fort_x64_sum_is_constant(other)) {
		to->exact &= other->exact;
		return fort_x64_sum_add_constant(to, other->disp);
	}
	sum = *to;
	with = *other;
	if (sum.base == FORT_X64_NO_REG ||
	    (sum.index == FORT_X64_NO_REG && with.index != FORT_X64_NO_REG && with.scale)) {
		sum = *other;
		with = *to;
	}
	sum.exact &= with.exact;
	fort_x64_sum_add_constant(&sum, with.disp);
	if (with.base == FORT_X64_NO_REG && with.index == FORT_X64_NO_REG) {
		*to = sum;
		return true;
	}
	if (with.base != FORT_X64_NO_REG && with.index != FORT_X64_NO_REG)
		return false;
	if (sum.base == FORT_X64_NO_REG) { /* both are scaled, or constants */
		if (with.base == FORT_X64_NO_REG)
			return false;
		sum.base = with.base;
		sum.base_version = with.base_version;
		*to = sum;
		return true;
	}
	if (sum.index != FORT_X64_NO_REG)
		return false;
	if (with.base != FORT_X64_NO_REG) {
		sum.index = with.base;
		sum.index_version = with.base_version;
		sum.scale = 0;
	} else {
		sum.index = with.index;
		sum.index_version = with.index_version;
		sum.scale = with.scale;
	}
	*to = sum;
	return true;
}

bool fort_x64_sum_shift(struct fort_x64_sum *to, unsigned by)
{
	struct fort_x64_sum sum = *to;
	int64_t disp = (int64_t)((uint64_t)(int64_t)sum.disp << by);

	if (sum.base != FORT_X64_NO_REG && sum.index == FORT_X64_NO_REG) {
		sum.index = sum.base;
		sum.index_version = sum.base_version;
		sum.base = FORT_X64_NO_REG;
		sum.scale = 0;
	}
	if (sum.base != FORT_X64_NO_REG || sum.index == FORT_X64_NO_REG || sum.scale + by > 3)
		return false;
	sum.scale = (uint8_t)(sum.scale + by);
	sum.exact &= disp == (int32_t)disp;
	sum.disp = (int32_t)disp;
	*to = sum;
	return true;
}

void fort_x64_spills_forget(struct fort_x64_values *values)
{
	values->n_spills = 0;
}

static bool overlap(const struct fort_x64_spill *spill, int32_t disp, unsigned bits)
{
	return spill->disp < disp + (int32_t)(bits / 8) && disp < spill->disp + spill->bits / 8;
}

void fort_x64_spill(struct fort_x64_values *values, const struct fort_x64_op *store)
{
	uint32_t n = values->n_spills < FORT_X64_SPILLS ? values->n_spills : FORT_X64_SPILLS;

	for (unsigned i = 0; i < n; i++)
		if (overlap(&values->spills[i], store->disp, store->bits))
			values->spills[i].bits = 0;
	values->spills[values->n_spills++ % FORT_X64_SPILLS] = (struct fort_x64_spill){
		.disp = store->disp,
		.bits = store->bits,
		.reg = store->a,
		.version = store->a == FORT_X64_NO_REG ? 0 : values->of[store->a].version,
		.constant = store->imm};
}

const struct fort_x64_spill *fort_x64_spilled_at(const struct fort_x64_values *values,
						 const struct fort_x64_op *op)
{
	uint32_t n = values->n_spills < FORT_X64_SPILLS ? values->n_spills : FORT_X64_SPILLS;

	if (!n || !fort_x64_in_frame(op, op->bits))
		return NULL;
	for (unsigned i = 0; i < n; i++) {
		const struct fort_x64_spill *spill = &values->spills[i];

		if (spill->bits == op->bits && spill->disp == op->disp &&
		    still(values, spill->reg, spill->version))
			return spill;
	}
	return NULL;
}

bool fort_x64_spill_uncover(struct fort_x64_values *values, const struct fort_x64_op *op,
			    uint32_t version)
{
	uint32_t n = values->n_spills < FORT_X64_SPILLS ? values->n_spills : FORT_X64_SPILLS;

	for (unsigned i = 0; i < n && fort_x64_in_frame(op, op->bits); i++) {
		struct fort_x64_spill *spill = &values->spills[i];

		if (spill->bits != op->bits || spill->disp != op->disp || spill->reg != FORT_R1 ||
		    spill->version != version)
			continue;
		spill->version = values->of[FORT_R1].version;
		return true;
	}
	return false;
}
