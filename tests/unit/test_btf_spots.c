/* Walks into structs where the running kernel cannot be asked: tags on pointers, which need a
 * kernel built by clang; types that no kernel has; and members of the kernel's structs where libbpf
 * has them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <cmocka.h>

#include "btf/blob.h"
#include "btf/kernel.h"
#include "btf/trust.h"
#include "btf_build.h"

#define MEMBERS 20000

static struct btf_build build;

/* As a kernel's, which is not resolved. */
static struct fort_btf *kernel_build(void)
{
	struct fort_btf *btf = fort_btf_new();
	struct fort_btf_error error;

	build_finish(&build);
	assert_non_null(btf);
	btf->data = build.blob;
	btf->bytes = build.bytes;
	btf->is_kernel = true;
	assert_int_equal(fort_btf_check_all(btf, NULL, &error), 0);
	return btf;
}

static struct fort_btf *program_build(void)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	build_finish(&build);
	assert_int_equal(fort_btf_parse(build.blob, build.bytes, NULL, &btf, &error), 0);
	return btf;
}

static uint32_t add_pointer(const char *tag, bool attribute, uint32_t to)
{
	uint32_t id = to;

	if (tag)
		id = build_type(&build, tag, INFO(FORT_BTF_TYPE_TAG, 0, attribute), to);
	return build_type(&build, NULL, INFO(FORT_BTF_PTR, 0, 0), id);
}

static uint32_t struct_of(const char *name, uint8_t kind, uint32_t bytes, unsigned n,
			  const uint32_t (*members)[2])
{
	uint32_t id = build_type(&build, name, INFO(kind, n, 0), bytes);

	for (unsigned i = 0; i < n; i++) {
		char member[16];

		snprintf(member, sizeof(member), "m%u", i);
		BUILD_MORE(&build, build_name(&build, member), members[i][0], members[i][1] * 8);
	}
	return id;
}

static void expect(const struct fort_btf *btf, uint32_t id, uint32_t offset, uint32_t bytes,
		   enum fort_btf_view view, struct fort_btf_spot wanted, int err, const char *said)
{
	struct fort_btf_remark remark = {0};
	struct fort_btf_spot spot;
	struct fort_text text = fort_text_new();
	int got = fort_btf_access(btf, id, offset, bytes, view, &spot, &remark);

	fort_btf_remark_print(&remark, &text);
	if (got != err || (err && strcmp(text.data, said) != 0))
		fail_msg("%u at %u: %d %s", bytes, offset, got, text.data ? text.data : "");
	if (!err &&
	    (spot.kind != wanted.kind || spot.traits != wanted.traits || spot.type != wanted.type))
		fail_msg("%u at %u: kind %u, traits %u, type %u", bytes, offset, spot.kind,
			 spot.traits, spot.type);
	fort_text_free(&text);
}

#define POINTER(type_, traits_)  \
	((struct fort_btf_spot){ \
		.kind = FORT_SPOT_STRUCT_POINTER, .type = (type_), .traits = (traits_)})
#define NUMBER ((struct fort_btf_spot){.kind = FORT_SPOT_NUMBER})
#define OTHER  ((struct fort_btf_spot){.kind = FORT_SPOT_OTHER_POINTER})

static void tags(void **state)
{
	struct fort_btf *btf;
	uint32_t number, target, plain, user, percpu, rcu, other, attribute, holder, both, one, top;

	(void)state;
	memset(&build, 0, sizeof(build));
	number = build_type(&build, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&build, 32);
	target = build_type(&build, "target", INFO(FORT_BTF_STRUCT, 0, 0), 8);
	plain = add_pointer(NULL, false, target);
	user = add_pointer("user", false, target);
	percpu = add_pointer("percpu", false, target);
	rcu = add_pointer("rcu", false, target);
	other = add_pointer("other", false, target);
	attribute = add_pointer("rcu", true, target);
	holder = struct_of("holder", FORT_BTF_STRUCT, 56, 7,
			   (const uint32_t[][2]){{plain, 0},
						 {user, 8},
						 {percpu, 16},
						 {rcu, 24},
						 {other, 32},
						 {attribute, 40},
						 {add_pointer("user", false, number), 48}});
	both = struct_of("both", FORT_BTF_UNION, 8, 2,
			 (const uint32_t[][2]){{rcu, 0}, {number, 0}});
	one = struct_of("one", FORT_BTF_UNION, 8, 1, (const uint32_t[][2]){{rcu, 0}});
	top = struct_of("top", FORT_BTF_STRUCT, 16, 2, (const uint32_t[][2]){{both, 0}, {one, 8}});
	for (int kernel = 0; kernel < 2; kernel++) {
		enum fort_btf_view view = FORT_VIEW_KERNEL;

		btf = kernel ? kernel_build() : program_build();
		expect(btf, holder, 0, 8, view, POINTER(target, 0), 0, NULL);
		expect(btf, holder, 8, 8, view, POINTER(target, FORT_TRAIT_USER), 0, NULL);
		expect(btf, holder, 16, 8, view, POINTER(target, FORT_TRAIT_PERCPU), 0, NULL);
		expect(btf, holder, 24, 8, view, POINTER(target, FORT_TRAIT_RCU), 0, NULL);
		expect(btf, holder, 32, 8, view, POINTER(target, 0), 0, NULL);
		expect(btf, holder, 40, 8, view, POINTER(target, 0), 0, NULL);
		expect(btf, holder, 48, 8, view, OTHER, 0, NULL);
		expect(btf, holder, 8, 8, FORT_VIEW_OBJECT, NUMBER, 0, NULL);
		expect(btf, holder, 8, 4, view, NUMBER, -EACCES,
		       "cannot access ptr member m1 with moff 8 in struct holder with off 8 size "
		       "4");
		expect(btf, top, 0, 8, view, POINTER(target, FORT_TRAIT_RCU | FORT_TRAIT_UNTRUSTED),
		       0, NULL);
		expect(btf, top, 8, 8, view, POINTER(target, FORT_TRAIT_RCU), 0, NULL);
		expect(btf, number, 0, 4, view, NUMBER, -EINVAL, "Type 'int' is not a struct");
		expect(btf, 0, 0, 4, view, NUMBER, -EINVAL, "Type '(anon)' is not a struct");
		expect(btf, 9999, 0, 4, view, NUMBER, -EINVAL, "Type '(anon)' is not a struct");
		fort_btf_free(btf);
	}
}

/* A kernel's file may say anything: structs that contain themselves, ids that are not there. */
static void endless(void **state)
{
	struct fort_btf *btf;
	uint32_t missing, array, sized, self, shifted, ring;

	(void)state;
	memset(&build, 0, sizeof(build));
	build_type(&build, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&build, 32);
	missing = struct_of("missing", FORT_BTF_STRUCT, 8, 1, (const uint32_t[][2]){{999, 0}});
	array = build_type(&build, NULL, INFO(FORT_BTF_ARRAY, 0, 0), 0);
	BUILD_MORE(&build, array, 1, 1);
	sized = struct_of("sized", FORT_BTF_STRUCT, 8, 1, (const uint32_t[][2]){{array, 0}});
	self = build.n_types + 1;
	struct_of("self", FORT_BTF_STRUCT, 8, 1, (const uint32_t[][2]){{self, 0}});
	shifted = build.n_types + 1;
	struct_of("shifted", FORT_BTF_STRUCT, 0x4000, 1, (const uint32_t[][2]){{shifted, 8}});
	ring = build_type(&build, NULL, INFO(FORT_BTF_ARRAY, 0, 0), 0);
	BUILD_MORE(&build, build.n_types + 1, 1, 0);
	struct_of("ring", FORT_BTF_STRUCT, 4, 1, (const uint32_t[][2]){{ring, 0}});
	btf = kernel_build();
	expect(btf, missing, 0, 8, FORT_VIEW_KERNEL, NUMBER, -EFAULT, "field m0 doesn't have size");
	expect(btf, sized, 0, 8, FORT_VIEW_KERNEL, NUMBER, -EFAULT, "field m0 doesn't have size");
	expect(btf, self, 0, 8, FORT_VIEW_KERNEL, NUMBER, -E2BIG,
	       "struct self is nested too deeply at offset 0");
	expect(btf, shifted, 0x3ff8, 8, FORT_VIEW_KERNEL, NUMBER, -E2BIG,
	       "struct shifted is nested too deeply at offset 14328");
	expect(btf, ring + 1, 0, 8, FORT_VIEW_KERNEL, NUMBER, -E2BIG,
	       "struct ring is nested too deeply at offset 0");
	fort_btf_free(btf);
}

/* Offsets near the ends of their type do not wrap. */
static void far_offsets(void **state)
{
	struct fort_btf *btf;
	uint32_t huge;

	(void)state;
	memset(&build, 0, sizeof(build));
	build_type(&build, "int", INFO(FORT_BTF_INT, 0, 0), 4);
	BUILD_MORE(&build, 32);
	huge = struct_of("huge", FORT_BTF_STRUCT, UINT32_MAX, 1, (const uint32_t[][2]){{1, 0}});
	btf = program_build();
	expect(btf, huge, UINT32_MAX, 1, FORT_VIEW_KERNEL, NUMBER, -EACCES,
	       "access beyond struct huge at off 4294967295 size 1");
	expect(btf, huge, UINT32_MAX - 7, 8, FORT_VIEW_KERNEL, NUMBER, -EACCES,
	       "access beyond struct huge at off 4294967288 size 8");
	expect(btf, huge, UINT32_MAX - 8, 8, FORT_VIEW_KERNEL, NUMBER, -EINVAL,
	       "struct huge doesn't have field at offset -9");
	fort_btf_free(btf);
}

static struct fort_btf *open_vmlinux(void)
{
	struct fort_btf_error error;
	struct fort_btf *btf;

	if (access(FORT_BTF_VMLINUX, R_OK)) {
		print_message("no " FORT_BTF_VMLINUX " here\n");
		skip();
	}
	assert_int_equal(fort_btf_open_kernel(NULL, &btf, &error), 0);
	return btf;
}

static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 33) % below);
}

/* A member that is a number or a pointer, wherever it is nested; 0 when chance led elsewhere. */
struct place {
	uint32_t offset, bytes, type, member;
	bool in_union;
};

static const struct btf_type *plain(const struct btf *theirs, uint32_t *id)
{
	const struct btf_type *type = btf__type_by_id(theirs, *id);

	while (btf_is_mod(type) || btf_is_typedef(type)) {
		*id = type->type;
		type = btf__type_by_id(theirs, *id);
	}
	return type;
}

static bool any_place(const struct btf *theirs, uint32_t id, struct place *out)
{
	const struct btf_type *type = btf__type_by_id(theirs, id);

	*out = (struct place){0};
	for (;;) {
		uint32_t index;

		out->in_union |= btf_is_union(type);
		if (!btf_vlen(type))
			return false;
		index = pick(btf_vlen(type));
		if (btf_member_bitfield_size(type, index))
			return false;
		out->offset += btf_member_bit_offset(type, index) / 8;
		out->type = btf_members(type)[index].type;
		out->member = btf_members(type)[index].name_off;
		type = plain(theirs, &out->type);
		if (!btf_is_composite(type))
			break;
	}
	if (!btf_is_ptr(type) && (!btf_is_int(type) || type->size > 8))
		return false;
	out->bytes = btf_is_ptr(type) ? 8 : type->size;
	return true;
}

static void check_place(const struct fort_btf *btf, const struct btf *theirs, uint32_t id,
			const struct place *place)
{
	const struct btf_type *type = btf__type_by_id(theirs, place->type);
	struct fort_btf_remark remark;
	struct fort_btf_spot spot;
	uint32_t target = 0;

	assert_int_equal(fort_btf_access(btf, id, place->offset, place->bytes, FORT_VIEW_KERNEL,
					 &spot, &remark),
			 0);
	if (btf_is_int(type)) {
		assert_int_equal(spot.kind, FORT_SPOT_NUMBER);
		return;
	}
	target = type->type;
	if (!btf_is_composite(plain(theirs, &target))) {
		assert_int_equal(spot.kind, FORT_SPOT_OTHER_POINTER);
		return;
	}
	assert_int_equal(spot.kind, FORT_SPOT_STRUCT_POINTER);
	assert_int_equal(spot.type, target);
	assert_int_equal(spot.member, place->member);
}

static void kernel_members(void **state)
{
	struct fort_btf *btf = open_vmlinux();
	const char *seed = getenv("BPFORT_TEST_SEED");
	struct btf *theirs;

	(void)state;
	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid();
	print_message("BPFORT_TEST_SEED=%llu\n", (unsigned long long)random_state);
	theirs = btf__parse(FORT_BTF_VMLINUX, NULL);
	assert_non_null(theirs);
	for (unsigned i = 0; i < MEMBERS;) {
		uint32_t id = 1 + pick(fort_btf_count(btf) - 1);
		struct place place;

		/* in a union, other members may have their say first */
		if (fort_btf_type(btf, id).kind != FORT_BTF_STRUCT ||
		    !any_place(theirs, id, &place) || place.in_union)
			continue;
		check_place(btf, theirs, id, &place);
		i++;
	}
	btf__free(theirs);
	fort_btf_free(btf);
}

/* --- trust --- */

static const struct {
	const char *type, *member, *target;
	enum fort_btf_trust trust;
} trusted[] = {
#define FORT_TRUSTED(struct_, member_, target_, class_) \
	{#struct_, #member_, #target_, FORT_TRUST_##class_},
#include "btf/trusted.def"
};

/* The members of X__safe_<class> are those of X that the list has in this class. */
static unsigned check_safe_type(const struct fort_btf *btf, const struct fort_btf_type *type,
				size_t length, enum fort_btf_trust trust)
{
	const char *name = fort_btf_string(btf, type->name);

	for (uint32_t i = 0; i < type->vlen; i++) {
		struct fort_btf_member member = fort_btf_member(type, i);
		struct fort_btf_type pointer = fort_btf_strip(btf, member.type);
		struct fort_btf_type target = fort_btf_strip(btf, pointer.ref);
		unsigned found = 0;

		for (unsigned row = 0; row < FORT_LEN(trusted); row++)
			found += strlen(trusted[row].type) == length &&
				 !memcmp(trusted[row].type, name, length) &&
				 !strcmp(trusted[row].member, fort_btf_string(btf, member.name)) &&
				 !strcmp(trusted[row].target, fort_btf_string(btf, target.name)) &&
				 trusted[row].trust == trust;
		if (found != 1)
			fail_msg("%s.%s", name, fort_btf_string(btf, member.name));
	}
	return type->vlen;
}

static void kernel_trust(void **state)
{
	static const struct {
		const char *suffix;
		enum fort_btf_trust trust;
	} suffixes[] = {
		{"__safe_rcu", FORT_TRUST_RCU},
		{"__safe_rcu_or_null", FORT_TRUST_RCU_OR_NULL},
		{"__safe_trusted", FORT_TRUST_TRUSTED},
		{"__safe_trusted_or_null", FORT_TRUST_TRUSTED_OR_NULL},
	};
	struct fort_btf *btf = open_vmlinux();
	unsigned found = 0;

	(void)state;
	for (uint32_t id = 1; id < fort_btf_count(btf); id++) {
		struct fort_btf_type type = fort_btf_type(btf, id);
		const char *at = strstr(fort_btf_string(btf, type.name), "__safe_");

		for (unsigned i = 0; at && i < FORT_LEN(suffixes); i++)
			if (!strcmp(at, suffixes[i].suffix))
				found += check_safe_type(
					btf, &type, (size_t)(at - fort_btf_string(btf, type.name)),
					suffixes[i].trust);
	}
	assert_int_equal(found, FORT_LEN(trusted));
	fort_btf_free(btf);
}

/* Each member of the list is found by walks, and no other. */
static void trust_of_members(void **state)
{
	struct fort_btf *btf = open_vmlinux();
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < FORT_LEN(trusted); i++) {
		uint32_t id = fort_btf_find(btf, trusted[i].type, FORT_BTF_STRUCT);
		unsigned here = 0;

		for (uint32_t at = 0; id && at < fort_btf_type(btf, id).size; at += 8) {
			struct fort_btf_remark remark;
			struct fort_btf_spot spot;

			if (fort_btf_access(btf, id, at, 8, FORT_VIEW_KERNEL, &spot, &remark) ||
			    spot.kind != FORT_SPOT_STRUCT_POINTER)
				continue;
			if (strcmp(fort_btf_string(btf, spot.member), trusted[i].member) != 0)
				continue;
			here += fort_btf_trust_of(btf, id, &spot) == trusted[i].trust;
			spot.member = fort_btf_type(btf, id).name;
			assert_int_equal(fort_btf_trust_of(btf, id, &spot), FORT_TRUST_NONE);
		}
		assert_true(!id || here);
		found += id != 0;
	}
	assert_true(found > 10);
	fort_btf_free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags),         cmocka_unit_test(endless),
		cmocka_unit_test(far_offsets),  cmocka_unit_test(kernel_members),
		cmocka_unit_test(kernel_trust), cmocka_unit_test(trust_of_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
