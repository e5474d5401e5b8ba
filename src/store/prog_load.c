/* PROG_LOAD up to the point where the program must be understood; the road does the rest.
 *
 * The order of checks is that of bpf_prog_load (kernel/bpf/syscall.c) and then of bpf_check
 * (kernel/bpf/verifier.c). Between them the log starts: what fails after it is told there too,
 * and the log is ended whatever happens.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/sha256.h"
#include "store/prog.h"
#include "store/tails.h"

#define LICENSE_BYTES 128         /* K */
#define SMALL_BYTES   512u        /* tables of few maps, and what is small */
#define ARENA_BYTES   (96u << 20) /* instructions of the largest program, and a line for each */

enum {
	KNOWN_FLAGS = BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_RND_HI32 |
		      BPF_F_TEST_STATE_FREQ | BPF_F_SLEEPABLE | BPF_F_XDP_HAS_FRAGS |
		      FORT_BPF_F_XDP_DEV_BOUND_ONLY | FORT_BPF_F_TEST_REG_INVARIANTS |
		      FORT_BPF_F_TOKEN_FD,
};

static int check_attr(struct fort_call *call)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	const struct fort_hook hook = {fort_prog_by_number(attr->prog_type),
				       attr->expected_attach_type, NULL};
	int err;

	if (attr->prog_flags & ~(uint32_t)KNOWN_FLAGS)
		return -EINVAL;
	if (attr->prog_flags & FORT_BPF_F_TOKEN_FD)
		return fort_call_token(attr->prog_token_fd);
	if (!attr->insn_cnt || attr->insn_cnt > FORT_PROG_INSNS_MAX)
		return -E2BIG;
	err = fort_prog_check_target(call);
	if (err)
		return err;
	return hook.prog && !fort_hook_has_attach(&hook) ? -EINVAL : 0;
}

static bool is_gpl_compatible(const char *license)
{
	static const char *const compatible[] = {
		"GPL",          "GPL v2",       "GPL and additional rights",
		"Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL",
	};

	for (unsigned i = 0; i < FORT_LEN(compatible); i++)
		if (!strcmp(license, compatible[i]))
			return true;
	return false;
}

static int copy_license(struct fort_call *call, struct fort_prog_object *prog)
{
	char license[LICENSE_BYTES] = "";
	int64_t length = fort_caller_string(&call->caller, call->attr.prog_load.license, license,
					    sizeof(license) - 1);

	if (length < 0)
		return -EFAULT;
	prog->gpl = is_gpl_compatible(license);
	return 0;
}

/* For what a program has: memory of the heap, which is there, up to what most have. */
static int open_arena(struct fort_prog_object *prog, uint32_t n_insns)
{
	size_t bytes = n_insns * sizeof(struct fort_raw_insn);

	bytes = FORT_ARENA_ON_BYTES + SMALL_BYTES + fort_round_up(bytes, 16);
	prog->memory = malloc(bytes);
	if (!prog->memory)
		return -ENOMEM;
	fort_arena_init_on(&prog->arena, ARENA_BYTES, prog->memory, bytes);
	return 0;
}

static int copy_program(struct fort_call *call, struct fort_prog_object *prog)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	size_t bytes = attr->insn_cnt * sizeof(struct fort_raw_insn);
	int err = open_arena(prog, attr->insn_cnt);

	if (err)
		return err;
	prog->insns = fort_arena_room(&prog->arena, bytes);
	prog->n_insns = attr->insn_cnt;
	if (!prog->insns)
		return -ENOMEM;
	err = fort_call_read(call, attr->insns, prog->insns, bytes);
	err = err ? err : copy_license(call, prog);
	if (err)
		return err;
	if (attr->signature) /* there is no key ring to check it with */
		return -ENOKEY;
	if (attr->prog_ifindex)
		return -EINVAL;
	prog->type = fort_prog_by_number(attr->prog_type);
	if (!prog->type)
		return -EINVAL;
	prog->expected_attach_type = fort_hook_attach(prog->type, attr->expected_attach_type);
	prog->flags = attr->prog_flags;
	return fort_call_name(attr->prog_name, prog->name);
}

static int read_records(void *owner, uint64_t offset, void *data, size_t bytes)
{
	const struct fort_call *call = owner;

	return fort_call_read(call, call->load.records + offset, data, bytes);
}

static int copy_funcs(struct fort_call *call, struct fort_prog_object *prog)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	struct fort_info_records records = {.count = attr->func_info_cnt,
					    .record_bytes = attr->func_info_rec_size,
					    .read = read_records,
					    .owner = call};
	uint32_t known;
	int err;

	call->load.records = attr->func_info;
	err = fort_info_read_funcs(&prog->info, &prog->arena, &records, &call->log, &known);
	if (err == -E2BIG && FORT_CALL_ANSWER(call, prog_load.func_info_rec_size, known))
		return -EFAULT;
	return err;
}

static int copy_lines(struct fort_call *call, struct fort_prog_object *prog)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	struct fort_info_records records = {.count = attr->line_info_cnt,
					    .record_bytes = attr->line_info_rec_size,
					    .read = read_records,
					    .owner = call};
	uint32_t known;
	int err;

	call->load.records = attr->line_info;
	err = fort_info_read_lines(&prog->info, &prog->arena, &records, prog->insns, prog->n_insns,
				   &call->log, &known);
	if (err == -E2BIG && FORT_CALL_ANSWER(call, prog_load.line_info_rec_size, known))
		return -EFAULT;
	return err;
}

/* BTF is looked at only for records: a program without them has none, whatever prog_btf_fd is. */
static int copy_info(struct fort_call *call, struct fort_prog_object *prog)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	struct fort_object *object;
	int err;

	if (!attr->func_info_cnt && !attr->line_info_cnt)
		return 0;
	err = fort_handle_get(call->store, (int)attr->prog_btf_fd, FORT_OBJECT_BTF, &object);
	if (err)
		return err;
	prog->btf = (struct fort_btf_object *)object;
	prog->info.btf = prog->btf->btf;
	err = copy_funcs(call, prog);
	err = err ? err : copy_lines(call, prog);
	if (!err && attr->core_relo_cnt) {
		fort_log_add(&call->log, "CO-RE relocations must be applied by the loader\n");
		return -EOPNOTSUPP;
	}
	return err;
}

static int check_sleepable(struct fort_call *call, const struct fort_prog_object *prog)
{
	const struct fort_hook hook = {prog->type, prog->expected_attach_type,
				       fort_prog_target_name(prog)};
	bool sleepable = prog->flags & BPF_F_SLEEPABLE;

	if (prog->type->sleepable == FORT_SLEEP_MUST && !sleepable) {
		fort_log_add(&call->log, "Syscall programs can only be sleepable\n");
		return -EINVAL;
	}
	if (sleepable && !fort_hook_may_sleep(&hook)) {
		fort_log_add(&call->log, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and"
					 " struct_ops programs can be sleepable\n");
		return -EINVAL;
	}
	return 0;
}

static bool is_zero_but_imm(const struct fort_raw_insn *insn)
{
	return !insn->opcode && !insn->dst && !insn->src && !insn->off;
}

/* The kernel's tag: a hash of the instructions without the numbers that change from load to
 * load. */
static void make_tag(struct fort_prog_object *prog)
{
	const struct fort_raw_insn *insns = prog->insns;
	uint8_t digest[FORT_SHA256_BYTES];
	struct fort_sha256 hash;
	uint32_t done = 0;

	fort_sha256_init(&hash);
	for (uint32_t pc = 0; pc + 1 < prog->n_insns; pc++) {
		struct fort_raw_insn slots[2] = {insns[pc], insns[pc + 1]};
		uint32_t n = is_zero_but_imm(&slots[1]) ? 2 : 1;

		if (!fort_raw_is(&insns[pc], FORT_ROW_LDIMM_MAP_FD) &&
		    !fort_raw_is(&insns[pc], FORT_ROW_LDIMM_MAP_VALUE))
			continue;
		slots[0].imm = slots[1].imm = 0;
		fort_sha256_add(&hash, insns + done, (pc - done) * sizeof(*insns));
		fort_sha256_add(&hash, slots, n * sizeof(*insns));
		done = pc + n;
		pc = done - 1;
	}
	fort_sha256_add(&hash, insns + done, (prog->n_insns - done) * sizeof(*insns));
	fort_sha256_end(&hash, digest);
	memcpy(prog->tag, digest, sizeof(prog->tag));
}

/* Ends the log, and tells who listens. Returns what the command returns for `err`. */
static int end_load(struct fort_call *call, struct fort_load_report *report, int err)
{
	const struct fort_prog_object *prog = call->load.prog;
	struct fort_store *store = call->store;
	size_t length;
	const char *tail = fort_log_tail(&call->log, &length);
	uint32_t needed;

	memcpy(report->log_tail, tail, length);
	err = fort_call_finish_log(call, err, &needed);
	if (FORT_CALL_ANSWER(call, prog_load.log_true_size, needed))
		err = -EFAULT;
	report->err = err;
	memcpy(report->name, prog->name, sizeof(report->name));
	report->type = prog->type;
	report->insns = prog->n_insns;
	pthread_mutex_lock(&store->lock);
	store->report = *report;
	pthread_mutex_unlock(&store->lock);
	if (store->listener)
		store->listener(store->listener_owner, report);
	return err;
}

/* What did not come as far as the road. */
static int fail_load(struct fort_call *call, int err)
{
	struct fort_load_report report = {0};

	return end_load(call, &report, err);
}

static int check_program(struct fort_call *call, struct fort_prog_object *prog)
{
	int err = fort_prog_take_fd_array(call, prog);

	err = err ? err : copy_info(call, prog);
	if (!err)
		make_tag(prog);
	err = err ? err : fort_prog_find_maps(call, prog);
	err = err ? err : fort_prog_find_target(call, prog);
	return err ? err : check_sleepable(call, prog);
}

int fort_prog_load_decode(struct fort_call *call)
{
	const struct fort_attr_prog_load *attr = &call->attr.prog_load;
	struct fort_prog_object *prog;
	int err = check_attr(call);

	if (err)
		return err;
	prog = fort_object_new(call->store, FORT_OBJECT_PROG, sizeof(*prog));
	if (!prog)
		return -ENOMEM;
	fort_call_hold(call, &prog->object);
	call->load.prog = prog;
	err = copy_program(call, prog);
	err = err ? err : fort_call_start_log(call, attr->log_level, attr->log_buf, attr->log_size);
	if (err)
		return err;
	err = check_program(call, prog);
	return err ? fail_load(call, err) : 0;
}

static uint64_t boot_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const char *map_name(void *owner, uint32_t index)
{
	const struct fort_prog_object *prog = owner;

	return index < prog->n_used ? prog->maps[index]->name : NULL;
}

/* What is sealed is never given back: loads that fail are counted as well, for not many do. */
static int count_sealed(struct fort_store *store)
{
	int err = 0;

	pthread_mutex_lock(&store->lock);
	if (store->n_sealed >= FORT_SEALED_MAX)
		err = -ENOSPC;
	else
		store->n_sealed++;
	pthread_mutex_unlock(&store->lock);
	return err;
}

long fort_prog_load_invoke(struct fort_call *call)
{
	struct fort_prog_object *prog = call->load.prog;
	struct fort_load_report report = {0};
	struct fort_road_request request = {
		.type = prog->type,
		.expected_attach_type = prog->expected_attach_type,
		.flags = prog->flags,
		.gpl = prog->gpl,
		.name = prog->name,
		.host = &call->store->host,
		.memory = &call->store->memory,
		.spares = &call->store->spares,
		.pool = call->store->pool,
		.engine = call->store->engine,
		.isolation = call->store->isolation,
		.keys = &call->store->keys,
		.crash = call->store->crash,
		.blind = call->store->blind,
		.seal = call->store->seals,
		.counts = call->store->counts,
		.insns = prog->insns,
		.n_insns = prog->n_insns,
		.maps = prog->used,
		.n_maps = prog->n_used,
		.n_inner = prog->n_inner,
		.inner = prog->inner,
		.records = prog->records,
		.kernel = call->store->kernel,
		.target_id = call->attr.prog_load.attach_btf_id,
		.target_name = fort_prog_target_name(prog),
		.vet = call->store->vets,
		.names = {map_name, prog},
		.info = &prog->info,
		.log_level = call->attr.prog_load.log_level,
		.log = &call->log,
	};
	int err = request.seal ? count_sealed(call->store) : 0;

	fort_crashes_enter(prog);
	request.crash_place = prog->crash_place;
	err = err ? err : fort_road_load(&request, &report, &prog->road);

	if (!err && prog->road)
		err = fort_tails_check(prog);

	err = end_load(call, &report, err);
	if (err)
		return err;
	prog->load_time_ns = boot_time_ns();
	prog->uid = getuid();
	prog->verified_insns = (uint32_t)report.insns_processed;
	err = fort_object_publish(&prog->object);
	err = err || !prog->road ? err : fort_tails_prepare(prog);
	return err ? err : fort_handle_open(&prog->object, O_RDWR);
}
