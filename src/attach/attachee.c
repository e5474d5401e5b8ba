#include "attach/attachee.h"

#include <errno.h>
#include <stdlib.h>

#include "attach/attach.h"
#include "load/package.h"
#include "map/map.h"

/* What travels with a package: load/package.h says in which order. */
static uint32_t list_fds(const struct fort_attach_request *request,
			 const struct fort_store_rings *rings, int fds[FORT_PACKAGE_FDS_MAX])
{
	const struct fort_map *trace = rings->trace, *crashes = rings->crashes;

	fds[FORT_PACKAGE_FD_SHARED] = trace->shared->fd;
	fds[FORT_PACKAGE_FD_TRACE_VALUES] = trace->values_fd;
	fds[FORT_PACKAGE_FD_TRACE_META] = trace->meta_fd;
	fds[FORT_PACKAGE_FD_CRASH_VALUES] = crashes->values_fd;
	fds[FORT_PACKAGE_FD_CRASH_META] = crashes->meta_fd;
	for (uint32_t i = 0; i < request->n_maps; i++) {
		fds[FORT_PACKAGE_FD_MAPS + 2 * i] = request->maps[i]->values_fd;
		fds[FORT_PACKAGE_FD_MAPS + 2 * i + 1] = request->maps[i]->meta_fd;
	}
	return FORT_PACKAGE_FD_MAPS + 2 * request->n_maps;
}

int fort_attachee_load(struct fort_attachee *attachee, const struct fort_attach_request *request,
		       const struct fort_store_rings *rings, uint32_t *number,
		       struct fort_text *why)
{
	int fds[FORT_PACKAGE_FDS_MAX], vacant = -1, err;
	struct fort_span package;
	uint32_t n_fds;

	for (int i = 0; i < (int)FORT_PACKAGES_MAX; i++) {
		if (attachee->load[i].program == request->program) {
			attachee->load[i].users++;
			*number = attachee->load[i].number;
			return 0;
		}
		if (!attachee->load[i].program && vacant < 0)
			vacant = i;
	}
	if (vacant < 0 || request->n_maps > FORT_MAPS_PER_PROG_MAX) {
		fort_reason_add(why, FORT_REASON_FULL, FORT_PACKAGES_MAX);
		return -ENOSPC;
	}
	n_fds = list_fds(request, rings, fds);
	err = fort_road_package(request->program, &package);
	if (err)
		return err;
	err = fort_target_load(attachee->target, package, fds, n_fds, number, why);
	if (err)
		return err;
	attachee->load[vacant].program = request->program;
	attachee->load[vacant].number = *number;
	attachee->load[vacant].users = 1;
	return 0;
}

void fort_attachee_unload(struct fort_attachee *attachee, uint32_t number)
{
	char text[256];
	struct fort_text ignored = fort_text_on(text, sizeof(text));

	for (uint32_t i = 0; i < FORT_PACKAGES_MAX; i++) {
		if (!attachee->load[i].program || attachee->load[i].number != number)
			continue;
		if (--attachee->load[i].users)
			return;
		/* One that still runs, in a thread that is stopped, goes with the agent. */
		attachee->load[i].program = NULL;
		(void)!fort_target_unload(attachee->target, number, &ignored);
		return;
	}
}

void fort_attachee_close(struct fort_attachee *attachee, struct fort_shared *shared)
{
	char text[256];
	struct fort_text ignored = fort_text_on(text, sizeof(text));
	pid_t pid = fort_target_pid(attachee->target);

	/* After execve the process lives on as who it was, and its seats would seem taken. */
	if (fort_target_poll(attachee->target) == FORT_TARGET_REPLACED)
		fort_shared_evict(shared, (uint32_t)pid);
	(void)fort_target_close(attachee->target, &ignored);
	free(attachee);
}
