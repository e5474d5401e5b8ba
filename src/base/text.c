#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fort_text fort_text_on(char *array, size_t room)
{
	if (room)
		array[0] = 0;
	return (struct fort_text){.data = array, .room = room};
}

struct fort_text fort_text_new(void)
{
	return (struct fort_text){.grows = true};
}

void fort_text_free(struct fort_text *text)
{
	if (text->grows)
		free(text->data);
	*text = (struct fort_text){.grows = text->grows};
}

void fort_text_clear(struct fort_text *text)
{
	text->length = 0;
	text->cut = false;
	if (text->room)
		text->data[0] = 0;
}

/* Room for `more` characters and the NUL; false when the text must be cut. */
static bool make_room(struct fort_text *text, size_t more)
{
	size_t need = text->length + more + 1;
	size_t room = text->room ? text->room : 256;
	char *data;

	if (need <= text->room)
		return true;
	if (!text->grows)
		return false;
	while (room < need)
		room *= 2;
	data = realloc(text->data, room);
	if (!data)
		return false;
	text->data = data;
	text->room = room;
	return true;
}

void fort_text_put(struct fort_text *text, const char *string, size_t length)
{
	if (!make_room(text, length)) {
		text->cut = true;
		if (text->room <= text->length + 1)
			return;
		length = text->room - text->length - 1;
	}
	memcpy(text->data + text->length, string, length);
	text->length += length;
	text->data[text->length] = 0;
}

void fort_text_addv(struct fort_text *text, const char *fmt, va_list args)
{
	char small[256];
	char *large = NULL;
	va_list again;
	int length;

	va_copy(again, args);
	length = vsnprintf(small, sizeof(small), fmt, args);
	if (length >= (int)sizeof(small)) {
		large = malloc((size_t)length + 1);
		if (large)
			vsnprintf(large, (size_t)length + 1, fmt, again);
		else
			length = sizeof(small) - 1;
	}
	va_end(again);
	if (length > 0)
		fort_text_put(text, large ? large : small, (size_t)length);
	free(large);
}

void fort_text_add(struct fort_text *text, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fort_text_addv(text, fmt, args);
	va_end(args);
}

void fort_text_pad(struct fort_text *text, size_t column)
{
	size_t start = text->length;

	while (start && text->data[start - 1] != '\n')
		start--;
	while (text->length - start < column) {
		size_t before = text->length;

		fort_text_put(text, " ", 1);
		if (text->length == before)
			return;
	}
}
