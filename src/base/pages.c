#include "base/pages.h"

#include <linux/mman.h>

#include "base/limits.h"
#include "base/sys.h"

static int map(size_t bytes, int how, void **out)
{
	long at = fort_sys6(SYS_mmap, 0, (long)fort_round_up(bytes, FORT_PAGE_BYTES),
			    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | how, -1, 0);

	if (at < 0 && at >= -4095)
		return (int)at;
	*out = (void *)at;
	return 0;
}

int fort_pages_alloc(size_t bytes, void **out)
{
	return map(bytes, 0, out);
}

int fort_pages_alloc_present(size_t bytes, void **out)
{
	return map(bytes, MAP_POPULATE, out);
}

int fort_pages_grow(size_t before, size_t bytes, void **pages)
{
	long at = fort_sys4(SYS_mremap, (long)*pages, (long)fort_round_up(before, FORT_PAGE_BYTES),
			    (long)fort_round_up(bytes, FORT_PAGE_BYTES), MREMAP_MAYMOVE);

	if (at < 0 && at >= -4095)
		return (int)at;
	*pages = (void *)at;
	return 0;
}

void fort_pages_free(void *pages, size_t bytes)
{
	if (pages)
		fort_sys2(SYS_munmap, (long)pages, (long)fort_round_up(bytes, FORT_PAGE_BYTES));
}
