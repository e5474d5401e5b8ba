#include "harden/harden.h"

#include <errno.h>

/* The load of a context pointer: 32 bits in the ABI, an address in the image. */
static struct fort_insn pointer_load(const struct fort_insn *insn,
				     const struct fort_ctx_field *field)
{
	return fort_insn_make(FORT_ROW_LDX64, insn->dst, insn->src, (int16_t)field->image, 0);
}

/* What no path leads to may be what no engine knows: it does nothing instead. */
static struct fort_insn idle(const struct fort_insn *insn)
{
	switch (insn->kind) {
	case FORT_CALL:
	case FORT_LDABS:
	case FORT_LDIND:
	case FORT_MAY_GOTO: return fort_insn_make(FORT_ROW_JA, 0, 0, 0, 0);
	case FORT_LDIMM: return fort_insn_make(FORT_ROW_LDIMM, insn->dst, 0, 0, 0);
	default: return *insn;
	}
}

int fort_harden(const struct fort_proven *proven, struct fort_arena *arena,
		struct fort_hardened *out)
{
	const struct fort_env *env = proven->env;
	const struct fort_program *program = &env->graph->program;
	struct fort_insn *insns = fort_arena_copy(arena, program->insns,
						  program->n_insns * sizeof(program->insns[0]));

	if (!insns)
		return -ENOMEM;
	for (uint32_t pc = 0; pc < program->n_insns; pc++)
		if (!env->access[pc].reached)
			insns[pc] = idle(&insns[pc]);
		else if (env->access[pc].kind == FORT_ACCESS_CTX_POINTER)
			insns[pc] =
				pointer_load(&insns[pc],
					     &env->hook.prog->ctx->fields[env->access[pc].which]);
	out->program = *program;
	out->program.insns = insns;
	out->prog = env->hook.prog;
	return 0;
}
