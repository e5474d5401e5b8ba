#include "lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "isa/explain.h"
#include "verify/render.h"

const struct fort_map_shape lab_shapes[LAB_ALL_MAPS] = {
	[LAB_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 48, 4, 0, 0},
	[LAB_HASH] = {BPF_MAP_TYPE_HASH, 8, 16, 8, 0, 0},
	[LAB_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 0},
	[LAB_GLOBAL] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, 0},
	[LAB_RDONLY] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, BPF_F_RDONLY_PROG, 0},
	[LAB_WRONLY] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, BPF_F_WRONLY_PROG, 0},
	[LAB_PERCPU] = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 24, 2, 0, 0},
	[LAB_WIDE] = {BPF_MAP_TYPE_HASH, 64, 200, 4, 0, 0},
	[LAB_BYTE] = {BPF_MAP_TYPE_ARRAY, 4, 1, 1, 0, 0},
	[LAB_PROGS] = {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2, 0, 0},
	[LAB_LOCK] = {BPF_MAP_TYPE_ARRAY, 4, 16, 1, 0, 0},
	[LAB_LOCKS] = {BPF_MAP_TYPE_HASH, 8, 16, 8, 0, 0},
	[LAB_TIMERS] = {BPF_MAP_TYPE_HASH, 8, 24, 8, 0, 0},
	[LAB_TIMERS_TOO] = {BPF_MAP_TYPE_HASH, 8, 24, 8, 0, 0},
};

#define LOCK_AT_4                                                               \
	{                                                                       \
		.count = 1, .kinds = 1u << FORT_FIELD_SPIN_LOCK, .fields = {    \
			{.offset = 4, .bytes = 4, .kind = FORT_FIELD_SPIN_LOCK} \
		}                                                               \
	}
#define TIMER_AT_8                                                           \
	{                                                                    \
		.count = 1, .kinds = 1u << FORT_FIELD_TIMER, .fields = {     \
			{.offset = 8, .bytes = 16, .kind = FORT_FIELD_TIMER} \
		}                                                            \
	}

const struct fort_map_fields lab_fields[LAB_ALL_MAPS] = {
	[LAB_LOCK] = {.typed = 1, .record = LOCK_AT_4},
	[LAB_LOCKS] = {.typed = 1, .record = LOCK_AT_4},
	[LAB_TIMERS] = {.typed = 1, .record = TIMER_AT_8},
	[LAB_TIMERS_TOO] = {.typed = 1, .record = TIMER_AT_8},
};

/* Does the program name one of the maps that nothing runs with? */
static bool names_others(const struct lab *lab)
{
	for (uint32_t pc = 0; pc < lab->n_insns; pc++)
		if (lab->insns[pc].kind == FORT_LDIMM &&
		    (lab->insns[pc].op == FORT_OP_MAP_IDX ||
		     lab->insns[pc].op == FORT_OP_MAP_IDX_VALUE) &&
		    (uint32_t)lab->insns[pc].imm >= LAB_MAPS)
			return true;
	return false;
}

static bool prepare(struct lab *lab, const char *type)
{
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_text text = fort_text_on(lab->error, sizeof(lab->error));

	memcpy(lab->maps, lab_shapes, sizeof(lab_shapes));
	lab->insns = FORT_ARENA_ARRAY(&lab->arena, lab->n_insns, struct fort_insn);
	if (fort_insn_decode(lab->raw, lab->n_insns, lab->insns, &decode_error)) {
		fort_decode_error_text(&decode_error, &text);
		lab->form = fort_decode_violation(&decode_error);
		return false;
	}
	if (fort_graph_build(&lab->arena, lab->insns, lab->n_insns, &lab->graph, &graph_error)) {
		fort_graph_error_text(&graph_error, &text);
		lab->form = fort_graph_violation(&graph_error);
		return false;
	}
	lab->env.graph = &lab->graph;
	lab->env.hook.prog = fort_prog_by_name(type);
	lab->env.maps = lab->maps;
	lab->env.n_maps = names_others(lab) ? LAB_ALL_MAPS : LAB_MAPS;
	lab->env.fields = lab_fields;
	lab->env.rights = LAB_ALL_RIGHTS;
	lab->env.gpl = true;
	lab->env.access = FORT_ARENA_ARRAY(&lab->arena, lab->n_insns, struct fort_access);
	lab->env.demands = FORT_ARENA_ARRAY(&lab->arena, FORT_DEMANDS_MAX, struct fort_root);
	return lab->env.hook.prog && lab->env.access && lab->env.demands &&
	       !fort_env_complete(&lab->env, &lab->arena);
}

/* --- functions --- */

static bool read_param(const char *word, struct fort_prototype *out)
{
	static const struct {
		const char *word;
		uint8_t kind;
	} kinds[] = {{"number", FORT_FUNC_NUMBER}, {"ctx", FORT_FUNC_CONTEXT},
		     {"any", FORT_FUNC_MEMORY},    {"struct", FORT_FUNC_STRUCT},
		     {"dynptr", FORT_FUNC_DYNPTR}, {"arena", FORT_FUNC_ARENA}};
	struct fort_param *param = &out->params[out->n_params++];

	if (!strcmp(word, "bad")) {
		*out = (struct fort_prototype){.linkage = FORT_LINKAGE_GLOBAL, .err = EINVAL};
		return true;
	}
	if (!strncmp(word, "mem", 3)) {
		param->kind = FORT_FUNC_MEMORY;
		param->may_be_null = word[3] == '?';
		return sscanf(word + 3 + param->may_be_null, ":%u", &param->bytes) == 1;
	}
	for (size_t i = 0; i < FORT_LEN(kinds); i++)
		if (!strcmp(word, kinds[i].word)) {
			param->kind = kinds[i].kind;
			param->is_untrusted = !strcmp(word, "any");
			return true;
		}
	return false;
}

/* "static NAME" or "global NAME(PARAM, ...)". */
static bool read_function(struct lab *lab, uint32_t subprog, char *text)
{
	struct fort_prototype *out = &lab->prototypes[subprog];
	char *rest, linkage[8], *params = strchr(text, '(');

	if (params)
		*params++ = 0;
	if (sscanf(text, " %7s %31s", linkage, lab->names[subprog]) != 2)
		return false;
	lab->words[subprog].name = lab->names[subprog];
	out->linkage = params ? FORT_LINKAGE_GLOBAL : FORT_LINKAGE_STATIC;
	if (strcmp(linkage, params ? "global" : "static"))
		return false;
	for (char *word = params ? strtok_r(params, " ,)", &rest) : NULL; word;
	     word = strtok_r(NULL, " ,)", &rest))
		if (out->n_params == FORT_BTF_FUNC_ARGS_MAX || !read_param(word, out))
			return false;
	if (out->err) /* TAGS_TOGETHER of the first parameter: the remark needs no BTF */
		lab->words[subprog].why = (struct fort_btf_remark){.id = FORT_REMARK_TAGS_TOGETHER};
	return true;
}

bool lab_describe(struct lab *lab, const char *functions)
{
	char copy[1024], *rest;
	uint32_t n = 1;

	snprintf(copy, sizeof(copy), "%s", functions);
	lab->prototypes[0] = (struct fort_prototype){.linkage = FORT_LINKAGE_GLOBAL, .n_params = 1};
	lab->prototypes[0].params[0].kind = FORT_FUNC_CONTEXT;
	lab->words[0].name = "lab";
	for (char *text = strtok_r(copy, ";", &rest); text; text = strtok_r(NULL, ";", &rest))
		if (!strcmp(text, "main"))
			lab->prototypes[0].linkage = FORT_LINKAGE_STATIC;
		else if (n == LAB_FUNCTIONS || !read_function(lab, n++, text))
			return false;
	lab->env.prototypes = lab->prototypes;
	lab->env.words = lab->words;
	return n == lab->graph.program.n_subprogs;
}

/* --- programs --- */

bool lab_open_raw(struct lab *lab, const char *type, const struct fort_raw_insn *raw, uint32_t n)
{
	memset(lab, 0, sizeof(*lab));
	fort_arena_init(&lab->arena, FORT_SEARCH_BYTES_MAX);
	if (!n || n > LAB_INSNS) {
		snprintf(lab->error, sizeof(lab->error), "%u instructions", n);
		return false;
	}
	memcpy(lab->raw, raw, n * sizeof(*raw));
	lab->n_insns = n;
	return prepare(lab, type);
}

bool lab_open(struct lab *lab, const char *type, const char *assembly)
{
	struct fort_asm_error error;
	struct fort_assembly code;

	memset(lab, 0, sizeof(*lab));
	fort_arena_init(&lab->arena, FORT_SEARCH_BYTES_MAX);
	if (fort_assemble(&lab->arena, assembly, strlen(assembly), &code, &error)) {
		struct fort_text text = fort_text_on(lab->error, sizeof(lab->error));

		fort_asm_error_text(&error, &text);
		return false;
	}
	if (code.n_insns > LAB_INSNS)
		return false;
	memcpy(lab->raw, code.insns, code.n_insns * sizeof(lab->raw[0]));
	lab->n_insns = code.n_insns;
	return prepare(lab, type);
}

void lab_free(struct lab *lab)
{
	fort_buf_free(&lab->result.certificate);
	fort_arena_free(&lab->arena);
}

bool lab_search(struct lab *lab, enum fort_sabotage sabotage)
{
	struct fort_verify_options options = {.budget_insns = FORT_BUDGET_INSNS,
					      .sabotage = sabotage};

	fort_buf_free(&lab->result.certificate);
	return !fort_verify_search(&lab->env, &lab->arena, &options, &lab->result);
}

bool lab_check(struct lab *lab, const void *bytes, size_t n_bytes)
{
	struct fort_arena arena;
	bool good;

	fort_arena_init(&arena, FORT_SEARCH_BYTES_MAX);
	good = fort_certificate_check((struct fort_span){bytes, n_bytes}, &lab->env, &arena,
				      &lab->check, &lab->proven);
	fort_arena_free(&arena);
	return good;
}
