#include "cli/conformance_run.h"

#include <errno.h>
#include <string.h>

#include "abi/uapi.h"
#include "base/arena.h"
#include "harden/expand.h"
#include "helper/helper.h"
#include "isa/explain.h"

static const char *const profile_names[FORT_PROFILES] = {
	[FORT_PROFILE_ISA] = "isa",
	[FORT_PROFILE_KERNEL] = "kernel",
};

int fort_profile_by_name(const char *name, enum fort_profile *out)
{
	for (unsigned i = 0; i < FORT_PROFILES; i++)
		if (!strcmp(profile_names[i], name)) {
			*out = i;
			return 0;
		}
	return -EINVAL;
}

/* --- the helpers that the public suite calls, and what is expanded needs --- */

/* The low bytes of the arguments as one word, the first on top. */
static uint64_t gather_bytes(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			     struct fort_run *run)
{
	return (a1 & 0xff) << 32 | (a2 & 0xff) << 24 | (a3 & 0xff) << 16 | (a4 & 0xff) << 8 |
	       (a5 & 0xff);
}

/* memfrob(3): a2 bytes at a1, each xor 42. */
static uint64_t frob_memory(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			    struct fort_run *run)
{
	const struct fort_window *window = &run->domain->window;
	uint8_t *at = fort_window_at(window, a1);

	if (!fort_window_allows(window, a1, a2, FORT_RW)) {
		fort_run_abort(run, FORT_ABORT_HELPER_ARG, 1);
		return 0;
	}
	for (uint64_t i = 0; i < a2; i++)
		at[i] ^= 42;
	return a1;
}

static uint64_t do_nothing(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			   struct fort_run *run)
{
	return 0;
}

/* Digit by digit, in base 4. */
static uint64_t square_root(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
			    struct fort_run *run)
{
	uint64_t root = 0;

	for (uint64_t bit = 1ull << 62; bit; bit >>= 2) {
		if (a1 >= root + bit) {
			a1 -= root + bit;
			root = root >> 1 | bit;
		} else {
			root >>= 1;
		}
	}
	return root;
}

/* strcmp(3). The strings must end within the window. */
static uint64_t compare_strings(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
				struct fort_run *run)
{
	const struct fort_window *window = &run->domain->window;

	for (uint64_t i = 0; i < FORT_WINDOW_BYTES; i++) {
		uint8_t left, right;

		if (!fort_window_allows_word(window, a1 + i, 1, FORT_READ) ||
		    !fort_window_allows_word(window, a2 + i, 1, FORT_READ))
			break;
		left = *(uint8_t *)fort_window_at(window, a1 + i);
		right = *(uint8_t *)fort_window_at(window, a2 + i);
		if (left != right || !left)
			return (uint64_t)left - right;
	}
	fort_run_abort(run, FORT_ABORT_HELPER_ARG, 1);
	return 0;
}

/* Zero ends the whole program. */
static uint64_t unwind(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
		       struct fort_run *run)
{
	if (!a1)
		fort_run_abort(run, FORT_ABORT_UNWIND, 0);
	return a1;
}

static fort_helper_fn *helper_by_number(uint32_t number)
{
	static fort_helper_fn *const helpers[] = {
		gather_bytes, frob_memory, do_nothing, square_root, compare_strings, unwind,
	};

	if (number < FORT_LEN(helpers))
		return helpers[number];
	return number == BPF_FUNC_loop || fort_internal_name(number) ? fort_helper_function(number)
								     : NULL;
}

/* --- load --- */

/* What the kernel's verifier refuses in a single instruction although RFC 9669 defines it. */
static bool kernel_refuses(const struct fort_insn *insn, struct fort_text *message)
{
	bool shift = insn->op == FORT_OP_LSH || insn->op == FORT_OP_RSH || insn->op == FORT_OP_ARSH;
	bool division = insn->op == FORT_OP_DIV || insn->op == FORT_OP_SDIV ||
			insn->op == FORT_OP_MOD || insn->op == FORT_OP_SMOD;

	if (insn->kind == FORT_ALU_K && shift && (insn->imm < 0 || insn->imm >= insn->bits))
		fort_text_add(message, "invalid shift %d", (int)insn->imm);
	else if (insn->kind == FORT_ALU_K && division && !insn->imm)
		fort_text_add(message, "div by zero");
	else if (insn->kind == FORT_CALLX)
		fort_text_add(message, "unknown opcode %02x", fort_insn_row(insn)->opcode);
	else
		return false;
	return true;
}

/* What needs more than a program and its memory. */
static bool nothing_there_for(const struct fort_insn *insn, struct fort_text *message)
{
	const char *what;

	if (insn->kind == FORT_LDIMM && insn->op != FORT_OP_CONST && insn->op != FORT_OP_FUNC)
		what = "maps and BTF";
	else if (insn->kind == FORT_CALL && insn->op == FORT_OP_KFUNC)
		what = "kernel functions";
	else
		return false;
	fort_text_add(message, "%s: not available to conformance programs", what);
	return true;
}

static int check_insns(const struct fort_trial *trial, const struct fort_insn *insns,
		       struct fort_text *message)
{
	for (uint32_t pc = 0; pc < trial->n_insns; pc++) {
		if (trial->profile == FORT_PROFILE_KERNEL && kernel_refuses(&insns[pc], message))
			return -EINVAL;
		if (nothing_there_for(&insns[pc], message))
			return -EINVAL;
	}
	return 0;
}

static int load(const struct fort_trial *trial, struct fort_arena *arena, struct fort_graph *graph,
		struct fort_text *message)
{
	struct fort_insn *insns = FORT_ARENA_ARRAY(arena, trial->n_insns, struct fort_insn);
	struct fort_decode_error decode_error;
	struct fort_graph_error graph_error;
	int err;

	if (!insns)
		return -ENOMEM;
	err = fort_insn_decode(trial->insns, trial->n_insns, insns, &decode_error);
	if (!err)
		err = fort_insn_check_frame_pointer(insns, trial->n_insns, &decode_error);
	if (err) {
		fort_decode_error_text(&decode_error, message);
		return err;
	}
	err = fort_graph_build(arena, insns, trial->n_insns, graph, &graph_error);
	if (err == -EINVAL)
		fort_graph_error_text(&graph_error, message);
	return err ? err : check_insns(trial, insns, message);
}

/* --- run --- */

static void abort_text(const struct fort_abort *abort, struct fort_text *message)
{
	fort_text_add(message, "aborted at insn %u: %s", abort->pc, fort_abort_name(abort->code));
	if (abort->code == FORT_ABORT_MEMORY)
		fort_text_add(message, ", %u bytes at window offset 0x%llx", abort->bytes,
			      (unsigned long long)abort->address);
	else if (abort->code == FORT_ABORT_HELPER || abort->code == FORT_ABORT_HELPER_ARG)
		fort_text_add(message, " %u", abort->detail);
}

/* Memory is the context, and the packet of loads of the old kind. */
static int run(const struct fort_trial *trial, const struct fort_expanded *expanded,
	       const struct fort_code *code, const struct fort_domain *domain, uint64_t *r0,
	       struct fort_abort *abort, struct fort_text *message)
{
	struct fort_run run = {.domain = domain, .fuel = trial->fuel};
	uint32_t rights;
	uint64_t result;

	if (trial->mem_bytes) {
		run.ctx = fort_domain_ctx(domain, 0);
		run.ctx_length = trial->mem_bytes;
		run.packet =
			(struct fort_run_packet){.start = fort_window_at(&domain->window, run.ctx),
						 .bytes = trial->mem_bytes};
		rights = fort_domain_enter(domain);
		memcpy(fort_window_at(&domain->window, run.ctx), trial->mem, trial->mem_bytes);
		fort_domain_leave(domain, rights);
	}
	result = trial->engine->run(code, &run);
	fort_run_release_all(&run);
	if (run.abort.code == FORT_ABORT_UNWIND)
		result = 0;
	else if (run.abort.code) {
		*abort = run.abort;
		if (expanded->origin)
			abort->pc = expanded->origin[abort->pc];
		abort_text(abort, message);
		return -EINVAL;
	}
	*r0 = result;
	return 0;
}

static int compile_and_run(const struct fort_trial *trial, const struct fort_expanded *expanded,
			   struct fort_keys *keys, uint64_t *r0, struct fort_abort *abort,
			   struct fort_text *message)
{
	struct fort_domain_layout layout = {
		.n_slots = 1,
		.ctx_bytes = trial->mem_bytes,
		.hidden = expanded->hidden,
		.keys = fort_isolations[trial->isolation].keys ? keys : NULL,
	};
	struct fort_domain domain;
	struct fort_compile request = {
		.program = &expanded->program,
		.domain = &domain,
		.isolation = trial->isolation,
		.helper = helper_by_number,
		.callx = true,
		/* Who asks for an isolation that rests on a proof vouches for the program. */
		.proven = fort_isolation_needs_proof(trial->isolation),
		.inspect = true,
	};
	struct fort_code *code;
	int err = fort_domain_open(&layout, NULL, 0, &domain);

	if (err)
		return err;
	err = trial->engine->compile(&request, &code);
	if (!err) {
		err = run(trial, expanded, code, &domain, r0, abort, message);
		trial->engine->free(code);
	}
	fort_domain_close(&domain);
	return err;
}

int fort_trial_run(const struct fort_trial *trial, uint64_t *r0, struct fort_abort *abort,
		   struct fort_text *message)
{
	struct fort_keys keys = {0};
	struct fort_arena arena;
	struct fort_expanded expanded;
	struct fort_graph graph;
	int err;

	fort_arena_init(&arena, FORT_TRIAL_BYTES_MAX);
	err = load(trial, &arena, &graph, message);
	if (!err)
		err = fort_expand(&graph.program, &arena, &expanded);
	if (!err && fort_isolations[trial->isolation].keys)
		err = fort_keys_open(&keys);
	if (!err)
		err = compile_and_run(trial, &expanded, &keys, r0, abort, message);
	if (keys.runtime)
		fort_keys_close(&keys);
	if (err && !message->length)
		fort_text_add(message, "%s", strerror(-err));
	fort_arena_free(&arena);
	return err;
}
