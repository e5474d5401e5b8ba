#include "kernel_maps.h"

#include <errno.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "abi/uapi.h"

/* Types of the laboratory's BTF. */
struct types {
	struct btf *btf;
	int u32, u64, lock, locked, timer, timed, task, tag, pointer, owner, pair;
};

static void add_struct(struct types *t, int *out, const char *name, uint32_t bytes)
{
	*out = btf__add_struct(t->btf, name, bytes);
}

static void add_types(struct types *t)
{
	t->u32 = btf__add_int(t->btf, "unsigned int", 4, 0);
	t->u64 = btf__add_int(t->btf, "unsigned long", 8, 0);
	add_struct(t, &t->lock, "bpf_spin_lock", 4);
	btf__add_field(t->btf, "val", t->u32, 0, 0);
	add_struct(t, &t->locked, "lab_locked", sizeof(struct lab_locked));
	btf__add_field(t->btf, "count", t->u32, 0, 0);
	btf__add_field(t->btf, "lock", t->lock, 32, 0);
	btf__add_field(t->btf, "total", t->u64, 64, 0);
	add_struct(t, &t->timer, "bpf_timer", 16);
	btf__add_field(t->btf, "a", t->u64, 0, 0);
	btf__add_field(t->btf, "b", t->u64, 64, 0);
	add_struct(t, &t->timed, "lab_timed", sizeof(struct lab_timed));
	btf__add_field(t->btf, "count", t->u64, 0, 0);
	btf__add_field(t->btf, "timer", t->timer, 64, 0);
	/* Kernel types are found by name; a forward declaration would not do. */
	add_struct(t, &t->task, "task_struct", 4);
	btf__add_field(t->btf, "any", t->u32, 0, 0);
	t->tag = btf__add_type_tag(t->btf, "kptr", t->task);
	t->pointer = btf__add_ptr(t->btf, t->tag);
	add_struct(t, &t->owner, "lab_owner", sizeof(struct lab_owner));
	btf__add_field(t->btf, "count", t->u64, 0, 0);
	btf__add_field(t->btf, "task", t->pointer, 64, 0);
	add_struct(t, &t->pair, "lab_pair", 16);
	btf__add_field(t->btf, "first", t->u64, 0, 0);
	btf__add_field(t->btf, "second", t->u64, 64, 0);
}

/* The descriptor of the BTF, or -errno. */
static int load_types(struct types *t)
{
	uint32_t bytes;
	const void *data;
	int fd;

	t->btf = btf__new_empty();
	if (!t->btf)
		return -ENOMEM;
	add_types(t);
	data = btf__raw_data(t->btf, &bytes);
	fd = data ? bpf_btf_load(data, bytes, NULL) : -ENOMEM;
	btf__free(t->btf);
	return fd < 0 ? -errno : fd;
}

static int make(uint32_t index, struct bpf_map_create_opts *opts)
{
	const struct fort_map_shape *shape = &lab_shapes[index];
	int fd;

	opts->map_flags = shape->flags;
	fd = bpf_map_create(shape->type, "lab", shape->key_bytes, shape->value_bytes,
			    shape->max_entries, opts);
	return fd < 0 ? -errno : fd;
}

static uint32_t value_type(const struct types *types, uint32_t index)
{
	switch (index) {
	case LAB_LOCKED:
	case LAB_LOCK:
	case LAB_LOCKS: return (uint32_t)types->locked;
	case LAB_TIMERS:
	case LAB_TIMERS_TOO: return (uint32_t)types->timed;
	case LAB_OWNER: return (uint32_t)types->owner;
	case LAB_SOCKET_STORAGE: return (uint32_t)types->pair;
	default: return 0;
	}
}

static int make_with_types(uint32_t index)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	struct types types;
	int btf = load_types(&types), fd;

	if (btf < 0)
		return btf;
	opts.btf_fd = (uint32_t)btf;
	opts.btf_key_type_id = (uint32_t)(lab_shapes[index].key_bytes == 8 ? types.u64 : types.u32);
	opts.btf_value_type_id = value_type(&types, index);
	fd = make(index, &opts);
	close(btf);
	return fd;
}

static int make_texts(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int fd = make(LAB_TEXTS, &opts);
	uint32_t key = 0;

	if (fd < 0)
		return fd;
	if (!bpf_map_update_elem(fd, &key, lab_texts, BPF_ANY) && !bpf_map_freeze(fd))
		return fd;
	close(fd);
	return -errno;
}

int kernel_map_make(uint32_t index)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int inner, fd;

	if (index == LAB_TEXTS)
		return make_texts();
	if (index == LAB_LOCKED || index == LAB_OWNER || index == LAB_SOCKET_STORAGE ||
	    (index >= LAB_LOCK && index <= LAB_TIMERS_TOO))
		return make_with_types(index);
	if (!lab_shapes[index].inner)
		return make(index, &opts);
	inner = kernel_map_make(lab_shapes[index].inner - 1);
	if (inner < 0)
		return inner;
	opts.inner_map_fd = (uint32_t)inner;
	fd = make(index, &opts);
	close(inner);
	return fd;
}
