/* Runs the verifier's case files (case.h): each case has its expected verdict, and what is accepted
 * has a certificate that the checker accepts. usage: run_cases FILE...
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "lab.h"
#include "verify/example.h"
#include "verify/explain.h"

static struct lab lab;
static unsigned count;

/* Why a case is not as expected. */
struct complaint {
	char text[1024];
};

static bool renders(const struct fort_render *render, const char *text, const char *want,
		    bool whole, const char *what, struct complaint *why)
{
	struct fort_text out = fort_text_new();
	bool good = true;

	if (!want[0])
		return true;
	fort_render_text(render, text, &out);
	good = out.data && (whole ? !strcmp(out.data, want) : strstr(out.data, want) != NULL);
	if (!good)
		snprintf(why->text, sizeof(why->text), "%s is \"%s\", expected \"%s\"", what,
			 out.data ? out.data : "", want);
	fort_text_free(&out);
	return good;
}

static bool check_rejection(const struct lab_case *want, const struct fort_violation *v,
			    struct complaint *why)
{
	const struct fort_diag_info *info = fort_diag_info(v->diag);
	bool form = v == &lab.form;
	struct fort_render render = {.env = form ? NULL : &lab.env,
				     .violation = v,
				     .state = lab.result.state,
				     .isa = form ? lab.error : NULL};

	if (!want->code[0]) {
		bool unsafe = info->class != FORT_CLASS_LIMIT && info->class != FORT_CLASS_LATER &&
			      info->class != FORT_CLASS_INTERNAL;

		snprintf(why->text, sizeof(why->text), "rejected with %s (%s), not as unsafe",
			 info->code, info->title);
		return unsafe;
	}
	if (strcmp(info->code, want->code)) {
		snprintf(why->text, sizeof(why->text), "rejected with %s (%s) at %u", info->code,
			 info->title, v->pc);
		return false;
	}
	if (want->at >= 0 && v->pc != want->at) {
		snprintf(why->text, sizeof(why->text), "rejected at %u", v->pc);
		return false;
	}
	return renders(&render, info->kernel, want->says, false, "the line", why) &&
	       renders(&render, info->message, want->message, true, "the message", why) &&
	       renders(&render, info->needed, want->needed, true, "needed", why) &&
	       renders(&render, info->known, want->known, true, "known", why);
}

/* --- explanations --- */

static const char *const patterns[] = {
#define FORT_PATTERN(id, ...) #id,
#include "verify/patterns.def"
};
static bool pattern_seen[FORT_LEN(patterns)];

/* Patterns are told apart by cases of their own. */
static void report_patterns(void)
{
	bool good = true;

	for (size_t i = 0; i < FORT_LEN(patterns); i++) {
		if (!pattern_seen[i])
			printf("# pattern %s has no case\n", patterns[i]);
		good &= pattern_seen[i];
	}
	printf("%s %u - every pattern has a case\n", good ? "ok" : "not ok", ++count);
}

static void see_pattern(const char *name)
{
	for (size_t i = 0; i < FORT_LEN(patterns); i++)
		pattern_seen[i] |= !strcmp(patterns[i], name);
}

static bool is_told(const struct fort_explanation *told, const char *text)
{
	for (uint32_t i = 0; i < told->n_events; i++)
		if (strstr(told->events[i].text, text))
			return true;
	return strstr(told->message, text) != NULL;
}

static void add_cost(const struct fort_told_cost *cost, struct fort_text *text)
{
	fort_text_add(text, "%s %u", cost->kind, cost->pc);
	for (uint32_t i = 0; i < cost->n_apart; i++)
		fort_text_add(text, "%s %s", i ? "," : ":", cost->apart[i]);
	fort_text_add(text, "; ");
}

/* The places are in the order of what was spent there. */
static bool has_cost(const struct fort_explanation *told, const char *want)
{
	struct fort_text found = fort_text_new();
	bool good = true;

	for (uint32_t i = 0; i < told->n_costs; i++) {
		good = good && (!i || told->costs[i - 1].insns >= told->costs[i].insns);
		add_cost(&told->costs[i], &found);
	}
	good = good && (!want[0] || (found.data && strstr(found.data, want)));
	if (!good)
		printf("# the work went to: %s\n", found.data ? found.data : "");
	fort_text_free(&found);
	return good;
}

/* Placeholders that nothing fills stay as they are written; `{}` is C. */
static bool is_filled_text(const char *text)
{
	const char *open = strchr(text, '{');

	while (open && open[1] == '}')
		open = strchr(open + 1, '{');
	return !open;
}

static bool is_filled(const struct fort_explanation *told)
{
	bool filled = is_filled_text(told->message) && is_filled_text(told->required) &&
		      is_filled_text(told->known);

	for (uint32_t i = 0; i < told->n_fixes; i++)
		filled = filled && is_filled_text(told->fixes[i]);
	return filled;
}

#define EXAMPLES_MIN 100u
static unsigned examples; /* that were found */

/* Is each number one that the register may hold, by what is known where it was rejected? */
static bool are_members(void)
{
	const struct fort_example *example = lab.result.example;

	for (uint32_t i = 0; example && i < example->n; i++) {
		const struct fort_example_item *item = &example->items[i];
		const struct fort_value *value =
			item->kind == FORT_EXAMPLE_PACKET
				? &lab.result.state->packet
				: fort_state_reg(lab.result.state, item->reg);

		if (item->kind == FORT_EXAMPLE_NULL
			    ? !(value->flags & FORT_MAYBE_NULL) || item->number
			    : !fort_scalar_has(&value->num, (uint64_t)item->number))
			return false;
	}
	examples += example && example->n;
	return true;
}

static bool has_example(const struct fort_explanation *told, const char *want)
{
	struct fort_text found = fort_text_new();
	bool good;

	for (uint32_t i = 0; i < told->n_example; i++)
		fort_text_add(&found, "%s%s %s %" PRId64, i ? ", " : "", told->example[i].name,
			      told->example[i].is_offset ? "at" : "=", told->example[i].number);
	good = are_members() && (!want[0] || (found.data && !strcmp(found.data, want)));
	if (!good)
		printf("# the example: %s\n", found.data ? found.data : "none");
	fort_text_free(&found);
	return good;
}

static bool check_explanation(const struct lab_case *want, struct complaint *why)
{
	struct fort_render render = {.env = &lab.env,
				     .violation = &lab.result.violation,
				     .state = lab.result.state};
	struct fort_explanation told;
	const char *pattern;

	if (fort_explain(&render, &lab.result, NULL, &lab.arena, &told)) {
		snprintf(why->text, sizeof(why->text), "no explanation");
		return false;
	}
	pattern = told.pattern ? told.pattern : "no pattern";
	if (is_filled(&told) && (!want->pattern[0] || !strcmp(want->pattern, pattern)) &&
	    is_told(&told, want->tells) && has_cost(&told, want->cost) &&
	    has_example(&told, want->example)) {
		see_pattern(want->pattern);
		return true;
	}
	snprintf(why->text, sizeof(why->text), "told as %s: %.400s", pattern, told.message);
	return false;
}

static bool judge(const struct lab_case *want, struct complaint *why)
{
	struct fort_verify_options options = {.budget_insns = want->budget,
					      .explains = true,
					      .any_depth = want->any_depth};
	size_t room = sizeof(why->text);

	if (!want->given) {
		snprintf(why->text, room, "the case expects neither accept nor reject");
		return false;
	}
	if (!lab_case_open(&lab, want)) {
		if (lab.form.diag && !want->accept)
			return check_rejection(want, &lab.form, why);
		snprintf(why->text, room, "%s", lab.error);
		return false;
	}
	if (fort_verify_search(&lab.env, &lab.arena, &options, &lab.result)) {
		snprintf(why->text, room, "the search failed");
		return false;
	}
	if (lab.result.verdict == FORT_REJECT) {
		if (lab.result.state && !lab.result.retraced) {
			snprintf(why->text, room, "the way to it cannot be walked again");
			return false;
		}
		if (!want->accept)
			return check_rejection(want, &lab.result.violation, why) &&
			       check_explanation(want, why);
		snprintf(why->text, room, "rejected with %s at %u",
			 fort_diag_info(lab.result.violation.diag)->code, lab.result.violation.pc);
		return false;
	}
	if (!want->accept) {
		snprintf(why->text, room, "accepted");
		return false;
	}
	if (lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes))
		return true;
	snprintf(why->text, room, "certificate: %s at %u", fort_check_fault_text(lab.check.fault),
		 lab.check.pc);
	return false;
}

/* --- every cause has a case --- */

static bool has_case[FORT_DIAGS];

static void note_code(const struct lab_case *want)
{
	for (unsigned i = 1; i < FORT_DIAGS; i++)
		if (!want->accept && !strcmp(fort_diag_info(i)->code, want->code))
			has_case[i] = true;
}

/* Causes that no program of the corpora can have. */
static const struct {
	enum fort_diag diag;
	const char *why;
} elsewhere[] = {
	{FORT_DIAG_UNKNOWN_OPCODE, "cannot be written in assembly: test_isa_decode"},
	{FORT_DIAG_RESERVED_FIELD, "the same"},
	{FORT_DIAG_BAD_ATOMIC, "the same"},
	{FORT_DIAG_BAD_LDIMM, "the same"},
	{FORT_DIAG_BAD_LDIMM_SRC, "the same"},
	{FORT_DIAG_SPACE_CAST_LATER, "the same"},
	{FORT_DIAG_TOO_MANY_SUBPROGS, "too long for a case"},
	{FORT_DIAG_MAP_BARRED,
	 "nobody here makes such maps: they belong to a struct of the kernel"},
	{FORT_DIAG_BTF_LATER, "said where programs are loaded: test_verify_runs"},
	{FORT_DIAG_CTX_LATER, "the same"},
	{FORT_DIAG_KFUNC_LATER, "the same"},
	{FORT_DIAG_MAP_DIRECT, "this kernel has a struct for every type of map"},
	{FORT_DIAG_ITER_ODD, "no function of this kernel is wrong so"},
	{FORT_DIAG_KFUNC_ARGS, "the same"},
	{FORT_DIAG_KFUNC_ARG_OTHER_OR_VOID, "the same"},
	{FORT_DIAG_KFUNC_ARG_KIND, "the same"},
	{FORT_DIAG_KFUNC_ARG_SIZELESS, "the same"},
	{FORT_DIAG_KFUNC_RESULT, "the same"},
	{FORT_DIAG_BTF_SIZELESS, "no struct of this kernel is wrong so: test_btf_walk"},
	{FORT_DIAG_BTF_NO_STRUCT, "the same"},
	{FORT_DIAG_BTF_NESTED, "the same"},
	{FORT_DIAG_KSYM_SIZELESS, "no variable of this kernel is wrong so"},
	{FORT_DIAG_DYNPTR_NOT_NEW, "only callbacks and global functions get constant dynptrs"},
	{FORT_DIAG_DYNPTR_CONSTANT, "the same"},
	{FORT_DIAG_DYNPTR_KIND, "what holds a reservation is of a ring buffer"},
	{FORT_DIAG_KFUNC_LIMIT, "too long for a case"},
	{FORT_DIAG_KFUNC_DESTRUCTIVE, "not every kernel has such a function"},
	{FORT_DIAG_KFUNC_SIZE_UNKNOWN,
	 "only functions of the kernel's test module have such sizes"},
	{FORT_DIAG_KFUNC_SIZE_LARGE, "the same"},
	{FORT_DIAG_KFUNC_ARG_MAP, "only functions of work queues, which are not supported yet"},
	{FORT_DIAG_KFUNC_ARG_LATER, "other functions with such arguments are refused before"},
	{FORT_DIAG_KFUNC_ARG_MARKED, "functions of the kernel itself trust such arguments"},
	{FORT_DIAG_TYPES_LATER, "the laboratory has the kernel's types"},
	{FORT_DIAG_BTF_USER, "which functions have such arguments depends on the kernel"},
	{FORT_DIAG_CTX_TYPED_RESULT, "the same: test_btf_tracing"},
	{FORT_DIAG_CTX_TYPED_KIND, "the same"},
	{FORT_DIAG_CTX_TYPED_STRUCT, "the same"},
	{FORT_DIAG_CTX_TYPED_OFFSET, "contexts give whole words: test_btf_tracing"},
	{FORT_DIAG_CTX_TYPED_SIZE, "the same"},
	{FORT_DIAG_BTF_WRITE_MEMBER, "only modules give connections"},
	{FORT_DIAG_BTF_WRITE_END, "the same"},
	{FORT_DIAG_CERT_LIMIT, "no program within the budget has so large a proof"},
	{FORT_DIAG_UNTRUSTED_LATER, "said when it is to run: test_verify_idle"},
	{FORT_DIAG_PROG_LATER, "said where programs are loaded: test_verify_runs"},
	{FORT_DIAG_MAP_LATER, "the same"},
	{FORT_DIAG_SLEEPABLE, "said by the front door: test_front_progs"},
	{FORT_DIAG_CERTIFICATE, "a fault of ours: test_verify_proof"},
};

static bool lives_elsewhere(unsigned diag)
{
	for (size_t i = 0; i < FORT_LEN(elsewhere); i++)
		if (elsewhere[i].diag == diag)
			return true;
	return false;
}

static void report_causes(void)
{
	bool good = true;

	for (unsigned i = 1; i < FORT_DIAGS; i++) {
		const struct fort_diag_info *info = fort_diag_info(i);

		if (has_case[i] != lives_elsewhere(i))
			continue;
		printf("# %s (%s): %s\n", info->code, info->title,
		       has_case[i] ? "has a case after all" : "has no case");
		good = false;
	}
	printf("%s %u - every cause of rejection has a case\n", good ? "ok" : "not ok", ++count);
}

/* What is expected later: that it is not so yet is no failure, and that it is so is one. A twin
 * must not be accepted before, either. */
static void report_later(const struct lab_case *want, const char *file, bool good)
{
	bool accepted = want->twin && !lab.form.diag && lab.result.verdict == FORT_ACCEPT;

	if (good || accepted)
		printf("%s %u - %s: %s\n", want->twin && good ? "ok" : "not ok", count, file,
		       want->name);
	else
		printf("ok %u - %s: %s # SKIP later: %s\n", count, file, want->name, want->later);
	if (good && !want->twin)
		printf("# as expected: take the line `expect-later` out\n");
	if (accepted)
		printf("# accepted\n");
}

static void run_case(const struct lab_case *want, void *context)
{
	struct complaint why = {""};
	const char *file = context;
	bool good;

	count++;
	note_code(want);
	good = judge(want, &why);
	if (want->later[0])
		report_later(want, file, good);
	else if (good)
		printf("ok %u - %s: %s\n", count, file, want->name);
	else
		printf("not ok %u - %s: %s\n# %s\n", count, file, want->name, why.text);
	lab_free(&lab);
}

int main(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++) {
		const char *file = strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i];

		if (lab_cases_read(argv[i], run_case, (void *)(uintptr_t)file))
			continue;
		printf("not ok %u - %s: cannot be read\n", ++count, file);
		status = 1;
	}
	report_causes();
	report_patterns();
	printf("%s %u - %u rejections have an example\n",
	       examples >= EXAMPLES_MIN ? "ok" : "not ok", count + 1, examples);
	count++;
	printf("1..%u\n", count);
	return status;
}
