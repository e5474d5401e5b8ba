/* Random statements that nothing here can run: sockets, maps of all kinds, helpers that move the
 * packet, tail calls, packet loads of the old kind. For verdicts only.
 */
#include "abi/ctx.h"
#include "abi/uapi.h"
#include "random_gen.h"

static bool ready(const struct gen *g, unsigned depth)
{
	return (g->options & RANDOM_IDLE) && !(g->scope.fixed_regs & ((1u << FORT_R6) - 1)) &&
	       depth < GEN_DEPTH;
}

static bool is_type(const struct gen *g, uint32_t progs)
{
	return fort_prog_by_name(g->out->type)->bit & progs;
}

static void map_argument(struct gen *g, unsigned reg, uint32_t map)
{
	gen_put(g, FORT_ROW_LDIMM_MAP_IDX, reg, 0, 0, map);
}

/* The context into r1, unless nothing holds it. */
static bool context_argument(struct gen *g)
{
	unsigned ctx = gen_find(g, HELD_CTX);

	if (ctx == FORT_R10)
		return false;
	if (ctx != FORT_R1)
		gen_put(g, FORT_ROW_MOV64_X, FORT_R1, ctx, 0, 0);
	return true;
}

static void stack_argument(struct gen *g, unsigned reg, uint32_t slot)
{
	gen_put(g, FORT_ROW_MOV64_X, reg, FORT_R10, 0, 0);
	gen_put(g, FORT_ROW_ADD64_K, reg, 0, 0, -8 * (int)(slot + 1));
}

/* Key of four bytes in the stack, into `reg`. */
static bool key_argument(struct gen *g, unsigned reg)
{
	uint32_t slot = gen_below(g, g->stack_slots);

	if (!gen_store_zero(g, slot))
		return false;
	stack_argument(g, reg, slot);
	gen_put(g, FORT_ROW_ST32, reg, 0, 0, (int)gen_below(g, 5));
	return true;
}

/* --- sockets --- */

/* Loads of fields of a socket, of this kind. */
static void read_socket(struct gen *g, unsigned sock, enum fort_regtype kind)
{
	static const unsigned offsets[] = {0, 4, 8, 12, 16, 24, 28, 44, 48, 50, 52, 60, 72, 76, 80};
	unsigned to = gen_free(g, false);

	for (unsigned i = gen_below(g, 3); i && to < FORT_R10 && to != sock; i--) {
		unsigned off = offsets[gen_below(g, FORT_LEN(offsets))];
		unsigned bytes = 1u << gen_below(g, 4);

		if (!fort_behind_access(kind, off, bytes, false) && !gen_slip(g))
			continue;
		gen_put(g, gen_memory_row(FORT_LDX, FORT_OP_LDX, bytes), to, sock, (int)off, 0);
		gen_set(g, to, HELD_NUMBER);
	}
}

/* sk_fullsock or tcp_sock of what is in `sock`. */
static void cast_socket(struct gen *g, unsigned sock)
{
	bool full = gen_chance(g, 50);
	struct block block = {.n = 0};

	gen_put(g, FORT_ROW_MOV64_X, FORT_R1, sock, 0, 0);
	gen_call(g, full ? 95 : 96);
	gen_set(g, FORT_R0, HELD_NOTHING);
	if (!gen_slip(g))
		gen_leave(g, &block, gen_put(g, FORT_ROW_JEQ64_K, FORT_R0, 0, 0, 0));
	read_socket(g, FORT_R0, full ? FORT_REGTYPE_SOCKET : FORT_REGTYPE_TCP_SOCK);
	gen_end(g, &block);
}

/* The socket of the packet: skb->sk. */
void gen_socket(struct gen *g, unsigned depth)
{
	unsigned ctx = gen_find(g, HELD_CTX), sock = gen_free(g, true);
	struct block block = {.n = 0};
	uint16_t fixed = g->scope.fixed_regs;

	if (!ready(g, depth) || !is_type(g, FORT_BIT_TC | FORT_BIT_CSKB) || ctx == FORT_R10 ||
	    sock == FORT_R10 || sock == ctx)
		return;
	gen_put(g, FORT_ROW_LDX64, sock, ctx, 168, 0);
	gen_set(g, sock, HELD_NOTHING);
	if (!gen_slip(g))
		gen_leave(g, &block, gen_put(g, FORT_ROW_JEQ64_K, sock, 0, 0, 0));
	g->scope.fixed_regs |= (uint16_t)(1u << sock);
	read_socket(g, sock, FORT_REGTYPE_SOCK_COMMON);
	if (gen_chance(g, 60))
		cast_socket(g, sock);
	g->scope.fixed_regs = fixed;
	gen_end(g, &block);
}

/* A socket that was looked up, used, and mostly given back. */
void gen_lookup_socket(struct gen *g, unsigned depth)
{
	static const int helpers[] = {84, 85, 99}; /* TCP, UDP, any TCP socket */
	unsigned which = gen_below(g, FORT_LEN(helpers)), sock = gen_free(g, true);
	uint32_t slot = 1 + gen_below(g, g->stack_slots - 1);
	struct block block = {.n = 0};
	uint16_t fixed = g->scope.fixed_regs;

	if (!ready(g, depth) || sock == FORT_R10 ||
	    !is_type(g, FORT_BIT_TC | FORT_BIT_XDP | FORT_BIT_CSKB | FORT_BIT_SKSKB) ||
	    !gen_store_zero(g, slot) || !gen_store_zero(g, slot - 1) || !context_argument(g))
		return;
	stack_argument(g, FORT_R2, slot);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, 12);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R4, 0, 0, 0);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R5, 0, 0, 0);
	gen_call(g, helpers[which]);
	gen_put(g, FORT_ROW_MOV64_X, sock, FORT_R0, 0, 0);
	gen_set(g, FORT_R0, HELD_NOTHING);
	gen_set(g, sock, HELD_NOTHING);
	if (!gen_slip(g))
		gen_leave(g, &block, gen_put(g, FORT_ROW_JEQ64_K, sock, 0, 0, 0));
	g->scope.fixed_regs |= (uint16_t)(1u << sock);
	read_socket(g, sock, which == 2 ? FORT_REGTYPE_SOCK_COMMON : FORT_REGTYPE_SOCKET);
	if (is_type(g, FORT_BIT_TC | FORT_BIT_CSKB) && gen_chance(g, 50))
		cast_socket(g, sock);
	if (gen_chance(g, 50))
		gen_block(g, 2 + (int)gen_below(g, 6), depth + 1);
	if (!gen_slip(g)) {
		gen_put(g, FORT_ROW_MOV64_X, FORT_R1, sock, 0, 0);
		gen_call(g, 86);
	}
	if (gen_slip(g))
		read_socket(g, sock, FORT_REGTYPE_SOCKET);
	g->scope.fixed_regs = fixed;
	gen_end(g, &block);
}

/* --- maps --- */

/* A map from a map, and a value of it. */
void gen_inner(struct gen *g, unsigned depth)
{
	static const enum lab_map maps[] = {LAB_ARRAYS, LAB_HASHES, LAB_SIZES};
	enum lab_map map = maps[gen_below(g, FORT_LEN(maps))];
	const struct fort_map_shape *inner = &lab_shapes[lab_shapes[map].inner - 1];
	uint32_t slot = gen_below(g, g->stack_slots), off;
	struct block block = {.n = 0};

	if (!ready(g, depth) || !gen_store_zero(g, slot) || !key_argument(g, FORT_R2))
		return;
	map_argument(g, FORT_R1, map);
	gen_call(g, 1);
	gen_set(g, FORT_R0, HELD_NOTHING);
	if (!gen_slip(g))
		gen_leave(g, &block, gen_put(g, FORT_ROW_JEQ64_K, FORT_R0, 0, 0, 0));
	gen_put(g, FORT_ROW_MOV64_X, FORT_R1, FORT_R0, 0, 0);
	stack_argument(g, FORT_R2, slot);
	/* As wide as the key: of wider stores the kernel does not know that they make a known key. */
	if (inner->key_bytes == 4)
		gen_put(g, FORT_ROW_ST32, FORT_R2, 0, 0, (int)gen_below(g, 5));
	gen_call(g, 1);
	gen_set(g, FORT_R0, HELD_NOTHING);
	if (!gen_slip(g))
		gen_leave(g, &block, gen_put(g, FORT_ROW_JEQ64_K, FORT_R0, 0, 0, 0));
	off = gen_below(g, inner->value_bytes / 8) * 8 + (gen_slip(g) ? 4 : 0);
	gen_put(g, FORT_ROW_LDX64, FORT_R0, FORT_R0, (int)off, 0);
	gen_end(g, &block);
	gen_set(g, FORT_R0, HELD_NOTHING);
}

/* Values that are pushed, popped and asked for; storage that is there. */
void gen_queue(struct gen *g, unsigned depth)
{
	static const int helpers[] = {87, 88, 89}; /* push, pop, peek */
	enum lab_map map = gen_chance(g, 60) ? LAB_QUEUE : LAB_BLOOM;
	int helper = helpers[gen_below(g, FORT_LEN(helpers))];
	uint32_t slot = gen_below(g, g->stack_slots);

	if (!ready(g, depth) || (map == LAB_BLOOM && helper == 88 && !gen_slip(g)) ||
	    !gen_store_zero(g, slot))
		return;
	map_argument(g, FORT_R1, map);
	stack_argument(g, FORT_R2, slot);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, 0);
	gen_call(g, helper);
	g->scope.slots[slot].most = UINT64_MAX;
}

/* --- the packet --- */

/* Whatever may have moved it. */
static void forget_packet(struct gen *g)
{
	for (unsigned reg = FORT_R0; reg < FORT_R10; reg++)
		if (g->scope.regs[reg].held == HELD_PACKET ||
		    g->scope.regs[reg].held == HELD_META || g->scope.regs[reg].held == HELD_END)
			gen_set(g, reg, HELD_NOTHING);
	for (unsigned slot = 0; slot < GEN_SLOTS; slot++)
		if (g->scope.slots[slot].held == HELD_PACKET ||
		    g->scope.slots[slot].held == HELD_META ||
		    g->scope.slots[slot].held == HELD_END)
			g->scope.slots[slot] = (struct holding){0};
}

void gen_move_packet(struct gen *g, unsigned depth)
{
	if (!ready(g, depth) || !is_type(g, FORT_BIT_TC | FORT_BIT_XDP | FORT_BIT_SKSKB) ||
	    !context_argument(g))
		return;
	gen_put(g, FORT_ROW_MOV64_K, FORT_R2, 0, 0, (int)gen_below(g, 64) - 32);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, 0);
	/* pull_data, change_tail; adjust_head, adjust_tail */
	gen_call(g, is_type(g, FORT_BIT_XDP) ? (gen_chance(g, 50) ? 44 : 65)
					     : (gen_chance(g, 50) ? 39 : 38));
	if (!gen_slip(g))
		forget_packet(g);
}

/* Packet loads of the old kind; r6 must have the context. */
void gen_legacy(struct gen *g, unsigned depth)
{
	if (!ready(g, depth) || g->function != g->n_functions ||
	    !is_type(g, FORT_BIT_SF | FORT_BIT_TC) ||
	    (g->scope.regs[FORT_R6].held != HELD_CTX && !gen_slip(g)))
		return;
	gen_put(g, gen_row(g, FORT_LDABS), 0, 0, 0, (int)gen_below(g, 100));
	gen_forget_arguments(g);
}

/* --- other helpers --- */

/* Bytes that are compared, parsed, summed up. */
static void text_helper(struct gen *g, uint32_t slot)
{
	unsigned size = gen_chance(g, 50) ? gen_index(g, 8) : FORT_R10;

	if (size == FORT_R10)
		gen_put(g, FORT_ROW_MOV64_K, FORT_R2, 0, 0, 1 + (int)gen_below(g, 8));
	else
		gen_put(g, FORT_ROW_MOV64_X, FORT_R2, size, 0, 0);
	stack_argument(g, FORT_R1, slot);
	if (gen_chance(g, 50)) {
		gen_put(g, FORT_ROW_LDIMM_MAP_IDX_VALUE, FORT_R3, 0, 0,
			(int64_t)((gen_slip(g) ? 48ull : 16 * gen_below(g, 3)) << 32 | LAB_TEXTS));
		gen_call(g, 182); /* strncmp */
		return;
	}
	gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, 10);
	stack_argument(g, FORT_R4, slot - 1);
	if (gen_slip(g))
		gen_put(g, FORT_ROW_ADD64_K, FORT_R4, 0, 0, -4);
	gen_call(g, 105); /* strtol */
	g->scope.slots[slot - 1].most = UINT64_MAX;
}

static void output_helper(struct gen *g, uint32_t slot)
{
	if (!context_argument(g))
		return;
	map_argument(g, FORT_R2, gen_slip(g) ? LAB_STACKS : LAB_EVENTS);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, 0);
	stack_argument(g, FORT_R4, slot);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R5, 0, 0, (int)gen_below(g, gen_slip(g) ? 600 : 9));
	gen_call(g, 25);
}

void gen_idle_helper(struct gen *g, unsigned depth)
{
	uint32_t slot = 1 + gen_below(g, g->stack_slots - 1);

	if (!ready(g, depth) || !gen_store_zero(g, slot) || !gen_store_zero(g, slot - 1))
		return;
	switch (gen_below(g, 4)) {
	case 0: output_helper(g, slot); return;
	case 1:
		if (!is_type(g, FORT_BIT_XDP))
			return;
		map_argument(g, FORT_R1, gen_chance(g, 50) ? LAB_XSKS : LAB_DEVICES);
		gen_put(g, FORT_ROW_MOV64_K, FORT_R2, 0, 0, 0);
		gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, 0);
		gen_call(g, 51); /* redirect_map */
		return;
	default: text_helper(g, slot);
	}
}

void gen_tail_call(struct gen *g, unsigned depth)
{
	if (!ready(g, depth) || g->function != g->n_functions || !context_argument(g))
		return;
	map_argument(g, FORT_R2, LAB_PROGS);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, (int)gen_below(g, 6));
	gen_call(g, 12);
	gen_set(g, FORT_R0, HELD_NOTHING);
	forget_packet(g);
}
