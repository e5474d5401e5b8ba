/* Programs that tests start, where any user may run them: a clone under /root is closed to the
 * unprivileged user that the tests become.
 */
#pragma once

#include <sys/types.h>

/* Copies the programs that the environment names (TEST_AGENT, VICTIM...) to a directory of `uid`
 * in /tmp, names the copies instead, and removes them at exit. Ends the process when it cannot. */
void stage_programs(uid_t uid);
