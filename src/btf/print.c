#include "btf/print.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "btf/blob.h"

/* A struct, section or array whose parts are being walked. */
struct frame {
	struct fort_btf_type type;
	uint64_t start_bits;
	uint32_t next, count;            /* parts done, parts */
	uint32_t element, element_bytes; /* of arrays */
};

struct walk {
	const struct fort_btf *btf;
	const uint8_t *data;
	uint64_t bits; /* of data */
	const struct fort_btf_emitter *emitter;
	void *owner;
	uint32_t steps;
	uint32_t depth;
	struct frame frames[FORT_BTF_DEPTH_MAX];
};

#define EMIT(walk, what, ...) \
	((walk)->emitter->what ? (walk)->emitter->what((walk)->owner, ##__VA_ARGS__) : 0)

static int spend(struct walk *walk, uint32_t steps)
{
	if (steps > FORT_BTF_WALK_MAX - walk->steps)
		return -E2BIG;
	walk->steps += steps;
	return 0;
}

struct word {
	uint64_t low, high;
};

/* Bits [start, start + count), little-endian: 128 at most, more only a kernel's unchecked BTF has.
 */
static int read_bits(const struct walk *walk, uint64_t start, uint32_t count, struct word *out)
{
	struct word word = {0};

	if (count > 128)
		return -EINVAL;
	if (start > walk->bits || count > walk->bits - start)
		return -EMSGSIZE;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t bit = walk->data[(start + i) / 8] >> (start + i) % 8 & 1;

		if (i < 64)
			word.low |= bit << i;
		else
			word.high |= bit << (i - 64);
	}
	*out = word;
	return 0;
}

static int64_t sign_extend(uint64_t value, uint32_t bits)
{
	return bits && bits < 64 ? (int64_t)(value << (64 - bits)) >> (64 - bits) : (int64_t)value;
}

static bool is_char(const struct fort_btf *btf, const struct fort_btf_type *type)
{
	struct fort_btf_int number;

	if (type->kind != FORT_BTF_INT || type->size != 1)
		return false;
	number = fort_btf_int(type);
	return number.bits == 8 && (number.encoding == FORT_BTF_CHAR ||
				    !strcmp(fort_btf_string(btf, type->name), "char"));
}

static int walk_int(struct walk *walk, const struct fort_btf_type *type, uint64_t start,
		    uint32_t bit_size)
{
	struct fort_btf_int number = fort_btf_int(type);
	uint32_t bits = bit_size ? bit_size : number.bits;
	bool is_signed = number.encoding == FORT_BTF_SIGNED;
	struct word word;
	int err = read_bits(walk, start + number.bit_offset, bits, &word);

	if (err)
		return err;
	if (bits > 64)
		return EMIT(walk, wide, word.high, word.low, is_signed);
	if (number.encoding == FORT_BTF_BOOL)
		return EMIT(walk, boolean, word.low != 0);
	if (!bit_size && is_char(walk->btf, type) && word.low >= ' ' && word.low <= '~')
		return EMIT(walk, character, (char)word.low);
	if (is_signed)
		return EMIT(walk, number, sign_extend(word.low, bits));
	return EMIT(walk, unsigned_number, word.low);
}

static int walk_enum(struct walk *walk, const struct fort_btf_type *type, uint64_t start,
		     uint32_t bit_size)
{
	uint32_t bits = bit_size ? bit_size : type->size * 8;
	struct word word;
	int err = read_bits(walk, start, bits, &word);

	if (!err)
		err = spend(walk, type->vlen);
	if (err)
		return err;
	if (type->kflag)
		word.low = (uint64_t)sign_extend(word.low, bits);
	for (uint32_t i = 0; i < type->vlen; i++) {
		struct fort_btf_constant constant = fort_btf_constant(type, i);

		if (constant.value == word.low)
			return EMIT(walk, constant, fort_btf_string(walk->btf, constant.name),
				    (int64_t)word.low);
	}
	if (type->kflag)
		return EMIT(walk, number, (int64_t)word.low);
	return EMIT(walk, unsigned_number, word.low);
}

static int raw(struct walk *walk, uint64_t start, uint32_t bytes)
{
	if (start % 8 || start > walk->bits || bytes > (walk->bits - start) / 8)
		return -EMSGSIZE;
	return EMIT(walk, raw, walk->data + start / 8, bytes);
}

static int walk_float(struct walk *walk, const struct fort_btf_type *type, uint64_t start)
{
	struct word word;
	double real;
	float single;
	int err;

	if (type->size != 4 && type->size != 8)
		return raw(walk, start, type->size);
	err = read_bits(walk, start, type->size * 8, &word);
	if (err)
		return err;
	if (type->size == 4) {
		memcpy(&single, &word.low, sizeof(single));
		real = (double)single;
	} else {
		memcpy(&real, &word.low, sizeof(real));
	}
	return EMIT(walk, real, real);
}

static int walk_string(struct walk *walk, uint64_t start, uint32_t bytes)
{
	const char *text = (const char *)walk->data + start / 8;

	if (start % 8 || start > walk->bits || bytes > (walk->bits - start) / 8)
		return -EMSGSIZE;
	return EMIT(walk, string, text, strnlen(text, bytes));
}

static int open_frame(struct walk *walk, struct frame frame)
{
	if (walk->depth == FORT_LEN(walk->frames))
		return -E2BIG;
	walk->frames[walk->depth++] = frame;
	if (frame.type.kind == FORT_BTF_ARRAY)
		return EMIT(walk, open_array, frame.count);
	return EMIT(walk, open_struct, fort_btf_string(walk->btf, frame.type.name));
}

static int walk_array(struct walk *walk, const struct fort_btf_type *type, uint64_t start)
{
	struct fort_btf_array array = fort_btf_array(type);
	struct fort_btf_type element;
	uint32_t bytes;

	element = fort_btf_sized(walk->btf, &array.element, &bytes);
	if (element.kind == FORT_BTF_NONE)
		return -EINVAL;
	if (is_char(walk->btf, &element))
		return walk_string(walk, start, array.count);
	return open_frame(walk, (struct frame){.type = *type,
					       .start_bits = start,
					       .count = array.count,
					       .element = array.element,
					       .element_bytes = bytes});
}

/* One value; structs and arrays are only opened. `bit_size` of bit fields, else 0. */
static int walk_value(struct walk *walk, uint32_t id, uint64_t start, uint32_t bit_size)
{
	struct fort_btf_type type = fort_btf_sized(walk->btf, &id, NULL);
	struct word word;
	int err = spend(walk, 1);

	if (err)
		return err;
	switch (type.kind) {
	case FORT_BTF_INT: return walk_int(walk, &type, start, bit_size);
	case FORT_BTF_ENUM:
	case FORT_BTF_ENUM64: return walk_enum(walk, &type, start, bit_size);
	case FORT_BTF_FLOAT: return walk_float(walk, &type, start);
	case FORT_BTF_ARRAY: return walk_array(walk, &type, start);
	case FORT_BTF_PTR:
		err = read_bits(walk, start, 64, &word);
		return err ? err : EMIT(walk, pointer, word.low);
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION:
	case FORT_BTF_DATASEC:
		return open_frame(walk, (struct frame){.type = type,
						       .start_bits = start,
						       .count = type.vlen});
	default: return -EINVAL;
	}
}

static int walk_member(struct walk *walk, const struct frame *frame)
{
	struct fort_btf_member member = fort_btf_member(&frame->type, frame->next);
	int err = 0;

	if (member.name) /* members of unnamed structs and unions follow as one part */
		err = EMIT(walk, name, fort_btf_string(walk->btf, member.name));
	else
		err = EMIT(walk, name, "");
	return err ? err
		   : walk_value(walk, member.type, frame->start_bits + member.bit_offset,
				member.bit_size);
}

static int walk_section_var(struct walk *walk, const struct frame *frame)
{
	struct fort_btf_section_var var = fort_btf_section_var(&frame->type, frame->next);
	struct fort_btf_type type = fort_btf_type(walk->btf, var.type);
	int err = EMIT(walk, name, fort_btf_string(walk->btf, type.name));

	return err ? err : walk_value(walk, type.ref, frame->start_bits + var.offset * 8ull, 0);
}

/* The next part of the innermost struct or array, or its end. */
static int walk_part(struct walk *walk)
{
	struct frame *top = &walk->frames[walk->depth - 1], part = *top;
	bool is_array = part.type.kind == FORT_BTF_ARRAY;

	if (part.next == part.count) {
		walk->depth--;
		return is_array ? EMIT(walk, close_array) : EMIT(walk, close_struct);
	}
	top->next++;
	if (is_array)
		return walk_value(walk, part.element,
				  part.start_bits + 8ull * part.next * part.element_bytes, 0);
	if (part.type.kind == FORT_BTF_DATASEC)
		return walk_section_var(walk, &part);
	return walk_member(walk, &part);
}

int fort_btf_walk(const struct fort_btf *btf, uint32_t id, const void *data, size_t bytes,
		  const struct fort_btf_emitter *emitter, void *owner)
{
	struct walk walk = {
		.btf = btf,
		.data = data,
		.bits = 8ull * bytes,
		.emitter = emitter,
		.owner = owner,
	};
	uint32_t size;
	int err = fort_btf_size(btf, id, &size);

	if (err)
		return err;
	if (size > bytes)
		return -EMSGSIZE;
	err = walk_value(&walk, id, 0, 0);
	while (!err && walk.depth)
		err = walk_part(&walk);
	return err;
}
