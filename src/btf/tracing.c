#include "btf/tracing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "abi/uapi.h"
#include "btf/index.h"

enum lsm_class { LSM_HOOK, LSM_NO_HOOK, LSM_DISABLED, LSM_UNTRUSTED };

static const char *name_of(const struct fort_btf_target *target)
{
	return fort_btf_string(target->btf, target->name);
}

/* The prototype of function `prefix` + `name`, or 0. */
static uint32_t proto_of(const struct fort_btf *btf, const char *prefix, const char *name)
{
	char whole[FORT_BTF_SYMBOL_BYTES + 32];
	uint32_t id;

	snprintf(whole, sizeof(whole), "%s%s", prefix, name);
	id = fort_btf_find(btf, whole, FORT_BTF_FUNC);
	return id ? fort_btf_type(btf, id).ref : 0;
}

/* btf_trace_<event> is a pointer to a prototype without names. The kernel takes the names of the
 * function that calls programs, which is one for a whole class of events; not knowing the classes,
 * we take those of the event's own probe where it has no class.
 */
static int find_tracepoint(struct fort_btf_target *target, const struct fort_btf_type *type,
			   struct fort_btf_remark *remark)
{
	static const char prefix[] = "btf_trace_";
	const struct fort_btf *btf = target->btf;
	const char *name = fort_btf_string(btf, type->name);
	struct fort_btf_type pointer;

	if (type->kind != FORT_BTF_TYPEDEF)
		return FORT_BTF_SAY(remark, btf, TARGET_NO_TYPEDEF, type->id);
	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return FORT_BTF_SAY(remark, btf, TARGET_WRONG_NAME, type->id, type->name);
	target->name = type->name + (uint32_t)strlen(prefix);
	target->hidden = 1; /* void *__data */
	pointer = fort_btf_type(btf, type->ref);
	if (pointer.kind != FORT_BTF_PTR)
		return -EINVAL;
	target->proto = proto_of(btf, "__bpf_trace_", name_of(target));
	if (!target->proto)
		target->proto = proto_of(btf, "__probestub_", name_of(target));
	if (!target->proto)
		target->proto = pointer.ref;
	return fort_btf_type(btf, target->proto).kind == FORT_BTF_FUNC_PROTO ? 0 : -EINVAL;
}

static void find_nulls(struct fort_btf_target *target)
{
	static const struct {
		const char *name;
		uint16_t null, error;
	} rows[] = {
#define ARG(n)                                (1u << (n))
#define FORT_TRACEPOINT(name_, null_, error_) {#name_, (null_), (error_)},
#include "btf/tracepoints.def"
#undef ARG
	};
	const char *name = name_of(target);

	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		if (!strcmp(rows[i].name, name)) {
			target->null = rows[i].null;
			target->error = rows[i].error;
		}
}

static bool is_iterator(const char *name)
{
	static const char *const names[] = {
#define FORT_ITERATOR(function, ...) #function,
#include "btf/iterators.def"
	};

	for (unsigned i = 0; i < FORT_LEN(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static enum lsm_class lsm_class_of(const char *name)
{
	static const char prefix[] = "bpf_lsm_";
	static const struct {
		const char *name;
		enum lsm_class class;
	} rows[] = {
#define FORT_LSM(name_, class_) {#name_, LSM_##class_},
#include "btf/lsm.def"
	};

	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return LSM_NO_HOOK;
	for (unsigned i = 0; i < FORT_LEN(rows); i++)
		if (!strcmp(rows[i].name, name + strlen(prefix)))
			return rows[i].class;
	return LSM_HOOK;
}

static int check_lsm(struct fort_btf_target *target, const struct fort_btf_type *func,
		     struct fort_btf_remark *remark)
{
	enum lsm_class class = lsm_class_of(name_of(target));

	if (class == LSM_DISABLED)
		return FORT_BTF_SAY(remark, target->btf, TARGET_DISABLED_HOOK, func->id,
				    func->name);
	if (class == LSM_NO_HOOK)
		return FORT_BTF_SAY(remark, target->btf, TARGET_WRONG_NAME, func->id, func->name);
	target->is_trusted = class == LSM_HOOK;
	return 0;
}

static bool uses_result(uint32_t attach_type)
{
	return attach_type == BPF_TRACE_FEXIT || attach_type == BPF_MODIFY_RETURN;
}

static int find_function(struct fort_btf_target *target, const struct fort_btf_type *func,
			 struct fort_btf_remark *remark)
{
	const struct fort_btf *btf = target->btf;
	struct fort_btf_proto proto;
	int err;

	if (func->kind != FORT_BTF_FUNC)
		return FORT_BTF_SAY(remark, btf, TARGET_NO_FUNCTION, func->id);
	target->name = func->name;
	target->proto = func->ref;
	err = fort_btf_read_proto(btf, func->id, &proto, remark);
	if (err)
		return err;
	if (target->attach_type == BPF_TRACE_ITER) {
		target->is_iterator = is_iterator(name_of(target));
		return target->is_iterator ? 0 : -EINVAL;
	}
	if (proto.result.bytes > 8 && uses_result(target->attach_type))
		return FORT_BTF_SAY(remark, btf, TARGET_WIDE_RESULT, func->name);
	return target->prog_type == BPF_PROG_TYPE_LSM ? check_lsm(target, func, remark) : 0;
}

static bool is_known(uint32_t prog_type, uint32_t attach_type)
{
	switch (attach_type) {
	case BPF_TRACE_RAW_TP:
	case BPF_TRACE_ITER:
	case BPF_TRACE_FENTRY:
	case BPF_TRACE_FEXIT:
	case BPF_MODIFY_RETURN: return prog_type == BPF_PROG_TYPE_TRACING;
	case BPF_LSM_MAC:
	case BPF_LSM_CGROUP: return prog_type == BPF_PROG_TYPE_LSM;
	default: return false;
	}
}

int fort_btf_find_target(const struct fort_btf *btf, uint32_t prog_type, uint32_t attach_type,
			 uint32_t id, struct fort_btf_target *out, struct fort_btf_remark *remark)
{
	struct fort_btf_target target = {
		.btf = btf,
		.prog_type = prog_type,
		.attach_type = attach_type,
		.is_trusted = attach_type == BPF_TRACE_RAW_TP || attach_type == BPF_TRACE_ITER,
	};
	struct fort_btf_type type = fort_btf_type(btf, id);
	int err;

	*remark = (struct fort_btf_remark){0};
	if (!id)
		return FORT_BTF_SAY(remark, btf, TARGET_MISSING, 0);
	if (type.kind == FORT_BTF_NONE)
		return FORT_BTF_SAY(remark, btf, TARGET_INVALID, id);
	if (!is_known(prog_type, attach_type))
		return -EINVAL;
	if (attach_type == BPF_TRACE_RAW_TP) {
		err = find_tracepoint(&target, &type, remark);
		if (!err)
			find_nulls(&target);
	} else {
		err = find_function(&target, &type, remark);
	}
	if (!err)
		*out = target;
	return err;
}
