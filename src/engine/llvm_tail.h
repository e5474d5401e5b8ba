/* Tail calls of the llvm engine (engine/tail.h). The main program returns with run->tails.next set,
 * to the loop in llvm.c, which enters the next one; a function calls fort_llvm_tail_nest, and
 * returns what that returns. */
#pragma once

#include "engine/llvm_ir.h"

/* Behind the helper that finds a program. */
void fort_llvm_tail(struct fort_llvm *x);
/* The end of a subprogram: what it gives back is in registers and fuel. */
void fort_llvm_give_back(struct fort_llvm *x);
