/* The gates: all that touches the registers of a foreign thread. This page is laid out first in the
 * image (agent.ld) and is the last one to go.
 *
 * A stub calls a gate, which saves every register as struct pt_regs, calls C on the same stack, and
 * puts everything back. General registers only: neither the gates nor what they call touches vector
 * or x87 state, so that none is saved. Flags are dead at function entry and exit.
 */
#include "attach/boot.h"

#define SYS_munmap 11
#define SYS_exit   60
#define SYS_futex  202
#define FUTEX_WAIT_PRIVATE 128

	.section .gate, "ax", @progbits

	.ascii FORT_GATE_MAGIC

/* The injector points a borrowed thread here with the arguments of clone(2): the new thread goes
 * on with struct fort_boot on its stack; the borrowed one never gets behind the instruction.
 */
	.globl fort_agent_start
fort_agent_start:
	syscall
	test	%rax, %rax
	jnz	1f
	xor	%ebp, %ebp
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	fort_agent_main
	/* What is left to unmap (rax, rdx bytes) includes this thread's stack: no stack from here. */
	mov	%rax, %rdi
	mov	%rdx, %rsi
	test	%rdi, %rdi
	jz	2f
	mov	$SYS_munmap, %eax
	syscall
2:	xor	%edi, %edi
	mov	$SYS_exit, %eax
	syscall
1:	ud2

/* Makes a process that shares all memory: rdi flags, rsi stack, rdx function, rcx its argument.
 * The pid, or -errno; the child never returns.
 */
	.globl fort_agent_clone
	.type fort_agent_clone, @function
fort_agent_clone:
	mov	%rdx, -16(%rsi)
	mov	%rcx, -8(%rsi)
	sub	$16, %rsi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	mov	$56, %eax
	syscall
	test	%rax, %rax
	jz	1f
	ret
1:	xor	%ebp, %ebp
	pop	%rax
	pop	%rdi
	and	$-16, %rsp
	call	*%rax
	ud2

/* Where the main thread of a process that we started waits until its probes are attached. The
 * injector has pushed the address to go on at. Keeps all registers.
 */
	.globl fort_gate_park
fort_gate_park:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r10
	push	%r11
1:	cmpl	$0, fort_agent_parked(%rip)
	je	2f
	lea	fort_agent_parked(%rip), %rdi
	mov	$FUTEX_WAIT_PRIVATE, %esi
	mov	$1, %edx
	xor	%r10d, %r10d
	mov	$SYS_futex, %eax
	syscall
	jmp	1b
2:	pop	%r11
	pop	%r10
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	ret

/* On entry the word at (%rsp) is where to go on. C gets the registers and that word, and returns
 * the word to put there. rsp in pt_regs is what it was before that word was pushed.
 */
	.macro GATE name, function
	.balign 64
	.globl \name
	.type \name, @function
\name:
	lea	-168(%rsp), %rsp
	mov	%r15, 0(%rsp)
	mov	%r14, 8(%rsp)
	mov	%r13, 16(%rsp)
	mov	%r12, 24(%rsp)
	mov	%rbp, 32(%rsp)
	mov	%rbx, 40(%rsp)
	mov	%r11, 48(%rsp)
	mov	%r10, 56(%rsp)
	mov	%r9, 64(%rsp)
	mov	%r8, 72(%rsp)
	mov	%rax, 80(%rsp)
	mov	%rcx, 88(%rsp)
	mov	%rdx, 96(%rsp)
	mov	%rsi, 104(%rsp)
	mov	%rdi, 112(%rsp)
	movq	$-1, 120(%rsp)		/* orig_ax: no system call */
	movq	$0x33, 136(%rsp)	/* cs */
	pushfq
	popq	144(%rsp)
	lea	176(%rsp), %rax
	mov	%rax, 152(%rsp)
	movq	$0x2b, 160(%rsp)	/* ss */
	mov	%rsp, %rdi
	mov	168(%rsp), %rsi
	mov	%rsp, %rbx
	and	$-16, %rsp
	call	\function
	mov	%rbx, %rsp
	mov	%rax, 168(%rsp)
	mov	40(%rsp), %rbx
	mov	48(%rsp), %r11
	mov	56(%rsp), %r10
	mov	64(%rsp), %r9
	mov	72(%rsp), %r8
	mov	80(%rsp), %rax
	mov	88(%rsp), %rcx
	mov	96(%rsp), %rdx
	mov	104(%rsp), %rsi
	mov	112(%rsp), %rdi
	lea	168(%rsp), %rsp
	ret
	.endm

	GATE fort_gate_entry, fort_hit_entry
	GATE fort_gate_return_entry, fort_hit_return_entry
	GATE fort_gate_exit, fort_hit_exit
	GATE fort_gate_unwinder, fort_hit_unwinder

	.section .note.GNU-stack, "", @progbits
