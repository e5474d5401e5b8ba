/* Tail calls of the x64 engine (engine/tail.h).
 *
 * Behind the call of bpf_tail_call the image of the program asks whether r0 is 0. If not, the main
 * program gives the host back its registers, as at its end, but then jumps to fort_x64_tail_enter
 * instead of returning: that binds the run to the next program and jumps to its first instruction,
 * with the machine's stack as it was for the first one. A function calls fort_x64_tail_nest, and
 * returns what that returns.
 *
 * So an image never has an address of another one: it jumps through a slot, to that one function,
 * and nowhere else, which the output checker sees to.
 */
#pragma once

#include "engine/x64_exit.h"

/* Is this the call of a helper that finds a program? */
bool fort_x64_is_tail(const struct fort_x64 *x, const struct fort_x64_op *op);
/* What comes behind it. */
void fort_x64_tail(struct fort_x64 *x, const struct fort_x64_op *op);
/* Where main programs go, among what ends them. */
void fort_x64_tail_exit(struct fort_x64 *x);

/* A call of the host, with what is needed around it (x64_call.c). */
void fort_x64_call_around(struct fort_x64 *x, const struct fort_x64_op *op,
			  fort_helper_fn *function);

/* Not called but jumped to, with the run in r9, and all else as where an image is entered. */
uint64_t fort_x64_tail_enter(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			     struct fort_run *run);
/* Called as helpers are. */
uint64_t fort_x64_tail_nest(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			    struct fort_run *run);
