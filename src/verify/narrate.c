#include "verify/narrate.h"

#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "isa/disasm.h"

#define STATE_COLUMN 40 /* K: where the state after an instruction starts, at least */

bool fort_narrates(const struct fort_narrator *n)
{
	return n && n->log && (n->level & (FORT_LOG_PATH | FORT_LOG_STATES));
}

bool fort_narrates_all(const struct fort_narrator *n)
{
	return fort_narrates(n) && (n->level & FORT_LOG_STATES);
}

static const char *call_name(void *context, const struct fort_insn *insn)
{
	(void)context;
	return insn->op == FORT_OP_HELPER ? fort_helper_kernel_name((uint32_t)insn->imm) : NULL;
}

static const char *imm_name(void *context, const struct fort_insn *insn)
{
	const struct fort_narrator *n = context;

	if (insn->op != FORT_OP_MAP_IDX || !n->names || !n->names->map)
		return NULL;
	return n->names->map(n->names->context, (uint32_t)insn->imm);
}

static void put(struct fort_narrator *n, struct fort_text *text)
{
	if (text->length)
		fort_log_put(n->log, text->data, text->length);
	fort_text_free(text);
}

static void put_frame(struct fort_narrator *n, const struct fort_state *state, uint32_t frame,
		      uint16_t regs, uint64_t slots)
{
	struct fort_text text = fort_text_new();

	fort_frame_text(n->env, n->names, state, frame, regs, slots, &text);
	fort_text_add(&text, "\n");
	put(n, &text);
}

/* The state after the last instruction: on its line if nothing came between, else on its own. */
static void put_due(struct fort_narrator *n, const struct fort_state *state, uint32_t pc)
{
	uint32_t top = state->n_frames - 1;

	if (n->all_due) {
		put_frame(n, state, top, UINT16_MAX, UINT64_MAX);
	} else if (n->state_due) {
		if (fort_log_position(n->log) == n->after_insn) {
			uint64_t length = n->after_insn - n->insn_start; /* with its end */
			uint64_t column = length + 4 < STATE_COLUMN ? STATE_COLUMN : length + 4;

			fort_log_rewind(n->log, n->after_insn - 1);
			fort_log_add(n->log, "%*c;", (int)(fort_round_up(column, 8) - length - 1),
				     ' ');
		} else {
			fort_log_add(n->log, "%u:", pc);
		}
		put_frame(n, state, top, n->regs, n->slots);
	}
	n->all_due = false;
	n->state_due = false;
}

static void put_source(struct fort_narrator *n, uint32_t pc)
{
	struct fort_source_line line;
	const char *file, *text;

	if (!n->source || !n->source->line(n->source->context, pc, &line))
		return;
	if (n->last_file && line.line == n->last_line && !strcmp(line.file, n->last_file))
		return;
	file = strrchr(line.file, '/') ? strrchr(line.file, '/') + 1 : line.file;
	text = line.text + strspn(line.text, " \t\n");
	fort_log_add(n->log, "; %s @ %s:%u\n", text, file, line.line);
	n->last_file = line.file;
	n->last_line = line.line;
}

void fort_narrate_start(struct fort_narrator *n)
{
	const struct fort_program *program;

	if (!fort_narrates(n))
		return;
	program = &n->env->graph->program;
	n->all_due = true;
	if (!(n->level & FORT_LOG_STATES))
		return;
	for (uint32_t i = 0; i < program->n_subprogs; i++)
		fort_log_add(n->log, "func#%u @%u\n", i, program->subprogs[i].start);
}

void fort_narrate_insn(struct fort_narrator *n, const struct fort_state *state, uint32_t pc)
{
	const struct fort_disasm_names names = {call_name, imm_name, n};
	struct fort_text text;

	if (!fort_narrates(n))
		return;
	if (n->resumed)
		fort_log_add(n->log, "\nfrom %u to %u:", n->from, pc);
	else if (n->all_due)
		fort_log_add(n->log, "%u:", pc);
	n->resumed = false;
	put_due(n, state, pc);
	put_source(n, pc);
	n->pc = pc;
	n->insn_start = fort_log_position(n->log);
	text = fort_text_new();
	fort_text_add(&text, "%u: ", pc);
	fort_insn_text(&n->env->graph->program.insns[pc], &names, &text);
	fort_text_add(&text, "\n");
	put(n, &text);
	n->after_insn = fort_log_position(n->log);
}

static bool is_call(const struct fort_narrator *n)
{
	return n->env->graph->program.insns[n->pc].kind == FORT_CALL;
}

void fort_narrate_effect(struct fort_narrator *n, const struct fort_effect *effect,
			 const struct fort_state *state, uint32_t next_pc)
{
	if (!fort_narrates(n))
		return;
	n->state_due = false;
	if (effect->kind == FORT_EFFECT_CALL) {
		fort_log_add(n->log, "caller:\n");
		put_frame(n, state, effect->frame, UINT16_MAX, UINT64_MAX);
		fort_log_add(n->log, "callee:\n");
		put_frame(n, state, effect->frame + 1u, UINT16_MAX, UINT64_MAX);
		return;
	}
	if (effect->kind == FORT_EFFECT_RETURN) {
		fort_log_add(n->log, "to caller at %u:\n", next_pc);
		put_frame(n, state, effect->frame - 1u, UINT16_MAX, UINT64_MAX);
		return;
	}
	n->regs = effect->defs | effect->uses;
	n->slots = effect->slot_frame == effect->frame ? effect->slots_touched : 0;
	/* K: what a helper reads is not shown */
	for (unsigned i = 0; i < effect->reads.n && !is_call(n); i++)
		if (effect->reads.cells[i].frame == effect->frame)
			n->slots |= effect->reads.cells[i].slots;
	for (unsigned i = 0; i < effect->links.n; i++)
		if (effect->links.cells[i].frame == effect->frame)
			n->regs |= effect->links.cells[i].regs;
	n->state_due = n->regs || n->slots;
}

void fort_narrate_now(struct fort_narrator *n, const struct fort_state *state)
{
	if (fort_narrates(n) && !n->all_due)
		put_due(n, state, n->pc);
}

void fort_narrate_joined(struct fort_narrator *n, uint32_t others)
{
	if (!fort_narrates(n))
		return;
	fort_log_add(n->log, "; here this state is joined with %u of other paths\n", others);
	n->state_due = false;
	n->all_due = true;
}

void fort_narrate_pruned(struct fort_narrator *n, uint32_t from, uint32_t pc)
{
	if (!fort_narrates(n))
		return;
	if (n->resumed)
		fort_log_add(n->log, "\nfrom %u to %u: safe\n", from, pc);
	else
		fort_log_add(n->log, "%u: safe\n", pc);
	n->resumed = false;
	n->all_due = false;
	n->state_due = false;
}

uint64_t fort_narrate_position(const struct fort_narrator *n)
{
	return fort_narrates(n) ? fort_log_position(n->log) : 0;
}

void fort_narrate_resume(struct fort_narrator *n, uint64_t position, uint32_t from)
{
	if (!fort_narrates(n))
		return;
	if (!(n->level & FORT_LOG_STATES))
		fort_log_rewind(n->log, position);
	n->after_insn = 0;
	n->from = from;
	n->resumed = true;
	n->all_due = true;
}

void fort_narrate_accepted(struct fort_narrator *n)
{
	if (fort_narrates(n) && !(n->level & FORT_LOG_STATES))
		fort_log_rewind(n->log, 0);
}
