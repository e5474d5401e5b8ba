/* How a hit reaches the agent's thread, which waits on descriptors of its own that a thread of the
 * target does not have: by a signal for that thread alone, blocked there, and read from a signalfd.
 * The process never sees it; were it not blocked, it would be ignored.
 */
#pragma once

/* The descriptor that is readable when there is something, or -1: then the agent looks once a
 * second.
 */
int fort_notice_open(void);
/* From a hit: there is something to look at. At most one is on its way. */
void fort_notice_raise(void);
/* From the agent's thread, before it looks. */
void fort_notice_take(int fd);
