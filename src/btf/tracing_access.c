/* Loads from the contexts of tracing programs, in the order of btf_ctx_access (kernel/bpf/btf.c).
 */
#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "btf/tracing.h"

#define WORD          8
#define UNKNOWN_ARGS  5 /* K: MAX_BPF_FUNC_REG_ARGS */
#define CONTEXT_BYTES (WORD * FORT_BTF_ARGS_MAX)

/* One load. */
struct load {
	const struct fort_btf_target *target;
	const struct fort_btf *btf;
	struct fort_btf_type proto;
	uint32_t offset, bytes;
	uint32_t arg;      /* which argument, as programs count them */
	uint32_t n_params; /* of those that they see */
	struct fort_btf_ctx_value *out;
	struct fort_btf_remark *remark;
};

#define SAY(load, id, ...) \
	FORT_BTF_SAY((load)->remark, (load)->btf, id, (load)->target->name, ##__VA_ARGS__)

/* Bytes that a value takes in the context. */
static uint64_t words_of(const struct fort_btf *btf, uint32_t id)
{
	struct fort_btf_type type = fort_btf_strip(btf, id);

	switch (type.kind) {
	case FORT_BTF_PTR: return WORD;
	case FORT_BTF_INT:
	case FORT_BTF_ENUM:
	case FORT_BTF_ENUM64:
	case FORT_BTF_FLOAT:
	case FORT_BTF_STRUCT:
	case FORT_BTF_UNION: return (uint32_t)fort_round_up(type.size & 0xffffff, WORD);
	default: return 0;
	}
}

/* K: widths are counted from the first parameter, hidden or not. */
static uint32_t arg_at(const struct load *load)
{
	uint64_t end = 0;

	if (!load->target->proto)
		return load->offset / WORD;
	for (uint32_t i = 0; i < load->proto.vlen; i++) {
		end += words_of(load->btf, fort_btf_param(&load->proto, i).type);
		if (load->offset < end)
			return i;
	}
	end += words_of(load->btf, load->proto.ref);
	return load->proto.vlen + (load->offset >= end);
}

static struct fort_btf_param param_of(const struct load *load)
{
	return fort_btf_param(&load->proto, load->arg + load->target->hidden);
}

static bool is_small_number(uint8_t kind, uint32_t size)
{
	return kind == FORT_BTF_INT && size <= WORD;
}

/* Behind the last argument is the result, for those that see it. *type: what to look at. */
static int find_result(struct load *load, uint32_t *type)
{
	struct fort_btf_type result = fort_btf_strip(load->btf, load->proto.ref);

	*type = load->proto.ref;
	switch (load->target->attach_type) {
	case BPF_LSM_MAC: load->out->is_result = true; return 0;
	case BPF_LSM_CGROUP:
	case BPF_TRACE_FEXIT: return 0;
	case BPF_MODIFY_RETURN:
		if (!load->target->proto)
			return -EACCES;
		if (!is_small_number(result.kind, result.size))
			return FORT_BTF_SAY(load->remark, load->btf, CTX_RESULT, result.kind);
		return 0;
	default: return SAY(load, CTX_NO_ARGUMENT, load->arg + 1);
	}
}

/* What iterators.def says; false when it says nothing. */
static bool ask_iterator(const struct load *load, struct fort_btf_ctx_value *out)
{
	enum {
		POINTER = FORT_CTX_POINTER,
		BUFFER = FORT_CTX_BUFFER,
		READ_BUFFER = FORT_CTX_READ_BUFFER
	};
	enum { MAYBE_NULL = 1, TRUSTED = 2 };
	static const struct {
		const char *function;
		uint8_t arg, kind, flags;
	} rows[] = {
#define FORT_ITERATOR(function_, arg_, kind_, flags_) {#function_, (arg_), (kind_), (flags_)},
#include "btf/iterators.def"
	};
	const char *name = fort_btf_string(load->btf, load->target->name);

	for (unsigned i = 0; load->target->is_iterator && i < FORT_LEN(rows); i++) {
		if (rows[i].arg != load->arg || strcmp(rows[i].function, name) != 0)
			continue;
		*out = (struct fort_btf_ctx_value){
			.kind = rows[i].kind,
			.is_trusted = rows[i].flags & TRUSTED,
			.may_be_null = rows[i].flags & MAYBE_NULL,
		};
		return true;
	}
	return false;
}

/* A pointer to a struct, or to a number, which is as good as a number. */
static int load_pointer(struct load *load, const struct fort_btf_type *pointer)
{
	struct fort_btf_type target = fort_btf_strip(load->btf, pointer->ref);
	struct fort_btf_ctx_value said = {0};
	uint32_t bit = load->arg < 16 ? 1u << load->arg : 0;

	if (load->bytes != WORD)
		return SAY(load, CTX_SIZE, load->bytes);
	if (ask_iterator(load, &said)) {
		said.type = said.kind == FORT_CTX_POINTER ? target.id : 0;
		*load->out = said;
		return 0;
	}
	if (target.kind == FORT_BTF_VOID || target.kind == FORT_BTF_INT)
		return 0;
	if (!fort_btf_is_struct(target.kind))
		return SAY(load, CTX_NO_STRUCT, load->arg, target.kind);
	*load->out = (struct fort_btf_ctx_value){
		.kind = FORT_CTX_POINTER,
		.traits = fort_btf_pointer_traits(load->btf, pointer) & ~FORT_TRAIT_RCU,
		.is_trusted = load->target->is_trusted,
		.may_be_null = load->target->null & bit,
		.type = target.id,
	};
	/* K: the name that stands where the result's would is never looked at */
	if (load->arg < load->n_params &&
	    fort_btf_has_suffix(load->btf, param_of(load).name, "__nullable"))
		load->out->may_be_null = true;
	if (load->target->error & bit) {
		*load->out = (struct fort_btf_ctx_value){0};
		(void)SAY(load, CTX_MAY_BE_ERROR, load->arg, target.id, target.kind, target.name,
			  load->arg);
		return 0;
	}
	(void)SAY(load, CTX_HAS_TYPE, load->arg, target.id, target.kind, target.name);
	return 0;
}

static int load_value(struct load *load)
{
	struct fort_btf_type type;
	uint32_t id;
	int err;

	if (load->offset % WORD)
		return SAY(load, CTX_OFFSET, load->offset);
	load->arg = arg_at(load);
	if (load->arg > load->n_params)
		return SAY(load, CTX_NO_ARGUMENT, load->arg + 1);
	if (load->arg == load->n_params) {
		err = find_result(load, &id);
		if (err)
			return err;
	} else if (load->target->proto) {
		id = param_of(load).type;
	}
	if (!load->target->proto)
		return 0;
	type = fort_btf_strip(load->btf, id);
	if (is_small_number(type.kind, type.size) || type.kind == FORT_BTF_ENUM ||
	    type.kind == FORT_BTF_ENUM64 || fort_btf_is_struct(type.kind))
		return 0;
	if (type.kind != FORT_BTF_PTR)
		return SAY(load, CTX_NO_POINTER, load->arg, type.name, type.kind);
	return load_pointer(load, &type);
}

int fort_btf_target_access(const struct fort_btf_target *target, uint32_t offset, uint32_t bytes,
			   struct fort_btf_ctx_value *out, struct fort_btf_remark *remark)
{
	struct fort_btf_ctx_value value = {.kind = FORT_CTX_NUMBER};
	struct load load = {
		.target = target,
		.btf = target->btf,
		.proto = fort_btf_type(target->btf, target->proto),
		.offset = offset,
		.bytes = bytes,
		.n_params = UNKNOWN_ARGS,
		.out = &value,
		.remark = remark,
	};
	int err;

	*remark = (struct fort_btf_remark){0};
	if (offset >= CONTEXT_BYTES || !bytes || offset % bytes)
		return -EACCES;
	if (target->proto) {
		if (load.proto.kind != FORT_BTF_FUNC_PROTO || load.proto.vlen < target->hidden)
			return -EACCES;
		load.n_params = load.proto.vlen - target->hidden;
	}
	err = load_value(&load);
	if (!err)
		*out = value;
	return err;
}
