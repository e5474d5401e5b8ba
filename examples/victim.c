// An ordinary program that serves requests: most take some hundred microseconds, some take longer,
// and now and then one is slow. It knows nothing of bpfort.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void work(unsigned int us)
{
	struct timespec pause = {.tv_nsec = (long)us * 1000};

	nanosleep(&pause, NULL);
}

// Not inlined: what is probed must be a function.
__attribute__((noinline)) unsigned int handle_request(unsigned int request);

unsigned int handle_request(unsigned int request)
{
	unsigned int us = 100 + request * 2654435761u % 400; // some hundred

	if (request % 10 == 0)
		us += 900; // a cache missed
	if (request % 100 == 0)
		us += 5000; // the disk was asked
	work(us);
	return us;
}

int main(int argc, char **argv)
{
	unsigned int requests = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : 0;

	printf("victim: pid %d\n", (int)getpid());
	fflush(stdout);
	for (unsigned int request = 1; !requests || request <= requests; request++)
		handle_request(request);
	return 0;
}
