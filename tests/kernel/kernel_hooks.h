/* The kinds of programs that rules tell apart - type, expected attach type, what they are attached
 * to - and which of them the running kernel loads; programs as text, given to it as one of these.
 */
#pragma once

#include "abi/ctx.h"
#include "abi/hooks.h"
#include "kernel_lab.h"

struct kernel_hook {
	struct fort_hook hook;
	uint32_t btf_id; /* of hook.target; 0 for none */
	bool sleepable;  /* load with BPF_F_SLEEPABLE */
	uint32_t result; /* that such a program may return */
	bool only_gpl;   /* the kernel loads no others */
	bool net_admin;  /* it loads them without CAP_PERFMON and CAP_SYS_ADMIN */
	int err;         /* why the kernel does not load the smallest program of this kind, or 0 */
};

#define KERNEL_HOOKS_MAX 128

struct kernel_hooks {
	struct kernel_hook all[KERNEL_HOOKS_MAX];
	unsigned n;
};

/* Every program type with every attach type that belongs to it, and without any where the kernel
 * does not ask for one. */
void kernel_hooks_open(struct kernel_hooks *hooks);
/* "cgroup_skb at 1", "tracing at 28 (bpf_iter_task)". Valid until the next call. */
const char *kernel_hook_text(const struct kernel_hook *hook);
/* The field of the context that such a program may load and that yields so, or NULL. */
const struct fort_ctx_field *kernel_hook_field(const struct kernel_hook *hook,
					       enum fort_yield yields);
/* Prints a line for each that the kernel does not load; returns how many. */
unsigned kernel_hooks_report(const struct kernel_hooks *hooks);

struct kernel_program {
	const char *text;  /* assembly (isa/asm.h) */
	const int *fds;    /* map_idx N is fds[N]; may be NULL */
	bool not_gpl;      /* of no license that is compatible with the GPL */
	bool as_net_admin; /* without CAP_PERFMON and CAP_SYS_ADMIN */
	bool has_callback; /* the last two instructions are a function, for callbacks */
};

struct kernel_answer {
	int err;         /* 0: accepted */
	const char *log; /* whole; valid until the next load */
	char line[512];  /* rejected: the last line before the statistics; else empty */
};

/* Takes capabilities (CAP_*) out of the effective set, or puts all that are permitted back in. */
void kernel_give_up(const unsigned *capabilities, unsigned n);
void kernel_take_back(void);

/* Loads the program and closes it again. */
void kernel_hook_load(const struct kernel_hook *hook, const struct kernel_program *program,
		      struct kernel_answer *answer);
