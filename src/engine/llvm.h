/* LLVM's part of the llvm engine. */
#pragma once

#include "base/buf.h"
#include "engine/engine.h"

/* Names of what a module needs from outside. */
#define FORT_LLVM_LEAVE     "leave"  /* fort_llvm_leave */
#define FORT_LLVM_BY_NUMBER "number" /* fort_x64_call_by_number */
#define FORT_LLVM_NEST      "nest"   /* fort_llvm_tail_nest */
#define FORT_LLVM_HELPER    'h'      /* and its number */
#define FORT_LLVM_FIND      'l'      /* and a map's index: its lookups[].function */
#define FORT_LLVM_VALUES    'm'      /* and a map's index: the address of its values */

/* How often each slot of a program has been made in another way than before, so that its bytes are
 * others: one of these for each, or NULL. */
typedef uint8_t fort_llvm_hidden;

/* The object file of a program (llvm_object.h). Returns what fort_engine.compile does. */
FORT_CHECKED int fort_llvm_compile(const struct fort_compile *request,
				   const fort_llvm_hidden *hidden, struct fort_buf *out);
