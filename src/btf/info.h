/* Where instructions come from: the function and the source line of each, as the loader passes
 * them beside a program (struct bpf_func_info, struct bpf_line_info).
 *
 * The records are the program author's. fort_info_read checks what can be checked without knowing
 * the program's shape, fort_info_match the rest; messages, errno and rules are those of
 * check_btf_func and check_btf_line in kernel/bpf/verifier.c.
 */
#pragma once

#include "base/arena.h"
#include "btf/btf.h"
#include "isa/graph.h"

struct fort_func_info {
	uint32_t insn; /* first instruction of the function */
	uint32_t type; /* FUNC */
};

struct fort_line_info {
	uint32_t insn;        /* first instruction of the line */
	uint32_t file, text;  /* strings */
	uint32_t line_column; /* line << 10 | column */
};
_Static_assert(sizeof(struct fort_func_info) == 8, "ABI");
_Static_assert(sizeof(struct fort_line_info) == 16, "ABI");

struct fort_info {
	const struct fort_btf *btf; /* NULL: nothing is known; not owned */
	const struct fort_func_info *funcs;
	const struct fort_line_info *lines;
	uint32_t n_funcs, n_lines;
};

/* Records in the caller's memory: `count` of `record_bytes`, of which a newer loader may have
 * more than we know. `read` returns 0 or -EFAULT. */
struct fort_info_records {
	uint32_t count, record_bytes;
	int (*read)(void *owner, uint64_t offset, void *data, size_t bytes);
	void *owner;
};

/* Reads function records. Returns 0; -EINVAL; -EFAULT; -ENOMEM; or -E2BIG when a record has bytes
 * that we do not know and that are not zero: *known_bytes is then the size to tell the caller.
 */
FORT_CHECKED int fort_info_read_funcs(struct fort_info *info, struct fort_arena *arena,
				      const struct fort_info_records *records, struct fort_log *log,
				      uint32_t *known_bytes);
/* The same for line records of a program of `n_insns` slots. */
FORT_CHECKED int fort_info_read_lines(struct fort_info *info, struct fort_arena *arena,
				      const struct fort_info_records *records,
				      const struct fort_raw_insn *insns, uint32_t n_insns,
				      struct fort_log *log, uint32_t *known_bytes);
/* Do the records fit the program's subprograms? 0 or -EINVAL. Without records always 0. */
FORT_CHECKED int fort_info_match(const struct fort_info *info, const struct fort_program *program,
				 struct fort_log *log);

/* The source line of an instruction. */
struct fort_place {
	const char *file, *text; /* text without the indentation; never NULL */
	uint32_t line, column;   /* column: of the whole line, from 1; 0 when unknown */
	uint32_t caret;          /* the same in `text`; 0 when it is not in there */
};

/* False when nothing is known; *out is then untouched. */
bool fort_info_place(const struct fort_info *info, uint32_t insn, struct fort_place *out);
/* The record index that `insn` belongs to, or -1: equal indices are one source line. */
int64_t fort_info_line_index(const struct fort_info *info, uint32_t insn);
/* Name of the function that contains `insn`, or NULL. */
const char *fort_info_func_name(const struct fort_info *info, uint32_t insn);
