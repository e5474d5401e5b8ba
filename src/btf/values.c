#include "btf/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "btf/blob.h"

static const char *const special_structs[] = {
	"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer",   "bpf_wq",      "bpf_task_work",
	"bpf_list_head", "bpf_list_node",     "bpf_rb_root", "bpf_rb_node", "bpf_refcount",
};

static const char *const special_tags[] = {"kptr", "kptr_untrusted", "percpu_kptr", "uptr"};

static const char *listed(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return names[i];
	return NULL;
}

/* Types still to look at; each type enters once, so the walk is linear. */
struct search {
	const struct fort_btf *btf;
	uint8_t *seen;
	uint32_t *queue;
	uint32_t n_queue;
};

static void enter(struct search *search, uint32_t id)
{
	struct fort_btf_type type = fort_btf_sized(search->btf, &id, NULL);

	if (type.kind == FORT_BTF_NONE || search->seen[id])
		return;
	search->seen[id] = 1;
	search->queue[search->n_queue++] = id;
}

static const char *special_pointer(const struct search *search, const struct fort_btf_type *pointer)
{
	struct fort_btf_type tag = fort_btf_type(search->btf, pointer->ref);

	if (tag.kind != FORT_BTF_TYPE_TAG)
		return NULL;
	return listed(special_tags, FORT_LEN(special_tags), fort_btf_string(search->btf, tag.name));
}

/* Looks at one type and enters what it contains. */
static const char *look(struct search *search, uint32_t id)
{
	struct fort_btf_type type = fort_btf_type(search->btf, id);
	const char *name;

	switch (type.kind) {
	case FORT_BTF_PTR: return special_pointer(search, &type);
	case FORT_BTF_ARRAY: enter(search, fort_btf_array(&type).element); return NULL;
	case FORT_BTF_DATASEC:
		for (uint32_t i = 0; i < type.vlen; i++)
			enter(search, fort_btf_section_var(&type, i).type);
		return NULL;
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION:
		name = listed(special_structs, FORT_LEN(special_structs),
			      fort_btf_string(search->btf, type.name));
		for (uint32_t i = 0; !name && i < type.vlen; i++)
			enter(search, fort_btf_member(&type, i).type);
		return name;
	default: return NULL;
	}
}

int fort_btf_find_special(const struct fort_btf *btf, uint32_t id, const char **name)
{
	struct search search = {.btf = btf};
	const char *found = NULL;
	int err = -ENOMEM;

	search.seen = calloc(btf->n_types, sizeof(*search.seen));
	search.queue = calloc(btf->n_types, sizeof(*search.queue));
	if (search.seen && search.queue) {
		enter(&search, id);
		for (uint32_t i = 0; !found && i < search.n_queue; i++)
			found = look(&search, search.queue[i]);
		*name = found;
		err = 0;
	}
	free(search.queue);
	free(search.seen);
	return err;
}

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

int fort_btf_check_map(const struct fort_btf *btf, const struct fort_map_shape *shape, uint32_t key,
		       uint32_t value)
{
	const struct fort_map_info *info = fort_map_info_of(shape);
	bool is_array = info && info->key_rule == FORT_SIZE_FOUR;
	const char *special;
	uint32_t bytes;
	int err;

	if (key && (fort_btf_size(btf, key, &bytes) || bytes != shape->key_bytes))
		return -EINVAL;
	if (!key && !is_array)
		return -EINVAL;
	if (fort_btf_size(btf, value, &bytes) || bytes != shape->value_bytes)
		return -EINVAL;
	err = fort_btf_find_special(btf, value, &special);
	if (!err && special)
		err = -EOPNOTSUPP;
	if (!err && is_array)
		err = check_array_key(btf, shape, key, value);
	return err;
}
