/* System calls without libc, for code that also runs inside foreign processes: no errno, no TLS,
 * no cancellation points. Results are the kernel's: a value, or a negative errno.
 */
#pragma once

#include <stdint.h>
#include <sys/syscall.h>

static inline long fort_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static inline long fort_sys4(long nr, long a, long b, long c, long d)
{
	return fort_sys6(nr, a, b, c, d, 0, 0);
}

static inline long fort_sys3(long nr, long a, long b, long c)
{
	return fort_sys6(nr, a, b, c, 0, 0, 0);
}

static inline long fort_sys2(long nr, long a, long b)
{
	return fort_sys6(nr, a, b, 0, 0, 0, 0);
}

static inline long fort_sys1(long nr, long a)
{
	return fort_sys6(nr, a, 0, 0, 0, 0, 0);
}

static inline long fort_sys0(long nr)
{
	return fort_sys6(nr, 0, 0, 0, 0, 0, 0);
}
