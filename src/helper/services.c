#include "helper/services.h"

#include "base/sys.h"
#include "helper/cpu.h"
#include "helper/vdso.h"

void fort_host_init(struct fort_host *host, struct fort_shared *shared, struct fort_map *trace)
{
	*host = (struct fort_host){.shared = shared,
				   .trace = trace,
				   .clock = fort_vdso_clock(),
				   .cpu_source = fort_cpu_best()};
	fort_sys3(SYS_getrandom, (long)&host->pointer_key, sizeof(host->pointer_key), 0);
}

int fort_services_init(struct fort_services *services, struct fort_host *host)
{
	*services = (struct fort_services){.host = host};
	return fort_seat_take(host->shared, &services->seat);
}

void fort_services_end(struct fort_services *services)
{
	fort_seat_release(&services->seat);
}

void fort_services_forget(struct fort_services *services)
{
	services->random.seeded = false;
	services->pid = 0;
	services->pid_tgid = 0;
	services->knows_uid_gid = false;
}
