/* The kernel's own programs that make tail calls, loaded by libbpf, in the running kernel and here,
 * in every engine and isolation: each program of an object that the kernel can test is run, and
 * what it returns, and what all arrays hold afterwards, must be the same.
 *
 * usage: test_kernel_tails OBJECT...
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "isolate/isolation.h"
#include "store/store.h"

#define RUNS        2u /* the second finds what the first left */
#define VALUE_BYTES 4096u

/* Who gets libbpf's calls: NULL, the kernel. */
static struct fort_store *store;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	if (number != SYS_bpf || !store)
		return __real_syscall(number, a, b, c, d, e, f);
	result = fort_store_bpf(store, (int)a, (void *)b, (unsigned)c);
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

/* --- arrays of programs --- */

/* Slot i has classifier_i, as the tests' own code fills them; or, where there is none, the program
 * that is entered, which then calls itself. Slots that the object fills stay. */
static struct bpf_program *program_for(struct bpf_object *object, uint32_t slot)
{
	struct bpf_program *program;
	char name[32];

	snprintf(name, sizeof(name), "classifier_%u", slot);
	program = bpf_object__find_program_by_name(object, name);
	return program || slot ? program : bpf_object__find_program_by_name(object, "entry");
}

static void fill(struct bpf_object *object, struct fort_text *seen)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, object) {
		uint32_t n = bpf_map__max_entries(map), there;

		if (bpf_map__type(map) != BPF_MAP_TYPE_PROG_ARRAY)
			continue;
		for (uint32_t slot = 0; slot < n; slot++) {
			struct bpf_program *program = program_for(object, slot);
			int fd = program ? bpf_program__fd(program) : -1, err;

			if (fd < 0 || !bpf_map_lookup_elem(bpf_map__fd(map), &slot, &there))
				continue;
			err = bpf_map_update_elem(bpf_map__fd(map), &slot, &fd, 0);
			fort_text_add(seen, "%s[%u]: %d\n", bpf_map__name(map), slot, err);
		}
	}
}

/* --- runs --- */

static void tell_arrays(struct bpf_object *object, struct fort_text *seen)
{
	static uint8_t value[VALUE_BYTES];
	struct bpf_map *map;

	bpf_object__for_each_map (map, object) {
		uint32_t bytes = bpf_map__value_size(map), key = 0;

		if (bpf_map__type(map) != BPF_MAP_TYPE_ARRAY || bytes > sizeof(value))
			continue;
		for (; key < bpf_map__max_entries(map); key++) {
			if (bpf_map_lookup_elem(bpf_map__fd(map), &key, value))
				continue;
			fort_text_add(seen, "%s[%u]:",
				      strrchr(bpf_map__name(map), '.')
					      ? strrchr(bpf_map__name(map), '.')
					      : bpf_map__name(map),
				      key);
			for (uint32_t i = 0; i < bytes; i++)
				fort_text_add(seen, " %02x", value[i]);
			fort_text_add(seen, "\n");
		}
	}
}

static void run_program(const struct bpf_program *program, struct fort_text *seen)
{
	uint8_t packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet),
		    .repeat = 1);
	int err = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);

	fort_text_add(seen, "%s: %d, %u\n", bpf_program__name(program), err, opts.retval);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* What happens on one side; loaded: whether anything does. */
static char *look(const char *path, bool *loaded)
{
	struct fort_text seen = fort_text_new();
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *program;

	*loaded = object && !bpf_object__load(object);
	if (*loaded) {
		fill(object, &seen);
		for (unsigned i = 0; i < RUNS; i++) {
			bpf_object__for_each_program (program, object)
				if (bpf_program__fd(program) >= 0)
					run_program(program, &seen);
			tell_arrays(object, &seen);
		}
	}
	bpf_object__close(object);
	return seen.data ? seen.data : strdup("");
}

/* --- both --- */

static unsigned number;
static bool failed;

static void tell(bool good, const char *path, const char *engine, const char *isolation,
		 const char *why)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;

	failed |= !good;
	printf("%sok %u - %s %s/%s%s\n", good ? "" : "not ", ++number, name, engine, isolation,
	       why);
}

static char *look_here(const char *path, const struct fort_engine *engine,
		       enum fort_isolation isolation, bool *loaded, bool *later)
{
	char *seen;

	if (fort_store_create(&store) || fort_store_set_engine(store, engine, isolation))
		exit(2);
	seen = look(path, loaded);
	*later = !*loaded && fort_store_last_load(store)->diag.is_later;
	fort_store_free(store);
	store = NULL;
	return seen;
}

static void compare(const char *path, const struct fort_engine *engine,
		    enum fort_isolation isolation, const char *kernel)
{
	const char *name = fort_isolations[isolation].name;
	bool loaded, later;
	char *ours = look_here(path, engine, isolation, &loaded, &later);

	if (later) {
		tell(true, path, engine->name, name, " # SKIP it needs what does not run here yet");
	} else {
		tell(loaded && !strcmp(ours, kernel), path, engine->name, name, "");
		if (strcmp(ours, kernel))
			printf("# --- kernel\n%s# --- here\n%s", kernel, ours);
	}
	free(ours);
}

static void compare_all(const char *path)
{
	bool loaded;
	char *kernel = look(path, &loaded);

	if (!loaded)
		tell(true, path, "kernel", "", " # SKIP the running kernel does not load it");
	for (const struct fort_engine *const *e = fort_engines; *e && loaded; e++)
		for (enum fort_isolation i = 0; i < FORT_ISOLATIONS; i++)
			if (!(*e)->absent && fort_engine_has(*e, i))
				compare(path, *e, i, kernel);
	free(kernel);
}

int main(int argc, char *argv[])
{
	libbpf_set_print(getenv("BPFORT_TEST_VERBOSE") ? NULL : quiet);
	for (int i = 1; i < argc; i++)
		compare_all(argv[i]);
	printf("1..%u\n", number);
	return failed;
}
