/* Diagnostics as text: the rows of step/diag.def with their placeholders filled in. */
#pragma once

#include "verify/narrate.h"
#include "verify/verify.h"

enum fort_diag_class {
	FORT_CLASS_FORM,
	FORT_CLASS_SAFETY,
	FORT_CLASS_RULE,
	FORT_CLASS_LIMIT,
	FORT_CLASS_LATER,
	FORT_CLASS_INTERNAL,
};

/* What diag.def says of one cause. */
struct fort_diag_info {
	const char *code, *class_name;
	int errno_value; /* positive */
	uint8_t class;   /* enum fort_diag_class */
	const char *kernel, *title, *message, *needed, *known, *hint;
};

const struct fort_diag_info *fort_diag_info(enum fort_diag diag);

/* A placeholder with a text of its own. */
struct fort_word {
	const char *name, *text;
};

/* What the placeholders refer to. */
struct fort_render {
	const struct fort_env *env; /* NULL when the program was not decoded */
	const struct fort_print_names *names;
	const struct fort_violation *violation;
	const struct fort_state *state; /* {loop_states}: in which the program came back */
	const char *fault;              /* {fault}: of the checker */
	const char *isa; /* {isa}: what decoding or the graph says, in the kernel's words */
	const struct fort_word *words; /* looked at first */
	uint32_t n_words;
};

/* Fills one text of a row ("kernel", "message", ...). */
void fort_render_text(const struct fort_render *render, const char *text, struct fort_text *out);

/* What is wrong with a program that could not be decoded, or has no graph, as a violation. */
struct fort_violation fort_decode_violation(const struct fort_decode_error *error);
struct fort_violation fort_graph_violation(const struct fort_graph_error *error);
