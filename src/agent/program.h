/* What the agent runs on a hit. The agent's mechanics know programs only through these functions;
 * the image is linked with one implementation of them.
 *
 * A package is what one LOAD brought: opaque bytes and descriptors. It may hold several programs,
 * numbered by the loader. Slots are numbered from 0 to FORT_RUN_SLOTS - 1: no two runs are in the
 * same slot at the same time, and no thread is in two.
 */
#pragma once

#include "attach/protocol.h"
#include "base/compiler.h"
#include "engine/run.h"

struct fort_package;

/* Checks and prepares a package. `package` is mapped read-only for the length of the call, and
 * nobody can write it; fds are closed by the caller afterwards. Runs in the agent's thread, with
 * its stack of 256 KiB. Returns 0 or a negative errno, with answer->reason and detail where they
 * say more; then nothing is left behind.
 */
FORT_CHECKED int fort_package_open(const void *package, uint64_t bytes, const int *fds,
				   uint32_t n_fds, struct fort_package **out,
				   struct fort_answer *answer);

/* No run is in it any more, and none will come. */
void fort_package_close(struct fort_package *package);

/* Is this a program of the package that may be attached to a function's entry (or return)? */
bool fort_package_has(const struct fort_package *package, uint32_t program, bool is_return);

/* Runs one program. Called on the stack of a thread of the target, which may be small: use less
 * than 3 KiB of it, keep what is larger in memory of the slot. No vector registers, no TLS, no
 * locks that a signal handler of the target could meet again. `regs` may be read only now. False
 * when the program did not run to its end.
 */
bool fort_package_run(struct fort_package *package, uint32_t program, uint32_t slot,
		      const struct fort_hit *hit, const uint64_t regs[FORT_HIT_REGS]);

/* Have its runs been ended for good, with the wish that nothing of it stays attached? */
bool fort_package_is_detached(const struct fort_package *package);

/* The run that was in this slot will never go on: a signal handler jumped out of it. Give back
 * what it holds.
 */
void fort_package_abandon(struct fort_package *package, uint32_t slot);
