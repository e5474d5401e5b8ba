/* isa.def against the running kernel: which opcodes exist, what each row is called in the verifier
 * log, and what is said about each reserved field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/helpers.h"
#include "isa/asm.h"
#include "isa/disasm.h"
#include "isa/explain.h"
#include "kernel.h"

#define PROGRAM_SLOTS 64
#define KTIME         5 /* bpf_ktime_get_ns: every program type has it */
#define FREE_REG      3 /* holds a number when the row's instruction comes */
#define OTHER_REG     4 /* another one */

struct program {
	struct fort_raw_insn raw[PROGRAM_SLOTS];
	uint32_t n, at; /* slots; where the row's instruction is */
};

/* What rows need from the kernel. */
static struct fixture {
	struct btf *btf;
	int map_fd, fd_array[1];
	int lock_kfunc, unlock_kfunc, percpu_var; /* BTF ids, 0 if unknown */
} fixture;

static struct kernel_load load;

static void put(struct program *p, struct fort_insn insn)
{
	assert_true(p->n + 2 <= PROGRAM_SLOTS);
	p->n += fort_insn_encode(&insn, &p->raw[p->n]);
}

static void put_row(struct program *p, enum fort_row row, uint8_t dst, uint8_t src, int16_t off,
		    int64_t imm)
{
	put(p, fort_insn_make(row, dst, src, off, imm));
}

/* r0..r9 are numbers except r6, the context; the top stack slot is written. */
static void put_prologue(struct program *p)
{
	put_row(p, FORT_ROW_MOV64_X, 6, 1, 0, 0);
	for (uint8_t reg = 0; reg < FORT_R10; reg++)
		if (reg != 6)
			put_row(p, FORT_ROW_MOV64_K, reg, 0, 0, reg + 1);
	put_row(p, FORT_ROW_STX64, FORT_R10, FREE_REG, -8, 0);
}

static void put_epilogue(struct program *p)
{
	put_row(p, FORT_ROW_MOV64_K, 0, 0, 0, 0);
	put_row(p, FORT_ROW_EXIT, 0, 0, 0, 0);
}

static int64_t ldimm_operand(enum fort_op op)
{
	switch (op) {
	case FORT_OP_MAP_FD: return fixture.map_fd;
	case FORT_OP_MAP_VALUE: return (int64_t)(4ull << 32) | fixture.map_fd;
	case FORT_OP_BTF_VAR: return fixture.percpu_var;
	case FORT_OP_MAP_IDX_VALUE: return (int64_t)(4ull << 32);
	case FORT_OP_CONST: return 0x1122334455667788;
	default: return 0;
	}
}

/* The row's instruction with operands that the verifier accepts here. */
static struct fort_insn sample(unsigned row)
{
	const struct fort_row_info *info = &fort_rows[row];
	struct fort_insn insn = fort_insn_make((enum fort_row)row, 0, 0, 0, 0);

	switch (info->kind) {
	case FORT_LDX:
	case FORT_LDACQ: insn.dst = FREE_REG, insn.src = FORT_R10, insn.off = -8; break;
	case FORT_ST: insn.dst = FORT_R10, insn.off = -8, insn.imm = -2; break;
	case FORT_STX:
	case FORT_ATOMIC:
	case FORT_STREL: insn.dst = FORT_R10, insn.src = OTHER_REG, insn.off = -8; break;
	case FORT_LDIMM: insn.dst = FREE_REG, insn.imm = ldimm_operand(info->op); break;
	case FORT_LDABS: insn.imm = 4; break;
	case FORT_LDIND: insn.src = OTHER_REG, insn.imm = 4; break;
	case FORT_JA:
	case FORT_EXIT: break;
	case FORT_MAY_GOTO: insn.off = 1; break;
	case FORT_JCC_K: insn.dst = FREE_REG, insn.off = 1, insn.imm = -3; break;
	case FORT_JCC_X: insn.dst = FREE_REG, insn.src = OTHER_REG, insn.off = 1; break;
	case FORT_CALL:
		insn.imm = info->op == FORT_OP_HELPER  ? KTIME
			   : info->op == FORT_OP_LOCAL ? 2
						       : fixture.lock_kfunc;
		break;
	default:
		insn.dst = FREE_REG;
		if (fort_insn_uses(&insn, 'S'))
			insn.src = OTHER_REG;
		if (fort_insn_uses(&insn, 'I'))
			insn.imm = 5;
	}
	return insn;
}

static struct program program_of(unsigned row)
{
	struct program p = {.n = 0};
	struct fort_insn insn = sample(row);

	put_prologue(&p);
	p.at = p.n;
	put(&p, insn);
	if (insn.op == FORT_OP_KFUNC)
		put_row(&p, FORT_ROW_CALL_KFUNC, 0, 0, 0, fixture.unlock_kfunc);
	if (insn.kind == FORT_EXIT)
		return p;
	put_epilogue(&p);
	if (insn.op == FORT_OP_LOCAL)
		put_epilogue(&p);
	return p;
}

/* Map indexes need fd_array, which only these rows use. */
static void load_program(const struct program *p)
{
	kernel_load(BPF_PROG_TYPE_SOCKET_FILTER, p->raw, p->n, &load);
	if (load.fd >= 0)
		close(load.fd);
}

/* --- the text of each row --- */

static const char *call_name(void *context, const struct fort_insn *insn)
{
	const struct btf_type *type;

	if (insn->op == FORT_OP_HELPER)
		return fort_helper_kernel_name((uint32_t)insn->imm);
	type = btf__type_by_id(fixture.btf, (uint32_t)insn->imm);
	return type ? btf__name_by_offset(fixture.btf, type->name_off) : NULL;
}

/* "12: (07) r1 += -8       ; R1_w=..." for the instruction at `at`: its text. */
static bool logged_text(uint32_t at, char *out, size_t room)
{
	char start[16];
	const char *line, *end;
	size_t length;

	snprintf(start, sizeof(start), "\n%u: (", at);
	line = strstr(load.log, start);
	if (!line)
		return false;
	line = strchr(line, '(');
	end = line + strcspn(line, ";\n");
	while (end > line && end[-1] == ' ')
		end--;
	length = (size_t)(end - line);
	if (length >= room)
		return false;
	memcpy(out, line, length);
	out[length] = 0;
	return true;
}

/* What a pseudo immediate becomes in the kernel is an address of its own. */
static void hide_address(const struct fort_insn *insn, char *text)
{
	char *number = strstr(text, "= 0x");

	if (insn->kind == FORT_LDIMM && insn->op != FORT_OP_CONST && number)
		strcpy(number + 2, "ADDRESS");
}

/* Rows that this program type, this kernel or any program cannot have: why. */
static const char *unavailable(unsigned row)
{
	switch (fort_rows[row].op) {
	case FORT_OP_FUNC: return "only accepted as a callback argument";
	case FORT_OP_MAP_IDX:
	case FORT_OP_MAP_IDX_VALUE: return "the same text as by descriptor, needs fd_array";
	case FORT_OP_BTF_VAR: return fixture.percpu_var ? NULL : "no kernel BTF";
	case FORT_OP_KFUNC: return fixture.lock_kfunc ? NULL : "no kernel BTF";
	default: return NULL;
	}
}

static void each_row_reads_as_in_the_log(void **state)
{
	const struct fort_disasm_names names = {.call = call_name};
	unsigned compared = 0;

	for (unsigned row = 0; row < FORT_ROWS; row++) {
		struct program p = program_of(row);
		struct fort_insn insn = sample(row);
		char logged[160], array[160], complaint[160];
		struct fort_text text = fort_text_on(array, sizeof(array));

		if (insn.kind == FORT_LDIMM_HIGH || insn.kind == FORT_CALLX)
			continue;
		if (unavailable(row)) {
			print_message("# %s: not compared: %s\n", fort_rows[row].name,
				      unavailable(row));
			continue;
		}
		load_program(&p);
		kernel_complaint(&load, complaint, sizeof(complaint));
		if (!logged_text(p.at, logged, sizeof(logged))) {
			print_message("# %s: not compared: the kernel says '%s'\n",
				      fort_rows[row].name, complaint);
			continue;
		}
		fort_insn_text(&insn, &names, &text);
		hide_address(&insn, array);
		hide_address(&insn, logged);
		assert_string_equal(array, logged);
		if (load.fd < 0)
			fail_msg("%s: the kernel refuses a valid program: %s", array, complaint);
		compared++;
	}
	print_message("# %u rows compared\n", compared);
	assert_true(compared > 150);
}

/* --- opcodes and reserved fields --- */

/* Where our words or our strictness differ from the kernel's, on purpose. */
static const struct difference {
	enum fort_op op;
	const char *field, *reason;
} differences[] = {
	{FORT_OP_EXIT, "off", "the kernel does not look at it; RFC 9669 reserves it"},
	{FORT_OP_MAY_GOTO, "dst", "the kernel has a message of its own: invalid may_goto"},
	{FORT_OP_MAY_GOTO, "imm", "the same"},
	{FORT_OP_MAY_GOTO, "src", "the same"},
	{FORT_OP_LOCAL, "src", "without a caller the callee is unreachable, which is said first"},
};

static const char *known_difference(const struct fort_insn *insn, const char *field)
{
	for (unsigned i = 0; i < FORT_LEN(differences); i++)
		if (differences[i].op == insn->op && !strcmp(differences[i].field, field))
			return differences[i].reason;
	return NULL;
}

/* Both must refuse, in the same words. */
static void compare_complaint(const struct program *p, const char *name, const char *what)
{
	struct fort_insn out[PROGRAM_SLOTS];
	struct fort_decode_error error;
	char ours[160], theirs[160];
	struct fort_text text = fort_text_on(ours, sizeof(ours));

	if (!fort_insn_decode(p->raw, p->n, out, &error) &&
	    !fort_insn_check_frame_pointer(out, p->n, &error)) {
		fail_msg("%s: %s: accepted", name, what);
		return; /* for the compiler: error is not set */
	}
	load_program(p);
	kernel_complaint(&load, theirs, sizeof(theirs));
	fort_decode_error_text(&error, &text);
	if (load.fd >= 0)
		fail_msg("%s: %s: the kernel accepts it; we say '%s'", name, what, ours);
	if (strcmp(ours, theirs))
		fail_msg("%s: %s: the kernel says '%s', we say '%s'", name, what, theirs, ours);
}

static bool table_has(unsigned opcode)
{
	for (unsigned row = 0; row < FORT_ROWS; row++)
		if (row != FORT_ROW_LDIMM_HIGH && row != FORT_ROW_CALLX &&
		    fort_rows[row].opcode == opcode)
			return true;
	return false;
}

static void the_kernel_knows_the_same_opcodes(void **state)
{
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		struct program p = {.n = 0};
		char text[40];

		put_prologue(&p);
		p.raw[p.n++] = (struct fort_raw_insn){.opcode = (uint8_t)opcode};
		p.raw[p.n++] = (struct fort_raw_insn){.opcode = 0};
		put_epilogue(&p);
		load_program(&p);
		snprintf(text, sizeof(text), "unknown opcode %02x\n", opcode);
		if (opcode == fort_rows[FORT_ROW_CALLX].opcode)
			continue; /* decoded here, refused by the verifier */
		if (table_has(opcode)) {
			if (strstr(load.log, text))
				fail_msg("opcode %02x: unknown to the kernel", opcode);
			continue;
		}
		compare_complaint(&p, "opcode", text);
	}
}

static bool row_uses(const struct fort_insn *insn, const char *letters)
{
	for (; *letters; letters++)
		if (fort_insn_uses(insn, *letters))
			return true;
	return false;
}

static void the_kernel_says_the_same_of_reserved_fields(void **state)
{
	unsigned compared = 0;

	for (unsigned row = 0; row < FORT_ROWS; row++) {
		struct fort_insn insn = sample(row);
		struct program good = program_of(row), bad;

		if (insn.kind == FORT_LDIMM_HIGH || insn.kind == FORT_CALLX || unavailable(row))
			continue;
		load_program(&good);
		if (load.fd < 0)
			continue; /* named by the test above */
#define TRY(field, letters, other)                                           \
	if (!row_uses(&insn, letters) && !known_difference(&insn, #field)) { \
		bad = good;                                                  \
		bad.raw[bad.at].field = other;                               \
		compare_complaint(&bad, fort_insn_row(&insn)->name, #field); \
		compared++;                                                  \
	}
		TRY(dst, "Ddb", 7)
		TRY(src, "Ss0", 7)
		TRY(off, "O", 7)
		TRY(imm, "I", 7)
#undef TRY
	}
	print_message("# %u reserved fields compared\n", compared);
	assert_true(compared > 250);
}

static void the_kernel_says_the_same_of_registers(void **state)
{
	for (unsigned row = 0; row < FORT_ROWS; row++) {
		struct fort_insn insn = sample(row);
		struct program good = program_of(row), bad;

		if (insn.kind == FORT_LDIMM_HIGH || insn.kind == FORT_CALLX || unavailable(row))
			continue;
		load_program(&good);
		if (load.fd < 0)
			continue;
		bad = good;
		bad.raw[bad.at].dst = FORT_R10;
		if (row_uses(&insn, "Db"))
			compare_complaint(&bad, fort_insn_row(&insn)->name, "r10");
		bad.raw[bad.at].dst = 12;
		if (row_uses(&insn, "Ddb"))
			compare_complaint(&bad, fort_insn_row(&insn)->name, "dst");
		bad = good;
		bad.raw[bad.at].src = 13;
		if (row_uses(&insn, "Ss0"))
			compare_complaint(&bad, fort_insn_row(&insn)->name, "src");
	}
}

/* --- control flow --- */

static void the_kernel_says_the_same_of_control_flow(void **state)
{
	static const char *const programs[] = {
		"ja +1\nexit",
		"ja -2\nexit",
		"mov r0, 0\njeq r0, 0, +7\nexit",
		"ja32 +100000\nexit",
		"mov r0, 0\nexit\nmov r0, 0\nexit",
		"ja +1\nmov r0, 0\nexit",
		"mov r0, 0",
		"mov r0, 0\njeq r0, 1, -2",
		"lddw r0, 1",
		"mov r0, 0\njeq r0, 0, +1\nlddw r0, 1\nexit",
		"call local +5\nexit",
		"call local -2\nexit",
		"call local f\nexit\nf: mov r0, 0\njeq r0, 0, -3\nexit",
		"call local f\nexit\nf: mov r0, 0\nja +5",
		"call local f\nexit\nf: mov r0, 0",
	};

	for (unsigned i = 0; i < FORT_LEN(programs); i++) {
		struct fort_arena arena;
		struct fort_assembly assembly;
		struct fort_asm_error asm_error = {0};
		struct fort_insn insns[16];
		struct fort_decode_error decode_error;
		struct fort_graph graph;
		struct fort_graph_error error = {0};
		char ours[160], theirs[160];
		struct fort_text text = fort_text_on(ours, sizeof(ours));

		fort_arena_init(&arena, 1u << 20);
		assert_int_equal(fort_assemble(&arena, programs[i], strlen(programs[i]), &assembly,
					       &asm_error),
				 0);
		kernel_load(BPF_PROG_TYPE_SOCKET_FILTER, assembly.insns, assembly.n_insns, &load);
		kernel_complaint(&load, theirs, sizeof(theirs));
		assert_true(load.fd < 0);
		assert_int_equal(fort_insn_decode(assembly.insns, assembly.n_insns, insns,
						  &decode_error),
				 0);
		assert_int_equal(fort_graph_build(&arena, insns, assembly.n_insns, &graph, &error),
				 -EINVAL);
		fort_graph_error_text(&error, &text);
		if (strcmp(ours, theirs))
			fail_msg("'%s': the kernel says '%s', we say '%s'", programs[i], theirs,
				 ours);
		fort_arena_free(&arena);
	}
}

static int setup(void **state)
{
	fixture.btf = btf__parse("/sys/kernel/btf/vmlinux", NULL);
	fixture.map_fd = kernel_array(16);
	if (fixture.map_fd < 0)
		return -1;
	if (fixture.btf) {
		int lock = btf__find_by_name_kind(fixture.btf, "bpf_rcu_read_lock", BTF_KIND_FUNC);
		int unlock =
			btf__find_by_name_kind(fixture.btf, "bpf_rcu_read_unlock", BTF_KIND_FUNC);
		int var = btf__find_by_name_kind(fixture.btf, "runqueues", BTF_KIND_VAR);

		if (lock > 0 && unlock > 0)
			fixture.lock_kfunc = lock, fixture.unlock_kfunc = unlock;
		fixture.percpu_var = var > 0 ? var : 0;
	}
	return 0;
}

static int teardown(void **state)
{
	btf__free(fixture.btf);
	close(fixture.map_fd);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_reads_as_in_the_log),
		cmocka_unit_test(the_kernel_knows_the_same_opcodes),
		cmocka_unit_test(the_kernel_says_the_same_of_reserved_fields),
		cmocka_unit_test(the_kernel_says_the_same_of_registers),
		cmocka_unit_test(the_kernel_says_the_same_of_control_flow),
	};
	const char *unfit = kernel_unfit();

	if (unfit) {
		printf("1..0 # SKIP %s\n", unfit);
		return 0;
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
