#include "harden/expand.h"

#include <errno.h>

#include "abi/uapi.h"
#include "harden/write.h"

/* Hidden words of a frame. A may_goto's live as long as the frame; the others while a call is
 * expanded, which another frame's function may interrupt. */
enum {
	WORD_TURNS,     /* struct fort_turns */
	WORD_ARGS = 3,  /* r0 to r5, while the runtime is asked for turns */
	WORD_SAVED = 9, /* r6 to r9 */
	WORD_FUNC = 13, /* which function is called back */
};

#define NO_SUBPROG UINT32_MAX

const char *fort_internal_name(uint32_t number)
{
	switch (number) {
	case FORT_INTERNAL_NEXT: return "bpfort_next_elem";
	case FORT_INTERNAL_VALUE: return "bpfort_elem_value";
	case FORT_INTERNAL_TURNS: return "bpfort_may_goto";
	case FORT_INTERNAL_PACKET: return "bpfort_load_packet";
	default: return NULL;
	}
}

static int16_t word_at(unsigned word)
{
	return (int16_t)(FORT_HIDDEN_WORDS + 8 * (int32_t)word);
}

static void save(struct fort_write *w, uint8_t reg, unsigned word)
{
	fort_write(w, FORT_ROW_STX64, FORT_R10, reg, word_at(word), 0);
}

static void restore(struct fort_write *w, uint8_t reg, unsigned word)
{
	fort_write(w, FORT_ROW_LDX64, reg, FORT_R10, word_at(word), 0);
}

static void set(struct fort_write *w, uint8_t reg, int32_t number)
{
	fort_write(w, FORT_ROW_MOV64_K, reg, 0, 0, number);
}

static void copy(struct fort_write *w, uint8_t to, uint8_t from)
{
	fort_write(w, FORT_ROW_MOV64_X, to, from, 0, 0);
}

static void add(struct fort_write *w, uint8_t reg, int32_t number)
{
	fort_write(w, FORT_ROW_ADD64_K, reg, 0, 0, number);
}

static void call(struct fort_write *w, uint32_t number)
{
	fort_write(w, FORT_ROW_CALL, 0, 0, 0, number);
}

/* --- calling back --- */

/* Of a call: goes on at LABEL_END with r0 an error, unless `reg` is as it must be. */
static void demand(struct fort_write *w, enum fort_row row, uint8_t reg, int64_t number, int error)
{
	fort_write_jump(w, row, reg, 0, number, FORT_LABEL_NEXT);
	set(w, FORT_R0, error);
	fort_write_jump(w, FORT_ROW_JA, 0, 0, 0, FORT_LABEL_END);
	fort_write_label(w, FORT_LABEL_NEXT);
}

static bool is_known(const struct fort_write *w, uint32_t pc)
{
	return w->known[pc] != NO_SUBPROG;
}

/* Calls the function that WORD_FUNC names, with all arguments in place but r5. */
static void call_named(struct fort_write *w, const struct fort_insn *insn)
{
	const struct fort_program *program = w->program;

	restore(w, FORT_R5, WORD_FUNC);
	for (uint32_t k = 0; k < program->n_subprogs; k++) {
		if (!w->named[k])
			continue;
		fort_write_jump(w, FORT_ROW_JNE64_K, FORT_R5, 0, FORT_FUNC_HANDLE(k),
				FORT_LABEL_NEXT);
		fort_write_call(w, k);
		fort_write_jump(w, FORT_ROW_JA, 0, 0, 0, FORT_LABEL_JOIN);
		fort_write_label(w, FORT_LABEL_NEXT);
	}
	/* It is none of them: the helper's own gate refuses it. */
	fort_write(w, FORT_ROW_CALL, 0, 0, 0, insn->imm);
	fort_write_label(w, FORT_LABEL_JOIN);
}

static void call_back(struct fort_write *w, const struct fort_insn *insn, uint32_t pc)
{
	if (is_known(w, pc))
		fort_write_call(w, w->known[pc]);
	else
		call_named(w, insn);
	fort_write_sight(w, FORT_SIGHT_AGAIN);
}

static void save_all(struct fort_write *w, uint32_t pc)
{
	for (unsigned i = 0; i < 4; i++)
		save(w, (uint8_t)(FORT_R6 + i), WORD_SAVED + i);
	if (!is_known(w, pc))
		save(w, FORT_R2, WORD_FUNC);
}

static void restore_all(struct fort_write *w)
{
	for (unsigned i = 0; i < 4; i++)
		restore(w, (uint8_t)(FORT_R6 + i), WORD_SAVED + i);
	fort_write_label(w, FORT_LABEL_END);
}

/* r1 loops of function r2 with r3; r4 must be 0. The number of loops has 32 bits, but where the
 * function is known the kernel compares all of them with the limit. (K: bpf_loop, inline_bpf_loop)
 */
static void loop(struct fort_write *w, const struct fort_insn *insn, uint32_t pc)
{
	const uint8_t wanted = FORT_R6, argument = FORT_R7, turn = FORT_R8;

	demand(w, FORT_ROW_JEQ64_K, FORT_R4, 0, -EINVAL);
	demand(w, is_known(w, pc) ? FORT_ROW_JLE64_K : FORT_ROW_JLE32_K, FORT_R1,
	       FORT_LOOP_TURNS_MAX, -E2BIG);
	save_all(w, pc);
	fort_write(w, FORT_ROW_MOV32_X, wanted, FORT_R1, 0, 0);
	copy(w, argument, FORT_R3);
	set(w, turn, 0);
	fort_write_jump(w, FORT_ROW_JEQ64_K, wanted, 0, 0, FORT_LABEL_DONE);
	fort_write_label(w, FORT_LABEL_HEAD);
	copy(w, FORT_R1, turn);
	copy(w, FORT_R2, argument);
	add(w, turn, 1);
	call_back(w, insn, pc);
	fort_write_jump(w, FORT_ROW_JNE64_K, FORT_R0, 0, 0, FORT_LABEL_DONE);
	fort_write_jump(w, FORT_ROW_JLT64_X, turn, wanted, 0, FORT_LABEL_HEAD);
	fort_write_label(w, FORT_LABEL_DONE);
	copy(w, FORT_R0, turn);
	restore_all(w);
}

/* All elements of map r1, for function r2 with r3; r4 must be 0. (K: bpf_for_each_map_elem) */
static void each(struct fort_write *w, const struct fort_insn *insn, uint32_t pc)
{
	const uint8_t map = FORT_R6, argument = FORT_R7, turn = FORT_R8, cursor = FORT_R9;

	demand(w, FORT_ROW_JEQ64_K, FORT_R4, 0, -EINVAL);
	save_all(w, pc);
	copy(w, map, FORT_R1);
	copy(w, argument, FORT_R3);
	set(w, turn, 0);
	set(w, cursor, 0);
	fort_write_label(w, FORT_LABEL_HEAD);
	copy(w, FORT_R1, map);
	copy(w, FORT_R2, cursor);
	copy(w, FORT_R3, FORT_R10);
	add(w, FORT_R3, FORT_HIDDEN_KEYS);
	call(w, FORT_INTERNAL_NEXT);
	fort_write_jump(w, FORT_ROW_JEQ64_K, FORT_R0, 0, 0, FORT_LABEL_DONE);
	copy(w, cursor, FORT_R0);
	copy(w, FORT_R1, map);
	copy(w, FORT_R2, cursor);
	call(w, FORT_INTERNAL_VALUE);
	add(w, turn, 1);
	copy(w, FORT_R1, map);
	copy(w, FORT_R2, FORT_R10);
	add(w, FORT_R2, FORT_HIDDEN_KEYS);
	copy(w, FORT_R3, FORT_R0);
	copy(w, FORT_R4, argument);
	call_back(w, insn, pc);
	fort_write_jump(w, FORT_ROW_JEQ64_K, FORT_R0, 0, 0, FORT_LABEL_HEAD);
	fort_write_label(w, FORT_LABEL_DONE);
	copy(w, FORT_R0, turn);
	restore_all(w);
}

/* --- counted jumps --- */

/* At the start of a function that has any. Its first instruction may be jumped to; this not. */
static void start_turns(struct fort_write *w)
{
	fort_write(w, FORT_ROW_ST64, FORT_R10, 0, word_at(WORD_TURNS), FORT_TURNS_BATCH);
	fort_write(w, FORT_ROW_ST64, FORT_R10, 0, word_at(WORD_TURNS + 1), 0);
}

static void ask_for_turns(struct fort_write *w)
{
	for (uint8_t reg = FORT_R1; reg <= FORT_R5; reg++)
		save(w, reg, WORD_ARGS + reg);
	copy(w, FORT_R1, FORT_R10);
	add(w, FORT_R1, word_at(WORD_TURNS));
	call(w, FORT_INTERNAL_TURNS);
	for (uint8_t reg = FORT_R1; reg <= FORT_R5; reg++)
		restore(w, reg, WORD_ARGS + reg);
}

static void may_goto(struct fort_write *w, const struct fort_insn *insn, uint32_t pc)
{
	save(w, FORT_R0, WORD_ARGS);
	restore(w, FORT_R0, WORD_TURNS);
	add(w, FORT_R0, -1);
	save(w, FORT_R0, WORD_TURNS);
	fort_write_jump(w, FORT_ROW_JNE64_K, FORT_R0, 0, 0, FORT_LABEL_DONE);
	ask_for_turns(w);
	fort_write_jump(w, FORT_ROW_JNE64_K, FORT_R0, 0, 0, FORT_LABEL_DONE);
	restore(w, FORT_R0, WORD_ARGS);
	fort_write_goto(w, (uint32_t)fort_insn_target(insn, pc));
	fort_write_label(w, FORT_LABEL_DONE);
	restore(w, FORT_R0, WORD_ARGS);
}

/* --- loads from packets --- */

/* From the packet of the context in r6, which it is up to the runtime to believe. An offset has 32
 * bits; sums wrap. (K: bpf_gen_ld_abs) */
static void packet_load(struct fort_write *w, const struct fort_insn *insn)
{
	if (insn->kind == FORT_LDIND) {
		fort_write(w, FORT_ROW_MOV32_X, FORT_R2, insn->src, 0, 0);
		fort_write(w, FORT_ROW_ADD32_K, FORT_R2, 0, 0, insn->imm);
	} else {
		set(w, FORT_R2, (int32_t)insn->imm);
	}
	copy(w, FORT_R1, FORT_R6);
	set(w, FORT_R3, insn->bits / 8);
	call(w, FORT_INTERNAL_PACKET);
	fort_write_jump(w, FORT_ROW_JSGE64_K, FORT_R0, 0, 0, FORT_LABEL_DONE);
	set(w, FORT_R0, 0);
	fort_write(w, FORT_ROW_EXIT, 0, 0, 0, 0);
	fort_write_label(w, FORT_LABEL_DONE);
}

/* --- programs --- */

static bool calls_back(const struct fort_insn *insn)
{
	return insn->kind == FORT_CALL && insn->op == FORT_OP_HELPER &&
	       (insn->imm == BPF_FUNC_loop || insn->imm == BPF_FUNC_for_each_map_elem);
}

/* Kinds of which some are expanded. */
#define KIND(kind) (1u << FORT_##kind)
#define EXPANDED   (KIND(CALL) | KIND(LDIMM) | KIND(MAY_GOTO) | KIND(LDABS) | KIND(LDIND))

static bool is_function(const struct fort_insn *insn)
{
	return insn->kind == FORT_LDIMM && insn->op == FORT_OP_FUNC;
}

static bool expands(const struct fort_insn *insn)
{
	if (!(EXPANDED >> insn->kind & 1))
		return false;
	return calls_back(insn) || is_function(insn) || insn->kind == FORT_MAY_GOTO ||
	       insn->kind == FORT_LDABS || insn->kind == FORT_LDIND;
}

static void one(struct fort_write *w, const struct fort_insn *insn, uint32_t pc)
{
	if (insn->kind == FORT_MAY_GOTO)
		may_goto(w, insn, pc);
	else if (insn->kind == FORT_LDABS || insn->kind == FORT_LDIND)
		packet_load(w, insn);
	else if (is_function(insn))
		fort_write(w, FORT_ROW_LDIMM, insn->dst, 0, 0,
			   FORT_FUNC_HANDLE(
				   fort_subprog_at(w->program, fort_insn_target(insn, pc))));
	else if (calls_back(insn) && insn->imm == BPF_FUNC_loop)
		loop(w, insn, pc);
	else if (calls_back(insn))
		each(w, insn, pc);
	else
		fort_write_copy(w, insn);
}

static void all(struct fort_write *w)
{
	const struct fort_program *program = w->program;

	for (uint32_t k = 0; k < program->n_subprogs; k++) {
		if (!w->runs[k])
			continue;
		fort_write_subprog(w, k);
		if (w->counts[k])
			start_turns(w);
		for (uint32_t pc = program->subprogs[k].start; pc < program->subprogs[k].end;
		     pc += fort_insn_slots(&program->insns[pc])) {
			fort_write_begin(w, pc);
			one(w, &program->insns[pc], pc);
		}
		fort_write_subprog_end(w, k);
	}
}

/* --- which functions run --- */

/* What the instruction calls may run. True if that was not known. */
static bool spread_one(struct fort_write *w, uint32_t pc)
{
	const struct fort_program *program = w->program;
	const struct fort_insn *insn = &program->insns[pc];
	bool *runs = w->runs, news = false;

	if (insn->kind == FORT_CALL && insn->op == FORT_OP_LOCAL) {
		uint32_t k = (uint32_t)fort_subprog_at(program, fort_insn_target(insn, pc));

		news = !runs[k];
		runs[k] = true;
	} else if (calls_back(insn)) {
		for (uint32_t k = 0; k < program->n_subprogs; k++)
			if (!runs[k] &&
			    (w->known[pc] == NO_SUBPROG ? w->named[k] : w->known[pc] == k))
				runs[k] = news = true;
	}
	return news;
}

/* Engines have no place for functions that nobody calls: their address may be all that is used of
 * them. Each round finds one at least, or is the last. */
static void find_running(struct fort_write *w)
{
	const struct fort_program *program = w->program;
	bool news = true;

	w->runs[0] = true;
	for (uint32_t round = 0; news && round <= program->n_subprogs; round++) {
		news = false;
		for (uint32_t k = 0; k < program->n_subprogs; k++)
			for (uint32_t pc = program->subprogs[k].start;
			     w->runs[k] && pc < program->subprogs[k].end; pc++)
				news |= spread_one(w, pc);
	}
}

/* Which functions are named at all, and by r2 where a call is: known while nothing can have come
 * from elsewhere since the instruction that put it there. */
static void find_functions(struct fort_write *w)
{
	const struct fort_program *program = w->program;
	uint32_t in_r2 = NO_SUBPROG;

	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		const struct fort_insn *insn = &program->insns[pc];

		if (w->targets[pc])
			in_r2 = NO_SUBPROG;
		w->known[pc] = in_r2;
		if (is_function(insn)) {
			uint32_t k = (uint32_t)fort_subprog_at(program, fort_insn_target(insn, pc));

			w->named[k] = true;
			if (insn->dst == FORT_R2)
				in_r2 = k;
		} else if (insn->kind != FORT_LDIMM_HIGH &&
			   (insn->dst == FORT_R2 || insn->kind == FORT_CALL ||
			    insn->kind == FORT_CALLX || insn->kind == FORT_ATOMIC ||
			    insn->kind == FORT_LDABS || insn->kind == FORT_LDIND)) {
			in_r2 = NO_SUBPROG;
		}
	}
}

static void find_targets(struct fort_write *w)
{
	const struct fort_program *program = w->program;

	for (uint32_t pc = 0; pc < program->n_insns; pc++)
		if (fort_insn_jumps(&program->insns[pc]))
			w->targets[fort_insn_target(&program->insns[pc], pc)] = true;
	for (uint32_t k = 0; k < program->n_subprogs; k++) {
		w->targets[program->subprogs[k].start] = true;
		for (uint32_t pc = program->subprogs[k].start; pc < program->subprogs[k].end; pc++)
			w->counts[k] |= program->insns[pc].kind == FORT_MAY_GOTO;
	}
}

bool fort_expands_hidden(const struct fort_insn *insn)
{
	return calls_back(insn) || insn->kind == FORT_MAY_GOTO;
}

static bool needs_hidden(const struct fort_program *program)
{
	for (uint32_t pc = 0; pc < program->n_insns; pc++)
		if (fort_expands_hidden(&program->insns[pc]))
			return true;
	return false;
}

int fort_expand(const struct fort_program *program, struct fort_arena *arena,
		struct fort_expanded *out)
{
	struct fort_write *w;
	uint32_t pc = 0;
	int err;

	while (pc < program->n_insns && !expands(&program->insns[pc]))
		pc++;
	if (pc == program->n_insns) {
		*out = (struct fort_expanded){.program = *program};
		return 0;
	}
	w = fort_write_open(program, arena);
	if (!w)
		return -ENOMEM;
	find_targets(w);
	find_functions(w);
	find_running(w);
	all(w); /* to see where everything comes to lie */
	if (fort_write_stretches(w))
		all(w);
	err = fort_write_again(w);
	if (err)
		return err;
	all(w);
	*out = (struct fort_expanded){.program = {.insns = w->insns,
						  .n_insns = w->n,
						  .subprogs = w->subprogs,
						  .n_subprogs = w->n_subprogs},
				      .origin = w->origin,
				      .sights = w->sights,
				      .hidden = needs_hidden(program)};
	return 0;
}
