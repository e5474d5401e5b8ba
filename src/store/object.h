/* Objects of a store: what has an identity, a lifetime, and perhaps an id.
 *
 * A reference is held by every descriptor (handle.h), by every object that uses another, and by
 * every call in progress. The last reference frees. References go one way, link to event to program
 * to map to inner map to BTF, so that freeing one frees a chain of at most that length; but for
 * program arrays, which refer to programs only while there is a descriptor of them (store/tails.h),
 * so that what they free are programs alone, and these no programs.
 */
#pragma once

#include <pthread.h>

#include "abi/cmds.h"
#include "btf/info.h"
#include "btf/tracing.h"
#include "engine/code_pool.h"
#include "helper/services.h"
#include "isolate/spares.h"
#include "map/map.h"
#include "step/kernel.h"
#include "store/crash.h"
#include "store/store.h"

enum fort_object_kind {
	FORT_OBJECT_MAP,
	FORT_OBJECT_PROG,
	FORT_OBJECT_LINK,
	FORT_OBJECT_BTF,
	FORT_OBJECT_EVENT, /* its ids are nobody's business */
	FORT_OBJECT_KINDS
};

struct fort_object {
	struct fort_store *store;
	enum fort_object_kind kind;
	uint32_t id; /* 1..INT32_MAX */
	uint32_t refs;
};

/* Which programs a program array takes: the first one that was put there, or that names it, decides
 * (K: struct bpf_map_owner). */
struct fort_tails_owner {
	const struct fort_prog_info *type; /* NULL: there was none yet */
	uint32_t expected_attach_type;
	bool frags; /* XDP: packets of several parts */
	const struct fort_engine *engine;
	enum fort_isolation isolation;
};

/* What a program array holds: a reference each. */
struct fort_tails {
	struct fort_prog_object **progs; /* by index; NULL: it never held any */
	struct fort_tails_owner owner;
};

struct fort_btf_object {
	struct fort_object object;
	struct fort_btf *btf;
};

struct fort_map_object {
	struct fort_object object;
	struct fort_map *map;
	char name[FORT_NAME_BYTES];
	struct fort_btf_object *btf; /* or NULL */
	uint32_t key_type, value_type;
	struct fort_btf_record record; /* of the values; only in stores that judge */
	struct fort_map_object *inner; /* maps of maps: what those in it are like; else NULL */
	uint64_t device, inode;        /* of the values object */
	/* One byte of the values object per descriptor that was handed out, locked by it. */
	uint32_t *locks, n_locks, next_lock;
	struct fort_tails tails; /* of program arrays */
};

struct fort_prog_object {
	struct fort_object object;
	struct fort_arena arena; /* owns insns, records, maps as loaded */
	void *memory;            /* of its first part; heap */
	const struct fort_prog_info *type;
	char name[FORT_NAME_BYTES];
	uint32_t expected_attach_type, flags;
	bool gpl;
	struct fort_raw_insn *insns; /* from when it is taken in, with map references as indices */
	uint32_t n_insns;
	struct fort_map_object **maps; /* used, then bound; heap */
	uint32_t n_maps;
	uint32_t n_used; /* of maps: what instructions refer to */
	/* The same for the road, then the maps in them; of each, its record and the map in it. */
	struct fort_map **used;
	const struct fort_btf_record **records;
	uint32_t *inner, n_inner;
	struct fort_btf_object *btf;          /* or NULL */
	const struct fort_btf_target *target; /* function of the kernel; or NULL */
	struct fort_info info;
	struct fort_road_program *road;
	struct fort_crash_place crash_place;
	uint8_t tag[8];
	uint64_t load_time_ns; /* of the boot clock */
	uint32_t uid;
	uint32_t verified_insns;
};

struct fort_event_object {
	struct fort_object object;
	char *path;
	uint64_t offset, ref_ctr_offset;
	bool returns, enabled;
	int32_t pid;
	uint64_t cookie;
	struct fort_prog_object *prog; /* or NULL */
	bool attached;                 /* while enabled with a program */
	void *attachment;
	pthread_mutex_t lock; /* of all that changes */
};

struct fort_link_object {
	struct fort_object object;
	struct fort_event_object *event;
	struct fort_prog_object *prog;
};

#define FORT_AREAS_MAX 64u /* more than there are program types */

/* Sorted by id. */
struct fort_object_table {
	struct fort_object **objects;
	uint32_t n_objects, room;
	uint32_t last_id; /* given out; the next search starts behind it */
};

/* How a descriptor is recognised. Sorted by inode, then device. */
struct fort_identity {
	uint64_t device, inode;
	struct fort_object *object;
	int peer; /* our end of the socket pair; -1: a map's values object */
};

struct fort_identity_table {
	struct fort_identity *entries;
	uint32_t n_entries, room;
};

struct fort_store {
	pthread_mutex_t lock; /* of tables, references, and lists in objects but events' */
	struct fort_object_table tables[FORT_OBJECT_KINDS];
	struct fort_identity_table identities;
	int epoll; /* of peers: readable when one has hung up */
	struct fort_shared *shared;
	struct fort_map *trace; /* lines of trace_printk, of all processes */
	struct fort_host host;  /* of test runs, in this process */
	const struct fort_engine *engine;
	enum fort_isolation isolation;
	struct fort_keys keys;          /* of programs under mpk; runtime 0: there were none yet */
	struct fort_crash_policy crash; /* of programs loaded now */
	struct fort_crashes crashes;
	bool blind;        /* constants of programs loaded now are hidden */
	bool seals;        /* machine code of programs loaded now is sealed */
	uint32_t n_sealed; /* programs that were loaded so, in use or not */
	bool counts;       /* programs loaded now count their instructions */
	struct fort_store_attacher attacher;
	fort_store_listener *listener;
	void *listener_owner;
	struct fort_area *areas[FORT_AREAS_MAX]; /* of program types; made when first needed */
	struct fort_road_memory memory;
	struct fort_spares spares;
	struct fort_code_pool *pool;
	struct fort_load_report report;
	struct fort_test_result last_run;
	uint32_t uprobe_type;
	/* Of stores that judge (fort_store_set_vetting). */
	bool vets;
	const struct fort_kernel *kernel; /* not owned; or NULL */
};

/* The kernel's types that the store judges by, or NULL. */
static inline const struct fort_btf *fort_store_types(const struct fort_store *store)
{
	return store->kernel ? store->kernel->btf : NULL;
}

/* A zeroed object of `bytes` with one reference, the caller's, in no table; NULL without memory. */
void *fort_object_new(struct fort_store *store, enum fort_object_kind kind, size_t bytes);
/* Gives it an id. -ENOMEM; -ENOSPC when all are taken. */
FORT_CHECKED int fort_object_publish(struct fort_object *object);
void fort_object_get(struct fort_object *object);
/* Gives a reference back; NULL is allowed. */
void fort_object_put(struct fort_object *object);

/* With a reference for the caller, or NULL. */
struct fort_object *fort_object_by_id(struct fort_store *store, enum fort_object_kind kind,
				      uint32_t id);
/* The smallest id above `id`, or 0. */
uint32_t fort_object_next_id(struct fort_store *store, enum fort_object_kind kind, uint32_t id);

/* Destructors of the kinds; each gives back the references that its object held. */
void fort_btf_object_free(struct fort_btf_object *btf);
void fort_map_object_free(struct fort_map_object *map);
void fort_prog_object_free(struct fort_prog_object *prog);
void fort_link_object_free(struct fort_link_object *link);
void fort_event_object_free(struct fort_event_object *event);
