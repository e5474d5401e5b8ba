/* The x64 engine: machine code from a program in two passes over its instructions, in linear time.
 *
 * A BPF register is a machine register, an instruction is one to a few machine instructions, a call
 * is a call. What a run can do to its host is bounded by what can be emitted: accesses go through
 * x64_memory.c, jumps and calls lead to the starts of instructions of the same image or to slots,
 * and no instruction of a program names rsp, r9 to r12 or writes rbp.
 */
#include "engine/x64_code.h"

#include <errno.h>
#include <string.h>

#include "base/pages.h"
#include "engine/inspect.h"
#include "engine/resolve.h"
#include "engine/x64_faults.h"
#include "engine/x64_image.h"
#include "engine/x64_run.h"

struct fort_code {
	size_t bytes; /* of this, with accesses */
	bool confined, fast_gs;
	fort_helper_lookup *helper; /* for calls by register */
	struct fort_x64_image image;
	struct fort_x64_faults faults;
	uint32_t place;   /* in the list of images */
	uint32_t *starts; /* of each slot: faults.starts, behind the accesses */
	struct fort_x64_access accesses[];
};

/* --- emitting --- */

static void nothing(struct fort_x64 *x, const struct fort_insn *insn)
{
}

static void ldimm(struct fort_x64 *x, const struct fort_insn *insn)
{
	int64_t value = 0;
	int err = fort_resolve_imm(x->request, insn, &value);

	(void)err; /* checked before */
	fort_x64_const(&x->bytes, fort_x64_home(insn->dst), (uint64_t)value);
}

static fort_x64_emitter *const emitters[] = {
	[FORT_ALU_K] = fort_x64_alu_k,   [FORT_ALU_X] = fort_x64_alu_x,
	[FORT_NEG] = fort_x64_neg,       [FORT_MOV_K] = fort_x64_mov_k,
	[FORT_MOV_X] = fort_x64_mov_x,   [FORT_MOVSX] = fort_x64_movsx,
	[FORT_END] = fort_x64_end,       [FORT_LDX] = fort_x64_ldx,
	[FORT_ST] = fort_x64_st,         [FORT_STX] = fort_x64_stx,
	[FORT_ATOMIC] = fort_x64_atomic, [FORT_LDACQ] = fort_x64_ldx,
	[FORT_STREL] = fort_x64_stx,     [FORT_LDIMM] = ldimm,
	[FORT_LDIMM_HIGH] = nothing,     [FORT_JA] = fort_x64_ja,
	[FORT_JCC_K] = fort_x64_jcc_k,   [FORT_JCC_X] = fort_x64_jcc_x,
	[FORT_CALL] = fort_x64_calls,    [FORT_CALLX] = fort_x64_callx,
	[FORT_EXIT] = fort_x64_exit,
};

int64_t fort_x64_slot(struct fort_x64 *x, fort_helper_fn *function)
{
	uint32_t i = 0;

	while (i < x->n_helpers && x->helpers[i] != function)
		i++;
	if (i == x->n_helpers) {
		x->helpers[i] = function;
		x->n_helpers++;
	}
	return -(int64_t)(i + 1) * (int64_t)sizeof(function);
}

/* What is at pc; returns the slots done. Nothing that writes r10 is ever emitted. */
static uint32_t emit_next(struct fort_x64 *x)
{
	const struct fort_insn *insn = &x->request->program->insns[x->pc];
	uint32_t fused = 0;

	if (fort_insn_writes_frame_pointer(insn)) {
		fort_x64_leave(x, FORT_X64_ALWAYS, FORT_ABORT_INSN);
		return 1;
	}
	if (FORT_LIKELY(!x->bytes.careful))
		fused = fort_x64_fuse(x);
	if (fused)
		return fused;
	emitters[insn->kind](x, insn);
	return 1;
}

static void emit(struct fort_x64 *x)
{
	x->bytes.at = x->n_fixups = x->n_stops = x->n_accesses = 0;
	x->pc = 0;
	while (x->pc < x->request->program->n_insns) {
		x->estimate = x->offsets[x->pc];
		x->offsets[x->pc] = x->bytes.at;
		x->bytes.careful = x->careful[x->pc];
		fort_x64_shift(&x->bytes);
		for (uint32_t left = emit_next(x), at = x->offsets[x->pc]; left; left--)
			x->offsets[x->pc++] = at;
		if (x->pc < x->request->program->n_insns)
			fort_x64_shift(&x->bytes);
	}
	x->stops_at = x->bytes.at;
	fort_x64_stops(x);
}

static void mark_targets(struct fort_x64 *x)
{
	const struct fort_program *program = x->request->program;

	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		const struct fort_insn *insn = &program->insns[pc];

		if (fort_insn_jumps(insn) || insn->op == FORT_OP_LOCAL)
			x->targets[fort_insn_target(insn, pc)] = 1;
	}
}

static void patch(struct fort_x64 *x)
{
	for (uint32_t i = 0; i < x->n_fixups; i++)
		fort_x64_patch(&x->bytes, x->fixups[i].at, x->fixups[i].bytes,
			       x->offsets[x->fixups[i].target]);
}

/* --- compiling --- */

static int check(const struct fort_compile *request)
{
	const struct fort_program *program = request->program;
	int err = fort_resolve_isolation(request, fort_engine_x64.isolations);

	for (uint32_t pc = 0; pc < program->n_insns && !err; pc++) {
		const struct fort_insn *insn = &program->insns[pc];
		int64_t value;

		err = fort_resolve_check(request, insn);
		if (!err && insn->kind == FORT_LDIMM && !fort_insn_writes_frame_pointer(insn))
			err = fort_resolve_imm(request, insn, &value);
	}
	return err;
}

/* No instruction has more than one jump to a slot, one helper or three stops. */
static size_t scratch_bytes(uint32_t n)
{
	return n * (3 * sizeof(struct fort_x64_stop) + sizeof(fort_helper_fn *) +
		    sizeof(struct fort_x64_fixup) + sizeof(uint32_t) + 2 * sizeof(uint8_t)) +
	       sizeof(uint8_t);
}

static void use_scratch(struct fort_x64 *x, void *scratch, uint32_t n)
{
	x->helpers = scratch;
	x->stops = (struct fort_x64_stop *)(x->helpers + n);
	x->fixups = (struct fort_x64_fixup *)(x->stops + 3 * (size_t)n);
	x->offsets = (uint32_t *)(x->fixups + n);
	x->targets = (uint8_t *)(x->offsets + n);
	x->careful = x->targets + n;
}

static int new_code(const struct fort_x64 *x, struct fort_code **out)
{
	uint32_t n_insns = x->request->program->n_insns;
	size_t bytes = sizeof(struct fort_code) + x->n_accesses * sizeof(struct fort_x64_access) +
		       n_insns * sizeof(uint32_t);
	void *pages;
	int err = fort_pages_alloc(bytes, &pages);

	if (err)
		return err;
	*out = pages;
	(*out)->bytes = bytes;
	(*out)->starts = (uint32_t *)((*out)->accesses + x->n_accesses);
	(*out)->confined = fort_isolations[x->request->isolation].stores;
	(*out)->fast_gs = fort_x64_gs_is_fast();
	(*out)->helper = x->request->helper;
	return 0;
}

/* The bytes that will run, read back. */
static int inspect(const struct fort_x64 *x, const struct fort_x64_image *image)
{
	const struct fort_inspect view = {
		.code = image->code,
		.bytes = (uint32_t)image->code_bytes,
		.n_slots = x->n_helpers,
		.isolation = x->request->isolation,
	};
	struct fort_inspection found;

	if (x->request->proven && !x->request->inspect)
		return 0;
	if (fort_inspect(&view, &found))
		return 0;
	return found.fault == FORT_INSPECT_NO_ROOM ? -ENOMEM : -ENOEXEC;
}

/* Whatever became of the byte at `at` is to be emitted more carefully. */
static void take_care(struct fort_x64 *x, uint32_t at)
{
	uint32_t n = x->request->program->n_insns, low = 0, high = n;

	if (at >= x->stops_at) {
		x->careful[n]++;
		return;
	}
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (x->offsets[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	for (uint32_t pc = low + 1; pc-- && x->offsets[pc] == x->offsets[low];)
		x->careful[pc]++;
}

/* Is there nothing in the bytes that may not be? */
static bool is_clean(struct fort_x64 *x)
{
	uint32_t bytes = x->bytes.at, at = 0, found = 0;

	while ((at = fort_inspect_barred(x->bytes.out, bytes, at)) < bytes) {
		take_care(x, at++);
		found++;
	}
	return !found;
}

/* The second pass, into memory. -EAGAIN when some of it must be emitted in another way. */
static int write_image(struct fort_x64 *x, struct fort_x64_image *image)
{
	struct fort_x64_draft draft;
	int err = fort_x64_draft_open(x->n_helpers, x->bytes.at, &draft);

	if (err)
		return err;
	x->bytes = (struct fort_x64_bytes){.out = draft.code, .room = (uint32_t)draft.code_bytes};
	emit(x);
	patch(x);
	for (uint32_t i = 0; i < x->n_helpers; i++)
		((fort_helper_fn **)draft.code)[-1 - (int64_t)i] = x->helpers[i];
	if (is_clean(x))
		return fort_x64_draft_seal(&draft, image);
	fort_x64_draft_close(&draft);
	return -EAGAIN;
}

static int finish(struct fort_x64 *x, struct fort_code *code)
{
	int err;

	x->last = true;
	x->accesses = code->accesses;
	err = write_image(x, &code->image);
	if (err)
		return err;
	memcpy(code->starts, x->offsets, x->request->program->n_insns * sizeof(uint32_t));
	code->faults = (struct fort_x64_faults){
		.range = {.start = (uint64_t)(uintptr_t)code->image.code,
			  .bytes = code->image.code_bytes},
		.accesses = code->accesses,
		.n_accesses = x->n_accesses,
		.starts = code->starts,
		.n_insns = x->request->program->n_insns,
		.stops_at = x->stops_at,
	};
	err = inspect(x, &code->image);
	if (!err)
		err = fort_x64_faults_list(&code->faults, &code->place);
	if (err)
		fort_x64_image_close(&code->image);
	return err;
}

static int compile_into(struct fort_x64 *x, struct fort_code **out)
{
	struct fort_code *code;
	int err;

	x->last = false;
	x->accesses = NULL;
	x->bytes = (struct fort_x64_bytes){0};
	emit(x);
	if (x->bytes.at > INT32_MAX)
		return -ENOMEM;
	err = new_code(x, &code);
	if (err)
		return err;
	err = finish(x, code);
	if (err) {
		fort_pages_free(code, code->bytes);
		return err;
	}
	*out = code;
	return 0;
}

static int compile(const struct fort_compile *request, struct fort_code **out)
{
	struct fort_x64 x = {.request = request};
	uint32_t n = request->program->n_insns;
	void *scratch;
	int err = check(request);

	if (err)
		return err;
	err = fort_pages_alloc(scratch_bytes(n), &scratch);
	if (err)
		return err;
	use_scratch(&x, scratch, n);
	mark_targets(&x);
	err = compile_into(&x, out);
	for (unsigned i = 0; err == -EAGAIN && i < FORT_CAREFUL_ROUNDS; i++)
		err = compile_into(&x, out);
	if (err == -EAGAIN)
		err = -ENOEXEC;
	fort_pages_free(scratch, scratch_bytes(n));
	return err;
}

static void free_code(struct fort_code *code)
{
	if (!code)
		return;
	fort_signals_unlist(code->place);
	fort_x64_image_close(&code->image);
	fort_pages_free(code, code->bytes);
}

/* --- running --- */

static void tell(struct fort_run *run, const struct fort_x64_entry *entry)
{
	if (entry->stop == FORT_ABORT_NONE)
		return;
	if (entry->stop != FORT_X64_STOP_HELPER)
		fort_run_abort(run, entry->stop, entry->detail);
	run->abort.pc = entry->pc;
	if (entry->stop == FORT_ABORT_MEMORY) {
		run->abort.address = entry->address;
		run->abort.bytes = entry->bytes;
	}
}

/* A thread's gs stays with the last program that ran on it, unless the host uses it: most runs then
 * find it as they need it, and writing it is slow. */
static uint64_t enter_confined(const struct fort_code *code, struct fort_x64_entry *entry,
			       struct fort_run *run)
{
	uint64_t window = (uint64_t)(uintptr_t)run->domain->window.base;
	uint64_t before = fort_x64_gs_get(code->fast_gs), r0;

	if (before != window)
		fort_x64_gs_set(code->fast_gs, window);
	r0 = fort_x64_enter(entry, run);
	if (before && before != window)
		fort_x64_gs_set(code->fast_gs, before);
	return r0;
}

static uint64_t run_code(const struct fort_code *code, struct fort_run *run)
{
	struct fort_x64_entry entry = {
		.code = (uint64_t)(uintptr_t)code->image.code,
		.r1 = run->ctx,
		.r2 = run->ctx_length,
		.r10 = fort_domain_stack_top(run->domain, run->slot),
		.fuel = run->fuel,
		.helper = code->helper,
	};
	uint64_t r0;

	run->engine = &entry;
	r0 = code->confined ? enter_confined(code, &entry, run) : fort_x64_enter(&entry, run);
	run->engine = NULL;
	run->fuel = entry.fuel;
	tell(run, &entry);
	return r0;
}

const struct fort_engine fort_engine_x64 = {
	.name = "x64",
	.isolations = 1u << FORT_ISOLATION_NONE | 1u << FORT_ISOLATION_SFI_STORE |
		      1u << FORT_ISOLATION_SFI,
	.compile = compile,
	.free = free_code,
	.run = run_code,
};
