/* A road that verifies nothing: accepts every program, remembers what it was asked, and answers
 * test runs with what the test put there. For tests of what the store does around it.
 */
#include "recording_road.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct recording recording;

int fort_road_load(const struct fort_road_request *request, struct fort_load_report *report,
		   struct fort_road_program **out)
{
	recording.loads++;
	recording.request = *request;
	memcpy(recording.name, request->name, sizeof(recording.name));
	memcpy(recording.insns, request->insns,
	       (request->n_insns < 64 ? request->n_insns : 64) * sizeof(*recording.insns));
	if (recording.say)
		fort_log_add(request->log, "%s", recording.say);
	report->verdict = recording.load_result ? FORT_LOAD_REJECTED : FORT_LOAD_ACCEPTED;
	report->insns_processed = request->n_insns;
	if (recording.load_result)
		return recording.load_result;
	*out = calloc(1, 1);
	return *out ? 0 : -ENOMEM;
}

void fort_road_unload(struct fort_road_program *loaded)
{
	recording.unloads++;
	free(loaded);
}

int fort_road_test_run(struct fort_road_program *loaded, const struct fort_test_request *request,
		       struct fort_test_result *result)
{
	(void)loaded;
	recording.runs++;
	recording.test = *request;
	*result = recording.test_result;
	if (request->data_out && recording.data_out)
		memcpy(request->data_out, recording.data_out, result->data_out_bytes);
	if (request->ctx_out && request->ctx_in)
		memcpy(request->ctx_out, request->ctx_in, request->ctx_in_bytes);
	return recording.run_error;
}

const struct fort_loaded *fort_road_loaded(const struct fort_road_program *program)
{
	return NULL; /* nothing runs */
}

int fort_road_package(struct fort_road_program *program, struct fort_span *out)
{
	(void)program;
	(void)out;
	return -ENOMEM;
}

int fort_road_join(struct fort_road_program *program, struct fort_area *area, uint32_t id)
{
	return -EOPNOTSUPP; /* nothing runs */
}

int fort_road_rejoin(struct fort_road_program *program)
{
	return 0;
}

const struct fort_tail *fort_road_tail(const struct fort_road_program *program)
{
	return NULL;
}
