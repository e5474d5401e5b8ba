#include "attach/displace.h"

#include <string.h>

#include "attach/machine.h"

#define ENDBR_BYTES 4u

/* The displaced code while it is written. */
struct body {
	uint8_t *data;
	uint64_t address;
	uint32_t bytes;
	bool full;
};

const char *fort_refusal_text(enum fort_refusal refusal)
{
	static const char *const texts[] = {
#define FORT_REFUSAL(name, why) [FORT_REFUSAL_##name] = why,
#include "attach/refusal.def"
#undef FORT_REFUSAL
	};

	return refusal < FORT_REFUSALS ? texts[refusal] : texts[0];
}

static void put(struct body *body, const void *data, uint32_t bytes)
{
	if (bytes > FORT_BODY_BYTES_MAX - body->bytes) {
		body->full = true;
		return;
	}
	memcpy(body->data + body->bytes, data, bytes);
	body->bytes += bytes;
}

static void put8(struct body *body, unsigned value)
{
	uint8_t byte = (uint8_t)value;

	put(body, &byte, 1);
}

static void put32(struct body *body, uint64_t value)
{
	uint32_t word = (uint32_t)value;

	put(body, &word, sizeof(word));
}

/* Does a 32-bit displacement from `from` reach `to`? */
static bool reaches(uint64_t from, uint64_t to)
{
	int64_t distance = (int64_t)(to - from);

	return distance == (int32_t)distance;
}

static uint64_t here(const struct body *body)
{
	return body->address + body->bytes;
}

/* jmp rel32, or through a word behind it: no register is free. */
#define JUMP_NEAR 5u
#define JUMP_FAR  14u
static uint32_t jump_bytes(const struct body *body, uint64_t target)
{
	return reaches(here(body) + JUMP_NEAR, target) ? JUMP_NEAR : JUMP_FAR;
}

static void put_far_jump(struct body *body, uint64_t target)
{
	put8(body, 0xff);
	put8(body, 0x25);
	put32(body, 0);
	put(body, &target, sizeof(target));
}

static void put_jump(struct body *body, uint64_t target)
{
	if (jump_bytes(body, target) == JUMP_FAR) {
		put_far_jump(body, target);
		return;
	}
	put8(body, 0xe9);
	put32(body, target - (here(body) + 4));
}

static void put_branch(struct body *body, unsigned condition, uint64_t target)
{
	if (reaches(here(body) + 6, target)) {
		put8(body, 0x0f);
		put8(body, 0x80 | condition);
		put32(body, target - (here(body) + 4));
		return;
	}
	put8(body, 0x70 | (condition ^ 1)); /* the opposite, over the jump */
	put8(body, JUMP_FAR);
	put_far_jump(body, target);
}

/* loop, jrcxz: to a jump behind the one that goes on. */
static void put_loop(struct body *body, const uint8_t *code, uint32_t bytes, uint64_t target)
{
	put(body, code, bytes - 1);
	put8(body, 2);
	put8(body, 0xeb);
	put8(body, JUMP_FAR);
	put_far_jump(body, target);
}

/* push $address: low half, sign-extended, then the high half over it. */
static void put_push(struct body *body, uint64_t address)
{
	put8(body, 0x68);
	put32(body, address);
	put(body, "\xc7\x44\x24\x04", 4);
	put32(body, address >> 32);
}

/* The instruction as it is, but for a RIP-relative displacement and perhaps its ModRM byte. */
static enum fort_refusal put_copy(struct body *body, const uint8_t *code,
				  const struct fort_machine_insn *insn, int modrm)
{
	uint8_t copy[FORT_MACHINE_INSN_BYTES];
	uint64_t end = here(body) + insn->bytes;
	uint32_t displacement;

	memcpy(copy, code, insn->bytes);
	if (modrm >= 0)
		copy[insn->modrm_at] = (uint8_t)modrm;
	if (insn->disp_at) {
		if (!reaches(end, insn->memory))
			return FORT_REFUSAL_FAR;
		displacement = (uint32_t)(insn->memory - end);
		memcpy(copy + insn->disp_at, &displacement, sizeof(displacement));
	}
	put(body, copy, insn->bytes);
	return FORT_REFUSAL_NONE;
}

/* call *x: the original return address, then jmp *x (the next value of ModRM's middle field but
 * one). */
static enum fort_refusal put_indirect_call(struct body *body, const uint8_t *code,
					   const struct fort_machine_insn *insn,
					   uint64_t return_address)
{
	if (insn->uses_rsp)
		return FORT_REFUSAL_CALL_STACK;
	put_push(body, return_address);
	return put_copy(body, code, insn, (code[insn->modrm_at] & ~0x38) | 4 << 3);
}

/* One instruction of the window, `at` bytes behind `patch`. */
static enum fort_refusal displace(struct body *body, const uint8_t *code,
				  const struct fort_machine_insn *insn, uint64_t patch, uint32_t at,
				  bool shadow_stack)
{
	uint32_t end = at + insn->bytes;
	bool direct = insn->target - (patch + 1) < FORT_JUMP_BYTES - 1;

	switch (insn->kind) {
	case FORT_MACHINE_JUMP:
	case FORT_MACHINE_BRANCH:
	case FORT_MACHINE_LOOP:
		if (direct)
			return FORT_REFUSAL_BRANCH_INSIDE;
		if (insn->kind == FORT_MACHINE_JUMP)
			put_jump(body, insn->target);
		else if (insn->kind == FORT_MACHINE_BRANCH)
			put_branch(body, insn->condition, insn->target);
		else
			put_loop(body, code, insn->bytes, insn->target);
		return FORT_REFUSAL_NONE;
	case FORT_MACHINE_CALL:
	case FORT_MACHINE_CALL_INDIRECT:
		if (shadow_stack)
			return FORT_REFUSAL_SHADOW_STACK;
		if (end < FORT_JUMP_BYTES)
			return FORT_REFUSAL_CALL_INSIDE;
		if (insn->kind == FORT_MACHINE_CALL_INDIRECT)
			return put_indirect_call(body, code, insn, patch + end);
		put_push(body, patch + end);
		put_jump(body, insn->target);
		return FORT_REFUSAL_NONE;
	case FORT_MACHINE_BREAKPOINT: return FORT_REFUSAL_BREAKPOINT;
	case FORT_MACHINE_TRAP:
	case FORT_MACHINE_BARRED: return FORT_REFUSAL_BARRED;
	default: return put_copy(body, code, insn, -1);
	}
}

/* Are the bytes from `at` to the end of the jump padding between functions? */
static bool is_padding(const struct fort_displace *request, uint32_t skip, uint32_t at)
{
	struct fort_machine_insn insn;

	if (skip + FORT_JUMP_BYTES > request->room || skip + FORT_JUMP_BYTES > request->bytes)
		return false;
	while (at < FORT_JUMP_BYTES) {
		if (!fort_machine_decode(request->code + skip + at, request->bytes - skip - at, 0,
					 &insn) ||
		    (insn.kind != FORT_MACHINE_NOP && insn.kind != FORT_MACHINE_BREAKPOINT))
			return false;
		at += insn.bytes;
	}
	return true;
}

enum fort_refusal fort_displace_plan(const struct fort_displace *request,
				     struct fort_site_plan *plan)
{
	struct fort_site_plan result = {.address = request->address,
					.stub = request->stub,
					.block = request->block};
	struct body body = {.data = result.body, .address = request->stub + FORT_STUB_BODY};
	struct fort_machine_insn insn = {.kind = FORT_MACHINE_NOP};
	enum fort_refusal refusal = FORT_REFUSAL_NONE;
	uint32_t skip = 0, at = 0;

	if (fort_machine_decode(request->code, request->bytes, request->address, &insn) &&
	    insn.kind == FORT_MACHINE_ENDBR)
		skip = ENDBR_BYTES;
	result.patch = request->address + skip;
	do {
		if (!fort_machine_decode(request->code + skip + at, request->bytes - skip - at,
					 result.patch + at, &insn))
			return FORT_REFUSAL_UNDECODABLE;
		refusal = displace(&body, request->code + skip + at, &insn, result.patch, at,
				   request->shadow_stack);
		if (refusal)
			return refusal;
		at += insn.bytes;
		result.n_insns++;
		result.from[result.n_insns] = (uint8_t)at;
		result.to[result.n_insns] = (uint8_t)body.bytes;
	} while (at < FORT_JUMP_BYTES && !fort_machine_ends(&insn));
	if (at < FORT_JUMP_BYTES && !is_padding(request, skip, at))
		return FORT_REFUSAL_SHORT;
	if (!fort_machine_ends(&insn))
		put_jump(&body, result.patch + at);
	if (body.full)
		return FORT_REFUSAL_LARGE;
	result.window_bytes = at < FORT_JUMP_BYTES ? FORT_JUMP_BYTES : at;
	result.body_bytes = body.bytes;
	memcpy(result.original, request->code + skip, result.window_bytes);
	*plan = result;
	return FORT_REFUSAL_NONE;
}
