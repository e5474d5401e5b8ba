/* A look at a loaded program: what runs, instruction by instruction, with its source lines and the
 * machine code made of it.
 */
#pragma once

#include <Zydis/Zydis.h>

#include "btf/info.h"
#include "cli/front.h"
#include "cli/json.h"
#include "load/loaded.h"

struct fort_look {
	struct fort_store_program program;
	const struct fort_program *code;
	struct fort_code_view machine; /* n_bytes 0: there is none */
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	char map[64]; /* the name asked for last */
};

/* Of what is behind the descriptor, which must stay open. Returns 0 or fort_store_program's errors.
 */
FORT_CHECKED int fort_look_open(struct fort_look *look, struct fort_front *front, int fd);

/* Is there an instruction at this slot (not the second half of one)? */
bool fort_look_has(const struct fort_look *look, uint32_t pc);
void fort_look_insn(struct fort_look *look, uint32_t pc, struct fort_text *out);
/* {"insn", "text", "line"}: the line only if it is known. */
json_t *fort_look_insn_json(struct fort_look *look, uint32_t pc);
/* The source line of a slot, if that is not also the line of slot `before`. */
bool fort_look_line(const struct fort_look *look, uint32_t before, uint32_t pc,
		    struct fort_place *out);

/* The machine instruction at a byte: its text. Returns how many bytes it has; what cannot be
 * decoded is one byte. */
uint32_t fort_look_machine(const struct fort_look *look, uint32_t at, struct fort_text *out);
