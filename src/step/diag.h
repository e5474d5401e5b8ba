/* Why a program is rejected, as data: a row of diag.def and what it needs to be told. The text is
 * made elsewhere, from the table; the trusted layers only fill in numbers.
 */
#pragma once

#include "btf/remark.h"
#include "step/state.h"

enum fort_diag {
	FORT_DIAG_NONE,
#define FORT_DIAG(id, ...) FORT_DIAG_##id,
#include "step/diag.def"
	FORT_DIAGS
};

struct fort_violation {
	uint16_t diag;  /* enum fort_diag */
	uint16_t inner; /* {inner}: what is wrong with an argument; it has the same arguments */
	uint8_t err;    /* the errno, if not the row's */
	uint8_t reg;
	uint8_t arg; /* {arg}: which argument the inner one is about */
	uint32_t pc;
	int64_t args[4];               /* {0} to {3} of the row's texts */
	const char *text, *field;      /* {group}, {field}: static storage, or NULL */
	struct fort_value value;       /* of the register concerned */
	struct fort_btf_remark remark; /* {remark}: what is to say of types */
};
