#include "agent/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stddef.h>

#include "agent/agent.h"
#include "agent/block.h"
#include "agent/program.h"
#include "agent/site.h"
#include "agent/slot.h"
#include "attach/procfs.h"
#include "base/limits.h"
#include "base/sys.h"

#define QUIESCE_NS 1000000000ull

static struct fort_package *packages[FORT_PACKAGES_MAX];

static void *map_shared(int fd, uint64_t bytes, int rights)
{
	long at = fort_sys6(SYS_mmap, 0, (long)bytes, rights, MAP_SHARED, fd, 0);

	return at < 0 && at >= -4095 ? NULL : (void *)at;
}

/* A file that its owner could shorten would kill the target by SIGBUS; one that it could write
 * could change after it was checked. */
static bool is_sealed(int fd, uint64_t bytes, long wanted)
{
	long seals = fort_sys3(SYS_fcntl, fd, F_GET_SEALS, 0);

	return seals >= 0 && (seals & wanted) == wanted &&
	       fort_sys3(SYS_lseek, fd, 0, 2 /* SEEK_END */) >= (long)bytes;
}

static int start(const struct fort_message *message)
{
	const struct fort_start *request = (const void *)message->body;
	uint64_t bytes = fort_counters_bytes(request->probes);
	char path[FORT_PATH_BYTES];
	int err;

	if (fort_agent.counters || message->n_fds != 2 || !request->probes ||
	    request->probes > FORT_PROBES_MAX || !is_sealed(message->fds[1], bytes, F_SEAL_SHRINK))
		return -EINVAL;
	fort_agent.proc_fd = (int)fort_sys3(SYS_fcntl, message->fds[0], F_DUPFD_CLOEXEC, 0);
	if (fort_agent.proc_fd < 0)
		return fort_agent.proc_fd;
	fort_procfs_task_path(path, fort_agent.tid, "mem");
	fort_agent.mem_fd =
		(int)fort_sys4(SYS_openat, fort_agent.proc_fd, (long)path, O_RDWR | O_CLOEXEC, 0);
	if (fort_agent.mem_fd < 0)
		return fort_agent.mem_fd;
	err = fort_sites_open(request->probes);
	if (err)
		return err;
	fort_agent.probes = request->probes;
	fort_agent.counters = map_shared(message->fds[1], bytes, PROT_READ | PROT_WRITE);
	if (!fort_agent.counters)
		return -ENOMEM;
	*fort_agent.live = 1;
	return 0;
}

static int load(const struct fort_message *message, struct fort_answer *answer)
{
	const struct fort_load *request = (const void *)message->body;
	uint32_t number = 0;
	void *bytes;
	int err;

	while (number < FORT_PACKAGES_MAX && packages[number])
		number++;
	if (number == FORT_PACKAGES_MAX) {
		answer->reason = FORT_REASON_FULL;
		answer->detail = FORT_PACKAGES_MAX;
		return -ENOSPC;
	}
	if (!message->n_fds || request->n_fds != message->n_fds || !request->package_bytes ||
	    !is_sealed(message->fds[0], request->package_bytes, F_SEAL_SHRINK | F_SEAL_WRITE))
		return -EINVAL;
	bytes = map_shared(message->fds[0], request->package_bytes, PROT_READ);
	if (!bytes)
		return -ENOMEM;
	err = fort_package_open(bytes, request->package_bytes, message->fds + 1, message->n_fds - 1,
				&packages[number], answer);
	fort_sys2(SYS_munmap, (long)bytes, (long)request->package_bytes);
	if (err && !answer->reason) {
		answer->reason = FORT_REASON_PACKAGE;
		answer->detail = -err;
	}
	answer->value = number;
	return err;
}

static struct fort_package *package_at(uint32_t number)
{
	return number < FORT_PACKAGES_MAX ? packages[number] : NULL;
}

static int unload(const struct fort_unload *request, struct fort_answer *answer)
{
	struct fort_package *package = package_at(request->package);

	if (!package)
		return -EINVAL;
	if (fort_sites_use(package) || !fort_slot_quiesce(QUIESCE_NS)) {
		answer->reason = FORT_REASON_IN_USE;
		return -EBUSY;
	}
	packages[request->package] = NULL;
	fort_package_close(package);
	return 0;
}

static int probe(const struct fort_probe_request *request, struct fort_answer *answer)
{
	struct fort_package *package = package_at(request->package);

	bool is_return = request->flags & FORT_PROBE_RETURN;

	if (!package || !fort_package_has(package, request->program, is_return))
		return -EINVAL;
	if (request->flags & FORT_PROBE_KEEP_PENDING)
		fort_agent.keep_pending = true;
	return fort_probe_add(request, package, answer);
}

static int guard(const struct fort_guard *request, struct fort_answer *answer)
{
	struct fort_site *site = fort_site_at(request->site);

	if (!site || site->plan.kind != FORT_SITE_UNWINDER)
		return -EINVAL;
	return fort_site_guard(site, answer);
}

void fort_serve_crashes(void)
{
	for (uint32_t i = 0; i < FORT_PACKAGES_MAX; i++)
		if (packages[i] && fort_package_is_detached(packages[i]))
			fort_sites_drop(packages[i]);
}

void fort_serve_release(void)
{
	__atomic_store_n(&fort_agent_parked, 0, __ATOMIC_SEQ_CST);
	fort_sys3(SYS_futex, (long)&fort_agent_parked, 129 /* FUTEX_WAKE_PRIVATE */, 1);
}

static int dispatch(const struct fort_message *message, struct fort_answer *answer)
{
	const void *body = message->body;

	if (!fort_agent.counters && message->head.type != FORT_START)
		return -EPROTO;
	switch (message->head.type) {
	case FORT_START: return start(message);
	case FORT_MAP_BLOCK: return fort_block_map(((const struct fort_map_block *)body)->address);
	case FORT_LOAD: return load(message, answer);
	case FORT_UNLOAD: return unload(body, answer);
	case FORT_SITE: return fort_site_add(body, &answer->detail);
	case FORT_GUARD: return guard(body, answer);
	case FORT_PROBE: return probe(body, answer);
	case FORT_DROP: return fort_probe_drop(((const struct fort_drop *)body)->probe, answer);
	case FORT_RELEASE: fort_serve_release(); return 0;
	default: return -EPROTO;
	}
}

bool fort_serve(const struct fort_message *message, struct fort_answer *answer)
{
	if (message->head.type == FORT_LEAVE)
		return true;
	answer->err = dispatch(message, answer);
	if (answer->err == -EINVAL && !answer->reason)
		answer->reason = FORT_REASON_REQUEST;
	if (answer->err == -ENOMEM && !answer->reason)
		answer->reason = FORT_REASON_MEMORY;
	return false;
}

void fort_serve_close(void)
{
	for (uint32_t i = 0; i < FORT_PACKAGES_MAX; i++)
		if (packages[i])
			fort_package_close(packages[i]);
}
