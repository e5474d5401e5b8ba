#include "random_types.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMBERS 8

uint32_t random_below(uint64_t *state, uint32_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*state >> 33) % below);
}

static uint32_t pick(struct random_types *t, uint32_t below)
{
	return random_below(&t->state, below);
}

static int good(int id)
{
	if (id < 0)
		abort();
	return id;
}

static void make_numbers(struct random_types *t)
{
	struct btf *btf = t->btf;

	good(btf__add_int(btf, "char", 1, BTF_INT_SIGNED));
	good(btf__add_int(btf, "short", 2, BTF_INT_SIGNED));
	good(btf__add_int(btf, "int", 4, BTF_INT_SIGNED));
	good(btf__add_int(btf, "long", 8, 0));
	good(btf__add_enum(btf, "color", 4));
	good(btf__add_enum_value(btf, "RED", 1));
	good(btf__add_float(btf, "double", 8));
	good(btf__add_fwd(btf, "elsewhere", BTF_FWD_STRUCT));
	good(btf__add_func_proto(btf, 3));
}

/* Wraps a type in what C wraps types in. */
static int wrap(struct random_types *t, int id)
{
	struct btf *btf = t->btf;
	char name[32];

	switch (pick(t, 12)) {
	case 0: return good(btf__add_const(btf, id));
	case 1: return good(btf__add_volatile(btf, id));
	case 2:
		snprintf(name, sizeof(name), "t%d", id);
		return good(btf__add_typedef(btf, name, id));
	case 3: return good(btf__add_array(btf, 3, id, 1 + pick(t, 4)));
	case 4:
		return good(btf__add_array(btf, 3, good(btf__add_array(btf, 3, id, 1 + pick(t, 3))),
					   pick(t, 4)));
	case 5: return good(btf__add_ptr(btf, id));
	case 6: return good(btf__add_ptr(btf, good(btf__add_const(btf, pick(t, 4) ? id : 0))));
	default: return id;
	}
}

/* A type that a member may have: a number, or one that was made before. */
static int member_type(struct random_types *t)
{
	uint32_t count = btf__type_cnt(t->btf);

	for (;;) {
		int id = (int)(1 + pick(t, count - 1));

		if (pick(t, 2))
			id = (int)(1 + pick(t, 6));
		if (btf__resolve_size(t->btf, (uint32_t)id) < 0)
			id = good(btf__add_ptr(t->btf, id));
		id = wrap(t, id);
		if (btf__resolve_size(t->btf, (uint32_t)id) >= 0 &&
		    btf__resolve_size(t->btf, (uint32_t)id) < 4096)
			return id;
	}
}

static void make_struct(struct random_types *t, unsigned number)
{
	bool is_union = !pick(t, 4), has_bits = !pick(t, 3);
	uint32_t vlen = 1 + pick(t, MEMBERS), at = 0, most = 0;
	int members[MEMBERS], id;
	char name[32];

	for (uint32_t i = 0; i < vlen; i++)
		members[i] = member_type(t);
	if (!is_union && !pick(t, 3)) /* struct s { ...; struct e last[]; } */
		members[vlen - 1] = good(btf__add_array(t->btf, 3, member_type(t), 0));
	snprintf(name, sizeof(name), "s%u", number);
	id = good(is_union ? btf__add_union(t->btf, name, 0) : btf__add_struct(t->btf, name, 0));
	for (uint32_t i = 0; i < vlen; i++) {
		int64_t bytes = btf__resolve_size(t->btf, (uint32_t)members[i]);
		bool bits = has_bits && members[i] == 3 && pick(t, 2);
		uint32_t width = bits ? 1 + pick(t, 20) : 0;

		if (!bits)
			at = (at + 63) / 64 * 64; /* to a multiple of 8 bytes: right for all */
		if (bits && at % 32 + width > 32)
			at = (at + 31) / 32 * 32;
		if (is_union)
			at = 0;
		snprintf(name, sizeof(name), "m%u", i);
		good(btf__add_field(t->btf, pick(t, 5) ? name : NULL, members[i], at, width));
		at += bits ? width : (uint32_t)bytes * 8;
		if (at > most)
			most = at;
	}
	/* libbpf has no call to say it later. Never 0: the verifier of 6.18 divides by the size of
	 * what an array without length has as elements. */
	((struct btf_type *)(uintptr_t)btf__type_by_id(t->btf, (uint32_t)id))->size =
		(most + 7) / 8 + (most ? 8 * pick(t, 2) : 8);
}

void random_types_make(struct random_types *t, unsigned count)
{
	int context, proto;

	t->btf = btf__new_empty();
	if (!t->btf)
		abort();
	make_numbers(t);
	for (unsigned i = 0; i < count; i++)
		make_struct(t, i);
	context = good(btf__add_ptr(t->btf, 0));
	proto = good(btf__add_func_proto(t->btf, 3));
	good(btf__add_func_param(t->btf, "ctx", context));
	t->func = good(btf__add_func(t->btf, "main", BTF_FUNC_STATIC, proto));
}
