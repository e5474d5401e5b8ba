/* What loader and agent say to each other: records over a SOCK_SEQPACKET pair, one datagram each,
 * a header and a body whose size follows from the type. Fixed widths, no padding left to chance,
 * no pointers of the other side. Both sides check every length and index of the other.
 *
 * The loader asks, the agent answers each request with one FORT_ANSWER of the same id. Unasked,
 * the agent says only HELLO (first), CRASHED (there is something in the ring of crashes) and LEFT
 * (last).
 */
#pragma once

#include "attach/reason.h"
#include "attach/regs.h"
#include "base/compiler.h"
#include "base/limits.h"

#define FORT_PROTOCOL_MAGIC   0x74726f66u /* "fort" */
#define FORT_PROTOCOL_VERSION 2u
#define FORT_MESSAGE_FDS_MAX  160 /* maps of a program, two each, and more */

/* Places in the target */
#define FORT_JUMP_BYTES        5u   /* jmp rel32: all that is written over the program's code */
#define FORT_WINDOW_BYTES_MAX  19u  /* 4 bytes and the longest instruction */
#define FORT_BODY_BYTES_MAX    160u /* displaced instructions, rewritten, and the way back */
#define FORT_WINDOW_INSNS_MAX  5u
#define FORT_STUB_BODY         32u /* where the body begins in a stub */
#define FORT_STUB_BYTES_MAX    (FORT_STUB_BODY + FORT_BODY_BYTES_MAX)
#define FORT_STUB_ALIGN        16u
#define FORT_STUB_HEAD_BYTES   64u /* of a block of stubs: addresses of the agent's gates */
#define FORT_BLOCK_BYTES       (64u << 10)
#define FORT_BLOCK_MAGIC       "bpfort stubs 001" /* at its start, without NUL */
#define FORT_BLOCK_MAGIC_BYTES 16
#define FORT_BLOCKS_MAX        256u

/* Runs */
#define FORT_RUN_SLOTS    128u  /* hits at the same time in one target */
#define FORT_PROBES_MAX   8192u /* of one loader on one target; also sites */
#define FORT_PACKAGES_MAX 256u
#define FORT_THREADS_MAX  4096u /* of a target */

enum fort_message_type {
	FORT_HELLO = 1, /* agent: I live. struct fort_hello */
	FORT_START,     /* struct fort_start; fds: /proc/PID, counters */
	FORT_MAP_BLOCK, /* memory for stubs. struct fort_map_block */
	FORT_LOAD,      /* a program package. struct fort_load; fds: the package's */
	FORT_UNLOAD,    /* struct fort_unload */
	FORT_SITE,      /* a place to probe; nothing is written yet. struct fort_site_plan */
	FORT_GUARD,     /* arm an UNWINDER site until the end. struct fort_guard */
	FORT_PROBE,     /* struct fort_probe_request */
	FORT_DROP,      /* struct fort_drop */
	FORT_RELEASE,   /* let the parked main thread go (a process that we started) */
	FORT_LEAVE,     /* undo everything and end */
	FORT_ANSWER,    /* struct fort_answer */
	FORT_CRASHED,   /* agent: programs have crashed, and what their policies say is done here */
	FORT_LEFT,      /* agent: all is undone. struct fort_left */
	FORT_MESSAGE_TYPES
};

struct fort_message_head {
	uint32_t magic;
	uint16_t version, type;
	uint32_t id, bytes; /* of the body */
};

struct fort_hello {
	int32_t tid; /* of the agent's thread */
	uint32_t slots;
	uint64_t image, image_bytes; /* what of the target's memory is the agent's */
	uint64_t park;               /* address of the gate where the main thread can wait */
};

struct fort_start {
	uint32_t probes; /* columns of the counters, at most FORT_PROBES_MAX */
	uint32_t reserved;
};

struct fort_map_block {
	uint64_t address;
};

struct fort_load {
	uint64_t package_bytes; /* in the first descriptor */
	uint32_t n_fds, reserved;
};

struct fort_unload {
	uint32_t package, reserved;
};

enum fort_site_kind {
	FORT_SITE_PROBE,
	FORT_SITE_UNWINDER, /* a function that walks stacks: return addresses are put back first */
	FORT_SITE_KINDS
};

/* How one function entry is patched (displace.h makes it). Stub at `stub`:
 *   0   address of the agent's record of the site, written by the agent
 *   8   return entry:  call *gate_return(%rip); jmp *(%rsp)
 *   24  plain entry:   call *gate(%rip)
 *   32  body: the displaced instructions, then a jump behind the window
 * The gates' addresses are in the head of the block.
 */
struct fort_site_plan {
	uint64_t address; /* what was asked for: what programs see as ip */
	uint64_t patch;   /* first byte that changes: address, or behind endbr64 */
	uint64_t stub, block;
	uint32_t site, kind;                     /* index of the site; enum fort_site_kind */
	uint32_t window_bytes, body_bytes;       /* whole instructions; their copy */
	uint8_t original[FORT_WINDOW_BYTES_MAX]; /* what must be at `patch` now */
	uint8_t n_insns;
	uint8_t reserved[4];
	/* Instruction i starts at patch + from[i] and at body + to[i]; entry n_insns is the end. */
	uint8_t from[FORT_WINDOW_INSNS_MAX + 1], to[FORT_WINDOW_INSNS_MAX + 1];
	uint8_t reserved2[4];
	uint8_t body[FORT_BODY_BYTES_MAX];
};

struct fort_guard {
	uint32_t site, reserved;
};

struct fort_probe_request {
	uint32_t site, probe; /* index of the probe: its column in the counters */
	uint32_t package, program;
	uint32_t flags, reserved; /* FORT_PROBE_* */
	uint64_t cookie;
};
#define FORT_PROBE_RETURN       1u
#define FORT_PROBE_KEEP_PENDING 2u /* stacks are copied here: never reclaim a return probe */

struct fort_drop {
	uint32_t probe, reserved;
};

struct fort_answer {
	int32_t err;     /* 0 or -errno */
	uint32_t reason; /* enum fort_reason */
	int64_t detail;
	uint64_t value; /* LOAD: the package's number */
};

struct fort_left {
	uint64_t page;  /* one page of the agent that only someone else can unmap; 0: none */
	uint32_t kept;  /* 1: stubs and agent stay mapped, because a thread may still be in them */
	uint32_t ended; /* 1: only agents were left of the process, which so has ended */
};

/* Bytes of the body of a type; UINT32_MAX for types that do not exist. */
static inline uint32_t fort_message_bytes(unsigned type)
{
	switch (type) {
	case FORT_HELLO: return sizeof(struct fort_hello);
	case FORT_START: return sizeof(struct fort_start);
	case FORT_MAP_BLOCK: return sizeof(struct fort_map_block);
	case FORT_LOAD: return sizeof(struct fort_load);
	case FORT_UNLOAD: return sizeof(struct fort_unload);
	case FORT_SITE: return sizeof(struct fort_site_plan);
	case FORT_GUARD: return sizeof(struct fort_guard);
	case FORT_PROBE: return sizeof(struct fort_probe_request);
	case FORT_DROP: return sizeof(struct fort_drop);
	case FORT_RELEASE:
	case FORT_LEAVE:
	case FORT_CRASHED: return 0;
	case FORT_ANSWER: return sizeof(struct fort_answer);
	case FORT_LEFT: return sizeof(struct fort_left);
	default: return UINT32_MAX;
	}
}

/* Counters, in a sealed memfd that both map: rows of `probes` words. Only the agent writes; neither
 * side decides anything by what it reads there.
 */
enum fort_counter_row {
	FORT_ROW_MISSED_ENTRY,  /* of each site: hits while the thread was in one, and the like */
	FORT_ROW_MISSED_RETURN, /* returns that were not seen */
	FORT_ROW_ABORTED,       /* of each probe: runs that the program did not end itself */
	FORT_ROW_HITS,          /* + s: of each probe, runs in slot s */
	FORT_COUNTER_ROWS = FORT_ROW_HITS + FORT_RUN_SLOTS
};
static inline uint64_t fort_counters_bytes(uint32_t probes)
{
	return fort_round_up((uint64_t)FORT_COUNTER_ROWS * probes * sizeof(uint64_t),
			     FORT_PAGE_BYTES);
}
