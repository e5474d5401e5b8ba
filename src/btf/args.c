#include "btf/args.h"

#include <errno.h>
#include <string.h>

#include "btf/blob.h"
#include "btf/contexts.h"
#include "btf/index.h"

enum tag { CTX = 1, NONNULL = 2, TRUSTED = 4, NULLABLE = 8, ARENA = 16, UNTRUSTED = 32 };

/* One parameter that is being looked at. */
struct reading {
	const struct fort_btf *btf;
	const struct fort_func_owner *owner;
	struct fort_btf_remark *remark;
	struct fort_func_arg *out;
	uint32_t index;
	uint32_t tags; /* enum tag */
};

#define SAY(r, id, ...) FORT_BTF_SAY((r)->remark, (r)->btf, id, (r)->index, ##__VA_ARGS__)

static int read_tags(struct reading *r, uint32_t func, bool global)
{
	static const char prefix[] = "arg:";
	static const struct {
		const char *name;
		enum tag tag;
	} rows[] = {
		{"ctx", CTX},           {"trusted", TRUSTED}, {"nonnull", NONNULL},
		{"nullable", NULLABLE}, {"arena", ARENA},     {"untrusted", UNTRUSTED},
	};
	uint32_t tag = 0;

	while ((tag = fort_btf_next_tag(r->btf, func, (int32_t)r->index, prefix, tag))) {
		const char *name = fort_btf_string(r->btf, fort_btf_type(r->btf, tag).name);
		unsigned row = 0;

		if (!global)
			return SAY(r, TAG_ON_STATIC);
		while (row < FORT_LEN(rows) && strcmp(name + strlen(prefix), rows[row].name) != 0)
			row++;
		if (row == FORT_LEN(rows))
			return SAY(r, TAG_UNKNOWN);
		r->tags |= rows[row].tag;
	}
	return 0;
}

/* A struct, or one that is only declared. */
static bool is_dynptr(const struct fort_btf *btf, const struct fort_btf_type *pointer)
{
	struct fort_btf_type type = fort_btf_strip(btf, pointer->ref);
	const char *name = fort_btf_string(btf, type.name);

	if (!fort_btf_is_struct(type.kind) && (type.kind != FORT_BTF_FWD || type.kflag))
		return false;
	return name && !strcmp(name, "bpf_dynptr");
}

static bool is_number(uint8_t kind)
{
	return kind == FORT_BTF_INT || kind == FORT_BTF_ENUM || kind == FORT_BTF_ENUM64;
}

/* The kernel's type of that name and kind. */
static int find_kernel_type(struct reading *r, const struct fort_btf_type *pointer, uint32_t *id)
{
	struct fort_btf_type type = fort_btf_strip(r->btf, pointer->ref);
	const char *name = fort_btf_string(r->btf, type.name);

	if (!name || !name[0] || !r->owner->kernel)
		return SAY(r, REFERENCE_ERROR, type.kind, type.name, (uint32_t)-EINVAL);
	switch (fort_btf_find_flavours(r->owner->kernel, name, type.kind, id)) {
	case 0: return SAY(r, REFERENCE_UNKNOWN, type.kind, type.name);
	case 1: return 0;
	default: return SAY(r, REFERENCE_AMBIGUOUS, type.kind, type.name);
	}
}

static int read_trusted(struct reading *r, const struct fort_btf_type *pointer)
{
	uint32_t id;
	int err;

	if (r->tags & NONNULL)
		return SAY(r, TAGS_TOGETHER);
	err = find_kernel_type(r, pointer, &id);
	if (err)
		return err;
	*r->out = (struct fort_func_arg){
		.kind = FORT_FUNC_STRUCT,
		.may_be_null = r->tags & NULLABLE,
		.type = id,
	};
	return 0;
}

static int read_untrusted(struct reading *r, const struct fort_btf_type *pointer)
{
	struct fort_btf_type target = fort_btf_strip(r->btf, pointer->ref);
	uint32_t id;
	int err;

	if (r->tags & ~(uint32_t)UNTRUSTED)
		return SAY(r, UNTRUSTED_TOGETHER);
	if (target.kind == FORT_BTF_VOID ||
	    (is_number(target.kind) &&
	     (target.kind != FORT_BTF_INT || fort_btf_int_is_regular(&target)))) {
		*r->out = (struct fort_func_arg){.kind = FORT_FUNC_MEMORY, .is_untrusted = true};
		return 0;
	}
	err = find_kernel_type(r, pointer, &id);
	if (err)
		return err;
	if (!fort_btf_is_struct(target.kind))
		return SAY(r, UNTRUSTED_OTHER, target.kind);
	*r->out = (struct fort_func_arg){
		.kind = FORT_FUNC_STRUCT,
		.is_untrusted = true,
		.type = id,
	};
	return 0;
}

/* Memory of the size of what the pointer points to. */
static int read_memory(struct reading *r, const struct fort_btf_type *pointer)
{
	struct fort_btf_type target = fort_btf_strip(r->btf, pointer->ref);
	uint32_t bytes;

	if (r->tags & NULLABLE)
		return SAY(r, TAGS_TOGETHER);
	if (fort_btf_size(r->btf, target.id, &bytes))
		return SAY(r, REFERENCE_NO_SIZE, target.kind, target.name, (uint32_t)-EINVAL);
	*r->out = (struct fort_func_arg){
		.kind = FORT_FUNC_MEMORY,
		.may_be_null = !(r->tags & NONNULL),
		.bytes = bytes,
	};
	return 0;
}

static int read_pointer(struct reading *r, const struct fort_btf_type *pointer)
{
	const struct fort_func_owner *owner = r->owner;

	if (r->tags & CTX || fort_btf_is_context(r->btf, pointer, owner->prog_type)) {
		if (r->tags & ~(uint32_t)CTX)
			return SAY(r, TAGS_TOGETHER);
		*r->out = (struct fort_func_arg){.kind = FORT_FUNC_CONTEXT};
		return r->tags & CTX
			       ? fort_btf_check_context(r->btf, pointer, r->index, owner->prog_type,
							owner->attach_type, r->remark)
			       : 0;
	}
	if (is_dynptr(r->btf, pointer)) {
		*r->out = (struct fort_func_arg){.kind = FORT_FUNC_DYNPTR};
		return r->tags ? SAY(r, TAGS_TOGETHER) : 0;
	}
	if (r->tags & TRUSTED)
		return read_trusted(r, pointer);
	if (r->tags & UNTRUSTED)
		return read_untrusted(r, pointer);
	if (r->tags & ARENA) {
		*r->out = (struct fort_func_arg){.kind = FORT_FUNC_ARENA};
		return r->tags & ~(uint32_t)ARENA ? SAY(r, ARENA_TOGETHER) : 0;
	}
	return read_memory(r, pointer);
}

static int read_arg(struct reading *r, const struct fort_btf_type *func, uint32_t type_id,
		    bool global)
{
	struct fort_btf_type type = fort_btf_strip(r->btf, type_id);
	int err = read_tags(r, func->id, global);

	if (err)
		return err;
	/* K: a static function's pointer to plain memory says nothing */
	if (type.kind == FORT_BTF_PTR &&
	    (global || fort_btf_is_context(r->btf, &type, r->owner->prog_type) ||
	     is_dynptr(r->btf, &type)))
		return read_pointer(r, &type);
	if (r->tags)
		return SAY(r, TAG_NO_POINTER);
	*r->out = (struct fort_func_arg){.kind = FORT_FUNC_NUMBER};
	if (is_number(type.kind))
		return 0;
	return global ? SAY(r, ARG_UNSUPPORTED, type.kind, func->name) : -EINVAL;
}

bool fort_btf_func_returns_number(const struct fort_btf *btf, uint32_t id)
{
	struct fort_btf_type func = fort_btf_type(btf, id), proto = fort_btf_type(btf, func.ref);
	uint32_t bytes;

	return func.kind == FORT_BTF_FUNC && proto.kind == FORT_BTF_FUNC_PROTO &&
	       is_number(fort_btf_strip(btf, proto.ref).kind) &&
	       !fort_btf_size(btf, proto.ref, &bytes) && bytes <= 8;
}

int fort_btf_func_args(const struct fort_btf *btf, uint32_t id, bool global,
		       const struct fort_func_owner *owner, struct fort_func_args *out,
		       struct fort_btf_remark *remark)
{
	struct fort_btf_type func = fort_btf_type(btf, id), proto, result;
	struct reading r = {.btf = btf, .owner = owner, .remark = remark};
	struct fort_func_args args = {0};
	int err = 0;

	*remark = (struct fort_btf_remark){0};
	proto = fort_btf_type(btf, func.ref);
	if (func.kind != FORT_BTF_FUNC || proto.kind != FORT_BTF_FUNC_PROTO)
		return -EFAULT;
	result = fort_btf_strip(btf, proto.ref);
	if (proto.vlen > FORT_BTF_FUNC_ARGS_MAX)
		return global ? FORT_BTF_SAY(remark, btf, ARGS_TOO_MANY, func.name, proto.vlen,
					     FORT_BTF_FUNC_ARGS_MAX)
			      : -EINVAL;
	if (!is_number(result.kind))
		return global ? FORT_BTF_SAY(remark, btf, RESULT_NO_NUMBER, func.name) : -EINVAL;
	for (; !err && r.index < proto.vlen; r.index++) {
		r.out = &args.args[r.index];
		r.tags = 0;
		err = read_arg(&r, &func, fort_btf_param(&proto, r.index).type, global);
	}
	args.count = proto.vlen;
	if (!err)
		*out = args;
	return err;
}
