/* A laboratory for the verifier's tests: a program from assembly, its environment, the search, the
 * checker.
 */
#pragma once

#include "base/log.h"
#include "isa/asm.h"
#include "verify/verify.h"

#define LAB_MAPS  4
#define LAB_INSNS 4096

struct lab {
	struct fort_arena arena;
	struct fort_raw_insn raw[LAB_INSNS];
	uint32_t n_insns;
	struct fort_insn *insns;
	struct fort_graph graph;
	struct fort_map_shape maps[LAB_MAPS];
	struct fort_env env;
	struct fort_verify_result result;
	struct fort_check check;
	struct fort_proven proven;
	char error[256]; /* of assembling, decoding, building the graph */
};

enum { LAB_ARRAY, LAB_HASH, LAB_RING, LAB_GLOBAL }; /* maps 0 to 3 */

/* Prepares a program of this type; false with lab->error. Free with lab_free in any case. */
bool lab_open(struct lab *lab, const char *type, const char *assembly);
bool lab_open_raw(struct lab *lab, const char *type, const struct fort_raw_insn *raw, uint32_t n);
void lab_free(struct lab *lab);

/* Searches; true with a verdict in lab->result. */
bool lab_search(struct lab *lab, enum fort_sabotage sabotage);
/* Checks certificate bytes against the program, in fresh memory. */
bool lab_check(struct lab *lab, const void *bytes, size_t n_bytes);
