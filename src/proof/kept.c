/* Claims that keep what arrives. Trusted.
 *
 * Why nothing can go wrong: every step here forgets. A register without a value and a slot without
 * marks say nothing; a count that may be anything a counter can be says nothing; nor does a ghost
 * that is not there. Settling keeps what is said. So what was true of the run that arrived still
 * is.
 */
#include "proof/claim.h"

#include <errno.h>
#include <string.h>

#include "proof/claim_format.h"

bool fort_claim_is_kept(struct fort_span claim)
{
	return claim.bytes && claim.data[0] == FORT_CLAIM_KEPT;
}

static void keep_slots(struct fort_frame *frame, uint64_t slots)
{
	static const struct fort_slot blank;
	uint32_t n = 0;

	for (uint32_t s = 0; s < frame->n_slots; s++)
		if (slots >> s & 1)
			n = s + 1;
		else
			frame->slots[s] = blank;
	frame->n_slots = n; /* what is behind is as if it was never touched */
}

static bool keep_frame(struct fort_reader *reader, struct fort_frame *frame)
{
	uint64_t registers, slots, goes;

	if (fort_reader_varint(reader, &registers) || registers >> FORT_R10 ||
	    fort_reader_varint(reader, &slots) || fort_reader_varint(reader, &goes) || goes > 1)
		return false;
	for (unsigned r = 0; r < FORT_R10; r++)
		if (!(registers >> r & 1))
			frame->regs[r] = (struct fort_value){0};
	keep_slots(frame, slots);
	if (!goes)
		frame->goes = fort_value_counter();
	return true;
}

int fort_claim_keep(struct fort_span claim, struct fort_pool *pool, struct fort_state *state)
{
	struct fort_reader reader = fort_reader_on(claim.data, claim.bytes);
	uint64_t n_frames;
	uint8_t form;

	if (fort_reader_u8(&reader, &form) || form != FORT_CLAIM_KEPT ||
	    fort_reader_varint(&reader, &n_frames) || n_frames != state->n_frames)
		return -EBADMSG;
	for (uint32_t f = 0; f < state->n_frames; f++)
		if (!keep_frame(&reader, state->frames[f]))
			return -EBADMSG;
	if (fort_reader_left(&reader))
		return -EBADMSG;
	state->n_ghosts = 0;
	return fort_state_settle(pool, state) ? 0 : -ENOMEM;
}
