/* A loader as clients are: a store with an attacher, maps and programs through its bpf(2), uprobes
 * through its perf_event_open(2).
 */
#pragma once

#include "attach/attacher.h"
#include "tests/attach/harness.h"

struct loader {
	struct fort_store *store;
	struct fort_attacher *attacher;
};

struct loader loader_open(void);
/* The same with another agent, whose image lives longer. */
struct loader loader_open_with(struct fort_span agent);
void loader_close(struct loader *loader);

/* Each returns a descriptor of the store; the test fails where there is none. */
int loader_map(const struct loader *loader, uint32_t type, uint32_t key_bytes, uint32_t value_bytes,
	       uint32_t entries);
int loader_prog(const struct loader *loader, uint32_t type, const char *format, ...)
	FORT_PRINTF(3, 4);

struct loader_place {
	pid_t pid;    /* for the event; -1: every process */
	pid_t victim; /* whose function it is */
	const char *function;
	bool returns;
	uint64_t cookie;
};
/* A link; or a negative errno. */
long loader_attach(const struct loader *loader, int prog, const struct loader_place *place);
/* The same, and the test fails where it does not work. */
int loader_link(const struct loader *loader, int prog, const struct loader_place *place);

struct fort_map *loader_map_of(const struct loader *loader, int fd);
/* A value of 8 bytes; 0 when there is none. */
uint64_t loader_get(const struct loader *loader, int map, uint32_t key);
/* File offset of a function in the program of a process. */
uint64_t loader_offset(pid_t pid, const char *function);
