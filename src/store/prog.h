/* Program objects: the parts of loading that are about maps, and about what it is attached to. */
#pragma once

#include "store/call.h"
#include "store/raw.h"

/* With fd_array_cnt: takes references to all maps of the caller's array, in its order. Returns 0,
 * -EFAULT, -EINVAL, -EBADF, -E2BIG, -ENOMEM, told in the log.
 */
FORT_CHECKED int fort_prog_take_fd_array(struct fort_call *call, struct fort_prog_object *prog);

/* Finds the maps that instructions refer to, takes references, and turns the references into
 * indices: fills maps, used and n_used. Errors as above, and -EPROTO, -ENOTSUPP, -EPERM.
 */
FORT_CHECKED int fort_prog_find_maps(struct fort_call *call, struct fort_prog_object *prog);

/* May a program of this type be attached to what the attributes say? 0, -EINVAL, -ENOTSUPP. */
FORT_CHECKED int fort_prog_check_target(struct fort_call *call);
/* Fills prog->target, if the program is attached to a function of the kernel that decides what it
 * sees. Errors are told in the log. */
FORT_CHECKED int fort_prog_find_target(struct fort_call *call, struct fort_prog_object *prog);
/* NULL: it has none. */
const char *fort_prog_target_name(const struct fort_prog_object *prog);
