/* A process that an attacher has open: its target, and the programs that were loaded into it. Like
 * the target it belongs to one thread at a time.
 */
#pragma once

#include "attach/protocol.h"
#include "store/store.h"

struct fort_shared;
struct fort_target;
struct fort_text;

struct fort_attachee {
	struct fort_target *target; /* owned */
	uint32_t users;             /* probes */
	bool kept;                  /* open also without */
	bool reported;              /* its end */
	struct {
		const struct fort_road_program *program; /* NULL: the place is free */
		uint32_t number, users;
	} load[FORT_PACKAGES_MAX];
};

/* The program's number in the process, loaded when it is not yet there; one user more. `rings`: of
 * the store. Returns 0 or an error that why explains.
 */
FORT_CHECKED int fort_attachee_load(struct fort_attachee *attachee,
				    const struct fort_attach_request *request,
				    const struct fort_store_rings *rings, uint32_t *number,
				    struct fort_text *why);
/* One user less; without any, the program is unloaded. */
void fort_attachee_unload(struct fort_attachee *attachee, uint32_t number);

/* Leaves the process, and gives up what its agent held of the table of epochs if it could not do so
 * itself. Frees the attachee. */
void fort_attachee_close(struct fort_attachee *attachee, struct fort_shared *shared);
