/* The processor that this thread runs on right now. */
#pragma once

#include "helper/services.h"

/* What a way of asking says; the kernel keeps processor and node in TSC_AUX and in the limit of
 * segment 0x7b, for its vDSO. */
uint32_t fort_cpu_ask(enum fort_cpu_source source);
/* The fastest way that works here. */
enum fort_cpu_source fort_cpu_best(void);

static inline uint32_t fort_cpu(const struct fort_host *host)
{
	return fort_cpu_ask(host->cpu_source);
}
