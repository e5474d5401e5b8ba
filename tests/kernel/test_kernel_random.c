/* Random programs, given to the running kernel and to our verifier.
 *
 * What the kernel rejects and we accept must be explained: by a row of differs.tsv whose second
 * column is how the kernel's last line begins (numbers and registers written as #), and by runs in
 * which every value is as our verifier claimed. What both accept is run in both, from the same
 * packet and empty maps: result, packet and maps must be the same afterwards.
 *
 * What only we reject must be explained as well: by a row whose second column is the code of our
 * diagnostic, unless it is one that says "not supported yet".
 *
 * usage: kernel_random DIFFERS [--seed N] [--count N] [--states N]
 */
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "abi/uapi.h"
#include "differs.h"
#include "embed.h"
#include "load/runs.h"
#include "kernel_lab.h"
#include "isa/disasm.h"
#include "random.h"
#include "random_options.h"
#include "verify/render.h"

#define PROGRAMS     1000u
#define SEED         1u
#define RUNS         2u
#define PROOF_RUNS   16u
#define BUDGET_INSNS FORT_BUDGET_INSNS

static struct lab lab;
static struct embed embed;
static struct embed_world world;
static struct random_program program;
static struct kernel_lab kernel;
static unsigned failures, agree, stricter, looser, broken, both_run, by_code[FORT_DIAGS];
static uint64_t states, values;

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

static void fail(uint64_t seed, const char *what, const char *detail)
{
	printf("# --seed %llu --count 1: %s program: %s: %s\n", (unsigned long long)seed,
	       program.type, what, detail);
	if (!failures++)
		print_program();
}

/* --- the kernel's side --- */

static bool open_maps(void)
{
	return !kernel_lab_open(&kernel) && embed_world_open(&world, lab_shapes, LAB_RUN_MAPS);
}

static void close_maps(void)
{
	kernel_lab_close(&kernel);
	embed_world_close(&world);
}

/* --- both sides run --- */

static bool same_map(uint32_t i)
{
	uint8_t key[64] = {0}, next[64], theirs[4096], ours[4096];
	bool more = !bpf_map_get_next_key(kernel.fds[i], NULL, next);

	while (more) {
		memcpy(key, next, sizeof(key));
		if (bpf_map_lookup_elem(kernel.fds[i], key, theirs) ||
		    fort_map_lookup(world.maps[i], key, ours, 0) ||
		    memcmp(theirs, ours, fort_map_user_bytes(world.maps[i])))
			return false;
		more = !bpf_map_get_next_key(kernel.fds[i], key, next);
	}
	return true;
}

/* A context that the kernel takes; or none, half of the time. */
static void plain_context(struct random *random, struct embed_input *input)
{
	struct __sk_buff skb = {.mark = (uint32_t)random_next(random),
				.priority = (uint32_t)random_next(random)};
	struct xdp_md md;

	if (random_below(random, 2)) {
		input->input.data_bytes = 14 + random_below(random, 100);
		input->input.ctx_bytes = 0;
		input->input.ctx = NULL;
	} else if (lab.env.hook.prog->number == BPF_PROG_TYPE_XDP) {
		memcpy(&md, input->ctx, sizeof(md));
		md.ingress_ifindex = 0;
		memcpy(input->ctx, &md, sizeof(md));
	} else {
		skb.cb[0] = (uint32_t)random_next(random);
		skb.cb[4] = (uint32_t)random_next(random);
		memcpy(input->ctx, &skb, sizeof(skb));
	}
}

static void compare_runs(uint64_t seed, int fd)
{
	static struct embed_input input;
	struct random random = random_from(seed);
	uint8_t theirs[512], ours[512];
	struct fort_test_output output;
	char detail[128];

	for (unsigned run = 0; run < RUNS; run++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_out = theirs,
			    .data_size_out = sizeof(theirs));

		embed_input_make(&random, lab.env.hook.prog, &input);
		plain_context(&random, &input);
		opts.data_in = input.input.data;
		opts.data_size_in = input.input.data_bytes;
		opts.ctx_in = input.input.ctx;
		opts.ctx_size_in = input.input.ctx_bytes;
		if (bpf_prog_test_run_opts(fd, &opts)) {
			if (lab.env.hook.prog->packet != FORT_PACKET_NONE)
				fail(seed, "the kernel's run", strerror(errno));
			return; /* a type that the kernel does not run */
		}
		memset(ours, 0, sizeof(ours));
		if (!embed_run(&embed, &input.input, ours, &output)) {
			fail(seed, "our run", embed.error);
			return;
		}
		both_run++;
		snprintf(detail, sizeof(detail), "%#x, ours %#x (%s at %u)", opts.retval,
			 (uint32_t)output.result, fort_abort_name(output.abort.code),
			 output.abort.pc);
		if (output.abort.code || (uint32_t)output.result != opts.retval)
			fail(seed, "another result", detail);
		else if (memcmp(theirs, ours, input.input.data_bytes))
			fail(seed, "another packet", detail);
		for (uint32_t i = 0; i < LAB_RUN_MAPS; i++)
			if (lab_shapes[i].key_bytes && !same_map(i))
				fail(seed, "another map", i == LAB_PERCPU ? "per-CPU" : "shared");
	}
}

/* Runs that agree with what we claimed. */
static bool proves_itself(uint64_t seed)
{
	struct random random = random_from(seed);
	static struct embed_input input;
	struct fort_test_output output;

	for (unsigned run = 0; run < PROOF_RUNS; run++) {
		embed_input_make(&random, lab.env.hook.prog, &input);
		if (!embed_run(&embed, &input.input, NULL, &output))
			return false;
	}
	return true;
}

/* --- verdicts --- */

static bool accepted(void)
{
	struct fort_verify_options options = {.budget_insns = BUDGET_INSNS};

	return !fort_verify_search(&lab.env, &lab.arena, &options, &lab.result) &&
	       lab.result.verdict == FORT_ACCEPT &&
	       lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes);
}

/* Numbers and registers as #, so that one row stands for many programs. */
static void hide_numbers(char *line)
{
	char *out = line;

	for (const char *at = line; *at; at++)
		if (!isdigit((unsigned char)*at))
			*out++ = *at;
		else if (out == line || out[-1] != '#')
			*out++ = '#';
	*out = 0;
}

/* Where it says what it says, then the line. */
static void fail_explained(uint64_t seed, const struct kernel_verdict *verdict, const char *line)
{
	char detail[sizeof(verdict->line) + 32];

	snprintf(detail, sizeof(detail), "at %u: %s", verdict->pc, line);
	fail(seed, "only we accept it; the kernel says", detail);
}

/* The kernel's last line, unless no path that we know of comes to its last instruction. */
static const char *explained(const struct kernel_verdict *verdict)
{
	if (verdict->pc < program.n_insns && !lab.env.access[verdict->pc].reached)
		return "(no path leads there)";
	return verdict->line;
}

/* What only we accept. The kernel's "verifier bug" is its own mistake, found by itself, and no
 * verdict on the program. */
static void explain_accepted(uint64_t seed, const struct kernel_verdict *verdict,
			     struct differs *differs)
{
	if (!strncmp(verdict->line, "verifier bug: ", 14)) {
		broken++;
		return;
	}
	looser++;
	if (!differs_explain(differs, "random", explained(verdict)))
		fail_explained(seed, verdict, explained(verdict));
}

/* What nothing here can run: the verdict alone. */
static void compare_idle(uint64_t seed, const struct kernel_verdict *verdict,
			 struct differs *differs)
{
	if (verdict->fd >= 0) {
		agree++;
		return;
	}
	explain_accepted(seed, verdict, differs);
}

static void compare_accepted(uint64_t seed, const struct kernel_verdict *verdict,
			     struct differs *differs)
{
	struct fort_span certificate = {lab.result.certificate.data, lab.result.certificate.bytes};
	struct fort_violation why;

	if (!fort_env_runs(&lab.env, &why) || lab.env.n_maps > LAB_RUN_MAPS) {
		compare_idle(seed, verdict, differs);
		return;
	}
	if (!embed_open(&embed, &world, &lab.env, &lab.proven, certificate)) {
		fail(seed, "loading", embed.error);
	} else if (verdict->fd >= 0) {
		agree++;
		compare_runs(seed, verdict->fd);
	} else {
		explain_accepted(seed, verdict, differs);
		if (!proves_itself(seed))
			fail(seed, "it is not as we claimed", embed.error);
	}
	states += embed.states;
	values += embed.compared;
	embed_close(&embed);
}

/* What only the kernel accepts. */
static void compare_rejected(uint64_t seed, struct differs *differs)
{
	const struct fort_diag_info *info = fort_diag_info(lab.result.violation.diag);
	char detail[256];

	if (lab.result.verdict == FORT_ACCEPT) {
		snprintf(detail, sizeof(detail), "state %u, at %u", lab.check.state, lab.check.pc);
		fail(seed, "the checker refuses what the search accepted", detail);
		return;
	}
	stricter++;
	by_code[lab.result.violation.diag]++;
	snprintf(detail, sizeof(detail), "%s at %u: %s", info->code, lab.result.violation.pc,
		 info->title);
	if (getenv("BPFORT_TEST_VERBOSE"))
		printf("# --seed %llu: only we reject it: %s\n", (unsigned long long)seed, detail);
	if (info->class != FORT_CLASS_LATER && !differs_listed(differs, "random", info->code, "us"))
		fail(seed, "only we reject it", detail);
}

static void one_program(uint64_t seed, struct differs *differs)
{
	struct kernel_verdict verdict;

	static const uint32_t options[] = {RANDOM_IDLE, 0, RANDOM_IDLE, RANDOM_CALLBACKS};

	random_program_make(seed,
			    RANDOM_REPEATABLE | RANDOM_ALIGNED | options[seed % FORT_LEN(options)],
			    &program);
	if (lab_open_raw(&lab, program.type, program.insns, program.n_insns) &&
	    (!program.functions[0] || lab_describe(&lab, program.functions))) {
		kernel_lab_load(&kernel, &lab, &verdict);
		hide_numbers(verdict.line);
		if (accepted())
			compare_accepted(seed, &verdict, differs);
		else if (verdict.fd < 0)
			agree++;
		else
			compare_rejected(seed, differs);
		if (verdict.fd >= 0)
			close(verdict.fd);
	}
	lab_free(&lab);
}

/* Per-CPU values are compared processor by processor: both sides run on the same one. */
static void stay_on_this_cpu(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
}

static void summarize(uint64_t n)
{
	printf("# %llu programs: %u verdicts agree (%.1f %%), only we reject %u, only we accept "
	       "%u, the kernel finds a mistake of its own in %u; %u runs in both; checked in runs: "
	       "%llu states, %llu values\n",
	       (unsigned long long)n, agree, 100.0 * agree / (double)n, stricter, looser, broken,
	       both_run, (unsigned long long)states, (unsigned long long)values);
	for (unsigned i = 0; i < FORT_DIAGS; i++)
		if (by_code[i])
			printf("# only we reject, with %s: %u\n", fort_diag_info(i)->code,
			       by_code[i]);
	printf("%s 1 - verdicts and runs of random programs are the kernel's, or explained\n1..1\n",
	       failures ? "not ok" : "ok");
}

int main(int argc, char **argv)
{
	struct random_options options = {.seed = SEED, .count = PROGRAMS};
	static struct differs differs;
	uint64_t n = 0;

	if (random_options_read(argc, argv, &options) != 2 || !differs_open(&differs, argv[1])) {
		printf("Bail out! usage: kernel_random DIFFERS [--seed N] [--count N]\n");
		return 1;
	}
	stay_on_this_cpu();
	for (; n < options.count || states < options.states; n++) {
		if (!open_maps()) {
			printf("1..0 # SKIP the kernel makes no maps: %s\n", strerror(errno));
			return 0;
		}
		one_program(options.seed + n, &differs);
		close_maps();
	}
	summarize(n);
	return failures ? 1 : 0;
}
