/* Machine code that was damaged: the output checker refuses it, or it is harmless.
 *
 * Images of real programs are changed in every bit, instruction by instruction, in displacements
 * and targets; what is accepted then runs in a child, with registers that point at the host's
 * memory, until it ends by itself, by its fuel, or by a fault. The child must live, in time, and
 * everything of the host's must be as it was. What would certainly leave the window must be
 * refused.
 */
#include "damaged.h"

#include <Zydis/Zydis.h>

#include <time.h>

#include "base/text.h"
#include "engine/inspect.h"

#define FUEL      2000u
#define IMAGE_MAX 8192u

static struct cage cage;

/* --- one image, and what becomes of it --- */

struct image {
	struct fort_code *code;
	struct cage_image at;
	uint8_t good[IMAGE_MAX], *bad;        /* the latter in counts */
	uint32_t bytes;                       /* of code */
	uint32_t starts[IMAGE_MAX], n_starts; /* instructions; one more than there are */
	bool reached[IMAGE_MAX + 1];
};

static struct image image;

/* What the emitter claims about the image: the checker's request of the last compilation. */
static struct {
	struct fort_inspect view;
	struct fort_inspect_label labels[IMAGE_MAX];
	struct fort_inspect_function functions[FORT_SUBPROGS_MAX + 1];
} claims;

bool __real_fort_inspect(const struct fort_inspect *view, struct fort_inspection *out);
bool __wrap_fort_inspect(const struct fort_inspect *view, struct fort_inspection *out);
bool __wrap_fort_inspect(const struct fort_inspect *view, struct fort_inspection *out)
{
	assert_true(view->n_labels <= IMAGE_MAX);
	claims.view = *view;
	memcpy(claims.labels, view->labels, view->n_labels * sizeof(claims.labels[0]));
	memcpy(claims.functions, view->functions, view->n_functions * sizeof(claims.functions[0]));
	claims.view.labels = claims.labels;
	claims.view.functions = claims.functions;
	return __real_fort_inspect(view, out);
}

/* Of all images; shared with children. */
static struct {
	uint64_t tried, refused, same, ran, ends[FORT_ABORT_CODES];
	uint8_t bad[IMAGE_MAX];
} * counts;

static bool is_accepted(const uint8_t *bytes)
{
	struct fort_inspect view = claims.view;
	struct fort_inspection found;

	view.code = bytes;
	return __real_fort_inspect(&view, &found);
}

static void decode(uint32_t at, ZydisDecodedInstruction *insn, ZydisDecodedOperand *operands)
{
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, image.good + at,
							image.at.bytes - at, insn, operands)));
}

static bool is_start(uint32_t at)
{
	for (uint32_t i = 0; i < image.n_starts; i++)
		if (image.starts[i] == at)
			return true;
	return false;
}

static bool goes_on(const ZydisDecodedInstruction *insn)
{
	return insn->mnemonic != ZYDIS_MNEMONIC_JMP && insn->mnemonic != ZYDIS_MNEMONIC_RET;
}

/* The emitter leaves code where nothing leads, which is nobody's concern. Returns whether something
 * new was found behind the instruction. */
static bool reach_from(uint32_t i)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	uint32_t at = image.starts[i];
	bool more = false;
	uint64_t target;

	decode(at, &insn, operands);
	if (goes_on(&insn)) {
		more = !image.reached[at + insn.length];
		image.reached[at + insn.length] = true;
	}
	if (insn.operand_count && operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	    operands[0].imm.is_relative) {
		assert_true(
			ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn, &operands[0], at, &target)));
		assert_true(is_start((uint32_t)target));
		more |= !image.reached[target];
		image.reached[target] = true;
	}
	return more;
}

static void find_reached(void)
{
	bool more = true;

	memset(image.reached, 0, sizeof(image.reached));
	image.reached[0] = true;
	for (uint32_t i = 0; i < claims.view.n_labels; i++)
		image.reached[claims.labels[i].at] |= claims.labels[i].leaves;
	while (more) {
		more = false;
		for (uint32_t i = 0; i < image.n_starts; i++)
			more |= image.reached[image.starts[i]] && reach_from(i);
	}
}

static void find_instructions(void)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	uint32_t at = 0;

	image.n_starts = 0;
	while (at < image.at.bytes && image.good[at] != 0xcc) {
		decode(at, &insn, operands);
		image.starts[image.n_starts++] = at;
		at += insn.length;
	}
	image.starts[image.n_starts] = at;
	image.bytes = at;
	find_reached();
}

static void open_image(const char *source)
{
	struct fort_compile request;
	struct caged caged;

	caged_assemble(&caged, source);
	request = cage_compile(&cage, FORT_ISOLATION_SFI, false, &caged);
	assert_int_equal(fort_engine_x64.compile(&request, &image.code), 0);
	assert_true(cage_find_image(&image.at));
	assert_true(image.at.bytes <= IMAGE_MAX);
	memcpy(image.good, image.at.code, image.at.bytes);
	assert_true(is_accepted(image.good));
	find_instructions();
	caged_free(&caged);
}

static void close_image(void)
{
	fort_engine_x64.free(image.code);
}

/* In the child: the same addresses, but writable, and nobody else's. */
static void make_writable(void)
{
	void *at = mmap(image.at.code, image.at.bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(at, image.at.code);
}

/* Looks at image.bad, and runs it if it may run. Returns whether it was accepted. */
static bool try(void)
{
	struct outcome outcome;

	counts->tried++;
	if (!memcmp(image.good, image.bad, image.at.bytes)) {
		counts->same++;
		return true;
	}
	if (!is_accepted(image.bad)) {
		counts->refused++;
		return false;
	}
	memcpy(image.at.code, image.bad, image.at.bytes);
	alarm(5);
	outcome = cage_run_code(&cage, &fort_engine_x64, image.code, FUEL);
	alarm(0);
	counts->ran++;
	counts->ends[outcome.abort.code < FORT_ABORT_CODES ? outcome.abort.code : 0]++;
	return true;
}

static void restore(void)
{
	memcpy(image.bad, image.good, image.at.bytes);
}

/* --- damage --- */

static void flip_bits(void)
{
	for (uint32_t at = 0; at < image.bytes; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			image.bad[at] ^= (uint8_t)(1u << bit);
			try();
			restore();
		}
}

static void overwrite_bytes(void)
{
	static const uint8_t bytes[] = {0x00, 0xff, 0x90, 0xcc, 0xc3, 0x0f, 0x65, 0x67, 0x48, 0x41,
					0xe8, 0xe9, 0xeb, 0x74, 0x50, 0x58, 0xf0, 0x66, 0x89, 0x8b};

	for (uint32_t at = 0; at < image.bytes; at++)
		for (unsigned i = 0; i < FORT_LEN(bytes); i++) {
			image.bad[at] = bytes[i];
			try();
			restore();
		}
}

static void swap_instructions(void)
{
	for (uint32_t i = 0; i + 1 < image.n_starts; i++) {
		uint32_t a = image.starts[i], b = image.starts[i + 1], c = image.starts[i + 2];

		memcpy(image.bad + a, image.good + b, c - b);
		memcpy(image.bad + a + (c - b), image.good + a, b - a);
		try();
		restore();
	}
}

/* Each one left out, and each pair; and each put in the place of another that is as long. */
static void drop_instructions(void)
{
	for (uint32_t i = 0; i < image.n_starts; i++)
		for (uint32_t n = 1; n <= 2 && i + n <= image.n_starts; n++) {
			uint32_t from = image.starts[i], to = image.starts[i + n];

			memset(image.bad + from, 0x90, to - from);
			try();
			restore();
		}
	for (uint32_t i = 0; i < image.n_starts; i++)
		for (uint32_t j = 0; j < image.n_starts; j++) {
			uint32_t bytes = image.starts[i + 1] - image.starts[i];

			if (image.starts[j + 1] - image.starts[j] != bytes)
				continue;
			memcpy(image.bad + image.starts[i], image.good + image.starts[j], bytes);
			try();
			restore();
		}
}

static void cut_off(void)
{
	for (uint32_t at = 0; at < image.bytes; at++) {
		memset(image.bad + at, 0xcc, image.bytes - at);
		try();
		memset(image.bad + at, 0x90, image.bytes - at);
		try();
		restore();
	}
}

/* Fields of one instruction: what Zydis says of where they are. */
struct field {
	uint32_t at, bytes;
	int64_t value;
};

static void set_field(const struct field *field, int64_t value)
{
	memcpy(image.bad + field->at, &value, field->bytes);
}

static void move_target(uint32_t i, const struct field *field)
{
	for (int64_t by = -64; by <= 64; by++) {
		int64_t value = field->value + by;
		int64_t target = (int64_t)image.starts[i + 1] + value;
		bool inside;

		if (field->bytes == 1 && value != (int8_t)value)
			continue;
		inside = target >= 0 && target < image.bytes;
		set_field(field, value);
		if (try() && by && (!inside || !is_start((uint32_t)target)))
			cage_fail("a jump at %x to the middle of something, at %llx",
				  image.starts[i], (long long)target);
		restore();
	}
}

static void move_displacement(uint32_t i, const struct field *field, bool frame)
{
	static const int64_t values[] = {0,    1,     8,      -8,       127,        -128,
					 512,  -512,  -513,   0x1000,   0x7fffffff, -0x80000000ll,
					 4095, -4096, 0x8000, -0x10000, 0x1234567,  16};

	for (unsigned j = 0; j < FORT_LEN(values); j++) {
		if (field->bytes == 1 && values[j] != (int8_t)values[j])
			continue;
		set_field(field, values[j]);
		if (try() && frame && (values[j] < -(int64_t)FORT_STACK_BYTES || values[j] >= 0))
			cage_fail("out of the frame at %x: %lld", image.starts[i],
				  (long long)values[j]);
		restore();
	}
}

static void change_fields(void)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;

	for (uint32_t i = 0; i < image.n_starts; i++) {
		uint32_t at = image.starts[i];
		struct field field;

		if (!image.reached[at])
			continue;
		decode(at, &insn, operands);
		if (insn.raw.imm[0].size && insn.raw.imm[0].is_relative) {
			field = (struct field){at + insn.raw.imm[0].offset,
					       insn.raw.imm[0].size / 8u, insn.raw.imm[0].value.s};
			move_target(i, &field);
		}
		if (insn.raw.disp.size) {
			bool frame = insn.raw.modrm.rm == 5 && !insn.raw.rex.B &&
				     insn.raw.modrm.mod && insn.address_width == 64 &&
				     insn.mnemonic != ZYDIS_MNEMONIC_LEA;

			field = (struct field){at + insn.raw.disp.offset, insn.raw.disp.size / 8u,
					       insn.raw.disp.value};
			move_displacement(i, &field, frame);
		}
	}
}

/* What must not be in any image, wherever it stands. */
static const struct {
	const char *what;
	uint8_t bytes[15];
	uint8_t n;
} hostile[] = {
	{"wrpkru", {0x0f, 0x01, 0xef}, 3},
	{"xrstor [rdi]", {0x0f, 0xae, 0x2f}, 3},
	{"syscall", {0x0f, 0x05}, 2},
	{"sysenter", {0x0f, 0x34}, 2},
	{"int 0x80", {0xcd, 0x80}, 2},
	{"int3", {0xcc}, 1},
	{"wrgsbase rax", {0xf3, 0x48, 0x0f, 0xae, 0xd8}, 5},
	{"wrfsbase rax", {0xf3, 0x48, 0x0f, 0xae, 0xd0}, 5},
	{"rdgsbase rax", {0xf3, 0x48, 0x0f, 0xae, 0xc8}, 5},
	{"rdpkru", {0x0f, 0x01, 0xee}, 3},
	{"rdtsc", {0x0f, 0x31}, 2},
	{"cpuid", {0x0f, 0xa2}, 2},
	{"hlt", {0xf4}, 1},
	{"ud2", {0x0f, 0x0b}, 2},
	{"mov [rax], rcx", {0x48, 0x89, 0x08}, 3},
	{"mov rax, [rbx]", {0x48, 0x8b, 0x03}, 3},
	{"mov [rsp+16], rax", {0x48, 0x89, 0x44, 0x24, 0x10}, 5},
	{"mov rax, [rsp]", {0x48, 0x8b, 0x04, 0x24}, 4},
	{"mov rax, [r9]", {0x49, 0x8b, 0x01}, 3},
	{"mov [r9+8], rax", {0x49, 0x89, 0x41, 0x08}, 4},
	{"mov gs:[rax], rcx", {0x65, 0x48, 0x89, 0x08}, 4},
	{"mov [eax], rcx", {0x67, 0x48, 0x89, 0x08}, 4},
	{"mov fs:[eax], rcx", {0x64, 0x67, 0x48, 0x89, 0x08}, 5},
	{"mov rax, fs:[0]", {0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0}, 9},
	{"mov [rbp+rax], rcx", {0x48, 0x89, 0x4c, 0x05, 0x00}, 5},
	{"mov [rbp+8], rcx", {0x48, 0x89, 0x4d, 0x08}, 4},
	{"mov [rbp-4], rcx", {0x48, 0x89, 0x4d, 0xfc}, 4},
	{"mov [rip], rax", {0x48, 0x89, 0x05, 0, 0, 0, 0}, 7},
	{"mov rax, [rip-16]", {0x48, 0x8b, 0x05, 0xf0, 0xff, 0xff, 0xff}, 7},
	{"movabs [0], eax", {0xa3, 0, 0, 0, 0, 0, 0, 0, 0}, 9},
	{"jmp rax", {0xff, 0xe0}, 2},
	{"call rax", {0xff, 0xd0}, 2},
	{"jmp [rax]", {0xff, 0x20}, 2},
	{"call [rax]", {0xff, 0x10}, 2},
	{"push 5", {0x6a, 0x05}, 2},
	{"push [rax]", {0xff, 0x30}, 2},
	{"pop [rax]", {0x8f, 0x00}, 2},
	{"pushfq", {0x9c}, 1},
	{"popfq", {0x9d}, 1},
	{"leave", {0xc9}, 1},
	{"enter 0, 0", {0xc8, 0, 0, 0}, 4},
	{"ret 8", {0xc2, 8, 0}, 3},
	{"retf", {0xcb}, 1},
	{"iretq", {0x48, 0xcf}, 2},
	{"mov rsp, rax", {0x48, 0x89, 0xc4}, 3},
	{"add rsp, 16", {0x48, 0x83, 0xc4, 0x10}, 4},
	{"xchg rsp, rax", {0x48, 0x94}, 2},
	{"mov rbp, rax", {0x48, 0x89, 0xc5}, 3},
	{"lea rbp, [rax]", {0x48, 0x8d, 0x28}, 3},
	{"add rbp, 8", {0x48, 0x83, 0xc5, 0x08}, 4},
	{"mov r9, rax", {0x49, 0x89, 0xc1}, 3},
	{"mov rax, r9", {0x4c, 0x89, 0xc8}, 3},
	{"mov r12, rax", {0x49, 0x89, 0xc4}, 3},
	{"sub r12, -1", {0x49, 0x83, 0xec, 0xff}, 4},
	{"inc r12", {0x49, 0xff, 0xc4}, 3},
	{"rep movsb", {0xf3, 0xa4}, 2},
	{"stosq", {0x48, 0xab}, 2},
	{"xlat", {0xd7}, 1},
	{"cmpxchg16b [rax]", {0x48, 0x0f, 0xc7, 0x08}, 4},
	{"movups [rax], xmm0", {0x0f, 0x11, 0x00}, 3},
	{"mov ds, eax", {0x8e, 0xd8}, 2},
	{"swapgs", {0x0f, 0x01, 0xf8}, 3},
	{"clflush [rax]", {0x0f, 0xae, 0x38}, 3},
	{"prefetch [rax]", {0x0f, 0x18, 0x08}, 3},
	{"loop back", {0xe2, 0xf0}, 2},
	{"jrcxz", {0xe3, 0x10}, 2},
	{"jmp to itself", {0xeb, 0xfe}, 2},
	{"jmp to itself, long", {0xe9, 0xfb, 0xff, 0xff, 0xff}, 5},
	{"jmp far ahead", {0xe9, 0xff, 0xff, 0xff, 0x7f}, 5},
	{"jmp before the image", {0xe9, 0x00, 0x00, 0xff, 0xff}, 5},
	{"call far ahead", {0xe8, 0xff, 0xff, 0xff, 0x7f}, 5},
	{"jmp, 16 bits", {0x66, 0xe9, 0x00, 0x00}, 4},
	{"xbegin", {0xc7, 0xf8, 0, 0, 0, 0}, 6},
};

/* At each instruction, the rest of what they overwrite filled up with nops. */
static void plant(void)
{
	for (uint32_t i = 0; i < image.n_starts; i++)
		for (unsigned j = 0; j < FORT_LEN(hostile); j++) {
			uint32_t at = image.starts[i], end = at + hostile[j].n, next = i;

			while (next < image.n_starts && image.starts[next] < end)
				next++;
			if (image.starts[next] < end || !image.reached[at])
				continue;
			memcpy(image.bad + at, hostile[j].bytes, hostile[j].n);
			memset(image.bad + end, 0x90, image.starts[next] - end);
			if (memcmp(image.bad, image.good, image.at.bytes) && is_accepted(image.bad))
				cage_fail("accepted: %s at %x", hostile[j].what, at);
			counts->tried++;
			counts->refused++;
			restore();
		}
}

/* --- --- */

static void show_damage(void)
{
	for (uint32_t at = 0; at < image.at.bytes; at++)
		if (image.bad[at] != image.good[at])
			print_error("%x: %02x, was %02x\n", at, image.bad[at], image.good[at]);
}

/* Everything happens in a child: whatever ends it has escaped. */
static void damage(void (*what)(void))
{
	for (unsigned i = 0; i < DAMAGED; i++) {
		int status;
		pid_t child;

		open_image(damaged[i].source);
		restore();
		fflush(NULL);
		child = fork();
		if (!child) {
			cage_is_child();
			damaged_point_at_the_host(&cage);
			make_writable();
			what();
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			show_damage();
			fail_msg("%s, damage number %llu: status %x", damaged[i].what,
				 (unsigned long long)counts->tried, status);
		}
		close_image();
	}
}

#define DAMAGE(what)                          \
	static void when_##what(void **state) \
	{                                     \
		damage(what);                 \
	}
DAMAGE(flip_bits)
DAMAGE(overwrite_bytes)
DAMAGE(swap_instructions)
DAMAGE(drop_instructions)
DAMAGE(cut_off)
DAMAGE(change_fields)
DAMAGE(plant)

/* --- speed --- */

static double ns_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* The best of some rounds; the bound is for what grows faster than the image. */
static void reading_is_fast(void **state)
{
	char source[32768];
	struct fort_text text = fort_text_on(source, sizeof(source));
	double best = 1e18;
	uint32_t n_insns = 0;

	for (unsigned i = 0; i < 250; i++)
		fort_text_add(&text,
			      "ldxdw r2, [r10-%u]\nadd r2, %u\nstxdw [r1+%u], r2\njlt r2, 9, +0\n",
			      8 + 8 * (i % 60), i, 8 * (i % 7));
	fort_text_add(&text, "exit");
	open_image(source);
	for (unsigned round = 0; round < 20; round++) {
		struct fort_inspection found;
		double start = ns_now();

		assert_true(__real_fort_inspect(&claims.view, &found));
		n_insns = found.n_insns;
		if (ns_now() - start < best)
			best = ns_now() - start;
	}
	print_message("# %.0f ns an instruction, %u instructions\n", best / n_insns, n_insns);
	assert_true(best / n_insns < 5000);
	close_image();
}

/* The checker is worth something only if it refuses much and accepts something. */
static void much_was_refused(void **state)
{
	print_message("# %llu damaged images: %llu refused, %llu ran\n",
		      (unsigned long long)counts->tried, (unsigned long long)counts->refused,
		      (unsigned long long)counts->ran);
	for (unsigned code = 0; code < FORT_ABORT_CODES; code++)
		if (counts->ends[code])
			print_message("# ended by %s: %llu\n", fort_abort_name(code),
				      (unsigned long long)counts->ends[code]);
	assert_true(counts->refused > counts->tried / 2);
	assert_true(counts->ran > counts->tried / 50);
	assert_true(counts->ends[FORT_ABORT_MEMORY] > 100);
	assert_true(counts->ends[FORT_ABORT_FUEL] > 10);
}

static int open_all(void **state)
{
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	image.bad = counts->bad;
	cage_open(&cage);
	return 0;
}

static int close_all(void **state)
{
	cage_close(&cage);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_flip_bits),
		cmocka_unit_test(when_overwrite_bytes),
		cmocka_unit_test(when_swap_instructions),
		cmocka_unit_test(when_drop_instructions),
		cmocka_unit_test(when_cut_off),
		cmocka_unit_test(when_change_fields),
		cmocka_unit_test(when_plant),
		cmocka_unit_test(reading_is_fast),
		cmocka_unit_test(much_was_refused),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
