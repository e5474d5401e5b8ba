#include "engine/llvm_enter.h"

_Static_assert(offsetof(struct fort_x64_entry, stack) == 0 &&
		       offsetof(struct fort_x64_entry, stop) == 8 &&
		       offsetof(struct fort_x64_entry, pc) == 12 &&
		       offsetof(struct fort_x64_entry, detail) == 16,
	       "as written below");

/* What a function of C must keep is pushed, so that leaving early takes no more than a stack
 * pointer. The code's address is the seventh argument, on the stack; the code's own six are where
 * LLVM 19 has them in its convention preserve_none. */
__asm__(".pushsection .text\n"
	".globl fort_llvm_enter, fort_llvm_landing, fort_llvm_leave\n"
	".hidden fort_llvm_enter, fort_llvm_landing, fort_llvm_leave\n"
	".type fort_llvm_enter, @function\n"
	".type fort_llvm_landing, @function\n"
	".type fort_llvm_leave, @function\n"
	"fort_llvm_leave:\n"
	"	mov %esi, 8(%rdi)\n"
	"	mov %edx, 12(%rdi)\n"
	"	mov %ecx, 16(%rdi)\n"
	"	mov (%rdi), %rsp\n"
	"fort_llvm_landing:\n"
	"	xor %eax, %eax\n"
	"	jmp 1f\n"
	"fort_llvm_enter:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	sub $8, %rsp\n"
	"	mov %rsp, (%r8)\n"
	"	mov %rdi, %r12\n"
	"	mov %rsi, %r13\n"
	"	mov %rdx, %r14\n"
	"	mov %rcx, %r15\n"
	"	mov %r8, %rdi\n"
	"	mov %r9, %rsi\n"
	"	call *64(%rsp)\n"
	"1:	add $8, %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	"	ret\n"
	".popsection\n");
