/* What all engines settle when they compile, so that they refuse the same programs with the same
 * errors and give constants the same values.
 */
#pragma once

#include <errno.h>

#include "engine/engine.h"

/* May this request have the isolation it asks for? 0, -EPERM or -EOPNOTSUPP as fort_engine.compile
 * says; `isolations` are the engine's. */
FORT_CHECKED int fort_resolve_isolation(const struct fort_compile *request, uint32_t isolations);
/* Does any engine run this instruction, as this request asks? 0 or -EOPNOTSUPP. */
FORT_CHECKED static inline int fort_resolve_check(const struct fort_compile *request,
						  const struct fort_insn *insn)
{
	switch (insn->kind) {
	case FORT_CALL:
		return insn->op == FORT_OP_HELPER || insn->op == FORT_OP_LOCAL ? 0 : -EOPNOTSUPP;
	case FORT_CALLX: return request->callx ? 0 : -EOPNOTSUPP;
	case FORT_LDABS:
	case FORT_LDIND:
	case FORT_MAY_GOTO: return -EOPNOTSUPP;
	default: return 0;
	}
}
/* The value of a 64-bit immediate: a number, a map's handle or the address of its values. Returns
 * 0, -EOPNOTSUPP or -EINVAL as fort_engine.compile says.
 */
FORT_CHECKED int fort_resolve_imm(const struct fort_compile *request, const struct fort_insn *insn,
				  int64_t *out);
/* Of each slot that is jumped back to, the last slot that does so; 0 for others. `ends` is zeroed.
 */
static inline void fort_resolve_loop(const struct fort_insn *insn, uint32_t pc, uint32_t *ends)
{
	if (fort_insn_jumps(insn) && fort_insn_target(insn, pc) <= (int64_t)pc)
		ends[fort_insn_target(insn, pc)] = pc;
}
void fort_resolve_loops(const struct fort_program *program, uint32_t *ends);
/* What a jump back to `target` costs. */
static inline uint32_t fort_resolve_loop_slots(const uint32_t *ends, uint32_t target)
{
	return ends[target] - target + 1;
}
/* What a call of the subprogram at slot `target` costs. */
uint32_t fort_resolve_callee_slots(const struct fort_program *program, uint32_t target);
