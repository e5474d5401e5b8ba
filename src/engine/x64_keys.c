#include "engine/x64_keys.h"

#define GATE_BYTES 16u

/* The gates know these. */
_Static_assert(offsetof(struct fort_run, engine) == 40, "in the gates");
_Static_assert(offsetof(struct fort_x64_entry, functions) == 56, "in the gates");
_Static_assert(offsetof(struct fort_x64_entry, open) == 64, "in the gates");
_Static_assert(offsetof(struct fort_x64_entry, closed) == 68, "in the gates");
_Static_assert(FORT_X64_GATES == 256, "as many as there are");

/* As a helper is called: five arguments in rdi, rsi, rdx, rcx, r8, the run in r9, the machine's
 * stack aligned but for the return address. Everything but rbx, rbp and r12 to r15 may be changed.
 * `wrpkru` wants its value in eax, and 0 in ecx and edx. Closing is asked about again behind it, so
 * that nothing is gained by whoever gets there with another value.
 */
__asm__(".pushsection .text\n"
	".macro fort_x64_gates name, way\n"
	".p2align 4\n"
	".globl \\name\n"
	".hidden \\name\n"
	".type \\name, @function\n"
	"\\name:\n"
	".set fort_x64_gate_number, 0\n"
	".rept 256\n"
	"	.p2align 4\n"
	"	mov $fort_x64_gate_number, %r11d\n"
	"	jmp \\way\n"
	"	.set fort_x64_gate_number, fort_x64_gate_number + 1\n"
	".endr\n"
	".size \\name, . - \\name\n"
	".endm\n"
	"fort_x64_gates fort_x64_gates_eager, fort_x64_call_eager\n"
	"fort_x64_gates fort_x64_gates_lazy, fort_x64_call_lazy\n"
	/* Opens, unless it is open, and calls. */
	".macro fort_x64_open_and_call\n"
	"	mov 40(%r9), %r10\n"
	"	mov 56(%r10), %rax\n"
	"	mov (%rax,%r11,8), %r11\n"
	"	push %r9\n"
	"	push %rcx\n"
	"	push %rdx\n"
	"	xor %ecx, %ecx\n"
	"	rdpkru\n"
	"	cmp 64(%r10), %eax\n"
	"	je 1f\n"
	"	mov 64(%r10), %eax\n"
	"	wrpkru\n"
	"1:	pop %rdx\n"
	"	pop %rcx\n"
	"	call *%r11\n"
	"	pop %r9\n"
	".endm\n"
	".p2align 4\n"
	"fort_x64_call_lazy:\n"
	"	fort_x64_open_and_call\n"
	"	ret\n"
	".p2align 4\n"
	"fort_x64_call_eager:\n"
	"	fort_x64_open_and_call\n"
	"	mov %rax, %r11\n"
	"	mov 40(%r9), %r10\n"
	"	xor %ecx, %ecx\n"
	"	xor %edx, %edx\n"
	"2:	mov 68(%r10), %eax\n"
	"	wrpkru\n"
	"	cmp 68(%r10), %eax\n"
	"	jne 2b\n"
	"	mov %r11, %rax\n"
	"	ret\n"
	".popsection\n");

extern const char fort_x64_gates_eager[FORT_X64_GATES * GATE_BYTES]
	__attribute__((visibility("hidden")));
extern const char fort_x64_gates_lazy[FORT_X64_GATES * GATE_BYTES]
	__attribute__((visibility("hidden")));

fort_helper_fn *fort_x64_gate(uint32_t slot, bool lazy)
{
	const char *gates = lazy ? fort_x64_gates_lazy : fort_x64_gates_eager;

	return (fort_helper_fn *)(uintptr_t)(gates + (size_t)slot * GATE_BYTES);
}

uint32_t fort_x64_keys_enter(const struct fort_domain *domain, struct fort_x64_entry *entry,
			     fort_helper_fn *const *functions)
{
	uint32_t before = fort_keys_get();

	entry->functions = functions;
	entry->open = before & ~domain->key_open;
	entry->closed = domain->key_rights;
	fort_keys_set(entry->closed);
	return before;
}
