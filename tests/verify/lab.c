#include "lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "isa/explain.h"
#include "step/kernel.h"
#include "verify/render.h"

const struct fort_map_shape lab_shapes[LAB_MAPS + LAB_INNER] = {
	[LAB_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 48, 4, 0, 0},
	[LAB_HASH] = {BPF_MAP_TYPE_HASH, 8, 16, 8, 0, 0},
	[LAB_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, 0},
	[LAB_GLOBAL] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, 0},
	[LAB_RDONLY] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, BPF_F_RDONLY_PROG, 0},
	[LAB_WRONLY] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, BPF_F_WRONLY_PROG, 0},
	[LAB_PERCPU] = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 24, 2, 0, 0},
	[LAB_WIDE] = {BPF_MAP_TYPE_HASH, 64, 200, 4, 0, 0},
	[LAB_BYTE] = {BPF_MAP_TYPE_ARRAY, 4, 1, 1, 0, 0},
	[LAB_TEXTS] = {BPF_MAP_TYPE_ARRAY, 4, LAB_TEXT_BYTES, 1, BPF_F_RDONLY_PROG, 1},
	[LAB_ARRAYS] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4, 0, 0, LAB_MAPS + 1},
	[LAB_HASHES] = {BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 4, 0, 0, LAB_MAPS + 2},
	[LAB_PROGS] = {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0, 0},
	[LAB_SOCKETS] = {BPF_MAP_TYPE_SOCKMAP, 4, 4, 4, 0, 0},
	[LAB_SOCKHASH] = {BPF_MAP_TYPE_SOCKHASH, 4, 4, 4, 0, 0},
	[LAB_XSKS] = {BPF_MAP_TYPE_XSKMAP, 4, 4, 4, 0, 0},
	[LAB_CPUS] = {BPF_MAP_TYPE_CPUMAP, 4, 4, 1, 0, 0},
	[LAB_DEVICES] = {BPF_MAP_TYPE_DEVMAP, 4, 4, 4, 0, 0},
	[LAB_QUEUE] = {BPF_MAP_TYPE_QUEUE, 0, 8, 4, 0, 0},
	[LAB_BLOOM] = {BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 4, 0, 0},
	[LAB_EVENTS] = {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4, 0, 0},
	[LAB_STACKS] = {BPF_MAP_TYPE_STACK_TRACE, 4, 128, 4, 0, 0},
	[LAB_GROUPS] = {BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 4, 0, 0},
	[LAB_GROUP_STORAGE] = {BPF_MAP_TYPE_CGROUP_STORAGE, 16, 16, 0, 0, 0},
	[LAB_SOCKET_STORAGE] = {BPF_MAP_TYPE_SK_STORAGE, 4, 16, 0, BPF_F_NO_PREALLOC, 0},
	[LAB_PORTS] = {BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, 4, 0, 0},
	[LAB_LOCKED] = {BPF_MAP_TYPE_ARRAY, 4, sizeof(struct lab_locked), 4, 0, 0},
	[LAB_OWNER] = {BPF_MAP_TYPE_ARRAY, 4, sizeof(struct lab_owner), 4, 0, 0},
	[LAB_ARENA] = {33, 0, 0, 4, BPF_F_MMAPABLE, 0},
	[LAB_SIZES] = {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4, 0, 0, LAB_MAPS + 3},
	[LAB_LOCK] = {BPF_MAP_TYPE_ARRAY, 4, sizeof(struct lab_locked), 1, 0, 0},
	[LAB_LOCKS] = {BPF_MAP_TYPE_HASH, 8, sizeof(struct lab_locked), 8, 0, 0},
	[LAB_TIMERS] = {BPF_MAP_TYPE_HASH, 8, sizeof(struct lab_timed), 8, 0, 0},
	[LAB_TIMERS_TOO] = {BPF_MAP_TYPE_HASH, 8, sizeof(struct lab_timed), 8, 0, 0},
	[LAB_MAPS] = {BPF_MAP_TYPE_ARRAY, 4, 48, 4, 0, 0},
	[LAB_MAPS + 1] = {BPF_MAP_TYPE_HASH, 8, 16, 8, 0, 0},
	[LAB_MAPS + 2] = {BPF_MAP_TYPE_ARRAY, 4, 48, 4, BPF_F_INNER_MAP, 0},
};

const char lab_texts[LAB_TEXT_BYTES] = "%d of %s\0\0\0\0\0\0\0\0"
				       "%q\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				       "hello\0\0\0\0\0\0\0\0\0\0\0"
				       "no end in sight.";

static const uint8_t *const constants[LAB_MAPS] = {[LAB_TEXTS] = (const uint8_t *)lab_texts};

static const struct fort_btf_record locked = {.count = 1,
					      .kinds = 1u << FORT_FIELD_SPIN_LOCK,
					      .fields = {
						      {.offset = offsetof(struct lab_locked, lock),
						       .bytes = 4,
						       .kind = FORT_FIELD_SPIN_LOCK}}};
static const struct fort_btf_record plain = {.count = 0};
static const struct fort_btf_record timed = {.count = 1,
					     .kinds = 1u << FORT_FIELD_TIMER,
					     .fields = {
						     {.offset = offsetof(struct lab_timed, timer),
						      .bytes = 16,
						      .kind = FORT_FIELD_TIMER}}};
static const struct fort_btf_record owner = {.count = 1,
					     .kinds = 1u << FORT_FIELD_KPTR,
					     .fields = {{.offset = offsetof(struct lab_owner, task),
							 .bytes = 8,
							 .kind = FORT_FIELD_KPTR,
							 .scope = FORT_SCOPE_KERNEL}}};
static const struct fort_btf_record *const records[LAB_MAPS + LAB_INNER] = {
	[LAB_LOCKED] = &locked,       [LAB_OWNER] = &owner,  [LAB_LOCK] = &locked,
	[LAB_LOCKS] = &locked,        [LAB_TIMERS] = &timed, [LAB_TIMERS_TOO] = &timed,
	[LAB_SOCKET_STORAGE] = &plain};

/* Does the program name a map that is not of those that run? */
static bool names_others(const struct lab *lab)
{
	for (uint32_t pc = 0; pc < lab->n_insns; pc++)
		if (lab->insns[pc].kind == FORT_LDIMM &&
		    (lab->insns[pc].op == FORT_OP_MAP_IDX ||
		     lab->insns[pc].op == FORT_OP_MAP_IDX_VALUE) &&
		    (uint32_t)lab->insns[pc].imm >= LAB_RUN_MAPS)
			return true;
	return false;
}

static void give_maps(struct lab *lab)
{
	memcpy(lab->maps, lab_shapes, sizeof(lab_shapes));
	lab->env.maps = lab->maps;
	lab->env.n_maps = LAB_RUN_MAPS;
	if (!names_others(lab))
		return;
	lab->env.n_maps = LAB_MAPS;
	lab->env.n_inner = LAB_INNER;
	lab->env.constants = constants;
	lab->env.records = records;
}

static bool prepare(struct lab *lab, const char *type)
{
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_text text = fort_text_on(lab->error, sizeof(lab->error));

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
	lab->env.sleepable = lab->env.hook.prog && lab->env.hook.prog->sleepable == FORT_SLEEP_MUST;
	give_maps(lab);
	lab->env.rights = LAB_ALL_RIGHTS;
	lab->env.cpus = FORT_CPUS_MAX;
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
		     {"any", FORT_FUNC_MEMORY},    {"task", FORT_FUNC_STRUCT},
		     {"task?", FORT_FUNC_STRUCT},  {"task!", FORT_FUNC_STRUCT},
		     {"dynptr", FORT_FUNC_DYNPTR}, {"arena", FORT_FUNC_ARENA}};
	const struct fort_kernel *kernel = lab_kernel();
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
			param->is_untrusted = !strcmp(word, "any") || strchr(word, '!');
			param->may_be_null = strchr(word, '?') != NULL;
			if (param->kind == FORT_FUNC_STRUCT && kernel)
				param->type = fort_btf_find(kernel->btf, "task_struct",
							    FORT_BTF_STRUCT);
			return true;
		}
	return false;
}

/* "static NAME", "void NAME" or "global NAME(PARAM, ...)". */
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
	out->is_void = !params && !strcmp(linkage, "void");
	if (strcmp(linkage, params ? "global" : out->is_void ? "void" : "static"))
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

/* --- the kernel's types --- */

const struct fort_kernel *lab_kernel(void)
{
	static struct fort_kernel *kernel; /* opened once: it is large */
	struct fort_btf_error error;

	if (!kernel && fort_kernel_open(NULL, &kernel, &error))
		return NULL;
	return kernel;
}

/* Words in front of names of the kernel, which stand for ids of its types. */
static const struct {
	const char *word;
	uint8_t kind;
	bool kept; /* in front of the number, too */
} naming[] = {
	{"kfunc ", FORT_BTF_FUNC, true},
	{"btf_var ", FORT_BTF_VAR, true},
	{"struct ", FORT_BTF_STRUCT, false},
};

/* Where the member of that name is in a struct of the kernel; -1: nowhere. */
static long member_offset(uint32_t id, const char *name)
{
	struct fort_btf_type type = fort_btf_type(lab_kernel()->btf, id);

	for (uint32_t i = 0; i < type.vlen; i++) {
		struct fort_btf_member member = fort_btf_member(&type, i);
		const char *own = fort_btf_string(lab_kernel()->btf, member.name);

		if (own && !strcmp(own, name))
			return member.bit_offset / 8;
	}
	return -1;
}

/* What a name of this kind of type, and perhaps of a member of it, stands for; -1: nothing. */
static long number_of(const char *name, uint8_t kind)
{
	char type[128];
	const char *member = strchr(name, '.');
	uint32_t id;

	snprintf(type, sizeof(type), "%.*s", member ? (int)(member - name) : (int)strlen(name),
		 name);
	id = lab_kernel() ? fort_btf_find(lab_kernel()->btf, type, kind) : 0;
	if (!id)
		return -1;
	return member ? member_offset(id, member + 1) : (long)id;
}

/* `text` with numbers for names, in the arena. NULL: the kernel has no such name. */
static const char *with_numbers(struct lab *lab, const char *text)
{
	size_t room = 2 * strlen(text) + 1, used = 0;
	char *out = fort_arena_alloc(&lab->arena, room), name[128];

	while (out && *text) {
		size_t at = strcspn(text, "_abcdefghijklmnopqrstuvwxyz"), i = 0;
		long number;

		while (i < FORT_LEN(naming) &&
		       strncmp(text + at, naming[i].word, strlen(naming[i].word)) != 0)
			i++;
		if (i == FORT_LEN(naming)) { /* this word is none of them */
			at += strspn(text + at, "_abcdefghijklmnopqrstuvwxyz0123456789");
			used += (size_t)snprintf(out + used, room - used, "%.*s", (int)at, text);
			text += at;
			continue;
		}
		at += naming[i].kept ? strlen(naming[i].word) : 0;
		used += (size_t)snprintf(out + used, room - used, "%.*s", (int)at, text);
		text += at + (naming[i].kept ? 0 : strlen(naming[i].word));
		if (sscanf(text, "%127[_.a-z0-9]", name) != 1 || (name[0] >= '0' && name[0] <= '9'))
			continue;
		number = number_of(name, naming[i].kind);
		if (number < 0)
			return NULL;
		used += (size_t)snprintf(out + used, room - used, "%ld", number);
		text += strlen(name);
	}
	if (out)
		out[used] = 0;
	return out;
}

bool lab_meet(struct lab *lab, const char *target)
{
	const struct fort_btf *btf = lab_kernel() ? lab_kernel()->btf : NULL;
	struct fort_btf_remark remark;
	char trace[128];

	snprintf(trace, sizeof(trace), "btf_trace_%s", target ? target : "");
	if (target && btf)
		lab->target = lab->env.hook.attach == FORT_ATTACH_TRACE_RAW_TP
				      ? fort_btf_find(btf, trace, FORT_BTF_TYPEDEF)
				      : fort_btf_find(btf, target, FORT_BTF_FUNC);
	if (!btf || (target && !lab->target))
		return !target;
	return !fort_env_meet(&lab->env, &lab->arena, lab_kernel(), lab->target, &remark) ||
	       !target;
}

/* --- programs --- */

bool lab_open(struct lab *lab, const char *type, const char *assembly)
{
	struct fort_asm_error error;
	struct fort_assembly code;

	memset(lab, 0, sizeof(*lab));
	fort_arena_init(&lab->arena, FORT_SEARCH_BYTES_MAX);
	assembly = with_numbers(lab, assembly);
	if (!assembly) {
		snprintf(lab->error, sizeof(lab->error), "a name that the kernel does not have");
		return false;
	}
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
