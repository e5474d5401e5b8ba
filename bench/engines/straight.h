/* How long a program of 1,000 instructions without jumps takes to load: to be verified, for its
 * certificate to be checked, and to be compiled by x64 under sfi. Prints a line.
 */
#pragma once

void bench_straight(void);
