/* Where bounds may stop when they are widened: numbers that the program compares with. */
#include <errno.h>
#include <stdlib.h>

#include "verify/search.h"

#define THRESHOLDS_MAX 64u

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool is_compared(const struct fort_insn *insn)
{
	return (insn->kind == FORT_JCC_K && insn->op != FORT_OP_JSET) ||
	       (insn->kind == FORT_MOV_K && insn->imm) ||
	       (insn->kind == FORT_LDIMM && insn->op == FORT_OP_CONST);
}

/* The number itself, and its neighbours: bounds of i < n are n - 1 inside of a loop, n behind. */
static void add(int64_t *list, uint32_t *n, int64_t number)
{
	for (int i = -1; i <= 1 && *n < 4 * THRESHOLDS_MAX; i++)
		list[(*n)++] = fort_wrap_add(number, i);
}

/* Of many numbers, a few that are spread evenly. */
static uint32_t thin_out(int64_t *list, uint32_t n)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		if (!kept || list[i] != list[kept - 1])
			list[kept++] = list[i];
	if (kept <= THRESHOLDS_MAX)
		return kept;
	for (uint32_t i = 0; i < THRESHOLDS_MAX; i++)
		list[i] = list[(uint64_t)i * kept / THRESHOLDS_MAX];
	return THRESHOLDS_MAX;
}

int fort_thresholds_find(struct fort_arena *arena, const struct fort_program *program,
			 struct fort_widening *out)
{
	int64_t *list = FORT_ARENA_ARRAY(arena, 4 * THRESHOLDS_MAX, int64_t);
	uint32_t n = 0;

	if (!list)
		return -ENOMEM;
	add(list, &n, 0);
	for (uint32_t pc = 0; pc < program->n_insns; pc += fort_insn_slots(&program->insns[pc])) {
		if (!is_compared(&program->insns[pc]))
			continue;
		if (n == 4 * THRESHOLDS_MAX) {
			qsort(list, n, sizeof(*list), compare);
			n = thin_out(list, n);
		}
		add(list, &n, program->insns[pc].imm);
	}
	qsort(list, n, sizeof(*list), compare);
	*out = (struct fort_widening){.thresholds = list, .n = thin_out(list, n)};
	return 0;
}
