#include "array_program.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "array_maps.h"

#define ARENA_BYTES (256u << 20)
#define ANY_VALUE   0xcafe4au /* what a test expects that cannot know: a pointer */

/* --- what is expected --- */

/* Texts are separated by tabs. */
static void read_words(const char *texts, char *copy, struct notes_half *half)
{
	char *rest = copy;

	snprintf(copy, ARRAY_WORDS_BYTES, "%s", texts);
	for (char *word = strsep(&rest, "\t"); word; word = strsep(&rest, "\t"))
		if (*word && half->n_messages < NOTES_MESSAGES_MAX)
			half->messages[half->n_messages++] = word;
}

static void read_values(struct array_program *p, enum half half)
{
	const struct array_test *test = p->test;
	struct notes_half *notes = &p->notes.half[half];

	if (test->n_runs < 0 || test->runs[0].value == ANY_VALUE)
		return;
	notes->n_values = test->n_runs ? (unsigned)test->n_runs : 1;
	for (unsigned i = 0; i < notes->n_values; i++) {
		const struct array_run *run = &test->runs[i];
		bool other = half == HALF_UNPRIV && run->value_unpriv;

		notes->values[i] = other ? run->value_unpriv : run->value;
	}
	if (test->fill)
		notes->values[0] = p->filled.value;
}

static void expect(struct array_program *p, enum half half)
{
	const struct array_test *test = p->test;
	struct notes_half *notes = &p->notes.half[half];
	bool own = half == HALF_UNPRIV && test->result_unpriv != ARRAY_UNDEF;
	enum array_result result = own ? test->result_unpriv : test->result;
	const char *words =
		half == HALF_UNPRIV && test->error_unpriv ? test->error_unpriv : test->error;

	notes->expectation = result == ARRAY_REJECT ? EXPECT_FAILURE : EXPECT_SUCCESS;
	if (result == ARRAY_VERBOSE_ACCEPT)
		p->notes.log_level = FORT_LOG_STATES;
	if (words && result != ARRAY_ACCEPT)
		read_words(words, p->words[half], notes);
	read_values(p, half);
}

/* As the kernel's runner: only what needs no rights at all has an expectation without them. */
static bool expects_unpriv(const struct array_test *test)
{
	return !test->prog_type || test->prog_type == BPF_PROG_TYPE_SOCKET_FILTER ||
	       test->prog_type == BPF_PROG_TYPE_CGROUP_SKB;
}

/* --- the program --- */

static uint32_t type_of(const struct array_test *test)
{
	return test->prog_type ? test->prog_type : BPF_PROG_TYPE_SOCKET_FILTER;
}

static bool take_insns(struct array_program *p)
{
	const struct array_test *test = p->test;
	const void *insns = test->insns;

	p->n_insns = test->n_insns;
	if (test->fill) {
		if (!array_fill(test, &p->arena, &p->filled))
			return false;
		insns = p->filled.code.insns;
		p->n_insns = p->filled.code.n_insns;
	}
	p->insns = fort_arena_copy(&p->arena, insns, p->n_insns * sizeof(*p->insns));
	return p->insns != NULL;
}

static bool name_maps(struct array_program *p)
{
	for (enum array_map map = 0; map < ARRAY_N_MAPS; map++) {
		const int *slots = p->test->maps[map];

		if (!slots)
			continue;
		p->maps[map] = array_map_make(map, type_of(p->test));
		if (p->maps[map] < 0) {
			snprintf(p->why, sizeof(p->why), "no map for %s: %s", array_map_name(map),
				 strerror(errno));
			return false;
		}
		for (unsigned i = 0; i < ARRAY_FIXUPS_MAX && slots[i]; i++)
			p->insns[slots[i]].imm = p->maps[map];
	}
	return true;
}

/* The kernel's types; opened once. */
static const struct btf *kernel_btf(void)
{
	static struct btf *btf;

	if (!btf)
		btf = btf__load_vmlinux_btf();
	return btf;
}

static bool name_kfuncs(struct array_program *p)
{
	const struct array_test *test = p->test;

	for (unsigned i = 0; i < test->n_kfuncs; i++) {
		int id = btf__find_by_name_kind(kernel_btf(), test->kfuncs[i].kfunc, BTF_KIND_FUNC);

		if (id < 0) {
			snprintf(p->why, sizeof(p->why), "no kfunc %s in this kernel",
				 test->kfuncs[i].kfunc);
			return false;
		}
		p->insns[test->kfuncs[i].insn].imm = id;
	}
	return true;
}

static bool load_types(struct array_program *p)
{
	const struct array_test *test = p->test;
	struct btf_header header = {.magic = BTF_MAGIC,
				    .version = BTF_VERSION,
				    .hdr_len = sizeof(header),
				    .type_len = test->btf_types_bytes,
				    .str_off = test->btf_types_bytes,
				    .str_len = test->btf_strings_bytes};
	uint8_t *raw;

	if (!test->btf_types)
		return true;
	raw = fort_arena_alloc(&p->arena, sizeof(header) + header.type_len + header.str_len);
	if (!raw)
		return false;
	memcpy(raw, &header, sizeof(header));
	memcpy(raw + sizeof(header), test->btf_types, header.type_len);
	memcpy(raw + sizeof(header) + header.type_len, test->btf_strings, header.str_len);
	p->btf = bpf_btf_load(raw, sizeof(header) + header.type_len + header.str_len, NULL);
	memcpy(p->func_info, test->func_info, test->n_func_infos * sizeof(p->func_info[0]));
	if (p->filled.callback)
		p->func_info[1].insn_off = p->filled.callback;
	return p->btf >= 0;
}

bool array_program_open(struct array_program *p, const struct array_test *test)
{
	memset(p, 0, sizeof(*p));
	memset(p->maps, -1, sizeof(p->maps));
	p->btf = -1;
	p->test = test;
	fort_arena_init(&p->arena, ARENA_BYTES);
	snprintf(p->why, sizeof(p->why), "the test cannot be set up");
	if (!take_insns(p) || !name_maps(p) || !name_kfuncs(p) || !load_types(p))
		return false;
	expect(p, HALF_PRIV);
	if (expects_unpriv(test))
		expect(p, HALF_UNPRIV);
	for (unsigned i = 0; i < ARRAY_RUNS_MAX; i++)
		memcpy(p->data[i], test->runs[i].data, sizeof(p->data[i]));
	return true;
}

void array_program_close(struct array_program *p)
{
	for (enum array_map map = 0; map < ARRAY_N_MAPS; map++)
		if (p->maps[map] >= 0)
			close(p->maps[map]);
	if (p->btf >= 0)
		close(p->btf);
	fort_arena_free(&p->arena);
}

union bpf_attr array_program_attr(const struct array_program *p)
{
	const struct array_test *test = p->test;
	union bpf_attr attr = {.prog_type = type_of(test),
			       .insn_cnt = p->n_insns,
			       .insns = (uintptr_t)p->insns,
			       .license = (uintptr_t) "GPL",
			       .expected_attach_type = test->attach_type,
			       .prog_flags = test->flags};

	attr.prog_flags |= test->strict_alignment ? BPF_F_STRICT_ALIGNMENT : 0;
	attr.prog_flags |= test->any_alignment ? BPF_F_ANY_ALIGNMENT : 0;
	if (test->attach_to)
		attr.attach_btf_id = (uint32_t)libbpf_find_vmlinux_btf_id(
			test->attach_to, (enum bpf_attach_type)test->attach_type);
	if (p->btf >= 0) {
		attr.prog_btf_fd = (uint32_t)p->btf;
		attr.func_info = (uintptr_t)p->func_info;
		attr.func_info_cnt = test->n_func_infos;
		attr.func_info_rec_size = sizeof(p->func_info[0]);
	}
	return attr;
}
