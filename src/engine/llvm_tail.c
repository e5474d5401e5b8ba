#include "engine/llvm_tail.h"

void fort_llvm_tail(struct fort_llvm *x)
{
	LLVMValueRef found =
		fort_llvm_compare(x, LLVMIntNE, fort_llvm_get(x, FORT_R0), fort_llvm_const(x, 0));
	LLVMBasicBlockRef taken, next;

	fort_llvm_unless(x, found, &taken);
	next = fort_llvm_block(x);
	fort_llvm_jump(x, next);
	fort_llvm_at(x, taken);
	if (x->function != x->functions[0])
		fort_llvm_call_host(x, fort_llvm_function(x, FORT_LLVM_NEST, x->helper));
	fort_llvm_give_back(x);
	fort_llvm_at(x, next);
}
