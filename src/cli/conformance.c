#include "cli/conformance.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/conformance_elf.h"
#include "cli/conformance_run.h"

struct request {
	const char *mem, *program; /* hex, or NULL */
	bool elf, help;
	const struct fort_engine *engine;
	enum fort_isolation isolation;
	enum fort_profile profile;
};

static const char usage[] =
	"usage: bpfort-conformance-plugin [MEM] [--engine interp|x64] [--isolation "
	"none|sfi-store|sfi]\n"
	"                                 [--profile isa|kernel] [--elf | --program HEX]\n"
	"Runs the program on standard input with MEM (hex bytes) as context; prints r0 in hex.\n";

/* --- arguments --- */

static int set_option(struct request *request, const char *name, const char *value,
		      struct fort_text *message)
{
	int err = 0;

	if (!strcmp(name, "--program"))
		request->program = value;
	else if (!strcmp(name, "--engine"))
		err = (request->engine = fort_engine_by_name(value)) ? 0 : -EINVAL;
	else if (!strcmp(name, "--isolation"))
		err = fort_isolation_by_name(value, &request->isolation);
	else if (!strcmp(name, "--profile"))
		err = fort_profile_by_name(value, &request->profile);
	else {
		fort_text_add(message, "%s: unknown option", name);
		return -EINVAL;
	}
	if (err)
		fort_text_add(message, "%s: unknown value '%s'", name, value);
	return err;
}

static int parse_arguments(int argc, char **argv, struct request *request,
			   struct fort_text *message)
{
	for (int i = 1; i < argc; i++) {
		int err;

		if (!strcmp(argv[i], "--elf"))
			request->elf = true;
		else if (!strcmp(argv[i], "--help"))
			request->help = true;
		else if (!strncmp(argv[i], "--", 2)) {
			if (i + 1 == argc) {
				fort_text_add(message, "%s: expected a value or known option",
					      argv[i]);
				return -EINVAL;
			}
			err = set_option(request, argv[i], argv[i + 1], message);
			if (err)
				return err;
			i++;
		} else if (!request->mem) {
			request->mem = argv[i];
		} else {
			fort_text_add(message, "argument %d: expected an option after MEM", i);
			return -EINVAL;
		}
	}
	if (!fort_engine_has(request->engine, request->isolation)) {
		fort_text_add(message, "--isolation: engine %s does not have '%s'",
			      request->engine->name, fort_isolation_name(request->isolation));
		return -EINVAL;
	}
	return 0;
}

/* --- hex --- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* Bytes of two digits, with spaces between, up to the end or a line end that is the end. */
static int parse_hex(struct fort_span text, const char *what, struct fort_buf *out,
		     struct fort_text *message)
{
	const char *expected = NULL;
	size_t i = 0;

	while (i < text.bytes && !expected) {
		int high = hex_digit(text.data[i]);
		int low = i + 1 < text.bytes ? hex_digit(text.data[i + 1]) : -1;

		if (text.data[i] == ' ') {
			i++;
		} else if (text.data[i] == '\n') {
			if (++i < text.bytes)
				expected = "the end of the input after the line";
		} else if (high < 0 || low < 0) {
			expected = "two hex digits";
		} else {
			fort_buf_u8(out, (uint8_t)(high << 4 | low));
			i += 2;
			if (i < text.bytes && text.data[i] != ' ' && text.data[i] != '\n')
				expected = "a space between bytes";
		}
	}
	if (expected) {
		fort_text_add(message, "%s: offset %zu: expected %s", what, i, expected);
		return -EINVAL;
	}
	if (out->err == -EFBIG)
		fort_text_add(message, "%s: more than %zu bytes", what, out->limit_bytes);
	return out->err;
}

static struct fort_span span_of(const char *string)
{
	return (struct fort_span){(const uint8_t *)string, strlen(string)};
}

/* --- the program --- */

static int read_input(struct fort_buf *out, struct fort_text *message)
{
	for (;;) {
		uint8_t chunk[64 << 10];
		ssize_t bytes = read(STDIN_FILENO, chunk, sizeof(chunk));

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes < 0) {
			int err = -errno;

			fort_text_add(message, "standard input: %s", strerror(-err));
			return err;
		}
		if (!bytes)
			return 0;
		fort_buf_put(out, chunk, (size_t)bytes);
		if (out->err == -EFBIG)
			fort_text_add(message, "standard input: more than %zu bytes",
				      out->limit_bytes);
		if (out->err)
			return out->err;
	}
}

/* The program's bytes, aligned, as a whole number of slots. */
static int read_program(const struct request *request, struct fort_buf *program,
			struct fort_text *message)
{
	struct fort_buf input FORT_CLEANUP(fort_buf_free);
	struct fort_span span;
	int err = 0;

	fort_buf_init(&input, FORT_PLUGIN_INPUT_BYTES_MAX);
	if (!request->program)
		err = read_input(&input, message);
	if (err)
		return err;
	span = request->program ? span_of(request->program)
				: (struct fort_span){input.data, input.bytes};
	if (request->elf) {
		err = fort_conformance_elf(span, &span, message);
		if (err)
			return err;
		fort_buf_put(program, span.data, span.bytes);
		if (program->err == -EFBIG)
			fort_text_add(message, "program: more than %zu bytes",
				      program->limit_bytes);
		err = program->err;
	} else {
		err = parse_hex(span, "program", program, message);
	}
	if (!err && (!program->bytes || program->bytes % sizeof(struct fort_raw_insn))) {
		fort_text_add(message, "program: %zu bytes are not a number of 8-byte slots",
			      program->bytes);
		err = -EINVAL;
	}
	return err;
}

static int run_request(const struct request *request, uint64_t *r0, struct fort_text *message)
{
	struct fort_buf program FORT_CLEANUP(fort_buf_free);
	struct fort_buf mem FORT_CLEANUP(fort_buf_free);
	struct fort_trial trial = {
		.engine = request->engine,
		.isolation = request->isolation,
		.profile = request->profile,
		.fuel = FORT_FUEL_DEFAULT,
	};
	struct fort_abort abort;
	int err = 0;

	fort_buf_init(&program, FORT_PROG_INSNS_MAX * sizeof(struct fort_raw_insn));
	fort_buf_init(&mem, FORT_PLUGIN_MEM_BYTES_MAX);
	if (request->mem)
		err = parse_hex(span_of(request->mem), "memory", &mem, message);
	if (!err)
		err = read_program(request, &program, message);
	if (err)
		return err;
	trial.insns = (const struct fort_raw_insn *)program.data;
	trial.n_insns = (uint32_t)(program.bytes / sizeof(struct fort_raw_insn));
	trial.mem = mem.data;
	trial.mem_bytes = (uint32_t)mem.bytes;
	return fort_trial_run(&trial, r0, &abort, message);
}

/* --- what must end the process from outside of the program --- */

static void end_on_signal(int number)
{
	static const char late[] = "time limit reached\n";
	static const char fault[] = "memory fault: the isolation does not confine this access\n";
	ssize_t written = number == SIGALRM ? write(STDERR_FILENO, late, sizeof(late) - 1)
					    : write(STDERR_FILENO, fault, sizeof(fault) - 1);

	(void)written;
	_exit(1);
}

static void guard_process(void)
{
	signal(SIGALRM, end_on_signal);
	signal(SIGSEGV, end_on_signal);
	signal(SIGBUS, end_on_signal);
	alarm(FORT_PLUGIN_SECONDS);
}

int bpfort_conformance_main(int argc, char **argv)
{
	struct request request = {
		.engine = fort_engines[0],
		.isolation = FORT_ISOLATION_SFI,
	};
	char array[512];
	struct fort_text message = fort_text_on(array, sizeof(array));
	uint64_t r0 = 0;
	int err = parse_arguments(argc, argv, &request, &message);

	if (!err && request.help) {
		fputs(usage, stdout);
		return 0;
	}
	guard_process();
	if (!err)
		err = run_request(&request, &r0, &message);
	if (err) {
		fprintf(stderr, "%s\n", message.length ? message.data : strerror(-err));
		return 1;
	}
	printf("0x%" PRIx64 "\n", r0);
	return fflush(stdout) ? 1 : 0;
}
