#include "load/runs.h"

static bool later(struct fort_violation *why, enum fort_diag diag, const struct fort_insn *insn,
		  uint32_t pc)
{
	*why = (struct fort_violation){.diag = (uint16_t)diag,
				       .reg = FORT_REGS,
				       .pc = pc,
				       .args = {insn->imm, insn->imm},
				       .text = fort_insn_row(insn)->group};
	return false;
}

static bool map_runs(const struct fort_env *env, uint32_t pc, struct fort_violation *why)
{
	uint32_t index = (uint32_t)env->graph->program.insns[pc].imm;

	*why = (struct fort_violation){.diag = FORT_DIAG_MAP_LATER,
				       .reg = FORT_REGS,
				       .pc = pc,
				       .args = {env->maps[index].type}};
	return fort_map_runs(env->maps[index].type);
}

/* Loads of context fields that are pointers: to packets only. */
static bool access_runs(const struct fort_env *env, uint32_t pc, struct fort_violation *why)
{
	const struct fort_access *access = &env->access[pc];
	const struct fort_ctx_field *field;

	if (access->kind == FORT_ACCESS_KERNEL) {
		*why = (struct fort_violation){.diag = FORT_DIAG_BTF_LATER,
					       .reg = FORT_REGS,
					       .pc = pc};
		return false;
	}
	if (access->kind != FORT_ACCESS_CTX_POINTER)
		return true;
	field = &env->hook.prog->ctx->fields[access->which];
	*why = (struct fort_violation){.diag = FORT_DIAG_CTX_LATER,
				       .reg = FORT_REGS,
				       .pc = pc,
				       .args = {field->offset, field->bytes}};
	return fort_yield_runs((enum fort_yield)field->yields);
}

/* Kinds that the rules below speak of, but for what accesses say. */
#define KIND(kind) (1u << FORT_##kind)
#define SPECIAL    (KIND(LDIMM) | KIND(CALL))

static bool insn_runs(const struct fort_env *env, uint32_t pc, struct fort_violation *why)
{
	const struct fort_insn *insn = &env->graph->program.insns[pc];
	const struct fort_helper_info *helper;

	switch (insn->kind) {
	case FORT_LDIMM:
		return (insn->op != FORT_OP_MAP_IDX && insn->op != FORT_OP_MAP_IDX_VALUE) ||
		       map_runs(env, pc, why);
	case FORT_CALL:
		if (insn->op == FORT_OP_KFUNC)
			return later(why, FORT_DIAG_KFUNC_LATER, insn, pc);
		if (insn->op != FORT_OP_HELPER)
			return true;
		helper = fort_helper_for((uint32_t)insn->imm, &env->hook);
		return !helper || helper->runs || later(why, FORT_DIAG_HELPER_LATER, insn, pc);
	default: return true;
	}
}

/* Loads through such parameters may fault: only where that is recoverable. */
static bool root_runs(const struct fort_env *env, const struct fort_root *root,
		      struct fort_violation *why)
{
	const struct fort_prototype *function = &env->prototypes[root->subprog];

	for (unsigned i = 0; i < function->n_params; i++)
		if (function->params[i].is_untrusted) {
			uint32_t pc = env->graph->program.subprogs[root->subprog].start;

			return later(why, FORT_DIAG_UNTRUSTED_LATER, &env->graph->program.insns[pc],
				     pc);
		}
	return true;
}

bool fort_env_runs(const struct fort_env *env, struct fort_violation *why)
{
	const struct fort_program *program = &env->graph->program;

	*why = (struct fort_violation){.diag = FORT_DIAG_PROG_LATER,
				       .reg = FORT_REGS,
				       .args = {env->hook.prog->number}};
	if (!env->hook.prog->runs)
		return false;
	for (uint32_t i = 0; i < env->n_demands; i++)
		if (env->demands[i].kind == FORT_ROOT_GLOBAL &&
		    !root_runs(env, &env->demands[i], why))
			return false;
	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		if (!(SPECIAL >> program->insns[pc].kind & 1) &&
		    env->access[pc].kind <= FORT_ACCESS_PLAIN)
			continue;
		if (env->access[pc].reached &&
		    (!access_runs(env, pc, why) || !insn_runs(env, pc, why)))
			return false;
	}
	return true;
}
