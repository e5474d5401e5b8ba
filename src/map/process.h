/* Which process, in one word that can be compared and swapped: the pid, and the low half of its
 * start time so that a later process with the same pid is not mistaken for it. 0 is nobody.
 *
 * All processes that share maps are in one pid namespace; a participant in another one would be
 * taken for dead. Where /proc cannot be read, only the pid counts.
 */
#pragma once

#include "base/compiler.h"

/* The calling process. */
uint64_t fort_process_self(void);
/* Has that process ended? A zombie has. In doubt: false. */
bool fort_process_dead(uint64_t process);
