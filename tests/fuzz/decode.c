/* Any bytes as a program: what decodes also encodes, disassembles and, if it has a graph, keeps the
 * promises of the graph.
 */
#include "fuzz.h"

#include <string.h>

#include "isa/disasm.h"
#include "isa/explain.h"
#include "isa/graph.h"

#define SLOTS_MAX   4096u
#define ARENA_BYTES (4u << 20)

static void check_text(const struct fort_insn *insn)
{
	char array[128];
	struct fort_text text = fort_text_on(array, sizeof(array));

	fort_insn_text(insn, NULL, &text);
	FUZZ_ASSERT(!text.cut);
	FUZZ_ASSERT(text.length || insn->kind == FORT_LDIMM_HIGH);
}

static void check_insns(const struct fort_raw_insn *raw, const struct fort_insn *insns,
			uint32_t count)
{
	for (uint32_t pc = 0; pc < count; pc += fort_insn_slots(&insns[pc])) {
		struct fort_raw_insn again[2];
		uint32_t slots = fort_insn_encode(&insns[pc], again);

		FUZZ_ASSERT(slots == fort_insn_slots(&insns[pc]));
		FUZZ_ASSERT(!memcmp(again, &raw[pc], slots * sizeof(*raw)));
		check_text(&insns[pc]);
	}
}

/* Each slot has a subprogram, each jump stays in it, each subprogram ends. */
static void check_graph(const struct fort_graph *graph)
{
	const struct fort_program *p = &graph->program;

	FUZZ_ASSERT(p->n_subprogs && p->subprogs[0].start == 0);
	FUZZ_ASSERT(p->subprogs[p->n_subprogs - 1].end == p->n_insns);
	for (uint32_t pc = 0; pc < p->n_insns; pc++) {
		const struct fort_insn *insn = &p->insns[pc];
		const struct fort_subprog *subprog = &p->subprogs[fort_subprog_of(p, pc)];
		int64_t target = fort_insn_target(insn, pc);

		FUZZ_ASSERT(pc >= subprog->start && pc < subprog->end);
		FUZZ_ASSERT(insn->kind == FORT_LDIMM_HIGH || graph->marks[pc] & FORT_MARK_REACHED);
		if (fort_insn_jumps(insn)) {
			FUZZ_ASSERT(target >= subprog->start && target < subprog->end);
			FUZZ_ASSERT(p->insns[target].kind != FORT_LDIMM_HIGH);
		}
		if (insn->kind == FORT_CALL && insn->op == FORT_OP_LOCAL)
			FUZZ_ASSERT(fort_subprog_at(p, target) >= 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fort_raw_insn raw[SLOTS_MAX];
	struct fort_insn insns[SLOTS_MAX];
	uint32_t count = (uint32_t)(bytes / sizeof(*raw));
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	struct fort_graph graph;
	struct fort_arena arena;
	char array[128];
	struct fort_text text = fort_text_on(array, sizeof(array));
	int err;

	if (!count || count > SLOTS_MAX)
		return 0;
	memcpy(raw, data, count * sizeof(*raw));
	if (fort_insn_decode(raw, count, insns, &decode_error)) {
		fort_decode_error_text(&decode_error, &text);
		FUZZ_ASSERT(text.length && !text.cut && decode_error.pc < count);
		return 0;
	}
	check_insns(raw, insns, count);
	fort_arena_init(&arena, ARENA_BYTES);
	err = fort_graph_build(&arena, insns, count, &graph, &graph_error);
	if (!err) {
		check_graph(&graph);
	} else {
		fort_graph_error_text(&graph_error, &text);
		FUZZ_ASSERT(text.length && !text.cut && graph_error.pc < count);
	}
	fort_arena_free(&arena);
	return 0;
}
