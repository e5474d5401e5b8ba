/* Which maps a program uses: descriptors in its instructions, or in an array beside them, become
 * indices into a table of the program's own. resolve_pseudo_ldimm64 and process_fd_array in
 * kernel/bpf/verifier.c have the rules and the texts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "store/prog.h"

/* Index of the map in the program's table, which takes over the reference to it. */
static int add_map(struct fort_call *call, struct fort_prog_object *prog,
		   struct fort_map_object *map)
{
	for (uint32_t i = 0; i < prog->n_maps; i++)
		if (prog->maps[i] == map) {
			fort_object_put(&map->object);
			return (int)i;
		}
	if (prog->n_maps == FORT_MAPS_PER_PROG_MAX) {
		fort_log_add(&call->log,
			     "The total number of maps per program has reached the limit of %u\n",
			     FORT_MAPS_PER_PROG_MAX);
		fort_object_put(&map->object);
		return -E2BIG;
	}
	prog->maps[prog->n_maps] = map;
	return (int)prog->n_maps++;
}

static int make_table(struct fort_prog_object *prog)
{
	if (prog->maps)
		return 0;
	prog->maps = calloc(FORT_MAPS_PER_PROG_MAX, sizeof(struct fort_map_object *));
	return prog->maps ? 0 : -ENOMEM;
}

/* A program may do with a map what it likes, so its descriptor must have been opened for all. The
 * kernel does not look: there, a read-only descriptor is enough to write.
 */
static int check_access(struct fort_call *call, int fd)
{
	if (fort_handle_access(fd) == O_RDWR)
		return 0;
	fort_log_add(&call->log, "fd %d is not open for reading and writing: programs do both\n",
		     fd);
	return -EPERM;
}

static int add_map_fd(struct fort_call *call, struct fort_prog_object *prog, int fd)
{
	struct fort_object *object;
	int err = fort_handle_get(call->store, fd, FORT_OBJECT_MAP, &object);

	if (err) {
		fort_log_add(&call->log, "fd %d is not pointing to valid bpf_map\n", fd);
		return err;
	}
	err = check_access(call, fd);
	if (err) {
		fort_object_put(object);
		return err;
	}
	return add_map(call, prog, (struct fort_map_object *)object);
}

/* A descriptor of the array: a map, or BTF, which needs no reference as we resolve no kfuncs. */
static int add_array_fd(struct fort_call *call, struct fort_prog_object *prog, int fd)
{
	struct fort_object *object;
	int err = fort_handle_get_any(call->store, fd, &object);
	enum fort_object_kind kind;

	if (!err) {
		kind = object->kind;
		fort_object_put(object);
		if (kind == FORT_OBJECT_BTF)
			return 0;
		if (kind == FORT_OBJECT_MAP)
			return add_map_fd(call, prog, fd);
		err = -EINVAL;
	}
	fort_log_add(&call->log, "fd %d is not pointing to valid bpf_map or btf\n", fd);
	return err;
}

int fort_prog_take_fd_array(struct fort_call *call, struct fort_prog_object *prog)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	int err = make_table(prog);

	if (!err && attr->fd_array_cnt >= UINT32_MAX / sizeof(int32_t)) {
		fort_log_add(&call->log, "fd_array_cnt is too big (%u)\n", attr->fd_array_cnt);
		return -EINVAL;
	}
	/* Each read is of the caller's memory, and maps are limited: this ends. */
	for (uint32_t i = 0; err >= 0 && i < attr->fd_array_cnt; i++) {
		int32_t fd;

		err = fort_call_read(call, attr->fd_array + i * sizeof(fd), &fd, sizeof(fd));
		err = err ? err : add_array_fd(call, prog, fd);
	}
	return err < 0 ? err : 0;
}

/* The descriptor that a 64-bit immediate names, directly or through the array. */
static int named_fd(struct fort_call *call, const struct fort_raw_insn *insn, bool indexed,
		    int32_t *fd)
{
	uint64_t array = call->attr.prog_load.fd_array;

	if (!indexed) {
		*fd = insn->imm;
		return 0;
	}
	if (!array) {
		fort_log_add(&call->log, "fd_idx without fd_array is invalid\n");
		return -EPROTO;
	}
	return fort_call_read(call, array + (uint64_t)insn->imm * sizeof(*fd), fd, sizeof(*fd));
}

/* An address inside the one value of an array. */
static int check_value(struct fort_call *call, const struct fort_map *map, uint32_t offset)
{
	int err = 0;

	if (offset >= FORT_PTR_OFFSET_MAX) {
		fort_log_add(&call->log, "direct value offset of %u is not allowed\n", offset);
		return -EINVAL;
	}
	if (!(map->info->traits & FORT_TRAIT_DIRECT)) {
		fort_log_add(&call->log, "no direct value access support for this map type\n");
		return -EINVAL;
	}
	if (map->shape.type == FORT_BPF_MAP_TYPE_ARENA)
		err = offset >= (uint64_t)map->shape.max_entries * FORT_PAGE_BYTES ? -ERANGE : 0;
	else if (map->shape.max_entries != 1)
		err = -FORT_ENOTSUPP;
	else if (offset >= map->shape.value_bytes)
		err = -EINVAL;
	if (err)
		fort_log_add(&call->log,
			     "invalid access to map value pointer, value_size=%u off=%u\n",
			     map->shape.value_bytes, offset);
	return err;
}

static int resolve(struct fort_call *call, struct fort_prog_object *prog,
		   struct fort_raw_insn *insn)
{
	bool value = fort_raw_is(insn, FORT_ROW_LDIMM_MAP_VALUE) ||
		     fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX_VALUE);
	bool indexed = fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX) ||
		       fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX_VALUE);
	enum fort_row row = value ? FORT_ROW_LDIMM_MAP_IDX_VALUE : FORT_ROW_LDIMM_MAP_IDX;
	int32_t fd;
	int err, index;

	if (!value && insn[1].imm) {
		fort_log_add(&call->log, "unrecognized bpf_ld_imm64 insn\n");
		return -EINVAL;
	}
	err = named_fd(call, insn, indexed, &fd);
	if (err)
		return err;
	index = add_map_fd(call, prog, fd);
	if (index < 0)
		return index;
	if (value)
		err = check_value(call, prog->maps[index]->map, (uint32_t)insn[1].imm);
	if (err)
		return err;
	insn->src = fort_rows[row].value & 0xf;
	insn->imm = index;
	return 0;
}

static bool names_map(const struct fort_raw_insn *insn)
{
	return fort_raw_is(insn, FORT_ROW_LDIMM_MAP_FD) ||
	       fort_raw_is(insn, FORT_ROW_LDIMM_MAP_VALUE) ||
	       fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX) ||
	       fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX_VALUE);
}

/* What is no whole immediate stays as it is: decoding will say what is wrong with it. */
static bool is_whole(const struct fort_prog_object *prog, uint32_t pc)
{
	const struct fort_raw_insn *high = &prog->insns[pc + 1];

	return pc + 1 < prog->n_insns && !high->opcode && !high->dst && !high->src && !high->off;
}

static void list_one(struct fort_prog_object *prog, uint32_t at, const struct fort_map_object *map)
{
	prog->used[at] = map->map;
	prog->records[at] = map->record.count ? &map->record : NULL;
}

/* Maps in maps come behind all others. */
static int list_used(struct fort_prog_object *prog)
{
	size_t room = 2 * (size_t)prog->n_maps;

	prog->used = FORT_ARENA_ARRAY(&prog->arena, room, struct fort_map *);
	prog->records = FORT_ARENA_ARRAY(&prog->arena, room, const struct fort_btf_record *);
	prog->inner = FORT_ARENA_ARRAY(&prog->arena, room, uint32_t);
	if (!prog->used || !prog->records || !prog->inner)
		return -ENOMEM;
	for (uint32_t i = 0; i < prog->n_maps; i++) {
		const struct fort_map_object *map = prog->maps[i];

		list_one(prog, i, map);
		if (!map->inner)
			continue;
		list_one(prog, prog->n_maps + prog->n_inner, map->inner);
		prog->inner[i] = 1 + prog->n_maps + prog->n_inner++;
	}
	prog->n_used = prog->n_maps;
	return 0;
}

int fort_prog_find_maps(struct fort_call *call, struct fort_prog_object *prog)
{
	struct fort_raw_insn *insns = prog->insns;
	int err = 0;

	for (uint32_t pc = 0; !err && pc < prog->n_insns; pc++) {
		if (insns[pc].opcode != fort_rows[FORT_ROW_LDIMM].opcode || !is_whole(prog, pc))
			continue;
		if (names_map(&insns[pc]))
			err = resolve(call, prog, &insns[pc]);
		pc++;
	}
	return err ? err : list_used(prog);
}

int fort_bind_map_decode(struct fort_call *call)
{
	const struct fort_attr_bind_map *attr = &call->attr.bind_map;
	struct fort_object *prog, *map;
	int err;

	if (attr->flags)
		return -EINVAL;
	err = fort_call_object(call, attr->prog_fd, FORT_OBJECT_PROG, &prog);
	err = err ? err : fort_call_object(call, attr->map_fd, FORT_OBJECT_MAP, &map);
	if (err)
		return err;
	call->bind_map.prog = (struct fort_prog_object *)prog;
	call->bind_map.map = (struct fort_map_object *)map;
	return 0;
}

/* The program keeps the map alive, and shows it; that is all. */
long fort_bind_map_invoke(struct fort_call *call)
{
	struct fort_prog_object *prog = call->bind_map.prog;
	struct fort_map_object *map = call->bind_map.map, **maps;
	struct fort_store *store = call->store;
	bool bound = false;
	int err = 0;

	pthread_mutex_lock(&store->lock);
	for (uint32_t i = 0; i < prog->n_maps; i++)
		bound = bound || prog->maps[i] == map;
	if (!bound && prog->n_maps >= FORT_BOUND_MAPS_MAX)
		err = -E2BIG;
	if (!bound && !err) {
		maps = realloc(prog->maps, (prog->n_maps + FORT_MAPS_PER_PROG_MAX) * sizeof(*maps));
		err = maps ? 0 : -ENOMEM;
		prog->maps = maps ? maps : prog->maps;
	}
	if (!bound && !err) {
		prog->maps[prog->n_maps++] = map;
		map->object.refs++;
	}
	pthread_mutex_unlock(&store->lock);
	return err;
}

void fort_prog_object_free(struct fort_prog_object *prog)
{
	fort_crashes_leave(prog);
	if (prog->road)
		fort_road_unload(prog->road);
	for (uint32_t i = 0; i < prog->n_maps; i++)
		fort_object_put(&prog->maps[i]->object);
	free(prog->maps);
	if (prog->btf)
		fort_object_put(&prog->btf->object);
	fort_arena_free(&prog->arena);
	free(prog->memory);
	free(prog);
}
