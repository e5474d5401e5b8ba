/* Sites and what hangs on them. A site is a place in the target's code with a stub; it stays known
 * until the agent ends, so that detaching and attaching again only writes the jump. Its programs
 * are an immutable list, replaced by one store; hits read it once they hold a run slot.
 */
#pragma once

#include "agent/program.h"
#include "attach/protocol.h"

struct probe;

struct fort_item {
	struct fort_package *package;
	uint32_t program, probe;
	uint64_t cookie;
};

/* First the programs that run at entry, then those at return. */
struct fort_items {
	uint32_t n_entry, n_all;
	struct fort_item item[];
};

struct fort_site {
	const struct fort_items *items; /* NULL: none */
	uint64_t body;                  /* of the stub */
	bool used, armed;               /* a plan is here; the jump is in place */
	uint8_t jump[FORT_JUMP_BYTES];  /* what is in place */
	struct probe *probes;
	struct fort_site_plan plan;
};

/* Room for `count` sites and probes. Returns 0 or mmap's error. */
FORT_CHECKED int fort_sites_open(uint32_t count);
void fort_sites_close(void);

/* The site of a number, or NULL when it has no plan. For walks: the n-th place, or NULL at the end.
 */
struct fort_site *fort_site_at(uint32_t number);
struct fort_site *fort_site_slot(uint32_t place);
/* The site in whose displaced code `address` lies, or NULL. */
struct fort_site *fort_site_of_body(uint64_t address);

/* Takes a plan: checks it against itself and the blocks of stubs. The same plan again is accepted.
 * Returns 0, -EINVAL or -EEXIST; *field says which part was wrong.
 */
FORT_CHECKED int fort_site_add(const struct fort_site_plan *plan, int64_t *field);

/* The stub of a site as bytes, and how many. */
size_t fort_site_stub(const struct fort_site *site, uint8_t stub[FORT_STUB_BYTES_MAX]);

/* Puts the jump of an UNWINDER site in place. It stays until the agent leaves. */
FORT_CHECKED int fort_site_guard(struct fort_site *site, struct fort_answer *answer);

/* Attaches or detaches one program; the jump follows. When detach returns 0, no run of the program
 * for this probe is under way; -EBUSY when one would not end (the program is off all the same).
 */
FORT_CHECKED int fort_probe_add(const struct fort_probe_request *request,
				struct fort_package *package, struct fort_answer *answer);
FORT_CHECKED int fort_probe_drop(uint32_t probe, struct fort_answer *answer);
/* Detaches all programs of the package; a later fort_probe_drop of these probes only says 0. */
void fort_sites_drop(const struct fort_package *package);
/* Is a program of the package attached? */
bool fort_sites_use(const struct fort_package *package);
