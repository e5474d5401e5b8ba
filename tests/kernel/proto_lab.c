#include "proto_lab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "abi/uapi.h"

/* BTF of values that hold something special, by name of the kernel's struct. */
enum value { PLAIN, LOCK, TIMER, KPTR, VALUES };

static const struct {
	uint32_t type, key_bytes, value_bytes, entries, flags;
	enum value value; /* PLAIN with BTF: `btf` */
	bool btf;
} shapes[PROTO_MAPS] = {
	[PROTO_HASH] = {BPF_MAP_TYPE_HASH, 8, 8, 8, 0, PLAIN, false},
	[PROTO_ARRAY] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0, PLAIN, false},
	[PROTO_TEXT] = {BPF_MAP_TYPE_ARRAY, 4, 64, 1, BPF_F_RDONLY_PROG, PLAIN, false},
	[PROTO_FIELDS] = {BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, LOCK, true},
	[PROTO_TIMER] = {BPF_MAP_TYPE_ARRAY, 4, 16, 1, 0, TIMER, true},
	[PROTO_KPTR] = {BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, KPTR, true},
	[PROTO_PERCPU] = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1, 0, PLAIN, false},
	[PROTO_RING] = {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, PLAIN, false},
	[PROTO_USER_RING] = {BPF_MAP_TYPE_USER_RINGBUF, 0, 0, 4096, 0, PLAIN, false},
	[PROTO_PROGS] = {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1, 0, PLAIN, false},
	[PROTO_EVENTS] = {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1, 0, PLAIN, false},
	[PROTO_STACKS] = {BPF_MAP_TYPE_STACK_TRACE, 4, 16, 1, 0, PLAIN, false},
	[PROTO_CGROUPS] = {BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 1, 0, PLAIN, false},
	[PROTO_DEVICES] = {BPF_MAP_TYPE_DEVMAP, 4, 4, 1, 0, PLAIN, false},
	[PROTO_SOCKMAP] = {BPF_MAP_TYPE_SOCKMAP, 4, 4, 1, 0, PLAIN, false},
	[PROTO_SOCKHASH] = {BPF_MAP_TYPE_SOCKHASH, 4, 4, 1, 0, PLAIN, false},
	[PROTO_REUSEPORT] = {BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, 1, 0, PLAIN, false},
	[PROTO_QUEUE] = {BPF_MAP_TYPE_QUEUE, 0, 8, 1, 0, PLAIN, false},
	[PROTO_CG_STORAGE] = {BPF_MAP_TYPE_CGROUP_STORAGE, 8, 8, 0, 0, PLAIN, false},
	[PROTO_SK_STORAGE] = {BPF_MAP_TYPE_SK_STORAGE, 4, 4, 0, BPF_F_NO_PREALLOC, PLAIN, true},
	[PROTO_INODE_STORAGE] = {BPF_MAP_TYPE_INODE_STORAGE, 4, 4, 0, BPF_F_NO_PREALLOC, PLAIN,
				 true},
	[PROTO_TASK_STORAGE] = {BPF_MAP_TYPE_TASK_STORAGE, 4, 4, 0, BPF_F_NO_PREALLOC, PLAIN, true},
	[PROTO_CGRP_STORAGE] = {32, 4, 4, 0, BPF_F_NO_PREALLOC, PLAIN, true},
};

/* struct NAME { TYPE field; }, of these bytes. */
static int wrap(struct btf *btf, const char *name, uint32_t bytes, int type)
{
	int id = btf__add_struct(btf, name, bytes);

	return btf__add_field(btf, "field", type, 0, 0) ? -1 : id;
}

/* Loads the BTF; the ids of the value types in `ids`. */
static int load_btf(uint32_t ids[VALUES])
{
	struct btf *btf = btf__new_empty();
	int word = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int wide = btf__add_int(btf, "long", 8, BTF_INT_SIGNED);
	int pair = btf__add_array(btf, word, wide, 2), lock, timer, tag, pointer, fd;
	const void *raw;
	uint32_t bytes;

	lock = wrap(btf, "bpf_spin_lock", 4, word);
	timer = wrap(btf, "bpf_timer", 16, pair);
	tag = btf__add_type_tag(btf, "kptr", wrap(btf, "task_struct", 4, word));
	pointer = btf__add_ptr(btf, tag);
	ids[PLAIN] = (uint32_t)word;
	ids[LOCK] = (uint32_t)wrap(btf, "locked", 8, lock);
	ids[TIMER] = (uint32_t)wrap(btf, "timed", 16, timer);
	ids[KPTR] = (uint32_t)wrap(btf, "pointing", 8, pointer);
	raw = btf__raw_data(btf, &bytes);
	fd = bpf_btf_load(raw, bytes, NULL);
	btf__free(btf);
	return fd;
}

static int make_map(unsigned i, int btf_fd, const uint32_t ids[VALUES])
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = shapes[i].flags);

	if (shapes[i].btf) {
		opts.btf_fd = (uint32_t)btf_fd;
		opts.btf_key_type_id = ids[PLAIN];
		opts.btf_value_type_id = ids[shapes[i].value];
	}
	return bpf_map_create(shapes[i].type, "lab", shapes[i].key_bytes, shapes[i].value_bytes,
			      shapes[i].entries, &opts);
}

/* Kernels without the symbols of variables do not find it. */
static uint32_t percpu_variable(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "bpf_prog_active", BTF_KIND_VAR);
	struct kernel_hook hook = {.hook = {&fort_progs[FORT_PROG_SOCKET_FILTER], 0, NULL}};
	struct kernel_answer answer;
	char text[64];

	if (id <= 0)
		return 0;
	snprintf(text, sizeof(text), "lddw r1, btf_var %d\nmov r0, 0\nexit\n", id);
	kernel_hook_load(&hook, &(struct kernel_program){.text = text}, &answer);
	return answer.err ? 0 : (uint32_t)id;
}

/* f_path is a field of struct file, or of a union without a name in it. */
static uint32_t path_offset(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, "file", BTF_KIND_STRUCT);
	const struct btf_type *file = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;

	for (uint32_t i = 0; file && i < btf_vlen(file); i++) {
		const struct btf_member *outer = btf_members(file) + i;
		const struct btf_type *type = btf__type_by_id(btf, outer->type);
		const char *name = btf__name_by_offset(btf, outer->name_off);

		if (!*name && btf_is_union(type))
			name = btf__name_by_offset(btf, btf_members(type)->name_off);
		if (!strcmp(name, "f_path"))
			return outer->offset / 8;
	}
	return 0;
}

static void read_kernel_types(struct proto_lab *lab)
{
	struct btf *btf = btf__load_vmlinux_btf();

	lab->percpu_id = btf ? percpu_variable(btf) : 0;
	lab->path_offset = btf ? path_offset(btf) : 0;
	btf__free(btf);
}

int proto_lab_open(struct proto_lab *lab)
{
	static const char format[64] = "%d";
	uint32_t ids[VALUES], zero = 0;
	int btf_fd = load_btf(ids), err = btf_fd < 0 ? -errno : 0;

	for (unsigned i = 0; i < PROTO_MAPS; i++)
		lab->fds[i] = -1;
	for (unsigned i = 0; i < PROTO_MAPS && !err; i++) {
		lab->fds[i] = make_map(i, btf_fd, ids);
		err = lab->fds[i] < 0 ? -errno : 0;
	}
	if (!err && (bpf_map_update_elem(lab->fds[PROTO_TEXT], &zero, format, 0) ||
		     bpf_map_freeze(lab->fds[PROTO_TEXT])))
		err = -errno;
	if (btf_fd >= 0)
		close(btf_fd);
	read_kernel_types(lab);
	if (err)
		proto_lab_close(lab);
	return err;
}

void proto_lab_close(struct proto_lab *lab)
{
	for (unsigned i = 0; i < PROTO_MAPS; i++)
		if (lab->fds[i] >= 0)
			close(lab->fds[i]);
}

enum proto_map proto_map_of(const struct fort_helper_info *helper)
{
	static const struct {
		uint32_t class;
		enum proto_map map;
	} by_class[] = {
		{FORT_CLASS_RING, PROTO_RING},
		{FORT_CLASS_USER_RING, PROTO_USER_RING},
		{FORT_CLASS_PROGS, PROTO_PROGS},
		{FORT_CLASS_EVENTS, PROTO_EVENTS},
		{FORT_CLASS_STACKS, PROTO_STACKS},
		{FORT_CLASS_CGROUPS, PROTO_CGROUPS},
		{FORT_CLASS_REDIRECT, PROTO_DEVICES},
		{FORT_CLASS_QUEUE, PROTO_QUEUE},
		{FORT_CLASS_CG_STORAGE, PROTO_CG_STORAGE},
		{FORT_CLASS_SK_STORAGE, PROTO_SK_STORAGE},
		{FORT_CLASS_INODE_STORAGE, PROTO_INODE_STORAGE},
		{FORT_CLASS_TASK_STORAGE, PROTO_TASK_STORAGE},
		{FORT_CLASS_CGRP_STORAGE, PROTO_CGRP_STORAGE},
		{FORT_CLASS_PERCPU, PROTO_PERCPU},
		{FORT_CLASS_REUSEPORT, PROTO_REUSEPORT},
		{FORT_CLASS_KEYED, PROTO_HASH},
		{FORT_CLASS_SOCKMAP, PROTO_SOCKMAP},
		{FORT_CLASS_SOCKHASH, PROTO_SOCKHASH},
	};

	/* A timer's map is the one that it is in. */
	if (fort_args[helper->args[0]].base == FORT_BASE_TIMER)
		return PROTO_TIMER;
	for (unsigned i = 0; i < FORT_LEN(by_class); i++)
		if (helper->map_classes & by_class[i].class)
			return by_class[i].map;
	return PROTO_HASH;
}

/* --- arguments --- */

#define OR_LEAVE "jne r0, 0, +2\nmov r0, 0\nexit\nmov r8, r0\n"

static bool value_of(enum proto_map map, struct fort_text *before)
{
	fort_text_add(
		before,
		"stw [r10-4], 0\nlddw r1, map_idx %u\nmov r2, r10\nadd r2, -4\ncall %u\n" OR_LEAVE,
		map, BPF_FUNC_map_lookup_elem);
	return true;
}

static bool dynptr(enum fort_arg kind, unsigned reg, struct fort_text *before, struct fort_text *at)
{
	uint32_t flags = fort_args[kind].flags;
	bool ring = flags & FORT_ARG_RING;

	if (!(flags & FORT_ARG_UNINIT)) {
		fort_text_add(before,
			      "lddw r1, %s %u%s\nmov r2, 8\nmov r3, 0\nmov r4, r10\n"
			      "add r4, -80\ncall %u\n",
			      ring ? "map_idx" : "map_idx_value", ring ? PROTO_RING : PROTO_ARRAY,
			      ring ? "" : ", 0",
			      ring ? BPF_FUNC_ringbuf_reserve_dynptr : BPF_FUNC_dynptr_from_mem);
	}
	fort_text_add(at, "mov r%u, r10\nadd r%u, -80\n", reg, reg);
	return true;
}

/* A socket that the context has. */
static bool context_socket(const struct kernel_hook *hook, struct fort_text *before)
{
	static const enum fort_yield sockets[] = {FORT_YIELD_SOCK_COMMON_OPT, FORT_YIELD_SOCKET_OPT,
						  FORT_YIELD_SOCKET};

	for (unsigned i = 0; i < FORT_LEN(sockets); i++) {
		const struct fort_ctx_field *field = kernel_hook_field(hook, sockets[i]);

		if (!field)
			continue;
		fort_text_add(before, "ldxdw r0, [r6+%u]\n" OR_LEAVE, field->offset);
		return true;
	}
	return false;
}

/* A socket with a reference. */
static bool found_socket(const struct kernel_hook *hook, struct fort_text *before)
{
	if (!fort_helper_for(BPF_FUNC_sk_lookup_tcp, &hook->hook))
		return false;
	fort_text_add(before,
		      "mov r1, r6\nlddw r2, map_idx_value %u, 0\nmov r3, 12\nmov r4, 0\nmov r5, 0\n"
		      "call %u\n" OR_LEAVE,
		      PROTO_ARRAY, BPF_FUNC_sk_lookup_tcp);
	return true;
}

/* bpf_iter__task_file: meta, task, number, file. */
static bool iterated_file(const struct kernel_hook *hook, uint32_t offset, struct fort_text *before)
{
	if (!hook->hook.target || strcmp(hook->hook.target, "bpf_iter_task_file"))
		return false;
	fort_text_add(before, "ldxdw r0, [r6+24]\n" OR_LEAVE "add r8, %u\n", offset);
	return true;
}

static bool kernel_object(const struct proto_lab *lab, const struct kernel_hook *hook,
			  enum fort_arg kind, struct fort_text *before)
{
	switch (kind) {
	case FORT_ARG_BTF_SOCK:
	case FORT_ARG_BTF_SOCK_OPT: return context_socket(hook, before);
	case FORT_ARG_BTF_SOCK_RELEASED: return found_socket(hook, before);
	case FORT_ARG_BTF_TASK:
	case FORT_ARG_BTF_TASK_OPT:
		fort_text_add(before, "call %u\nmov r8, r0\n", BPF_FUNC_get_current_task_btf);
		return true;
	case FORT_ARG_BTF_SEQ_FILE: /* the iterator's context: meta, and its first field */
		fort_text_add(before, "ldxdw r8, [r6+0]\nldxdw r8, [r8+0]\n");
		return true;
	case FORT_ARG_BTF_FILE: return iterated_file(hook, 0, before);
	case FORT_ARG_BTF_PATH: return iterated_file(hook, lab->path_offset, before);
	case FORT_ARG_BTF_SK_BUFF: /* kfree_skb: the packet comes first */
		fort_text_add(before, "ldxdw r8, [r6+0]\n");
		return hook->hook.target && !strcmp(hook->hook.target, "kfree_skb");
	case FORT_ARG_BTF_TCP_SOCK: /* struct tcp_congestion_ops: the socket comes first */
		fort_text_add(before, "ldxdw r8, [r6+0]\n");
		return true;
	default: return false;
	}
}

static bool made(const struct proto_lab *lab, const struct kernel_hook *hook, enum fort_arg kind,
		 struct fort_text *before)
{
	switch ((enum fort_arg_base)fort_args[kind].base) {
	case FORT_BASE_RING_MEM:
		fort_text_add(before,
			      "lddw r1, map_idx %u\nmov r2, 8\nmov r3, 0\ncall %u\n" OR_LEAVE,
			      PROTO_RING, BPF_FUNC_ringbuf_reserve);
		return true;
	case FORT_BASE_SPIN_LOCK: return value_of(PROTO_FIELDS, before);
	case FORT_BASE_TIMER: return value_of(PROTO_TIMER, before);
	case FORT_BASE_KPTR: return value_of(PROTO_KPTR, before);
	case FORT_BASE_SOCK: return context_socket(hook, before);
	case FORT_BASE_BTF: return kernel_object(lab, hook, kind, before);
	default: return false;
	}
}

bool proto_argument(const struct proto_lab *lab, const struct kernel_hook *hook,
		    const struct fort_helper_info *helper, unsigned arg, struct fort_text *before,
		    struct fort_text *at)
{
	enum fort_arg kind = helper->args[arg];
	const struct fort_arg_info *info = &fort_args[kind];
	unsigned reg = arg + 1;

	switch ((enum fort_arg_base)info->base) {
	case FORT_BASE_NONE:
	case FORT_BASE_ANY_OPT: return true;
	case FORT_BASE_ANY: fort_text_add(at, "mov r%u, 0\n", reg); return true;
	case FORT_BASE_MAP:
		fort_text_add(at, "lddw r%u, map_idx %u\n", reg,
			      lab->other_map ? lab->map_index : proto_map_of(helper));
		return true;
	case FORT_BASE_VALUE:
		if (lab->other_map && lab->of_sockets && !(info->flags & FORT_ARG_WRITE)) {
			bool optional = info->flags & FORT_ARG_NULL_OK;

			fort_text_add(at, optional ? "mov r%u, 0\n" : "mov r%u, r8\n", reg);
			return optional || context_socket(hook, before);
		}
		__attribute__((fallthrough));
	case FORT_BASE_KEY:
	case FORT_BASE_MEM:
		fort_text_add(at, "lddw r%u, map_idx_value %u, 0\n", reg, PROTO_ARRAY);
		return true;
	case FORT_BASE_SIZE:
	case FORT_BASE_CONST_SIZE: fort_text_add(at, "mov r%u, 8\n", reg); return true;
	case FORT_BASE_CTX: fort_text_add(at, "mov r%u, r6\n", reg); return true;
	case FORT_BASE_FUNC: fort_text_add(at, "lddw r%u, func callback\n", reg); return true;
	case FORT_BASE_STACK: fort_text_add(at, "mov r%u, r10\n", reg); return true;
	case FORT_BASE_CONST_STR:
		fort_text_add(at, "lddw r%u, map_idx_value %u, 0\n", reg, PROTO_TEXT);
		return true;
	case FORT_BASE_DYNPTR: return dynptr(kind, reg, before, at);
	case FORT_BASE_PERCPU_BTF:
		fort_text_add(at, "lddw r%u, btf_var %u\n", reg, lab->percpu_id);
		return lab->percpu_id;
	default:
		if (made(lab, hook, kind, before))
			fort_text_add(at, "mov r%u, r8\n", reg);
		else if (info->flags & FORT_ARG_NULL_OK)
			fort_text_add(at, "mov r%u, 0\n", reg);
		else
			return false;
		return true;
	}
}
