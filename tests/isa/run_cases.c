/* Runs conformance data files on every engine in every isolation mode that exists; speaks TAP.
 *
 *     run_cases DIR              in this process; then asks whether every row of isa.def was there
 *     run_cases --plugin P DIR   through the plugin binary, in both input forms
 *     run_cases --isolation I DIR
 *                                in this process, in this mode alone, which must be there
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/conformance_run.h"
#include "data.h"
#include "plugin.h"

#define FILE_BYTES_MAX (1u << 20)
#define ARENA_BYTES    (64u << 20)
#define FUEL           (1u << 20) /* less than the plugin gives, to be done sooner */

/* FORT_ISOLATIONS: all that there are. */
static enum fort_isolation only = FORT_ISOLATIONS;

static struct tally {
	unsigned number, failed;
	bool rows[FORT_ROWS]; /* met in a case */
} tally;

static void report(bool ok, const char *file, const char *how, const char *why)
{
	printf("%sok %u - %s %s\n", ok ? "" : "not ", ++tally.number, file, how);
	if (!ok) {
		printf("# %s\n", why);
		tally.failed++;
	}
}

/* Does what happened match what the case says? A difference is explained in *why. */
static bool matches(const struct data_case *c, int err, uint64_t r0, const char *message,
		    struct fort_text *why)
{
	if (c->has_result && err)
		fort_text_add(why, "expected 0x%llx: %s", (unsigned long long)c->result, message);
	else if (c->has_result && r0 != c->result)
		fort_text_add(why, "expected 0x%llx, not 0x%llx", (unsigned long long)c->result,
			      (unsigned long long)r0);
	else if (!c->has_result && !err)
		fort_text_add(why, "expected an error, not 0x%llx", (unsigned long long)r0);
	else if (c->error && strcmp(c->error, message))
		fort_text_add(why, "expected '%s', not '%s'", c->error, message);
	return !why->length;
}

static void note_rows(const struct data_case *c)
{
	struct fort_insn *insns = calloc(c->n_insns, sizeof(*insns));
	struct fort_decode_error error;

	if (insns && !fort_insn_decode(c->insns, c->n_insns, insns, &error))
		for (uint32_t pc = 0; pc < c->n_insns; pc++)
			tally.rows[insns[pc].row] = true;
	free(insns);
}

static void report_rows(void)
{
	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (!tally.rows[row])
			report(false, fort_rows[row].name, fort_rows[row].symbol,
			       "no case has this row of isa.def");
	report(true, "every row of isa.def", "was looked for", "");
}

static void run_here(const char *file, const struct data_case *c, const struct fort_engine *engine,
		     enum fort_isolation isolation)
{
	char how[64], said[512], array[1024];
	struct fort_text message = fort_text_on(said, sizeof(said));
	struct fort_text why = fort_text_on(array, sizeof(array));
	struct fort_abort abort = {0};
	uint64_t r0 = 0;
	struct fort_trial trial = {
		.insns = c->insns,
		.n_insns = c->n_insns,
		.mem = c->mem,
		.mem_bytes = c->mem_bytes,
		.engine = engine,
		.isolation = isolation,
		.fuel = FUEL,
	};
	int err = c->profile ? fort_profile_by_name(c->profile, &trial.profile) : 0;

	if (err)
		fort_text_add(&why, "unknown profile");
	else
		err = fort_trial_run(&trial, &r0, &abort, &message);
	if (c->has_fault && (abort.code != FORT_ABORT_MEMORY || abort.address != c->fault))
		fort_text_add(&why, "expected a fault at 0x%llx, not: %s",
			      (unsigned long long)c->fault, message.data);
	snprintf(how, sizeof(how), "%s/%s", engine->name, fort_isolation_name(isolation));
	report(matches(c, err, r0, said, &why), file, how, array);
}

static void run_plugin(const char *plugin, const char *file, const struct data_case *c,
		       const struct fort_engine *engine, enum fort_isolation isolation, bool elf)
{
	char how[64], array[1024];
	struct fort_text why = fort_text_on(array, sizeof(array));
	struct plugin_result result;
	struct plugin_request request = {
		.path = plugin,
		.insns = c->insns,
		.n_insns = c->n_insns,
		.mem = c->mem,
		.mem_bytes = c->mem_bytes,
		.engine = engine->name,
		.isolation = fort_isolation_name(isolation),
		.profile = c->profile ? c->profile : "isa",
		.elf = elf,
	};
	int err = plugin_run(&request, &result);

	snprintf(how, sizeof(how), "%s/%s %s", engine->name, fort_isolation_name(isolation),
		 elf ? "elf" : "hex");
	if (err)
		fort_text_add(&why, "the plugin: %s", strerror(-err));
	else
		matches(c, result.failed, result.r0, result.message, &why);
	report(!why.length, file, how, array);
}

static void run_case(const char *plugin, const char *file, const struct data_case *c)
{
	unsigned runs = 0;

	note_rows(c);
	for (unsigned i = 0; fort_engines[i]; i++) {
		if (!data_lists(c->engine, fort_engines[i]->name))
			continue;
		for (unsigned isolation = 0; isolation < FORT_ISOLATIONS; isolation++) {
			if ((only != FORT_ISOLATIONS && only != isolation) ||
			    !fort_engine_has(fort_engines[i], isolation) ||
			    !data_lists(c->isolation, fort_isolation_name(isolation)))
				continue;
			runs++;
			if (plugin) {
				run_plugin(plugin, file, c, fort_engines[i], isolation, false);
				if (isolation ==
				    FORT_ISOLATION_SFI) /* the form is another matter */
					run_plugin(plugin, file, c, fort_engines[i], isolation,
						   true);
			} else {
				run_here(file, c, fort_engines[i], isolation);
			}
		}
	}
	if (!runs && only == FORT_ISOLATIONS)
		report(false, file, "anywhere", "no engine and isolation mode runs this case");
}

static void run_file(const char *plugin, const char *directory, const char *name)
{
	static char text[FILE_BYTES_MAX];
	char path[4096], said[256];
	struct fort_text message = fort_text_on(said, sizeof(said));
	struct fort_arena arena;
	struct data_case c;
	FILE *file;
	size_t bytes;
	int err;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "r");
	if (!file) {
		report(false, name, "opens", strerror(errno));
		return;
	}
	bytes = fread(text, 1, sizeof(text), file);
	fclose(file);
	fort_arena_init(&arena, ARENA_BYTES);
	err = data_parse(&arena, text, bytes, &c, &message);
	if (bytes == sizeof(text))
		report(false, name, "parses", "the file is too large");
	else if (err)
		report(false, name, "parses", message.length ? said : strerror(-err));
	else
		run_case(plugin, name, &c);
	fort_arena_free(&arena);
}

static int is_data_file(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 5 && !strcmp(entry->d_name + length - 5, ".data");
}

static int run_directory(const char *plugin, const char *directory)
{
	struct dirent **entries;
	int n = scandir(directory, &entries, is_data_file, alphasort);

	if (n <= 0) {
		printf("Bail out! no data files in %s\n", directory);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		run_file(plugin, directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (!plugin && only == FORT_ISOLATIONS)
		report_rows();
	printf("1..%u\n# %d files\n", tally.number, n);
	return tally.failed || !tally.number ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *plugin = NULL;

	if (argc == 4 && !strcmp(argv[1], "--plugin")) {
		plugin = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc == 4 && !strcmp(argv[1], "--isolation") &&
	    !fort_isolation_by_name(argv[2], &only)) {
		argv += 2;
		argc -= 2;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: run_cases [--plugin PROGRAM | --isolation MODE] DIR\n");
		return 2;
	}
	if (plugin) {
		DIR *directory = opendir(argv[1]);

		if (!directory) {
			printf("1..0 # SKIP %s: %s\n", argv[1], strerror(errno));
			return 0;
		}
		closedir(directory);
	}
	return run_directory(plugin, argv[1]);
}
