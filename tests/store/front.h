/* The same calls made of the running kernel and of our store: a scenario runs once on each side
 * and writes down what it sees; the two texts must be equal.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "abi/cmds.h"
#include "base/text.h"
#include "store/store.h"

struct side {
	const char *name;
	struct fort_store *store; /* NULL: the kernel */
	struct fort_text seen;
	int fds[256]; /* closed when the scenario ends */
	unsigned n_fds;
};

typedef void scenario_fn(struct side *side);

/* Runs the scenario on both sides and compares. `name` is printed when they differ. */
void compare_sides(const char *name, scenario_fn *scenario);

/* The same with a store that only judges (fort_store_set_vetting). */
void compare_judges(const char *name, scenario_fn *scenario);

/* bpf(2) on this side: a result or a negative errno; descriptors are closed at the end. */
long side_bpf(struct side *side, int cmd, void *attr, unsigned size);
/* Commands whose result is a descriptor. */
bool returns_fd(int cmd);
long side_perf_event_open(struct side *side, void *attr, int pid, int cpu, int group,
			  unsigned long flags);
long side_ioctl(struct side *side, int fd, unsigned long request, unsigned long arg);

/* Writes a line. */
void note(struct side *side, const char *fmt, ...) FORT_PRINTF(2, 3);
/* "what: ok", "what: fd" or "what: -22". Returns `result`. */
long note_result(struct side *side, long result, const char *fmt, ...) FORT_PRINTF(3, 4);

/* Objects, for scenarios that need them; a failure ends the test. */
int make_map(struct side *side, uint32_t type, uint32_t key, uint32_t value, uint32_t entries,
	     uint32_t flags);
int make_btf(struct side *side);
/* A socket filter of the text; maps are named by descriptor in it. */
int make_prog(struct side *side, const char *text);

/* Instructions from text; the result is static until the next call. */
const struct fort_raw_insn *program(const char *text, uint32_t *count);

#define ATTR(name)            \
	union fort_attr name; \
	memset(&(name), 0, sizeof(name))
#define PTR(p) ((uint64_t)(uintptr_t)(p))

/* The text with these numbers where it has their names; the caller's to free. */
char *with_numbers(const char *text, const char *const *names, const int *numbers, unsigned n);
