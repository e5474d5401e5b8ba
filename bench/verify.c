/* What verification costs, here and in the running kernel, for the same programs.
 *
 * The kernel's time is the one it reports itself (log level 4): from the first look at the program
 * to the rewritten one, without code generation. Ours is decoding and the search, and beside it the
 * check of the certificate, which the ratio includes. Both sides load the same program in turns,
 * up to nine times within half a second; numbers are medians. Programs are made up here to stretch
 * one thing each, and those of the OBJECTs: with tests/kernel/corpus.sh, the kernel's large ones.
 *
 * usage: verify [--json] [OBJECT...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judges.h"
#include "objects.h"
#include "verify_made.h"
#include "verify_table.h"

/* The object being measured. */
struct file {
	struct judges *judges;
	struct verify_table *table;
	char name[64];
	struct bpf_object *object; /* for its names */
};

static const char *program_name(const struct file *file, unsigned index)
{
	struct bpf_program *program;
	unsigned i = 0;

	bpf_object__for_each_program (program, file->object)
		if (i++ == index)
			return bpf_program__name(program);
	return "?";
}

static int one_load(void *context, unsigned index, const union bpf_attr *attr, uint32_t bytes)
{
	struct file *file = context;
	struct measured measured;

	judges_measure(file->judges, attr, bytes, &measured);
	verify_table_row(file->table, file->name, program_name(file, index), &measured);
	return kernel_side_stand_in(file->judges->kernel);
}

static void one_unseen(void *context, unsigned index, const char *why)
{
	struct file *file = context;

	verify_table_unseen(file->table, file->name, program_name(file, index), why);
}

static void measure_object(struct judges *judges, struct verify_table *table, const char *path)
{
	struct file file = {.judges = judges, .table = table};
	struct object_visitor visitor = {.load = one_load, .unseen = one_unseen, .context = &file};
	char why[256] = "";

	objects_name(path, file.name, sizeof(file.name));
	file.object = bpf_object__open(path);
	if (!file.object || !objects_visit(path, &visitor, why, sizeof(why)))
		verify_table_unseen(table, file.name, "-", file.object ? why : "it is no object");
	if (file.object)
		bpf_object__close(file.object);
}

static void measure_made(struct judges *judges, struct verify_table *table)
{
	for (unsigned i = 0; i < n_verify_made; i++) {
		const struct verify_made *made = &verify_made[i];
		struct fort_text text = fort_text_new();
		struct measured measured;

		made->write(&text);
		judges_measure_text(judges, made->type, text.data, text.length, &measured);
		verify_table_row(table, "(made up)", made->name, &measured);
		fort_text_free(&text);
	}
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return 0;
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && !strcmp(argv[1], "--json");
	struct verify_table table;
	struct judges judges;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(quiet);
	if (!judges_open(&judges))
		return 0;
	verify_table_start(&table, json);
	measure_made(&judges, &table);
	for (int i = 1 + json; i < argc; i++)
		measure_object(&judges, &table, argv[i]);
	verify_table_end(&table);
	judges_close(&judges);
	return 0;
}
