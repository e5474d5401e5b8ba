/* The state that the verifier claimed, held against the state that the interpreter has.
 *
 * A program with a certificate is run while somebody looks on before each instruction: the walk
 * along the certificate's claims is repeated for the path that the run takes, and every register of
 * every frame, every spilled value, every zero byte and every relation between values must be as
 * the abstract state says. Nothing may end the run but its fuel.
 */
#pragma once

#include "engine/interp.h"
#include "helper/services.h"
#include "lab.h"
#include "load/test_run.h"

/* Maps and services; shared by programs over the same shapes. */
struct embed_world {
	struct fort_shared *shared;
	struct fort_host host;
	struct fort_services services;
	struct fort_map *maps[FORT_MAPS_PER_PROG_MAX];
	uint32_t n_maps;
};

bool embed_world_open(struct embed_world *world, const struct fort_map_shape *shapes,
		      uint32_t n_maps);
void embed_world_close(struct embed_world *world);
/* Makes room in ring buffers. */
void embed_world_drain(struct embed_world *world);

/* For tests of the comparison itself: changes the state that is claimed before `pc`. */
struct embed_sabotage {
	uint32_t pc;
	void (*spoil)(struct fort_state *state);
};

struct embed_node;
struct embed_ghost;

/* Where a run is in the proof: in a region of the program, or of a function that is proven on its
 * own. Those around it wait. */
struct embed_act {
	struct fort_state *state;
	struct fort_step step;
	uint32_t node;
	uint32_t pc;         /* that step was applied to */
	bool jumps, taken;   /* it was a conditional jump, and how it went */
	uint32_t base, held; /* frames, and references, of those around it */
	uint64_t args[FORT_R10];
	struct embed_ghost *ghosts; /* of each group, in this run */
};

struct embed {
	struct embed_world *world;
	struct fort_env *env;
	struct fort_loaded *loaded;
	struct fort_arena arena;
	struct fort_pool pool;
	struct fort_certificate certificate;
	struct embed_node *nodes; /* the certificate's regions, instruction by instruction */
	uint32_t n_nodes, nodes_room;
	struct fort_state **claims; /* what each of its states claims */
	uint32_t *roots;            /* first node of each region; those of roots come last */
	const struct embed_sabotage *sabotage;
	/* the run */
	struct fort_run *run;
	struct embed_act acts[FORT_FRAMES_MAX];
	uint32_t n_acts;
	bool started, idle;
	uint64_t callers[FORT_FRAMES_MAX][FORT_R10 - FORT_R6];
	uint64_t calling[FORT_FRAMES_MAX][FORT_REGS]; /* of frames that a helper calls back from */
	uint64_t packet, packet_meta, packet_end;
	uint64_t states, compared; /* held against the runs so far: states; values in them */
	char error[512];           /* why a run does not agree */
};

/* Prepares a program whose certificate was checked into `proven`. False with embed->error. Close in
 * any case. A program that cannot run yet (load/runs.h) is `idle`: its runs end at once, as if out
 * of fuel. */
bool embed_open(struct embed *embed, struct embed_world *world, struct fort_env *env,
		const struct fort_proven *proven, struct fort_span certificate);
void embed_close(struct embed *embed);

/* One run. False with embed->error when it did something that was not claimed. `data_out` is NULL
 * or as fort_test_run's. */
bool embed_run(struct embed *embed, const struct fort_test_input *input, void *data_out,
	       struct fort_test_output *output);

/* The instruction of a node: all that some claimed path comes to. */
uint32_t embed_node_pc(const struct embed *embed, uint32_t node);

/* A random input for a program type, in these rooms. */
struct embed_input {
	uint8_t data[256], ctx[512];
	struct fort_test_input input;
};

struct random;
void embed_input_make(struct random *random, const struct fort_prog_info *prog,
		      struct embed_input *out);
