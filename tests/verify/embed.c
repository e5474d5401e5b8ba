#include "embed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "map/cpus.h"
#include "map/ring.h"
#include "random.h"

#define NODES_MAX    (4u << 20)
#define PACKET_BYTES 1024u

/* Where the proof goes on from an instruction. */
enum { WAY_NONE = UINT32_MAX };
#define WAY_REGION 0x80000000u /* a claimed state takes over; else a node */

struct embed_node {
	uint32_t pc;
	uint32_t ways[2]; /* falling through, or the only one; and jumping */
};

static bool wrong(struct embed *e, const char *format, ...) FORT_PRINTF(2, 3);

static bool wrong(struct embed *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(e->error, sizeof(e->error), format, args);
	va_end(args);
	return false;
}

/* --- surroundings --- */

bool embed_world_open(struct embed_world *world, const struct fort_map_shape *shapes,
		      uint32_t n_maps)
{
	uint32_t n_cpus;

	memset(world, 0, sizeof(*world));
	if (fort_cpus_possible(&n_cpus) || fort_shared_create(n_cpus, &world->shared))
		return false;
	fort_host_init(&world->host, world->shared, NULL);
	if (fort_services_init(&world->services, &world->host))
		return false;
	for (; world->n_maps < n_maps; world->n_maps++)
		if (fort_map_create(&shapes[world->n_maps], "embed", world->shared,
				    &world->maps[world->n_maps]))
			return false;
	return true;
}

void embed_world_close(struct embed_world *world)
{
	while (world->n_maps)
		fort_map_close(world->maps[--world->n_maps]);
	if (world->services.host)
		fort_services_end(&world->services);
	if (world->shared)
		fort_shared_close(world->shared);
}

void embed_world_drain(struct embed_world *world)
{
	uint8_t record[4096];
	uint32_t bytes;

	for (uint32_t i = 0; i < world->n_maps; i++) {
		struct fort_ring_reader reader;

		if (world->maps[i]->shape.type != BPF_MAP_TYPE_RINGBUF)
			continue;
		fort_ring_reader_init(&reader, world->maps[i]);
		while (fort_ring_read(&reader, record, sizeof(record), &bytes))
			;
	}
}

/* --- the certificate's regions, as trees of instructions --- */

static bool add_node(struct embed *e, uint32_t pc, uint32_t *out)
{
	if (e->n_nodes == e->nodes_room) {
		uint32_t room = e->nodes_room ? e->nodes_room * 2 : 1024;
		struct embed_node *nodes = realloc(e->nodes, room * sizeof(*nodes));

		if (!nodes || room > NODES_MAX)
			return wrong(e, "the certificate has too many steps");
		e->nodes = nodes;
		e->nodes_room = room;
	}
	e->nodes[e->n_nodes] = (struct embed_node){pc, {WAY_NONE, WAY_NONE}};
	*out = e->n_nodes++;
	return true;
}

/* A side of a fork that waits for its turn. */
struct waiting {
	struct waiting *next;
	struct fort_state *state;
	uint32_t pc, node;
	unsigned way; /* of the node */
};

struct walk {
	struct embed *e;
	struct waiting *todo;
	struct fort_reader edges;
	uint32_t index;
};

/* The way from an instruction to `pc`, by the next edge if it is a cut point. */
static uint32_t way_to(struct walk *w, uint32_t pc)
{
	uint64_t edge = 0;

	if (fort_is_cut_point(w->e->env->graph, pc) && !fort_reader_varint(&w->edges, &edge) &&
	    edge)
		return WAY_REGION | (uint32_t)(edge - 1);
	return WAY_NONE;
}

/* As the checker does wherever paths may meet. */
static bool settle(struct embed *e, struct fort_state *state, uint32_t pc)
{
	if (!fort_is_cut_point(e->env->graph, pc) || fort_state_settle(&e->pool, state))
		return true;
	return wrong(e, "no memory");
}

static bool wait(struct walk *w, struct fort_state *state, uint32_t pc, uint32_t node, unsigned way)
{
	struct waiting *item = FORT_ARENA_NEW(&w->e->arena, struct waiting);

	if (!item)
		return wrong(w->e, "no memory");
	*item = (struct waiting){w->todo, state, pc, node, way};
	w->todo = item;
	return true;
}

/* An arrival at `pc`, by a way of a node: *next is the node there, or WAY_NONE when the way ended
 * in another region. */
static bool arrive(struct walk *w, struct fort_state *state, uint32_t pc, uint32_t node,
		   unsigned side, uint32_t *next)
{
	struct embed *e = w->e;
	uint32_t way;

	if (!settle(e, state, pc))
		return false;
	way = way_to(w, pc);
	*next = WAY_NONE;
	if (way == WAY_NONE && !add_node(e, pc, next))
		return false;
	e->nodes[node].ways[side] = way == WAY_NONE ? *next : way;
	return true;
}

/* The jumping side of a fork. If it goes on within the region, it takes the path's place. */
static bool jump(struct walk *w, struct fort_state **state, uint32_t *node,
		 const struct fort_step *step, bool *took_over)
{
	uint32_t next;

	*took_over = false;
	if (!fort_is_cut_point(w->e->env->graph, step->other_pc))
		return wait(w, step->other, step->other_pc, *node, 1);
	if (!arrive(w, step->other, step->other_pc, *node, 1, &next))
		return false;
	if (next == WAY_NONE) {
		fort_state_free(&w->e->pool, step->other);
		return true;
	}
	if (!wait(w, *state, step->pc, *node, 0))
		return false;
	*state = step->other;
	*node = next;
	*took_over = true;
	return true;
}

static bool walk_path(struct walk *w, struct fort_state *state, uint32_t node)
{
	struct embed *e = w->e;
	struct fort_step step;
	bool took_over = false;

	for (;;) {
		uint32_t next;

		if (fort_step(e->env, &e->pool, state, e->nodes[node].pc, &step) ||
		    step.outcome == FORT_STEP_BAD)
			return wrong(e, "the certificate does not check");
		if (step.outcome == FORT_STEP_END || step.outcome == FORT_STEP_DEAD)
			break;
		if (step.outcome == FORT_STEP_FORK && !jump(w, &state, &node, &step, &took_over))
			return false;
		if (step.outcome == FORT_STEP_FORK && took_over)
			continue;
		if (!arrive(w, state, step.pc, node, 0, &next))
			return false;
		if (next == WAY_NONE)
			break;
		node = next;
	}
	fort_state_free(&e->pool, state);
	return true;
}

static bool walk_region(struct walk *w, struct fort_state *state, uint32_t pc,
			struct fort_span edges)
{
	struct embed *e = w->e;

	w->edges = fort_reader_on(edges.data, edges.bytes);
	if (!fort_certificate_enter(&e->certificate, w->index, &e->pool, state))
		return wrong(e, "the certificate does not check");
	if (!add_node(e, pc, &e->roots[w->index]) || !walk_path(w, state, e->roots[w->index]))
		return false;
	while (w->todo) {
		struct waiting *item = w->todo;
		uint32_t next;

		w->todo = item->next;
		if (!arrive(w, item->state, item->pc, item->node, item->way, &next) ||
		    (next != WAY_NONE && !walk_path(w, item->state, next)))
			return false;
		if (next == WAY_NONE)
			fort_state_free(&e->pool, item->state);
	}
	return true;
}

static const struct fort_root main_root = {.kind = FORT_ROOT_MAIN};

static bool walk_certificate(struct embed *e)
{
	struct fort_certificate *c = &e->certificate;
	struct walk walk = {.e = e};
	struct fort_state *state;

	e->roots = FORT_ARENA_ARRAY(&e->arena, c->n_states + c->n_roots, uint32_t);
	e->ghosts = FORT_ARENA_ARRAY(&e->arena, c->n_groups, struct embed_ghost);
	if (!e->roots || !e->ghosts)
		return wrong(e, "no memory");
	for (; walk.index < c->n_states; walk.index++) {
		const struct fort_cert_state *from = &c->states[walk.index];

		if (fort_claim_read(from->claim, &e->pool, e->env, c->n_groups, &state) ||
		    !walk_region(&walk, state, from->pc, from->edges))
			return wrong(e, "the certificate does not check");
	}
	return !fort_step_enter(e->env, &e->pool, &main_root, &state) &&
	       walk_region(&walk, state, 0, c->roots[0].edges);
}

/* --- concrete against abstract --- */

/* Whose symbols, call results: what the first value with an id said. */
#define FACTS 2048u
struct facts {
	uint32_t ids[FACTS];
	uint64_t says[FACTS];
};

struct look {
	struct embed *e;
	uint32_t pc;
	const char *what; /* the value being compared: r3 of frame 1, ... */
	struct facts symbols, nulls;
};

/* Does everything with this id say the same? */
static bool agrees(struct facts *facts, uint32_t id, uint64_t says)
{
	uint32_t at = id * 2654435761u % FACTS;

	while (facts->ids[at] && facts->ids[at] != id)
		at = (at + 1) % FACTS;
	if (!facts->ids[at]) {
		facts->ids[at] = id;
		facts->says[at] = says;
	}
	return facts->says[at] == says;
}

static bool disagree(struct look *look, const struct fort_value *claimed, uint64_t actual,
		     const char *why)
{
	return wrong(look->e, "at %u: %s is %#llx, claimed type %u object %u: %s", look->pc,
		     look->what, (unsigned long long)actual, claimed->type, claimed->object, why);
}

static uint64_t frame_top(const struct embed *e, uint32_t frame)
{
	return fort_domain_stack_top(&e->loaded->domain, 0) - (uint64_t)frame * FORT_STACK_BYTES;
}

/* The offset of a pointer into some value of a map; which value is not known. */
static bool in_some_value(const struct embed *e, const struct fort_value *claimed, uint64_t actual)
{
	const struct fort_map *map = e->world->maps[claimed->object];
	uint64_t start = fort_domain_address(&e->loaded->domain,
					     e->loaded->domain.map_start[claimed->object]);
	uint64_t blocks = map->cpu_bytes ? map->n_cpus : 1;
	uint64_t step = map->cpu_bytes ? map->cpu_bytes : 0;
	uint64_t n = map->values_bytes / map->stride / blocks;

	for (uint64_t block = 0; block < blocks; block++)
		for (uint64_t i = 0; i < n; i++)
			if (fort_scalar_has(&claimed->num,
					    actual - start - block * step - i * map->stride))
				return true;
	return false;
}

static bool in_held_memory(const struct embed *e, const struct fort_value *claimed, uint64_t actual)
{
	const struct fort_run *run = e->run;

	for (uint32_t i = 0; i < run->n_held; i++)
		if (run->held[i].bytes == claimed->object &&
		    fort_scalar_has(&claimed->num, actual - run->held[i].address))
			return true;
	return false;
}

/* What a pointer's offset counts from; false when that is not one place. */
static bool base_of(const struct embed *e, const struct fort_value *claimed, uint64_t *out)
{
	const struct fort_domain *domain = &e->loaded->domain;

	switch (claimed->type) {
	case FORT_NUM: *out = 0; return true;
	case FORT_CTX: *out = e->run->ctx; return true;
	case FORT_STACK: *out = frame_top(e, claimed->frame); return true;
	case FORT_MAP: *out = fort_map_handle(claimed->object); return true;
	case FORT_PACKET: *out = e->packet; return true;
	case FORT_PACKET_META: *out = e->packet_meta; return true;
	case FORT_PACKET_END: *out = e->packet_end; return true;
	case FORT_MAP_VALUE:
		*out = fort_domain_address(domain, domain->map_start[claimed->object]);
		return e->world->maps[claimed->object]->shape.max_entries == 1 &&
		       !e->world->maps[claimed->object]->cpu_bytes;
	default: return false;
	}
}

static bool compare(struct look *look, const struct fort_value *claimed, uint64_t actual)
{
	struct embed *e = look->e;
	uint64_t base;

	if (claimed->type == FORT_NONE)
		return true;
	e->compared++;
	if (claimed->flags & FORT_MAYBE_NULL) {
		if (!agrees(&look->nulls, claimed->id, !actual))
			return disagree(look, claimed, actual, "NULL in one copy only");
		if (!actual)
			return true;
	}
	if (!base_of(e, claimed, &base)) {
		bool good = claimed->type == FORT_RING_MEM ? in_held_memory(e, claimed, actual)
							   : in_some_value(e, claimed, actual);

		return good ? true : disagree(look, claimed, actual, "not a place in the object");
	}
	if (!fort_scalar_has(&claimed->num, actual - base))
		return disagree(look, claimed, actual, "not a member");
	if (claimed->sym &&
	    !agrees(&look->symbols, claimed->sym, actual - base - (uint64_t)claimed->delta))
		return disagree(look, claimed, actual, "not related as claimed");
	return true;
}

static bool compare_slot(struct look *look, const struct fort_slot *slot, uint64_t address)
{
	const uint8_t *bytes = fort_window_at(&look->e->loaded->domain.window, address);
	unsigned spilled = fort_slot_spilled(slot);
	uint64_t actual = 0;

	for (unsigned i = spilled; i < 8; i++)
		if (slot->bytes[i] == FORT_BYTE_ZERO && bytes[i])
			return wrong(look->e, "at %u: byte %u of %s is %u, claimed zero", look->pc,
				     i, look->what, bytes[i]);
	memcpy(&actual, bytes, spilled);
	return !spilled || compare(look, &slot->spill, actual);
}

static bool compare_frame(struct look *look, uint32_t f, const uint64_t regs[FORT_REGS])
{
	struct embed *e = look->e;
	const struct fort_frame *frame = e->state->frames[f];
	bool top = f + 1 == e->state->n_frames;
	char what[64];

	look->what = what;
	for (unsigned r = top ? FORT_R0 : FORT_R6; r < FORT_REGS; r++) {
		uint64_t actual = top             ? regs[r]
				  : r == FORT_R10 ? frame_top(e, f)
						  : e->callers[f][r - FORT_R6];

		snprintf(what, sizeof(what), "r%u of frame %u", r, f);
		if (!compare(look, &frame->regs[r], actual))
			return false;
	}
	for (uint32_t i = 0; i < frame->n_slots; i++) {
		snprintf(what, sizeof(what), "fp-%u of frame %u", 8 * (i + 1), f);
		if (!compare_slot(look, &frame->slots[i], frame_top(e, f) - 8 * (i + 1)))
			return false;
	}
	return true;
}

/* Lengths, and what was remembered at the heads of loops. */
static bool compare_rest(struct look *look)
{
	const struct fort_state *state = look->e->state;
	const struct embed *e = look->e;

	look->what = "the packet's length";
	if (!compare(look, &state->packet, e->packet_end - e->packet))
		return false;
	look->what = "the metadata's length";
	if (!compare(look, &state->meta, e->packet - e->packet_meta))
		return false;
	for (uint32_t i = 0; i < state->n_ghosts; i++) {
		const struct embed_ghost *ghost = &e->ghosts[state->ghosts[i].owner];

		look->what = "a loop's ghost";
		if (ghost->set && !compare(look, &state->ghosts[i].value, ghost->value))
			return false;
	}
	return true;
}

/* What a symbol stands for in this run, if a value has it. */
static bool symbol_value(const struct facts *facts, uint32_t id, __int128 *sum, int sign)
{
	uint32_t at = id * 2654435761u % FACTS;

	if (!id)
		return true;
	while (facts->ids[at] && facts->ids[at] != id)
		at = (at + 1) % FACTS;
	*sum += sign * (__int128)(int64_t)facts->says[at];
	return facts->ids[at];
}

static bool compare_facts(struct look *look)
{
	const struct fort_state *state = look->e->state;

	for (uint32_t i = 0; i < state->n_facts; i++) {
		const struct fort_fact *fact = &state->facts[i];
		__int128 sum = 0;

		if (!symbol_value(&look->symbols, fact->a, &sum, 1) ||
		    !symbol_value(&look->symbols, fact->b, &sum, 1) ||
		    !symbol_value(&look->symbols, fact->c, &sum, -1))
			continue;
		look->e->compared++;
		if (sum > fact->most)
			return wrong(look->e, "at %u: an order is not as claimed (%u + %u - %u)",
				     look->pc, fact->a, fact->b, fact->c);
	}
	return true;
}

static bool compare_state(struct embed *e, uint32_t pc, uint32_t frame,
			  const uint64_t regs[FORT_REGS])
{
	static struct look look;

	memset(&look, 0, sizeof(look));
	look.e = e;
	look.pc = pc;
	e->states++;
	if (e->sabotage && e->sabotage->pc == pc)
		e->sabotage->spoil(e->state);
	if (e->state->n_frames != frame + 1)
		return wrong(e, "at %u: frame %u, claimed %u frames", pc, frame,
			     e->state->n_frames);
	if (e->run->n_held > e->state->n_refs)
		return wrong(e, "at %u: %u references held, claimed %u", pc, e->run->n_held,
			     e->state->n_refs);
	for (uint32_t f = 0; f < e->state->n_frames; f++)
		if (!compare_frame(&look, f, regs))
			return false;
	return compare_rest(&look) && compare_facts(&look);
}

/* --- along the run --- */

/* Which way a conditional jump goes, given the registers before it. */
static bool jump_taken(const struct fort_insn *insn, const uint64_t regs[FORT_REGS])
{
	uint64_t right = insn->kind == FORT_JCC_X ? regs[insn->src] : (uint64_t)insn->imm;

	return fort_word_compare(insn->op, insn->bits, regs[insn->dst], right);
}

/* The instruction before this one was applied: go where the run went. */
static bool follow(struct embed *e, uint32_t pc)
{
	bool other = e->step.outcome == FORT_STEP_FORK && e->taken;
	uint32_t way = e->nodes[e->node].ways[other];

	if (e->step.outcome != FORT_STEP_NEXT && e->step.outcome != FORT_STEP_FORK)
		return wrong(e, "at %u: the path was claimed to have ended", pc);
	if (pc != (other ? e->step.other_pc : e->step.pc) || way == WAY_NONE)
		return wrong(e, "the run went to %u, which was claimed impossible", pc);
	if (e->step.outcome == FORT_STEP_FORK) {
		fort_state_free(&e->pool, other ? e->state : e->step.other);
		e->state = other ? e->step.other : e->state;
	}
	e->node = way;
	return settle(e, e->state, pc);
}

/* The number at a cell, a pointer's offset if it is one. */
static bool concrete_cell(struct embed *e, struct fort_cell cell, const uint64_t regs[FORT_REGS],
			  uint64_t *out)
{
	const struct fort_value *claimed = fort_state_cell(e->state, cell);
	bool top = cell.frame + 1u == e->state->n_frames;
	uint64_t base;

	if (!claimed || !base_of(e, claimed, &base))
		return false;
	switch (cell.kind) {
	case FORT_CELL_REG:
		if (!top && (cell.index < FORT_R6 || cell.index > FORT_R9))
			return false;
		*out = (top ? regs[cell.index] : e->callers[cell.frame][cell.index - FORT_R6]);
		break;
	case FORT_CELL_SLOT:
		*out = 0;
		memcpy(out,
		       fort_window_at(&e->loaded->domain.window,
				      frame_top(e, cell.frame) - 8u * (cell.index + 1u)),
		       fort_slot_spilled(&e->state->frames[cell.frame]->slots[cell.index]));
		break;
	default: return false;
	}
	*out -= base;
	return true;
}

/* Ghosts as this run has them when it enters a claimed state. */
static void enter_ghosts(struct embed *e, uint32_t index, const uint64_t regs[FORT_REGS])
{
	uint32_t below = fort_certificate_groups_below(&e->certificate, index);
	uint32_t group = fort_certificate_group(&e->certificate, index);

	for (uint32_t i = 0; i < below; i++)
		e->ghosts[i].set = false;
	if (group < e->certificate.n_groups)
		e->ghosts[group].set = concrete_cell(e, e->certificate.groups[group].rank, regs,
						     &e->ghosts[group].value);
}

/* At a cut point: a claimed state takes over. */
static bool enter_region(struct embed *e, uint32_t pc, uint32_t frame,
			 const uint64_t regs[FORT_REGS])
{
	uint32_t region = e->node & ~WAY_REGION;

	if (!compare_state(e, pc, frame, regs))
		return false;
	fort_state_free(&e->pool, e->state);
	if (fort_claim_read(e->certificate.states[region].claim, &e->pool, e->env,
			    e->certificate.n_groups, &e->state))
		return wrong(e, "a claim cannot be read");
	enter_ghosts(e, region, regs);
	if (!fort_certificate_enter(&e->certificate, region, &e->pool, e->state))
		return wrong(e, "a claimed state has no rank");
	e->node = e->roots[region];
	return true;
}

/* The packet pointers that the program's context holds. */
static void find_packet(struct embed *e)
{
	const struct fort_prog_info *prog = e->env->hook.prog;
	const uint8_t *image = fort_loaded_ctx(e->loaded, 0);

	for (uint32_t i = 0; i < prog->ctx->n_fields; i++) {
		const uint8_t *at = image + prog->ctx->fields[i].image;

		switch (prog->ctx->fields[i].yields) {
		case FORT_YIELD_PACKET: memcpy(&e->packet, at, 8); break;
		case FORT_YIELD_PACKET_META: memcpy(&e->packet_meta, at, 8); break;
		case FORT_YIELD_PACKET_END: memcpy(&e->packet_end, at, 8); break;
		default: break;
		}
	}
}

static bool look_on(void *context, uint32_t pc, uint32_t frame, const uint64_t regs[FORT_REGS])
{
	struct embed *e = context;
	const struct fort_insn *insn = &e->env->graph->program.insns[pc];

	if (e->started && !follow(e, pc))
		return false;
	if (!e->started)
		find_packet(e);
	e->started = true;
	if ((e->node & WAY_REGION) && !enter_region(e, pc, frame, regs))
		return false;
	if (!compare_state(e, pc, frame, regs))
		return false;
	if (insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X)
		e->taken = jump_taken(insn, regs);
	if (insn->kind == FORT_CALL && insn->op == FORT_OP_LOCAL)
		memcpy(e->callers[frame], &regs[FORT_R6], sizeof(e->callers[frame]));
	if (fort_step(e->env, &e->pool, e->state, pc, &e->step))
		return wrong(e, "no memory");
	return e->step.outcome == FORT_STEP_BAD ? wrong(e, "at %u: claimed unsafe", pc) : true;
}

/* Engines have no context of their own: the program being run. */
static struct embed *current;

static uint64_t run_observed(const struct fort_code *code, struct fort_run *run)
{
	const struct fort_observer observer = {look_on, current};
	uint64_t result;

	current->run = run;
	result = fort_interp_run_observed(code, run, &observer);
	if (!run->abort.code && run->n_held && !current->error[0])
		(void)wrong(current, "the program ended with %u references", run->n_held);
	return result;
}

/* --- programs --- */

bool embed_open(struct embed *e, struct embed_world *world, struct fort_env *env,
		const struct fort_proven *proven, struct fort_span certificate)
{
	static struct fort_engine engine;
	struct fort_load_request request = {.proven = proven,
					    .maps = world->maps,
					    .engine = &engine,
					    .isolation = FORT_ISOLATION_SFI,
					    .n_slots = 1,
					    .packet_bytes = PACKET_BYTES,
					    .fuel = 1u << 16};
	size_t offset;

	memset(e, 0, sizeof(*e));
	e->world = world;
	e->env = env;
	engine = fort_engine_interp;
	engine.run = run_observed;
	fort_arena_init(&e->arena, FORT_SEARCH_BYTES_MAX);
	fort_pool_init(&e->pool, &e->arena);
	if (fort_certificate_parse(certificate, env, &e->arena, &e->certificate, &offset))
		return wrong(e, "the certificate cannot be read");
	if (fort_loaded_open(&request, &e->loaded))
		return wrong(e, "the program cannot be loaded");
	return walk_certificate(e);
}

void embed_close(struct embed *e)
{
	fort_loaded_close(e->loaded);
	fort_arena_free(&e->arena);
	free(e->nodes);
}

static bool start_run(struct embed *e)
{
	e->error[0] = 0;
	e->started = false;
	e->node = e->roots[e->certificate.n_states];
	for (uint32_t i = 0; i < e->certificate.n_groups; i++)
		e->ghosts[i].set = false;
	return !fort_step_enter(e->env, &e->pool, &main_root, &e->state) &&
	       fort_certificate_enter(&e->certificate, e->certificate.n_states, &e->pool, e->state);
}

bool embed_run(struct embed *e, const struct fort_test_input *input, void *data_out,
	       struct fort_test_output *output)
{
	current = e;
	if (!start_run(e))
		return wrong(e, "no memory");
	if (fort_test_run(e->loaded, &e->world->services, input, data_out, NULL, output))
		return wrong(e, "the input does not fit");
	fort_state_free(&e->pool, e->state);
	if (e->error[0])
		return false;
	if (output->abort.code && output->abort.code != FORT_ABORT_FUEL)
		return wrong(e, "at %u: the run was ended: %s %u", output->abort.pc,
			     fort_abort_name(output->abort.code), output->abort.detail);
	if (!output->abort.code && e->step.outcome != FORT_STEP_END)
		return wrong(e, "the run ended where the claim goes on");
	return true;
}

uint32_t embed_node_pc(const struct embed *e, uint32_t node)
{
	return e->nodes[node].pc;
}

void embed_input_make(struct random *random, const struct fort_prog_info *prog,
		      struct embed_input *out)
{
	uint32_t meta = 4 * random_below(random, 9);
	struct xdp_md md = {0};

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < sizeof(out->data); i++)
		out->data[i] = (uint8_t)random_next(random);
	for (size_t i = 0; i + 8 <= sizeof(out->ctx); i += 8) {
		uint64_t word = random_number(random);

		memcpy(out->ctx + i, &word, sizeof(word));
	}
	out->input = (struct fort_test_input){.ctx = out->ctx, .repeat = 1};
	if (prog->number == BPF_PROG_TYPE_XDP) {
		out->input.data_bytes = 14 + meta + random_below(random, 100);
		md.data = meta;
		md.data_end = out->input.data_bytes;
		md.ingress_ifindex = (uint32_t)random_next(random) & 7;
		memcpy(out->ctx, &md, sizeof(md));
		out->input.ctx_bytes = sizeof(md);
	} else if (prog->ctx->fields[0].bytes == 4) { /* of packets: struct __sk_buff */
		out->input.data_bytes = 14 + random_below(random, 100);
		out->input.ctx_bytes = sizeof(struct __sk_buff);
	} else {
		out->input.ctx_bytes = prog->ctx->image_bytes < sizeof(out->ctx)
					       ? prog->ctx->image_bytes
					       : sizeof(out->ctx);
	}
	out->input.data = out->input.data_bytes ? out->data : NULL;
}
