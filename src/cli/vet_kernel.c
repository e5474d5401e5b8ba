#include "cli/vet_kernel.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_BYTES (1u << 20) /* without the way to the end, logs are short */

struct question {
	const struct bpf_program *prog;
	char *log;
	bool reached;
	long result; /* of PROG_LOAD */
};

static void note_load(void *owner, const struct fort_attr_prog_load *attr, long result)
{
	struct question *question = owner;

	if (!fort_program_is(question->prog, attr))
		return;
	question->reached = true;
	question->result = result;
}

/* The statistics at the end of the log (kernel/bpf/verifier.c, print_verification_stats). */
static bool read_statistics(const char *log, struct fort_vet_kernel *out)
{
	const char *time = strstr(log, "verification time "), *counts = strstr(log, "processed ");

	if (!time || !counts)
		return false;
	return sscanf(time, "verification time %" SCNu64, &out->us) == 1 &&
	       sscanf(counts,
		      "processed %" SCNu64 " insns (limit %*u) max_states_per_insn %*u"
		      " total_states %" SCNu64 " peak_states %" SCNu64,
		      &out->insns_processed, &out->states, &out->peak_states) == 3;
}

/* The line before the statistics says what was wrong. */
static void last_words(char *log, struct fort_vet_kernel *out)
{
	char *end = strstr(log, "verification time ");
	const char *line;

	if (end)
		*end = 0;
	end = log + strlen(log);
	while (end > log && end[-1] == '\n')
		*--end = 0;
	line = strrchr(log, '\n');
	snprintf(out->words, sizeof(out->words), "%s", line ? line + 1 : log);
}

static void no_verdict(const struct question *question, int err, const char *words,
		       struct fort_vet_kernel *out)
{
	struct fort_text text = fort_text_on(out->words, sizeof(out->words));

	out->verdict = FORT_VET_ERROR;
	if (err == -EPERM || err == -EACCES)
		fort_text_add(&text, "the kernel asks for more rights (CAP_BPF, CAP_PERFMON and "
				     "CAP_NET_ADMIN, or root): ");
	if (question->reached)
		fort_text_add(&text, "%s", strerror((int)-question->result));
	else
		fort_text_add(&text, "not loaded: %s%s%.*s", strerror(-err), words[0] ? ": " : "",
			      (int)strcspn(words, "\n"), words);
}

int fort_vet_ask_kernel(struct fort_front *front, struct bpf_object *object,
			struct bpf_program *prog, struct fort_vet_kernel *out)
{
	struct question question = {.prog = prog, .log = calloc(1, LOG_BYTES)};
	struct fort_front_tap tap = {.kernel = note_load, .owner = &question};
	struct bpf_program *other;
	int err;

	if (!question.log)
		return -ENOMEM;
	bpf_object__for_each_program (other, object)
		bpf_program__set_autoload(other, other == prog);
	bpf_program__set_log_level(prog, FORT_LOG_STATS);
	bpf_program__set_log_buf(prog, question.log, LOG_BYTES);
	fort_front_forget(front);
	fort_front_use_kernel(front, true);
	fort_front_set_tap(front, &tap);
	err = bpf_object__load(object);
	fort_front_set_tap(front, NULL);
	fort_front_use_kernel(front, false);

	if (question.reached && question.result >= 0)
		out->verdict = FORT_VET_ACCEPT;
	else if (question.reached && question.log[0])
		out->verdict = FORT_VET_REJECT;
	else
		no_verdict(&question, err, fort_front_words(front), out);
	if (out->verdict != FORT_VET_ERROR)
		read_statistics(question.log, out);
	if (out->verdict == FORT_VET_REJECT)
		last_words(question.log, out);
	free(question.log);
	return 0;
}
