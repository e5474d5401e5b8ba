/* Who is running (internal to helper/). */
#pragma once

#include "helper/services.h"

#define FORT_COMM_BYTES 16u /* K: TASK_COMM_LEN */

uint64_t fort_task_pid_tgid(struct fort_services *services);
/* The thread's name, always terminated, the rest zero. */
void fort_task_comm(char comm[FORT_COMM_BYTES]);
