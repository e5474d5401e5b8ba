/* The x64 engine: machine code from a program, in linear time (x64_op.h has the passes).
 *
 * A BPF register is a machine register, an instruction is one machine instruction or less, a call
 * is a call. What a run can do to its host is bounded by what can be emitted: accesses go through
 * x64_memory.c, jumps and calls lead to labels of the same image or to slots, and no instruction of
 * a program names rsp, r9 to r12 or writes rbp.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>

#include "base/sys.h"
#include "engine/resolve.h"
#include "engine/x64_claims.h"
#include "engine/x64_exit.h"
#include "engine/x64_faults.h"
#include "engine/x64_keys.h"
#include "engine/x64_program.h"
#include "engine/x64_tail.h"

/* --- compiling --- */

/* Working memory: arrays one behind the other, in one piece of an arena. */
struct scratch {
	uint8_t *at; /* NULL: it is being measured */
	size_t bytes;
};

static void *carve(struct scratch *scratch, size_t n, size_t size)
{
	void *array = scratch->at ? scratch->at + scratch->bytes : NULL;

	scratch->bytes += fort_round_up(n * size, 16);
	return array;
}

/* For the passes. The first ones must be zero; returns how many bytes these are. */
static size_t carve_passes(struct fort_x64 *x, struct scratch *scratch)
{
	size_t n = x->request->program->n_insns + 2, zeroed;

	x->subprogs = carve(scratch, x->request->program->n_subprogs, sizeof(*x->subprogs));
	x->refs = carve(scratch, n, sizeof(*x->refs));
	x->placed = carve(scratch, n, sizeof(*x->placed));
	x->join_at = carve(scratch, n, sizeof(*x->join_at));
	x->loop_ends = carve(scratch, n, sizeof(*x->loop_ends));
	zeroed = scratch->bytes;
	x->ops = carve(scratch, 2 * n + FORT_X64_UNROLL_OPS, sizeof(*x->ops));
	x->reordered = carve(scratch, 2 * n + FORT_X64_UNROLL_OPS, sizeof(*x->ops));
	x->joins = carve(scratch, 2 * n, sizeof(*x->joins));
	return zeroed;
}

/* For emitting: what operations may add at most. */
static void carve_emission(struct fort_x64 *x, const struct fort_x64_room *room,
			   struct scratch *scratch)
{
	struct fort_x64_layout *layout = x->layout;

	x->places = carve(scratch, x->n_ops + 1, sizeof(*x->places));
	x->accesses = carve(scratch, room->accesses, sizeof(*x->accesses));
	x->stops = carve(scratch, room->stops, sizeof(*x->stops));
	x->colds = carve(scratch, room->colds, sizeof(*x->colds));
	x->helpers = carve(scratch, room->helpers, sizeof(*x->helpers));
	layout->jumps = carve(scratch, room->jumps, sizeof(*layout->jumps));
	layout->labels = carve(scratch, room->labels, sizeof(*layout->labels));
	layout->aligns = carve(scratch, x->n_joins + 1, sizeof(*layout->aligns));
	x->bytes.out = carve(scratch, room->bytes, 1);
}

/* Of operations, of what is seldom done, and of what leaves. */
static uint32_t n_places(const struct fort_x64 *x)
{
	return x->n_ops + x->n_colds + 1;
}

static int new_code(const struct fort_x64 *x, struct fort_code **out)
{
	size_t bytes = sizeof(struct fort_code) + x->n_accesses * sizeof(struct fort_x64_access) +
		       n_places(x) * sizeof(struct fort_code_place) +
		       x->n_helpers * sizeof(fort_helper_fn *);

	*out = malloc(bytes);
	if (!*out)
		return -ENOMEM;
	**out = (struct fort_code){0};
	(*out)->confined = fort_isolations[x->request->isolation].stores;
	(*out)->fast_gs = fort_x64_gs_is_fast();
	(*out)->keys = x->keyed;
	(*out)->helper = x->request->helper;
	(*out)->places = (struct fort_code_place *)(void *)((*out)->accesses + x->n_accesses);
	(*out)->functions = (fort_helper_fn **)(void *)((*out)->places + n_places(x));
	return 0;
}

/* The operations whose bytes, or the place between them, spell something forbidden. Returns whether
 * there were any. */
static bool find_forbidden(struct fort_x64 *x, const uint8_t *image, uint32_t bytes)
{
	struct fort_x64_cursor cursor = {0};
	uint32_t at = fort_x64_forbidden(image, 0, bytes), i = 0;
	bool found = at < bytes;

	for (; at < bytes; at = fort_x64_forbidden(image, at + 1, bytes)) {
		while (i < x->n_ops && fort_x64_moved(x, &cursor, x->places[i]) <= at)
			i++;
		if (i)
			x->ops[i - 1].avoid = FORT_X64_CONSTANTS | FORT_X64_PAD;
		x->ops[i].avoid |= FORT_X64_PAD; /* there is one more than operations */
	}
	return found;
}

#define TRIES_MAX 16u

/* The image, without forbidden bytes: what spelled them is written otherwise until nothing does. */
static int emit(struct fort_x64 *x, struct fort_x64_draft *draft)
{
	for (x->tries = 0; x->tries < TRIES_MAX; x->tries++) {
		uint32_t bytes;
		int err;

		fort_x64_emit(x);
		if (x->bytes.at > INT32_MAX)
			return -ENOMEM;
		bytes = x->image_bytes = fort_x64_lay_out(x);
		err = fort_x64_draft_open(x->pool, x->n_helpers, bytes + 2, draft);
		if (err)
			return err;
		x->gap = draft->gap;
		fort_x64_write(x, draft->code);
		if (!find_forbidden(x, draft->code, bytes + 2))
			return 0;
		fort_x64_draft_drop(draft);
		if (x->hiding == FORT_X64_HIDE_NOTHING)
			x->hiding = FORT_X64_HIDE_FORBIDDEN;
	}
	return -EOPNOTSUPP;
}

static void note_places(const struct fort_x64 *x, struct fort_code *code)
{
	struct fort_x64_cursor cursor = {0};
	struct fort_code_place *place = code->places;

	for (uint32_t i = 0; i < x->n_ops; i++)
		*place++ = (struct fort_code_place){fort_x64_moved(x, &cursor, x->places[i]),
						    x->ops[i].pc};
	for (uint32_t i = 0; i < x->n_colds; i++)
		*place++ = (struct fort_code_place){fort_x64_label_place(x, x->colds[i].from),
						    x->colds[i].op->pc};
	*place =
		(struct fort_code_place){fort_x64_moved(x, &cursor, x->stops_at), FORT_CODE_LEAVES};
}

static int list(struct fort_x64 *x, struct fort_code *code)
{
	const struct fort_x64_label *way_out = &x->layout->labels[x->way_out];
	struct fort_x64_cursor cursor = {0};

	memcpy(code->accesses, x->accesses, x->n_accesses * sizeof(*x->accesses));
	note_places(x, code);
	code->faults = (struct fort_x64_faults){
		.range = {.start = (uint64_t)(uintptr_t)code->image.code,
			  .bytes = code->image.code_bytes},
		.way_out = (uint64_t)(uintptr_t)code->image.code +
			   fort_x64_moved(x, &cursor, way_out->at),
		.accesses = code->accesses,
		.n_accesses = x->n_accesses,
		.places = code->places,
		.n_places = n_places(x),
	};
	code->code_bytes = x->image_bytes;
	code->n_slots = x->n_helpers;
	return fort_x64_faults_list(&code->faults, &code->place);
}

/* The bytes that will run, read back. */
static int inspect(const struct fort_x64 *x, const struct fort_x64_image *image)
{
	struct fort_inspect view = {.code = image->code,
				    .bytes = (uint32_t)image->code_bytes,
				    .n_slots = x->n_helpers,
				    .gap = image->gap,
				    .isolation = x->request->isolation,
				    .cpu_offset = x->cpu_offset};
	struct fort_x64_claims claims;
	struct fort_inspection found;
	bool good;
	int err;

	if (x->request->proven && !x->request->inspect)
		return 0;
	err = fort_x64_claims_make(x, &claims);
	if (err)
		return err;
	view.labels = claims.labels;
	view.n_labels = claims.n_labels;
	view.tail_slot = x->tail_slot;
	view.functions = claims.functions;
	view.n_functions = claims.n_functions;
	view.n_cached = fort_inspect_cached(x->request, view.cached);
	good = fort_inspect(&view, &found);
	fort_x64_claims_free(&claims);
	if (good)
		return 0;
	return found.fault == FORT_INSPECT_NO_ROOM ? -ENOMEM : -ENOEXEC;
}

static void fill_slots(const struct fort_x64 *x, struct fort_x64_draft *draft,
		       struct fort_code *code)
{
	fort_helper_fn **slots = (fort_helper_fn **)draft->code;

	for (uint32_t i = 0; i < x->n_helpers; i++) {
		code->functions[i] = x->helpers[i].function;
		slots[-1 - (int64_t)i] = x->keyed && x->helpers[i].function != fort_x64_tail_enter
						 ? fort_x64_gate(i, x->helpers[i].lazy)
						 : x->helpers[i].function;
	}
}

static int finish(struct fort_x64 *x, struct fort_x64_draft *draft, struct fort_code **out)
{
	struct fort_code *code;
	int err = x->keyed && x->n_helpers > FORT_X64_GATES ? -EOPNOTSUPP : new_code(x, &code);

	if (err) {
		fort_x64_draft_drop(draft);
		return err;
	}
	fill_slots(x, draft, code);
	err = fort_x64_draft_seal(draft, &code->image);
	err = err ? err : inspect(x, &code->image);
	err = err ? err : list(x, code);
	if (!err && x->request->seal) {
		err = fort_x64_image_seal(&code->image);
		if (err)
			fort_signals_unlist(code->place);
	}
	if (err) {
		fort_x64_image_close(&code->image);
		free(code);
		return err;
	}
	*out = code;
	return 0;
}

static int optimise(struct fort_x64 *x)
{
	int err = fort_x64_lower(x);

	if (err)
		return err;
	fort_x64_subprogs(x);
	fort_x64_facts(x);
	fort_x64_forward(x);
	fort_x64_live(x);
	fort_x64_order(x);
	fort_x64_unroll(x);
	fort_x64_find_saved(x);
	return 0;
}

static int emit_in_arena(struct fort_x64 *x, struct fort_arena *arena, struct fort_code **out)
{
	const struct fort_x64_room room = fort_x64_room(x);
	struct fort_x64_draft draft;
	struct scratch scratch = {0};
	int err;

	carve_emission(x, &room, &scratch);
	scratch = (struct scratch){.at = fort_arena_room(arena, scratch.bytes)};
	if (!scratch.at)
		return -ENOMEM;
	carve_emission(x, &room, &scratch);
	err = emit(x, &draft);
	err = err ? err : finish(x, &draft, out);
	if (err == -ESTALE) { /* the piece cannot be written any more: a fork, perhaps */
		x->pool = NULL;
		err = emit(x, &draft);
		err = err ? err : finish(x, &draft, out);
	}
	return err;
}

static int compile_in_arena(struct fort_x64 *x, struct fort_arena *arena, struct fort_code **out)
{
	struct scratch scratch = {0};
	int err;

	carve_passes(x, &scratch);
	scratch = (struct scratch){.at = fort_arena_room(arena, scratch.bytes)};
	if (!scratch.at)
		return -ENOMEM;
	memset(scratch.at, 0, carve_passes(x, &scratch));
	err = optimise(x);
	return err ? err : emit_in_arena(x, arena, out);
}

static int compile(const struct fort_compile *request, struct fort_code **out)
{
	struct fort_x64_layout layout = {0};
	struct fort_x64 x = {.request = request,
			     .layout = &layout,
			     .pool = request->seal ? NULL : request->pool,
			     .window = !fort_isolation_needs_proof(request->isolation),
			     .hiding = request->blind ? FORT_X64_HIDE_ALL : FORT_X64_HIDE_NOTHING,
			     .keyed = fort_isolations[request->isolation].keys,
			     .cpu_offset = __rseq_size ? (int32_t)__rseq_offset : 0};
	struct fort_arena own;
	int err = fort_resolve_isolation(request, fort_engine_x64.isolations);

	if (!err && request->blind)
		err = fort_sys3(SYS_getrandom, (long)&x.keys, sizeof(x.keys), 0) == sizeof(x.keys)
			      ? 0
			      : -EAGAIN;
	if (err)
		return err;
	fort_arena_init(&own, SIZE_MAX);
	err = compile_in_arena(&x, request->scratch ? request->scratch : &own, out);
	fort_arena_free(&own);
	return err;
}

static void free_code(struct fort_code *code)
{
	if (!code)
		return;
	fort_signals_unlist(code->place);
	fort_x64_image_close(&code->image);
	free(code);
}

/* --- running --- */

static uint64_t run_code(const struct fort_code *code, struct fort_run *run)
{
	fort_x64_code_fn *start = (fort_x64_code_fn *)(uintptr_t)code->image.code;
	uint64_t r10 = fort_run_stack_top(run), gs = 0, r0;
	uint64_t window = (uint64_t)(uintptr_t)run->domain->window.base;
	struct fort_x64_entry entry;
	uint32_t rights = 0;

	entry.stop = FORT_ABORT_NONE;
	entry.detail = 0;
	entry.stack = 0;
	entry.helper = code->helper;
	entry.frames = FORT_FRAMES_MAX - 1;
	run->engine = &entry;
	if (code->confined && !fort_x64_gs_is(code->fast_gs, window))
		gs = fort_x64_gs_enter(code->fast_gs, window);
	if (FORT_UNLIKELY(code->keys))
		rights = fort_x64_keys_enter(run->domain, &entry, code->functions);
	r0 = start(run->ctx, run->ctx_length, r10, run, &entry, run->fuel);
	if (FORT_UNLIKELY(code->keys))
		fort_x64_keys_leave(rights);
	if (FORT_UNLIKELY(gs))
		fort_x64_gs_leave(code->fast_gs, gs);
	run->engine = NULL;
	if (FORT_UNLIKELY(entry.stop != FORT_ABORT_NONE))
		fort_x64_tell(run, &entry);
	return r0;
}

static void view(const struct fort_code *code, struct fort_code_view *out)
{
	*out = (struct fort_code_view){
		.bytes = code->image.code,
		.n_bytes = code->code_bytes,
		.places = code->faults.places,
		.n_places = code->faults.n_places,
		.gap = code->image.gap,
		.slots = code->functions,
		.n_slots = code->n_slots,
	};
}

const struct fort_engine fort_engine_x64 = {
	.name = "x64",
	.isolations = 1u << FORT_ISOLATION_NONE | 1u << FORT_ISOLATION_SFI_STORE |
		      1u << FORT_ISOLATION_SFI | 1u << FORT_ISOLATION_MPK,
	.compile = compile,
	.free = free_code,
	.run = run_code,
	.view = view,
};
