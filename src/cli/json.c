#include "cli/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *fort_json_text(const char *text)
{
	json_t *string = text ? json_string(text) : json_null();
	char *copy;

	if (string)
		return string;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

json_t *fort_json_number(uint64_t value)
{
	/* JSON's integers are signed here; what does not fit is as good as unlimited. */
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

void fort_json_print(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	fputc('\n', stdout);
	json_decref(value);
}
