#include "lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "isa/explain.h"
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
static const struct fort_btf_record owner = {.count = 1,
					     .kinds = 1u << FORT_FIELD_KPTR,
					     .fields = {{.offset = offsetof(struct lab_owner, task),
							 .bytes = 8,
							 .kind = FORT_FIELD_KPTR,
							 .scope = FORT_SCOPE_KERNEL}}};
static const struct fort_btf_record *const records[LAB_MAPS + LAB_INNER] = {
	[LAB_LOCKED] = &locked, [LAB_OWNER] = &owner};

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
	return lab->env.hook.prog && lab->env.access && lab->env.demands;
}

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
