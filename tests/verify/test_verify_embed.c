/* What the verifier claims of a program is true of its runs (embed.h): for random programs, for the
 * accepted cases of the corpora, for the programs of the checker's tests; and the comparison itself
 * fails when a claim is wrong.
 *
 * usage: verify_embed CASES... [--seed N] [--count N] [--states N]
 * With any of these, only random programs; --count: how many must be accepted.
 */
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "embed.h"
#include "programs.h"
#include "isa/disasm.h"
#include "load/runs.h"
#include "random.h"
#include "random_options.h"
#include "verify/render.h"

#define PROGRAMS      10000u
#define RUNS          4u
#define RUNS_MORE     16u /* where states are what counts: --states */
#define BUDGET_INSNS  20000u
#define SEED          1u
#define FAILURES_MAX  5u
#define PROGRAMS_EACH 32u /* programs made per accepted one, at most */

static struct lab lab;
static struct embed embed;
static struct embed_world world;
static unsigned count;
static uint64_t states, compared;

static void result(bool good, const char *name, const char *why)
{
	printf("%s %u - %s\n", good ? "ok" : "not ok", ++count, name);
	if (!good)
		printf("# %s\n", why);
}

/* The lab's accepted program, run on random inputs. */
static bool agrees(uint64_t seed, unsigned runs, const struct embed_sabotage *sabotage)
{
	struct random random = random_from(seed);
	struct fort_span certificate = {lab.result.certificate.data, lab.result.certificate.bytes};
	static struct embed_input input;
	struct fort_test_output output;
	bool good = embed_open(&embed, &world, &lab.env, &lab.proven, certificate);

	embed.sabotage = sabotage;
	while (good && runs--) {
		embed_input_make(&random, lab.env.hook.prog, &input);
		embed_world_drain(&world);
		good = embed_run(&embed, &input.input, NULL, &output);
	}
	states += embed.states;
	compared += embed.compared;
	embed_close(&embed);
	return good;
}

static bool accepted(uint64_t budget)
{
	struct fort_verify_options options = {.budget_insns = budget};

	return !fort_verify_search(&lab.env, &lab.arena, &options, &lab.result) &&
	       lab.result.verdict == FORT_ACCEPT;
}

static bool checked(void)
{
	return lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes);
}

/* --- random programs --- */

static unsigned by_code[FORT_DIAGS];

static void print_program(void)
{
	for (uint32_t pc = 0; pc < lab.n_insns; pc++) {
		char line[256];
		struct fort_text text = fort_text_on(line, sizeof(line));

		if (lab.insns[pc].kind == FORT_LDIMM_HIGH)
			continue;
		fort_insn_text(&lab.insns[pc], NULL, &text);
		printf("# %4u: %s\n", pc, line);
	}
}

#define NOT_CHECKED "the checker refuses what the search accepted"
#define WRONG       "a claim was wrong"

/* True if it was accepted. */
static bool one_random(uint64_t seed, unsigned runs, unsigned *failures)
{
	static struct random_program program;
	bool good = false;

	random_program_make(seed, RANDOM_OWN_BOUNDS | (seed % 3 ? 0 : RANDOM_CALLBACKS), &program);
	if (lab_open_raw(&lab, program.type, program.insns, program.n_insns) &&
	    (!program.functions[0] || lab_describe(&lab, program.functions))) {
		good = accepted(BUDGET_INSNS);
		if (!good)
			by_code[lab.result.violation.diag]++;
	}
	if (good && (!checked() || !agrees(seed, runs, NULL))) {
		++*failures;
		printf("# --seed %llu --count 1: %s program: %s: %s\n", (unsigned long long)seed,
		       program.type, lab.check.fault ? NOT_CHECKED : WRONG,
		       lab.check.fault ? fort_check_fault_text(lab.check.fault) : embed.error);
		if (*failures == 1)
			print_program();
	}
	lab_free(&lab);
	return good;
}

static void random_programs(const struct random_options *options)
{
	uint64_t n = 0, made = 0, checked_before = states;
	unsigned failures = 0;

	for (; (n < options->count || states - checked_before < options->states) &&
	       made < (n + 1) * PROGRAMS_EACH && failures < FAILURES_MAX;
	     made++)
		n += one_random(options->seed + made, options->states ? RUNS_MORE : RUNS,
				&failures);
	printf("# %llu random programs, %llu accepted; checked in runs: %llu states, %llu values\n",
	       (unsigned long long)made, (unsigned long long)n, (unsigned long long)states,
	       (unsigned long long)compared);
	for (unsigned i = 0; i < FORT_DIAGS; i++)
		if (by_code[i])
			printf("# rejected with %s: %u\n", fort_diag_info(i)->code, by_code[i]);
	result(!failures && n >= options->count, "random accepted programs do what was claimed",
	       failures ? "see above" : "too few programs are accepted");
}

/* --- corpora --- */

static bool runs_here(void)
{
	struct fort_violation why;

	return lab.env.n_maps == LAB_RUN_MAPS && fort_env_runs(&lab.env, &why);
}

static void one_case(const struct lab_case *want, void *context)
{
	(void)context;
	if (want->accept && lab_case_open(&lab, want) && accepted(want->budget) && checked() &&
	    runs_here())
		result(agrees(count, RUNS, NULL), want->name, embed.error);
	lab_free(&lab);
}

static void one_program(const struct lab_program *program)
{
	bool good = lab_open(&lab, program->type, program->code) && accepted(FORT_BUDGET_INSNS) &&
		    checked() && agrees(count, RUNS, NULL);

	result(good, "a program of the checker's tests", embed.error);
	lab_free(&lab);
}

/* --- the comparison can fail --- */

static struct fort_value *r6(struct fort_state *state)
{
	return fort_state_reg(state, FORT_R6);
}

static void spoil_number(struct fort_state *state)
{
	*r6(state) = fort_value_const(8);
}

static void spoil_interval(struct fort_state *state)
{
	r6(state)->num = fort_scalar_range(8, 100);
}

static void spoil_bits(struct fort_state *state)
{
	r6(state)->num.bits = (struct fort_tnum){0, 1};
}

static void spoil_low(struct fort_state *state)
{
	r6(state)->num = fort_scalar_unknown();
	r6(state)->num.low = (struct fort_arc32){8, 1};
}

static void spoil_relation(struct fort_state *state)
{
	r6(state)->sym = fort_state_reg(state, FORT_R7)->sym = 999;
	r6(state)->delta = 0;
	fort_state_reg(state, FORT_R7)->delta = 1;
}

static void spoil_type(struct fort_state *state)
{
	*r6(state) = fort_value_pointer(FORT_CTX, 0);
}

static void spoil_map(struct fort_state *state)
{
	*r6(state) = fort_value_pointer(FORT_MAP_VALUE, LAB_GLOBAL);
}

static void spoil_held(struct fort_state *state)
{
	*r6(state) = fort_value_pointer(FORT_RING_MEM, 24);
}

static void spoil_offset(struct fort_state *state)
{
	*r6(state) = fort_value_pointer(FORT_STACK, 0);
	r6(state)->num = fort_scalar_const((uint64_t)-16);
}

static void spoil_frame(struct fort_state *state)
{
	r6(state)->frame = 1;
}

static void spoil_slot(struct fort_state *state)
{
	struct fort_slot *slot = &fort_state_top(state)->slots[0];

	memset(slot, 0, sizeof(*slot));
	memset(slot->bytes, FORT_BYTE_SPILL, 8);
	slot->spill = fort_value_const(1);
}

static void spoil_zero(struct fort_state *state)
{
	struct fort_slot *slot = &fort_state_top(state)->slots[0];

	memset(slot, 0, sizeof(*slot));
	memset(slot->bytes, FORT_BYTE_ZERO, 8);
}

static void spoil_length(struct fort_state *state)
{
	state->packet.num = fort_scalar_range(2000, 3000);
}

static void spoil_order(struct fort_state *state)
{
	r6(state)->sym = state->next_id;
	fort_state_reg(state, FORT_R7)->sym = state->next_id + 1;
	state->facts[state->n_facts++] =
		(struct fort_fact){state->next_id, 0, state->next_id + 1, -1};
	state->next_id += 2;
}

static void spoil_rate(struct fort_state *state)
{
	r6(state)->sym = state->next_id;
	fort_state_reg(state, FORT_R7)->sym = state->next_id + 1;
	state->rates[state->n_rates++] = (struct fort_rate){
		.sym = {state->next_id, state->next_id + 1}, .factor = {3, -2}, .most = 6};
	state->next_id += 2;
}

static void spoil_caller(struct fort_state *state)
{
	state->frames[0]->regs[FORT_R6] = fort_value_const(1);
}

static void spoil_memory(struct fort_state *state)
{
	r6(state)->num = fort_scalar_const(8);
}

static void spoil_result(struct fort_state *state)
{
	*fort_state_reg(state, FORT_R0) = fort_value_const(4);
}

static void spoil_refs(struct fort_state *state)
{
	state->n_refs = 0;
}

#define NUMBERS "mov r6, 7\nmov r7, 7\nmov r0, 0\nexit\n"
#define STACK   "mov r6, r10\nadd r6, -8\nstdw [r6+0], 77\nmov r0, 0\nexit\n"
#define PACKET                                                                                   \
	"ldxw r6, [r1+0]\nldxw r7, [r1+4]\nmov r2, r6\nadd r2, 14\njgt r2, r7, out\nmov r0, 1\n" \
	"out: mov r0, 0\nexit\n"
#define RING                                                                                \
	"lddw r1, map_idx 2\nmov r2, 24\nmov r3, 0\ncall 131\nmov r6, r0\njeq r0, 0, out\n" \
	"mov r1, r6\nmov r2, 0\ncall 132\nout: mov r0, 0\nexit\n"
#define CALLS "mov r6, 7\ncall local f\nmov r0, 0\nexit\nf: mov r0, 3\nexit\n"

#define GLOBAL                                                                                 \
	"mov r1, 7\nmov r2, r10\nadd r2, -8\nstdw [r10-8], 9\ncall local f\nmov r0, 0\nexit\n" \
	"f: mov r6, 7\nmov r7, 7\nmov r6, r2\nmov r0, 3\nexit\n"

static const struct lie {
	const char *name, *code;
	struct embed_sabotage sabotage;
	const char *functions;
} sabotages[] = {
	{"a known number", NUMBERS, {2, spoil_number}},
	{"an interval", NUMBERS, {2, spoil_interval}},
	{"known bits", NUMBERS, {2, spoil_bits}},
	{"the low half", NUMBERS, {2, spoil_low}},
	{"a relation", NUMBERS, {2, spoil_relation}},
	{"a type", NUMBERS, {2, spoil_type}},
	{"a map value", NUMBERS, {2, spoil_map}},
	{"ring memory", NUMBERS, {2, spoil_held}},
	{"an offset", STACK, {2, spoil_offset}},
	{"a frame", STACK, {2, spoil_frame}},
	{"a spilled number", STACK, {3, spoil_slot}},
	{"zero bytes", STACK, {3, spoil_zero}},
	{"the packet's length", PACKET, {5, spoil_length}},
	{"an order", NUMBERS, {2, spoil_order}},
	{"a rate", NUMBERS, {2, spoil_rate}},
	{"a caller's register", CALLS, {4, spoil_caller}},
	{"references", RING, {6, spoil_refs}},
	{"a number in a global function", GLOBAL, {9, spoil_number}, "global f(number, mem:8)"},
	{"memory of a global function", GLOBAL, {10, spoil_memory}, "global f(number, mem:8)"},
	{"what is behind a global function", GLOBAL, {5, spoil_result}, "global f(number, mem:8)"},
};

static void a_wrong_claim(const struct lie *lie)
{
	char line[128];
	bool ready = lab_open(&lab, "xdp", lie->code) &&
		     (!lie->functions || lab_describe(&lab, lie->functions)) &&
		     accepted(FORT_BUDGET_INSNS) && checked();
	bool honest = ready && agrees(1, RUNS, NULL);
	bool lying = ready && agrees(1, RUNS, &lie->sabotage);

	snprintf(line, sizeof(line), "a wrong claim about %s is noticed", lie->name);
	result(honest && !lying, line,
	       !ready    ? "the program is rejected"
	       : !honest ? embed.error
			 : "the run agreed with it");
	lab_free(&lab);
}

static void corpora(char **files, int n)
{
	for (size_t i = 0; i < FORT_LEN(sabotages); i++)
		a_wrong_claim(&sabotages[i]);
	for (size_t i = 0; i < FORT_LEN(lab_safe); i++)
		one_program(&lab_safe[i]);
	for (int i = 0; i < n; i++)
		if (!lab_cases_read(files[i], one_case, NULL))
			result(false, files[i], "cannot be read");
}

int main(int argc, char **argv)
{
	struct random_options options = {.seed = SEED, .count = PROGRAMS};
	int n_args = random_options_read(argc, argv, &options);

	if (n_args < 0 || !embed_world_open(&world, lab_shapes, LAB_RUN_MAPS)) {
		printf("Bail out! wrong arguments, or no maps\n");
		return 1;
	}
	if (!options.given)
		corpora(argv + 1, n_args - 1);
	random_programs(&options);
	printf("1..%u\n", count);
	embed_world_close(&world);
	return 0;
}
