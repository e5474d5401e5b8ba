/* Where the functions of a program are, as PROG_LOAD wants to be told. All of them are said to be
 * the function of the sample (btf_build.h), which is static and returns a number.
 */
#pragma once

#include "btf_build.h"
#include "store/raw.h"

#define FUNC_INFOS_MAX  8u
#define FUNC_INFO_SLOTS 512u

/* Returns how many; 1 is the program itself. UINT32_MAX: there are too many. */
static inline uint32_t func_infos_find(const struct fort_raw_insn *insns, uint32_t n_insns,
				       uint32_t infos[FUNC_INFOS_MAX][2])
{
	bool starts[FUNC_INFO_SLOTS] = {true};
	uint32_t n = 0;

	for (uint32_t pc = 0; pc < n_insns; pc++)
		if (fort_raw_is(&insns[pc], FORT_ROW_CALL_LOCAL) ||
		    fort_raw_is(&insns[pc], FORT_ROW_LDIMM_FUNC)) {
			uint32_t target = pc + 1 + (uint32_t)insns[pc].imm;

			if (target >= FUNC_INFO_SLOTS)
				return UINT32_MAX;
			starts[target] = true;
		}
	for (uint32_t pc = 0; pc < FUNC_INFO_SLOTS; pc++) {
		if (!starts[pc])
			continue;
		if (n == FUNC_INFOS_MAX)
			return UINT32_MAX;
		infos[n][0] = pc;
		infos[n++][1] = S_FUNC;
	}
	return n;
}
