/* How long a program of 1,000 instructions without jumps takes to load: to be verified, for its
 * certificate to be checked, and to be compiled by x64 under sfi; part by part, and through the
 * front door. Prints two lines.
 */
#pragma once

void bench_straight(void);
