/* What an environment says of a program's instructions before any of them is looked at: which calls
 * call back, and what each subprogram may do to its callers. (K: visit_insn, merge_callee_effects.)
 */
#include "step/rules.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"

/* Who names whom: calls, and addresses of functions. */
struct names {
	uint64_t row[FORT_SUBPROGS_MAX / 64];
};

struct summing {
	const struct fort_env *env;
	struct fort_summary *own;
	struct names *names;
};

static void add_helper(struct summing *s, uint32_t pc, struct fort_summary *own)
{
	const struct fort_graph *graph = s->env->graph;
	uint32_t number = (uint32_t)graph->program.insns[pc].imm;
	const struct fort_helper_info *helper = fort_helper_for(number, &s->env->hook);

	if (!helper)
		return; /* it is refused where it is reached */
	if (helper->flags & FORT_HELPER_CALLS)
		graph->marks[pc] |= FORT_MARK_CALLS_BACK;
	/* Who takes this one's place may do anything to the packet; of a dynptr that a global
	 * function was given, it may be the packet's. */
	own->moves_packet |= helper->flags & (FORT_HELPER_MOVES | FORT_HELPER_LEAVES) ||
			     number == BPF_FUNC_dynptr_write;
	own->tail_calls |= helper->flags & FORT_HELPER_LEAVES;
	own->may_sleep |= (helper->flags & FORT_HELPER_SLEEPS) ||
			  ((helper->flags & FORT_HELPER_MAY_SLEEP) && s->env->sleepable);
}

static void sum_own(struct summing *s, uint32_t subprog)
{
	const struct fort_program *program = &s->env->graph->program;
	const struct fort_subprog *of = &program->subprogs[subprog];

	for (uint32_t pc = of->start; pc < of->end; pc++) {
		const struct fort_insn *insn = &program->insns[pc];
		int callee;

		if (insn->kind == FORT_CALL && insn->op == FORT_OP_HELPER)
			add_helper(s, pc, &s->own[subprog]);
		if (!fort_insn_names_subprog(insn))
			continue;
		callee = fort_subprog_at(program, fort_insn_target(insn, pc));
		if (callee >= 0)
			s->names[subprog].row[callee / 64] |= 1ull << (callee % 64);
	}
}

/* What may happen in a callee may happen in its caller. False when nothing changed. */
static bool pass_up(struct summing *s, uint32_t n)
{
	bool again = false;

	for (uint32_t caller = 0; caller < n; caller++)
		for (uint32_t callee = 0; callee < n; callee++) {
			struct fort_summary *to = &s->own[caller];
			const struct fort_summary *from = &s->own[callee];

			if (!(s->names[caller].row[callee / 64] >> (callee % 64) & 1))
				continue;
			again |= (from->moves_packet && !to->moves_packet) ||
				 (from->may_sleep && !to->may_sleep);
			to->moves_packet |= from->moves_packet;
			to->may_sleep |= from->may_sleep;
		}
	return again;
}

int fort_env_complete(struct fort_env *env, struct fort_arena *arena)
{
	uint32_t n = env->graph->program.n_subprogs;
	struct summing s = {.env = env,
			    .own = FORT_ARENA_ARRAY(arena, n, struct fort_summary),
			    .names = FORT_ARENA_ARRAY(arena, n, struct names)};

	env->stacks = FORT_ARENA_ARRAY(arena, n, uint32_t);
	if (!s.own || !s.names || !env->stacks)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		sum_own(&s, i);
	while (pass_up(&s, n)) /* each time it finds something out, of two things a subprogram */
		;
	env->summaries = s.own;
	return 0;
}
