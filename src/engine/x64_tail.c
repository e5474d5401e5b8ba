#include "engine/x64_tail.h"

#include "engine/tail.h"
#include "engine/x64_keys.h"
#include "engine/x64_program.h"

/* --- code --- */

bool fort_x64_is_tail(const struct fort_x64 *x, const struct fort_x64_op *op)
{
	return op->kind == FORT_X64_OP_HELPER && x->request->shape &&
	       x->request->shape((uint32_t)op->imm).inlines == FORT_INLINE_TAIL;
}

/* The function's end. What its caller finds in r1 to r5 is nothing of the host. */
static void nest(struct fort_x64 *x, const struct fort_x64_op *op)
{
	struct fort_x64_op all = *op;

	all.keep = 0x1f;
	fort_x64_call_around(x, &all, fort_x64_tail_nest);
	fort_x64_plain(&x->bytes, FORT_X64_RET, 32);
	x->colds[x->cold_at].ends = true;
}

void fort_x64_tail(struct fort_x64 *x, const struct fort_x64_op *op)
{
	enum fort_x64_reg r0 = fort_x64_home(FORT_R0);
	bool returns = x->main_is_called || fort_subprog_of(x->request->program, op->pc);

	fort_x64_rr(&x->bytes, FORT_X64_TEST, 32, r0, r0);
	if (returns) {
		fort_x64_bind(x, fort_x64_seldom(x, FORT_X64_NOT_EQUAL, op, nest));
		return;
	}
	if (!x->tail_exit)
		x->tail_exit = fort_x64_label(x);
	fort_x64_jump_to(x, FORT_X64_NOT_EQUAL, x->tail_exit);
}

void fort_x64_tail_exit(struct fort_x64 *x)
{
	fort_x64_bind(x, x->tail_exit);
	fort_x64_load_entry(x);
	fort_x64_rm(&x->bytes, FORT_X64_LOAD, 64, FORT_X64_RSP, FORT_X64_ENTRY_MEM(stack));
	fort_x64_put_registers_back(x);
	x->tail_slot = fort_x64_jump_host(x, fort_x64_tail_enter);
}

/* --- what is jumped to --- */

/* The stub knows these. */
_Static_assert(offsetof(struct fort_run, engine) == 40, "in the stub");
_Static_assert(offsetof(struct fort_run, fuel) == 32, "in the stub");
_Static_assert(offsetof(struct fort_run, ctx) == 48, "in the stub");
_Static_assert(offsetof(struct fort_run, ctx_length) == 56, "in the stub");
_Static_assert(offsetof(struct fort_x64_entry, r10) == 72, "in the stub");

/* Where the next image begins, once the run is bound to it; 0: the run is over. Returning to
 * whoever entered the first one is all that it takes then, since the stack is as it was for that.
 */
__attribute__((used)) uint64_t fort_x64_tail_switch(struct fort_run *run);

uint64_t fort_x64_tail_switch(struct fort_run *run)
{
	struct fort_x64_entry *entry = run->engine;
	const struct fort_tail *tail = run->tails.next;
	const struct fort_code *code;

	entry->stack = 0; /* until the next one tells */
	if (run->domain->keys)
		fort_keys_set(entry->open);
	if (!fort_tail_enter(run, &fort_engine_x64))
		return 0;
	code = tail->code;
	entry->helper = code->helper;
	entry->frames = FORT_FRAMES_MAX - 1;
	entry->r10 = tail->stack_top + run->tails.level * FORT_LEVEL_BYTES;
	if (code->confined) {
		uint64_t window = (uint64_t)(uintptr_t)tail->domain->window.base;

		if (!fort_x64_gs_is(code->fast_gs, window))
			(void)fort_x64_gs_enter(code->fast_gs, window); /* the first run leaves */
	}
	if (code->keys)
		(void)fort_x64_keys_enter(run->domain, entry, code->functions);
	return run->abort.code ? 0 : (uint64_t)(uintptr_t)code->image.code;
}

__asm__(".pushsection .text\n"
	".p2align 4\n"
	".globl fort_x64_tail_enter\n"
	".hidden fort_x64_tail_enter\n"
	".type fort_x64_tail_enter, @function\n"
	"fort_x64_tail_enter:\n"
	"	push %r9\n"
	"	mov %r9, %rdi\n"
	"	call fort_x64_tail_switch\n"
	"	pop %rcx\n"
	"	test %rax, %rax\n"
	"	je 1f\n"
	"	mov 40(%rcx), %r8\n"
	"	mov 48(%rcx), %rdi\n"
	"	mov 56(%rcx), %rsi\n"
	"	mov 72(%r8), %rdx\n"
	"	mov 32(%rcx), %r9\n"
	"	jmp *%rax\n"
	"1:	ret\n"
	".size fort_x64_tail_enter, . - fort_x64_tail_enter\n"
	".popsection\n");

/* The gate, under keys, has opened what is closed to programs, and will close what is closed to the
 * caller: its entry says what. */
uint64_t fort_x64_tail_nest(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			    struct fort_run *run)
{
	const struct fort_tail *tail = run->tails.next;
	uint64_t window = (uint64_t)(uintptr_t)run->domain->window.base;
	uint64_t result = fort_tail_nest(run, &fort_engine_x64);

	if (tail && tail->engine == &fort_engine_x64 && tail->code->confined &&
	    !fort_x64_gs_is(tail->code->fast_gs, window))
		(void)fort_x64_gs_enter(tail->code->fast_gs, window);
	return result;
}
