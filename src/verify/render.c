#include "verify/render.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "abi/uapi.h"
#include "step/kernel.h"

static const struct fort_diag_info rows[FORT_DIAGS] = {
#define FORT_DIAG(id, code_, errno_, class_, kernel_, title_, message_, needed_, known_, hint_) \
	[FORT_DIAG_##id] = {.code = code_,                                                      \
			    .class_name = #class_,                                              \
			    .errno_value = errno_,                                              \
			    .class = FORT_CLASS_##class_,                                       \
			    .kernel = kernel_,                                                  \
			    .title = title_,                                                    \
			    .message = message_,                                                \
			    .needed = needed_,                                                  \
			    .known = known_,                                                    \
			    .hint = hint_},
#include "step/diag.def"
};

const struct fort_diag_info *fort_diag_info(enum fort_diag diag)
{
	return &rows[diag < FORT_DIAGS ? diag : FORT_DIAG_NONE];
}

/* --- placeholders --- */

/* A placeholder: a name, perhaps followed by the number of an argument. */
struct placeholder {
	const char *name;
	bool numbered;
	void (*put)(const struct fort_render *render, int64_t arg, struct fort_text *out);
};

static void put_decimal(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, "%" PRId64, arg);
}

static void put_signed(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, "%+" PRId64, arg);
}

static void put_unsigned(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, "%" PRIu64, (uint64_t)arg);
}

static void put_hex(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, "%02" PRIx64, (uint64_t)arg);
}

static void put_helper(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, "%s", fort_helper_kernel_name((uint32_t)arg));
}

static void put_operator(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (fort_rows[row].op == arg) {
			fort_text_add(out, "%s", fort_rows[row].symbol);
			return;
		}
}

static void put_direction(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, arg ? "write" : "read");
}

static void put_register(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%u", render->violation->reg);
}

static void put_type(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_type_text(&render->violation->value, out);
}

/* The same without what must be looked at first. */
static void put_plain_type(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	struct fort_value plain = render->violation->value;

	(void)arg;
	plain.flags &= FORT_TRUSTED | FORT_RCU | FORT_ALLOC;
	fort_type_text(&plain, out);
}

static void put_article(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	struct fort_text type = fort_text_new();

	(void)arg;
	fort_type_text(&render->violation->value, &type);
	fort_text_add(out, type.data && strchr("aeiou", type.data[0]) ? "an" : "a");
	fort_text_free(&type);
}

static void put_range(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_range_text(&render->violation->value.num, out);
}

static void put_bits(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_value *value = &render->violation->value;
	struct fort_scalar num = value->num;

	(void)arg;
	/* K: of a pointer's offset the part that varies. */
	if (fort_value_is_pointer(value))
		num = fort_scalar_plus(&num, fort_wrap_sub(0, fort_scalar_smin(&num)));
	fort_text_add(out, "(0x%" PRIx64 "; 0x%" PRIx64 ")", num.bits.value, num.bits.mask);
}

/* K: what varies of the offset comes first, 0 if nothing does. */
static void put_varies(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	if (fort_scalar_is_const(&render->violation->value.num))
		fort_text_add(out, "0");
	else
		put_bits(render, arg, out);
}

/* "stack ", "value ": the kernel's word for what an access misses. */
static void put_memory(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	uint8_t type = render->violation->value.type;

	(void)arg;
	fort_text_add(out, "%s",
		      type == FORT_STACK       ? "stack "
		      : type == FORT_MAP_VALUE ? "value "
					       : "");
}

static void put_text(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%s", render->violation->text ? render->violation->text : "?");
}

static void put_field(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%s", render->violation->field ? render->violation->field : "?");
}

static void put_prog(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%s", render->env ? render->env->hook.prog->name : "?");
}

static void put_pc(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%u", render->violation->pc);
}

static void put_last(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const int64_t *args = render->violation->args;

	fort_text_add(out, "%" PRId64, fort_wrap_add(args[0], args[1] - 1 + arg));
}

static void put_end(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	put_last(render, arg + 1, out);
}

/* The kernel's line about an access that left its object. */
static void put_object_line(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_violation *v = render->violation;
	const char *format =
		"invalid access to memory, mem_size=%" PRId64 " off=%" PRId64 " size=%" PRId64;

	(void)arg;
	if (v->value.type == FORT_MAP_VALUE)
		format = "invalid access to map value, value_size=%" PRId64 " off=%" PRId64
			 " size=%" PRId64;
	else if (v->value.type == FORT_MAP_KEY)
		format = "invalid access to map key, key_size=%" PRId64 " off=%" PRId64
			 " size=%" PRId64;
	fort_text_add(out, format, v->args[3], v->args[0], v->args[1]);
}

/* The same for packets: offsets from where the pointer's symbol was made. */
static void put_packet_line(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_violation *v = render->violation;
	bool known = fort_scalar_is_const(&v->value.num);
	int64_t fixed = known ? fort_scalar_smin(&v->value.num) : v->value.sym ? v->value.delta : 0;
	int64_t proven = fort_wrap_add(v->args[3], fixed);
	int64_t off = fort_wrap_add(fixed, v->args[0]);

	(void)arg;
	fort_text_add(out,
		      "invalid access to packet, off=%" PRId64 " size=%" PRId64
		      ", R%u(id=%u,off=%" PRId64 ",r=%" PRId64 ")",
		      off, v->args[1], v->reg, v->value.sym, off, proven);
}

static void put_stack_access(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const int64_t *args = render->violation->args;

	(void)arg;
	fort_text_add(out, args[2] ? "write to" : "read from");
}

/* Where an argument in the stack begins: what varies of it, if something does. */
static void put_stack_place(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	if (fort_scalar_is_const(&render->violation->value.num)) {
		fort_text_add(out, "off %" PRId64, render->violation->args[0]);
	} else {
		fort_text_add(out, "var_off ");
		put_bits(render, 0, out);
	}
}

/* The kernel's word for where an address goes, by enum fort_type. */
static void put_into(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	switch (arg) {
	case FORT_MAP_VALUE: fort_text_add(out, "map"); break;
	case FORT_CTX: fort_text_add(out, "ctx"); break;
	case FORT_PACKET:
	case FORT_PACKET_META: fort_text_add(out, "packet"); break;
	case FORT_FLOW_KEYS: fort_text_add(out, "flow keys"); break;
	default: fort_text_add(out, "mem");
	}
}

static void put_buffer(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_value *value = &render->violation->value;

	(void)arg;
	fort_text_add(out, value->type == FORT_TP_BUFFER          ? "tracepoint"
			   : value->flags & (uint16_t)FORT_RDONLY ? "rdonly"
								  : "rdwr");
}

/* A special field, by enum fort_btf_field_kind. */
static void put_special(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, "%s", fort_btf_field_name((uint8_t)arg));
}

/* What an argument is refused for: the kernel's line about it. */
static void put_inner(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	struct fort_violation inner = *render->violation;
	struct fort_render as = *render;

	(void)arg;
	inner.diag = inner.inner;
	inner.inner = FORT_DIAG_NONE;
	as.violation = &inner;
	if (inner.diag)
		fort_render_text(&as, fort_diag_info(inner.diag)->kernel, out);
}

static void put_arg(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%u", render->violation->arg);
}

static void put_next(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%u", render->violation->arg + 1u);
}

/* --- the kernel's types --- */

static const struct fort_btf *types_of(const struct fort_render *render)
{
	return render->env && render->env->kernel ? render->env->kernel->btf : NULL;
}

static void put_kind_of(uint8_t kind, struct fort_text *out)
{
	fort_text_add(out, "%s", fort_btf_kind_name(kind));
}

static const char *name_of(const struct fort_render *render, int64_t id)
{
	const struct fort_btf *btf = types_of(render);
	const char *name = btf ? fort_btf_string(btf, fort_btf_type(btf, (uint32_t)id).name) : NULL;

	return name ? name : "?";
}

static void put_kind(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	put_kind_of((uint8_t)arg, out);
}

/* "STRUCT task_struct", of a type of the kernel. */
static void put_struct(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_btf *btf = types_of(render);

	put_kind_of(btf ? fort_btf_type(btf, (uint32_t)arg).kind : (uint8_t)FORT_BTF_NONE, out);
	fort_text_add(out, " %s", name_of(render, arg));
}

static void put_type_name(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	fort_text_add(out, "%s", name_of(render, arg));
}

/* An iterator by what it goes through: "num", "task". */
static void put_iter(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	fort_text_add(out, "%s", fort_iter_text(name_of(render, arg)));
}

static void put_dynptr(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)render;
	fort_text_add(out, "%s", fort_dynptr_text(arg));
}

static const struct fort_kfunc_ref *kfunc_at(const struct fort_render *render)
{
	return render->env
		       ? fort_env_kfunc(render->env,
					&render->env->graph->program.insns[render->violation->pc])
		       : NULL;
}

static void put_kfunc(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_kfunc_ref *ref = kfunc_at(render);

	(void)arg;
	fort_text_add(out, "%s", ref ? name_of(render, ref->imm) : "?");
}

/* What a function of the kernel returns a pointer to. */
static void put_result(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_kfunc_ref *ref = kfunc_at(render);

	put_struct(render, ref ? ref->proto.result.type : 0, out);
	(void)arg;
}

/* The struct behind the register. */
static void put_named(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%s", name_of(render, render->violation->value.object));
}

static void put_remark(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_btf_remark_print(&render->violation->remark, out);
}

/* What is known of a returned number (K: verbose_invalid_scalar). */
static void put_returned(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_scalar *num = &render->violation->value.num;
	int64_t low = fort_scalar_smin(num), high = fort_scalar_smax(num);

	(void)arg;
	if (low > INT64_MIN)
		fort_text_add(out, " smin=%" PRId64, low);
	if (high < INT64_MAX)
		fort_text_add(out, " smax=%" PRId64, high);
	if (low == INT64_MIN && high == INT64_MAX)
		fort_text_add(out, " unknown scalar value");
}

static void put_note(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	if (render->violation->field)
		fort_text_add(out, "\n%s", render->violation->field);
}

/* What the kernel expects in place of a wrong argument; args[2] is the prototype's kind. */
static void put_expected(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_fits_text(fort_args[render->violation->args[2]].fits, out);
}

static void put_ctx_field(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_ctx_field *field =
		render->env ? fort_ctx_field_at(render->env->hook.prog, render->violation->args[0])
			    : NULL;

	(void)arg;
	if (field)
		fort_text_add(out, "`%s`, bytes %u..%u",
			      fort_ctx_field_name(render->env->hook.prog, field), field->offset,
			      field->offset + field->bytes - 1);
	else
		fort_text_add(out, "no field");
}

static void put_loop_states(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	for (unsigned i = 0; render->state && i < 2; i++) {
		fort_text_add(out, i ? "\nold state:" : "\ncur state:");
		fort_frame_text(render->env, render->names, render->state,
				render->state->n_frames - 1, UINT16_MAX, UINT64_MAX, out);
	}
}

/* The subprogram that the instruction names, or -1. */
static int64_t named_subprog(const struct fort_render *render)
{
	const struct fort_program *program = &render->env->graph->program;
	const struct fort_insn *insn = &program->insns[render->violation->pc];

	if (!fort_insn_names_subprog(insn))
		return -1;
	return fort_subprog_at(program, fort_insn_target(insn, render->violation->pc));
}

static const struct fort_prototype_words *named_words(const struct fort_render *render)
{
	int64_t subprog = named_subprog(render);

	return subprog >= 0 && render->env->words ? &render->env->words[subprog] : NULL;
}

static void put_callee(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%" PRId64, named_subprog(render));
}

static void put_func(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_prototype_words *words = named_words(render);

	(void)arg;
	fort_text_add(out, "%s", words && words->name ? words->name : "");
}

static void put_prototype(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_prototype_words *words = named_words(render);

	(void)arg;
	if (words)
		fort_btf_remark_print(&words->why, out);
}

/* The name of the map whose value the register points to. */
static void put_map_name(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	const struct fort_print_names *names = render->names;
	const char *name = names && names->map
				   ? names->map(names->context, render->violation->value.object)
				   : NULL;

	(void)arg;
	fort_text_add(out, "%s", name ? name : "");
}

static void put_isa(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%s", render->isa ? render->isa : "?");
}

static void put_fault(const struct fort_render *render, int64_t arg, struct fort_text *out)
{
	(void)arg;
	fort_text_add(out, "%s", render->fault ? render->fault : "?");
}

static const struct placeholder placeholders[] = {
	{"", true, put_decimal},
	{"+", true, put_signed},
	{"u", true, put_unsigned},
	{"h", true, put_hex},
	{"helper", true, put_helper},
	{"op", true, put_operator},
	{"rw", true, put_direction},
	{"into", true, put_into},
	{"special", true, put_special},
	{"kind", true, put_kind},
	{"struct", true, put_struct},
	{"name", true, put_type_name},
	{"iter", true, put_iter},
	{"dynptr", true, put_dynptr},
	{"kfunc", false, put_kfunc},
	{"result", false, put_result},
	{"named", false, put_named},
	{"remark", false, put_remark},
	{"inner", false, put_inner},
	{"arg", false, put_arg},
	{"next", false, put_next},
	{"plain_type", false, put_plain_type},
	{"r", false, put_register},
	{"type", false, put_type},
	{"article", false, put_article},
	{"range", false, put_range},
	{"bits", false, put_bits},
	{"varies", false, put_varies},
	{"memory", false, put_memory},
	{"group", false, put_text},
	{"field", false, put_field},
	{"prog", false, put_prog},
	{"pc", false, put_pc},
	{"last", false, put_last},
	{"end", false, put_end},
	{"object_line", false, put_object_line},
	{"packet_line", false, put_packet_line},
	{"stack_access", false, put_stack_access},
	{"stack_place", false, put_stack_place},
	{"buffer", false, put_buffer},
	{"returned", false, put_returned},
	{"note", false, put_note},
	{"expected", false, put_expected},
	{"ctx_field", false, put_ctx_field},
	{"callee", false, put_callee},
	{"func", false, put_func},
	{"prototype", false, put_prototype},
	{"map", false, put_map_name},
	{"fault", false, put_fault},
	{"isa", false, put_isa},
	{"loop_states", false, put_loop_states},
};

static bool fill_word(const struct fort_render *render, const char *name, size_t length,
		      struct fort_text *out)
{
	for (uint32_t i = 0; i < render->n_words; i++) {
		const struct fort_word *word = &render->words[i];

		if (strlen(word->name) != length || memcmp(word->name, name, length) != 0)
			continue;
		fort_text_add(out, "%s", word->text);
		return true;
	}
	return false;
}

/* Fills the placeholder named by `length` characters; false if there is none of that name. */
static bool fill(const struct fort_render *render, const char *name, size_t length,
		 struct fort_text *out)
{
	if (fill_word(render, name, length, out))
		return true;
	for (size_t i = 0; i < FORT_LEN(placeholders); i++) {
		const struct placeholder *p = &placeholders[i];
		size_t own = strlen(p->name);
		unsigned number = 0;

		if (length != own + p->numbered || memcmp(name, p->name, own))
			continue;
		if (p->numbered) {
			number = (unsigned)(name[own] - '0');
			if (number >= FORT_LEN(render->violation->args))
				continue;
		}
		p->put(render, p->numbered ? render->violation->args[number] : 0, out);
		return true;
	}
	return false;
}

void fort_render_text(const struct fort_render *render, const char *text, struct fort_text *out)
{
	while (*text) {
		size_t plain = strcspn(text, "{");
		const char *end = strchr(text + plain, '}');

		fort_text_put(out, text, plain);
		text += plain;
		if (!*text)
			return;
		if (end && fill(render, text + 1, (size_t)(end - text) - 1, out)) {
			text = end + 1;
			continue;
		}
		fort_text_put(out, text++, 1);
	}
}

/* --- programs that never reach the search --- */

struct fort_violation fort_decode_violation(const struct fort_decode_error *error)
{
	static const enum fort_diag diags[] = {
		[FORT_DECODE_UNKNOWN_OPCODE] = FORT_DIAG_UNKNOWN_OPCODE,
		[FORT_DECODE_RESERVED_FIELD] = FORT_DIAG_RESERVED_FIELD,
		[FORT_DECODE_BAD_REGISTER] = FORT_DIAG_BAD_REGISTER,
		[FORT_DECODE_FRAME_POINTER_WRITE] = FORT_DIAG_FRAME_POINTER,
		[FORT_DECODE_BAD_ATOMIC] = FORT_DIAG_BAD_ATOMIC,
		[FORT_DECODE_HALF_LDIMM] = FORT_DIAG_BAD_LDIMM,
		[FORT_DECODE_BAD_LDIMM_SRC] = FORT_DIAG_BAD_LDIMM_SRC,
		[FORT_DECODE_SPACE_CAST] = FORT_DIAG_SPACE_CAST_LATER,
	};
	struct fort_violation v = {.diag = (uint16_t)diags[error->fault],
				   .reg = FORT_REGS,
				   .pc = error->pc,
				   .text = error->group,
				   .field = error->field};
	const struct fort_raw_insn *raw = &error->insn;

	switch (error->fault) {
	case FORT_DECODE_UNKNOWN_OPCODE: v.args[0] = raw->opcode; break;
	case FORT_DECODE_BAD_ATOMIC: v.args[0] = (uint32_t)raw->imm; break;
	case FORT_DECODE_BAD_LDIMM_SRC: v.args[0] = raw->src; break;
	default:
		if (error->field)
			v.args[0] = !strcmp(error->field, "dst")   ? raw->dst
				    : !strcmp(error->field, "src") ? raw->src
				    : !strcmp(error->field, "off") ? raw->off
								   : raw->imm;
	}
	return v;
}

struct fort_violation fort_graph_violation(const struct fort_graph_error *error)
{
	static const enum fort_diag diags[] = {
		[FORT_GRAPH_JUMP_OUT] = FORT_DIAG_JUMP_OUT,
		[FORT_GRAPH_JUMP_LDIMM] = FORT_DIAG_JUMP_LDIMM,
		[FORT_GRAPH_FALL_OFF] = FORT_DIAG_FALL_OFF,
		[FORT_GRAPH_UNREACHABLE] = FORT_DIAG_UNREACHABLE,
		[FORT_GRAPH_CALL_OUT] = FORT_DIAG_CALL_OUT,
		[FORT_GRAPH_SUBPROGS] = FORT_DIAG_TOO_MANY_SUBPROGS,
	};
	bool counts = error->fault == FORT_GRAPH_SUBPROGS;

	return (struct fort_violation){.diag = (uint16_t)diags[error->fault],
				       .reg = FORT_REGS,
				       .pc = error->pc,
				       .args = {counts ? FORT_SUBPROGS_MAX : error->target}};
}
