/* What programs are expanded for (harden/expand.h): the running kernel runs the same program on the
 * same packet, and every engine under every isolation must return and leave behind what it does.
 * The interpreter is also held against what the verifier claimed, instruction by instruction.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "embed.h"
#include "kernel_lab.h"

#define PACKET_BYTES 64u
#define NUMBERS_MAX  20u

struct row {
	const char *name, *type, *functions;
	unsigned n;
	long long numbers[NUMBERS_MAX];
	const char *code;
};

#define NUMBERS(...)                                            \
	sizeof((long long[]){__VA_ARGS__}) / sizeof(long long), \
	{                                                       \
		__VA_ARGS__                                     \
	}
#define ROW(name, type, functions, numbers, code) {name, type, functions, numbers, code},
static const struct row rows[] = {
#include "expand_rows.inc"
};

static struct lab lab;
static struct kernel_lab kernel;
static struct embed_world world;
static uint8_t packet[PACKET_BYTES];
static unsigned failures, runs;

static void fail(const struct row *row, unsigned i, const char *who, const char *what)
{
	printf("# %s (%lld): %s: %s\n", row->name, row->numbers[i], who, what);
	failures++;
}

static bool same_maps(void)
{
	uint8_t key[64], next[64], theirs[4096], ours[4096];

	for (uint32_t i = 0; i < LAB_RUN_MAPS; i++) {
		bool more =
			lab_shapes[i].key_bytes && !bpf_map_get_next_key(kernel.fds[i], NULL, next);

		while (more) {
			memcpy(key, next, sizeof(key));
			if (bpf_map_lookup_elem(kernel.fds[i], key, theirs) ||
			    fort_map_lookup(world.maps[i], key, ours, 0) ||
			    memcmp(theirs, ours, fort_map_user_bytes(world.maps[i])))
				return false;
			more = !bpf_map_get_next_key(kernel.fds[i], key, next);
		}
	}
	return true;
}

/* Has the kernel as many entries as we? It keeps what we deleted, or the reverse, if not. */
static bool same_keys(void)
{
	uint8_t key[64], next[64], value[4096];

	for (uint32_t i = 0; i < LAB_RUN_MAPS; i++) {
		bool more =
			lab_shapes[i].key_bytes && !fort_map_next_key(world.maps[i], NULL, next);

		while (more) {
			memcpy(key, next, sizeof(key));
			if (bpf_map_lookup_elem(kernel.fds[i], key, value))
				return false;
			more = !fort_map_next_key(world.maps[i], key, next);
		}
	}
	return true;
}

static void compare(const struct row *row, unsigned i, const char *who,
		    const struct fort_test_output *output, uint32_t theirs)
{
	char what[128];

	runs++;
	snprintf(what, sizeof(what), "%#x, the kernel %#x; ended by: %s %u at %u",
		 (uint32_t)output->result, theirs, fort_abort_name(output->abort.code),
		 output->abort.detail, output->abort.pc);
	if (output->abort.code || (uint32_t)output->result != theirs)
		fail(row, i, who, what);
	else if (!same_maps() || !same_keys())
		fail(row, i, who, "maps differ");
}

/* Fresh maps for every run. */
static bool open_world(const struct row *row, unsigned i)
{
	if (embed_world_open(&world, lab_shapes, LAB_RUN_MAPS))
		return true;
	fail(row, i, "we", "no maps");
	return false;
}

static const struct fort_test_input input = {.data = packet,
					     .data_bytes = PACKET_BYTES,
					     .repeat = 1};

static void run_loaded(const struct row *row, unsigned i, const struct fort_engine *engine,
		       enum fort_isolation isolation, uint32_t theirs)
{
	struct fort_load_request request = {.proven = &lab.proven,
					    .engine = engine,
					    .isolation = isolation,
					    .n_slots = 1,
					    .packet_bytes = 1024,
					    .fuel = FORT_FUEL_DEFAULT};
	struct fort_test_output output;
	struct fort_loaded *loaded;
	char who[64];

	snprintf(who, sizeof(who), "%s, %s", engine->name, fort_isolation_name(isolation));
	if (!open_world(row, i))
		return;
	request.maps = world.maps;
	if (fort_loaded_open(&request, &loaded)) {
		fail(row, i, who, "it is not loaded");
	} else {
		if (fort_test_run(loaded, &world.services, &input, NULL, NULL, &output))
			fail(row, i, who, "it is not run");
		else
			compare(row, i, who, &output, theirs);
		fort_loaded_close(loaded);
	}
	embed_world_close(&world);
}

/* With all that the proof claims. Its fuel is little: it may end so. */
static void run_checked(const struct row *row, unsigned i, uint32_t theirs)
{
	struct fort_span certificate = {lab.result.certificate.data, lab.result.certificate.bytes};
	static struct embed embed;
	struct fort_test_output output;

	if (!open_world(row, i))
		return;
	if (!embed_open(&embed, &world, &lab.env, &lab.proven, certificate) || embed.idle ||
	    !embed_run(&embed, &input, NULL, &output))
		fail(row, i, "claims", embed.idle ? "it is not run" : embed.error);
	else if (output.abort.code != FORT_ABORT_FUEL)
		compare(row, i, "claims", &output, theirs);
	embed_close(&embed);
	embed_world_close(&world);
}

static bool run_kernel(const struct row *row, unsigned i, uint32_t *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = PACKET_BYTES);
	struct kernel_verdict verdict;
	int err;

	kernel_lab_load(&kernel, &lab, &verdict);
	if (verdict.fd < 0) {
		fail(row, i, "the kernel", verdict.line);
		return false;
	}
	err = bpf_prog_test_run_opts(verdict.fd, &opts);
	close(verdict.fd);
	if (err)
		fail(row, i, "the kernel", strerror(errno));
	*out = opts.retval;
	return !err;
}

static void run_ours(const struct row *row, unsigned i, uint32_t theirs)
{
	/* What the LLVM engine needs may be missing; the others must not. */
	run_checked(row, i, theirs);
	for (unsigned e = 0; fort_engines[e]; e++)
		for (enum fort_isolation isolation = 0; isolation < FORT_ISOLATIONS; isolation++)
			if (!fort_engines[e]->absent &&
			    fort_engine_has(fort_engines[e], isolation) &&
			    !fort_isolations[isolation].keys)
				run_loaded(row, i, fort_engines[e], isolation, theirs);
}

static bool prove(const struct row *row, const char *code)
{
	return lab_open(&lab, row->type, code) && lab_meet(&lab, NULL) &&
	       (!row->functions[0] || lab_describe(&lab, row->functions)) &&
	       lab_search(&lab, FORT_SABOTAGE_NONE) && lab.result.verdict == FORT_ACCEPT &&
	       lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes);
}

static void one(const struct row *row, unsigned i)
{
	char code[4096];
	uint32_t theirs;

	snprintf(code, sizeof(code), row->code, row->numbers[i]);
	if (!prove(row, code))
		fail(row, i, "it is not proven", lab.error);
	else if (run_kernel(row, i, &theirs))
		run_ours(row, i, theirs);
	lab_free(&lab);
}

static void stay_on_this_cpu(void)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
}

int main(void)
{
	stay_on_this_cpu();
	for (unsigned i = 0; i < PACKET_BYTES; i++)
		packet[i] = (uint8_t)(i * 37 + 11);
	for (size_t r = 0; r < FORT_LEN(rows); r++) {
		unsigned before = failures;

		for (unsigned i = 0; i < rows[r].n; i++) {
			if (kernel_lab_open(&kernel)) {
				printf("1..0 # SKIP the kernel makes no maps\n");
				return 0;
			}
			one(&rows[r], i);
			kernel_lab_close(&kernel);
		}
		printf("%s %zu - %s\n", failures == before ? "ok" : "not ok", r + 1, rows[r].name);
	}
	printf("# %u runs\n1..%zu\n", runs, FORT_LEN(rows));
	return failures ? 1 : 0;
}
