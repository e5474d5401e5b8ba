/* Run slots: who is in a hit at this moment.
 *
 * A thread is known by its fs base, the address of its thread control block: there is no TLS of
 * ours in a foreign thread. It claims a slot by one compare-and-swap on a word that it mostly
 * shares with nobody, because a thread finds back to the slot it had last.
 *
 * A thread that finds its own slot busy is in a signal handler that interrupted a hit, and its new
 * hit is missed. Unless the handler of an earlier hit jumped out (siglongjmp): then the slot would
 * stay busy for ever. So each hit writes a token into its frame and remembers where. The slot may
 * be taken over when the token is gone, which a running hit never loses, or when its place belongs
 * to the new hit; and when the agent, with all threads stopped, finds that place on no live part of
 * the thread's stacks.
 */
#pragma once

#include "attach/protocol.h"
#include "base/compiler.h"

struct fort_package;

#define FORT_SLOT_NONE (-1)

/* The calling thread's key; 0 when it has none and cannot take part. */
uint64_t fort_slot_key(void);

/* Claims a slot for the thread `key`. `token` lies in the caller's frame and stays until release;
 * all from there to `top` is memory of this hit. FORT_SLOT_NONE when the thread is already in a hit
 * or no slot is free.
 */
int32_t fort_slot_claim(uint64_t key, volatile uint64_t *token, const void *top);
void fort_slot_release(int32_t slot);

/* Which package runs now in a claimed slot, NULL between programs: who must clean up should the
 * run never come back. */
void fort_slot_running(int32_t slot, struct fort_package *package);

/* The rest is for the agent's thread. */

/* Waits until all hits that were under way at the call have ended. False when some still have not
 * after `budget_ns`. */
FORT_CHECKED bool fort_slot_quiesce(uint64_t budget_ns);

/* Marks the slots of hits that will never go on. All threads of the world are stopped. */
struct fort_world;
void fort_slot_find_dead(const struct fort_world *world);
/* Frees the slots that were marked. The threads may be running again. */
void fort_slot_bury_dead(void);

/* Is any slot busy, and not marked? */
bool fort_slot_any_busy(void);
