#include "cli/tryout.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/choose.h"
#include "cli/verdict.h"

/* Rooms that the store never writes past. */
#define DATA_ROOM FORT_TEST_DATA_BYTES
#define CTX_ROOM  (64u << 10)

/* --- files --- */

static int fail(struct fort_tryout *s, int err, const char *what)
{
	fort_text_add(s->why, "%s: %s", what, strerror(-err));
	return err;
}

static int read_file(struct fort_tryout *s, const char *path, struct fort_buf *out)
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

static int write_file(struct fort_tryout *s, const char *path, const uint8_t *data, size_t bytes)
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

static int load(struct fort_tryout *s)
{
	struct fort_loading loading;
	int err = fort_file_open(&s->file, s->front, &s->log, &s->object, s->why);

	if (err)
		return err;
	s->prog = fort_program_find(s->object, s->request->name, s->why);
	if (!s->prog)
		return -ENOENT;
	fort_program_load(s->front, s->object, s->prog, &loading);
	if (loading.err) {
		s->rejected = loading.reached;
		fort_verdict_explain(bpf_program__name(s->prog), &loading,
				     fort_front_words(s->front), true, s->why);
	}
	return loading.err;
}

/* Packets for those that take one; a context for those that have one and no packet. */
static int test(struct fort_tryout *s)
{
	const struct fort_tryout_request *request = s->request;
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
	err = bpf_prog_test_run_opts(bpf_program__fd(s->prog), &opts);
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

static int make_rooms(struct fort_tryout *s)
{
	const struct fort_tryout_request *request = s->request;
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

int fort_tryout_run(struct fort_tryout *s)
{
	int err = make_rooms(s);

	err = err ? err : fort_file_read(s->request->file, &s->file, s->why);
	if (err)
		return err;
	err = fort_front_open(&s->front);
	err = err ? err : fort_log_room_open(&s->log, FORT_LOG_STATS);
	if (err)
		return fail(s, err, "bpfort");
	err = fort_choose_engine(s->front, s->request->engine, s->request->isolation, s->why);
	err = err ? err : load(s);
	return err ? err : test(s);
}

int fort_tryout_run_counting(struct fort_tryout *s)
{
	struct fort_store *store = fort_front_store(s->front);
	enum fort_isolation isolation = fort_store_isolation(store);
	int err;

	bpf_object__close(s->object);
	s->object = NULL;
	if (!(fort_engine_interp.isolations & 1u << isolation))
		isolation = FORT_ISOLATION_SFI;
	err = fort_store_set_engine(store, &fort_engine_interp, isolation);
	if (err)
		return fail(s, err, "the interpreter");
	fort_store_set_counting(store, true);
	err = load(s);
	return err ? err : test(s);
}

void fort_tryout_end(struct fort_tryout *s)
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
