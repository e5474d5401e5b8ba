/* A string builder with a fixed buffer or a growing one. Never overflows; a fixed one cuts. */
#pragma once

#include <stdarg.h>

#include "base/compiler.h"

struct fort_text {
	char *data;    /* always NUL-terminated when room > 0 */
	size_t length; /* without the NUL; what was asked for may have been more */
	size_t room;
	bool grows, cut;
};

/* A text over the caller's array. */
struct fort_text fort_text_on(char *array, size_t room);
/* A text that grows by malloc; fort_text_free gives it back. */
struct fort_text fort_text_new(void);
void fort_text_free(struct fort_text *text);

void fort_text_add(struct fort_text *text, const char *fmt, ...) FORT_PRINTF(2, 3);
void fort_text_addv(struct fort_text *text, const char *fmt, va_list args) FORT_PRINTF(2, 0);
void fort_text_put(struct fort_text *text, const char *string, size_t length);
/* Spaces up to column `column` of the current line. */
void fort_text_pad(struct fort_text *text, size_t column);
void fort_text_clear(struct fort_text *text);
