/* What there is to say about a use of types, as data: a row of remark.def and its arguments. Text
 * is made when somebody wants to read it.
 */
#pragma once

#include "base/text.h"
#include "btf/btf.h"

enum fort_btf_remark_id {
	FORT_REMARK_NONE,
#define FORT_REMARK(id, ...) FORT_REMARK_##id,
#include "btf/remark.def"
	FORT_REMARKS
};

#define FORT_REMARK_ARGS 6

struct fort_btf_remark {
	uint16_t id; /* enum fort_btf_remark_id */
	const struct fort_btf *btf, *other;
	const char *word;                /* static storage */
	uint32_t args[FORT_REMARK_ARGS]; /* offsets of strings, kinds, numbers */
};

/* Fills *remark and returns the row's errno, negative. */
int fort_btf_remark_set(struct fort_btf_remark *remark, enum fort_btf_remark_id id,
			const struct fort_btf *btf, const uint32_t args[FORT_REMARK_ARGS]);

/* FORT_BTF_SAY(remark, btf, NO_MEMBER, name, offset) */
#define FORT_BTF_SAY(remark, btf, id, ...)                   \
	fort_btf_remark_set((remark), FORT_REMARK_##id, btf, \
			    (const uint32_t[FORT_REMARK_ARGS]){__VA_ARGS__})

/* The text without a line's end; nothing for FORT_REMARK_NONE. */
void fort_btf_remark_print(const struct fort_btf_remark *remark, struct fort_text *out);
