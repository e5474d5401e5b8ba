#include "verify/words.h"

#include <inttypes.h>
#include <string.h>

#include "domain/compare.h"

static const char *const kinds[FORT_TYPES] = {
	[FORT_NONE] = "nothing",
	[FORT_NUM] = "number",
	[FORT_CTX] = "context pointer",
	[FORT_STACK] = "stack pointer",
	[FORT_MAP] = "map",
	[FORT_MAP_VALUE] = "map value pointer",
	[FORT_MAP_KEY] = "map key pointer",
	[FORT_PACKET] = "packet pointer",
	[FORT_PACKET_META] = "packet metadata pointer",
	[FORT_PACKET_END] = "packet end pointer",
	[FORT_FLOW_KEYS] = "flow keys pointer",
	[FORT_SOCKET] = "socket pointer",
	[FORT_SOCK_COMMON] = "socket pointer",
	[FORT_TCP_SOCK] = "TCP socket pointer",
	[FORT_XDP_SOCK] = "XDP socket pointer",
	[FORT_TP_BUFFER] = "tracepoint buffer pointer",
	[FORT_MEM] = "memory pointer",
	[FORT_RING_MEM] = "ring buffer record pointer",
	[FORT_BUF] = "buffer pointer",
	[FORT_BTF] = "kernel object pointer",
	[FORT_FUNC] = "function",
	[FORT_DYNPTR] = "dynptr",
	[FORT_ITER] = "iterator",
	[FORT_ARENA] = "arena pointer",
};

void fort_words_cell(struct fort_cell cell, struct fort_text *out)
{
	switch (cell.kind) {
	case FORT_CELL_REG: fort_text_add(out, "r%u", cell.index); break;
	case FORT_CELL_SLOT: fort_text_add(out, "fp-%u", 8 * (cell.index + 1u)); break;
	case FORT_CELL_PACKET: fort_text_add(out, "the packet's length"); break;
	case FORT_CELL_META: fort_text_add(out, "the metadata's length"); break;
	default: fort_text_add(out, "a counter"); break;
	}
}

void fort_words_article(const char *word, struct fort_text *out)
{
	fort_text_add(out, "%s %s", *word && strchr("aeiou", *word) ? "an" : "a", word);
}

void fort_words_kind(const struct fort_value *value, struct fort_text *out)
{
	fort_text_add(out, "%s%s", kinds[value->type < FORT_TYPES ? value->type : FORT_NONE],
		      value->flags & FORT_MAYBE_NULL ? ", or NULL" : "");
}

void fort_words_range(const struct fort_scalar *num, struct fort_text *out)
{
	int64_t low = fort_scalar_smin(num), high = fort_scalar_smax(num);

	if (low == INT64_MIN && high == INT64_MAX) {
		fort_text_add(out, "of any value");
	} else if (low == high) {
		fort_text_add(out, "%" PRId64, low);
	} else {
		fort_text_add(out, "in ");
		fort_range_text(num, out);
	}
}

static void put_number(const struct fort_value *value, struct fort_text *out)
{
	int64_t low = fort_scalar_smin(&value->num), high = fort_scalar_smax(&value->num);

	if (low == high)
		fort_text_add(out, "the number %" PRId64, low);
	else if (low == INT64_MIN && high == INT64_MAX)
		fort_text_add(out, "any number");
	else {
		fort_text_add(out, "a number in ");
		fort_range_text(&value->num, out);
	}
}

static void put_map(const struct fort_print_names *names, const struct fort_value *value,
		    struct fort_text *out)
{
	const char *name = names && names->map ? names->map(names->context, value->object) : NULL;

	if (name && *name)
		fort_text_add(out, " `%s`", name);
	else
		fort_text_add(out, " %u", value->object);
}

static bool has_offset(const struct fort_value *value)
{
	return !fort_scalar_is_const(&value->num) || value->num.arc.base;
}

/* What is pointed to, with its size or name. */
static void put_pointer(const struct fort_print_names *names, const struct fort_value *value,
			struct fort_text *out)
{
	switch (value->type) {
	case FORT_CTX: fort_text_add(out, "the context"); break;
	case FORT_STACK: fort_text_add(out, "an address of the stack"); break;
	case FORT_MAP: fort_text_add(out, "map"); break;
	case FORT_MAP_VALUE: fort_text_add(out, "a value of map"); break;
	case FORT_MAP_KEY: fort_text_add(out, "a key of map"); break;
	case FORT_PACKET_END: fort_text_add(out, "the end of the packet"); break;
	case FORT_MEM: fort_text_add(out, "a pointer to %u bytes of memory", value->object); break;
	case FORT_RING_MEM:
		fort_text_add(out, "a ring buffer record of %u bytes", value->object);
		break;
	default: fort_words_article(kinds[value->type], out);
	}
	if (value->type == FORT_MAP || value->type == FORT_MAP_VALUE || value->type == FORT_MAP_KEY)
		put_map(names, value, out);
}

void fort_words_value(const struct fort_env *env, const struct fort_print_names *names,
		      const struct fort_value *value, struct fort_text *out)
{
	(void)env;
	if (value->type == FORT_NONE || value->type >= FORT_TYPES) {
		fort_text_add(out, "nothing");
		return;
	}
	if (value->type == FORT_NUM) {
		put_number(value, out);
		return;
	}
	put_pointer(names, value, out);
	if (value->flags & FORT_MAYBE_NULL)
		fort_text_add(out, ", or NULL");
	if (!has_offset(value))
		return;
	fort_text_add(out, value->type == FORT_STACK ? " (fp" : " (offset ");
	if (fort_scalar_is_const(&value->num))
		fort_text_add(out, value->type == FORT_STACK ? "%+" PRId64 : "%" PRId64,
			      fort_scalar_smin(&value->num));
	else if (value->type == FORT_STACK)
		fort_text_add(out, " + ");
	if (!fort_scalar_is_const(&value->num))
		fort_words_range(&value->num, out);
	fort_text_add(out, ")");
}

/* --- comparisons --- */

static const char *relation(const struct fort_comparison *c)
{
	switch (c->primitive) {
	case FORT_CMP_EQ: return c->negate ? "!=" : "==";
	case FORT_CMP_ULT:
	case FORT_CMP_SLT: return c->swap ? ">" : "<";
	default: return c->swap ? ">=" : "<=";
	}
}

static bool is_signed(const struct fort_comparison *c)
{
	return c->primitive == FORT_CMP_SLT || c->primitive == FORT_CMP_SLE;
}

void fort_words_condition(const struct fort_insn *insn, bool taken, struct fort_text *out)
{
	struct fort_comparison c = fort_comparison_when(insn->op, taken);
	char left[8], right[24], letter = insn->bits == 64 ? 'r' : 'w';
	struct fort_text a = fort_text_on(left, sizeof(left));
	struct fort_text b = fort_text_on(right, sizeof(right));

	if (insn->kind != FORT_JCC_K && insn->kind != FORT_JCC_X) {
		fort_text_add(out, taken ? "the jump is taken" : "the jump is not taken");
		return;
	}
	fort_text_add(&a, "%c%u", letter, insn->dst);
	if (insn->kind == FORT_JCC_X)
		fort_text_add(&b, "%c%u", letter, insn->src);
	else
		fort_text_add(&b, "%" PRId64, insn->imm);
	if (c.primitive == FORT_CMP_SET)
		fort_text_add(out, "(%s & %s) %s 0", left, right, c.negate ? "==" : "!=");
	else
		fort_text_add(out, "%s %s %s%s", left, relation(&c), right,
			      is_signed(&c) ? " (signed)" : "");
}

void fort_words_callee(const struct fort_insn *insn, struct fort_text *out)
{
	if (insn->op == FORT_OP_HELPER)
		fort_text_add(out, "%s", fort_helper_kernel_name((uint32_t)insn->imm));
	else if (insn->op == FORT_OP_LOCAL)
		fort_text_add(out, "the function");
	else
		fort_text_add(out, "kernel function #%" PRId64, insn->imm);
}
