/* bpfort prog run file: a test run of one program of an object, as BPF_PROG_TEST_RUN does it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "base/buf.h"
#include "cli/verb.h"
#include "cli/verdict.h"

struct request {
	const char *file, *name, *data_in, *ctx_in, *data_out, *ctx_out, *engine, *isolation;
	uint64_t repeat;
	bool json;
};

/* Rooms that the store never writes past. */
#define DATA_ROOM FORT_TEST_DATA_BYTES
#define CTX_ROOM  (64u << 10)

struct session {
	const struct request *request;
	struct fort_file file;
	struct fort_front *front;
	struct fort_log_room log;
	struct bpf_object *object;
	struct fort_buf data, ctx, data_out, ctx_out;
	struct fort_text *why;
	struct fort_test_result result;
	bool rejected; /* `why` says why the program was */
};

/* --- files --- */

static int fail(struct session *s, int err, const char *what)
{
	fort_text_add(s->why, "%s: %s", what, strerror(-err));
	return err;
}

static int read_file(struct session *s, const char *path, struct fort_buf *out)
{
	int fd = !strcmp(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	int err = fd < 0 ? -errno : 0;

	while (!err && !out->err) {
		uint8_t chunk[64 << 10];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		fort_buf_put(out, chunk, (size_t)n);
	}
	if (fd >= 0)
		close(fd);
	err = err ? err : out->err;
	return err ? fail(s, err, path) : 0;
}

static int write_file(struct session *s, const char *path, const uint8_t *data, size_t bytes)
{
	FILE *file = !strcmp(path, "-") ? fdopen(dup(STDOUT_FILENO), "w") : fopen(path, "w");
	int err = file ? 0 : -errno;

	if (file && fwrite(data, 1, bytes, file) != bytes)
		err = -EIO;
	if (file && fclose(file))
		err = -errno;
	return err ? fail(s, err, path) : 0;
}

/* --- the run --- */

static int choose_engine(struct session *s)
{
	const struct request *request = s->request;
	struct fort_store *store = fort_front_store(s->front);
	const struct fort_engine *engine = fort_store_engine(store);
	enum fort_isolation isolation = fort_store_isolation(store);

	if (request->engine)
		engine = fort_engine_by_name(request->engine);
	if (!engine) {
		fort_text_add(s->why, "engine '%s': there is", request->engine);
		for (size_t i = 0; fort_engines[i]; i++)
			fort_text_add(s->why, " %s", fort_engines[i]->name);
		return -EINVAL;
	}
	if (request->isolation && fort_isolation_by_name(request->isolation, &isolation)) {
		fort_text_add(s->why, "isolation '%s': there is", request->isolation);
		for (unsigned i = 0; i < FORT_ISOLATIONS; i++)
			fort_text_add(s->why, " %s", fort_isolation_name(i));
		return -EINVAL;
	}
	if (fort_store_set_engine(store, engine, isolation)) {
		fort_text_add(s->why, "engine %s does not have isolation '%s'", engine->name,
			      fort_isolation_name(isolation));
		return -EINVAL;
	}
	return 0;
}

static int load(struct session *s, struct bpf_program **prog)
{
	struct fort_loading loading;
	int err = fort_file_open(&s->file, s->front, &s->log, &s->object, s->why);

	if (err)
		return err;
	*prog = fort_program_find(s->object, s->request->name, s->why);
	if (!*prog)
		return -ENOENT;
	fort_program_load(s->front, s->object, *prog, &loading);
	if (loading.err) {
		s->rejected = loading.reached;
		fort_verdict_explain(*prog, &loading, fort_front_words(s->front), true, s->why);
	}
	return loading.err;
}

/* Packets for those that take one; a context for those that have one and no packet. */
static int test(struct session *s, const struct bpf_program *prog)
{
	const struct request *request = s->request;
	struct fort_test_result result;
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err;

	if (request->repeat > 1) /* some types take none */
		opts.repeat = (int)request->repeat;
	if (request->data_in) {
		opts.data_in = s->data.data;
		opts.data_size_in = (uint32_t)s->data.bytes;
		opts.data_out = s->data_out.data;
		opts.data_size_out = DATA_ROOM;
	}
	if (request->ctx_in) {
		opts.ctx_in = s->ctx.data;
		opts.ctx_size_in = (uint32_t)s->ctx.bytes;
		opts.ctx_out = request->ctx_out ? s->ctx_out.data : NULL;
		opts.ctx_size_out = request->ctx_out ? CTX_ROOM : 0;
	}
	err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);
	result = *fort_store_last_run(fort_front_store(s->front));
	if (err && !result.abort.code) {
		fort_text_add(s->why, "the run was refused: %s", strerror(-err));
		if (err == -EINVAL)
			fort_text_add(s->why, ": check data_in (a packet has at least 14 bytes) and"
					      " ctx_in (the type's struct of linux/bpf.h)");
		return err;
	}
	s->result = result;
	if (!err && request->data_out)
		err = write_file(s, request->data_out, opts.data_out, opts.data_size_out);
	if (!err && request->ctx_out && request->ctx_in)
		err = write_file(s, request->ctx_out, opts.ctx_out, opts.ctx_size_out);
	return result.abort.code ? 0 : err;
}

static int make_rooms(struct session *s)
{
	const struct request *request = s->request;
	int err = 0;

	fort_buf_init(&s->data, DATA_ROOM);
	fort_buf_init(&s->ctx, CTX_ROOM);
	if (request->data_in)
		err = read_file(s, request->data_in, &s->data);
	if (!err && request->ctx_in)
		err = read_file(s, request->ctx_in, &s->ctx);
	s->data_out.data = calloc(1, DATA_ROOM);
	s->ctx_out.data = calloc(1, CTX_ROOM);
	if (!err && (!s->data_out.data || !s->ctx_out.data))
		err = fail(s, -ENOMEM, "rooms for results");
	return err;
}

static int run_session(struct session *s)
{
	struct bpf_program *prog;
	int err = make_rooms(s);

	err = err ? err : fort_file_read(s->request->file, &s->file, s->why);
	if (err)
		return err;
	err = fort_front_open(&s->front);
	err = err ? err : fort_log_room_open(&s->log, FORT_LOG_STATS);
	if (err)
		return fail(s, err, "bpfort");
	err = choose_engine(s);
	err = err ? err : load(s, &prog);
	return err ? err : test(s, prog);
}

static void end_session(struct session *s)
{
	if (s->object)
		bpf_object__close(s->object);
	fort_front_close(s->front);
	fort_log_room_close(&s->log);
	fort_file_close(&s->file);
	fort_buf_free(&s->data);
	fort_buf_free(&s->ctx);
	free(s->data_out.data);
	free(s->ctx_out.data);
}

/* --- results --- */

static json_t *abort_json(const struct fort_abort *abort)
{
	json_t *object;

	if (!abort->code)
		return json_null();
	object = json_pack("{s:s, s:o}", "reason", fort_abort_name(abort->code), "insn",
			   fort_json_number(abort->pc));
	if (abort->code == FORT_ABORT_MEMORY) {
		json_object_set_new(object, "address", fort_json_number(abort->address));
		json_object_set_new(object, "bytes", fort_json_number(abort->bytes));
	}
	if (abort->detail)
		json_object_set_new(object, "detail", fort_json_number(abort->detail));
	return object;
}

static void print_json(const struct session *s)
{
	const struct fort_store *store = fort_front_store(s->front);
	const struct fort_test_result *result = &s->result;

	fort_json_print(json_pack("{s:o, s:o, s:o, s:s, s:s, s:o}", "retval",
				  fort_json_number(result->retval), "ns_per_run",
				  fort_json_number(result->duration_ns), "repeat",
				  fort_json_number(s->request->repeat), "engine",
				  fort_store_engine(store)->name, "isolation",
				  fort_isolation_name(fort_store_isolation(store)), "aborted",
				  abort_json(&result->abort)));
}

static void print_text(const struct session *s)
{
	const struct fort_test_result *result = &s->result;

	if (result->abort.code)
		printf("aborted at instruction %u (%s) in run %u\n", result->abort.pc,
		       fort_abort_name(result->abort.code), result->runs);
	else
		printf("Return value: %u, duration%s: %uns\n", result->retval,
		       s->request->repeat > 1 ? " (average)" : "", result->duration_ns);
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {.repeat = 1};
	struct fort_text why = fort_text_new();
	struct session s = {.request = &request, .file.fd = -1, .why = &why};
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status < 0) {
		status = run_session(&s) ? fort_verb_fail(request.json, "%s", why.data)
					 : FORT_EXIT_YES;
		if (s.rejected)
			status = FORT_EXIT_NO;
		if (status == FORT_EXIT_YES) {
			(request.json ? print_json : print_text)(&s);
			status = s.result.abort.code ? FORT_EXIT_NO : FORT_EXIT_YES;
		}
	}
	end_session(&s);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, member)
static const struct fort_option options[] = {
	{"name", "PROG", "the program; may be left out if there is only one", FORT_OPTION_TEXT,
	 AT(name)},
	{"data_in", "FILE", "the packet; - is standard input", FORT_OPTION_TEXT, AT(data_in)},
	{"data_out", "FILE", "where to write the packet as the program left it", FORT_OPTION_TEXT,
	 AT(data_out)},
	{"ctx_in", "FILE", "the context: struct xdp_md, __sk_buff, arguments", FORT_OPTION_TEXT,
	 AT(ctx_in)},
	{"ctx_out", "FILE", "where to write the context as the program left it", FORT_OPTION_TEXT,
	 AT(ctx_out)},
	{"repeat", "N", "run N times, and print the average", FORT_OPTION_NUMBER, AT(repeat), 1,
	 FORT_TEST_REPEAT_MAX},
	{"engine", "E", "what runs it; `bpfort doctor` lists engines and their isolation",
	 FORT_OPTION_TEXT, AT(engine)},
	{"isolation", "I", "what confines it: sfi, sfi-store (stores only), or none",
	 FORT_OPTION_TEXT, AT(isolation)},
	{"--json", NULL, "print {\"retval\", \"ns_per_run\", \"repeat\", \"engine\", ...}",
	 FORT_OPTION_FLAG, AT(json)},
};

const struct fort_verb fort_verb_prog_run = {
	.words = {"prog", "run", "file"},
	.summary = "Run a program of an object on data from files.",
	.operand = "FILE.o",
	.operand_at = AT(file),
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Exit status: 0 it ran, 1 it was rejected or aborted, 2 it could not be tried.\n",
	.run = run,
};
