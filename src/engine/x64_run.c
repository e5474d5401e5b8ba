/* The gate between host and program. Callee-saved registers, the entry and the program's frames
 * are on the host's stack; whoever leaves early sets rsp to the outermost frame's return address.
 */
#include "engine/x64_run.h"

#include <asm/prctl.h>
#include <stddef.h>
#include <sys/auxv.h>

#include "base/sys.h"

#define HWCAP2_FSGSBASE (1u << 1)

_Static_assert(offsetof(struct fort_x64_entry, stack) == 0 &&
		       offsetof(struct fort_x64_entry, code) == 8 &&
		       offsetof(struct fort_x64_entry, r1) == 16 &&
		       offsetof(struct fort_x64_entry, r2) == 24 &&
		       offsetof(struct fort_x64_entry, r10) == 32 &&
		       offsetof(struct fort_x64_entry, fuel) == 40 && FORT_FRAMES_MAX - 1 == 7,
	       "the gate's numbers");

__asm__(".pushsection .text\n"
	".globl fort_x64_enter\n"
	".hidden fort_x64_enter\n"
	".type fort_x64_enter, @function\n"
	".p2align 5\n"
	"fort_x64_enter:\n"
	".cfi_startproc\n"
	"	push %rbp\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset %rbp, 0\n"
	"	push %rbx\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset %rbx, 0\n"
	"	push %r12\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset %r12, 0\n"
	"	push %r13\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset %r13, 0\n"
	"	push %r14\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset %r14, 0\n"
	"	push %r15\n"
	".cfi_adjust_cfa_offset 8\n"
	".cfi_rel_offset %r15, 0\n"
	"	push %rdi\n" /* the entry, twice: frames are 8 off a multiple of 16 */
	".cfi_adjust_cfa_offset 8\n"
	"	push %rdi\n"
	".cfi_adjust_cfa_offset 8\n"
	"	push $7\n" /* frames left */
	".cfi_adjust_cfa_offset 8\n"
	"	lea -8(%rsp), %rax\n"
	"	mov %rax, 0(%rdi)\n"
	"	mov 8(%rdi), %r11\n"
	"	mov 32(%rdi), %rbp\n"
	"	mov 40(%rdi), %r12\n"
	"	mov %rsi, %r9\n"
	"	mov 24(%rdi), %rsi\n"
	"	mov 16(%rdi), %rdi\n"
	"	xor %eax, %eax\n"
	"	xor %ebx, %ebx\n"
	"	xor %ecx, %ecx\n"
	"	xor %edx, %edx\n"
	"	xor %r8d, %r8d\n"
	"	xor %r13d, %r13d\n"
	"	xor %r14d, %r14d\n"
	"	xor %r15d, %r15d\n"
	"	call *%r11\n"
	"	add $16, %rsp\n"
	".cfi_adjust_cfa_offset -16\n"
	"	pop %rdi\n"
	".cfi_adjust_cfa_offset -8\n"
	"	mov %r12, 40(%rdi)\n"
	"	pop %r15\n"
	".cfi_adjust_cfa_offset -8\n"
	".cfi_restore %r15\n"
	"	pop %r14\n"
	".cfi_adjust_cfa_offset -8\n"
	".cfi_restore %r14\n"
	"	pop %r13\n"
	".cfi_adjust_cfa_offset -8\n"
	".cfi_restore %r13\n"
	"	pop %r12\n"
	".cfi_adjust_cfa_offset -8\n"
	".cfi_restore %r12\n"
	"	pop %rbx\n"
	".cfi_adjust_cfa_offset -8\n"
	".cfi_restore %rbx\n"
	"	pop %rbp\n"
	".cfi_adjust_cfa_offset -8\n"
	".cfi_restore %rbp\n"
	"	ret\n"
	".cfi_endproc\n"
	".size fort_x64_enter, . - fort_x64_enter\n"
	".popsection\n");

uint64_t fort_x64_call_by_number(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
				 struct fort_run *run)
{
	const struct fort_x64_entry *entry = run->engine;
	fort_helper_fn *helper =
		entry->number <= UINT32_MAX ? entry->helper((uint32_t)entry->number) : NULL;

	if (helper)
		return helper(a1, a2, a3, a4, a5, run);
	fort_run_abort(run, FORT_ABORT_HELPER, (uint32_t)entry->number);
	return entry->r0;
}

bool fort_x64_gs_is_fast(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

uint64_t fort_x64_gs_get(bool fast)
{
	uint64_t base = 0;

	if (fast)
		__asm__ volatile("rdgsbase %0" : "=r"(base));
	else
		fort_sys2(SYS_arch_prctl, ARCH_GET_GS, (long)&base);
	return base;
}

void fort_x64_gs_set(bool fast, uint64_t base)
{
	if (fast)
		__asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
	else
		fort_sys2(SYS_arch_prctl, ARCH_SET_GS, (long)base);
}
