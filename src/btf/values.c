#include "btf/values.h"

#include <errno.h>

#include "abi/uapi.h"
#include "btf/blob.h"

/* Arrays: the key is a 32-bit integer; only the single value of a global section has none. */
static int check_array_key(const struct fort_btf *btf, const struct fort_map_shape *shape,
			   uint32_t key, uint32_t value)
{
	struct fort_btf_type type = fort_btf_sized(btf, key ? &key : &value, NULL);
	struct fort_btf_int number;

	if (!key)
		return shape->type == BPF_MAP_TYPE_ARRAY && shape->max_entries == 1 &&
				       type.kind == FORT_BTF_DATASEC
			       ? 0
			       : -EINVAL;
	if (type.kind != FORT_BTF_INT)
		return -EINVAL;
	number = fort_btf_int(&type);
	return number.bits == 32 && !number.bit_offset ? 0 : -EINVAL;
}

/* Not every map has room, or a moment, to care for every field. */
static int check_fields(const struct fort_map_shape *shape, const struct fort_btf_record *record)
{
	if (record->count && shape->flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG))
		return -EACCES;
	for (uint8_t kind = 0; kind < FORT_FIELD_KINDS; kind++)
		if (fort_btf_record_has(record, kind) &&
		    (shape->type >= 64 || !(fort_btf_field_maps(kind) >> shape->type & 1)))
			return -EOPNOTSUPP;
	return 0;
}

/* K: fields that break a rule are none, as are those of a value that is neither struct nor section:
 * the map is made, and its values are bytes.
 */
static void read_fields(const struct fort_btf *btf, const struct fort_btf *kernel,
			const struct fort_map_shape *shape, uint32_t value,
			struct fort_btf_record *record)
{
	(void)fort_btf_sized(btf, &value, NULL);
	if (fort_btf_read_record(btf, kernel, value, shape->value_bytes, FORT_RECORD_VALUE, record))
		*record = (struct fort_btf_record){0};
}

int fort_btf_check_map(const struct fort_btf *btf, const struct fort_btf *kernel,
		       const struct fort_map_shape *shape, uint32_t key, uint32_t value,
		       struct fort_btf_record *record)
{
	const struct fort_map_info *info = fort_map_info_of(shape);
	bool is_array = info && info->key_rule == FORT_SIZE_FOUR;
	struct fort_btf_record fields = {0};
	uint32_t bytes;
	int err;

	if (key && (fort_btf_size(btf, key, &bytes) || bytes != shape->key_bytes))
		return -EINVAL;
	if (!key && !is_array)
		return -EINVAL;
	if (fort_btf_size(btf, value, &bytes) || bytes != shape->value_bytes)
		return -EINVAL;
	read_fields(btf, kernel, shape, value, &fields);
	err = check_fields(shape, &fields);
	err = err ? err : fort_btf_check_owned(btf, kernel, &fields);
	if (!err && is_array)
		err = check_array_key(btf, shape, key, value);
	if (!err)
		*record = fields;
	return err;
}
