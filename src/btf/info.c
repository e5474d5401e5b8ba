#include "btf/info.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

#define FUNC_RECORD_MIN 8u  /* K: MIN_BPF_FUNCINFO_SIZE */
#define LINE_RECORD_MIN 16u /* K: MIN_BPF_LINEINFO_SIZE */
#define RECORD_MAX      252u

/* Reads record `index` into `out`; what the caller has less is zero, what it has more must be. */
static int read_record(const struct fort_info_records *records, uint32_t index, void *out,
		       uint32_t known, const char *what, struct fort_log *log)
{
	uint8_t record[RECORD_MAX];
	uint32_t bytes = records->record_bytes;
	int err = records->read(records->owner, (uint64_t)index * bytes, record, bytes);

	if (err)
		return err;
	for (uint32_t i = known; i < bytes; i++)
		if (record[i]) {
			fort_log_add(log, "nonzero tailing record in %s", what);
			return -E2BIG;
		}
	memset(out, 0, known);
	memcpy(out, record, bytes < known ? bytes : known);
	return 0;
}

static int check_func(const struct fort_info *info, const struct fort_func_info *record,
		      const struct fort_func_info *last, struct fort_log *log)
{
	if (!last && record->insn) {
		fort_log_add(log, "nonzero insn_off %u for the first func info record",
			     record->insn);
		return -EINVAL;
	}
	if (last && record->insn <= last->insn) {
		fort_log_add(log,
			     "same or smaller insn offset (%u) than previous func info record (%u)",
			     record->insn, last->insn);
		return -EINVAL;
	}
	if (fort_btf_type(info->btf, record->type).kind != FORT_BTF_FUNC) {
		fort_log_add(log, "invalid type id %d in func info", (int)record->type);
		return -EINVAL;
	}
	return 0;
}

int fort_info_read_funcs(struct fort_info *info, struct fort_arena *arena,
			 const struct fort_info_records *records, struct fort_log *log,
			 uint32_t *known_bytes)
{
	uint32_t bytes = records->record_bytes, count = records->count;
	struct fort_func_info *funcs;

	if (!count)
		return 0;
	if (bytes < FUNC_RECORD_MIN || bytes > RECORD_MAX || bytes % 4) {
		fort_log_add(log, "invalid func info rec size %u\n", bytes);
		return -EINVAL;
	}
	if (count > FORT_SUBPROGS_MAX) {
		fort_log_add(log,
			     "number of funcs in func_info doesn't match number of subprogs\n");
		return -EINVAL;
	}
	funcs = FORT_ARENA_ARRAY(arena, count, struct fort_func_info);
	if (!funcs)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		int err = read_record(records, i, &funcs[i], sizeof(*funcs), "func info", log);

		if (err == -E2BIG)
			*known_bytes = sizeof(*funcs);
		err = err ? err : check_func(info, &funcs[i], i ? &funcs[i - 1] : NULL, log);
		if (err)
			return err;
	}
	info->funcs = funcs;
	info->n_funcs = count;
	return 0;
}

static int check_line(const struct fort_info *info, uint32_t index,
		      const struct fort_line_info *record, uint32_t last,
		      const struct fort_raw_insn *insns, uint32_t n_insns, struct fort_log *log)
{
	if ((index && record->insn <= last) || record->insn >= n_insns) {
		fort_log_add(log,
			     "Invalid line_info[%u].insn_off:%u (prev_offset:%u prog->len:%u)\n",
			     index, record->insn, last, n_insns);
		return -EINVAL;
	}
	if (!insns[record->insn].opcode) {
		fort_log_add(log, "Invalid insn code at line_info[%u].insn_off\n", index);
		return -EINVAL;
	}
	if (!fort_btf_string(info->btf, record->text) ||
	    !fort_btf_string(info->btf, record->file)) {
		fort_log_add(log, "Invalid line_info[%u].line_off or .file_name_off\n", index);
		return -EINVAL;
	}
	return 0;
}

int fort_info_read_lines(struct fort_info *info, struct fort_arena *arena,
			 const struct fort_info_records *records, const struct fort_raw_insn *insns,
			 uint32_t n_insns, struct fort_log *log, uint32_t *known_bytes)
{
	uint32_t bytes = records->record_bytes, count = records->count;
	struct fort_line_info *lines;

	if (!count)
		return 0;
	if (count > INT32_MAX / sizeof(*lines) || bytes < LINE_RECORD_MIN || bytes > RECORD_MAX ||
	    bytes % 4)
		return -EINVAL;
	/* Each record names a later instruction: record n_insns cannot be good. */
	lines = FORT_ARENA_ARRAY(arena, count < n_insns ? count : n_insns + 1,
				 struct fort_line_info);
	if (!lines)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		int err = read_record(records, i, &lines[i], sizeof(*lines), "line_info", log);

		if (err == -E2BIG)
			*known_bytes = sizeof(*lines);
		err = err ? err
			  : check_line(info, i, &lines[i], i ? lines[i - 1].insn : 0, insns,
				       n_insns, log);
		if (err)
			return err;
	}
	info->lines = lines;
	info->n_lines = count;
	return 0;
}

static int match_funcs(const struct fort_info *info, const struct fort_program *program,
		       struct fort_log *log)
{
	if (info->n_funcs != program->n_subprogs) {
		fort_log_add(log,
			     "number of funcs in func_info doesn't match number of subprogs\n");
		return -EINVAL;
	}
	for (uint32_t i = 0; i < info->n_funcs; i++)
		if (info->funcs[i].insn != program->subprogs[i].start) {
			fort_log_add(log,
				     "func_info BTF section doesn't match subprog layout in BPF"
				     " program\n");
			return -EINVAL;
		}
	return 0;
}

/* Each subprogram starts with a line of its own. */
static int match_lines(const struct fort_info *info, const struct fort_program *program,
		       struct fort_log *log)
{
	uint32_t subprog = 0;

	for (uint32_t i = 0; i < info->n_lines && subprog < program->n_subprogs; i++) {
		uint32_t start = program->subprogs[subprog].start, insn = info->lines[i].insn;

		if (insn == start) {
			subprog++;
		} else if (start < insn) {
			fort_log_add(log, "missing bpf_line_info for func#%u\n", subprog);
			return -EINVAL;
		}
	}
	if (subprog < program->n_subprogs) {
		fort_log_add(log, "missing bpf_line_info for %u funcs starting from func#%u\n",
			     program->n_subprogs - subprog, subprog);
		return -EINVAL;
	}
	return 0;
}

int fort_info_match(const struct fort_info *info, const struct fort_program *program,
		    struct fort_log *log)
{
	int err = info->n_funcs ? match_funcs(info, program, log) : 0;

	if (err || !info->n_lines)
		return err;
	return match_lines(info, program, log);
}

int64_t fort_info_line_index(const struct fort_info *info, uint32_t insn)
{
	uint32_t low = 0, high = info->n_lines;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (info->lines[middle].insn <= insn)
			low = middle + 1;
		else
			high = middle;
	}
	return (int64_t)low - 1;
}

bool fort_info_place(const struct fort_info *info, uint32_t insn, struct fort_place *out)
{
	int64_t index = fort_info_line_index(info, insn);
	const struct fort_line_info *line;
	uint32_t indent;

	if (index < 0)
		return false;
	line = &info->lines[index];
	*out = (struct fort_place){
		.file = fort_btf_string(info->btf, line->file),
		.text = fort_btf_string(info->btf, line->text),
		.line = line->line_column >> 10,
		.column = line->line_column & 0x3ff,
	};
	indent = (uint32_t)strspn(out->text, " \t\n\v\f\r");
	out->text += indent;
	if (out->column > indent && out->column - indent <= strlen(out->text))
		out->caret = out->column - indent;
	return true;
}

const char *fort_info_func_name(const struct fort_info *info, uint32_t insn)
{
	struct fort_btf_type func;

	for (uint32_t i = info->n_funcs; i-- > 0;) {
		if (info->funcs[i].insn > insn)
			continue;
		func = fort_btf_type(info->btf, info->funcs[i].type);
		return fort_btf_string(info->btf, func.name);
	}
	return NULL;
}
