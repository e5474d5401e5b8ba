#include "step/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "btf/contexts.h"
#include "btf/index.h"

static uint32_t find(const struct fort_kernel *kernel, const char *name)
{
	return name && *name ? fort_btf_find(kernel->btf, name, FORT_BTF_STRUCT) : 0;
}

static void find_all(struct fort_kernel *kernel)
{
	for (unsigned i = 0; i < FORT_ARGS; i++)
		kernel->args[i] = find(kernel, fort_args[i].btf);
	for (unsigned i = 0; i < FORT_RETS; i++)
		kernel->rets[i] = find(kernel, fort_rets[i].btf);
	for (unsigned i = 0; i < FORT_YIELDS; i++)
		kernel->yields[i] = find(kernel, fort_yields[i].btf);
	for (unsigned i = 0; i < FORT_PROGS; i++) {
		const struct fort_btf_context *row = fort_btf_context_of(fort_progs[i].number);

		kernel->contexts[i] = row ? find(kernel, row->kernel) : 0;
	}
#define FORT_KNOWN_REG(type, name) kernel->regs[FORT_REGTYPE_##type] = find(kernel, name);
#define FORT_KNOWN_MAP(map, name)  kernel->maps[FORT_MAP_##map] = find(kernel, name);
#define FORT_KNOWN(id, name)       kernel->others[FORT_KNOWN_##id] = find(kernel, name);
#include "step/known.def"
}

static void find_mark(struct fort_kernel *kernel)
{
	struct fort_btf_type type =
		fort_btf_type(kernel->btf, kernel->others[FORT_KNOWN_CONNECTION]);

	for (uint32_t i = 0; type.kind == FORT_BTF_STRUCT && i < type.vlen; i++) {
		struct fort_btf_member member = fort_btf_member(&type, i);
		const char *name = fort_btf_string(kernel->btf, member.name);

		if (!name || strcmp(name, "mark") != 0 || member.bit_offset % 8 ||
		    fort_btf_size(kernel->btf, member.type, &kernel->mark_bytes))
			continue;
		kernel->mark_offset = member.bit_offset / 8;
	}
}

int fort_kernel_open(const char *path, struct fort_kernel **out, struct fort_btf_error *error)
{
	struct fort_kernel *kernel = calloc(1, sizeof(*kernel));
	struct fort_btf *btf;
	int err;

	if (!kernel)
		return -ENOMEM;
	err = fort_btf_open_kernel(path, &btf, error);
	if (err) {
		free(kernel);
		return err;
	}
	kernel->btf = btf;
	find_all(kernel);
	find_mark(kernel);
	kernel->percpu_section = fort_btf_find(btf, ".data..percpu", FORT_BTF_DATASEC);
	fort_btf_digest(btf, kernel->digest);
	*out = kernel;
	return 0;
}

void fort_kernel_close(struct fort_kernel *kernel)
{
	if (!kernel)
		return;
	fort_btf_free((struct fort_btf *)(uintptr_t)kernel->btf); /* ours, shown as constant */
	free(kernel);
}

/* --- programs --- */

/* K: fetch_kfunc_meta, add_kfunc_call */
static void resolve(const struct fort_kernel *kernel, const struct fort_insn *insn,
		    struct fort_kfunc_ref *out)
{
	struct fort_btf_type type = fort_btf_type(kernel->btf, (uint32_t)insn->imm);
	const char *name = fort_btf_string(kernel->btf, type.name);
	const struct fort_kfunc_info *kfunc;

	*out = (struct fort_kfunc_ref){.imm = insn->imm, .off = insn->off};
	if (!insn->imm) {
		out->diag = FORT_DIAG_KFUNC_MISSING;
	} else if (insn->off) {
		out->diag = FORT_DIAG_KFUNC_MODULE;
	} else if (type.kind != FORT_BTF_FUNC || !name) {
		out->diag = FORT_DIAG_KFUNC_NO_FUNCTION;
	} else if (fort_btf_read_proto(kernel->btf, type.id, &out->proto, &out->why)) {
		out->diag = FORT_DIAG_KFUNC_PROTOTYPE;
	} else {
		kfunc = fort_kfunc_by_name(name);
		out->diag = kfunc ? FORT_DIAG_NONE : FORT_DIAG_KFUNC_TYPE;
		out->id = kfunc ? (uint16_t)(kfunc - fort_kfuncs) : 0;
	}
}

static bool is_kfunc_call(const struct fort_insn *insn)
{
	return insn->kind == FORT_CALL && insn->op == FORT_OP_KFUNC;
}

static uint32_t count_calls(const struct fort_program *program)
{
	uint32_t n = 0;

	for (uint32_t pc = 0; pc < program->n_insns; pc += fort_insn_slots(&program->insns[pc]))
		n += is_kfunc_call(&program->insns[pc]);
	return n < FORT_KFUNCS_PER_PROG_MAX ? n : FORT_KFUNCS_PER_PROG_MAX;
}

static int meet_functions(struct fort_env *env, struct fort_arena *arena)
{
	const struct fort_program *program = &env->graph->program;
	uint32_t room = count_calls(program);
	struct fort_kfunc_ref *refs = FORT_ARENA_ARRAY(arena, room, struct fort_kfunc_ref);

	if (!refs)
		return -ENOMEM;
	env->kfuncs = refs;
	for (uint32_t pc = 0; pc < program->n_insns; pc += fort_insn_slots(&program->insns[pc])) {
		const struct fort_insn *insn = &program->insns[pc];

		if (is_kfunc_call(insn) && env->n_kfuncs < room && !fort_env_kfunc(env, insn))
			resolve(env->kernel, insn, &refs[env->n_kfuncs++]);
	}
	return 0;
}

static int meet_target(struct fort_env *env, struct fort_arena *arena, uint32_t id,
		       struct fort_btf_remark *remark)
{
	struct fort_btf_target *target;
	int err;

	if (env->hook.prog->bit & ~(uint32_t)(FORT_BIT_TRC | FORT_BIT_LSM))
		return 0;
	target = FORT_ARENA_NEW(arena, struct fort_btf_target);
	if (!target)
		return -ENOMEM;
	err = fort_btf_find_target(env->kernel->btf, env->hook.prog->number, env->hook.attach, id,
				   target, remark);
	if (err)
		return err;
	env->target = target;
	env->hook.target = fort_btf_string(target->btf, target->name);
	return 0;
}

int fort_env_meet(struct fort_env *env, struct fort_arena *arena, const struct fort_kernel *kernel,
		  uint32_t target, struct fort_btf_remark *remark)
{
	int err;

	*remark = (struct fort_btf_remark){0};
	env->kernel = kernel;
	err = meet_functions(env, arena);
	return err ? err : meet_target(env, arena, target, remark);
}
