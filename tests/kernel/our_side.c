#include "our_side.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "embed.h"
#include "isa/explain.h"
#include "our_unit.h"
#include "load/runs.h"
#include "random.h"
#include "verify/render.h"
#include "verify/verify.h"

#define LOG_BYTES        (4u << 20)
#define RUNS             4u     /* with inputs at random */
#define VALUES_BYTES_MAX 65536u /* of a map whose contents a run starts with */

struct our_side {
	struct our_unit unit;
	struct fort_verify_result result;
	struct fort_proven proven;
	struct fort_log log;
	struct embed embed;
	struct embed_world world;
	struct embed_input input;
	char last_words[ORACLE_LINE_BYTES]; /* of the diagnostic, all its lines */
	char text[LOG_BYTES];
};

struct our_side *our_side_open(void)
{
	return calloc(1, sizeof(struct our_side));
}

void our_side_close(struct our_side *ours)
{
	free(ours);
}

/* --- the log, in a buffer of ours --- */

static int write_text(void *owner, uint64_t offset, const void *data, size_t bytes)
{
	memcpy((char *)owner + offset, data, bytes);
	return 0;
}

static int read_text(void *owner, uint64_t offset, void *data, size_t bytes)
{
	memcpy(data, (char *)owner + offset, bytes);
	return 0;
}

static void start_log(struct our_side *ours)
{
	struct fort_log_target target = {write_text, read_text, ours->text};

	fort_log_start(&ours->log, target, sizeof(ours->text), false);
}

static void end_log(struct our_side *ours, const struct oracle_wants *wants, struct side *side)
{
	uint32_t needed;

	if (side->verdict != VERDICT_ACCEPTS)
		fort_log_add(&ours->log, "%s\n", ours->last_words);
	/* What does not fit loses its oldest lines, as the kernel's. */
	if (fort_log_finish(&ours->log, &needed) == -EFAULT)
		ours->text[0] = 0;
	side->log = wants->log_level ? ours->text : NULL;
}

/* --- rejections --- */

/* What exactly is not supported: the helper, the instruction, the field. */
static void note_later(const struct our_side *ours, const struct fort_render *render,
		       struct side *side)
{
	struct fort_text text = fort_text_on(side->reason, sizeof(side->reason));

	side->verdict = VERDICT_LATER;
	if (!our_unit_kfunc(&ours->unit, render->violation->pc, side->reason))
		fort_render_text(render, fort_diag_info(render->violation->diag)->message, &text);
}

static void note_rejection(struct our_side *ours, const struct fort_render *render,
			   struct side *side)
{
	const struct fort_diag_info *info = fort_diag_info(render->violation->diag);
	struct fort_text text = fort_text_on(ours->last_words, sizeof(ours->last_words));
	const char *last;

	side->verdict = VERDICT_REJECTS;
	side->err = info->errno_value;
	snprintf(side->code, sizeof(side->code), "%s", info->code);
	fort_render_text(render, info->kernel, &text);
	/* Of several lines, the last is the one that is compared. */
	last = strrchr(ours->last_words, '\n');
	snprintf(side->line, sizeof(side->line), "%s", last ? last + 1 : ours->last_words);
	if (info->class == FORT_CLASS_LATER)
		note_later(ours, render, side);
}

static void note_malformed(struct our_side *ours, const struct fort_unit_error *error,
			   struct side *side)
{
	char words[ORACLE_LINE_BYTES];
	struct fort_text text = fort_text_on(words, sizeof(words));
	struct fort_violation violation = error->decoding ? fort_decode_violation(&error->decode)
							  : fort_graph_violation(&error->graph);
	struct fort_render render = {.violation = &violation, .isa = words};

	if (error->decoding)
		fort_decode_error_text(&error->decode, &text);
	else
		fort_graph_error_text(&error->graph, &text);
	note_rejection(ours, &render, side);
}

/* --- search and check --- */

static bool search(struct our_side *ours, uint32_t log_level)
{
	struct fort_narrator narrator = {.log = &ours->log,
					 .level = log_level,
					 .env = &ours->unit.unit.env};
	struct fort_verify_options options = {.budget_insns = FORT_BUDGET_INSNS,
					      .narrator = log_level ? &narrator : NULL};

	fort_buf_free(&ours->result.certificate);
	return !fort_verify_search(&ours->unit.unit.env, &ours->unit.arena, &options,
				   &ours->result);
}

static bool check(struct our_side *ours, struct fort_check *out)
{
	struct fort_span bytes = {ours->result.certificate.data, ours->result.certificate.bytes};
	struct fort_arena arena;
	bool good;

	fort_arena_init(&arena, FORT_SEARCH_BYTES_MAX);
	good = fort_certificate_check(bytes, &ours->unit.unit.env, &arena, out, &ours->proven);
	fort_arena_free(&arena);
	return good;
}

/* A certificate that does not check is a rejection too, of class INTERNAL. */
static void note_verdict(struct our_side *ours, struct side *side)
{
	struct fort_render render = {.env = &ours->unit.unit.env,
				     .violation = &ours->result.violation,
				     .state = ours->result.state};
	struct fort_violation broken;
	struct fort_check checked;

	side->processed = ours->result.insns_processed;
	if (ours->unit.strange_map[0]) {
		side->verdict = VERDICT_LATER;
		snprintf(side->reason, sizeof(side->reason), "%s", ours->unit.strange_map);
	} else if (ours->result.verdict == FORT_REJECT) {
		note_rejection(ours, &render, side);
	} else if (check(ours, &checked)) {
		side->verdict = VERDICT_ACCEPTS;
	} else {
		broken = (struct fort_violation){.diag = FORT_DIAG_CERTIFICATE, .pc = checked.pc};
		render.violation = &broken;
		render.fault = fort_check_fault_text(checked.fault);
		note_rejection(ours, &render, side);
	}
}

/* --- runs --- */

/* What the kernel's map holds now. Only arrays: others start empty. */
static bool copy_values(const struct our_side *ours, uint32_t index)
{
	struct fort_map *map = ours->world.maps[index];
	const struct fort_map_shape *shape = &ours->unit.maps[index];
	uint8_t *value;
	bool good = true;

	if (shape->type != BPF_MAP_TYPE_ARRAY ||
	    (uint64_t)shape->max_entries * fort_map_stride(shape) > VALUES_BYTES_MAX)
		return true;
	value = calloc(1, fort_map_stride(shape));
	for (uint32_t key = 0; value && good && key < shape->max_entries; key++)
		good = !bpf_map_lookup_elem(ours->unit.fds[index], &key, value) &&
		       !fort_map_update(map, &key, value, BPF_ANY);
	good = good && value && (!shape->frozen || !fort_map_freeze(map));
	free(value);
	return good;
}

static bool open_world(struct our_side *ours)
{
	struct fort_map_shape shapes[FORT_MAPS_PER_PROG_MAX];
	bool good;

	memcpy(shapes, ours->unit.maps, sizeof(shapes));
	for (uint32_t i = 0; i < ours->unit.n_maps; i++)
		shapes[i].frozen = 0;
	good = embed_world_open(&ours->world, shapes, ours->unit.n_maps);
	for (uint32_t i = 0; good && i < ours->unit.n_maps; i++)
		good = copy_values(ours, i);
	return good;
}

/* The packet that the kernel's own tests send, with the smallest context around it. */
static void plain_input(struct our_side *ours, const uint8_t *data)
{
	struct random random = random_from(1);
	struct embed_input *input = &ours->input;
	struct xdp_md md = {.data_end = ORACLE_DATA_BYTES};

	embed_input_make(&random, ours->unit.unit.env.hook.prog, input);
	memset(input->ctx, 0, sizeof(input->ctx));
	if (!input->input.data)
		return;
	memcpy(input->data, data, ORACLE_DATA_BYTES);
	input->input.data_bytes = ORACLE_DATA_BYTES;
	if (input->input.ctx_bytes == sizeof(md))
		memcpy(input->ctx, &md, sizeof(md));
}

/* False: a run was not as claimed. */
static bool run_plain(struct our_side *ours, const struct oracle_wants *wants)
{
	for (unsigned i = 0; i < wants->n_runs; i++) {
		struct fort_test_output output;

		plain_input(ours, wants->data[i]);
		if (!embed_run(&ours->embed, &ours->input.input, NULL, &output))
			return false;
	}
	return true;
}

/* What the same runs return under an engine, with the fuel that programs have; *n is 0 when one did
 * not come to its end. False: it cannot be loaded. */
static bool run_engine(struct our_side *ours, const struct fort_engine *engine,
		       const struct oracle_wants *wants, uint32_t *values, unsigned *n)
{
	struct fort_load_request request = {.proven = &ours->proven,
					    .maps = ours->world.maps,
					    .engine = engine,
					    .isolation = FORT_ISOLATION_SFI,
					    .n_slots = 1,
					    .packet_bytes = 1024,
					    .fuel = FORT_FUEL_DEFAULT};
	struct fort_test_output output = {0};
	struct fort_loaded *loaded;

	*n = 0;
	if (fort_loaded_open(&request, &loaded))
		return false;
	for (unsigned i = 0; i < wants->n_runs && !output.abort.code; i++) {
		plain_input(ours, wants->data[i]);
		if (fort_test_run(loaded, &ours->world.services, &ours->input.input, NULL, NULL,
				  &output))
			break;
		values[(*n)++] = (uint32_t)output.result;
	}
	fort_loaded_close(loaded);
	*n = output.abort.code ? 0 : *n;
	return true;
}

/* Tail calls go to programs that the kernel's map has, and ours has not: test_kernel_tails. */
static bool names_programs(const struct our_side *ours)
{
	for (uint32_t i = 0; i < ours->unit.n_maps; i++)
		if (ours->unit.maps[i].type == BPF_MAP_TYPE_PROG_ARRAY)
			return true;
	return false;
}

/* Does it get what is another number each time? */
static bool is_moody(const struct our_side *ours)
{
	const struct fort_program *program = &ours->unit.unit.graph.program;

	for (uint32_t pc = 0; pc < program->n_insns; pc++) {
		const struct fort_insn *insn = &program->insns[pc];

		if (insn->kind == FORT_CALL && insn->op == FORT_OP_HELPER &&
		    (insn->imm == BPF_FUNC_get_prandom_u32 || insn->imm == BPF_FUNC_ktime_get_ns ||
		     insn->imm == BPF_FUNC_get_smp_processor_id))
			return true;
	}
	return false;
}

/* All engines say the same, each with maps of its own. The first one is what is told. */
static void run_engines(struct our_side *ours, const struct oracle_wants *wants, struct side *side)
{
	for (unsigned e = 0; fort_engines[e]; e++) {
		uint32_t values[ORACLE_RUNS_MAX];
		unsigned n = 0;

		if (fort_engines[e]->absent)
			continue;
		if (!open_world(ours) || !run_engine(ours, fort_engines[e], wants, values, &n)) {
			snprintf(side->fault, sizeof(side->fault), "%s does not load it",
				 fort_engines[e]->name);
		} else if (!e) {
			memcpy(side->values, values, sizeof(values));
			side->n_values = n;
		} else if (n != side->n_values ||
			   (!is_moody(ours) && memcmp(values, side->values, n * sizeof(*values)))) {
			snprintf(side->fault, sizeof(side->fault), "%s returns something else",
				 fort_engines[e]->name);
		}
		embed_world_close(&ours->world);
	}
}

/* Runs of an accepted program. What we cannot run, maps or a context that we cannot make: none. */
static void run(struct our_side *ours, const struct oracle_wants *wants, struct side *side)
{
	struct fort_span certificate = {ours->result.certificate.data,
					ours->result.certificate.bytes};
	struct random random = random_from(1);
	struct fort_violation why;
	bool good = true;

	if (!fort_env_runs(&ours->unit.unit.env, &why))
		return;
	if (open_world(ours)) {
		good = embed_open(&ours->embed, &ours->world, &ours->unit.unit.env, &ours->proven,
				  certificate) &&
		       run_plain(ours, wants);
		for (unsigned i = 0; good && i < RUNS; i++) {
			struct fort_test_output output;

			embed_world_drain(&ours->world);
			embed_input_make(&random, ours->unit.unit.env.hook.prog, &ours->input);
			good = embed_run(&ours->embed, &ours->input.input, NULL, &output);
		}
		if (!good)
			snprintf(side->fault, sizeof(side->fault), "%s", ours->embed.error);
		embed_close(&ours->embed);
	}
	embed_world_close(&ours->world);
	if (good && wants->n_runs && !names_programs(ours))
		run_engines(ours, wants, side);
}

/* --- judging --- */

/* False: there is no unit, and `side` says why. */
static bool open_unit(struct our_side *ours, const union bpf_attr *attr, enum half half,
		      struct side *side)
{
	struct fort_unit_error error;

	memset(side, 0, sizeof(*side));
	switch (our_unit_open(&ours->unit, attr, half, &error, side->reason)) {
	case OUR_UNIT_READY: return true;
	case OUR_UNIT_MALFORMED: note_malformed(ours, &error, side); break;
	case OUR_UNIT_LATER: side->verdict = VERDICT_LATER; break;
	case OUR_UNIT_CANNOT: side->verdict = VERDICT_CANNOT; break;
	}
	return false;
}

static void judge(struct our_side *ours, const struct oracle_wants *wants, struct side *side)
{
	if (!search(ours, 0)) {
		side->verdict = VERDICT_CANNOT;
		snprintf(side->reason, sizeof(side->reason), "the search ran out of memory");
		return;
	}
	note_verdict(ours, side);
	if (side->verdict == VERDICT_ACCEPTS)
		run(ours, wants, side);
	if (wants->log_level && !search(ours, wants->log_level))
		side->verdict = VERDICT_CANNOT;
}

void our_side_judge(struct our_side *ours, const union bpf_attr *attr, enum half half,
		    const struct oracle_wants *wants, struct side *side)
{
	start_log(ours);
	ours->last_words[0] = 0;
	memset(&ours->result, 0, sizeof(ours->result));
	if (open_unit(ours, attr, half, side))
		judge(ours, wants, side);
	end_log(ours, wants, side);
	fort_buf_free(&ours->result.certificate);
	our_unit_close(&ours->unit);
}

void our_side_measure(struct our_side *ours, const union bpf_attr *attr, struct side *side,
		      struct our_cost *cost)
{
	uint64_t start;
	bool searched = false;

	memset(cost, 0, sizeof(*cost));
	memset(&ours->result, 0, sizeof(ours->result));
	if (open_unit(ours, attr, HALF_PRIV, side)) {
		start = oracle_now_ns();
		searched = search(ours, 0);
		cost->search_ns = oracle_now_ns() - start + ours->unit.build_ns;
		cost->states = ours->result.total_states;
		cost->peak_states = ours->result.peak_states;
		cost->memory_bytes = ours->unit.arena.used_bytes;
		cost->certificate_bytes = ours->result.certificate.bytes;
	}
	if (searched) {
		start = oracle_now_ns();
		note_verdict(ours, side);
		cost->check_ns = side->verdict == VERDICT_ACCEPTS ? oracle_now_ns() - start : 0;
	}
	fort_buf_free(&ours->result.certificate);
	our_unit_close(&ours->unit);
}
