/* The public library: include/bpfort/bpfort.h on top of the store. */
#include <bpfort/bpfort.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "agent/image.h"
#include "attach/attacher.h"
#include "store/store.h"

struct bpfort {
	struct fort_store *store;
	struct fort_attacher *attacher;
};

/* What the first version of each struct had. */
#define OPTIONS_BYTES_MIN (offsetof(struct bpfort_options, isolation) + sizeof(char *))
#define REPORT_BYTES_MIN  (offsetof(struct bpfort_report, log_tail) + sizeof(char *))

const char *bpfort_version(void)
{
	return FORT_VERSION;
}

static int choose_engine(struct fort_store *store, const struct bpfort_options *options)
{
	const struct fort_engine *engine = fort_store_engine(store);
	enum fort_isolation isolation = fort_store_isolation(store);

	if (!options)
		return 0;
	if (options->size < OPTIONS_BYTES_MIN)
		return -EINVAL;
	if (options->engine)
		engine = fort_engine_by_name(options->engine);
	if (!engine)
		return -EINVAL;
	if (options->isolation && fort_isolation_by_name(options->isolation, &isolation))
		return -EINVAL;
	if (options->size >= sizeof(*options) && options->hide_constants)
		fort_store_set_blinding(store, true);
	return fort_store_set_engine(store, engine, isolation);
}

static int open_store(struct bpfort *store, const struct bpfort_options *options)
{
	struct fort_attacher_options attaching = {.agent = fort_agent_image()};
	struct fort_store_attacher hooks;
	int err = fort_store_create(&store->store);

	err = err ? err : choose_engine(store->store, options);
	if (err)
		return err;
	attaching.rings = fort_store_rings(store->store);
	err = fort_attacher_create(&attaching, &store->attacher);
	if (err)
		return err;
	hooks = fort_attacher_hooks(store->attacher);
	fort_store_set_attacher(store->store, &hooks);
	return 0;
}

int bpfort_open(const struct bpfort_options *options, struct bpfort **out)
{
	struct bpfort *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return -ENOMEM;
	err = open_store(store, options);
	if (err)
		bpfort_close(store);
	else
		*out = store;
	return err;
}

void bpfort_close(struct bpfort *store)
{
	if (!store)
		return;
	/* The attacher detaches everything while maps and programs still exist. */
	if (store->attacher) {
		fort_store_set_attacher(store->store, &(struct fort_store_attacher){0});
		fort_attacher_free(store->attacher);
	}
	fort_store_free(store->store);
	free(store);
}

long bpfort_bpf(struct bpfort *store, int cmd, void *attr, unsigned int size)
{
	return fort_store_bpf(store->store, cmd, attr, size);
}

long bpfort_perf_event_open(struct bpfort *store, const void *attr, int pid, int cpu, int group_fd,
			    unsigned long flags)
{
	return fort_store_perf_event_open(store->store, attr, pid, cpu, group_fd, flags);
}

uint32_t bpfort_uprobe_type(const struct bpfort *store)
{
	return fort_store_uprobe_type(store->store);
}

int bpfort_ioctl(struct bpfort *store, int fd, unsigned long request, unsigned long arg,
		 long *result)
{
	return fort_store_ioctl(store->store, fd, request, arg, result);
}

size_t bpfort_attach_why(struct bpfort *store, char *text, size_t room)
{
	struct fort_text why = fort_text_new();
	size_t length;

	fort_attacher_why(store->attacher, &why);
	length = why.length;
	if (room) {
		size_t kept = length < room ? length : room - 1;

		if (kept)
			memcpy(text, why.data, kept);
		text[kept] = 0;
	}
	fort_text_free(&why);
	return length;
}

int bpfort_last_load(const struct bpfort *store, struct bpfort_report *report)
{
	const struct fort_load_report *load = fort_store_last_load(store->store);
	const struct fort_load_diag *diag = &load->diag;
	struct bpfort_report full = {
		.size = report->size,
		.err = load->err,
		.accepted = load->verdict == FORT_LOAD_ACCEPTED,
		.name = load->name,
		.type = load->type ? load->type->name : "",
		.insns = load->insns,
		.insns_processed = load->insns_processed,
		.states = load->states,
		.peak_states = load->peak_states,
		.certificate_bytes = load->certificate_bytes,
		.verify_ns = load->verify_ns,
		.check_ns = load->check_ns,
		.code = diag->code,
		.title = diag->title,
		.message = diag->message,
		.needed = diag->needed,
		.known = diag->known,
		.hint = diag->hint,
		.insn = diag->place.insn,
		.line = diag->place.line,
		.file = diag->place.file,
		.text = diag->place.text,
		.log_tail = load->log_tail,
	};

	if (report->size < REPORT_BYTES_MIN)
		return -EINVAL;
	memcpy(report, &full, report->size < sizeof(full) ? report->size : sizeof(full));
	return 0;
}

void bpfort_reap(struct bpfort *store)
{
	fort_store_reap(store->store);
}

int bpfort_poll_fd(const struct bpfort *store)
{
	return fort_store_poll_fd(store->store);
}

void bpfort_before_fork(struct bpfort *store)
{
	fort_store_before_fork(store->store);
}

void bpfort_after_fork(struct bpfort *store, int child)
{
	fort_store_after_fork(store->store, child != 0);
}
