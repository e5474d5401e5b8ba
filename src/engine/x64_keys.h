/* Calls out of programs under protection keys: what is closed while a program runs is open while a
 * function of the host does.
 *
 * Code of a program has no instruction that could open a key. Its calls go to gates instead: small
 * functions of ours that open, call the function meant, and close again. Gate i is for the function
 * of slot i. Closing may wait for the next call where the program does nothing between the two that
 * touches memory (isolation H9): a lazy gate leaves open, and the next one finds it so.
 */
#pragma once

#include "engine/x64_run.h"

#define FORT_X64_GATES 256u /* functions that one program may call under keys */

/* What code calls in place of the function of this slot. */
fort_helper_fn *fort_x64_gate(uint32_t slot, bool lazy);

/* Around code of a program: returns what leave must be given. */
uint32_t fort_x64_keys_enter(const struct fort_domain *domain, struct fort_x64_entry *entry,
			     fort_helper_fn *const *functions);
static inline void fort_x64_keys_leave(uint32_t before)
{
	fort_keys_set(before);
}
