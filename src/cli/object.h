/* Object files as verbs use them: read once, checked, tried out, and then given to libbpf.
 *
 * libbpf trusts what it reads. An object is therefore first opened and relocated by a process of
 * its own, which may crash: what it survives, the same code on the same bytes survives again.
 */
#pragma once

#include "base/span.h"
#include "cli/front.h"

struct bpf_object;
struct bpf_program;

struct fort_file {
	const char *path; /* as the user gave it */
	char name[64];    /* of the object, for libbpf: it goes into the names of global data */
	int fd;
	struct fort_span bytes; /* owned */
	const char *types;      /* what CO-RE relocates against; NULL: the running kernel's */
};

/* Reads a file and does all of the above. Returns 0, or a negative errno with why (which names the
 * file). The caller closes. */
FORT_CHECKED int fort_file_read(const char *path, struct fort_file *out, struct fort_text *why);
/* The same without the trial: for a process that may crash. */
FORT_CHECKED int fort_file_read_untried(const char *path, struct fort_file *out,
					struct fort_text *why);
/* What is wrong with its BTF, if libbpf crashed over it; nothing is added when nothing is found. */
void fort_file_complain(const struct fort_file *file, struct fort_text *why);
void fort_file_close(struct fort_file *file);

/* A verifier log for libbpf to pass on. */
struct fort_log_room {
	char *text; /* NUL-terminated */
	size_t bytes;
	uint32_t level; /* FORT_LOG_*, never 0: libbpf would load again to have one */
};

FORT_CHECKED int fort_log_room_open(struct fort_log_room *out, uint32_t level);
void fort_log_room_close(struct fort_log_room *room);

/* Opens an object, not loaded yet. Ring buffers may have a value type: it says what their records
 * are, and is kept from MAP_CREATE, which wants none. Returns 0 or a negative errno with why. The
 * caller closes with bpf_object__close. */
FORT_CHECKED int fort_file_open(const struct fort_file *file, struct fort_front *front,
				const struct fort_log_room *log, struct bpf_object **out,
				struct fort_text *why);

/* What loading one program came to. */
struct fort_loading {
	int err;           /* 0 or negative: of the object with this program */
	bool reached;      /* the program got as far as PROG_LOAD; `report` is then about it */
	char unknown[256]; /* what of it bpfort does not have: types of program or maps; or "" */
	struct fort_load_report report;
};

/* Loads an object with only `prog` in it. With !reached, fort_front_words says what libbpf missed.
 */
void fort_program_load(struct fort_front *front, struct bpf_object *object,
		       struct bpf_program *prog, struct fort_loading *out);
/* Does this PROG_LOAD carry that program, and not a probe of libbpf's? */
bool fort_program_is(const struct bpf_program *prog, const struct fort_attr_prog_load *attr);

/* The program with this name, or, for NULL, the only one of the object. Returns NULL with why. */
struct bpf_program *fort_program_find(struct bpf_object *object, const char *name,
				      struct fort_text *why);

/* Programs by number, in the object's order; NULL behind the last. */
uint32_t fort_program_count(const struct bpf_object *object);
struct bpf_program *fort_program_nth(const struct bpf_object *object, size_t index);

/* Opens the object anew for each of its programs, or only for the one called `name`, and calls
 * `visit` with it, not loaded. Returns 0, visit's error, or -ENOENT and the like with why. */
typedef int fort_program_visit(void *owner, struct bpf_object *object, struct bpf_program *prog);
FORT_CHECKED int fort_file_visit(const struct fort_file *file, struct fort_front *front,
				 const struct fort_log_room *log, const char *name,
				 fort_program_visit *visit, void *owner, struct fort_text *why);
