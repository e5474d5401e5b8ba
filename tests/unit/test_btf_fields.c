/* What a record says of fields, beyond where they are: whose types they point to, what they
 * contain. Where they are is compared with the kernel (tests/diff/test_btf_record.c).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "abi/uapi.h"
#include "btf/values.h"
#include "btf_build.h"

static struct btf_build build;
static uint32_t number, lock, head, node, root, rb_node;

static uint32_t opaque(const char *name, uint32_t bytes)
{
	uint32_t id = build_type(&build, name, INFO(FORT_BTF_STRUCT, 1, 0), bytes);

	BUILD_MORE(&build, build_name(&build, "val"), number, 0);
	return id;
}

static void start(void)
{
	memset(&build, 0, sizeof(build));
	number = build_type(&build, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&build, 32);
	lock = opaque("bpf_spin_lock", 4);
	head = opaque("bpf_list_head", 16);
	node = opaque("bpf_list_node", 24);
	root = opaque("bpf_rb_root", 16);
	rb_node = opaque("bpf_rb_node", 32);
}

static struct fort_btf *finish(void)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	build_finish(&build);
	if (fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error))
		fail_msg("type %u: %s", error.type_id, error.what);
	return btf;
}

static uint32_t pointer(const char *tag, uint32_t to)
{
	uint32_t id = build_type(&build, tag, INFO(FORT_BTF_TYPE_TAG, 0, 0), to);

	return build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), id);
}

static void tag(const char *text, uint32_t type, uint32_t component)
{
	build_type(&build, text, INFO(FORT_BTF_DECL_TAG, 0, 0), type);
	BUILD_MORE(&build, component);
}

static void expect_field(const struct fort_btf_record *record, unsigned index,
			 struct fort_btf_field wanted)
{
	assert_true(index < record->count);
	assert_memory_equal(&record->fields[index], &wanted, sizeof(wanted));
	assert_true(fort_btf_record_has(record, wanted.kind));
}

/* Names that the kernel has are the kernel's. */
static void pointers(void **state)
{
	struct fort_btf *btf, *kernel;
	struct fort_btf_record record, again;
	uint32_t task, mine, theirs, value, sk_buff;

	(void)state;
	start();
	build_type(&build, "sk_buff", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	theirs = build_type(&build, "task_struct", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	kernel = finish();

	start();
	task = build_type(&build, "task_struct", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	mine = build_type(&build, "mine", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	sk_buff = build_type(&build, "sk_buff", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	value = build_type(&build, "value", INFO(FORT_BTF_STRUCT, 4, 0), 40);
	BUILD_MORE(&build, 0, build.n_types + 2, 0, 0, build.n_types + 4, 64, 0, build.n_types + 6,
		   128, 0, number, 192);
	pointer("kptr", task);
	pointer("percpu_kptr", mine);
	pointer("kptr_untrusted", sk_buff);
	btf = finish();

	memset(&record, 0xff, sizeof(record));
	assert_int_equal(fort_btf_read_record(btf, kernel, value, 40, FORT_RECORD_VALUE, &record),
			 0);
	assert_int_equal(record.count, 3);
	expect_field(&record, 0,
		     (struct fort_btf_field){.offset = 0,
					     .bytes = 8,
					     .kind = FORT_FIELD_KPTR,
					     .scope = FORT_SCOPE_KERNEL,
					     .type = theirs});
	expect_field(&record, 1,
		     (struct fort_btf_field){.offset = 8,
					     .bytes = 8,
					     .kind = FORT_FIELD_KPTR_PERCPU,
					     .scope = FORT_SCOPE_PROGRAM,
					     .type = mine});
	expect_field(&record, 2,
		     (struct fort_btf_field){.offset = 16,
					     .bytes = 8,
					     .kind = FORT_FIELD_KPTR_UNTRUSTED,
					     .scope = FORT_SCOPE_KERNEL,
					     .type = theirs - 1});
	memset(&again, 0, sizeof(again));
	assert_int_equal(fort_btf_read_record(btf, kernel, value, 40, FORT_RECORD_VALUE, &again),
			 0);
	assert_memory_equal(&record, &again, sizeof(record)); /* no byte is left to chance */
	assert_null(fort_btf_field_at(&record, 24, 8));
	assert_ptr_equal(fort_btf_field_at(&record, 15, 1), &record.fields[1]);
	assert_ptr_equal(fort_btf_field_at(&record, 12, 100), &record.fields[1]);
	assert_null(fort_btf_field_at(&record, 0, 0));
	assert_null(fort_btf_field_at(&record, UINT32_MAX, UINT32_MAX));

	assert_int_equal(fort_btf_read_record(btf, NULL, value, 40, FORT_RECORD_VALUE, &record), 0);
	assert_int_equal(record.fields[0].scope, FORT_SCOPE_PROGRAM);
	assert_int_equal(record.fields[0].type, task);
	assert_int_equal(fort_btf_read_record(btf, NULL, value, 23, FORT_RECORD_VALUE, &record),
			 -EFAULT);
	fort_btf_free(kernel);
	fort_btf_free(btf);
}

static void lists_and_trees(void **state)
{
	struct fort_btf_record record;
	uint32_t elem, leaf, value, cycle;
	struct fort_btf *btf;

	(void)state;
	start();
	elem = build_type(&build, "elem", INFO(FORT_BTF_STRUCT, 2, 0), 40);
	BUILD_MORE(&build, build_name(&build, "v"), number, 0, build_name(&build, "node"), node,
		   64);
	leaf = build_type(&build, "leaf", INFO(FORT_BTF_STRUCT, 1, 0), 32);
	BUILD_MORE(&build, build_name(&build, "node"), rb_node, 0);
	value = build_type(&build, "value", INFO(FORT_BTF_STRUCT, 3, 0), 40);
	BUILD_MORE(&build, 0, head, 0, 0, root, 128, 0, lock, 256);
	tag("contains:elem:node", value, 0);
	tag("contains:leaf:node", value, 1);
	cycle = build_type(&build, "cycle", INFO(FORT_BTF_STRUCT, 3, 0), 48);
	BUILD_MORE(&build, build_name(&build, "node"), node, 0, 0, head, 192, 0, lock, 320);
	btf = finish();
	assert_int_equal(fort_btf_check_objects(btf, NULL), -EINVAL); /* cycle: no tag */
	assert_int_equal(fort_btf_read_record(btf, NULL, value, 40, FORT_RECORD_VALUE, &record), 0);
	assert_int_equal(record.count, 3);
	expect_field(&record, 0,
		     (struct fort_btf_field){.offset = 0,
					     .bytes = 16,
					     .kind = FORT_FIELD_LIST_HEAD,
					     .scope = FORT_SCOPE_PROGRAM,
					     .type = elem,
					     .node_offset = 8});
	expect_field(&record, 1,
		     (struct fort_btf_field){.offset = 16,
					     .bytes = 16,
					     .kind = FORT_FIELD_RB_ROOT,
					     .scope = FORT_SCOPE_PROGRAM,
					     .type = leaf});
	expect_field(
		&record, 2,
		(struct fort_btf_field){.offset = 32, .bytes = 4, .kind = FORT_FIELD_SPIN_LOCK});
	assert_int_equal(fort_btf_check_owned(btf, NULL, &record), 0);
	assert_int_equal(fort_btf_object_record(btf, NULL, elem, &record), 0);
	assert_int_equal(record.count, 1);
	assert_int_equal(record.fields[0].kind, FORT_FIELD_LIST_NODE);
	assert_int_equal(fort_btf_read_record(btf, NULL, elem, 40, FORT_RECORD_VALUE, &record), 0);
	assert_int_equal(record.count, 0); /* nodes are of objects only */
	assert_int_equal(fort_btf_object_record(btf, NULL, lock, &record), 0);
	assert_int_equal(record.count, 0);
	fort_btf_free(btf);

	tag("contains:cycle:node", cycle, 1);
	btf = finish();
	assert_int_equal(fort_btf_check_objects(btf, NULL), -ELOOP);
	fort_btf_free(btf);
}

/* Structs of two of the next one below: 2^31 of the last. */
static void wide_nests(void **state)
{
	struct fort_btf_record record;
	uint32_t inner, outer;
	struct fort_btf *btf;

	(void)state;
	start();
	inner = build_type(&build, "inner", INFO(FORT_BTF_STRUCT, 0, 0), 1);
	for (unsigned depth = 0; depth < 30; depth++) {
		outer = build_type(&build, "outer", INFO(FORT_BTF_STRUCT, 2, 0), 2u << depth);
		BUILD_MORE(&build, 0, inner, 0, 0, inner, depth < 28 ? 8u << depth : 0);
		inner = outer;
	}
	btf = finish();
	assert_int_equal(fort_btf_read_record(btf, NULL, inner, 1u << 30, FORT_RECORD_VALUE,
					      &record),
			 -E2BIG);
	fort_btf_free(btf);
}

/* A map with fields of which one breaks a rule is a map of bytes. */
static void broken_values(void **state)
{
	const struct fort_map_shape shape = {BPF_MAP_TYPE_HASH, 4, 16, 4, 0, 0};
	struct fort_map_shape other = shape;
	struct fort_btf_record record;
	uint32_t good, twice;
	struct fort_btf *btf;

	(void)state;
	start();
	good = build_type(&build, "good", INFO(FORT_BTF_STRUCT, 2, 0), 16);
	BUILD_MORE(&build, 0, number, 0, 0, lock, 64);
	twice = build_type(&build, "twice", INFO(FORT_BTF_STRUCT, 2, 0), 16);
	BUILD_MORE(&build, 0, lock, 0, 0, lock, 64);
	btf = finish();
	assert_int_equal(fort_btf_check_map(btf, NULL, &shape, number, good, &record), 0);
	assert_int_equal(record.count, 1);
	assert_int_equal(fort_btf_check_map(btf, NULL, &shape, number, twice, &record), 0);
	assert_int_equal(record.count, 0);
	other.type = BPF_MAP_TYPE_PERCPU_ARRAY;
	assert_int_equal(fort_btf_check_map(btf, NULL, &other, number, good, &record), -EOPNOTSUPP);
	other.type = BPF_MAP_TYPE_HASH;
	other.flags = BPF_F_RDONLY_PROG;
	assert_int_equal(fort_btf_check_map(btf, NULL, &other, number, good, &record), -EACCES);
	fort_btf_free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pointers),
		cmocka_unit_test(lists_and_trees),
		cmocka_unit_test(wide_nests),
		cmocka_unit_test(broken_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
