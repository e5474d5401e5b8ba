#include "base/pages.h"

#include <linux/mman.h>

#include "base/limits.h"
#include "base/sys.h"

int fort_pages_alloc(size_t bytes, void **out)
{
	long at = fort_sys6(SYS_mmap, 0, (long)fort_round_up(bytes, FORT_PAGE_BYTES),
			    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at < 0 && at >= -4095)
		return (int)at;
	*out = (void *)at;
	return 0;
}

void fort_pages_free(void *pages, size_t bytes)
{
	if (pages)
		fort_sys2(SYS_munmap, (long)pages, (long)fort_round_up(bytes, FORT_PAGE_BYTES));
}
