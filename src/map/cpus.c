#include "map/cpus.h"

#include <errno.h>
#include <stdio.h>

#include "base/limits.h"

/* "0", "0-7", "0-3,8-11": as the kernel, count what is listed; numbers have no gaps on x86. */
int fort_cpus_possible(uint32_t *out)
{
	FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned first, last, count = 0;
	int got, err = 0;

	if (!file)
		return -errno;
	do {
		got = fscanf(file, "%u-%u", &first, &last);
		if (got < 1)
			break;
		if (got == 1)
			last = first;
		if (last < first || last >= FORT_CPUS_MAX) {
			err = -EBADMSG;
			break;
		}
		count += last - first + 1;
	} while (fgetc(file) == ',');
	fclose(file);
	if (err || !count)
		return -EBADMSG;
	*out = count;
	return 0;
}
