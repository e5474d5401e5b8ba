#include "helper/cpu.h"

#include <cpuid.h>

#include "base/limits.h"
#include "base/sys.h"

#define CPU_NODE_SEGMENT 0x7bul
#define CPU_BITS         0xffful /* the node is above */
#define AGREE_TRIES      16u

_Static_assert(CPU_BITS < FORT_CPUS_MAX, "what was proven of processor numbers holds");

static uint32_t by_rdpid(void)
{
	uint64_t word;

	__asm__ volatile("rdpid %0" : "=r"(word));
	return (uint32_t)(word & CPU_BITS);
}

static uint32_t by_lsl(void)
{
	uint64_t word = 0;

	__asm__ volatile("lsl %1, %0" : "+r"(word) : "r"(CPU_NODE_SEGMENT) : "cc");
	return (uint32_t)(word & CPU_BITS);
}

static uint32_t by_syscall(void)
{
	uint32_t cpu = 0;

	fort_sys3(SYS_getcpu, (long)&cpu, 0, 0);
	return cpu & CPU_BITS;
}

uint32_t fort_cpu_ask(enum fort_cpu_source source)
{
	switch (source) {
	case FORT_CPU_RDPID: return by_rdpid();
	case FORT_CPU_LSL: return by_lsl();
	default: return by_syscall();
	}
}

/* CPUID leaf 7, ECX bit 22 */
static bool has_rdpid(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1u << 22;
}

/* The thread may move between two questions, but not always. */
static bool agrees(enum fort_cpu_source source)
{
	for (unsigned i = 0; i < AGREE_TRIES; i++) {
		uint32_t before = by_syscall(), said = fort_cpu_ask(source);

		if (before == by_syscall())
			return said == before;
	}
	return false;
}

enum fort_cpu_source fort_cpu_best(void)
{
	if (has_rdpid() && agrees(FORT_CPU_RDPID))
		return FORT_CPU_RDPID;
	return agrees(FORT_CPU_LSL) ? FORT_CPU_LSL : FORT_CPU_SYSCALL;
}
