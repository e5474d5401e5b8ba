/* A tryout: test runs of one program of an object, on data from files, as BPF_PROG_TEST_RUN does
 * them.
 */
#pragma once

#include "base/buf.h"
#include "cli/choose.h"
#include "cli/object.h"

struct fort_tryout_request {
	const char *file, *name, *data_in, *ctx_in, *data_out, *ctx_out, *engine, *isolation;
	uint64_t repeat;
};

/* Zeroed, but for `request`, `why` and file.fd = -1. */
struct fort_tryout {
	const struct fort_tryout_request *request;
	struct fort_file file;
	struct fort_front *front;
	struct fort_log_room log;
	struct bpf_object *object;
	struct bpf_program *prog;
	struct fort_buf data, ctx, data_out, ctx_out;
	struct fort_text *why;
	struct fort_test_result result;
	bool rejected; /* `why` says why the program was */
};

/* Loads the program, and runs it as often as asked. Returns 0, also when runs were aborted (which
 * the result says), or a negative errno with why. */
FORT_CHECKED int fort_tryout_run(struct fort_tryout *trial);
/* The same again, after it: loaded anew, and by the interpreter, which counts. */
FORT_CHECKED int fort_tryout_run_counting(struct fort_tryout *trial);
void fort_tryout_end(struct fort_tryout *trial);

/* Options that every verb with a tryout has; `at` gives the offset of a member of the request. */
#define FORT_TRYOUT_INPUTS(at)                                                                  \
	{"name", "PROG", "the program; may be left out if there is only one", FORT_OPTION_TEXT, \
	 at(name)},                                                                             \
		{"data_in", "FILE", "the packet; - is standard input", FORT_OPTION_TEXT,        \
		 at(data_in)},                                                                  \
		{"ctx_in", "FILE", "the context: struct xdp_md, __sk_buff, arguments",          \
		 FORT_OPTION_TEXT, at(ctx_in)},                                                 \
		FORT_OPTION_ENGINE(at(engine)), FORT_OPTION_ISOLATION(at(isolation))
