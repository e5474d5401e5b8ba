#include "engine/llvm_api.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#define LIBRARY "libLLVM-19.so"

/* A function's address, as its type. */
static bool find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol;
}

int fort_llvm_api_load(struct fort_llvm_api *out)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	bool found = library;

#define FORT_LLVM(name) found = found && find(library, "LLVM" #name, &out->name);
#include "engine/llvm_api.def"
	if (library)
		dlclose(library); /* it stays, for the next time */
	if (!found)
		return -ELIBACC;
	out->InitializeX86TargetInfo();
	out->InitializeX86Target();
	out->InitializeX86TargetMC();
	out->InitializeX86AsmPrinter();
	return 0;
}
