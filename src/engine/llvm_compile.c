/* LLVM at work: a module is made, optimised, and becomes an object file in memory. */
#include <errno.h>
#include <string.h>
#include <sys/rseq.h>

#include "engine/llvm.h"
#include "engine/llvm_ir.h"

#define TRIPLE "x86_64-pc-linux-gnu"
#define PASSES "default<O2>"

/* Machine code uses no registers but the general ones: whoever calls programs, in the middle of
 * anything, saves no others. What this processor has for those comes with its name. */
#define FEATURES "-x87,-mmx,-sse,-sse2,-avx"

static bool open_module(struct fort_llvm *x)
{
	x->context = x->api->ContextCreate();
	x->module = x->api->ModuleCreateWithNameInContext("program", x->context);
	x->builder = x->api->CreateBuilderInContext(x->context);
	return x->module && x->builder;
}

static void close_module(struct fort_llvm *x)
{
	if (x->lines)
		x->api->DisposeDIBuilder(x->lines);
	x->api->DisposeBuilder(x->builder);
	x->api->DisposeModule(x->module);
	x->api->ContextDispose(x->context);
}

static LLVMTargetMachineRef open_machine(const struct fort_llvm_api *api)
{
	char *cpu = api->GetHostCPUName(), *error = NULL;
	LLVMTargetMachineRef machine = NULL;
	LLVMTargetRef target;

	if (api->GetTargetFromTriple(TRIPLE, &target, &error))
		api->DisposeMessage(error);
	else
		machine = api->CreateTargetMachine(target, TRIPLE, cpu, FEATURES,
						   LLVMCodeGenLevelDefault, LLVMRelocPIC,
						   LLVMCodeModelSmall);
	api->DisposeMessage(cpu);
	return machine;
}

static int optimise(struct fort_llvm *x, LLVMTargetMachineRef machine)
{
	LLVMTargetDataRef layout = x->api->CreateTargetDataLayout(machine);
	LLVMPassBuilderOptionsRef options = x->api->CreatePassBuilderOptions();
	LLVMErrorRef error;

	x->api->SetModuleDataLayout(x->module, layout);
	x->api->SetTarget(x->module, TRIPLE);
	error = x->api->RunPasses(x->module, PASSES, machine, options);
	x->api->DisposePassBuilderOptions(options);
	x->api->DisposeTargetData(layout);
	if (!error)
		return 0;
	x->api->ConsumeError(error);
	return -ENOEXEC;
}

static int emit(struct fort_llvm *x, LLVMTargetMachineRef machine, struct fort_buf *out)
{
	LLVMMemoryBufferRef object;
	char *error = NULL;

	if (x->api->TargetMachineEmitToMemoryBuffer(machine, x->module, LLVMObjectFile, &error,
						    &object)) {
		x->api->DisposeMessage(error);
		return -ENOEXEC;
	}
	fort_buf_put(out, x->api->GetBufferStart(object), x->api->GetBufferSize(object));
	x->api->DisposeMemoryBuffer(object);
	return out->err;
}

/* The module is looked over before anything is done to it, as an image is before it runs. */
static int check(struct fort_llvm *x)
{
	char *error = NULL;
	bool bad = x->api->VerifyModule(x->module, LLVMReturnStatusAction, &error);

	x->api->DisposeMessage(error);
	return bad ? -ENOEXEC : 0;
}

int fort_llvm_compile(const struct fort_compile *request, const fort_llvm_hidden *hidden,
		      struct fort_buf *out)
{
	struct fort_llvm_api api;
	struct fort_llvm x = {.request = request,
			      .api = &api,
			      .hidden = hidden,
			      .cpu_offset = __rseq_size ? (int32_t)__rseq_offset : 0};
	LLVMTargetMachineRef machine;
	int err = fort_llvm_api_load(&api);

	if (err)
		return err;
	machine = open_machine(&api);
	if (!machine)
		return -ELIBACC;
	err = open_module(&x) ? fort_llvm_lower(&x) : -ENOMEM;
	err = err ? err : check(&x);
	err = err ? err : optimise(&x, machine);
	err = err ? err : emit(&x, machine, out);
	close_module(&x);
	api.DisposeTargetMachine(machine);
	return err;
}
