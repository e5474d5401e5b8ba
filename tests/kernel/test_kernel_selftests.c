/* Our verdict beside the running kernel's, on the objects of the kernel's selftests (corpus.sh).
 *
 * libbpf loads each program of each object; the kernel and we judge the load, with all rights and
 * without CAP_PERFMON. What we accept is run, with every value held against what was claimed
 * (embed.h). A verdict that is not the kernel's must be a row of differs.tsv (differs.h), but for
 * programs that need what bpfort does not support yet and says so; a row that does not differ fails
 * as well. So do texts that the kernel's tests expect in the log, where the running kernel has them
 * (words.h), and results of runs.
 *
 * The kernel of the machine is the judge. Where it does not do what its own tests of 6.12 expect,
 * that is printed, once.
 *
 * usage: kernel_selftests DIFFERS MOST OBJECT...    (the group is the name of the object's folder)
 * BPFORT_TEST_VERBOSE=1: a line per difference
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objects.h"
#include "trial.h"

#define FILES_MIN  200u /* objects that compile */
#define GROUPS_MAX 8u

/* One object. */
struct file {
	char name[64];
	const char *group;
	struct bpf_object *object; /* for its names and annotations; never loaded */
	struct bpf_program *programs[OBJECT_PROGRAMS_MAX];
};

static struct file file;
static struct trials trials;

/* --- what objects_visit calls --- */

static struct trial trial_of(unsigned index, struct notes *notes)
{
	const char *program = bpf_program__name(file.programs[index]);

	memset(notes, 0, sizeof(*notes));
	if (bpf_object__btf(file.object))
		notes_read(bpf_object__btf(file.object), program, notes);
	return (struct trial){
		.group = file.group, .file = file.name, .program = program, .notes = notes};
}

static void prepare(void *context, unsigned index, struct bpf_program *program)
{
	struct notes notes;

	(void)context;
	trial_of(index, &notes);
	bpf_program__set_flags(program, (bpf_program__flags(program) | notes.set_flags) &
						~notes.cleared_flags);
}

static int one_load(void *context, unsigned index, const union bpf_attr *attr, uint32_t bytes)
{
	struct notes notes;
	struct trial trial = trial_of(index, &notes);
	int fd = -1;

	(void)context;
	if (notes.strange) {
		trials.wrong++;
		printf("#   an annotation of %s is not understood\n", trial.program);
	}
	if (!notes.foreign)
		fd = trial_run(&trials, &trial, attr, bytes);
	return fd < 0 ? kernel_side_stand_in(trials.kernel) : fd;
}

static void one_unseen(void *context, unsigned index, const char *why)
{
	struct notes notes;
	struct trial trial = trial_of(index, &notes);
	const char *cause = strncmp(why, "prog '", 6) ? NULL : strstr(why, "': ");
	char text[ORACLE_REASON_BYTES];

	(void)context;
	snprintf(text, sizeof(text), "libbpf: %.140s", cause ? cause + 3 : why);
	trial_missed(&trials, &trial, text);
}

/* --- files --- */

/* The name of the folder that the object is in. */
static const char *group_of(const char *path)
{
	static char names[GROUPS_MAX][32];
	const char *end = strrchr(path, '/'), *start = end;
	char name[32];
	unsigned i;

	while (start && start > path && start[-1] != '/')
		start--;
	snprintf(name, sizeof(name), "%.*s", end ? (int)(end - start) : 0, end ? start : "");
	for (i = 0; i + 1 < GROUPS_MAX && names[i][0] && strcmp(names[i], name); i++)
		;
	snprintf(names[i], sizeof(names[i]), "%s", name);
	return names[i];
}

static bool open_file(const char *path)
{
	struct bpf_program *program;
	unsigned n = 0;

	memset(&file, 0, sizeof(file));
	objects_name(path, file.name, sizeof(file.name));
	file.group = group_of(path);
	file.object = bpf_object__open(path);
	if (!file.object)
		return false;
	bpf_object__for_each_program (program, file.object)
		if (n < OBJECT_PROGRAMS_MAX)
			file.programs[n++] = program;
	return true;
}

static bool one_file(const char *path, unsigned number)
{
	static const struct object_visitor visitor = {.prepare = prepare,
						      .load = one_load,
						      .unseen = one_unseen};
	unsigned before = trials.wrong;
	char why[256];

	if (!open_file(path)) {
		printf("ok %u - %s # SKIP libbpf %s cannot open it\n", number, file.name,
		       libbpf_version_string());
		return true;
	}
	if (!objects_visit(path, &visitor, why, sizeof(why))) {
		trials.wrong++;
		printf("#   no programs: %s\n", why);
	}
	bpf_object__close(file.object);
	printf("%s %u - %s\n", trials.wrong == before ? "ok" : "not ok", number, file.name);
	return trials.wrong == before;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	(void)fmt;
	(void)args;
	return 0;
}

/* Rows of other tests have names of their own. */
static bool is_object(const char *name)
{
	return strcmp(name, "random") && !strstr(name, ".test") && !strchr(name, '/');
}

int main(int argc, char **argv)
{
	unsigned files = (unsigned)argc - 3, number;

	if (argc < 4) {
		printf("Bail out! usage: kernel_selftests DIFFERS MOST OBJECT...\n");
		return 1;
	}
	if (!trials_open(&trials, argv[1], argv[2]))
		return 0;
	libbpf_set_print(quiet);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	for (number = 1; number <= files; number++)
		one_file(argv[number + 2], number);
	number += trials_conclude(&trials, number, is_object);
	printf("%s %u - the kernel's files compile\n1..%u\n", files >= FILES_MIN ? "ok" : "not ok",
	       number, number);
	trials_close(&trials);
	return 0;
}
