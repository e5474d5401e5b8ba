#include "judges.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define BUDGET_NS 500000000u /* of both sides; at least one round, at most BENCH_ROUNDS */

bool judges_open(struct judges *judges)
{
	static const struct {
		enum bpf_map_type type;
		uint32_t key_bytes, value_bytes, entries;
	} shapes[JUDGES_MAPS] = {{BPF_MAP_TYPE_ARRAY, 4, 8, 64},
				 {BPF_MAP_TYPE_HASH, 8, 8, 1000},
				 {BPF_MAP_TYPE_RINGBUF, 0, 0, 1u << 16}};

	memset(judges, 0, sizeof(*judges));
	judges->kernel = kernel_side_open();
	judges->ours = our_side_open();
	for (unsigned i = 0; judges->kernel && i < JUDGES_MAPS; i++)
		judges->maps[i] = bpf_map_create(shapes[i].type, "bench", shapes[i].key_bytes,
						 shapes[i].value_bytes, shapes[i].entries, NULL);
	if (judges->kernel && judges->ours && judges->maps[JUDGES_MAPS - 1] >= 0)
		return true;
	printf("(no bpf(2) of the kernel: %s; there is nothing to compare with)\n",
	       strerror(errno));
	return false;
}

void judges_close(struct judges *judges)
{
	for (unsigned i = 0; i < JUDGES_MAPS; i++)
		close(judges->maps[i]);
	kernel_side_close(judges->kernel);
	our_side_close(judges->ours);
}

void judges_measure(struct judges *judges, const union bpf_attr *attr, uint32_t bytes,
		    struct measured *out)
{
	double kernel[BENCH_ROUNDS], search[BENCH_ROUNDS], check[BENCH_ROUNDS];
	uint64_t start = oracle_now_ns();
	unsigned n = 0;

	memset(out, 0, sizeof(*out));
	do {
		kernel_side_measure(judges->kernel, attr, bytes, &out->kernel, &out->kernel_cost);
		our_side_measure(judges->ours, attr, &out->ours, &out->our_cost);
		kernel[n] = out->kernel_cost.us;
		search[n] = (double)out->our_cost.search_ns * 1e-3;
		check[n] = (double)out->our_cost.check_ns * 1e-3;
		n++;
	} while (n < BENCH_ROUNDS && oracle_now_ns() - start < BUDGET_NS);
	out->kernel_us = bench_median(kernel, n);
	out->search_us = bench_median(search, n);
	out->check_us = bench_median(check, n);
	out->insns = attr->insn_cnt;
	out->rounds = n;
}

void judges_measure_text(struct judges *judges, uint32_t prog_type, const char *text, size_t bytes,
			 struct measured *out)
{
	struct fort_assembly code;
	struct fort_asm_error error;
	struct fort_arena arena;
	union bpf_attr attr = {.prog_type = prog_type,
			       .license = PTR("GPL"),
			       .fd_array = PTR(judges->maps)};

	fort_arena_init(&arena, 256u << 20);
	if (fort_assemble(&arena, text, bytes, &code, &error)) {
		fprintf(stderr, "line %u: expected %s\n", error.line, error.expected);
		exit(2);
	}
	attr.insns = PTR(code.insns);
	attr.insn_cnt = code.n_insns;
	judges_measure(judges, &attr, sizeof(attr), out);
	fort_arena_free(&arena);
}
