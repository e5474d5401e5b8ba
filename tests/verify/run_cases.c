/* Runs the verifier's case files (case.h): each case has its expected verdict, and what is accepted
 * has a certificate that the checker accepts. usage: run_cases FILE...
 */
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "lab.h"
#include "verify/render.h"

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

static bool check_rejection(const struct lab_case *want, struct complaint *why)
{
	const struct fort_violation *v = &lab.result.violation;
	const struct fort_diag_info *info = fort_diag_info(v->diag);
	struct fort_render render = {.env = &lab.env, .violation = v, .state = lab.result.state};

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

static bool judge(const struct lab_case *want, struct complaint *why)
{
	struct fort_verify_options options = {.budget_insns = want->budget};
	size_t room = sizeof(why->text);

	if (!want->given) {
		snprintf(why->text, room, "the case expects neither accept nor reject");
		return false;
	}
	if (!lab_open(&lab, want->type, want->assembly)) {
		snprintf(why->text, room, "%s", lab.error);
		return false;
	}
	lab.env.rights = want->rights;
	lab.env.gpl = want->gpl;
	if (fort_verify_search(&lab.env, &lab.arena, &options, &lab.result)) {
		snprintf(why->text, room, "the search failed");
		return false;
	}
	if (lab.result.verdict == FORT_REJECT) {
		if (!want->accept)
			return check_rejection(want, why);
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

static void run_case(const struct lab_case *want, void *context)
{
	struct complaint why = {""};
	const char *file = context;

	count++;
	if (judge(want, &why))
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
	printf("1..%u\n", count);
	return status;
}
