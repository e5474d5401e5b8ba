/* LLVM's C library, as functions found at run time: linking it would cost every program of ours,
 * at every start, what only those that compile with it need.
 */
#pragma once

#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "base/compiler.h"

struct fort_llvm_api {
#define FORT_LLVM(name) __typeof__(LLVM##name) *name;
#include "engine/llvm_api.def"
};

/* Returns 0, or -ELIBACC when the library is not there or not the one we were built for. It stays
 * loaded. */
FORT_CHECKED int fort_llvm_api_load(struct fort_llvm_api *out);
