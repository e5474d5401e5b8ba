/* Abstract states: what is known about registers, stack and resources before an instruction.
 *
 * A register or an 8-byte stack slot holds a value: nothing (never written), a number, or a
 * pointer. A pointer is an object and an offset; the offset is a full scalar, so there is one
 * arithmetic for numbers and pointers. Facts that connect values are symbols: two values with the
 * same `sym` differ by the difference of their `delta`s, whatever they are (x = sym + delta). A
 * number that is compared teaches all its relatives.
 *
 * States are mutable and owned by one walker; frames come from a pool.
 */
#pragma once

#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "domain/scalar.h"

enum fort_type {
	FORT_NONE,        /* never written, or of no interest: must not be read */
	FORT_NUM,         /* any 64-bit number in `num` */
	FORT_CTX,         /* the program's context */
	FORT_STACK,       /* stack of frame `frame`; offsets from its top, so negative */
	FORT_MAP,         /* map number `object` itself (a handle) */
	FORT_MAP_VALUE,   /* a value of map `object` */
	FORT_MAP_KEY,     /* a key of map `object`, as callbacks get it */
	FORT_PACKET,      /* packet data; offsets from its start */
	FORT_PACKET_META, /* metadata before the packet; offsets from its start */
	FORT_PACKET_END,  /* first byte behind the packet */
	FORT_FLOW_KEYS,   /* struct bpf_flow_keys */
	FORT_SOCKET,      /* struct bpf_sock, all fields */
	FORT_SOCK_COMMON, /* the same, those that every socket has */
	FORT_TCP_SOCK,    /* struct bpf_tcp_sock */
	FORT_XDP_SOCK,    /* struct bpf_xdp_sock */
	FORT_TP_BUFFER,   /* the writable record of a tracepoint */
	FORT_MEM,         /* `object` bytes of memory */
	FORT_RING_MEM,    /* `object` bytes reserved in a ring buffer */
	FORT_BUF,         /* memory whose size is checked when the program is attached */
	FORT_BTF,         /* a struct of type `object`, of the BTF with number `frame` */
	FORT_FUNC,        /* subprogram `object`, to be called back */
	FORT_DYNPTR,      /* a dynptr: in a slot, or a constant one that a register points to */
	FORT_ITER,        /* an iterator, in a slot */
	FORT_ARENA,       /* memory of the program's arena */
	FORT_TYPES
};

enum fort_value_flag {
	FORT_MAYBE_NULL = 1, /* a call's result that was not tested: offset is 0 */
	FORT_RDONLY = 2,     /* MEM, BUF, BTF, DYNPTR: not to be written */
	FORT_TRUSTED = 4,    /* BTF: valid, and held by somebody */
	FORT_UNTRUSTED = 8,  /* BTF: anything; reads cannot fault, nothing else is allowed */
	FORT_RCU = 16,       /* BTF: valid until the end of the RCU section */
	FORT_PERCPU = 32,    /* BTF: needs bpf_this_cpu_ptr or bpf_per_cpu_ptr */
	FORT_USER = 64,      /* BTF: an address of user space */
	FORT_ALLOC = 128,    /* BTF: made by the program */
	FORT_NON_OWN = 256,  /* BTF: owned by a list or tree */
	FORT_DRAINED = 512,  /* ITER: there is no next element */
	FORT_LENT = 1024,    /* MAYBE_NULL: its reference is that of what it was made from, which is
			      * held whether this is NULL or not */
	FORT_OF_PACKET = 2048, /* MEM: a part of the packet, until that moves */
	FORT_LOCKABLE = 4096,  /* MAP_VALUE: has a lock, so which value it is stays known */
};

/* What a dynptr is about: its `object`. */
enum fort_dynptr {
	FORT_DYNPTR_LOCAL, /* memory of the program */
	FORT_DYNPTR_RING,  /* a reservation in a ring buffer, which must be given back */
	FORT_DYNPTR_SKB,   /* packets, as programs of sockets and of XDP see them */
	FORT_DYNPTR_XDP,
	FORT_DYNPTR_SKB_META, /* the metadata before a packet */
	FORT_DYNPTRS
};

/* What a value is of, when `object` is a BTF type id. */
enum fort_btf_number { FORT_BTF_OF_KERNEL, FORT_BTF_OF_PROG };

struct fort_value {
	uint8_t type;    /* enum fort_type */
	uint8_t frame;   /* STACK; BTF: enum fort_btf_number; DYNPTR, ITER in a slot: which of its
			  * slots this is, 0 for the one at the lowest address */
	uint16_t flags;  /* enum fort_value_flag */
	uint32_t object; /* MAP*: map number; MEM, RING_MEM: bytes; BTF: type; FUNC: subprogram;
			  * DYNPTR, ITER: kind */
	uint32_t id;     /* MAYBE_NULL: which result; testing one copy tests all. 0 for none */
	uint32_t ref;    /* reference that this pointer holds; 0 for none */
	uint32_t sym;    /* num = sym + delta; 0 for none */
	uint32_t base; /* which object of its kind: equal ones are one; what ends with a dynptr has
			* its base. 0 for unknown */
	int64_t delta;
	struct fort_scalar num; /* the number, or the pointer's offset; ITER: elements taken */
};

enum fort_byte {
	FORT_BYTE_INVALID, /* never written */
	FORT_BYTE_MISC,    /* some number */
	FORT_BYTE_ZERO,
	FORT_BYTE_SPILL,  /* of the slot's `spill` */
	FORT_BYTE_OBJECT, /* of a dynptr or iterator, in all eight bytes; `spill` says which */
	FORT_BYTES
};

/* Eight bytes of stack. bytes[i] is the byte at the slot's address + i. A spilled value fills
 * the first `n` bytes, where n is the count of leading SPILL marks: 8 for pointers, 1, 2, 4 or 8
 * for numbers (then `spill` is the number cut to that width).
 */
struct fort_slot {
	uint8_t bytes[8];
	struct fort_value spill;
};

/* Does the slot hold a value: something spilled, or a part of an object? */
static inline bool fort_slot_has_value(const struct fort_slot *slot)
{
	return slot->bytes[0] >= FORT_BYTE_SPILL;
}

enum fort_frame_kind {
	FORT_FRAME_CALLED,   /* or a root's */
	FORT_FRAME_CALLBACK, /* entered by a helper; return_pc is that call, which goes on there */
	FORT_FRAMES
};

struct fort_frame {
	struct fort_value regs[FORT_REGS];
	uint8_t kind;                /* enum fort_frame_kind */
	uint32_t subprog, return_pc; /* pc where the caller goes on; unused in frame 0 */
	/* How often the call that is being made has called back, 0 between calls; and how often a
	 * may_goto of the function went on. Loops end by them. */
	struct fort_value turns, goes;
	uint32_t n_slots, room; /* slots[0] is at fp-8; deeper ones never touched */
	struct fort_slot *slots;
};

struct fort_ref {
	uint32_t id, pc; /* and the instruction that acquired it */
};

/* What holds between symbols, as integers: S(a) + S(b) <= S(c) + most, where S reads a word as a
 * signed number; b and c may be 0, for nothing. Sums here do not wrap, those of words may: what
 * leads from values to symbols is in relate.c.
 */
struct fort_fact {
	uint32_t a, b, c;
	int64_t most;
};

/* A number that was remembered, for showing that loops end (proof/certificate.h). Ghosts of owners
 * below `unset_below` that are not in the list were never set; of others nothing is known. */
struct fort_ghost {
	uint32_t owner;
	struct fort_value value;
};

struct fort_state {
	uint32_t n_frames, n_refs, n_facts, n_ghosts;
	uint32_t next_id; /* for id, ref, sym and base alike; grows only */
	uint32_t unset_below;
	/* Lengths of the packet and of the metadata before it: numbers like others. */
	struct fort_value packet, meta;
	struct fort_value lock; /* the spin lock that is held: the object that has it; or NONE */
	struct fort_frame *frames[FORT_FRAMES_MAX];
	struct fort_ref refs[FORT_REFS_MAX];
	struct fort_fact facts[FORT_FACTS_MAX];
	struct fort_ghost *ghosts; /* room for FORT_GHOSTS_MAX, or NULL while there are none */
};

/* A place of a state that holds a value. */
enum fort_cell_kind {
	FORT_CELL_REG,
	FORT_CELL_SLOT, /* a value of its own, spilled or an object's */
	FORT_CELL_TURNS,
	FORT_CELL_GOES,
	FORT_CELL_PACKET,
	FORT_CELL_META,
	FORT_CELL_GHOST,
	FORT_CELL_KINDS
};

struct fort_cell {
	uint8_t kind, frame, index; /* index: register, slot, place in the list of ghosts */
};

/* The value there, or NULL when there is none (no such frame; nothing spilled). */
struct fort_value *fort_state_cell(const struct fort_state *state, struct fort_cell cell);

/* Where states and frames come from and go back to: free lists over an arena. */
struct fort_pool {
	struct fort_arena *arena;
	struct fort_pool_item *free_states, *free_frames, *free_slots[5], *free_ghosts;
	void *scratch; /* for one function at a time */
	size_t scratch_bytes;
	uint64_t live_states, peak_states;
};

void fort_pool_init(struct fort_pool *pool, struct fort_arena *arena);
/* NULL when the arena is exhausted. A new state has no frames. */
struct fort_state *fort_state_new(struct fort_pool *pool);
struct fort_state *fort_state_clone(struct fort_pool *pool, const struct fort_state *state);
void fort_state_free(struct fort_pool *pool, struct fort_state *state);

/* Working memory of at least so many bytes, until the next call; NULL when exhausted. */
void *fort_pool_scratch(struct fort_pool *pool, size_t bytes);

/* Adds a frame whose registers are all NONE but r10. False when out of memory; the caller has
 * checked FORT_FRAMES_MAX. */
FORT_CHECKED bool fort_state_push_frame(struct fort_pool *pool, struct fort_state *state,
					uint32_t subprog, uint32_t return_pc);
void fort_state_pop_frame(struct fort_pool *pool, struct fort_state *state);
/* Makes slots 0..n_slots-1 exist, the new ones INVALID. False when out of memory. */
FORT_CHECKED bool fort_frame_touch(struct fort_pool *pool, struct fort_frame *frame,
				   uint32_t n_slots);

static inline struct fort_frame *fort_state_top(const struct fort_state *state)
{
	return state->frames[state->n_frames - 1];
}

static inline struct fort_value *fort_state_reg(const struct fort_state *state, unsigned reg)
{
	return &fort_state_top(state)->regs[reg];
}

/* Values. */
static inline struct fort_value fort_value_number(struct fort_scalar num)
{
	return (struct fort_value){.type = FORT_NUM, .num = num};
}

static inline struct fort_value fort_value_const(uint64_t number)
{
	return fort_value_number(fort_scalar_const(number));
}

struct fort_value fort_value_unknown(void);
struct fort_value fort_value_pointer(enum fort_type type, uint32_t object);
/* A count of something that takes time: it never reaches 2^62. */
struct fort_value fort_value_counter(void);
/* One more; false when that cannot be. */
FORT_CHECKED bool fort_value_count(struct fort_value *counter);

static inline bool fort_value_is_pointer(const struct fort_value *value)
{
	return value->type > FORT_NUM;
}

/* The known number, in *out; false for anything else. */
static inline bool fort_value_known(const struct fort_value *value, uint64_t *out)
{
	if (value->type != FORT_NUM || !fort_scalar_is_const(&value->num))
		return false;
	*out = value->num.arc.base;
	return true;
}

/* The eight marks at once; one mark, eight times. */
static inline uint64_t fort_slot_marks(const struct fort_slot *slot)
{
	uint64_t marks;

	memcpy(&marks, slot->bytes, sizeof(marks));
	return marks;
}

static inline uint64_t fort_marks_of(enum fort_byte byte)
{
	return 0x0101010101010101u * (uint64_t)byte;
}

/* Leading SPILL bytes of a slot: 0 when nothing is spilled there. */
static inline unsigned fort_slot_spilled(const struct fort_slot *slot)
{
	uint64_t others = fort_slot_marks(slot) ^ fort_marks_of(FORT_BYTE_SPILL);

	return others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
}

/* The number in the first n bytes, 1, 2, 4 or 8, where one is known: spilled as such, or as a wider
 * one, or all zeroes. A pointer only whole. */
bool fort_slot_low(const struct fort_slot *slot, unsigned n, struct fort_value *out);

/* Is the state one that the rules can produce? For debug builds, tests and fuzzers: types in
 * range, frames present, spills consistent, no pointer to something already given back. */
bool fort_state_validate(const struct fort_state *state);
/* The same, where numbers are known to be well-formed. */
bool fort_state_is_formed(const struct fort_state *state);

/* Makes room for ghosts. False when out of memory. */
FORT_CHECKED bool fort_state_haunt(struct fort_pool *pool, struct fort_state *state);
/* Puts the number at a cell (or a pointer's offset) into the list of ghosts, related to it. There
 * is no ghost of this owner. False when the list is full, or there is no memory for one. */
FORT_CHECKED bool fort_state_remember(struct fort_pool *pool, struct fort_state *state,
				      uint32_t owner, struct fort_value *value);

/* Numbers ids anew, from 1 without gaps, and forgets those that connect nothing: symbols and bases
 * with one holder, facts about symbols without any. What is known stays the same, and two states
 * that say the same of the same cells come out alike but for the order of ids. Done wherever paths
 * may meet. False when out of memory. */
FORT_CHECKED bool fort_state_settle(struct fort_pool *pool, struct fort_state *state);

/* Iteration over every value of a state: by frame registers, slots that have one, counters; then
 * lengths, the lock, ghosts. The function may change the value; returning false stops. */
typedef bool fort_value_visitor(struct fort_value *value, void *context);
bool fort_state_visit(struct fort_state *state, fort_value_visitor *visitor, void *context);

/* The same, to be made one with the visitor: where much time is spent. */
static inline __attribute__((always_inline)) bool fort_state_each(struct fort_state *state,
								  fort_value_visitor *visitor,
								  void *context)
{
	for (uint32_t i = 0; i < state->n_frames; i++) {
		struct fort_frame *frame = state->frames[i];

		for (unsigned r = 0; r < FORT_REGS; r++)
			if (!visitor(&frame->regs[r], context))
				return false;
		for (uint32_t s = 0; s < frame->n_slots; s++)
			if (fort_slot_has_value(&frame->slots[s]) &&
			    !visitor(&frame->slots[s].spill, context))
				return false;
		if (!visitor(&frame->turns, context) || !visitor(&frame->goes, context))
			return false;
	}
	if (!visitor(&state->packet, context) || !visitor(&state->meta, context) ||
	    !visitor(&state->lock, context))
		return false;
	for (uint32_t i = 0; i < state->n_ghosts; i++)
		if (!visitor(&state->ghosts[i].value, context))
			return false;
	return true;
}
