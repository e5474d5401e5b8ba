/* Copying values that others read or write meanwhile: in words of eight bytes, so that an aligned
 * counter or pointer is never torn (as the kernel's bpf_long_memcpy). */
#pragma once

#include <string.h>

#include "base/compiler.h"

static inline void fort_copy(void *to, const void *from, uint64_t bytes)
{
	uint64_t done = 0;

	for (; done + 8 <= bytes; done += 8) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)from + done, 8);
		__asm__ volatile("movq %1, %0"
				 : "=m"(*(char(*)[8])((uint8_t *)to + done))
				 : "r"(word));
	}
	if (done < bytes)
		memcpy((uint8_t *)to + done, (const uint8_t *)from + done, bytes - done);
}
