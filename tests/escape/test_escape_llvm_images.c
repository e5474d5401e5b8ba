/* Machine code of LLVM that was damaged: the output checker refuses it, or it is harmless
 * (test_escape_images.c does the same to x64's). And code that was written by hand, by what the
 * checker says of it.
 */
#include "damaged.h"

#include "engine/llvm_inspect.h"
#include "engine/watch.h"
#include "engine/x64_run.h"

#define IMAGE_MAX (1u << 16)
#define SLOTS_MAX 16u
#define FUEL      2000u
#define LIMIT_NS  20000000ull
#define PERIOD_NS 5000000ull

static struct cage cage;

/* The checker's request of the last compilation. */
static struct {
	struct fort_llvm_inspect view;
	uint8_t slots[SLOTS_MAX], good[IMAGE_MAX], bad[IMAGE_MAX];
} image;

bool __real_fort_llvm_inspect(const struct fort_llvm_inspect *view, struct fort_inspection *out);
bool __wrap_fort_llvm_inspect(const struct fort_llvm_inspect *view, struct fort_inspection *out);
bool __wrap_fort_llvm_inspect(const struct fort_llvm_inspect *view, struct fort_inspection *out)
{
	assert_true(view->bytes <= IMAGE_MAX && view->n_slots <= SLOTS_MAX);
	image.view = *view;
	memcpy(image.slots, view->slots, view->n_slots);
	memcpy(image.good, view->code, view->bytes);
	image.view.slots = image.slots;
	return __real_fort_llvm_inspect(view, out);
}

static enum fort_inspect_fault look_at(const uint8_t *code)
{
	struct fort_llvm_inspect view = image.view;
	struct fort_inspection found;
	bool good;

	view.code = code;
	good = __real_fort_llvm_inspect(&view, &found);
	assert_int_equal(good, found.fault == FORT_INSPECT_OK);
	return found.fault;
}

/* --- damage --- */

static struct tally {
	uint64_t tried, refused, ran, late;
} * tally;

/* In the child: the image that runs, writable, and nobody else's. */
static uint8_t *make_writable(const struct cage_image *at)
{
	void *where = mmap(at->code, at->bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(where, at->code);
	memcpy(where, image.good, image.view.bytes);
	return where;
}

struct victim {
	const struct fort_code *code;
	uint8_t *at; /* where it runs */
	struct fort_watched *place;
};

static void try(const struct victim *victim)
{
	struct outcome outcome;

	tally->tried++;
	if (look_at(image.bad) != FORT_INSPECT_OK) {
		tally->refused++;
		return;
	}
	memcpy(victim->at, image.bad, image.view.bytes);
	fort_watched_enter(victim->place, &cage.world.run);
	outcome = cage_run_code(&cage, &fort_engine_llvm, victim->code, FUEL);
	fort_watched_leave(victim->place);
	tally->ran++;
	tally->late += outcome.abort.code == FORT_ABORT_TIME;
}

static void flip_bits(const struct victim *victim)
{
	for (uint32_t at = 0; at < image.view.bytes; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(image.bad, image.good, image.view.bytes);
			image.bad[at] ^= (uint8_t)(1u << bit);
			try(victim);
		}
}

static void overwrite_bytes(const struct victim *victim)
{
	static const uint8_t bytes[] = {0x00, 0xff, 0x90, 0xc3, 0x48, 0x41, 0x65, 0x89, 0x8b};

	for (uint32_t at = 0; at < image.view.bytes; at++)
		for (unsigned i = 0; i < FORT_LEN(bytes); i++) {
			memcpy(image.bad, image.good, image.view.bytes);
			image.bad[at] = bytes[i];
			try(victim);
		}
}

static void be_child(const struct fort_code *code, const struct cage_image *at,
		     void (*damage)(const struct victim *))
{
	struct victim victim = {.code = code};
	struct fort_watch *watch;

	cage_is_child();
	if (fort_watch_open(LIMIT_NS, PERIOD_NS, &watch))
		_exit(2);
	victim.place = fort_watch_take(watch);
	victim.at = make_writable(at);
	damaged_point_at_the_host(&cage);
	damage(&victim);
	_exit(0);
}

static void damage_all(void (*damage)(const struct victim *))
{
	for (unsigned i = 0; i < DAMAGED; i++) {
		struct fort_compile request;
		struct cage_image at;
		struct fort_code *code;
		struct caged caged;
		int status;
		pid_t child;

		caged_assemble(&caged, damaged[i].source);
		request = cage_compile(&cage, FORT_ISOLATION_SFI, false, &caged);
		assert_int_equal(fort_engine_llvm.compile(&request, &code), 0);
		assert_true(cage_find_image(&at));
		assert_int_equal(look_at(image.good), FORT_INSPECT_OK);
		fflush(NULL);
		child = fork();
		if (!child)
			be_child(code, &at, damage);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (status)
			fail_msg("%s, damage number %llu: status %x", damaged[i].what,
				 (unsigned long long)tally->tried, status);
		fort_engine_llvm.free(code);
		caged_free(&caged);
	}
	print_message("# %llu tried, %llu refused, %llu ran, of these %llu too long\n",
		      (unsigned long long)tally->tried, (unsigned long long)tally->refused,
		      (unsigned long long)tally->ran, (unsigned long long)tally->late);
	assert_true(tally->refused > tally->tried / 5);
	assert_true(tally->ran > tally->tried / 50);
	*tally = (struct tally){0};
}

static void flipped_bits_are_refused_or_harmless(void **state)
{
	damage_all(flip_bits);
}

static void other_bytes_are_refused_or_harmless(void **state)
{
	damage_all(overwrite_bytes);
}

/* --- by hand --- */

/* Bytes, and how many. */
#define CODE(text) text, sizeof(text) - 1

static const struct {
	const char *what;
	enum fort_inspect_fault fault;
	const char *code;
	uint32_t bytes;
} snippets[] = {
	{"nothing", FORT_INSPECT_OK, CODE("\xc3")},
	{"fuel is told", FORT_INSPECT_OK, CODE("\x49\x89\x77\x20\xc3")},
	{"mov eax, r12d; mov [gs:rax], r13", FORT_INSPECT_OK,
	 CODE("\x44\x89\xe0\x65\x4c\x89\x28\xc3")},
	{"the same with a byte behind the window", FORT_INSPECT_OK,
	 CODE("\x44\x89\xe0\x65\x4c\x89\x68\x7f\xc3")},
	{"the same below it", FORT_INSPECT_FORM, CODE("\x44\x89\xe0\x65\x4c\x89\x68\xf8\xc3")},
	{"the same far behind it", FORT_INSPECT_FORM,
	 CODE("\x44\x89\xe0\x65\x4c\x89\xa8\x00\x10\x00\x00\xc3")},
	{"mov [gs:r12], r13", FORT_INSPECT_FORM, CODE("\x65\x4d\x89\x2c\x24\xc3")},
	{"mov [gs:r12d], r13", FORT_INSPECT_OK, CODE("\x65\x67\x4d\x89\x2c\x24\xc3")},
	{"mov [r12], r13", FORT_INSPECT_FORM, CODE("\x4d\x89\x2c\x24\xc3")},
	{"mov eax, r12d; mov [rax], r13", FORT_INSPECT_FORM, CODE("\x44\x89\xe0\x4c\x89\x28\xc3")},
	{"mov rax, r12; shr rax, 32; mov [gs:rax], r13", FORT_INSPECT_OK,
	 CODE("\x4c\x89\xe0\x48\xc1\xe8\x20\x65\x4c\x89\x28\xc3")},
	{"mov rax, r12; shr rax, 31; mov [gs:rax], r13", FORT_INSPECT_FORM,
	 CODE("\x4c\x89\xe0\x48\xc1\xe8\x1f\x65\x4c\x89\x28\xc3")},
	{"mov eax, r12d; add rax, r12; mov [gs:rax], r13", FORT_INSPECT_FORM,
	 CODE("\x44\x89\xe0\x4c\x01\xe0\x65\x4c\x89\x28\xc3")},
	{"movsxd rax, r12d; mov [gs:rax], r13", FORT_INSPECT_FORM,
	 CODE("\x49\x63\xc4\x65\x4c\x89\x28\xc3")},
	{"one of two ways is too wide: test, jz, mov", FORT_INSPECT_FORM,
	 CODE("\x4c\x89\xe0\x4d\x85\xed\x74\x02\x89\xc0\x65\x4c\x89\x28\xc3")},
	{"both ways are not: test, jz, mov", FORT_INSPECT_OK,
	 CODE("\x44\x89\xe0\x4d\x85\xed\x74\x02\x89\xc0\x65\x4c\x89\x28\xc3")},
	{"the return address is written: mov [rsp], r12", FORT_INSPECT_FORM,
	 CODE("\x4c\x89\x24\x24\xc3")},
	{"the host's stack: mov [rsp+8], r12", FORT_INSPECT_FORM, CODE("\x4c\x89\x64\x24\x08\xc3")},
	{"below it: mov [rsp-8], r12", FORT_INSPECT_OK, CODE("\x4c\x89\x64\x24\xf8\xc3")},
	{"farther below it: mov [rsp-136], r12", FORT_INSPECT_FORM,
	 CODE("\x4c\x89\xa4\x24\x78\xff\xff\xff\xc3")},
	{"ret of 16 bits", FORT_INSPECT_PREFIX, CODE("\x66\xc3")},
	{"jz of 16 bits, on some processors", FORT_INSPECT_PREFIX,
	 CODE("\x4d\x85\xed\x66\x0f\x84\x00\x00\x00\x00\xc3")},
	{"push r12; pop rax", FORT_INSPECT_OK, CODE("\x41\x54\x58\xc3")},
	{"push r12; ret", FORT_INSPECT_STATE, CODE("\x41\x54\xc3")},
	{"push rbp; mov ebp, r12d; mov [gs:rbp], r13; pop rbp", FORT_INSPECT_OK,
	 CODE("\x55\x44\x89\xe5\x65\x4c\x89\x6d\x00\x5d\xc3")},
	{"mov rbp, r12", FORT_INSPECT_STATE, CODE("\x4c\x89\xe5\xc3")},
	{"a register of the host's: add rax, rbx", FORT_INSPECT_STATE, CODE("\x48\x01\xd8\xc3")},
	{"a pointer of the host's into the window: mov eax, r12d; mov [gs:rax], r15",
	 FORT_INSPECT_STATE, CODE("\x44\x89\xe0\x65\x4c\x89\x38\xc3")},
	{"a pointer of the host's as a number: lea rax, [r15+8]", FORT_INSPECT_STATE,
	 CODE("\x49\x8d\x47\x08\xc3")},
	{"a field that is not code's: mov [r15], r12", FORT_INSPECT_FORM, CODE("\x4d\x89\x27\xc3")},
	{"jmp r12", FORT_INSPECT_FORM, CODE("\x41\xff\xe4")},
	{"call r12", FORT_INSPECT_STATE, CODE("\x41\xff\xd4\xc3")},
	{"jmp -1: into itself", FORT_INSPECT_TARGET, CODE("\xeb\xff\xc0\xc3")},
	{"an end without an end", FORT_INSPECT_END, CODE("\x4c\x89\xe0")},
	{"syscall", FORT_INSPECT_FORM, CODE("\x0f\x05\xc3")},
	{"mov eax, with a syscall in it", FORT_INSPECT_BYTES, CODE("\xb8\x00\x0f\x05\x00\xc3")},
	{"wrgsbase", FORT_INSPECT_FORM, CODE("\xf3\x48\x0f\xae\xd8\xc3")},
	{"wrpkru", FORT_INSPECT_FORM, CODE("\x0f\x01\xef\xc3")},
	{"std", FORT_INSPECT_FORM, CODE("\xfd\xc3")},
	{"rep movsb", FORT_INSPECT_FORM, CODE("\xf3\xa4\xc3")},
	{"fs:[0]", FORT_INSPECT_FORM, CODE("\x64\x48\x8b\x04\x25\x00\x00\x00\x00\xc3")},
	{"gs:[2^31 - 1]", FORT_INSPECT_OK, CODE("\x65\x48\x8b\x04\x25\xff\xff\xff\x7f\xc3")},
	{"gs:[-8]", FORT_INSPECT_FORM, CODE("\x65\x48\x8b\x04\x25\xf8\xff\xff\xff\xc3")},
	{"bt [gs:rax], r13, which may be far from there", FORT_INSPECT_STATE,
	 CODE("\x44\x89\xe0\x65\x4c\x0f\xa3\x28\xc3")},
	{"what is before the image: mov rax, [rip-18], a function's", FORT_INSPECT_OK,
	 CODE("\x48\x8b\x05\xe9\xff\xff\xff\xc3")},
	{"the same is written", FORT_INSPECT_FORM, CODE("\x48\x89\x05\xe9\xff\xff\xff\xc3")},
	{"a function is called with the stack one word off", FORT_INSPECT_STATE,
	 CODE("\x4d\x89\xf9\xff\x15\xe7\xff\xff\xff\xc3")},
	{"push; mov r9, r15; call; pop", FORT_INSPECT_OK,
	 CODE("\x50\x4d\x89\xf9\xff\x15\xe6\xff\xff\xff\x59\xc3")},
	{"push; mov r9, r12; call; pop", FORT_INSPECT_STATE,
	 CODE("\x50\x4d\x89\xe1\xff\x15\xe6\xff\xff\xff\x59\xc3")},
	{"push; call what ends the run, with its entry", FORT_INSPECT_OK,
	 CODE("\x50\xff\x15\xf1\xff\xff\xff")},
	{"push; mov rdi, r12; call what ends the run", FORT_INSPECT_STATE,
	 CODE("\x50\x4c\x89\xe7\xff\x15\xee\xff\xff\xff")},
};

static void what_is_seen_is_as_it_is(void **state)
{
	static const uint8_t slots[] = {FORT_LLVM_SLOT_LEAVE, FORT_LLVM_SLOT_FUNCTION};

	for (unsigned i = 0; i < FORT_LEN(snippets); i++) {
		struct fort_llvm_inspect view = {.slots = slots,
						 .n_slots = FORT_LEN(slots),
						 .isolation = FORT_ISOLATION_SFI};
		struct fort_inspection found;

		view.code = (const uint8_t *)snippets[i].code;
		view.bytes = snippets[i].bytes;
		(void)__real_fort_llvm_inspect(&view, &found);
		if (found.fault != snippets[i].fault)
			fail_msg("%s: %s at %u", snippets[i].what,
				 fort_inspect_fault_text(found.fault), found.at);
	}
}

static int open_all(void **state)
{
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(tally, MAP_FAILED);
	cage_open(&cage);
	return 0;
}

static int close_all(void **state)
{
	cage_close(&cage);
	munmap(tally, sizeof(*tally));
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_seen_is_as_it_is),
		cmocka_unit_test(flipped_bits_are_refused_or_harmless),
		cmocka_unit_test(other_bytes_are_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
