#include "our_unit.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "inner_maps.h"
#include "step/kernel.h"
#include "btf/kernel.h"
#include "store/raw.h"

/* --- what is not supported of maps --- */

/* What is in the map's values beside bytes: NULL when it has no BTF, or none that can be read. The
 * kernel as well goes on without what it cannot make sense of (K: map_check_btf). */
static const struct fort_btf_record *read_record(struct our_unit *ours, int fd)
{
	struct fort_btf_record *record = FORT_ARENA_NEW(&ours->arena, struct fort_btf_record);
	struct bpf_map_info info = {0};
	struct fort_btf *btf = NULL;
	uint32_t bytes = sizeof(info);
	int btf_fd;
	bool good;

	if (!record || bpf_obj_get_info_by_fd(fd, &info, &bytes) || !info.btf_id)
		return NULL;
	btf_fd = bpf_btf_get_fd_by_id(info.btf_id);
	if (btf_fd < 0)
		return NULL;
	good = attr_btf_read(btf_fd, &btf);
	if (!good || !info.btf_value_type_id ||
	    fort_btf_read_record(btf, attr_btf_kernel(), info.btf_value_type_id, info.value_size,
				 FORT_RECORD_VALUE, record))
		*record = (struct fort_btf_record){0};
	close(btf_fd);
	fort_btf_free(btf);
	if (!good)
		snprintf(ours->strange_map, sizeof(ours->strange_map),
			 "map values whose types cannot be read");
	return record;
}

static void note_strange(struct our_unit *ours, uint32_t index)
{
	const char *name = libbpf_bpf_map_type_str(ours->maps[index].type);

	if (!fort_map_by_number(ours->maps[index].type))
		snprintf(ours->strange_map, sizeof(ours->strange_map), "map type %s",
			 name ? name : "unknown");
}

/* --- maps --- */

/* MAP_FREEZE is told in fdinfo only. */
static bool is_frozen(int fd)
{
	char path[64], line[128];
	unsigned frozen = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "r");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "frozen: %u", &frozen) == 1)
			break;
	if (info)
		fclose(info);
	return frozen != 0;
}

/* Values that cannot change any more: the verifier may rely on them. */
static bool take_constants(struct our_unit *ours, uint32_t index)
{
	struct fort_map_shape *shape = &ours->maps[index];
	uint32_t key = 0;
	uint8_t *value;

	if (shape->type != BPF_MAP_TYPE_ARRAY || shape->max_entries != 1 ||
	    !(shape->flags & BPF_F_RDONLY_PROG) || !is_frozen(ours->fds[index]))
		return true;
	value = fort_arena_alloc(&ours->arena, fort_map_stride(shape));
	if (!value || bpf_map_lookup_elem(ours->fds[index], &key, value))
		return false;
	shape->frozen = 1;
	ours->constants[index] = value;
	return true;
}

static struct fort_map_shape shape_of(const struct bpf_map_info *info)
{
	return (struct fort_map_shape){.type = info->type,
				       .key_bytes = info->key_size,
				       .value_bytes = info->value_size,
				       .max_entries = info->max_entries,
				       .flags = info->map_flags};
}

static int map_index(struct our_unit *ours, int fd)
{
	struct bpf_map_info info = {0};
	uint32_t bytes = sizeof(info), index = ours->n_maps;

	for (uint32_t i = 0; i < ours->n_maps; i++)
		if (ours->fds[i] == fd)
			return (int)i;
	if (index == FORT_MAPS_PER_PROG_MAX || bpf_obj_get_info_by_fd(fd, &info, &bytes))
		return -1;
	ours->fds[index] = fd;
	ours->maps[index] = shape_of(&info);
	ours->n_maps++;
	note_strange(ours, index);
	ours->records[index] = read_record(ours, fd);
	return take_constants(ours, index) ? (int)index : -1;
}

static bool resolve(struct our_unit *ours, const union bpf_attr *attr, struct fort_raw_insn *insn)
{
	bool value = fort_raw_is(insn, FORT_ROW_LDIMM_MAP_VALUE) ||
		     fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX_VALUE);
	bool indexed = fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX) ||
		       fort_raw_is(insn, FORT_ROW_LDIMM_MAP_IDX_VALUE);
	enum fort_row row = value ? FORT_ROW_LDIMM_MAP_IDX_VALUE : FORT_ROW_LDIMM_MAP_IDX;
	const int *array = (const int *)(uintptr_t)attr->fd_array;
	int index;

	if (!value && !indexed && !fort_raw_is(insn, FORT_ROW_LDIMM_MAP_FD))
		return true;
	if (indexed && !array)
		return false;
	index = map_index(ours, indexed ? array[insn->imm] : insn->imm);
	insn->src = fort_rows[row].value & 0xf;
	insn->imm = index;
	return index >= 0;
}

/* Descriptors of maps become indices. False when one is no map: the kernel says so as well. */
static bool resolve_maps(struct our_unit *ours, const union bpf_attr *attr)
{
	for (uint32_t pc = 0; pc + 1 < attr->insn_cnt; pc++) {
		if (ours->insns[pc].opcode != fort_rows[FORT_ROW_LDIMM].opcode)
			continue;
		if (!resolve(ours, attr, &ours->insns[pc]))
			return false;
		pc++;
	}
	return true;
}

/* The maps that are in maps follow those that the program names. */
static bool add_inner(struct our_unit *ours)
{
	for (uint32_t i = 0; i < ours->n_maps; i++) {
		uint32_t at = ours->n_maps + ours->n_inner, bytes = sizeof(struct bpf_map_info);
		struct bpf_map_info outer = {0}, inner;

		if (bpf_obj_get_info_by_fd(ours->fds[i], &outer, &bytes))
			return false;
		if (!inner_maps_find(&outer, &inner))
			continue;
		ours->maps[at] = shape_of(&inner);
		ours->maps[i].inner = at + 1;
		ours->n_inner++;
	}
	return true;
}

/* --- */

bool our_unit_kfunc(const struct our_unit *ours, uint32_t pc, char *reason)
{
	static struct btf *btf; /* opened once: it is large */
	const struct fort_raw_insn *insn = &ours->insns[pc];
	const struct btf_type *type;

	if (!ours->insns || !fort_raw_is(insn, FORT_ROW_CALL_KFUNC))
		return false;
	if (!btf)
		btf = btf__load_vmlinux_btf();
	type = btf && !insn->off ? btf__type_by_id(btf, (uint32_t)insn->imm) : NULL;
	snprintf(reason, ORACLE_REASON_BYTES, "kfunc %s",
		 type ? btf__name_by_offset(btf, type->name_off) : "of a module");
	return true;
}

/* --- the kernel's types --- */

/* False: there is no such target, and `reason` says why. */
static bool meet_kernel(struct our_unit *ours, const union bpf_attr *attr, char *reason)
{
	struct fort_btf_remark remark;
	struct fort_text text = fort_text_on(reason, ORACLE_REASON_BYTES);

	if (!attr_kernel())
		return true;
	if (!fort_env_meet(&ours->unit.env, &ours->arena, attr_kernel(), attr->attach_btf_id,
			   &remark))
		return true;
	fort_text_add(&text, "the target: ");
	fort_btf_remark_print(&remark, &text);
	return false;
}

/* --- the unit --- */

static bool is_gpl(const char *license)
{
	static const char *const compatible[] = {
		"GPL",          "GPL v2",       "GPL and additional rights",
		"Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};

	for (size_t i = 0; i < FORT_LEN(compatible); i++)
		if (!strcmp(license, compatible[i]))
			return true;
	return false;
}

/* What a program may do whose loader has the kernel's rights of this half. */
static uint32_t rights_of(enum half half)
{
	return half == HALF_PRIV ? FORT_ALL_VERIFIER_RIGHTS : 0;
}

static enum our_unit_state fail(enum our_unit_state state, char *reason, const char *why)
{
	snprintf(reason, ORACLE_REASON_BYTES, "%s", why);
	return state;
}

enum our_unit_state our_unit_open(struct our_unit *ours, const union bpf_attr *attr, enum half half,
				  struct fort_unit_error *error, char *reason)
{
	const struct fort_prog_info *prog = fort_prog_by_number(attr->prog_type);
	struct fort_unit_request request = {.n_insns = attr->insn_cnt,
					    .hook.prog = prog,
					    .sleepable = attr->prog_flags & BPF_F_SLEEPABLE,
					    .maps = ours->maps,
					    .constants = ours->constants,
					    .records = ours->records,
					    .cpus = (uint32_t)libbpf_num_possible_cpus(),
					    .rights = rights_of(half),
					    .gpl = is_gpl((const char *)(uintptr_t)attr->license)};
	const char *type = libbpf_bpf_prog_type_str(attr->prog_type);
	int err;

	memset(ours, 0, sizeof(*ours));
	fort_arena_init(&ours->arena, FORT_SEARCH_BYTES_MAX);
	if (!prog) {
		snprintf(reason, ORACLE_REASON_BYTES, "program type %s", type ? type : "unknown");
		return OUR_UNIT_LATER;
	}
	request.hook.attach = fort_hook_attach(prog, attr->expected_attach_type);
	if (request.sleepable && !fort_hook_may_sleep(&request.hook))
		return fail(OUR_UNIT_CANNOT, reason,
			    "which programs may sleep is the front door's business");
	if (!attr->insn_cnt || attr->insn_cnt > FORT_PROG_INSNS_MAX)
		return fail(OUR_UNIT_CANNOT, reason, "the number of instructions");
	ours->insns = fort_arena_copy(&ours->arena, (const void *)(uintptr_t)attr->insns,
				      attr->insn_cnt * sizeof(*ours->insns));
	if (!ours->insns)
		return fail(OUR_UNIT_CANNOT, reason, "no memory");
	if (!resolve_maps(ours, attr) || !add_inner(ours))
		return fail(OUR_UNIT_CANNOT, reason,
			    "what its maps are is the front door's business");
	if (!attr_info_open(&ours->info, &ours->arena, attr))
		return fail(OUR_UNIT_CANNOT, reason, "its BTF cannot be read");
	request.insns = ours->insns;
	request.n_maps = ours->n_maps;
	request.n_inner = ours->n_inner;
	request.prototypes = ours->info.described.prototypes;
	request.words = ours->info.described.words;
	request.n_prototypes = ours->info.described.n_prototypes;
	ours->build_ns = oracle_now_ns();
	err = fort_unit_build(&ours->arena, &request, &ours->unit, error);
	ours->build_ns = oracle_now_ns() - ours->build_ns;
	if (err == -EINVAL)
		return OUR_UNIT_MALFORMED;
	if (err)
		return fail(OUR_UNIT_CANNOT, reason, "no memory");
	if (attr->attach_prog_fd)
		return fail(OUR_UNIT_LATER, reason, "programs attached to programs or modules");
	return meet_kernel(ours, attr, reason) ? OUR_UNIT_READY : OUR_UNIT_CANNOT;
}

void our_unit_close(struct our_unit *ours)
{
	attr_info_close(&ours->info);
	fort_arena_free(&ours->arena);
}
