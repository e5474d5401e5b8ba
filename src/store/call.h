/* One bpf(2) call: the private copy of its attributes, what it holds, and what decoding found.
 *
 * A command is a pair. `decode` checks everything and changes nothing; what it finds goes into
 * the call. `invoke` acts; nothing about the request can be wrong any more, what may still come
 * is the object's own answer (no such key) or a lack of memory or descriptors. Whatever a call
 * holds is given back at its end, however it ends.
 */
#pragma once

#include "store/handle.h"

#define FORT_CALL_OBJECTS 4
#define FORT_CALL_BUFFERS 4

struct fort_call {
	struct fort_store *store;
	struct fort_caller caller;
	uint64_t address; /* of the caller's attributes */
	uint32_t size;    /* as the caller gave it */
	enum fort_cmd cmd;
	union fort_attr attr;
	struct fort_object *objects[FORT_CALL_OBJECTS];
	void *buffers[FORT_CALL_BUFFERS];
	uint32_t n_objects, n_buffers;
	union {
		struct {
			struct fort_map_shape shape;
			char name[FORT_NAME_BYTES];
			int access;
			struct fort_btf_object *btf;
			struct fort_btf_record record;
			struct fort_map_object *inner;
		} map_create;
		struct {
			struct fort_map_object *map;
			void *key, *value;
		} elem;
		struct {
			struct fort_object *object;
			uint32_t bytes; /* of info that the caller and we know */
		} info;
		struct {
			void *data;
		} btf_load;
		struct {
			enum fort_object_kind kind;
			struct fort_object *object;
			int access;
			uint32_t next;
		} by_id;
		struct {
			struct fort_prog_object *prog;
			struct fort_map_object *map;
		} bind_map;
		struct {
			struct fort_prog_object *prog; /* being built */
			uint64_t records;              /* of those that are being read */
		} load;
		struct {
			struct fort_prog_object *prog;
			struct fort_test_request request;
		} test;
		struct {
			struct fort_prog_object *prog;
			struct fort_event_object *event;
		} link;
	};
	struct fort_log log; /* last: large, and zeroed only in part */
};

struct fort_command {
	int (*decode)(struct fort_call *call);
	long (*invoke)(struct fort_call *call);
};

/* The object behind a descriptor, held until the call ends. -EBADF, -EINVAL. */
FORT_CHECKED int fort_call_object(struct fort_call *call, uint32_t fd, enum fort_object_kind kind,
				  struct fort_object **out);
/* Makes the call hold a reference that the caller has. */
void fort_call_hold(struct fort_call *call, struct fort_object *object);
/* Memory until the call ends; NULL without. `bytes` 0 gives memory too. */
void *fort_call_alloc(struct fort_call *call, uint64_t bytes);

/* The caller's memory. */
FORT_CHECKED int fort_call_read(const struct fort_call *call, uint64_t address, void *data,
				size_t bytes);
FORT_CHECKED int fort_call_write(const struct fort_call *call, uint64_t address, const void *data,
				 size_t bytes);
/* `bytes` of a buffer of the call's; -ENOMEM, -EFAULT. */
FORT_CHECKED int fort_call_copy(struct fort_call *call, uint64_t address, uint64_t bytes,
				void **out);
/* Writes a field of the caller's attributes, if they reach that far. */
FORT_CHECKED int fort_call_answer(const struct fort_call *call, size_t offset, const void *data,
				  size_t bytes);

#define FORT_CALL_ANSWER(call, field, value)                                 \
	fort_call_answer((call), offsetof(union fort_attr, field), &(value), \
			 sizeof((call)->attr.field))

/* A descriptor that should be a token: we have none. -EBADF or -EINVAL. */
FORT_CHECKED int fort_call_token(int fd);

/* Checks log attributes as bpf_vlog_init does and starts call->log. -EINVAL. */
FORT_CHECKED int fort_call_start_log(struct fort_call *call, uint32_t level, uint64_t buffer,
				     uint32_t size);
/* Ends the log. *needed as fort_log_finish; returns `err`, or what the log's buffer gives. */
FORT_CHECKED int fort_call_finish_log(struct fort_call *call, int err, uint32_t *needed);

/* bpf_obj_name_cpy: NUL within FORT_NAME_BYTES, [A-Za-z0-9_.] before; zero behind. -EINVAL. */
FORT_CHECKED int fort_call_name(const char *from, char to[FORT_NAME_BYTES]);

int fort_map_create_decode(struct fort_call *call);
long fort_map_create_invoke(struct fort_call *call);
int fort_elem_decode(struct fort_call *call);
long fort_lookup_invoke(struct fort_call *call);
long fort_update_invoke(struct fort_call *call);
long fort_delete_invoke(struct fort_call *call);
long fort_next_key_invoke(struct fort_call *call);
int fort_freeze_decode(struct fort_call *call);
long fort_freeze_invoke(struct fort_call *call);
int fort_btf_load_decode(struct fort_call *call);
long fort_btf_load_invoke(struct fort_call *call);
int fort_info_decode(struct fort_call *call);
long fort_info_invoke(struct fort_call *call);
int fort_next_id_decode(struct fort_call *call);
long fort_next_id_invoke(struct fort_call *call);
int fort_fd_by_id_decode(struct fort_call *call);
long fort_fd_by_id_invoke(struct fort_call *call);
int fort_bind_map_decode(struct fort_call *call);
long fort_bind_map_invoke(struct fort_call *call);
int fort_prog_load_decode(struct fort_call *call);
long fort_prog_load_invoke(struct fort_call *call);
int fort_test_run_decode(struct fort_call *call);
long fort_test_run_invoke(struct fort_call *call);
int fort_link_create_decode(struct fort_call *call);
long fort_link_create_invoke(struct fort_call *call);
int fort_link_update_decode(struct fort_call *call);
int fort_link_detach_decode(struct fort_call *call);
long fort_link_refuse_invoke(struct fort_call *call);
