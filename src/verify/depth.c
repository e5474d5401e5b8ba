/* The walk through all chains of calls, in the kernel's order, would be exponential. So first
 * comes, for each function, how much stack its callers may have used at most, and how many frames
 * it needs; the walk then follows only calls that break a rule.
 */
#include "verify/depth.h"

#include <errno.h>

#include "abi/uapi.h"

#define TAIL_CALL_BYTES 256u /* K: of callers, where a function calls another program */
#define OWN_STACK_BYTES 64u  /* K: BPF_PRIV_STACK_MIN_SIZE */
#define ENDLESS         (FORT_FRAMES_MAX + 1)

struct function {
	uint32_t calls, calls_end; /* its own, of `calls` */
	uint32_t bytes;            /* of its frame, rounded */
	uint32_t most;             /* that frames above it may have, bytes */
	uint32_t frames;           /* of it and what it calls; ENDLESS for recursion */
	bool own;                  /* its frame does not count: it has a stack of its own */
	enum { UNSEEN, OPEN, DONE } color;
};

struct depth {
	const struct fort_env *env;
	const struct fort_program *program;
	struct function *functions;
	uint32_t *calls; /* instructions that name a function */
	uint32_t n_calls;
	bool *async;
	uint32_t limit;
	struct fort_violation *why;
};

/* The function that such an instruction calls, or whose address it takes, if that counts as a call:
 * what is called some time later has a stack of its own then. -1: none. */
static int callee_of(const struct depth *d, uint32_t pc)
{
	const struct fort_insn *insn = &d->program->insns[pc];
	int callee = fort_subprog_at(d->program, fort_insn_target(insn, pc));

	return callee >= 0 && d->async[callee] && insn->kind != FORT_CALL ? -1 : callee;
}

/* --- what a function needs --- */

static uint32_t less(uint32_t most, uint32_t bytes)
{
	return most > bytes ? most - bytes : 0;
}

/* All that it calls is known. */
static void add_up(struct depth *d, uint32_t index)
{
	struct function *f = &d->functions[index];
	uint32_t counts = f->own ? 0 : f->bytes;

	f->frames = 1;
	f->most = counts <= d->limit ? d->limit - counts + 1 : 0;
	for (uint32_t i = f->calls; i < f->calls_end; i++) {
		int callee = callee_of(d, d->calls[i]);
		const struct function *c = callee < 0 ? NULL : &d->functions[callee];

		if (!c)
			continue;
		/* One that is being looked at is part of a cycle. */
		if (c->color != DONE || c->frames >= ENDLESS)
			f->frames = ENDLESS;
		else if (c->frames + 1 > f->frames)
			f->frames = c->frames + 1;
		if (c->color == DONE && less(c->most, counts) < f->most)
			f->most = less(c->most, counts);
	}
	if (index && d->env->summaries[index].tail_calls && f->most > TAIL_CALL_BYTES)
		f->most = TAIL_CALL_BYTES;
	f->color = DONE;
}

/* Callees before callers, by a walk in depth. */
static bool need(struct depth *d, struct fort_arena *arena, uint32_t root)
{
	uint32_t *path = FORT_ARENA_ARRAY(arena, d->program->n_subprogs, uint32_t);
	uint32_t *at = FORT_ARENA_ARRAY(arena, d->program->n_subprogs, uint32_t), n = 0;

	if (!path || !at)
		return false;
	if (d->functions[root].color == UNSEEN) {
		d->functions[root].color = OPEN;
		at[0] = d->functions[root].calls;
		path[n++] = root;
	}
	while (n) {
		uint32_t index = path[n - 1];
		int callee;

		if (at[n - 1] == d->functions[index].calls_end) {
			add_up(d, index);
			n--;
			continue;
		}
		callee = callee_of(d, d->calls[at[n - 1]++]);
		if (callee < 0 || d->functions[callee].color != UNSEEN)
			continue;
		d->functions[callee].color = OPEN;
		at[n] = d->functions[callee].calls;
		path[n++] = (uint32_t)callee;
	}
	return true;
}

/* --- the first call that breaks a rule --- */

static int refuse(struct depth *d, enum fort_diag diag, uint32_t pc, int64_t a0, int64_t a1)
{
	*d->why = (struct fort_violation){
		.diag = (uint16_t)diag, .reg = FORT_REGS, .pc = pc, .args = {a0, a1, 0, 0}};
	return -E2BIG;
}

/* Entering a function, with `bytes` used and `frame` frames above it. */
static int enter(struct depth *d, uint32_t index, uint32_t bytes, uint32_t frame, uint32_t pc)
{
	const struct function *f = &d->functions[index];

	if (frame == FORT_FRAMES_MAX)
		return refuse(d, FORT_DIAG_CALL_CHAIN, pc, frame, 0);
	if (index && d->env->summaries[index].tail_calls && bytes >= TAIL_CALL_BYTES)
		return refuse(d, FORT_DIAG_TAIL_STACK, pc, bytes, 0);
	if (!f->own && bytes + f->bytes > d->limit)
		return refuse(d, FORT_DIAG_STACK_COMBINED, pc, frame + 1, bytes + f->bytes);
	return 0;
}

static bool breaks(const struct depth *d, int callee, uint32_t bytes, uint32_t frame)
{
	const struct function *c = &d->functions[callee];

	return bytes >= c->most || frame + c->frames > FORT_FRAMES_MAX;
}

/* Each step goes one frame deeper, so there are at most FORT_FRAMES_MAX of them. */
static int walk(struct depth *d, uint32_t root)
{
	uint32_t index = root, bytes = 0, frame = 0, pc = d->program->subprogs[root].start;
	int err = enter(d, root, 0, 0, pc);

	while (!err && breaks(d, (int)index, bytes, frame)) {
		const struct function *f = &d->functions[index];
		uint32_t i;
		int callee = -1;

		bytes += f->own ? 0 : f->bytes;
		frame++;
		for (i = f->calls; i < f->calls_end; i++) {
			callee = callee_of(d, d->calls[i]);
			if (callee >= 0 && breaks(d, callee, bytes, frame))
				break;
		}
		if (i == f->calls_end)
			break;
		pc = d->calls[i];
		index = (uint32_t)callee;
		err = enter(d, index, bytes, frame, pc);
	}
	return err;
}

/* --- calls --- */

/* Lists the instructions that name functions: there are few. */
static bool list_calls(struct depth *d, struct fort_arena *arena)
{
	uint32_t n = 0;

	for (uint32_t pc = 0; pc < d->program->n_insns; pc++)
		n += fort_insn_names_subprog(&d->program->insns[pc]);
	d->n_calls = n;
	d->calls = FORT_ARENA_ARRAY(arena, n, uint32_t);
	if (!d->calls)
		return false;
	for (uint32_t i = n = 0; d->n_calls && i < d->program->n_subprogs; i++) {
		const struct fort_subprog *of = &d->program->subprogs[i];

		d->functions[i].calls = n;
		for (uint32_t pc = of->start; pc < of->end; pc++)
			if (fort_insn_names_subprog(&d->program->insns[pc]))
				d->calls[n++] = pc;
		d->functions[i].calls_end = n;
	}
	return true;
}

/* --- stacks --- */

/* K: bpf_enable_priv_stack. Programs that never run inside of themselves on one processor. */
static bool may_have_own_stacks(const struct fort_env *env)
{
	for (uint32_t i = 0; i < env->graph->program.n_subprogs; i++)
		if (env->summaries[i].tail_calls)
			return false;
	switch (env->hook.prog->number) {
	case BPF_PROG_TYPE_KPROBE:
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_PERF_EVENT:
	case BPF_PROG_TYPE_RAW_TRACEPOINT: return true;
	case BPF_PROG_TYPE_TRACING: return env->hook.attach != BPF_TRACE_ITER;
	default: return false;
	}
}

static void measure(struct depth *d)
{
	for (uint32_t i = 0; i < d->program->n_subprogs; i++)
		d->functions[i].bytes = (uint32_t)fort_round_up(d->env->stacks[i], 16);
	for (uint32_t i = 0; i < d->env->n_demands; i++)
		if (d->env->demands[i].kind == FORT_ROOT_ASYNC)
			d->async[d->env->demands[i].subprog] = true;
}

static int check_roots(struct depth *d, struct fort_arena *arena)
{
	bool own = may_have_own_stacks(d->env);

	/* What runs later, on the stack of whoever runs then; what of it the program calls too has
	 * no stack of its own either. */
	for (uint32_t i = d->program->n_subprogs; i-- > 0;) {
		int err;

		if (i && !d->async[i])
			continue;
		for (uint32_t k = 0; !i && k < d->program->n_subprogs; k++) {
			struct function *f = &d->functions[k];

			f->own = own && f->color == UNSEEN && f->bytes >= OWN_STACK_BYTES;
			f->color = UNSEEN;
		}
		if (!need(d, arena, i))
			return -ENOMEM;
		err = walk(d, i);
		if (err)
			return err;
	}
	return 0;
}

int fort_depth_check(struct fort_arena *arena, const struct fort_env *env, uint32_t most,
		     struct fort_violation *why)
{
	const struct fort_program *program = &env->graph->program;
	struct depth d = {
		.env = env,
		.program = program,
		.functions = FORT_ARENA_ARRAY(arena, program->n_subprogs, struct function),
		.async = FORT_ARENA_ARRAY(arena, program->n_subprogs, bool),
		.limit = most,
		.why = why,
	};

	if (!d.functions || !d.async || !list_calls(&d, arena))
		return -ENOMEM;
	measure(&d);
	return check_roots(&d, arena);
}
