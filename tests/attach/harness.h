/* What the tests of attachment share: victims, targets, checks of what is left behind.
 *
 * Tests run as an unprivileged user: as root, harness_main first becomes uid 65534.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "attach/attach.h"
#include "tests/attach/counting.h"
#include "tests/attach/victim.h"

struct victim {
	pid_t pid;
	struct victim_control *control;
	int fd;
};

/* Programs that the build made, by environment variable; asserts that it is set. */
const char *harness_program(const char *variable);

/* Starts `program MODE [threads]` and waits until it is ready. */
struct victim harness_start(const char *variable, const char *mode, int threads);
/* Tells it to end, and asserts that it ended well: no wrong result, status 0. */
void harness_end(struct victim *victim);
/* Ends it whatever it does. */
void harness_kill(struct victim *victim);

/* Until the victim has made `calls` more calls on its thread 0; fails after 10 s. */
void harness_progress(const struct victim *victim, uint64_t calls);
uint64_t harness_calls(const struct victim *victim);
/* All `threads` of it pause between two rounds, and go on. */
void harness_hold(const struct victim *victim, uint32_t threads);
void harness_go_on(const struct victim *victim);

struct aim {
	struct fort_target *target;
	struct counting *counting;
	uint32_t package;
};

/* Opens the victim and loads the counting package. */
struct aim harness_aim(pid_t pid);
void harness_aim_close(struct aim *aim);
/* Loads the package into an open target. */
void harness_aim_load(struct aim *aim);

struct fort_probe *harness_probe(const struct aim *aim, const char *module, const char *function,
				 bool is_return, enum counting_program program, uint64_t cookie);
void harness_unprobe(struct fort_probe *probe);
struct fort_probe_counts harness_unprobe_counts(struct fort_probe *probe);
uint64_t harness_runs(const struct aim *aim);

/* What of a process must be as before: bytes of all its file-backed code against the files,
 * threads, descriptors, anonymous executable memory. */
struct remains {
	uint64_t changed_bytes, threads, fds, executable_bytes;
};
struct remains harness_remains(pid_t pid);
void harness_assert_clean(pid_t pid, const struct remains *before);

/* A program of the environment, mapped for good. */
struct fort_span harness_read(const char *variable);
/* The agent's image, read once. */
struct fort_span harness_agent(void);

uint64_t harness_now_us(void);
/* Runs the tests, or those that match the pattern in TEST_ONLY. Victims that a test leaves running
 * are killed. */
int harness_main(struct CMUnitTest *tests, size_t n);
#define HARNESS_MAIN(tests) harness_main(tests, sizeof(tests) / sizeof((tests)[0]))
