/* What OBJ_GET_INFO_BY_FD's kinds share: copying the caller's struct in, and ours out. */
#pragma once

#include "store/call.h"

#define FORT_PROG_INFO_BYTES 232u /* sizeof(struct bpf_prog_info), Linux 5.16 to 6.18 */

/* Zeroes `info` of `bytes` and copies in what the caller knows of it. 0 or -EFAULT. */
FORT_CHECKED int fort_info_start(struct fort_call *call, void *info, size_t bytes);
/* Copies as much out and tells the caller how much. 0 or -EFAULT. */
FORT_CHECKED int fort_info_finish(struct fort_call *call, const void *info);

long fort_prog_info(struct fort_call *call, const struct fort_prog_object *prog);
