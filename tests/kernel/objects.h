/* Programs of compiled objects, as libbpf would load them: sections, relocations, maps and BTF are
 * its work, and each BPF_PROG_LOAD ends here instead of in the kernel. The program must not be
 * linked with --wrap=syscall: it has a `syscall` of its own, which the shared libbpf then finds.
 */
#pragma once

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/compiler.h"

#define OBJECT_PROGRAMS_MAX 1024u

struct object_visitor {
	/* Before an object is loaded, for each of its programs: flags, attach targets. May be NULL.
	 */
	void (*prepare)(void *context, unsigned index, struct bpf_program *program);
	/* The load of program number `index`. Returns a descriptor, libbpf's, or -errno. Where it
	 * is not one, libbpf gives up the object, and the others are loaded without this program.
	 */
	int (*load)(void *context, unsigned index, const union bpf_attr *attr, uint32_t bytes);
	/* libbpf never got as far as to load it, for this reason. */
	void (*unseen)(void *context, unsigned index, const char *why);
	void *context;
};

/* Visits every program of an object once. False, with the reason, when it cannot be opened. */
bool objects_visit(const char *path, const struct object_visitor *visitor, char *why, size_t room);

/* "loop1" of ".../loop1.o". */
void objects_name(const char *path, char *out, size_t room);
