/* Machine code of a loaded program, between the instructions and source lines that it comes from.
 */
#pragma once

#include "cli/look.h"

/* In the order of the machine code, which is not that of the instructions: what is seldom done
 * comes last, loops are repeated, and instructions are done in one with others. */
void fort_machine_print(struct fort_look *look);
/* Adds "engine", "isolation", "machine_bytes", "enter" and "leave" (machine code of no instruction)
 * and "insns", each with "machine": [{"at", "bytes", "text"}]. */
void fort_machine_add_json(struct fort_look *look, json_t *program);
