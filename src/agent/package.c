/* Packages of BPF programs: checked again here, compiled, and run in the target's threads.
 *
 * All packages of one loader share its table of epochs (map/shared.h), in which each run slot takes
 * a seat of its own when it first runs something. A seat is given up when its run was abandoned, so
 * that locks it held are broken.
 */
#include "agent/program.h"

#include <asm/stat.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/notice.h"
#include "abi/uapi.h"
#include "base/pages.h"
#include "base/sys.h"
#include "helper/services.h"
#include "helper/trace.h"
#include "load/loaded.h"
#include "load/package.h"
#include "proof/check.h"

#define HOMES_MAX 4u /* loaders share no agent; one may have several stores */

/* What the packages of one store have in common. */
struct home {
	uint64_t device, inode; /* of the table of epochs */
	uint32_t users;         /* packages; 0: free */
	struct fort_shared *shared;
	struct {
		struct fort_services services;
		bool ready;
	} slot[FORT_RUN_SLOTS];
};

struct fort_package {
	struct home *home;
	struct fort_loaded *loaded;
	struct fort_map *maps[FORT_MAPS_PER_PROG_MAX], *trace, *crashes;
	uint32_t n_maps;
	/* Programs do not read our own memory by probe_read. */
	struct fort_range ranges[FORT_MAPS_PER_PROG_MAX + 4];
	struct fort_host host;
	struct fort_run run[FORT_RUN_SLOTS];
};

static struct home homes[HOMES_MAX];

/* A descriptor of our own: those of the message are closed after the request. */
static int take_fd(int fd)
{
	return (int)fort_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
}

static int open_home(struct home *home, int fd, const struct stat *stat)
{
	int own = take_fd(fd), err;

	if (own < 0)
		return own;
	err = fort_shared_open(own, &home->shared);
	if (err) {
		fort_sys1(SYS_close, own);
		return err;
	}
	home->device = stat->st_dev;
	home->inode = stat->st_ino;
	return 0;
}

static int find_home(int fd, struct home **out)
{
	struct home *vacant = NULL;
	struct stat stat;
	int err = (int)fort_sys2(SYS_fstat, fd, (long)&stat);

	if (err)
		return err;
	for (uint32_t i = 0; i < HOMES_MAX; i++) {
		struct home *home = &homes[i];

		if (!home->users) {
			vacant = home;
		} else if (home->device == stat.st_dev && home->inode == stat.st_ino) {
			*out = home;
			home->users++;
			return 0;
		}
	}
	err = vacant ? open_home(vacant, fd, &stat) : -ENOSPC;
	if (err)
		return err;
	vacant->users = 1;
	*out = vacant;
	return 0;
}

/* A run slot gives up its seat. */
static void stand_up(struct home *home, uint32_t slot)
{
	if (home->slot[slot].ready)
		fort_services_end(&home->slot[slot].services);
	home->slot[slot].ready = false;
}

static void leave_home(struct home *home)
{
	if (!home || --home->users)
		return;
	for (uint32_t i = 0; i < FORT_RUN_SLOTS; i++)
		stand_up(home, i);
	fort_shared_close(home->shared);
	home->shared = NULL;
}

/* A ring that all programs of a store write to. */
typedef int ring_opener(int values_fd, int meta_fd, struct fort_shared *shared,
			struct fort_map **out);

/* Opens one map from two descriptors that stay the caller's. */
static int open_map(const struct fort_map_shape *shape, ring_opener *open, const int fds[2],
		    struct fort_shared *shared, struct fort_map **out)
{
	int own[2] = {take_fd(fds[0]), take_fd(fds[1])}, err;

	if (own[0] < 0 || own[1] < 0)
		err = own[0] < 0 ? own[0] : own[1];
	else if (shape)
		err = fort_map_open(shape, own[0], own[1], shared, out);
	else
		err = open(own[0], own[1], shared, out);
	for (int i = 0; err && i < 2; i++)
		if (own[i] >= 0)
			fort_sys1(SYS_close, own[i]);
	return err;
}

static int open_maps(struct fort_package *package, const struct fort_package_view *view,
		     const int *fds, struct fort_answer *answer)
{
	struct fort_shared *shared = package->home->shared;
	int err = open_map(NULL, fort_trace_open, fds + FORT_PACKAGE_FD_TRACE_VALUES, shared,
			   &package->trace);

	if (!err)
		err = open_map(NULL, fort_crash_ring_open, fds + FORT_PACKAGE_FD_CRASH_VALUES,
			       shared, &package->crashes);
	for (uint32_t i = 0; i < view->unit.n_maps && !err; i++) {
		err = open_map(&view->unit.maps[i], NULL, fds + FORT_PACKAGE_FD_MAPS + 2 * i,
			       shared, &package->maps[i]);
		if (!err)
			package->n_maps++;
		answer->detail = i;
	}
	if (err)
		answer->reason = FORT_REASON_MAP;
	return err;
}

static void hide(struct fort_package *package, const void *start, uint64_t bytes)
{
	uint64_t address = (uint64_t)(uintptr_t)start;

	package->ranges[package->host.n_ranges++] = (struct fort_range){address, address + bytes};
}

static void open_host(struct fort_package *package)
{
	struct fort_shared *shared = package->home->shared;

	fort_host_init(&package->host, shared, package->trace);
	package->host.ranges = package->ranges;
	package->host.crashes = package->crashes;
	hide(package, (const void *)(uintptr_t)fort_agent.boot.image, fort_agent.boot.bytes);
	hide(package, shared->table, sizeof(*shared->table));
	hide(package, package->trace->meta, package->trace->meta_bytes);
	hide(package, package->crashes->meta, package->crashes->meta_bytes);
	for (uint32_t i = 0; i < package->n_maps; i++)
		hide(package, package->maps[i]->meta, package->maps[i]->meta_bytes);
}

static int compile(struct fort_package *package, const struct fort_package_view *view,
		   const struct fort_proven *proven)
{
	const struct fort_load_request request = {
		.proven = proven,
		.maps = package->maps,
		.engine = &fort_engine_interp,
		.isolation = view->isolation,
		.n_slots = FORT_RUN_SLOTS,
		.crash = view->crash,
		.crash_place = view->crash_place,
		.shared = package->home->shared,
		.fuel = view->fuel < FORT_FUEL_DEFAULT ? view->fuel : FORT_FUEL_DEFAULT,
	};

	return fort_loaded_open(&request, &package->loaded);
}

/* The values that the proof takes for constant must be so here: their objects say it. */
static int find_constants(const struct fort_package *package,
			  const struct fort_unit_request *wanted, const uint8_t **constants,
			  struct fort_answer *answer)
{
	for (uint32_t i = 0; i < wanted->n_maps; i++) {
		constants[i] = wanted->maps[i].frozen ? fort_map_constants(package->maps[i]) : NULL;
		if (wanted->maps[i].frozen && !constants[i]) {
			answer->reason = FORT_REASON_MAP;
			answer->detail = i;
			return -EBADMSG;
		}
	}
	return 0;
}

/* Checks the proof, of which nothing is believed, and compiles. */
static int prove(struct fort_package *package, const struct fort_package_view *view,
		 struct fort_answer *answer)
{
	const uint8_t *constants[FORT_MAPS_PER_PROG_MAX];
	struct fort_unit_request wanted = view->unit;
	struct fort_arena arena, work;
	struct fort_unit_error error;
	struct fort_proven proven;
	struct fort_check check;
	struct fort_unit unit;
	int err = find_constants(package, &wanted, constants, answer);

	if (err)
		return err;
	wanted.constants = constants;
	fort_arena_init(&arena, FORT_SEARCH_BYTES_MAX);
	fort_arena_init(&work, FORT_SEARCH_BYTES_MAX);
	err = fort_unit_build(&arena, &wanted, &unit, &error);
	if (!err && !fort_certificate_check(view->certificate, &unit.env, &work, &check, &proven)) {
		err = check.fault == FORT_CHECK_MEMORY ? -ENOMEM : -EACCES;
		answer->reason = FORT_REASON_CERTIFICATE;
		answer->detail = check.fault;
	}
	if (!err)
		err = compile(package, view, &proven);
	fort_arena_free(&work);
	fort_arena_free(&arena);
	return err;
}

static int read_view(struct fort_span bytes, uint32_t n_fds, struct fort_package_view *view,
		     struct fort_answer *answer)
{
	size_t offset = 0;
	int err = fort_package_read(bytes, view, &offset);

	if (!err && n_fds != FORT_PACKAGE_FD_MAPS + 2 * view->unit.n_maps)
		err = -EBADMSG;
	if (err) {
		answer->reason = FORT_REASON_FORM;
		answer->detail = (int64_t)offset;
	} else if (view->unit.hook.prog->number != BPF_PROG_TYPE_KPROBE) {
		answer->reason = FORT_REASON_TYPE;
		answer->detail = view->unit.hook.prog->number;
		err = -EOPNOTSUPP;
	}
	return err;
}

int fort_package_open(const void *package, uint64_t bytes, const int *fds, uint32_t n_fds,
		      struct fort_package **out, struct fort_answer *answer)
{
	const struct fort_span span = {package, bytes};
	struct fort_package_view view;
	struct fort_package *opened;
	void *pages;
	int err = read_view(span, n_fds, &view, answer);

	if (err)
		return err;
	err = fort_pages_alloc(sizeof(*opened), &pages);
	if (err)
		return err;
	opened = pages;
	err = find_home(fds[FORT_PACKAGE_FD_SHARED], &opened->home);
	if (!err)
		err = open_maps(opened, &view, fds, answer);
	if (!err)
		err = prove(opened, &view, answer);
	if (err) {
		fort_package_close(opened);
		return err;
	}
	open_host(opened);
	*out = opened;
	return 0;
}

void fort_package_close(struct fort_package *package)
{
	fort_loaded_close(package->loaded);
	for (uint32_t i = 0; i < package->n_maps; i++)
		fort_map_close(package->maps[i]);
	fort_map_close(package->crashes);
	fort_map_close(package->trace);
	leave_home(package->home);
	fort_pages_free(package, sizeof(*package));
}

bool fort_package_has(const struct fort_package *package, uint32_t program, bool is_return)
{
	return program == 0;
}

/* The slot's services, for the thread that has the slot now: who that is, is asked again. */
static struct fort_services *sit_down(struct fort_package *package, uint32_t slot)
{
	struct home *home = package->home;
	struct fort_services *services = &home->slot[slot].services;

	if (FORT_UNLIKELY(!home->slot[slot].ready)) {
		if (fort_services_init(services, &package->host))
			return NULL;
		home->slot[slot].ready = true;
	}
	services->host = &package->host;
	services->pid_tgid = 0;
	services->knows_uid_gid = false;
	return services;
}

bool fort_package_run(struct fort_package *package, uint32_t program, uint32_t slot,
		      const struct fort_hit *hit, const uint64_t regs[FORT_HIT_REGS])
{
	struct fort_services *services = sit_down(package, slot);
	struct fort_run *run = &package->run[slot];

	if (!services)
		return false;
	memcpy(fort_loaded_ctx(package->loaded, slot), regs, FORT_HIT_REGS * sizeof(regs[0]));
	run->hit = *hit;
	(void)fort_loaded_run(package->loaded, slot, services, run);
	if (FORT_UNLIKELY(run->abort.code) &&
	    (run->abort.code != FORT_ABORT_QUARANTINE || fort_package_is_detached(package)))
		fort_notice_raise();
	return !run->abort.code;
}

bool fort_package_is_detached(const struct fort_package *package)
{
	return package->loaded->crash.actions & FORT_CRASH_DETACH &&
	       fort_loaded_is_stopped(package->loaded);
}

void fort_package_abandon(struct fort_package *package, uint32_t slot)
{
	fort_run_release_all(&package->run[slot]);
	stand_up(package->home, slot);
}
