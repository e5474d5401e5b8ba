#include "engine/run.h"

static const char *const abort_names[FORT_ABORT_CODES] = {
	[FORT_ABORT_NONE] = "none",
	[FORT_ABORT_FUEL] = "fuel",
	[FORT_ABORT_MEMORY] = "memory",
	[FORT_ABORT_HELPER_ARG] = "helper argument",
	[FORT_ABORT_HELPER] = "helper",
	[FORT_ABORT_DEPTH] = "depth",
	[FORT_ABORT_INSN] = "instruction",
	[FORT_ABORT_HELD] = "held",
	[FORT_ABORT_UNWIND] = "unwind",
	[FORT_ABORT_STATE] = "state",
	[FORT_ABORT_TIME] = "time",
	[FORT_ABORT_TRAP] = "trap",
	[FORT_ABORT_QUARANTINE] = "quarantine",
};

const char *fort_abort_name(enum fort_abort_code code)
{
	return code < FORT_ABORT_CODES ? abort_names[code] : "unknown";
}

void fort_run_abort(struct fort_run *run, enum fort_abort_code code, uint32_t detail)
{
	if (run->abort.code)
		return;
	run->abort = (struct fort_abort){.code = code, .detail = detail};
}

bool fort_run_hold(struct fort_run *run, struct fort_held held)
{
	if (run->n_held == FORT_CLEANUPS_MAX) {
		fort_run_abort(run, FORT_ABORT_HELD, 0);
		return false;
	}
	run->held[run->n_held++] = held;
	return true;
}

bool fort_run_unhold(struct fort_run *run, uint64_t address, struct fort_held *out)
{
	uint32_t i = run->n_held;

	/* What the frames hold that a program returns to is not its own. */
	while (i > run->tails.n_held && run->held[i - 1].address != address)
		i--;
	if (i == run->tails.n_held)
		return false;
	*out = run->held[i - 1];
	for (run->n_held--; i <= run->n_held; i++)
		run->held[i - 1] = run->held[i];
	return true;
}

void fort_run_release_to(struct fort_run *run, uint32_t kept)
{
	while (run->n_held > kept) {
		struct fort_held held = run->held[--run->n_held];

		held.release(run, &held);
	}
}

void fort_run_release_all(struct fort_run *run)
{
	fort_run_release_to(run, 0);
}
