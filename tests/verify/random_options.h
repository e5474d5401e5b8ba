/* What tests of random programs are asked for on their command line:
 *
 *   --seed N    where the programs start; the first is made of N, the next of N + 1
 *   --count N   how many programs; with `--seed` of a failure, 1 repeats it
 *   --states N  and as many more as it takes to check N states of runs
 *
 * BPFORT_TEST_SEED and BPFORT_TEST_COUNT in the environment say the same; arguments win.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct random_options {
	uint64_t seed, count, states;
	bool given; /* any of them, as an argument */
};

/* Takes them from the end of the arguments; how many arguments are left, or -1 (said on standard
 * error). Put in *options what holds when nothing is said. */
int random_options_read(int argc, char **argv, struct random_options *options);
