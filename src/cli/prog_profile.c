/* bpfort prog profile file: where a program spends its runs.
 *
 * Time is that of the engine asked for. How often each instruction runs is the same under every
 * engine, so the interpreter counts, in as many runs of a second copy of the program, on maps as
 * they were at first.
 */
#include <bpf/libbpf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/look.h"
#include "cli/tryout.h"
#include "cli/verb.h"

struct request {
	struct fort_tryout_request trial;
	bool json;
};

struct profile {
	struct fort_tryout trial;
	const char *engine, *isolation; /* that were measured */
	struct fort_test_result timed;
	struct fort_look look; /* of the copy that counts */
	const uint64_t *counts;
};

static int take(struct profile *profile)
{
	struct fort_tryout *trial = &profile->trial;
	struct fort_store *store;
	int err = fort_tryout_run(trial);

	if (err)
		return err;
	store = fort_front_store(trial->front);
	profile->engine = fort_store_engine(store)->name;
	profile->isolation = fort_isolation_name(fort_store_isolation(store));
	profile->timed = trial->result;
	err = fort_tryout_run_counting(trial);
	if (err)
		return err;
	err = fort_look_open(&profile->look, trial->front, bpf_program__fd(trial->prog));
	if (err) {
		fort_text_add(trial->why, "%s", strerror(-err));
		return err;
	}
	profile->counts = profile->look.program.loaded->counts;
	return 0;
}

static uint64_t count_all(const struct profile *profile)
{
	uint64_t sum = 0;

	for (uint32_t pc = 0; pc < profile->look.code->n_insns; pc++)
		sum += profile->counts[pc];
	return sum;
}

static void print_text(struct profile *profile)
{
	struct fort_look *look = &profile->look;
	struct fort_text text = fort_text_new();
	uint32_t before = look->code->n_insns;

	printf("%s: engine %s, isolation %s: %u runs, %" PRIu64 " ns, %u ns a run%s%s\n",
	       bpf_program__name(profile->trial.prog), profile->engine, profile->isolation,
	       profile->timed.runs, profile->timed.total_ns, profile->timed.duration_ns,
	       profile->timed.abort.code ? "; the last one was aborted: " : "",
	       profile->timed.abort.code ? fort_abort_name(profile->timed.abort.code) : "");
	printf("%" PRIu64 " instructions in %u runs, counted by the interpreter\n",
	       count_all(profile), profile->trial.result.runs);
	for (uint32_t pc = 0; pc < look->code->n_insns; pc++) {
		struct fort_place place;

		if (!fort_look_has(look, pc))
			continue;
		if (fort_look_line(look, before, pc, &place))
			printf("; %s @ %s:%u\n", place.text, place.file, place.line);
		before = pc;
		fort_text_clear(&text);
		fort_look_insn(look, pc, &text);
		printf("%12" PRIu64 " %4u: %s\n", profile->counts[pc], pc, text.data);
	}
	fort_text_free(&text);
}

static void print_json(struct profile *profile)
{
	struct fort_look *look = &profile->look;
	const struct fort_test_result *timed = &profile->timed;
	json_t *insns = json_array();

	for (uint32_t pc = 0; pc < look->code->n_insns; pc++) {
		json_t *insn;

		if (!fort_look_has(look, pc))
			continue;
		insn = fort_look_insn_json(look, pc);
		json_object_set_new(insn, "count", fort_json_number(profile->counts[pc]));
		json_array_append_new(insns, insn);
	}
	fort_json_print(json_pack(
		"{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
		fort_json_text(bpf_program__name(profile->trial.prog)), "engine", profile->engine,
		"isolation", profile->isolation, "runs", fort_json_number(timed->runs), "total_ns",
		fort_json_number(timed->total_ns), "ns_per_run",
		fort_json_number(timed->duration_ns), "aborted",
		timed->abort.code ? json_string(fort_abort_name(timed->abort.code)) : json_null(),
		"counted_runs", fort_json_number(profile->trial.result.runs), "insns_executed",
		fort_json_number(count_all(profile)), "insns", insns));
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {.trial.repeat = 1};
	struct fort_text why = fort_text_new();
	struct profile profile = {.trial = {.request = &request.trial, .file.fd = -1, .why = &why}};
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status < 0) {
		status = take(&profile) ? fort_verb_fail(request.json, "%s", why.data)
					: FORT_EXIT_YES;
		if (profile.trial.rejected)
			status = FORT_EXIT_NO;
		if (status == FORT_EXIT_YES) {
			(request.json ? print_json : print_text)(&profile);
			status = profile.timed.abort.code ? FORT_EXIT_NO : FORT_EXIT_YES;
		}
	}
	fort_tryout_end(&profile.trial);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, trial.member)
static const struct fort_option options[] = {
	FORT_TRYOUT_INPUTS(AT),
	{"repeat", "N", "run N times", FORT_OPTION_NUMBER, AT(repeat), 1, FORT_TEST_REPEAT_MAX},
	{"--json", NULL, "print {\"runs\", \"total_ns\", \"insns\": [{\"insn\", \"count\", ...}]}",
	 FORT_OPTION_FLAG, offsetof(struct request, json)},
};

const struct fort_verb fort_verb_prog_profile = {
	.words = {"prog", "profile", "file"},
	.summary = "Run a program of an object, and say how often each instruction ran.",
	.operand = "FILE.o",
	.operand_at = AT(file),
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Exit status: 0 it ran, 1 it was rejected or aborted, 2 it could not be tried.\n",
	.run = run,
};
