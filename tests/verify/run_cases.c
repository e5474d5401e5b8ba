/* Runs the verifier's case files: text, each case with its expected verdict.
 *
 *   == name in words            starts a case
 *   type: xdp                   program type; default socket_filter
 *   accept                      the search accepts and the checker agrees; or
 *   reject: F0502 [at N]        this cause, at this instruction
 *   says: TEXT                  the kernel-shaped line contains TEXT
 *   known: TEXT, needed: TEXT   the diagnostic's inequality, in full
 *   budget: N                   instructions the search may process
 *   ...assembly...              up to the next case; maps 0 array(4, 48, 4 entries), 1 hash(8,
 *                               16), 2 ring buffer, 3 array(4, 64, 1 entry)
 *
 * A line that starts with # outside the assembly is a comment. usage: run_cases FILE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "verify/render.h"

#define TEXT_BYTES 65536

struct expectation {
	char name[160], type[32], code[8], says[200], known[200], needed[200];
	bool accept, given;
	long at; /* -1: anywhere */
	uint64_t budget;
	char assembly[TEXT_BYTES];
};

static struct lab lab;
static unsigned count;

static void not_ok(const struct expectation *want, const char *file, const char *why)
{
	printf("not ok %u - %s: %s\n# %s\n", count, file, want->name, why);
}

static bool renders(const struct fort_render *render, const char *text, const char *want,
		    bool whole, const char *what, char *why, size_t room)
{
	struct fort_text out = fort_text_new();
	bool good;

	fort_render_text(render, text, &out);
	good = whole ? !strcmp(out.data ? out.data : "", want)
		     : strstr(out.data ? out.data : "", want) != NULL;
	if (!good)
		snprintf(why, room, "%s is \"%s\", expected \"%s\"", what, out.data ? out.data : "",
			 want);
	fort_text_free(&out);
	return good;
}

static bool check_rejection(const struct expectation *want, char *why, size_t room)
{
	const struct fort_violation *v = &lab.result.violation;
	const struct fort_diag_info *info = fort_diag_info(v->diag);
	struct fort_render render = {.env = &lab.env, .violation = v, .state = lab.result.state};

	if (strcmp(info->code, want->code)) {
		snprintf(why, room, "rejected with %s (%s) at %u", info->code, info->title, v->pc);
		return false;
	}
	if (want->at >= 0 && v->pc != want->at) {
		snprintf(why, room, "rejected at %u", v->pc);
		return false;
	}
	return (!want->says[0] ||
		renders(&render, info->kernel, want->says, false, "the line", why, room)) &&
	       (!want->known[0] ||
		renders(&render, info->known, want->known, true, "known", why, room)) &&
	       (!want->needed[0] ||
		renders(&render, info->needed, want->needed, true, "needed", why, room));
}

static bool judge(const struct expectation *want, char *why, size_t room)
{
	struct fort_verify_options options = {.budget_insns = want->budget};

	if (!want->given) {
		snprintf(why, room, "the case expects neither accept nor reject");
		return false;
	}
	if (!lab_open(&lab, want->type, want->assembly)) {
		snprintf(why, room, "%s", lab.error);
		return false;
	}
	if (fort_verify_search(&lab.env, &lab.arena, &options, &lab.result)) {
		snprintf(why, room, "the search failed");
		return false;
	}
	if (lab.result.verdict == FORT_REJECT) {
		if (!want->accept)
			return check_rejection(want, why, room);
		snprintf(why, room, "rejected with %s at %u",
			 fort_diag_info(lab.result.violation.diag)->code, lab.result.violation.pc);
		return false;
	}
	if (!want->accept) {
		snprintf(why, room, "accepted");
		return false;
	}
	if (!lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes)) {
		snprintf(why, room, "certificate: %s at %u", fort_check_fault_text(lab.check.fault),
			 lab.check.pc);
		return false;
	}
	return true;
}

static void finish(struct expectation *want, const char *file)
{
	char why[512] = "";

	if (!want->name[0])
		return;
	count++;
	if (judge(want, why, sizeof(why)))
		printf("ok %u - %s: %s\n", count, file, want->name);
	else
		not_ok(want, file, why);
	lab_free(&lab);
}

static void begin(struct expectation *want, const char *name)
{
	memset(want, 0, sizeof(*want));
	snprintf(want->name, sizeof(want->name), "%.*s", (int)sizeof(want->name) - 1, name);
	strcpy(want->type, "socket_filter");
	want->at = -1;
	want->budget = FORT_BUDGET_INSNS;
}

static bool take(const char *line, const char *key, char *out, size_t room)
{
	size_t length = strlen(key);

	if (strncmp(line, key, length))
		return false;
	line += length + strspn(line + length, " ");
	snprintf(out, room, "%.*s", (int)room - 1, line);
	return true;
}

static void read_line(struct expectation *want, const char *line)
{
	char number[32];

	if (take(line, "type:", want->type, sizeof(want->type)) ||
	    take(line, "says:", want->says, sizeof(want->says)) ||
	    take(line, "known:", want->known, sizeof(want->known)) ||
	    take(line, "needed:", want->needed, sizeof(want->needed)))
		return;
	if (take(line, "budget:", number, sizeof(number))) {
		want->budget = strtoull(number, NULL, 0);
	} else if (!strcmp(line, "accept")) {
		want->accept = want->given = true;
	} else if (!strncmp(line, "reject:", 7)) {
		want->given = sscanf(line, "reject: %7s at %ld", want->code, &want->at) >= 1;
	} else if (strlen(want->assembly) + strlen(line) + 2 < sizeof(want->assembly)) {
		strcat(want->assembly, line);
		strcat(want->assembly, "\n");
	}
}

static bool run_file(const char *path)
{
	static struct expectation want;
	const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char line[512];
	FILE *stream = fopen(path, "r");

	if (!stream)
		return false;
	begin(&want, "");
	while (fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "== ", 3)) {
			finish(&want, file);
			begin(&want, line + 3);
		} else if (line[0] && (line[0] != '#' || want.assembly[0])) {
			read_line(&want, line);
		}
	}
	finish(&want, file);
	fclose(stream);
	return true;
}

int main(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++)
		if (!run_file(argv[i])) {
			printf("not ok %u - %s: cannot be read\n", ++count, argv[i]);
			status = 1;
		}
	printf("1..%u\n", count);
	return status;
}
