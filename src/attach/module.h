/* A file that a process has mapped as code, and the functions in it.
 *
 * Addresses come in three kinds: file offsets (what uprobes are given), link addresses (what
 * symbols and program headers say), and addresses in the process (link address + bias).
 */
#pragma once

#include "attach/process.h"

struct fort_symbol {
	uint64_t start, bytes;      /* link address; 0 bytes: not said */
	const char *name, *version; /* version: "" if none; the names' memory is libelf's */
	uint8_t type;               /* STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE */
	bool is_default;            /* name@@VERSION */
};

struct fort_module {
	char *path; /* as the process's mappings name it */
	int fd;
	struct Elf *elf;
	uint64_t bias;
	struct fort_symbol *symbol; /* by address */
	size_t n_symbols;
	uint64_t *frame; /* link addresses at which unwind entries start, ascending */
	size_t n_frames;
};

/* A function as far as it is known. */
struct fort_function {
	uint64_t start, bytes; /* link address; up to the next function */
	char name[128];        /* "" when it has none */
};

/* Opens the mapped file that `wanted` names: a path, a file name ("libc.so.6", also "libc"), or
 * NULL for the program itself. -ENOENT when none is mapped, -ENOTUNIQ when several are, -EBADMSG
 * when the file is not what is mapped; why says more.
 */
FORT_CHECKED int fort_module_open(const struct fort_process *process,
				  const struct fort_regions *regions, const char *wanted,
				  struct fort_module *out, struct fort_text *why);
void fort_module_close(struct fort_module *module);

/* The function "name", "name@VERSION" or "name@@VERSION". -ENOENT, -ENOTUNIQ (several, listed), or
 * -EOPNOTSUPP (IFUNC). */
FORT_CHECKED int fort_module_by_name(const struct fort_module *module, const char *name,
				     struct fort_function *out, struct fort_text *why);

/* The function that starts at a link address. -EINVAL when none starts there: why names the
 * nearest.
 */
FORT_CHECKED int fort_module_by_start(const struct fort_module *module, uint64_t start,
				      struct fort_function *out, struct fort_text *why);

/* Link address of a file offset; -EINVAL when it is in no code. */
FORT_CHECKED int fort_module_of_offset(const struct fort_module *module, uint64_t offset,
				       uint64_t *out);
/* File offset of a link address of code; -EINVAL. */
FORT_CHECKED int fort_module_to_offset(const struct fort_module *module, uint64_t address,
				       uint64_t *out);

/* Bytes of the file at a link address; -EFAULT when it does not hold all of them. */
FORT_CHECKED int fort_module_read(const struct fort_module *module, uint64_t address, void *data,
				  size_t bytes);

/* Calls visit for each symbol that starts at the address (aliases), until it returns false. */
void fort_module_aliases(const struct fort_module *module, uint64_t start,
			 bool (*visit)(const struct fort_symbol *symbol, void *arg), void *arg);

/* Does any symbol, of whatever kind, start strictly inside (start, end)? */
bool fort_module_label_inside(const struct fort_module *module, uint64_t start, uint64_t end);
