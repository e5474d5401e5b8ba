#include "store/area.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "map/memfd.h"

static int new_memory(struct fort_area *area)
{
	return fort_memfd_new("bpfort-area", area->bytes, true, &area->fd);
}

int fort_area_open(const struct fort_domain *like, struct fort_area **out)
{
	struct fort_area *area = calloc(1, sizeof(*area));
	int err;

	if (!area)
		return -ENOMEM;
	area->bytes = fort_domain_shared_bytes(like);
	err = new_memory(area);
	if (err) {
		free(area);
		return err;
	}
	pthread_mutex_init(&area->lock, NULL);
	*out = area;
	return 0;
}

void fort_area_close(struct fort_area *area)
{
	if (!area)
		return;
	close(area->fd);
	pthread_mutex_destroy(&area->lock);
	free(area);
}

int fort_area_admit(struct fort_area *area, struct fort_domain *domain)
{
	return fort_domain_shared_bytes(domain) == area->bytes ? fort_domain_share(domain, area->fd)
							       : -EINVAL;
}

int fort_area_forked(struct fort_area *area)
{
	pthread_mutex_init(&area->lock, NULL);
	area->grace.serial = 0;
	close(area->fd);
	return new_memory(area);
}
