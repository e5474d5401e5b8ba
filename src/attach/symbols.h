/* What an ELF file says about where functions start: symbols and unwind entries. */
#pragma once

#include "attach/module.h"

/* Fills module->symbol and module->frame from module->elf. 0 or -ENOMEM; what the file says wrongly
 * is left out. */
FORT_CHECKED int fort_symbols_read(struct fort_module *module);
