/* What is proven and cannot run yet is accepted, and refused where it is to run, with the
 * instruction that is the reason.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "embed.h"
#include "load/runs.h"
#include "verify/render.h"

static const struct row {
	const char *name, *functions, *code;
	const char *diag; /* NULL: it runs */
	uint32_t pc;
} rows[] = {
	{"a number", NULL, "mov r0, 0\nexit\n", NULL, 0},
	{"a global function", "global f(number)",
	 "mov r1, 1\ncall local f\nmov r0, 0\nexit\nf: mov r0, r1\nexit\n", NULL, 0},
	{"may_goto", NULL, "mov r0, 2\nloop: may_goto out\nja loop\nout: exit\n", NULL, 0},
	{"a function's address", "static cb",
	 "mov r1, 1\nlddw r2, func cb\nmov r3, 0\nmov r4, 0\ncall 181\nmov r0, 0\nexit\n"
	 "cb: mov r0, 0\nexit\n",
	 NULL, 0},
	{"a helper that is only verified", NULL, "mov r2, 0\ncall 44\nmov r0, 2\nexit\n", "F0702",
	 1},
	{"the same, where nothing leads", NULL,
	 "mov r0, 2\njeq r0, 2, out\nmov r2, 0\ncall 44\nout: exit\n", NULL, 0},
	{"untrusted memory", "global f(any)",
	 "mov r1, 8\ncall local f\nmov r0, 0\nexit\nf: ldxdw r0, [r1+0]\nexit\n", "F1224", 4},
};

static struct lab lab;
static struct embed_world world;

static const char *trial(const struct row *row)
{
	struct fort_load_request request = {.proven = &lab.proven,
					    .maps = world.maps,
					    .engine = &fort_engine_interp,
					    .isolation = FORT_ISOLATION_SFI,
					    .n_slots = 1,
					    .packet_bytes = 1024,
					    .fuel = 1024};
	struct fort_violation why = {0};
	struct fort_loaded *loaded = NULL;
	bool runs;
	int err;

	if (!lab_open(&lab, "xdp", row->code))
		return lab.error;
	if (row->functions && !lab_describe(&lab, row->functions))
		return "the functions are not those of the program";
	if (!lab_search(&lab, FORT_SABOTAGE_NONE) || lab.result.verdict != FORT_ACCEPT ||
	    !lab_check(&lab, lab.result.certificate.data, lab.result.certificate.bytes))
		return "it is not accepted";
	runs = fort_env_runs(&lab.env, &why);
	err = fort_loaded_open(&request, &loaded);
	fort_loaded_close(loaded);
	if (runs != !row->diag || err != (row->diag ? -EOPNOTSUPP : 0))
		return runs ? "it runs" : "it does not run";
	if (runs)
		return NULL;
	if (strcmp(fort_diag_info(why.diag)->code, row->diag) || why.pc != row->pc ||
	    fort_diag_info(why.diag)->class != FORT_CLASS_LATER)
		return "the reason is another one";
	return NULL;
}

int main(void)
{
	if (!embed_world_open(&world, lab_shapes, LAB_RUN_MAPS)) {
		printf("Bail out! no maps\n");
		return 1;
	}
	for (size_t i = 0; i < FORT_LEN(rows); i++) {
		const char *complaint = trial(&rows[i]);

		printf("%s %zu - %s\n", complaint ? "not ok" : "ok", i + 1, rows[i].name);
		if (complaint)
			printf("# %s\n", complaint);
		lab_free(&lab);
	}
	printf("1..%zu\n", FORT_LEN(rows));
	embed_world_close(&world);
	return 0;
}
