/* Descriptors of objects: handed out, recognised, and noticed when the last copy is closed.
 *
 * Programs, links, BTF and events: each descriptor is one end of a socket pair of its own; when
 * every copy of it is gone, in whichever process, the other end, which we keep, hangs up.
 *
 * Maps: the descriptor is the values memfd itself, opened again so that it has a description of
 * its own, which locks one byte of it for as long as a copy or a mapping exists, SIGKILL included
 * (open file description locks, fcntl(2)). Looking whether the byte is still locked is asking
 * whether anybody still has the map.
 */
#pragma once

#include "store/object.h"

/* A new close-on-exec descriptor of the object, which holds a reference of its own. For maps
 * `access` is O_RDWR, O_RDONLY or O_WRONLY; others take O_RDWR. Returns it, or a negative errno.
 */
FORT_CHECKED int fort_handle_open(struct fort_object *object, int access);

/* The object of a descriptor, with a reference for the caller: 0; -EBADF; -EINVAL when it is
 * something else than an object of this store and kind. */
FORT_CHECKED int fort_handle_get(struct fort_store *store, int fd, enum fort_object_kind kind,
				 struct fort_object **out);
/* The same for any kind. */
FORT_CHECKED int fort_handle_get_any(struct fort_store *store, int fd, struct fort_object **out);

/* How a map's descriptor was opened: O_RDWR, O_RDONLY, O_WRONLY. */
int fort_handle_access(int fd);

/* Makes a new map's descriptors recognised, and stops it. */
FORT_CHECKED int fort_handle_identify(struct fort_map_object *map);
void fort_handle_forget(struct fort_map_object *map);

/* Drops the references of descriptors that are gone. */
void fort_handle_reap(struct fort_store *store);
/* Takes back what all descriptors hold, open or not. */
void fort_handle_drop_all(struct fort_store *store);
/* In the child of a fork: what it inherited is shared with the parent and must not be changed. */
FORT_CHECKED int fort_handle_forked(struct fort_store *store);
