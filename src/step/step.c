#include "step/step.h"

#include <errno.h>

#include "step/rules.h"

bool fort_rule_bad(struct fort_rule *rule, enum fort_diag diag, unsigned reg, int64_t a0,
		   int64_t a1, int64_t a2, int64_t a3)
{
	struct fort_violation *v = &rule->out->violation;

	*v = (struct fort_violation){.diag = (uint16_t)diag,
				     .reg = (uint8_t)reg,
				     .pc = rule->pc,
				     .args = {a0, a1, a2, a3}};
	v->text = fort_insn_row(rule->insn)->group;
	if (reg < FORT_REGS)
		v->value = *fort_rule_reg(rule, reg);
	rule->out->outcome = FORT_STEP_BAD;
	return false;
}

bool fort_rule_dead(struct fort_rule *rule)
{
	rule->out->outcome = FORT_STEP_DEAD;
	return false;
}

bool fort_rule_no_memory(struct fort_rule *rule)
{
	rule->err = -ENOMEM;
	return false;
}

uint32_t fort_rule_fresh(struct fort_rule *rule)
{
	return rule->state->next_id++;
}

void fort_rule_name(struct fort_rule *rule, struct fort_value *value)
{
	if (value->sym || fort_scalar_is_const(&value->num))
		return;
	value->sym = fort_rule_fresh(rule);
	value->delta = 0;
}

bool fort_rule_may_sleep(const struct fort_rule *rule)
{
	uint32_t root = rule->state->frames[0]->subprog;

	/* What runs later runs in an interrupt. */
	return rule->env->sleepable &&
	       (!root || fort_env_linkage(rule->env, root) == FORT_LINKAGE_GLOBAL);
}

bool fort_rule_demand(struct fort_rule *rule, const struct fort_root *root)
{
	struct fort_env *env = rule->env;

	for (uint32_t i = 0; i < env->n_demands; i++)
		if (fort_root_is(&env->demands[i], root))
			return true;
	if (env->n_demands == FORT_DEMANDS_MAX)
		return fort_rule_bad(rule, FORT_DIAG_TOO_MANY_SUBPROGS, FORT_REGS, FORT_DEMANDS_MAX,
				     0, 0, 0);
	env->demands[env->n_demands++] = *root;
	return true;
}

static bool call_register(struct fort_rule *rule)
{
	return fort_rule_bad(rule, FORT_DIAG_CALL_REGISTER, FORT_REGS, rule->insn->dst, 0, 0, 0);
}

static bool apply(struct fort_rule *rule)
{
	switch (rule->insn->kind) {
	case FORT_ALU_K:
	case FORT_ALU_X:
	case FORT_NEG:
	case FORT_END:
	case FORT_MOV_K:
	case FORT_MOV_X:
	case FORT_MOVSX: return fort_rule_alu(rule);
	case FORT_LDX:
	case FORT_LDACQ: return fort_rule_ldx(rule);
	case FORT_ST:
	case FORT_STX:
	case FORT_STREL: return fort_rule_store(rule);
	case FORT_ATOMIC: return fort_rule_atomic(rule);
	case FORT_LDIMM: return fort_rule_ldimm(rule);
	case FORT_JA: rule->out->pc = (uint32_t)fort_insn_target(rule->insn, rule->pc); return true;
	case FORT_JCC_K:
	case FORT_JCC_X: return fort_rule_branch(rule);
	case FORT_MAY_GOTO: return fort_rule_may_goto(rule);
	case FORT_EXIT: return fort_rule_exit(rule);
	case FORT_LDABS:
	case FORT_LDIND: return fort_rule_legacy(rule);
	case FORT_CALL:
		if (!fort_rule_lock_allows(rule))
			return false;
		if (rule->insn->op == FORT_OP_HELPER)
			return fort_rule_call(rule);
		if (rule->insn->op == FORT_OP_LOCAL)
			return fort_rule_call_local(rule);
		return fort_rule_call_kfunc(rule);
	case FORT_CALLX:
	default: return call_register(rule);
	}
}

int fort_step(struct fort_env *env, struct fort_pool *pool, struct fort_state *state, uint32_t pc,
	      struct fort_step *out)
{
	const struct fort_insn *insn = &env->graph->program.insns[pc];
	struct fort_rule rule = {
		.env = env, .pool = pool, .state = state, .insn = insn, .pc = pc, .out = out};

	out->outcome = FORT_STEP_NEXT;
	out->decided = false;
	out->other = NULL;
	out->pc = pc + fort_insn_slots(insn);
	env->access[pc].reached = true;
	(void)apply(&rule);
	return rule.err;
}
