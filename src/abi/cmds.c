#include "abi/cmds.h"

#include <errno.h>

/* Words of the column `answer` that are no errno of user space. */
enum { HANDLED = 0, ENOTSUPP = FORT_ENOTSUPP };

const struct fort_cmd_info fort_cmds[FORT_CMDS] = {
#define FORT_CMD(id, number, attr_bytes_, answer_) \
	[number] = {.name = "BPF_" #id, .attr_bytes = (attr_bytes_), .answer = -(answer_)},
#include "abi/cmds.def"
};

bool fort_cmd_tail_is_zero(enum fort_cmd cmd, const union fort_attr *attr)
{
	for (uint32_t i = fort_cmds[cmd].attr_bytes; i < FORT_ATTR_BYTES; i++)
		if (attr->bytes[i])
			return false;
	return true;
}
