#include "embed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"
#include "embed_tree.h"
#include "load/runs.h"
#include "map/cpus.h"
#include "map/ring.h"
#include "random.h"

#define PACKET_BYTES 1024u

static struct embed_act *act_of(const struct embed *e)
{
	/* cast: the caller's constness */
	return &((struct embed *)(uintptr_t)e)->acts[e->n_acts - 1];
}

bool embed_wrong(struct embed *e, const char *format, ...)
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
	return embed_wrong(look->e, "at %u: %s is %#llx, claimed type %u object %u: %s", look->pc,
			   look->what, (unsigned long long)actual, claimed->type, claimed->object,
			   why);
}

/* Of a frame of the claimed state. */
static uint64_t frame_top(const struct embed *e, uint32_t frame)
{
	return fort_domain_stack_top(&e->loaded->domain, 0) -
	       (uint64_t)(act_of(e)->base + frame) * FORT_STACK_BYTES;
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

/* What a global function was passed, and some offset. Memory that is not trusted is anywhere. */
static bool in_argument(const struct embed *e, const struct fort_value *claimed, uint64_t actual)
{
	for (unsigned reg = FORT_R1; reg <= FORT_R5; reg++)
		if (fort_scalar_has(&claimed->num, actual - act_of(e)->args[reg]))
			return true;
	return claimed->flags & FORT_UNTRUSTED;
}

/* The key of an element that is being walked over: beside the stack of some frame. */
static bool in_some_key(const struct embed *e, const struct fort_value *claimed, uint64_t actual)
{
	uint64_t top = fort_domain_stack_top(&e->loaded->domain, 0);

	for (uint32_t frame = 0; frame < FORT_FRAMES_MAX; frame++)
		if (fort_scalar_has(&claimed->num,
				    actual - (top - frame * FORT_STACK_BYTES + FORT_HIDDEN_KEYS)))
			return true;
	return false;
}

static bool in_object(const struct embed *e, const struct fort_value *claimed, uint64_t actual)
{
	switch (claimed->type) {
	case FORT_MAP_KEY: return in_some_key(e, claimed, actual);
	case FORT_RING_MEM: return in_held_memory(e, claimed, actual);
	case FORT_MEM: return in_argument(e, claimed, actual);
	default: return in_some_value(e, claimed, actual);
	}
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
	case FORT_FUNC: *out = (uint64_t)FORT_FUNC_HANDLE(claimed->object); return true;
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
	if (!base_of(e, claimed, &base))
		return in_object(e, claimed, actual)
			       ? true
			       : disagree(look, claimed, actual, "not a place in the object");
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
			return embed_wrong(look->e, "at %u: byte %u of %s is %u, claimed zero",
					   look->pc, i, look->what, bytes[i]);
	memcpy(&actual, bytes, spilled);
	return !spilled || compare(look, &slot->spill, actual);
}

static bool compare_frame(struct look *look, uint32_t f, const uint64_t regs[FORT_REGS])
{
	struct embed *e = look->e;
	const struct fort_state *state = act_of(e)->state;
	const struct fort_frame *frame = state->frames[f];
	bool top = f + 1 == state->n_frames;
	char what[64];

	look->what = what;
	for (unsigned r = top ? FORT_R0 : FORT_R6; r < FORT_REGS; r++) {
		uint64_t actual = top             ? regs[r]
				  : r == FORT_R10 ? frame_top(e, f)
						  : e->callers[act_of(e)->base + f][r - FORT_R6];

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
	const struct embed *e = look->e;
	const struct fort_state *state = act_of(e)->state;

	look->what = "the packet's length";
	if (!compare(look, &state->packet, e->packet_end - e->packet))
		return false;
	look->what = "the metadata's length";
	if (!compare(look, &state->meta, e->packet - e->packet_meta))
		return false;
	for (uint32_t i = 0; i < state->n_ghosts; i++) {
		const struct embed_ghost *ghost = &act_of(e)->ghosts[state->ghosts[i].owner];

		look->what = "a loop's ghost";
		if (ghost->set && !compare(look, &state->ghosts[i].value, ghost->value))
			return false;
	}
	return true;
}

/* What a symbol stands for in this run, if a value has it. */
static bool symbol_value(const struct facts *facts, uint32_t id, __int128 *sum, int32_t factor)
{
	uint32_t at = id * 2654435761u % FACTS;

	if (!id)
		return true;
	while (facts->ids[at] && facts->ids[at] != id)
		at = (at + 1) % FACTS;
	*sum += factor * (__int128)(int64_t)facts->says[at];
	return facts->ids[at];
}

static bool compare_rates(struct look *look)
{
	const struct fort_state *state = act_of(look->e)->state;

	for (uint32_t i = 0; i < state->n_rates; i++) {
		const struct fort_rate *rate = &state->rates[i];
		__int128 sum = 0;

		if (!symbol_value(&look->symbols, rate->sym[0], &sum, rate->factor[0]) ||
		    !symbol_value(&look->symbols, rate->sym[1], &sum, rate->factor[1]) ||
		    !symbol_value(&look->symbols, rate->sym[2], &sum, rate->factor[2]))
			continue;
		look->e->compared++;
		if (sum > rate->most)
			return embed_wrong(look->e, "at %u: a rate is not as claimed (%u, %u, %u)",
					   look->pc, rate->sym[0], rate->sym[1], rate->sym[2]);
	}
	return true;
}

static bool compare_facts(struct look *look)
{
	const struct fort_state *state = act_of(look->e)->state;

	for (uint32_t i = 0; i < state->n_facts; i++) {
		const struct fort_fact *fact = &state->facts[i];
		__int128 sum = 0;

		if (!symbol_value(&look->symbols, fact->a, &sum, 1) ||
		    !symbol_value(&look->symbols, fact->b, &sum, 1) ||
		    !symbol_value(&look->symbols, fact->c, &sum, -1))
			continue;
		look->e->compared++;
		if (sum > fact->most)
			return embed_wrong(look->e,
					   "at %u: an order is not as claimed (%u + %u - %u)",
					   look->pc, fact->a, fact->b, fact->c);
	}
	return true;
}

static bool compare_state(struct embed *e, uint32_t pc, uint32_t frame,
			  const uint64_t regs[FORT_REGS])
{
	static struct look look;
	const struct embed_act *act = act_of(e);

	memset(&look, 0, sizeof(look));
	look.e = e;
	look.pc = pc;
	e->states++;
	if (e->sabotage && e->sabotage->pc == pc)
		e->sabotage->spoil(act->state);
	if (act->base + act->state->n_frames != frame + 1)
		return embed_wrong(e, "at %u: frame %u, claimed %u and %u frames", pc, frame,
				   act->base, act->state->n_frames);
	if (e->run->n_held > act->held + act->state->n_refs)
		return embed_wrong(e, "at %u: %u references held, claimed %u and %u", pc,
				   e->run->n_held, act->held, act->state->n_refs);
	for (uint32_t f = 0; f < act->state->n_frames; f++)
		if (!compare_frame(&look, f, regs))
			return false;
	return compare_rest(&look) && compare_facts(&look) && compare_rates(&look);
}

/* --- along the run --- */

/* Which way a conditional jump goes, given the registers before it. */
static bool jump_taken(const struct fort_insn *insn, const uint64_t regs[FORT_REGS])
{
	uint64_t right = insn->kind == FORT_JCC_X ? regs[insn->src] : (uint64_t)insn->imm;

	return fort_word_compare(insn->op, insn->bits, regs[insn->dst], right);
}

/* Which way the run went at a fork: calls that call back, counted jumps and loads from packets are
 * told by where it is now. */
static bool went_other(const struct embed_act *act, uint32_t pc, uint32_t frame)
{
	if (act->step.outcome != FORT_STEP_FORK)
		return false;
	if (act->jumps)
		return act->taken;
	return pc != act->step.pc || frame + 1 != act->base + act->state->n_frames;
}

static bool is_packet_load(const struct embed *e, uint32_t pc)
{
	uint8_t kind = e->env->graph->program.insns[pc].kind;

	return kind == FORT_LDABS || kind == FORT_LDIND;
}

/* The instruction before this one was applied: go where the run went. */
static bool follow(struct embed *e, uint32_t pc, uint32_t frame)
{
	struct embed_act *act = act_of(e);
	bool other = went_other(act, pc, frame);
	uint32_t way = e->nodes[act->node].ways[other];

	if (act->step.outcome != FORT_STEP_NEXT && act->step.outcome != FORT_STEP_FORK)
		return embed_wrong(e, "at %u: the path was claimed to have ended", pc);
	if (pc != (other ? act->step.other_pc : act->step.pc) || way == WAY_NONE)
		return embed_wrong(e, "the run went to %u, which was claimed impossible", pc);
	if (act->step.outcome == FORT_STEP_FORK) {
		fort_state_free(&e->pool, other ? act->state : act->step.other);
		act->state = other ? act->step.other : act->state;
	}
	act->node = way;
	return embed_settle(e, act->state, pc);
}

/* The region of a root begins, above `base` frames of others. */
static bool enter_root(struct embed *e, const struct fort_root *root, uint32_t base)
{
	const struct fort_certificate *c = &e->certificate;
	struct embed_act *act = &e->acts[e->n_acts++];
	uint32_t i = 0;

	while (i < c->n_roots && !fort_root_is(&c->roots[i].root, root))
		i++;
	if (i == c->n_roots)
		return embed_wrong(e, "a function is called that nobody has proven");
	act->node = e->roots[c->n_states + i];
	act->jumps = act->taken = false;
	act->base = base;
	act->held = e->run ? e->run->n_held : 0;
	memset(act->args, 0, sizeof(act->args));
	for (uint32_t k = 0; k < c->n_groups; k++)
		act->ghosts[k].set = false;
	return (!fort_step_enter(e->env, &e->pool, root, &act->state) &&
		fort_certificate_enter(c, c->n_states + i, &e->pool, act->state)) ||
	       embed_wrong(e, "no memory");
}

static bool leave_root(struct embed *e, uint32_t pc)
{
	struct embed_act *act = act_of(e);

	if (act->step.outcome != FORT_STEP_END && !is_packet_load(e, act->pc))
		return embed_wrong(e, "the run went back to %u, where the claim goes on", pc);
	fort_state_free(&e->pool, act->state);
	e->n_acts--;
	return true;
}

/* The run may have left functions that are proven on their own, or entered one. */
static bool change_root(struct embed *e, uint32_t pc, uint32_t frame,
			const uint64_t regs[FORT_REGS])
{
	const struct fort_program *program = &e->env->graph->program;
	struct fort_root root = {.kind = FORT_ROOT_GLOBAL};
	struct embed_act *act = act_of(e);

	while (frame < act_of(e)->base)
		if (!leave_root(e, pc))
			return false;
	act = act_of(e);
	if (act->step.outcome != FORT_STEP_NEXT || frame != act->base + act->state->n_frames ||
	    e->n_acts == FORT_FRAMES_MAX)
		return follow(e, pc, frame);
	root.subprog = fort_subprog_of(program, pc);
	if (!enter_root(e, &root, frame))
		return false;
	memcpy(act_of(e)->args, regs, sizeof(act_of(e)->args));
	return true;
}

/* The number at a cell, a pointer's offset if it is one. */
static bool concrete_cell(struct embed *e, struct fort_cell cell, const uint64_t regs[FORT_REGS],
			  uint64_t *out)
{
	const struct embed_act *act = act_of(e);
	const struct fort_value *claimed = fort_state_cell(act->state, cell);
	bool top = cell.frame + 1u == act->state->n_frames;
	uint64_t base;

	if (!claimed || !base_of(e, claimed, &base))
		return false;
	switch (cell.kind) {
	case FORT_CELL_REG:
		if (!top && (cell.index < FORT_R6 || cell.index > FORT_R9))
			return false;
		*out = top ? regs[cell.index]
			   : e->callers[act->base + cell.frame][cell.index - FORT_R6];
		break;
	case FORT_CELL_SLOT:
		*out = 0;
		memcpy(out,
		       fort_window_at(&e->loaded->domain.window,
				      frame_top(e, cell.frame) - 8u * (cell.index + 1u)),
		       fort_slot_spilled(&act->state->frames[cell.frame]->slots[cell.index]));
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
	struct embed_ghost *ghosts = act_of(e)->ghosts;

	for (uint32_t i = 0; i < below; i++)
		ghosts[i].set = false;
	if (group < e->certificate.n_groups)
		ghosts[group].set = concrete_cell(e, e->certificate.groups[group].rank, regs,
						  &ghosts[group].value);
}

/* At a cut point: a claimed state takes over. */
static bool enter_region(struct embed *e, uint32_t pc, uint32_t frame,
			 const uint64_t regs[FORT_REGS])
{
	struct embed_act *act = act_of(e);
	uint32_t region = act->node & ~WAY_REGION;

	if (!compare_state(e, pc, frame, regs))
		return false;
	fort_state_free(&e->pool, act->state);
	act->state = fort_state_clone(&e->pool, e->claims[region]);
	if (!act->state)
		return embed_wrong(e, "no memory");
	enter_ghosts(e, region, regs);
	if (!fort_certificate_enter(&e->certificate, region, &e->pool, act->state))
		return embed_wrong(e, "a claimed state has no rank");
	act->node = e->roots[region];
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

static bool look_at(struct embed *e, uint32_t pc, uint32_t frame, const uint64_t regs[FORT_REGS])
{
	const struct fort_insn *insn = &e->env->graph->program.insns[pc];
	struct embed_act *act;

	if (e->started && !change_root(e, pc, frame, regs))
		return false;
	if (!e->started)
		find_packet(e);
	e->started = true;
	act = act_of(e);
	if ((act->node & WAY_REGION) && !enter_region(e, pc, frame, regs))
		return false;
	if (!compare_state(e, pc, frame, regs))
		return false;
	act->pc = pc;
	act->jumps = insn->kind == FORT_JCC_K || insn->kind == FORT_JCC_X;
	if (act->jumps)
		act->taken = jump_taken(insn, regs);
	if (insn->kind == FORT_ALU_K && insn->bits == 32) { /* a counter that was 0: countdown.c */
		act->jumps = true;
		act->taken = !regs[insn->dst];
	}
	if (insn->kind == FORT_CALL)
		memcpy(e->callers[frame], &regs[FORT_R6], sizeof(e->callers[frame]));
	if (fort_step(e->env, &e->pool, act->state, pc, &act->step))
		return embed_wrong(e, "no memory");
	return act->step.outcome == FORT_STEP_BAD ? embed_wrong(e, "at %u: claimed unsafe", pc)
						  : true;
}

/* Of an expanded program, what it was made of: where its instructions begin, and where those that
 * call back go on. There the program's registers are as they were when it called. */
static bool look_on(void *context, uint32_t pc, uint32_t frame, const uint64_t regs[FORT_REGS])
{
	struct embed *e = context;
	const struct fort_hardened *hardened = &e->loaded->hardened;
	uint8_t sight = hardened->sights ? hardened->sights[pc] : FORT_SIGHT_BEGINS;

	if (sight == FORT_SIGHT_NONE)
		return true;
	if (sight == FORT_SIGHT_BEGINS)
		memcpy(e->calling[frame], regs, sizeof(e->calling[frame]));
	return look_at(e, fort_hardened_origin(hardened, pc), frame, e->calling[frame]);
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
		(void)embed_wrong(current, "the program ended with %u references", run->n_held);
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
	struct fort_violation why;
	size_t offset;

	memset(e, 0, sizeof(*e));
	e->world = world;
	e->env = env;
	engine = fort_engine_interp;
	engine.run = run_observed;
	fort_arena_init(&e->arena, FORT_SEARCH_BYTES_MAX);
	fort_pool_init(&e->pool, &e->arena);
	if (fort_certificate_parse(certificate, env, &e->arena, &e->certificate, &offset))
		return embed_wrong(e, "the certificate cannot be read");
	if (!fort_env_runs(env, &why)) {
		e->idle = true;
		return true;
	}
	if (fort_loaded_open(&request, &e->loaded))
		return embed_wrong(e, "the program cannot be loaded");
	return embed_walk(e);
}

void embed_close(struct embed *e)
{
	fort_loaded_close(e->loaded);
	fort_arena_free(&e->arena);
	free(e->nodes);
}

static bool start_run(struct embed *e)
{
	const struct fort_root main_root = {.kind = FORT_ROOT_MAIN};

	e->error[0] = 0;
	e->started = false;
	e->run = NULL;
	e->n_acts = 0;
	return enter_root(e, &main_root, 0);
}

bool embed_run(struct embed *e, const struct fort_test_input *input, void *data_out,
	       struct fort_test_output *output)
{
	bool ended;

	if (e->idle) {
		*output = (struct fort_test_output){.abort.code = FORT_ABORT_FUEL};
		return true;
	}
	current = e;
	if (!start_run(e))
		return embed_wrong(e, "no memory");
	if (fort_test_run(e->loaded, &e->world->services, input, data_out, NULL, output))
		return embed_wrong(e, "the input does not fit");
	ended = act_of(e)->step.outcome == FORT_STEP_END ||
		(is_packet_load(e, act_of(e)->pc) && !output->result);
	for (; e->n_acts; e->n_acts--)
		fort_state_free(&e->pool, act_of(e)->state);
	if (e->error[0])
		return false;
	if (output->abort.code && output->abort.code != FORT_ABORT_FUEL)
		return embed_wrong(e, "at %u: the run was ended: %s %u", output->abort.pc,
				   fort_abort_name(output->abort.code), output->abort.detail);
	if (!output->abort.code && !ended)
		return embed_wrong(e, "the run ended where the claim goes on");
	return true;
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
