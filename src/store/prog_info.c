/* OBJ_GET_INFO_BY_FD for programs: many (pointer, count) pairs. For each, the count going in is
 * the caller's room, as much is copied as fits, and the count coming out is the true one.
 */
#include <errno.h>
#include <string.h>

#include "store/info.h"
#include "store/raw.h"

_Static_assert(sizeof(struct bpf_prog_info) == FORT_PROG_INFO_BYTES, "ABI");

/* Copies the first of `count` records of `bytes` that fit the caller's room. */
static int answer_array(struct fort_call *call, uint64_t address, uint32_t *room,
			const void *records, uint32_t count, uint32_t bytes)
{
	uint32_t copied = *room < count ? *room : count;

	*room = count;
	return fort_call_write(call, address, records, (uint64_t)copied * bytes);
}

static int answer_maps(struct fort_call *call, struct bpf_prog_info *info,
		       const struct fort_prog_object *prog)
{
	struct fort_store *store = prog->object.store;
	uint32_t *ids, n;

	/* BIND_MAP may add one meanwhile. */
	pthread_mutex_lock(&store->lock);
	n = prog->n_maps;
	ids = fort_call_alloc(call, n * sizeof(*ids));
	for (uint32_t i = 0; ids && i < n; i++)
		ids[i] = prog->maps[i]->object.id;
	pthread_mutex_unlock(&store->lock);
	if (!ids)
		return -ENOMEM;
	return answer_array(call, info->map_ids, &info->nr_map_ids, ids, n, sizeof(*ids));
}

/* A record size that the caller gives must be ours; 0 with no room asks for it. */
static bool wrong_size(uint32_t count, uint32_t size, uint32_t ours)
{
	return (count || size) && size != ours;
}

static int answer_sizes(struct bpf_prog_info *info)
{
	if (wrong_size(info->nr_func_info, info->func_info_rec_size,
		       sizeof(struct fort_func_info)) ||
	    wrong_size(info->nr_line_info, info->line_info_rec_size,
		       sizeof(struct fort_line_info)) ||
	    wrong_size(info->nr_jited_line_info, info->jited_line_info_rec_size, 8))
		return -EINVAL;
	info->func_info_rec_size = sizeof(struct fort_func_info);
	info->line_info_rec_size = sizeof(struct fort_line_info);
	info->jited_line_info_rec_size = 8;
	return 0;
}

/* As the kernel shows it: map references by map id. */
static int answer_insns(struct fort_call *call, struct bpf_prog_info *info,
			const struct fort_prog_object *prog)
{
	uint32_t bytes = prog->n_insns * (uint32_t)sizeof(*prog->insns),
		 room = info->xlated_prog_len;
	struct fort_raw_insn *insns;

	info->xlated_prog_len = bytes;
	if (!room)
		return 0;
	insns = fort_call_alloc(call, bytes);
	if (!insns)
		return -ENOMEM;
	memcpy(insns, prog->insns, bytes);
	for (uint32_t pc = 0; pc < prog->n_insns; pc++) {
		bool value = fort_raw_is(&insns[pc], FORT_ROW_LDIMM_MAP_IDX_VALUE);

		if (!value && !fort_raw_is(&insns[pc], FORT_ROW_LDIMM_MAP_IDX))
			continue;
		insns[pc].imm = (int32_t)prog->maps[insns[pc].imm]->object.id;
		insns[pc].src =
			fort_rows[value ? FORT_ROW_LDIMM_MAP_VALUE : FORT_ROW_LDIMM_MAP_FD].value &
			0xf;
	}
	return fort_call_write(call, info->xlated_prog_insns, insns, room < bytes ? room : bytes);
}

/* Programs of ours have no address that a client may know: zeros, as without the right to see
 * the kernel's. */
static int answer_code(struct fort_call *call, struct bpf_prog_info *info)
{
	const uint64_t address = 0;
	const uint32_t length = 0;
	int err;

	info->jited_prog_len = 0;
	err = answer_array(call, info->jited_ksyms, &info->nr_jited_ksyms, &address, 1, 8);
	err = err ? err
		  : answer_array(call, info->jited_func_lens, &info->nr_jited_func_lens, &length, 1,
				 4);
	info->nr_jited_line_info = 0;
	return err;
}

static int answer_records(struct fort_call *call, struct bpf_prog_info *info,
			  const struct fort_prog_object *prog)
{
	int err = answer_array(call, info->func_info, &info->nr_func_info, prog->info.funcs,
			       prog->info.n_funcs, sizeof(*prog->info.funcs));

	if (!err)
		err = answer_array(call, info->line_info, &info->nr_line_info, prog->info.lines,
				   prog->info.n_lines, sizeof(*prog->info.lines));
	if (!err)
		err = answer_array(call, info->prog_tags, &info->nr_prog_tags, prog->tag, 1,
				   sizeof(prog->tag));
	return err;
}

long fort_prog_info(struct fort_call *call, const struct fort_prog_object *prog)
{
	struct bpf_prog_info info;
	int err = fort_info_start(call, &info, sizeof(info));

	if (err)
		return err;
	info.type = prog->type->number;
	info.id = prog->object.id;
	info.load_time = prog->load_time_ns;
	info.created_by_uid = prog->uid;
	info.gpl_compatible = prog->gpl;
	memcpy(info.tag, prog->tag, sizeof(info.tag));
	memcpy(info.name, prog->name, sizeof(info.name));
	err = answer_maps(call, &info, prog);
	err = err ? err : answer_sizes(&info);
	if (err)
		return err;
	info.run_time_ns = info.run_cnt = info.recursion_misses = 0;
	info.verified_insns = prog->verified_insns;
	if (prog->btf)
		info.btf_id = prog->btf->object.id;
	info.attach_btf_id = info.attach_btf_obj_id = 0;
	err = answer_insns(call, &info, prog);
	err = err ? err : answer_code(call, &info);
	err = err ? err : answer_records(call, &info, prog);
	return err ? err : fort_info_finish(call, &info);
}
