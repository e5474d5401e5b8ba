/* Random statements about memory: stack, maps, ring buffers, packets, contexts, atomics. */
#include "abi/uapi.h"
#include "random_gen.h"

static bool writable(const struct gen *g, unsigned reg)
{
	return reg < FORT_R10 && !(g->scope.fixed_regs >> reg & 1);
}

static unsigned any_size(struct gen *g)
{
	return 1u << gen_below(g, 4);
}

static uint64_t most_of(unsigned bytes)
{
	return bytes == 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
}

/* A load or store of a number at this pointer; `may_write` for memory that allows it. */
static void touch(struct gen *g, unsigned pointer, int off, unsigned bytes, bool may_write)
{
	unsigned reg;

	switch (may_write ? gen_below(g, 4) : 0) {
	case 0:
	case 1:
		reg = gen_free(g, false);
		if (reg == FORT_R10 || reg == pointer)
			return;
		if (bytes < 8 && gen_chance(g, 25)) {
			gen_put(g, gen_memory_row(FORT_LDX, FORT_OP_LDXS, bytes), reg, pointer, off,
				0);
			gen_set(g, reg, HELD_NUMBER);
			return;
		}
		gen_put(g, gen_memory_row(FORT_LDX, FORT_OP_LDX, bytes), reg, pointer, off, 0);
		gen_set(g, reg, HELD_NUMBER);
		g->scope.regs[reg].most = most_of(bytes);
		return;
	case 2:
		gen_put(g, gen_memory_row(FORT_ST, FORT_OP_ST, bytes), pointer, 0, off,
			(int32_t)random_number(&g->random));
		return;
	default:
		reg = gen_find(g, HELD_NUMBER);
		if (reg < FORT_R10 && reg != pointer)
			gen_put(g, gen_memory_row(FORT_STX, FORT_OP_STX, bytes), pointer, reg, off,
				0);
	}
}

/* An offset for `bytes` bytes in `room`, aligned mostly; outside now and then. */
static int any_offset(struct gen *g, uint32_t room, unsigned bytes)
{
	uint32_t off = gen_below(g, room - bytes + 1);

	if (gen_slip(g))
		return (int)(room - bytes) + (int)gen_below(g, 9) - 3;
	return (int)(off - off % bytes);
}

/* --- stack --- */

bool gen_store_zero(struct gen *g, uint32_t slot)
{
	if (g->scope.fixed_slots >> slot & 1)
		return false;
	gen_put(g, FORT_ROW_ST64, FORT_R10, 0, -8 * (int)(slot + 1),
		gen_chance(g, 60) ? 0 : (int32_t)random_number(&g->random));
	g->scope.slots[slot] = (struct holding){.held = HELD_NUMBER, .most = UINT64_MAX};
	return true;
}

/* Number bytes of stack, slots from `*slot` down: 0 when there is no room. */
static bool stack_area(struct gen *g, uint32_t bytes, uint32_t *slot)
{
	uint32_t n = (bytes + 7) / 8, top = g->stack_slots;

	if (n > top)
		return false;
	*slot = n - 1 + gen_below(g, top - n + 1);
	for (uint32_t i = 0; i < n; i++)
		if (!gen_store_zero(g, *slot - i))
			return false;
	return true;
}

static void point_to_slot(struct gen *g, unsigned reg, uint32_t slot)
{
	gen_put(g, FORT_ROW_MOV64_X, reg, FORT_R10, 0, 0);
	gen_put(g, FORT_ROW_ADD64_K, reg, 0, 0, -8 * (int)(slot + 1));
	gen_set(g, reg, HELD_STACK);
}

void gen_store(struct gen *g, unsigned depth)
{
	uint32_t slot = gen_below(g, g->stack_slots);
	unsigned reg = gen_below(g, FORT_R10), bytes = any_size(g);
	struct holding *held = &g->scope.slots[slot];
	int off = -8 * (int)(slot + 1);

	(void)depth;
	if (g->scope.fixed_slots >> slot & 1)
		return;
	if (g->scope.regs[reg].held > HELD_NUMBER && g->scope.regs[reg].held != HELD_STACK) {
		gen_put(g, FORT_ROW_STX64, FORT_R10, reg, off, 0);
		*held = g->scope.regs[reg];
		return;
	}
	if (g->scope.regs[reg].held == HELD_NUMBER && gen_chance(g, 60)) {
		gen_put(g, FORT_ROW_STX64, FORT_R10, reg, off, 0);
		*held = g->scope.regs[reg];
		return;
	}
	if (held->held != HELD_NUMBER && (bytes < 8 || (g->options & RANDOM_REPEATABLE)) &&
	    !gen_store_zero(g, slot))
		return;
	touch(g, FORT_R10, off + (int)(gen_below(g, 8 / bytes) * bytes), bytes, true);
	if (bytes < 8 || held->held == HELD_NUMBER)
		*held = (struct holding){.held = HELD_NUMBER, .most = UINT64_MAX};
	else
		(void)gen_store_zero(g, slot);
}

void gen_load(struct gen *g, unsigned depth)
{
	uint32_t slot = gen_below(g, g->stack_slots);
	unsigned reg = gen_free(g, gen_chance(g, 50)), bytes = any_size(g);
	const struct holding *held = &g->scope.slots[slot];
	int off = -8 * (int)(slot + 1);

	(void)depth;
	if (reg == FORT_R10 || held->held == HELD_NOTHING)
		return;
	if (held->held > HELD_NUMBER || gen_chance(g, 50)) {
		gen_put(g, FORT_ROW_LDX64, reg, FORT_R10, off, 0);
		g->scope.regs[reg] = *held;
		return;
	}
	gen_put(g, gen_memory_row(FORT_LDX, FORT_OP_LDX, bytes), reg, FORT_R10,
		off + (int)(gen_below(g, 8 / bytes) * bytes), 0);
	gen_set(g, reg, HELD_NUMBER);
	g->scope.regs[reg].most = most_of(bytes);
}

/* At an index that is known only by its bound. */
void gen_stack_variable(struct gen *g, unsigned depth)
{
	uint32_t n = 1 + gen_below(g, 4), slot;
	unsigned bytes = g->options & RANDOM_ALIGNED ? 1 : any_size(g);
	unsigned index, pointer = gen_free(g, false);

	(void)depth;
	if (pointer == FORT_R10 || !stack_area(g, n * 8, &slot))
		return;
	index = gen_index(g, n * 8 - bytes);
	if (index == FORT_R10 || index == pointer || !writable(g, pointer))
		return;
	point_to_slot(g, pointer, slot);
	gen_put(g, FORT_ROW_ADD64_X, pointer, index, 0, 0);
	touch(g, pointer, 0, bytes, true);
	gen_set(g, pointer, HELD_NOTHING);
}

/* --- map values --- */

void gen_global(struct gen *g, unsigned reg)
{
	gen_put(g, FORT_ROW_LDIMM_MAP_IDX_VALUE, reg, 0, 0, LAB_GLOBAL);
	gen_set(g, reg, HELD_VALUE);
	g->scope.regs[reg].object = LAB_GLOBAL;
}

static bool map_may_write(uint32_t map)
{
	return !(lab_shapes[map].flags & BPF_F_RDONLY_PROG);
}

/* One access to the value in `reg`. */
static void use_value(struct gen *g, unsigned reg, uint32_t map)
{
	uint32_t room = lab_shapes[map].value_bytes;
	unsigned bytes = any_size(g), index, pointer;

	while (bytes > room)
		bytes /= 2;
	if (lab_shapes[map].flags & BPF_F_WRONLY_PROG) {
		gen_put(g, gen_memory_row(FORT_ST, FORT_OP_ST, bytes), reg, 0,
			any_offset(g, room, bytes), 7);
		return;
	}
	if (gen_chance(g, 50)) {
		touch(g, reg, any_offset(g, room, bytes), bytes, map_may_write(map));
		return;
	}
	index = gen_index(g, room - bytes);
	pointer = gen_free(g, false);
	if (index == FORT_R10 || pointer == FORT_R10 || pointer == index || pointer == reg ||
	    g->scope.regs[reg].held != HELD_VALUE)
		return;
	gen_put(g, FORT_ROW_MOV64_X, pointer, reg, 0, 0);
	gen_put(g, FORT_ROW_ADD64_X, pointer, index, 0, 0);
	touch(g, pointer, 0, bytes, map_may_write(map));
	gen_set(g, pointer, HELD_NOTHING);
}

void gen_value(struct gen *g, unsigned depth)
{
	unsigned reg = gen_find(g, HELD_VALUE);

	(void)depth;
	if (reg == FORT_R10) {
		reg = gen_free(g, false);
		if (reg == FORT_R10)
			return;
		gen_global(g, reg);
	}
	use_value(g, reg, g->scope.regs[reg].object);
}

void gen_forget_arguments(struct gen *g)
{
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		gen_set(g, reg, HELD_NOTHING);
	gen_set(g, FORT_R0, HELD_NUMBER);
}

static bool calls_possible(const struct gen *g)
{
	return !(g->scope.fixed_regs & ((1u << FORT_R6) - 1));
}

/* r0 may be NULL: a block in which it is not. */
static void with_result(struct gen *g, struct holding holding, unsigned depth,
			void (*use)(struct gen *g, unsigned reg, const struct holding *holding))
{
	struct block block = {.n = 0};
	unsigned reg = gen_free(g, true);
	uint16_t fixed = g->scope.fixed_regs;

	if (reg == FORT_R10)
		reg = FORT_R0;
	else
		gen_put(g, FORT_ROW_MOV64_X, reg, FORT_R0, 0, 0);
	gen_set(g, reg, HELD_NOTHING);
	gen_set(g, FORT_R0, HELD_NOTHING);
	if (!gen_slip(g))
		gen_leave(g, &block, gen_put(g, FORT_ROW_JEQ64_K, FORT_R0, 0, 0, 0));
	g->scope.regs[reg] = holding;
	g->scope.fixed_regs |= (uint16_t)(1u << reg);
	use(g, reg, &holding);
	if (depth < GEN_DEPTH && reg != FORT_R0)
		gen_block(g, 2 + (int)gen_below(g, 10), depth + 1);
	g->scope.fixed_regs = fixed;
	if (holding.held == HELD_RING) {
		gen_put(g, FORT_ROW_MOV64_X, FORT_R1, reg, 0, 0);
		gen_put(g, FORT_ROW_MOV64_K, FORT_R2, 0, 0, 0);
		gen_call(g, gen_chance(g, 50) ? 132 : 133);
		gen_set(g, FORT_R0, HELD_NOTHING);
		gen_forget_object(g, HELD_RING, holding.id);
	}
	gen_end(g, &block);
}

void gen_forget_object(struct gen *g, enum held held, uint32_t id)
{
	for (unsigned reg = FORT_R0; reg < FORT_R10; reg++)
		if (g->scope.regs[reg].held == held && g->scope.regs[reg].id == id)
			gen_set(g, reg, HELD_NOTHING);
	for (unsigned slot = 0; slot < GEN_SLOTS; slot++)
		if (g->scope.slots[slot].held == held && g->scope.slots[slot].id == id)
			g->scope.slots[slot] = (struct holding){0};
}

static void use_result(struct gen *g, unsigned reg, const struct holding *holding)
{
	use_value(g, reg, holding->object);
}

static void key_argument(struct gen *g, uint32_t map, uint32_t slot)
{
	gen_put(g, FORT_ROW_LDIMM_MAP_IDX, FORT_R1, 0, 0, map);
	point_to_slot(g, FORT_R2, slot);
	if (lab_shapes[map].key_bytes == 4)
		gen_put(g, FORT_ROW_ST32, FORT_R2, 0, 0, (int)gen_below(g, 5));
	else
		gen_put(g, FORT_ROW_ST64, FORT_R2, 0, 0, (int)gen_below(g, 6));
}

static const enum lab_map keyed[] = {LAB_ARRAY,  LAB_HASH, LAB_GLOBAL, LAB_RDONLY,
				     LAB_WRONLY, LAB_WIDE, LAB_BYTE,   LAB_PERCPU};

void gen_lookup(struct gen *g, unsigned depth)
{
	uint32_t map = keyed[gen_below(g, FORT_LEN(keyed))], slot;

	if (!calls_possible(g) || depth >= GEN_DEPTH ||
	    !stack_area(g, lab_shapes[map].key_bytes, &slot))
		return;
	key_argument(g, map, slot);
	gen_call(g, 1);
	with_result(g, (struct holding){.held = HELD_VALUE, .object = map}, depth, use_result);
}

void gen_update(struct gen *g, unsigned depth)
{
	static const enum lab_map maps[] = {LAB_ARRAY, LAB_HASH, LAB_WIDE, LAB_GLOBAL};
	uint32_t map = maps[gen_below(g, FORT_LEN(maps))], slot, value;

	(void)depth;
	if (!calls_possible(g) || !stack_area(g, lab_shapes[map].key_bytes, &slot))
		return;
	if (gen_chance(g, 30)) {
		key_argument(g, map, slot);
		gen_call(g, 3);
		return;
	}
	if (lab_shapes[map].value_bytes > 64) {
		gen_global(g, FORT_R3);
		map = LAB_GLOBAL;
		key_argument(g, map, slot);
	} else {
		if (!stack_area(g, lab_shapes[map].value_bytes, &value))
			return;
		key_argument(g, map, slot);
		point_to_slot(g, FORT_R3, value);
	}
	gen_put(g, FORT_ROW_MOV64_K, FORT_R4, 0, 0, (int)gen_below(g, 3));
	gen_call(g, 2);
}

/* --- ring buffers --- */

static void use_record(struct gen *g, unsigned reg, const struct holding *holding)
{
	for (unsigned i = gen_below(g, 4); i; i--) {
		unsigned bytes = any_size(g);

		if (bytes <= holding->object)
			touch(g, reg, any_offset(g, holding->object, bytes), bytes, true);
	}
}

void gen_ring(struct gen *g, unsigned depth)
{
	struct holding record = {.held = HELD_RING, .object = 8 + gen_below(g, 57)};

	if (!calls_possible(g) || depth >= GEN_DEPTH || !gen_has_saved(g))
		return;
	record.id = ++g->n_records;
	gen_put(g, FORT_ROW_LDIMM_MAP_IDX, FORT_R1, 0, 0, LAB_RING);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R2, 0, 0, (int)record.object);
	gen_put(g, FORT_ROW_MOV64_K, FORT_R3, 0, 0, 0);
	gen_call(g, 131);
	with_result(g, record, depth, use_record);
}

/* --- context and packet --- */

void gen_context(struct gen *g, unsigned depth)
{
	const struct fort_prog_info *prog = fort_prog_by_name(g->out->type);
	unsigned ctx = gen_find(g, HELD_CTX), reg = gen_free(g, gen_chance(g, 40));
	unsigned bytes = any_size(g);
	const struct fort_ctx_field *field = &prog->ctx->fields[gen_below(g, prog->ctx->n_fields)];
	bool write = gen_chance(g, 30);
	int64_t off = field->offset + gen_below(g, field->bytes < 256 ? field->bytes : 256);

	(void)depth;
	if (ctx == FORT_R10 || reg == FORT_R10 || reg == ctx)
		return;
	off -= off % bytes;
	field = fort_ctx_access(&(struct fort_hook){.prog = prog}, off, bytes, write, false);
	if (!field && !gen_slip(g))
		return;
	if (field && !fort_yield_runs(field->yields))
		return;
	/* Of fields that the kernel keeps in fewer bytes than it shows, such as pkt_type, it gives the
	 * lowest bytes again where the upper ones are asked for. (K: bpf_convert_ctx_access sets
	 * target_size, and nothing is shifted that is not narrower than that) */
	if (field && g->has_packet && (g->options & RANDOM_REPEATABLE) &&
	    off != (int64_t)field->offset)
		return;
	if (write) {
		gen_put(g, gen_memory_row(FORT_ST, FORT_OP_ST, bytes), ctx, 0, (int)off, 1);
		return;
	}
	gen_put(g, gen_memory_row(FORT_LDX, FORT_OP_LDX, bytes), reg, ctx, (int)off, 0);
	switch (field ? field->yields : FORT_YIELD_SCALAR) {
	case FORT_YIELD_PACKET: gen_set(g, reg, HELD_PACKET); break;
	case FORT_YIELD_PACKET_META: gen_set(g, reg, HELD_META); break;
	case FORT_YIELD_PACKET_END: gen_set(g, reg, HELD_END); break;
	default: gen_set(g, reg, HELD_NUMBER); g->scope.regs[reg].most = most_of(bytes);
	}
}

/* Loads the context's pointer of this kind. */
static bool load_pointer(struct gen *g, unsigned reg, unsigned ctx, enum fort_yield yields)
{
	const struct fort_prog_info *prog = fort_prog_by_name(g->out->type);

	for (uint32_t i = 0; i < prog->ctx->n_fields; i++)
		if (prog->ctx->fields[i].yields == yields) {
			gen_put(g, FORT_ROW_LDX32, reg, ctx, (int)prog->ctx->fields[i].offset, 0);
			return true;
		}
	return false;
}

/* Moves the pointer in `reg` by a constant or a number. */
static void advance(struct gen *g, unsigned reg, unsigned avoid)
{
	unsigned index;

	if (gen_chance(g, 40))
		return;
	if (gen_chance(g, 50)) {
		gen_put(g, FORT_ROW_ADD64_K, reg, 0, 0, (int)gen_below(g, 30));
		return;
	}
	index = gen_index(g, gen_chance(g, 50) ? 15 : 60);
	if (index < FORT_R10 && index != reg && index != avoid)
		gen_put(g, FORT_ROW_ADD64_X, reg, index, 0, 0);
}

/* pointer + need <= end, in one of its forms; the jump is taken when it does not hold. */
static uint32_t check_end(struct gen *g, unsigned moved, unsigned end)
{
	return gen_chance(g, 50) ? gen_put(g, FORT_ROW_JGT64_X, moved, end, 0, 0)
				 : gen_put(g, FORT_ROW_JLT64_X, end, moved, 0, 0);
}

void gen_packet(struct gen *g, unsigned depth)
{
	unsigned ctx = gen_find(g, HELD_CTX), data, end, moved;
	bool meta = gen_chance(g, 15);
	uint32_t need = 1 + gen_below(g, 24);
	uint16_t fixed = g->scope.fixed_regs;
	struct block block = {.n = 0};

	if (!g->has_packet || ctx == FORT_R10 || depth >= GEN_DEPTH)
		return;
	g->scope.fixed_regs |= (uint16_t)(1u << ctx);
	data = gen_free(g, gen_chance(g, 50));
	g->scope.fixed_regs |= (uint16_t)(data < FORT_R10 ? 1u << data : 0);
	end = gen_free(g, false);
	g->scope.fixed_regs |= (uint16_t)(end < FORT_R10 ? 1u << end : 0);
	moved = gen_free(g, false);
	g->scope.fixed_regs |= (uint16_t)(moved < FORT_R10 ? 1u << moved : 0);
	if (moved < FORT_R10 && end < FORT_R10 && data < FORT_R10) {
		gen_set(g, data, HELD_NOTHING);
		gen_set(g, end, HELD_NOTHING);
		gen_set(g, moved, HELD_NOTHING);
		load_pointer(g, data, ctx, meta ? FORT_YIELD_PACKET_META : FORT_YIELD_PACKET);
		advance(g, data, end);
		load_pointer(g, end, ctx, meta ? FORT_YIELD_PACKET : FORT_YIELD_PACKET_END);
		gen_put(g, FORT_ROW_MOV64_X, moved, data, 0, 0);
		gen_put(g, FORT_ROW_ADD64_K, moved, 0, 0, (int)need);
		if (!gen_slip(g))
			gen_leave(g, &block, check_end(g, moved, end));
		for (unsigned i = 1 + gen_below(g, 3); i; i--) {
			unsigned bytes = any_size(g);

			if (bytes <= need)
				touch(g, data, any_offset(g, need, bytes), bytes, true);
		}
	}
	g->scope.fixed_regs = fixed;
	gen_end(g, &block);
}

/* --- helpers --- */

void gen_helper(struct gen *g, unsigned depth)
{
	static const int plain[] = {5, 7, 8, 14, 125};
	uint32_t slot;

	(void)depth;
	if (!calls_possible(g))
		return;
	switch (gen_below(g, 6)) {
	case 0:
		if (!stack_area(g, 16, &slot))
			return;
		point_to_slot(g, FORT_R1, slot);
		gen_put(g, FORT_ROW_MOV64_K, FORT_R2, 0, 0, 1 + (int)gen_below(g, 16));
		gen_call(g, 16);
		return;
	case 1: {
		unsigned size = gen_index(g, 16);

		if (size == FORT_R10 || !stack_area(g, 16, &slot))
			return;
		gen_put(g, FORT_ROW_MOV64_X, FORT_R3, size, 0, 0);
		gen_put(g, FORT_ROW_LDIMM_MAP_IDX, FORT_R1, 0, 0, LAB_RING);
		point_to_slot(g, FORT_R2, slot);
		gen_put(g, FORT_ROW_MOV64_K, FORT_R4, 0, 0, 0);
		gen_call(g, 130);
		return;
	}
	case 2:
		gen_put(g, FORT_ROW_LDIMM_MAP_IDX, FORT_R1, 0, 0, LAB_RING);
		gen_put(g, FORT_ROW_MOV64_K, FORT_R2, 0, 0, (int)gen_below(g, 5));
		gen_call(g, 134);
		return;
	default:
		if (!(g->options & RANDOM_REPEATABLE))
			gen_call(g, plain[gen_below(g, FORT_LEN(plain))]);
	}
}

/* --- atomics --- */

void gen_atomic(struct gen *g, unsigned depth)
{
	enum fort_row row = gen_row(g, FORT_ATOMIC);
	unsigned src = gen_find(g, HELD_NUMBER), value = gen_find(g, HELD_VALUE);
	uint32_t slot = gen_below(g, g->stack_slots), bytes = fort_rows[row].bits / 8, room;

	(void)depth;
	if (src == FORT_R10 || !writable(g, src) || !writable(g, FORT_R0) ||
	    g->scope.regs[FORT_R0].held != HELD_NUMBER)
		return;
	if (value < FORT_R10 && gen_chance(g, 60)) {
		room = lab_shapes[g->scope.regs[value].object].value_bytes;
		if (room < bytes || lab_shapes[g->scope.regs[value].object].flags)
			return;
		gen_put(g, row, value, src, (int)(gen_below(g, room / bytes) * bytes), 0);
	} else {
		if (g->scope.slots[slot].held != HELD_NUMBER && !gen_store_zero(g, slot))
			return;
		if (g->scope.fixed_slots >> slot & 1)
			return;
		gen_put(g, row, FORT_R10, src, -8 * (int)(slot + 1), 0);
		g->scope.slots[slot].most = UINT64_MAX;
	}
	gen_set(g, src, HELD_NUMBER);
	gen_set(g, FORT_R0, HELD_NUMBER);
}
