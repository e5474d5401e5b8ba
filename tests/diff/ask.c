#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isa/asm.h"

void ask_open(struct ask *ask, uint32_t type)
{
	*ask = (struct ask){.type = type, .btf_fd = -1, .log = malloc(ASK_LOG_BYTES)};
	if (!ask->log)
		abort();
}

void ask_close(struct ask *ask)
{
	free(ask->log);
}

void ask_load(struct ask *ask, const char *assembly)
{
	struct fort_attr_prog_load attr = {
		.prog_type = ask->type,
		.license = (uint64_t)(uintptr_t) "GPL",
		.log_level = ask->level ? ask->level : FORT_LOG_STATES,
		.log_size = ASK_LOG_BYTES,
		.log_buf = (uint64_t)(uintptr_t)ask->log,
		.prog_flags = ask->flags,
		.expected_attach_type = ask->attach_type,
		.attach_btf_id = ask->attach_id,
	};
	struct fort_arena arena;
	struct fort_assembly code;
	struct fort_asm_error error;
	long fd;

	fort_arena_init(&arena, 1 << 20);
	if (fort_assemble(&arena, assembly, strlen(assembly), &code, &error)) {
		fprintf(stderr, "line %u: expected %s\n%s", error.line, error.expected, assembly);
		abort();
	}
	attr.insns = (uint64_t)(uintptr_t)code.insns;
	attr.insn_cnt = code.n_insns;
	if (ask->btf_fd >= 0) {
		attr.prog_btf_fd = (uint32_t)ask->btf_fd;
		attr.func_info = (uint64_t)(uintptr_t)ask->funcs;
		attr.func_info_cnt = ask->n_funcs;
		attr.func_info_rec_size = sizeof(*ask->funcs);
	}
	ask->log[0] = 0;
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	ask->err = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close((int)fd);
	fort_arena_free(&arena);
}

const char *ask_register(const struct ask *ask, uint32_t pc, unsigned reg)
{
	static char value[256];
	char start[32], name[8];
	const char *at, *end;

	snprintf(start, sizeof(start), "\n%u: (", pc);
	at = strstr(ask->log, start);
	if (!at)
		return NULL;
	snprintf(start, sizeof(start), "\n%u: (", pc + 1);
	end = strstr(at, start);
	snprintf(name, sizeof(name), " R%u=", reg);
	at = strstr(at, name);
	if (!at || (end && at > end))
		return NULL;
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + strlen(name), " \n"),
		 at + strlen(name));
	return value;
}

const char *ask_last_line(const struct ask *ask, unsigned number)
{
	static char line[512];
	const char *end = strstr(ask->log, "\nprocessed "), *start;

	if (!end)
		end = ask->log + strlen(ask->log);
	for (;; end = start) {
		if (end > ask->log && end[-1] == '\n')
			end--;
		for (start = end; start > ask->log && start[-1] != '\n'; start--)
			;
		if (!number-- || start == ask->log)
			break;
	}
	snprintf(line, sizeof(line), "%.*s", (int)(end - start), start);
	return line;
}
