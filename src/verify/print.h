/* Abstract states as text, in the form of the kernel's verifier log (kernel/bpf/log.c). */
#pragma once

#include "base/text.h"
#include "step/step.h"

/* Names that a state does not know; members and the whole may be NULL. */
struct fort_print_names {
	/* Name of map number `index`, or NULL. */
	const char *(*map)(void *context, uint32_t index);
	void *context;
};

/* "scalar", "map_value_or_null", "fp", ... */
void fort_type_text(const struct fort_value *value, struct fort_text *out);
/* "local", "ringbuf", ...: a kind of dynptr. */
const char *fort_dynptr_text(int64_t kind);
/* "num", of "bpf_iter_num". */
const char *fort_iter_text(const char *name);
/* "scalar(umax=255,...)", "pkt(off=14,r=14)", "fp-8", ... of a value in frame `frame`. Without the
 * state that it is of, not how much of the packet is proven. */
void fort_value_text(const struct fort_env *env, const struct fort_print_names *names,
		     const struct fort_state *state, const struct fort_value *value, uint32_t frame,
		     struct fort_text *out);
/* " R0=... R10=fp0 fp-8=mmmmmmmm refs=1": registers and slots of the masks, of one frame. */
void fort_frame_text(const struct fort_env *env, const struct fort_print_names *names,
		     const struct fort_state *state, uint32_t frame, uint16_t regs, uint64_t slots,
		     struct fort_text *out);
/* A range of numbers for people: "5", "[0, 255]", "[-1, 4096]", "unknown". */
void fort_range_text(const struct fort_scalar *num, struct fort_text *out);
