/* What compilers and the lower layers expect of <string.h>, for an image without libc. Plain loops
 * over words for what is small, string instructions for what is large: no vector registers.
 */
#include <stdint.h>
#include <string.h>

#define LARGE     256
#define LARGE_SET 1024

typedef uint64_t __attribute__((aligned(1), may_alias)) word;

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	uint8_t *out = to;
	const uint8_t *in = from;

	if (bytes >= LARGE) {
		__asm__ volatile("rep movsb" : "+D"(out), "+S"(in), "+c"(bytes) : : "memory");
		return to;
	}
	for (; bytes >= 8; bytes -= 8, out += 8, in += 8)
		*(word *)out = *(const word *)in;
	while (bytes--)
		*out++ = *in++;
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	uint8_t *out = to;
	const uint8_t *in = from;

	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	while (bytes--)
		out[bytes] = in[bytes];
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	uint64_t words = 0x0101010101010101 * (uint8_t)value;
	uint8_t *out = to;

	if (bytes >= LARGE_SET) {
		__asm__ volatile("rep stosb" : "+D"(out), "+c"(bytes) : "a"(value) : "memory");
		return to;
	}
	for (; bytes >= 32; bytes -= 32, out += 32) {
		((word *)out)[0] = words;
		((word *)out)[1] = words;
		((word *)out)[2] = words;
		((word *)out)[3] = words;
	}
	while (bytes--)
		*out++ = (uint8_t)value;
	return to;
}

int memcmp(const void *left, const void *right, size_t bytes)
{
	const uint8_t *a = left, *b = right;

	for (; bytes; bytes--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

void *memchr(const void *data, int value, size_t bytes)
{
	const uint8_t *at = data;

	for (; bytes; bytes--, at++)
		if (*at == (uint8_t)value)
			return (void *)(uintptr_t)at;
	return NULL;
}

size_t strlen(const char *text)
{
	const char *at = text;

	while (*at)
		at++;
	return (size_t)(at - text);
}

size_t strnlen(const char *text, size_t room)
{
	size_t n = 0;

	while (n < room && text[n])
		n++;
	return n;
}

int strcmp(const char *left, const char *right)
{
	while (*left && *left == *right)
		left++, right++;
	return (uint8_t)*left - (uint8_t)*right;
}

int strncmp(const char *left, const char *right, size_t room)
{
	while (room && *left && *left == *right)
		left++, right++, room--;
	return room ? (uint8_t)*left - (uint8_t)*right : 0;
}

char *strchr(const char *text, int letter)
{
	for (;; text++) {
		if (*text == (char)letter)
			return (char *)(uintptr_t)text;
		if (!*text)
			return NULL;
	}
}

char *strrchr(const char *text, int letter)
{
	const char *found = NULL;

	do
		if (*text == (char)letter)
			found = text;
	while (*text++);
	return (char *)(uintptr_t)found;
}
