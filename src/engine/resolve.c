#include "engine/resolve.h"

#include <errno.h>

int fort_resolve_isolation(const struct fort_compile *request, uint32_t isolations)
{
	if (request->isolation >= FORT_ISOLATIONS || !(isolations & 1u << request->isolation))
		return -EOPNOTSUPP;
	if (fort_isolations[request->isolation].keys && !request->domain->keys)
		return -EOPNOTSUPP;
	return request->proven || !fort_isolation_needs_proof(request->isolation) ? 0 : -EPERM;
}

int fort_resolve_imm(const struct fort_compile *request, const struct fort_insn *insn, int64_t *out)
{
	const struct fort_domain *domain = request->domain;
	uint32_t index = (uint32_t)insn->imm, offset = (uint32_t)((uint64_t)insn->imm >> 32);

	switch (insn->op) {
	case FORT_OP_CONST: *out = insn->imm; return 0;
	case FORT_OP_MAP_IDX:
		if (index >= domain->n_maps)
			return -EINVAL;
		*out = (int64_t)fort_map_handle(index);
		return 0;
	case FORT_OP_MAP_IDX_VALUE:
		if (index >= domain->n_maps || !domain->map_start[index])
			return -EINVAL;
		*out = (int64_t)(fort_domain_address(domain, domain->map_start[index]) + offset);
		return 0;
	case FORT_OP_MAP_FD:
	case FORT_OP_MAP_VALUE: return -EINVAL;
	default: return -EOPNOTSUPP;
	}
}

uint32_t fort_resolve_callee_slots(const struct fort_program *program, uint32_t target)
{
	const struct fort_subprog *callee = &program->subprogs[fort_subprog_of(program, target)];

	return callee->end - callee->start;
}

void fort_resolve_loops(const struct fort_program *program, uint32_t *ends)
{
	for (uint32_t pc = 0; pc < program->n_insns; pc++)
		fort_resolve_loop(&program->insns[pc], pc, ends);
}
