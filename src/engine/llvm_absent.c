/* In place of the llvm engine, where LLVM's headers were not there to build it. */
#include <errno.h>

#include "engine/engine.h"

static int compile(const struct fort_compile *request, struct fort_code **out)
{
	return -ENOSYS;
}

static void free_code(struct fort_code *code)
{
}

static uint64_t run_code(const struct fort_code *code, struct fort_run *run)
{
	return 0;
}

const struct fort_engine fort_engine_llvm = {
	.name = "llvm",
	.vague = true,
	.absent = "built without LLVM 19 (llvm-19-dev)",
	.isolations = 1u << FORT_ISOLATION_NONE | 1u << FORT_ISOLATION_SFI_STORE |
		      1u << FORT_ISOLATION_SFI,
	.compile = compile,
	.free = free_code,
	.run = run_code,
};
