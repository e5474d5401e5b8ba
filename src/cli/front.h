/* The front door of this program: libbpf, linked with --wrap, calls bpf(2), perf_event_open(2) and
 * ioctl(2), and a store in this process answers.
 *
 * While no front is open, and for what the store does not know, those calls fail: nothing in this
 * process reaches the kernel's bpf(2), unless the verb asks for that (fort_front_use_kernel).
 * Wrapped functions have no room for a context, so the open front is the one object of this program
 * that is found by name (front.c; tools/lint.py knows it). Everything else takes it as an argument.
 */
#pragma once

#include "abi/cmds.h"
#include "base/text.h"
#include "store/store.h"

struct fort_front;
struct fort_kernel_types;

/* Looks at each PROG_LOAD: libbpf's feature probes, and the programs of an object. */
struct fort_front_tap {
	/* Before the store sees it: false answers -ECANCELED instead. NULL: all pass. */
	bool (*before)(void *owner, const struct fort_attr_prog_load *attr);
	/* What it came to; the report is the store's. NULL: nobody asks. */
	void (*after)(void *owner, const struct fort_attr_prog_load *attr,
		      const struct fort_load_report *report);
	/* The same for loads by the running kernel: descriptor or negative errno. */
	void (*kernel)(void *owner, const struct fort_attr_prog_load *attr, long result);
	void *owner;
};

/* Opens the front of this process: -EBUSY when there is one, -ENOMEM, or what the store says. */
FORT_CHECKED int fort_front_open(struct fort_front **out);
/* Closes it and frees the store. NULL is fine. */
void fort_front_close(struct fort_front *front);

struct fort_store *fort_front_store(const struct fort_front *front);
void fort_front_set_tap(struct fort_front *front, const struct fort_front_tap *tap);

/* From now on the store judges only (store.h), by the types of a kernel that are also what libbpf
 * finds as the running kernel's. They outlive the front. */
void fort_front_vet(struct fort_front *front, const struct fort_kernel_types *types);
bool fort_front_vets(const struct fort_front *front);
/* Whether calls of bpf(2) go to the running kernel instead. */
void fort_front_use_kernel(struct fort_front *front, bool use);

/* What libbpf had to say since the last call of fort_front_forget: its warnings, one a line,
 * without "libbpf: "; when it gave none, what it said last. "" when it said nothing. */
const char *fort_front_words(const struct fort_front *front);
void fort_front_forget(struct fort_front *front);
