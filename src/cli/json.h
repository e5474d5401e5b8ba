/* JSON for the verbs: jansson, with what this program needs beside it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* A string of any bytes: what is no UTF-8 becomes '?'. NULL is null. */
json_t *fort_json_text(const char *text);
json_t *fort_json_number(uint64_t value);
/* Prints to standard output with a line end, and gives `value` back. */
void fort_json_print(json_t *value);
