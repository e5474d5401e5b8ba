#include "attach/reach.h"

#include <stdlib.h>

#include "attach/machine.h"
#include "base/limits.h"

#define LEA 0x8d

struct search {
	const struct fort_process *process;
	const struct fort_module *module;
	const struct fort_function *function;
	uint64_t patch;
};

static bool is_inside(const struct search *search, uint64_t address)
{
	return address - (search->patch + 1) < FORT_JUMP_BYTES - 1;
}

static bool in_function(const struct search *search, uint64_t address)
{
	return address - search->function->start < search->function->bytes;
}

/* A jump table has no length: it ends where its words lead out of the function. Read from memory,
 * because absolute words are relocated. `relative`: 32-bit distances from its start, else 64-bit
 * addresses. */
static bool table_leads_inside(const struct search *search, uint64_t table, bool relative)
{
	uint64_t bias = search->module->bias, at = table + bias;

	for (uint32_t i = 0; i < FORT_JUMP_TABLE_MAX; i++) {
		uint64_t target;
		int32_t distance;

		if (relative) {
			if (fort_process_read(search->process, at + i * 4ull, &distance, 4))
				return false;
			target = table + (uint64_t)(int64_t)distance;
		} else {
			if (fort_process_read(search->process, at + i * 8ull, &target, 8))
				return false;
			target -= bias;
		}
		if (!in_function(search, target))
			return false;
		if (is_inside(search, target))
			return true;
	}
	return false;
}

/* What one instruction of the function leads to. */
static enum fort_refusal look(const struct search *search, const struct fort_machine_insn *insn,
			      const uint8_t *code, bool tables)
{
	bool direct = insn->kind == FORT_MACHINE_JUMP || insn->kind == FORT_MACHINE_BRANCH ||
		      insn->kind == FORT_MACHINE_LOOP;
	bool is_lea = insn->modrm_at && code[insn->modrm_at - 1] == LEA;

	if (direct && is_inside(search, insn->target))
		return FORT_REFUSAL_BRANCH_INSIDE;
	if (direct && insn->target == search->patch && search->patch != search->function->start)
		return FORT_REFUSAL_LOOP;
	if (!tables)
		return FORT_REFUSAL_NONE;
	if (is_lea && insn->disp_at &&
	    (table_leads_inside(search, insn->memory, true) ||
	     table_leads_inside(search, insn->memory, false)))
		return FORT_REFUSAL_TABLE_INSIDE;
	if (insn->table && table_leads_inside(search, insn->table, false))
		return FORT_REFUSAL_TABLE_INSIDE;
	return FORT_REFUSAL_NONE;
}

/* Walks the function; bytes that are no instructions (data between them) are stepped over. */
static enum fort_refusal walk(const struct search *search, const uint8_t *code, bool tables,
			      bool *indirect)
{
	uint64_t bytes = search->function->bytes, start = search->function->start;
	enum fort_refusal refusal;

	for (uint64_t at = 0; at < bytes;) {
		struct fort_machine_insn insn;

		if (!fort_machine_decode(code + at, bytes - at, start + at, &insn)) {
			at++;
			continue;
		}
		*indirect |= insn.kind == FORT_MACHINE_JUMP_INDIRECT && !insn.disp_at;
		refusal = look(search, &insn, code + at, tables);
		if (refusal)
			return refusal;
		at += insn.bytes;
	}
	return FORT_REFUSAL_NONE;
}

enum fort_refusal fort_reach_check(const struct fort_process *process,
				   const struct fort_module *module,
				   const struct fort_function *function, uint64_t patch)
{
	struct search search = {process, module, function, patch};
	enum fort_refusal refusal = FORT_REFUSAL_NONE;
	bool indirect = false;
	uint8_t *code;

	if (fort_module_label_inside(module, patch, patch + FORT_JUMP_BYTES))
		return FORT_REFUSAL_LABEL_INSIDE;
	code = malloc(function->bytes + 1);
	if (!code || fort_module_read(module, function->start, code, function->bytes))
		refusal = FORT_REFUSAL_UNDECODABLE;
	if (!refusal)
		refusal = walk(&search, code, false, &indirect);
	if (!refusal && indirect)
		refusal = walk(&search, code, true, &indirect);
	free(code);
	return refusal;
}
