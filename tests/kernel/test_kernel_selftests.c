/* Our verdict beside the running kernel's, on the objects of the kernel's selftests.
 *
 * libbpf loads each program of each object into the kernel; on the way the instructions, with the
 * shapes of the maps they name, also go to our verifier. What we accept is run, with every value
 * held against what was claimed (embed.h). A difference must be a row of the file (differs.h), but
 * for programs that need what bpfort does not support yet and says so; a row that does not differ
 * fails as well. Prints a line per file.
 *
 * usage: kernel_selftests DIFFERS OBJECT...
 * BPFORT_TEST_VERBOSE=1: a line per difference, also of the texts
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "abi/uapi.h"
#include "attr_info.h"
#include "differs.h"
#include "embed.h"
#include "random.h"
#include "verify/render.h"
#include "verify/verify.h"

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);

#define KERNEL_LOG_BYTES (1u << 20)
#define RUNS             4u
#define FILES_MIN        80u /* objects that compile */

enum side { UNSEEN, ACCEPTS, REJECTS, CANNOT };

/* What happened to the program being loaded. */
struct outcome {
	const char *name; /* waiting for a load of this program */
	enum side kernel, ours;
	int kernel_errno;
	char kernel_line[1024], our_line[1024], our_code[8];
	uint64_t kernel_insns, our_insns, our_us, check_us;
	size_t certificate_bytes;
	char cannot[128];
	const struct fort_state *state;
	bool later;               /* rejected because we do not support something yet */
	char not_as_claimed[512]; /* what a run did */
};

static struct outcome now;
static unsigned programs_run;
static char kernel_log[KERNEL_LOG_BYTES];

/* --- our side --- */

struct subject {
	struct fort_arena arena;
	struct fort_insn *insns;
	struct fort_graph graph;
	struct fort_map_shape maps[FORT_MAPS_PER_PROG_MAX];
	int fds[FORT_MAPS_PER_PROG_MAX];
	struct fort_env env;
	struct attr_info info;
};

static int map_index(struct subject *s, int fd)
{
	struct bpf_map_info info = {0};
	uint32_t bytes = sizeof(info);

	for (uint32_t i = 0; i < s->env.n_maps; i++)
		if (s->fds[i] == fd)
			return (int)i;
	if (s->env.n_maps == FORT_MAPS_PER_PROG_MAX || bpf_obj_get_info_by_fd(fd, &info, &bytes))
		return -1;
	s->fds[s->env.n_maps] = fd;
	s->maps[s->env.n_maps] = (struct fort_map_shape){.type = info.type,
							 .key_bytes = info.key_size,
							 .value_bytes = info.value_size,
							 .max_entries = info.max_entries,
							 .flags = info.map_flags};
	return (int)s->env.n_maps++;
}

/* Map descriptors become indices of the environment. */
static bool resolve_maps(struct subject *s, uint32_t count)
{
	for (uint32_t pc = 0; pc < count; pc++) {
		struct fort_insn *insn = &s->insns[pc];
		bool value = insn->op == FORT_OP_MAP_VALUE;
		int index;

		if (insn->kind != FORT_LDIMM || (insn->op != FORT_OP_MAP_FD && !value))
			continue;
		index = map_index(s, (int)(uint32_t)insn->imm);
		if (index < 0)
			return false;
		*insn = fort_insn_make(
			value ? FORT_ROW_LDIMM_MAP_IDX_VALUE : FORT_ROW_LDIMM_MAP_IDX, insn->dst, 0,
			0, (int64_t)(((uint64_t)insn->imm & ~0xffffffffull) | (uint32_t)index));
	}
	return true;
}

static bool is_gpl(const char *license)
{
	static const char *const compatible[] = {
		"GPL",          "GPL v2",       "GPL and additional rights",
		"Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};

	for (size_t i = 0; i < FORT_LEN(compatible); i++)
		if (!strcmp(license, compatible[i]))
			return true;
	return false;
}

static void note_rejection(const struct fort_env *env, const struct fort_violation *violation,
			   const char *isa, const char *fault)
{
	struct fort_render render = {
		.env = env, .violation = violation, .state = now.state, .isa = isa, .fault = fault};
	struct fort_text text = fort_text_on(now.our_line, sizeof(now.our_line));
	const struct fort_diag_info *info = fort_diag_info(violation->diag);

	now.ours = REJECTS;
	now.later = info->class == FORT_CLASS_LATER;
	snprintf(now.our_code, sizeof(now.our_code), "%s", info->code);
	fort_render_text(&render, info->kernel, &text);
}

/* Runs of an accepted program. Maps that we cannot make, or a context that we cannot: none. */
static void run_observed(struct subject *s, const struct fort_proven *proven,
			 struct fort_span certificate)
{
	static struct embed_world world;
	static struct embed embed;
	static struct embed_input input;
	struct random random = random_from(1);
	struct fort_test_output output;

	if (embed_world_open(&world, s->env.maps, s->env.n_maps)) {
		bool good = embed_open(&embed, &world, &s->env, proven, certificate);

		for (unsigned run = 0; good && run < RUNS; run++) {
			embed_world_drain(&world);
			embed_input_make(&random, s->env.hook.prog, &input);
			good = embed_run(&embed, &input.input, NULL, &output);
		}
		if (!good)
			snprintf(now.not_as_claimed, sizeof(now.not_as_claimed), "%s", embed.error);
		programs_run += good;
		embed_close(&embed);
	}
	embed_world_close(&world);
}

static void judge(struct subject *s)
{
	struct fort_verify_options options = {.budget_insns = FORT_BUDGET_INSNS};
	struct fort_verify_result result;
	struct fort_check check;
	struct fort_proven proven;
	int err = fort_verify_search(&s->env, &s->arena, &options, &result);

	if (err) {
		snprintf(now.cannot, sizeof(now.cannot), "search failed: %s", strerror(-err));
		now.ours = CANNOT;
		return;
	}
	now.our_insns = result.insns_processed;
	now.certificate_bytes = result.certificate.bytes;
	if (result.verdict == FORT_REJECT) {
		now.state = result.state;
		note_rejection(&s->env, &result.violation, NULL, NULL);
	} else if (fort_certificate_check((struct fort_span){result.certificate.data,
							     result.certificate.bytes},
					  &s->env, &s->arena, &check, &proven)) {
		now.ours = ACCEPTS;
		run_observed(s, &proven,
			     (struct fort_span){result.certificate.data, result.certificate.bytes});
	} else {
		struct fort_violation violation = {.diag = FORT_DIAG_CERTIFICATE, .pc = check.pc};

		note_rejection(&s->env, &violation, NULL, fort_check_fault_text(check.fault));
	}
	fort_buf_free(&result.certificate);
}

static void cannot(const char *fmt, ...) FORT_PRINTF(1, 2);

static void cannot(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(now.cannot, sizeof(now.cannot), fmt, args);
	va_end(args);
	now.ours = CANNOT;
}

static void verify_ours(const union bpf_attr *attr)
{
	static struct subject subject;
	struct subject *s = &subject;
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;

	memset(s, 0, sizeof(*s));
	fort_arena_init(&s->arena, FORT_SEARCH_BYTES_MAX);
	s->env.hook.prog = fort_prog_runs(attr->prog_type);
	if (!s->env.hook.prog) {
		cannot("program type %u", attr->prog_type);
		return;
	}
	s->insns = FORT_ARENA_ARRAY(&s->arena, attr->insn_cnt, struct fort_insn);
	s->env.access = FORT_ARENA_ARRAY(&s->arena, attr->insn_cnt, struct fort_access);
	if (fort_insn_decode((const void *)attr->insns, attr->insn_cnt, s->insns, &decode_error)) {
		struct fort_violation violation = fort_decode_violation(&decode_error);

		note_rejection(NULL, &violation, "decode", NULL);
	} else if (!resolve_maps(s, attr->insn_cnt)) {
		cannot("more maps than a program may have");
	} else if (!attr_info_open(&s->info, &s->arena, attr)) {
		cannot("BTF that cannot be had");
	} else if (fort_graph_build(&s->arena, s->insns, attr->insn_cnt, &s->graph, &graph_error)) {
		struct fort_violation violation = fort_graph_violation(&graph_error);

		note_rejection(NULL, &violation, "graph", NULL);
	} else {
		s->env.graph = &s->graph;
		s->env.maps = s->maps;
		s->env.rights = FORT_MAY_USE_PERF_HELPERS | FORT_MAY_READ_UNINIT_STACK |
				FORT_MAY_LEAK_POINTERS;
		s->env.gpl = is_gpl((const char *)attr->license);
		if (s->info.described.n_prototypes == s->graph.program.n_subprogs) {
			s->env.prototypes = s->info.described.prototypes;
			s->env.words = s->info.described.words;
		}
		s->env.demands = FORT_ARENA_ARRAY(&s->arena, FORT_DEMANDS_MAX, struct fort_root);
		if (fort_env_complete(&s->env, &s->arena))
			cannot("no memory");
		else
			judge(s);
	}
	attr_info_close(&s->info);
	fort_arena_free(&s->arena);
}

/* --- the kernel's side --- */

/* The line before the statistics. */
static void last_line(const char *log, char *out, size_t room)
{
	const char *end = strstr(log, "\nprocessed "), *start;

	if (!end)
		end = log + strlen(log);
	for (start = end; start > log && start[-1] != '\n'; start--)
		;
	snprintf(out, room, "%.*s", (int)(end - start), start);
}

static long load_into_kernel(union bpf_attr *attr, unsigned bytes)
{
	union bpf_attr copy = {0};
	const char *processed;
	long fd;

	memcpy(&copy, attr, bytes < sizeof(copy) ? bytes : sizeof(copy));
	copy.log_level = 0;
	copy.log_buf = 0;
	copy.log_size = 0;
	kernel_log[0] = 0;
	fd = __real_syscall(SYS_bpf, BPF_PROG_LOAD, &copy, sizeof(copy));
	now.kernel_errno = fd < 0 ? errno : 0;
	now.kernel = fd < 0 ? REJECTS : ACCEPTS;
	/* The log is for the texts only: one that does not fit changes the verdict. */
	copy.log_level = fd < 0 ? FORT_LOG_PATH : FORT_LOG_STATS;
	copy.log_buf = (uintptr_t)kernel_log;
	copy.log_size = sizeof(kernel_log);
	if (fd >= 0)
		close((int)__real_syscall(SYS_bpf, BPF_PROG_LOAD, &copy, sizeof(copy)));
	else
		(void)__real_syscall(SYS_bpf, BPF_PROG_LOAD, &copy, sizeof(copy));
	last_line(kernel_log, now.kernel_line, sizeof(now.kernel_line));
	processed = strstr(kernel_log, "\nprocessed ");
	if (!processed && !strncmp(kernel_log, "processed ", 10))
		processed = kernel_log - 1;
	if (processed)
		now.kernel_insns = strtoull(processed + 11, NULL, 10);
	errno = now.kernel_errno;
	return fd;
}

long __wrap_syscall(long nr, ...)
{
	long a[6];
	va_list args;

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (nr == SYS_bpf && a[0] == BPF_PROG_LOAD && now.name) {
		union bpf_attr *attr = (union bpf_attr *)a[1];

		if (!strncmp(attr->prog_name, now.name, BPF_OBJ_NAME_LEN - 1) &&
		    now.kernel == UNSEEN) {
			long fd = load_into_kernel(attr, (unsigned)a[2]);
			int err = errno;

			verify_ours(attr);
			errno = err;
			return fd;
		}
	}
	return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- objects --- */

struct tally {
	unsigned agree, stricter, later, looser, skipped, wrong;
};

static bool verbose;
static struct differs differs;

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	(void)fmt;
	(void)args;
	return 0;
}

static void say(const char *what, const char *prog)
{
	printf("#   %s %s: %s kernel: %s | ours: %s\n", what, prog, now.our_code,
	       now.kernel == REJECTS ? now.kernel_line : "accepts",
	       now.ours == REJECTS ? now.our_line : "accepts");
}

/* A verdict that is not the kernel's. */
static void differ(struct tally *tally, const char *file, const char *prog)
{
	bool listed = differs_listed(&differs, file, prog, now.ours == ACCEPTS ? "kernel" : "us");

	if (now.ours == REJECTS && now.later)
		tally->later++;
	else if (now.ours == REJECTS)
		tally->stricter++;
	else
		tally->looser++;
	if (!listed && !(now.ours == REJECTS && now.later)) {
		tally->wrong++;
		say("NOT LISTED", prog);
	} else if (verbose) {
		say("differs", prog);
	}
}

static void conclude(struct tally *tally, const char *file, const char *prog)
{
	if (now.kernel == UNSEEN || now.ours == CANNOT) {
		tally->skipped++;
		if (verbose)
			printf("#   skipped %s: %s\n", prog,
			       now.ours == CANNOT ? now.cannot : "libbpf did not load it");
		return;
	}
	if (now.not_as_claimed[0]) {
		tally->wrong++;
		printf("#   NOT AS CLAIMED %s: %s\n", prog, now.not_as_claimed);
	}
	if (now.kernel != now.ours) {
		differ(tally, file, prog);
		return;
	}
	tally->agree++;
	if (verbose && now.ours == REJECTS && strcmp(now.kernel_line, now.our_line))
		say("other words", prog);
}

static void one_program(const char *path, const char *name)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *prog;

	memset(&now, 0, sizeof(now));
	if (libbpf_get_error(object))
		return;
	bpf_object__for_each_program (prog, object)
		bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), name));
	now.name = name;
	(void)!bpf_object__load(object);
	now.name = NULL;
	bpf_object__close(object);
}

static void file_name(const char *path, char *out, size_t room)
{
	const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t length = strlen(file);

	length -= length > 2 && !strcmp(file + length - 2, ".o") ? 2 : 0;
	snprintf(out, room, "%.*s", (int)length, file);
}

static bool one_file(const char *path, unsigned number, struct tally *total)
{
	struct bpf_object *object = bpf_object__open(path);
	struct tally tally = {0};
	struct bpf_program *prog;
	char file[64];

	file_name(path, file, sizeof(file));
	if (libbpf_get_error(object)) {
		printf("ok %u - %s # SKIP libbpf %s cannot open it\n", number, file,
		       libbpf_version_string());
		return true;
	}
	bpf_object__for_each_program (prog, object) {
		one_program(path, bpf_program__name(prog));
		conclude(&tally, file, bpf_program__name(prog));
	}
	bpf_object__close(object);
	printf("# %-40s agree %3u  only we reject %3u (+ %3u: later)  only we accept %3u  skipped "
	       "%3u\n",
	       file, tally.agree, tally.stricter, tally.later, tally.looser, tally.skipped);
	printf("%s %u - %s\n", tally.wrong ? "not ok" : "ok", number, file);
	total->agree += tally.agree;
	total->stricter += tally.stricter;
	total->later += tally.later;
	total->looser += tally.looser;
	total->skipped += tally.skipped;
	return !tally.wrong;
}

/* Rows of objects that no longer differ. */
static bool all_rows_used(unsigned number)
{
	bool good = true;

	for (unsigned i = 0; i < differs.n; i++) {
		const struct differs_row *row = &differs.rows[i];

		if (row->used || !strcmp(row->file, "random") || strstr(row->file, ".test"))
			continue;
		printf("# %s %s: the verdicts do not differ\n", row->file, row->program);
		good = false;
	}
	printf("%s %u - every listed difference is one\n", good ? "ok" : "not ok", number);
	return good;
}

int main(int argc, char **argv)
{
	struct tally total = {0};
	bool good = true;
	unsigned files = (unsigned)argc - 2;

	if (argc < 3 || !differs_open(&differs, argv[1])) {
		printf("Bail out! usage: kernel_selftests DIFFERS OBJECT...\n");
		return 1;
	}
	verbose = getenv("BPFORT_TEST_VERBOSE") != NULL;
	libbpf_set_print(quiet);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	for (int i = 2; i < argc; i++)
		good &= one_file(argv[i], (unsigned)i - 1, &total);
	printf("# in all: agree %u, only we reject %u (+ %u: later), only we accept %u, skipped "
	       "%u; %u "
	       "programs run as claimed\n",
	       total.agree, total.stricter, total.later, total.looser, total.skipped, programs_run);
	good &= all_rows_used(files + 1);
	good &= files >= FILES_MIN;
	printf("%s %u - at least %u of the kernel's files compile\n1..%u\n",
	       files >= FILES_MIN ? "ok" : "not ok", files + 2, FILES_MIN, files + 2);
	return good ? 0 : 1;
}
