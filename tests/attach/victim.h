/* What a victim and its test share. The victim maps descriptor VICTIM_FD at its start, and does
 * what its first argument says (victim.c) until `stop`.
 */
#pragma once

#include <stdalign.h>
#include <stdint.h>

#define VICTIM_FD      3
#define VICTIM_THREADS 64

struct victim_control {
	volatile uint32_t ready; /* set by the victim */
	volatile uint32_t stop;  /* by the test: end, exit status 0 */
	volatile uint32_t hold;  /* by the test: threads pause between rounds */
	volatile uint32_t held;  /* how many threads do */
	volatile uint64_t wrong; /* a function did not do what it should */
	volatile uint64_t signals;
	volatile uint64_t events; /* what a mode counts beside calls */
	struct {
		alignas(64) volatile uint64_t calls;
	} thread[VICTIM_THREADS];
};
