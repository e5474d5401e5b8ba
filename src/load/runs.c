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

static bool insn_runs(const struct fort_env *env, uint32_t pc, struct fort_violation *why)
{
	const struct fort_insn *insn = &env->graph->program.insns[pc];
	const struct fort_helper_info *helper;

	switch (insn->kind) {
	case FORT_MAY_GOTO: return later(why, FORT_DIAG_INSN_LATER, insn, pc);
	case FORT_LDIMM:
		return insn->op != FORT_OP_FUNC || later(why, FORT_DIAG_INSN_LATER, insn, pc);
	case FORT_CALL:
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

	for (uint32_t pc = 0; pc < program->n_insns; pc += fort_insn_slots(&program->insns[pc]))
		if (!insn_runs(env, pc, why))
			return false;
	for (uint32_t i = 0; i < env->n_demands; i++)
		if (env->demands[i].kind == FORT_ROOT_GLOBAL &&
		    !root_runs(env, &env->demands[i], why))
			return false;
	return true;
}
