// A process that throws: through probed functions, out of them, again and again.
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <csignal>
#include <thread>
#include <unistd.h>
#include <vector>

#include "victim.h"

static victim_control *control;

struct guard {
	long &count;
	explicit guard(long &c) : count(c) {}
	~guard() { count++; }
};

extern "C" {
__attribute__((noinline, used)) void victim_throw(long depth, long &unwound)
{
	guard here(unwound);

	if (depth <= 0)
		throw std::runtime_error("deep");
	victim_throw(depth - 1, unwound);
	__asm__ volatile("" : : : "memory");
}

__attribute__((noinline, used)) long victim_catch(long depth)
{
	long unwound = 0;

	try {
		victim_throw(depth, unwound);
	} catch (const std::runtime_error &error) {
		if (std::string("deep") == error.what())
			return unwound;
	}
	return -1;
}

__attribute__((noinline, used)) long victim_rethrow(long depth)
{
	try {
		long unwound = 0;

		try {
			victim_throw(depth, unwound);
		} catch (...) {
			throw;
		}
	} catch (const std::exception &) {
		return victim_catch(depth / 2);
	}
	return -1;
}

__attribute__((noinline, used)) long victim_calm(long depth)
{
	long below = depth > 0 ? victim_calm(depth - 1) : 0;

	__asm__ volatile("" : "+r"(below));
	return below + 1;
}
}

static void work(int self)
{
	while (!control->stop) {
		for (long depth = 0; depth < 6; depth++) {
			if (victim_catch(depth) != depth + 1 ||
			    victim_rethrow(depth) != depth / 2 + 1 ||
			    victim_calm(depth) != depth + 1)
				control->wrong = control->wrong + 1;
			control->thread[self].calls = control->thread[self].calls + 1;
		}
	}
}

int main(int argc, char **argv)
{
	void *memory = mmap(nullptr, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, VICTIM_FD, 0);
	std::vector<std::thread> threads;

	if (memory == MAP_FAILED || argc < 3)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	control = static_cast<victim_control *>(memory);
	for (int i = 1; i < std::stoi(argv[2]); i++)
		threads.emplace_back(work, i);
	control->ready = 1;
	work(0);
	for (auto &thread : threads)
		thread.join();
	return control->wrong ? 3 : 0;
}
