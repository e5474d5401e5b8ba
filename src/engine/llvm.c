/* The llvm engine: a program becomes a module of LLVM (llvm_ir.h), which makes an object of it,
 * which becomes an image (llvm_object.h). Slow to compile, for programs that run often.
 *
 * Under sfi each access names nothing but the window, whatever was proven: gs:[r], with the upper
 * half of r zero. What LLVM makes of that, and what comes out of the cache, is read back before it
 * runs (llvm_inspect.h), always where something is to be confined.
 *
 * Code that faults, or is to stop, goes on at the landing, which needs no more than the stack
 * pointer that the entry keeps. What fuel was left is known only where code tells the run: after
 * such an end it is what it was at the last call of a helper, or at the start.
 */
#include "engine/llvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "engine/inspect.h"
#include "engine/llvm_cache.h"
#include "engine/llvm_enter.h"
#include "engine/llvm_object.h"
#include "engine/resolve.h"
#include "engine/tail.h"

struct fort_code {
	bool confined, fast_gs;
	struct fort_llvm_built built;
	struct fort_x64_faults faults;
	uint32_t place; /* in the list of images */
	fort_helper_lookup *helper;
};

/* What this thread is running: a fault does not say. The third mutable object of this layer
 * (tools/lint.py knows it). */
static __thread struct fort_run *running __attribute__((tls_model("initial-exec")));

/* --- names from outside --- */

static void *address_of(fort_helper_fn *function)
{
	return (void *)(uintptr_t)function;
}

/* The window's, whoever ran before on this thread; returns what the host had there, if anything. */
static uint64_t take_gs(const struct fort_code *code, const struct fort_run *run)
{
	uint64_t window = (uint64_t)(uintptr_t)run->domain->window.base;

	if (!code->confined || fort_x64_gs_is(code->fast_gs, window))
		return 0;
	return fort_x64_gs_enter(code->fast_gs, window);
}

/* Called as helpers are, by a function, whose end it is (llvm_tail.h). */
static uint64_t tail_nest(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			  struct fort_run *run)
{
	const struct fort_tail *tail = run->tails.next;
	uint64_t result = fort_tail_nest(run, &fort_engine_llvm);

	if (tail && tail->engine == &fort_engine_llvm)
		(void)take_gs(tail->code, run); /* back to the caller's */
	return result;
}

static fort_helper_fn *helper_of(const struct fort_compile *request, uint32_t number)
{
	struct fort_helper_shape shape = {0};

	if (request->shape)
		shape = request->shape(number);
	return shape.function ? shape.function : request->helper(number);
}

void *fort_llvm_symbol(const struct fort_compile *request, const char *name)
{
	uint32_t number = name[0] ? (uint32_t)strtoul(name + 1, NULL, 10) : 0;
	const struct fort_domain *domain = request->domain;

	if (!strcmp(name, FORT_LLVM_LEAVE))
		return (void *)(uintptr_t)fort_llvm_leave;
	if (!strcmp(name, FORT_LLVM_BY_NUMBER))
		return address_of(fort_x64_call_by_number);
	if (!strcmp(name, FORT_LLVM_NEST))
		return address_of(tail_nest);
	if (name[0] == FORT_LLVM_HELPER)
		return address_of(helper_of(request, number));
	if (number >= domain->n_maps)
		return NULL;
	if (name[0] == FORT_LLVM_FIND && request->lookups)
		return address_of(request->lookups[number].function);
	if (name[0] == FORT_LLVM_VALUES && domain->map_start[number])
		return (void *)(uintptr_t)fort_domain_address(domain, domain->map_start[number]);
	return NULL;
}

/* --- faults --- */

static uint32_t place_in(const struct fort_signal_range *range, const greg_t *regs)
{
	return (uint32_t)((uint64_t)regs[REG_RIP] - range->start);
}

static void land(greg_t *regs, const struct fort_x64_entry *entry)
{
	regs[REG_RSP] = (greg_t)entry->stack;
	regs[REG_RIP] = (greg_t)(uintptr_t)fort_llvm_landing;
}

static bool fault(const struct fort_signal_range *range, const siginfo_t *info, ucontext_t *context)
{
	greg_t *regs = context->uc_mcontext.gregs;

	fort_x64_faults_tell((const struct fort_x64_faults *)range, regs, place_in(range, regs),
			     running);
	land(regs, running->engine);
	return true;
}

static bool stop(const struct fort_signal_range *range, struct fort_run *run, ucontext_t *context)
{
	greg_t *regs = context->uc_mcontext.gregs;
	struct fort_x64_entry *entry = run->engine;

	if (!entry || !entry->stack || entry->stop)
		return true;
	entry->stop = FORT_ABORT_TIME;
	entry->pc =
		fort_x64_faults_pc((const struct fort_x64_faults *)range, place_in(range, regs));
	land(regs, entry);
	return true;
}

/* --- compiling --- */

static int list(struct fort_code *code)
{
	const struct fort_llvm_built *built = &code->built;

	code->faults = (struct fort_x64_faults){
		.range = {.start = (uint64_t)(uintptr_t)built->image.code,
			  .bytes = built->image.code_bytes,
			  .fault = fault,
			  .stop = stop},
		.accesses = built->accesses,
		.n_accesses = built->n_accesses,
		.places = built->places,
		.n_places = built->n_places,
	};
	return fort_signals_list(&code->faults.range, &code->place);
}

static int build_from(const struct fort_compile *request, const struct fort_buf *object,
		      fort_llvm_hidden *refused, struct fort_code *code)
{
	return fort_llvm_build(request, (struct fort_span){object->data, object->bytes}, refused,
			       &code->built);
}

/* Numbers of instructions that spell something barred: they would do so in the image, wherever LLVM
 * takes them to. */
static void hide_barred(const struct fort_program *program, fort_llvm_hidden *hidden)
{
	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		const struct fort_insn *insn = &program->insns[pc];
		uint8_t imm[sizeof(insn->imm)], off[sizeof(int32_t)];
		int32_t wide = insn->off;

		memcpy(imm, &insn->imm, sizeof(imm));
		memcpy(off, &wide, sizeof(off));
		hidden[pc] = fort_inspect_barred(imm, sizeof(imm), 0) < sizeof(imm) ||
			     fort_inspect_barred(off, sizeof(off), 0) < sizeof(off);
	}
}

#define HIDE_SOME_ROUNDS 4u

/* An object whose image may run, and the image. Code that is refused is made in other ways: its
 * numbers, and with them where it accesses memory, become something that LLVM knows nothing of, so
 * that it spells other bytes, and shows what it leaves to be seen: that gs:[r] is in the window. At
 * first only what LLVM says that it comes from. */
static int build_new(const struct fort_compile *request, struct fort_buf *object,
		     fort_llvm_hidden *hidden, struct fort_code *code)
{
	int err = -EILSEQ;

	hidden[request->program->n_insns] = 0;
	hide_barred(request->program, hidden);
	for (unsigned round = 0; round < FORT_CAREFUL_ROUNDS && err == -EILSEQ; round++) {
		for (uint32_t pc = 0; round >= HIDE_SOME_ROUNDS && pc < request->program->n_insns;
		     pc++)
			hidden[pc] = (fort_llvm_hidden)round;
		fort_buf_free(object);
		fort_buf_init(object, FORT_LLVM_BYTES_MAX);
		err = fort_llvm_compile(request, hidden, object);
		err = err ? err : build_from(request, object, hidden, code);
	}
	return err == -EILSEQ ? -EOPNOTSUPP : err;
}

/* What is in the cache but is no object as it should be is made anew. */
static int build(const struct fort_compile *request, struct fort_code *code)
{
	fort_llvm_hidden *hidden = calloc(request->program->n_insns + 1u, sizeof(*hidden));
	struct fort_llvm_cache cache;
	struct fort_buf object;
	int err = -ENOEXEC;

	if (!hidden)
		return -ENOMEM;
	fort_buf_init(&object, FORT_LLVM_BYTES_MAX);
	fort_llvm_cache_open(request, &cache);
	if (fort_llvm_cache_get(&cache, &object))
		err = build_from(request, &object, hidden, code);
	if (err == -ENOEXEC || err == -EILSEQ) {
		err = build_new(request, &object, hidden, code);
		if (!err)
			fort_llvm_cache_put(&cache, &object);
	}
	fort_llvm_cache_close(&cache);
	fort_buf_free(&object);
	free(hidden);
	err = err ? err : list(code);
	if (!err && request->seal) {
		err = fort_x64_image_seal(&code->built.image);
		if (err)
			fort_signals_unlist(code->place);
	}
	if (err)
		fort_llvm_drop(&code->built);
	return err;
}

static int compile(const struct fort_compile *request, struct fort_code **out)
{
	struct fort_code *code;
	int err = fort_resolve_isolation(request, fort_engine_llvm.isolations);

	if (err)
		return err;
	code = calloc(1, sizeof(*code));
	if (!code)
		return -ENOMEM;
	code->confined = fort_isolations[request->isolation].stores;
	code->fast_gs = fort_x64_gs_is_fast();
	code->helper = request->helper;
	err = build(request, code);
	if (err)
		free(code);
	else
		*out = code;
	return err;
}

static void free_code(struct fort_code *code)
{
	if (!code)
		return;
	fort_signals_unlist(code->place);
	fort_llvm_drop(&code->built);
	free(code);
}

/* --- running --- */

/* One program. */
static uint64_t enter(const struct fort_code *code, struct fort_run *run,
		      struct fort_x64_entry *entry)
{
	entry->stack = 0;
	entry->helper = code->helper;
	return fort_llvm_enter(run->ctx, run->ctx_length, fort_run_stack_top(run), run, entry,
			       run->fuel, (fort_llvm_code_fn *)(uintptr_t)code->built.start);
}

static uint64_t run_code(const struct fort_code *code, struct fort_run *run)
{
	struct fort_run *outer = running;
	struct fort_x64_entry entry;
	uint64_t gs, r0;

	entry.stop = FORT_ABORT_NONE;
	entry.detail = 0;
	run->engine = &entry;
	running = run;
	gs = take_gs(code, run);
	r0 = enter(code, run, &entry);
	while (FORT_UNLIKELY(run->tails.next) && entry.stop == FORT_ABORT_NONE &&
	       !run->abort.code) {
		if (!fort_tail_enter(run, &fort_engine_llvm))
			break;
		(void)take_gs(run->tails.at->code, run);
		r0 = enter(run->tails.at->code, run, &entry);
	}
	if (FORT_UNLIKELY(gs))
		fort_x64_gs_leave(code->fast_gs, gs);
	running = outer;
	run->engine = NULL;
	if (FORT_UNLIKELY(entry.stop != FORT_ABORT_NONE))
		fort_x64_tell(run, &entry);
	return run->abort.code ? 0 : r0;
}

/* Where what it needs from outside is, says only the object. */
static void view(const struct fort_code *code, struct fort_code_view *out)
{
	*out = (struct fort_code_view){.bytes = code->built.image.code,
				       .n_bytes = code->built.code_bytes,
				       .places = code->built.places,
				       .n_places = code->built.n_places};
}

const struct fort_engine fort_engine_llvm = {
	.name = "llvm",
	.vague = true,
	.isolations = 1u << FORT_ISOLATION_NONE | 1u << FORT_ISOLATION_SFI_STORE |
		      1u << FORT_ISOLATION_SFI,
	.compile = compile,
	.free = free_code,
	.run = run_code,
	.view = view,
};
