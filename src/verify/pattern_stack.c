/* The pattern of stacks that are too large: who uses how much of it, and for what. A program's text
 * does not name its variables; what shows where one begins is that its address is taken, or that
 * something is accessed where the bytes below are not. */
#include "verify/listing.h"
#include "verify/words.h"

/* So many of a function's largest are named; smaller ones are registers that were put aside. */
#define LOCALS_NAMED 2u
#define LOCAL_LEAST  16u

struct locals {
	uint32_t first[FORT_STACK_BYTES]; /* of each byte, by its distance to the top - 1: the
					   * instruction + 1 that makes something begin there */
	bool accessed[FORT_STACK_BYTES], taken[FORT_STACK_BYTES];
};

struct local {
	uint32_t offset, bytes, pc; /* offset: its distance to the top */
};

static void begin(struct locals *locals, int64_t offset, uint32_t pc, bool taken)
{
	if (offset >= 0 || offset < -(int64_t)FORT_STACK_BYTES)
		return;
	if (!locals->first[-offset - 1] || (taken && !locals->taken[-offset - 1]))
		locals->first[-offset - 1] = pc + 1;
	locals->taken[-offset - 1] |= taken;
}

static void note_access(struct locals *locals, const struct fort_insn *insn, uint32_t pc)
{
	bool loads = insn->kind == FORT_LDX,
	     stores = insn->kind == FORT_ST || insn->kind == FORT_STX;
	unsigned base = loads ? insn->src : insn->dst;

	if ((!loads && !stores) || base != FORT_R10)
		return;
	begin(locals, insn->off, pc, false);
	for (int64_t at = insn->off; at < insn->off + insn->bits / 8 && at < 0; at++)
		if (at >= -(int64_t)FORT_STACK_BYTES)
			locals->accessed[-at - 1] = true;
}

/* An address is the top in a register, then plus something: compilers put nothing between. */
static void note_address(struct locals *locals, const struct fort_insn *insn, uint32_t pc)
{
	if (insn[0].kind == FORT_MOV_X && insn[0].bits == 64 && insn[0].src == FORT_R10 &&
	    insn[1].kind == FORT_ALU_K && insn[1].op == FORT_OP_ADD && insn[1].bits == 64 &&
	    insn[1].dst == insn[0].dst)
		begin(locals, insn[1].imm, pc + 1, true);
}

static bool begins(const struct locals *locals, uint32_t offset)
{
	return locals->taken[offset - 1] ||
	       (locals->first[offset - 1] &&
		(offset == FORT_STACK_BYTES || !locals->accessed[offset]));
}

/* Puts it among the largest, which are in order. */
static void rank(struct local *largest, struct local local)
{
	for (uint32_t i = 0; i < LOCALS_NAMED; i++)
		if (local.bytes > largest[i].bytes) {
			struct local swap = largest[i];

			largest[i] = local;
			local = swap;
		}
}

static void find_largest(const struct fort_program *program, uint32_t subprog,
			 struct locals *locals, struct local largest[LOCALS_NAMED])
{
	const struct fort_subprog *of = &program->subprogs[subprog];
	uint32_t above = 0; /* where the one above begins */

	*locals = (struct locals){0};
	for (uint32_t pc = of->start; pc < of->end; pc++) {
		note_access(locals, &program->insns[pc], pc);
		if (pc + 1 < of->end)
			note_address(locals, &program->insns[pc], pc);
	}
	for (uint32_t offset = 1; offset <= FORT_STACK_BYTES; offset++) {
		if (!begins(locals, offset))
			continue;
		rank(largest,
		     (struct local){offset, offset - above, locals->first[offset - 1] - 1});
		above = offset;
	}
}

static void add_locals(struct fort_story *s, uint32_t subprog, struct locals *locals,
		       struct fort_text *out)
{
	struct local largest[LOCALS_NAMED] = {0};
	const char *before = " (";

	find_largest(&fort_story_env(s)->graph->program, subprog, locals, largest);
	for (uint32_t i = 0; i < LOCALS_NAMED && largest[i].bytes >= LOCAL_LEAST; i++) {
		fort_text_add(out, "%s%u at fp-%u, ", before, largest[i].bytes, largest[i].offset);
		fort_story_add_place(s, largest[i].pc, out);
		before = "; ";
	}
	fort_text_add(out, *before == ';' ? ")" : "");
}

static const char *function_name(const struct fort_env *env, uint32_t subprog)
{
	return env->words ? env->words[subprog].name : NULL;
}

static void add_function(struct fort_story *s, uint32_t subprog, struct locals *locals,
			 struct fort_text *out)
{
	const char *name = function_name(fort_story_env(s), subprog);

	if (name) {
		fort_text_add(out, "%s", name);
	} else {
		fort_text_add(out, "the function at ");
		fort_story_add_place(s, fort_story_env(s)->graph->program.subprogs[subprog].start,
				     out);
	}
	fort_text_add(out, " %u", fort_story_env(s)->stacks[subprog]);
	add_locals(s, subprog, locals, out);
}

/* The function that uses most stack of those that use less than `below`, or as much and come
 * later; n for none. */
static uint32_t next_by_stack(const struct fort_env *env, uint32_t last)
{
	uint32_t n = env->graph->program.n_subprogs, best = n;

	for (uint32_t i = 0; i < n; i++) {
		bool behind = last == n || env->stacks[i] < env->stacks[last] ||
			      (env->stacks[i] == env->stacks[last] && i > last);

		if (behind && env->stacks[i] && (best == n || env->stacks[i] > env->stacks[best]))
			best = i;
	}
	return best;
}

bool fort_pattern_stack_table(struct fort_story *s)
{
	const struct fort_env *env = fort_story_env(s);
	uint32_t n = env->graph->program.n_subprogs;
	struct fort_listing list = FORT_LISTING_NEW;
	struct fort_text what = fort_text_new();
	struct locals *locals;

	if ((!fort_story_is(s, FORT_DIAG_STACK_COMBINED) &&
	     !fort_story_is(s, FORT_DIAG_TAIL_STACK)) ||
	    !env->stacks) {
		fort_text_free(&list.text);
		fort_text_free(&what);
		return false;
	}
	locals = FORT_ARENA_NEW(s->arena, struct locals);
	s->failed |= !locals;
	for (uint32_t at = locals ? next_by_stack(env, n) : n; at < n;
	     at = next_by_stack(env, at)) {
		struct fort_text *text = fort_listing_next(&list);

		if (text)
			add_function(s, at, locals, text);
	}
	fort_render_text(s->render, fort_diag_info((enum fort_diag)s->v->diag)->message, &what);
	fort_story_text(s, "what", &what);
	fort_listing_end(s, "table", &list);
	return true;
}
