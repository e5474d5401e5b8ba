#include "objects.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "base/sys.h"

#define WHY_BYTES 512u

/* The object being visited. Loads are recognised by their log buffer, of which every program has
 * one of its own: names are cut, and not unique. */
static struct {
	const struct object_visitor *visitor;
	unsigned n;
	char logs[OBJECT_PROGRAMS_MAX][8];
	bool seen[OBJECT_PROGRAMS_MAX], chosen[OBJECT_PROGRAMS_MAX];
	char why[WHY_BYTES]; /* libbpf's last warning */
} visit;

/* --- libbpf's calls --- */

long syscall(long nr, ...);

static long visited_load(const union bpf_attr *attr, uint32_t bytes)
{
	const char *log = (const char *)(uintptr_t)attr->log_buf;
	unsigned index = (unsigned)((size_t)(log - visit.logs[0]) / sizeof(visit.logs[0]));

	visit.seen[index] = true;
	return visit.visitor->load(visit.visitor->context, index, attr, bytes);
}

static bool is_visited(const union bpf_attr *attr)
{
	const char *log = (const char *)(uintptr_t)attr->log_buf;

	return visit.visitor && log >= visit.logs[0] && log < visit.logs[0] + sizeof(visit.logs);
}

__attribute__((visibility("default"))) long syscall(long nr, ...)
{
	long a[6], result;
	va_list args;

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (nr == SYS_bpf && a[0] == BPF_PROG_LOAD && is_visited((const union bpf_attr *)a[1]))
		result = visited_load((const union bpf_attr *)a[1], (uint32_t)a[2]);
	else
		result = fort_sys6(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

/* The last is of no interest: it only repeats that something failed. */
static int note_warning(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char text[WHY_BYTES];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = 0;
	if (!strstr(text, "failed to load object"))
		snprintf(visit.why, sizeof(visit.why), "%s",
			 strncmp(text, "libbpf: ", 8) ? text : text + 8);
	return 0;
}

/* --- attempts --- */

static void prepare(struct bpf_object *object)
{
	struct bpf_program *program;
	unsigned i = 0;

	bpf_object__for_each_program (program, object) {
		bool want = i < visit.n && visit.chosen[i] && !visit.seen[i];

		bpf_program__set_autoload(program, want);
		if (want) {
			bpf_program__set_log_level(program, FORT_LOG_STATS);
			bpf_program__set_log_buf(program, visit.logs[i], sizeof(visit.logs[i]));
			if (visit.visitor->prepare)
				visit.visitor->prepare(visit.visitor->context, i, program);
		}
		i++;
	}
}

/* Loads what is chosen and was not seen; returns how many programs were seen for the first time. */
static unsigned attempt(const char *path)
{
	struct bpf_object *object = bpf_object__open(path);
	unsigned before = 0, after = 0;

	for (unsigned i = 0; i < visit.n; i++)
		before += visit.seen[i];
	if (!object)
		return 0;
	visit.why[0] = 0;
	prepare(object);
	(void)!bpf_object__load(object);
	bpf_object__close(object);
	for (unsigned i = 0; i < visit.n; i++)
		after += visit.seen[i];
	return after - before;
}

static unsigned first_unseen(void)
{
	unsigned i = 0;

	while (i < visit.n && (visit.seen[i] || !visit.chosen[i]))
		i++;
	return i;
}

/* All at once, as long as that leads anywhere: libbpf stops at a program that it cannot prepare,
 * which is then left out. */
static void load_together(const char *path)
{
	for (unsigned i = 0; i < visit.n; i++)
		visit.chosen[i] = true;
	while (first_unseen() < visit.n && attempt(path) && first_unseen() < visit.n)
		visit.chosen[first_unseen()] = false;
}

static void load_one(const char *path, unsigned index)
{
	memset(visit.chosen, 0, sizeof(visit.chosen));
	visit.chosen[index] = true;
	if (!attempt(path))
		visit.visitor->unseen(visit.visitor->context, index, visit.why);
}

static unsigned count_programs(const char *path)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *program;
	unsigned n = 0;

	if (!object)
		return 0;
	bpf_object__for_each_program (program, object)
		n++;
	bpf_object__close(object);
	return n < OBJECT_PROGRAMS_MAX ? n : OBJECT_PROGRAMS_MAX;
}

bool objects_visit(const char *path, const struct object_visitor *visitor, char *why, size_t room)
{
	libbpf_print_fn_t print = libbpf_set_print(note_warning);

	memset(&visit, 0, sizeof(visit));
	visit.n = count_programs(path);
	snprintf(why, room, "%s", visit.why);
	visit.visitor = visitor;
	load_together(path);
	for (unsigned i = 0; i < visit.n; i++)
		if (!visit.seen[i])
			load_one(path, i);
	visit.visitor = NULL;
	libbpf_set_print(print);
	return visit.n != 0;
}

void objects_name(const char *path, char *out, size_t room)
{
	const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t length = strlen(file);

	length -= length > 2 && !strcmp(file + length - 2, ".o") ? 2 : 0;
	snprintf(out, room, "%.*s", (int)length, file);
}
