/* What a call of a helper costs that does nothing: a loop with it beside the same loop without, on
 * each engine under each isolation, and by the compiler's own code. Prints a line.
 */
#pragma once

void bench_calls(void);
