#include "btf/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "btf/fields.h"
#include "btf/index.h"

static const struct {
	const char *name;
	bool is_rcu;
} kptrs[] = {
#define FORT_KPTR(struct_, is_rcu_) {#struct_, (is_rcu_)},
#include "btf/kptrs.def"
};

bool fort_btf_is_kptr(const char *name)
{
	for (unsigned i = 0; i < FORT_LEN(kptrs); i++)
		if (!strcmp(kptrs[i].name, name))
			return true;
	return false;
}

bool fort_btf_is_rcu_kptr(const char *name)
{
	for (unsigned i = 0; i < FORT_LEN(kptrs); i++)
		if (!strcmp(kptrs[i].name, name))
			return kptrs[i].is_rcu;
	return false;
}

const char *fort_btf_field_name(uint8_t kind)
{
	if (kind == FORT_FIELD_KPTR_UNTRUSTED)
		kind = FORT_FIELD_KPTR;
	return kind < FORT_FIELD_KINDS ? fort_btf_field_infos[kind].name : "unknown";
}

uint64_t fort_btf_field_maps(uint8_t kind)
{
	return kind < FORT_FIELD_KINDS ? fort_btf_field_infos[kind].maps : 0;
}

const struct fort_btf_field *fort_btf_field_at(const struct fort_btf_record *record,
					       uint32_t offset, uint32_t bytes)
{
	for (uint32_t i = 0; i < record->count && i < FORT_BTF_FIELDS_MAX; i++) {
		const struct fort_btf_field *field = &record->fields[i];

		if (offset < (uint64_t)field->offset + field->bytes &&
		    field->offset < (uint64_t)offset + bytes)
			return field;
	}
	return NULL;
}

/* Whose struct is pointed to. What is nobody's but the program's has been allocated by it; the
 * kernel's own must be ones that can be given back.
 */
static int settle_pointer(const struct fort_btf *btf, const struct fort_btf *kernel,
			  struct fort_btf_field *field)
{
	const char *name = fort_btf_string(btf, fort_btf_type(btf, field->type).name);
	uint32_t theirs = kernel ? fort_btf_find(kernel, name, FORT_BTF_STRUCT) : 0;

	field->scope = theirs ? FORT_SCOPE_KERNEL : FORT_SCOPE_PROGRAM;
	if (!theirs)
		return 0;
	field->type = theirs;
	return field->kind == FORT_FIELD_KPTR && !fort_btf_is_kptr(name) ? -ENOENT : 0;
}

/* Where the node is in what a list or tree contains; field->node_offset is its name so far. */
static int settle_contained(const struct fort_btf *btf, struct fort_btf_field *field)
{
	uint8_t wanted =
		field->kind == FORT_FIELD_LIST_HEAD ? FORT_FIELD_LIST_NODE : FORT_FIELD_RB_NODE;
	const struct fort_btf_field_info *info = &fort_btf_field_infos[wanted];
	const char *name = fort_btf_string(btf, field->node_offset);
	struct fort_btf_type type = fort_btf_type(btf, field->type);
	bool found = false;

	field->scope = FORT_SCOPE_PROGRAM;
	for (uint32_t i = 0; i < type.vlen; i++) {
		struct fort_btf_member member = fort_btf_member(&type, i);
		struct fort_btf_type node = fort_btf_type(btf, member.type);
		const char *member_name = fort_btf_string(btf, member.name);

		/* K: a member without a name has one to the kernel */
		if (strcmp(member.name ? member_name : "(anon)", name) != 0)
			continue;
		if (found || node.kind != FORT_BTF_STRUCT ||
		    strcmp(fort_btf_string(btf, node.name), info->name) != 0 ||
		    member.bit_offset % 8 || member.bit_offset / 8 % info->align)
			return -EINVAL;
		field->node_offset = member.bit_offset / 8;
		found = true;
	}
	return found ? 0 : -ENOENT;
}

static int settle(const struct fort_btf *btf, const struct fort_btf *kernel,
		  struct fort_btf_record *record, uint32_t bytes)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < record->count; i++) {
		struct fort_btf_field *field = &record->fields[i];
		int err = 0;

		if ((uint64_t)field->offset + field->bytes > bytes)
			return -EFAULT;
		if (field->offset < end)
			return -EEXIST;
		end = (uint64_t)field->offset + field->bytes;
		if (fort_btf_field_rule(field->kind, 'P'))
			err = settle_pointer(btf, kernel, field);
		else if (fort_btf_field_rule(field->kind, 'C'))
			err = settle_contained(btf, field);
		if (err)
			return err;
		record->kinds |= 1u << field->kind;
	}
	return 0;
}

/* Fields that go together, and fields that do not. */
static int check_company(const struct fort_btf_record *record)
{
	bool lock = fort_btf_record_has(record, FORT_FIELD_SPIN_LOCK);
	bool res_lock = fort_btf_record_has(record, FORT_FIELD_RES_SPIN_LOCK);

	if (lock && res_lock)
		return -EINVAL;
	if ((fort_btf_record_has(record, FORT_FIELD_LIST_HEAD) ||
	     fort_btf_record_has(record, FORT_FIELD_RB_ROOT)) &&
	    !lock && !res_lock)
		return -EINVAL;
	if (fort_btf_record_has(record, FORT_FIELD_LIST_NODE) &&
	    fort_btf_record_has(record, FORT_FIELD_RB_NODE) &&
	    !fort_btf_record_has(record, FORT_FIELD_REFCOUNT))
		return -EINVAL;
	return 0;
}

static int read_record(const struct fort_btf *btf, const struct fort_btf *kernel, uint32_t id,
		       uint32_t bytes, char use, uint32_t *budget, struct fort_btf_record *out)
{
	struct fort_btf_record record = {0};
	int found = fort_btf_find_fields(btf, id, use, record.fields, budget), err;

	if (found < 0)
		return found;
	record.count = (uint32_t)found;
	err = settle(btf, kernel, &record, bytes);
	err = err ? err : check_company(&record);
	if (!err)
		*out = record;
	return err;
}

int fort_btf_read_record(const struct fort_btf *btf, const struct fort_btf *kernel, uint32_t id,
			 uint32_t bytes, enum fort_btf_record_use use, struct fort_btf_record *out)
{
	uint32_t budget = FORT_BTF_SEARCH_MAX;

	return read_record(btf, kernel, id, bytes, use == FORT_RECORD_OBJECT ? 'O' : 'V', &budget,
			   out);
}

/* --- objects --- */

/* K: the first struct of each of these names makes objects of the structs that have it as a member
 * (alloc_obj_fields), and so do tagged pointers. */
static const uint8_t makers[] = {FORT_FIELD_SPIN_LOCK, FORT_FIELD_LIST_HEAD, FORT_FIELD_LIST_NODE,
				 FORT_FIELD_RB_ROOT,   FORT_FIELD_RB_NODE,   FORT_FIELD_REFCOUNT};

struct objects {
	const struct fort_btf *btf, *kernel;
	uint32_t makers[FORT_LEN(makers)]; /* ids, or 0 */
	uint32_t budget;
};

static struct objects find_makers(const struct fort_btf *btf, const struct fort_btf *kernel)
{
	struct objects objects = {.btf = btf, .kernel = kernel, .budget = FORT_BTF_SEARCH_MAX};

	for (unsigned i = 0; i < FORT_LEN(makers); i++)
		objects.makers[i] =
			fort_btf_find(btf, fort_btf_field_infos[makers[i]].name, FORT_BTF_STRUCT);
	return objects;
}

static bool is_maker(const struct objects *objects, uint32_t id)
{
	struct fort_btf_field ignored;

	for (unsigned i = 0; i < FORT_LEN(makers); i++)
		if (objects->makers[i] && objects->makers[i] == id)
			return true;
	return fort_btf_find_pointer(objects->btf, id, 'O', &ignored) == 1;
}

static bool is_object(const struct objects *objects, uint32_t id)
{
	struct fort_btf_type type = fort_btf_type(objects->btf, id);

	for (uint32_t i = 0; type.kind == FORT_BTF_STRUCT && i < type.vlen; i++)
		if (is_maker(objects, fort_btf_member(&type, i).type))
			return true;
	return false;
}

static int read_object(struct objects *objects, uint32_t id, struct fort_btf_record *out)
{
	int err = read_record(objects->btf, objects->kernel, id,
			      fort_btf_type(objects->btf, id).size, 'O', &objects->budget, out);

	/* K: a member that makes an object, and is none of its fields */
	return err ? err : out->count ? 0 : -EFAULT;
}

int fort_btf_object_record(const struct fort_btf *btf, const struct fort_btf *kernel, uint32_t id,
			   struct fort_btf_record *out)
{
	struct objects objects = find_makers(btf, kernel);

	if (is_object(&objects, id))
		return read_object(&objects, id, out);
	*out = (struct fort_btf_record){0};
	return 0;
}

/* K: what has both a list (or tree) and a node may not contain what has a list: so no chain of
 * owners comes back to its start. */
static int check_contained(struct objects *objects, const struct fort_btf_record *record,
			   const struct fort_btf_field *field)
{
	const uint32_t nodes = 1u << FORT_FIELD_LIST_NODE | 1u << FORT_FIELD_RB_NODE;
	const uint32_t roots = 1u << FORT_FIELD_LIST_HEAD | 1u << FORT_FIELD_RB_ROOT;
	struct fort_btf_record inner;
	int err;

	if (!is_object(objects, field->type))
		return -EFAULT;
	err = read_object(objects, field->type, &inner);
	if (err)
		return err;
	return record->kinds & nodes && inner.kinds & roots ? -ELOOP : 0;
}

/* User memory is pinned by the page. */
static int check_uptr(const struct objects *objects, const struct fort_btf_field *field)
{
	uint32_t bytes = fort_btf_type(objects->btf, field->type).size;

	if (field->scope == FORT_SCOPE_KERNEL || !bytes)
		return -EINVAL;
	return bytes > FORT_PAGE_BYTES ? -E2BIG : 0;
}

static int check_owned(struct objects *objects, const struct fort_btf_record *record)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < record->count; i++) {
		const struct fort_btf_field *field = &record->fields[i];

		if (field->kind == FORT_FIELD_UPTR)
			err = check_uptr(objects, field);
		else if (fort_btf_field_rule(field->kind, 'C'))
			err = check_contained(objects, record, field);
	}
	return err;
}

int fort_btf_check_owned(const struct fort_btf *btf, const struct fort_btf *kernel,
			 const struct fort_btf_record *record)
{
	struct objects objects = find_makers(btf, kernel);

	return check_owned(&objects, record);
}

/* Most programs allocate nothing. */
static bool has_makers(const struct objects *objects)
{
	for (unsigned i = 0; i < FORT_LEN(makers); i++)
		if (objects->makers[i])
			return true;
	for (uint32_t id = 1; id < fort_btf_count(objects->btf); id++)
		if (fort_btf_type(objects->btf, id).kind == FORT_BTF_TYPE_TAG)
			return true;
	return false;
}

int fort_btf_check_objects(const struct fort_btf *btf, const struct fort_btf *kernel)
{
	struct objects objects = find_makers(btf, kernel);
	struct fort_btf_record record;
	int err = 0;

	if (!has_makers(&objects))
		return 0;
	/* K: all records are read before the first is looked at */
	for (uint32_t id = 1; !err && id < fort_btf_count(btf); id++)
		if (is_object(&objects, id))
			err = read_object(&objects, id, &record);
	for (uint32_t id = 1; !err && id < fort_btf_count(btf); id++) {
		if (!is_object(&objects, id))
			continue;
		err = read_object(&objects, id, &record);
		err = err ? err : check_owned(&objects, &record);
	}
	return err;
}
