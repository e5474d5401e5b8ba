#include "attach/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "attach/sealed.h"

static uint64_t counter(const struct fort_target *target, uint32_t row, uint32_t column)
{
	return __atomic_load_n(&target->counters[(size_t)row * target->probes + column],
			       __ATOMIC_RELAXED);
}

/* What the counters say since the agent came. */
static struct fort_probe_counts read_counts(const struct fort_probe *probe)
{
	struct fort_probe_counts counts = {0};

	for (uint32_t i = 0; i < FORT_RUN_SLOTS; i++)
		counts.hits += counter(probe->target, FORT_ROW_HITS + i, probe->index);
	counts.missed = counter(probe->target,
				probe->is_return ? FORT_ROW_MISSED_RETURN : FORT_ROW_MISSED_ENTRY,
				probe->site);
	counts.aborted = counter(probe->target, FORT_ROW_ABORTED, probe->index);
	return counts;
}

struct fort_probe_counts fort_probe_counts(const struct fort_probe *probe)
{
	struct fort_probe_counts counts = read_counts(probe);

	counts.hits -= probe->base.hits;
	counts.missed -= probe->base.missed;
	counts.aborted -= probe->base.aborted;
	return counts;
}

uint64_t fort_probe_address(const struct fort_probe *probe)
{
	return probe->target->site[probe->site].plan.address;
}

static int find_function(const struct fort_module *module, const struct fort_probe_spec *spec,
			 struct fort_function *out, struct fort_text *why)
{
	uint64_t start;

	if (spec->function)
		return fort_module_by_name(module, spec->function, out, why);
	if (fort_module_of_offset(module, spec->offset, &start)) {
		fort_text_add(why, "file offset %#llx of %s is not in its code",
			      (unsigned long long)spec->offset, module->path);
		return -EINVAL;
	}
	return fort_module_by_start(module, start, out, why);
}

static int free_index(const struct fort_target *target, uint32_t *out, struct fort_text *why)
{
	for (uint32_t i = 0; i < target->probes; i++) {
		if (target->probe[i])
			continue;
		*out = i;
		return 0;
	}
	fort_reason_add(why, FORT_REASON_FULL, target->probes);
	return -ENOSPC;
}

/* Asks the agent to attach; when the code at a known site has changed, plans it once more. */
static int attach(struct fort_probe *probe, const struct fort_probe_spec *spec,
		  const struct fort_module *module, const struct fort_function *function,
		  uint32_t flags, struct fort_text *why)
{
	struct fort_target *target = probe->target;
	struct fort_probe_request request = {.probe = probe->index,
					     .package = spec->package,
					     .program = spec->program,
					     .flags = flags,
					     .cookie = spec->cookie};
	struct fort_answer answer;
	int err = -EBUSY;

	for (int i = 0; i < 2 && err == -EBUSY; i++) {
		char first[256];
		struct fort_text text = fort_text_on(first, sizeof(first));

		err = fort_target_site(target, module, function, FORT_SITE_PROBE, &probe->site,
				       why);
		if (err)
			return err;
		request.site = probe->site;
		probe->base = read_counts(probe);
		err = fort_target_ask(target, FORT_PROBE, &request, NULL, 0, &answer, &text);
		if (err == -EBUSY && answer.reason == FORT_REASON_CHANGED && !i)
			fort_target_forget_site(target, probe->site);
		else if (err)
			fort_text_put(why, text.data, text.length);
		if (err == -EBUSY && answer.reason != FORT_REASON_CHANGED)
			return err;
	}
	return err;
}

int fort_probe_attach(struct fort_target *target, const struct fort_probe_spec *spec,
		      struct fort_probe **out, struct fort_text *why)
{
	struct fort_probe *probe = calloc(1, sizeof(*probe));
	uint32_t flags = spec->is_return ? FORT_PROBE_RETURN : 0;
	struct fort_function function;
	struct fort_module *module;
	bool keep_pending = false;
	int err;

	if (!probe)
		return -ENOMEM;
	probe->target = target;
	probe->is_return = spec->is_return;
	err = free_index(target, &probe->index, why);
	if (!err)
		err = fort_target_module(target, spec->module, &module, why);
	if (!err)
		err = find_function(module, spec, &function, why);
	if (!err && spec->is_return)
		err = fort_target_guard(target, module, &function, &keep_pending, why);
	if (keep_pending)
		flags |= FORT_PROBE_KEEP_PENDING;
	if (!err)
		err = attach(probe, spec, module, &function, flags, why);
	if (err) {
		free(probe);
		return err;
	}
	target->probe[probe->index] = probe;
	*out = probe;
	return 0;
}

int fort_probe_detach(struct fort_probe *probe, struct fort_text *why)
{
	struct fort_target *target = probe->target;
	struct fort_drop drop = {.probe = probe->index};
	struct fort_answer answer;
	int err = 0;

	if (fort_target_poll(target) == FORT_TARGET_OPEN)
		err = fort_target_ask(target, FORT_DROP, &drop, NULL, 0, &answer, why);
	if (err == -EPIPE) /* it has ended meanwhile: so has the probe */
		err = 0;
	target->probe[probe->index] = NULL;
	free(probe);
	return err;
}

int fort_target_load(struct fort_target *target, struct fort_span package, const int *fds,
		     uint32_t n_fds, uint32_t *number, struct fort_text *why)
{
	struct fort_load load = {.package_bytes = package.bytes, .n_fds = n_fds + 1};
	int all[FORT_MESSAGE_FDS_MAX], err;
	struct fort_answer answer;

	if (n_fds >= FORT_MESSAGE_FDS_MAX) {
		fort_reason_add(why, FORT_REASON_FULL, FORT_MESSAGE_FDS_MAX - 1);
		return -E2BIG;
	}
	all[0] = fort_sealed_copy("bpfort-package", package);
	if (all[0] < 0)
		return all[0];
	for (uint32_t i = 0; i < n_fds; i++)
		all[i + 1] = fds[i];
	err = fort_target_ask(target, FORT_LOAD, &load, all, n_fds + 1, &answer, why);
	close(all[0]);
	if (!err)
		*number = (uint32_t)answer.value;
	return err;
}

int fort_target_unload(struct fort_target *target, uint32_t package, struct fort_text *why)
{
	struct fort_unload unload = {.package = package};
	struct fort_answer answer;

	return fort_target_ask(target, FORT_UNLOAD, &unload, NULL, 0, &answer, why);
}
