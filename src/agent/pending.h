/* Return probes under way: functions that were entered and have not returned.
 *
 * The return address of such a call is replaced by that of a pad, a few instructions of which each
 * pending call has its own. The pad calls the displaced function body, so that the processor's
 * return predictor stays in step; when the function returns, the pad says its number, and the exit
 * gate returns to the true address kept here. Because the word on the stack names the entry, it is
 * found again wherever the stack was moved or copied to.
 *
 * A pad is free again when its call returns. A call that never returns (longjmp, exceptions) leaves
 * a dead entry, recognised by its word on the stack having been overwritten; such entries are
 * taken back when pads are wanted. That test is wrong only where stacks are copied away and back
 * (greenlets): there, dead entries are kept, and when pads run out, exits are missed.
 *
 * A return address that was itself a pad's (a probed function left by a tail call into another)
 * is an entry like any other; the pads are passed through one after the other.
 */
#pragma once

#include "agent/site.h"

/* Makes the pads, once. Returns 0 or mmap's error. */
FORT_CHECKED int fort_pending_open(void);
/* Frees the memory. No thread may come back to a pad. */
void fort_pending_close(void);
bool fort_pending_contains(uint64_t address);

/* Catches the return of the call whose return address is at `stack`: puts the entry of a pad
 * there. False, and nothing changed, when no pad is free. The caller holds run slot `slot`.
 */
FORT_CHECKED bool fort_pending_push(uint32_t slot, uint64_t key, struct fort_site *site,
				    uint64_t stack);
/* The call of pad `index` has returned: where to, and which site. */
uint64_t fort_pending_pop(uint32_t index, struct fort_site **site);

/* Puts the true return addresses back for the pending calls of thread `key` above `stack`. */
void fort_pending_put_back(uint64_t key, uint64_t stack);

/* The same for all threads, which are stopped. False when entries are left that may still be
 * returned through. */
FORT_CHECKED bool fort_pending_put_back_all(void);

/* Has a thread, stopped as above, pushed an entry and not passed its pad yet? It is about to have a
 * return address of ours. */
bool fort_pending_any_entering(void);
