/* Into code of the llvm engine, and out of it from anywhere. */
#pragma once

#include "engine/x64_run.h"

/* `run` of a module: returns r0, run->fuel is what is left. No function of C: it keeps no register
 * but rbp. */
typedef uint64_t fort_llvm_code_fn(uint64_t ctx, uint64_t ctx_length, uint64_t r10,
				   struct fort_run *run, struct fort_x64_entry *entry,
				   uint64_t fuel);

/* Calls it with the host's registers saved, and entry->stack telling where. */
uint64_t fort_llvm_enter(uint64_t ctx, uint64_t ctx_length, uint64_t r10, struct fort_run *run,
			 struct fort_x64_entry *entry, uint64_t fuel, fort_llvm_code_fn *code);
/* Returns 0 from enter instead of the code: with rsp entry->stack, jumped to. */
void fort_llvm_landing(void);
/* The same, called by code, once the entry says why. */
void fort_llvm_leave(struct fort_x64_entry *entry, uint32_t stop, uint32_t pc, uint32_t detail)
	__attribute__((noreturn));
