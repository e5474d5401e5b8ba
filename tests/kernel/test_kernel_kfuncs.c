/* Kfuncs: kfuncs.def beside the running kernel and the sources of 6.12. Which there are, which
 * programs have them, and what their flags make the kernel say.
 *
 * usage: kernel_kfuncs NAMES, a file of names that the sources register, maybe empty
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>

#include "abi/kfuncs.h"
#include "abi/uapi.h"
#include "proto_lab.h"

static struct kernel_hooks hooks;
static struct proto_lab lab;
static struct btf *kernel;
static unsigned count, failed;
static uint32_t ids[FORT_KFUNCS]; /* of the functions in the kernel's BTF; 0: not there */

static void report(bool good, const char *what, const char *of)
{
	printf("%s %u - %s%s\n", good ? "ok" : "not ok", ++count, what, of);
	failed += !good;
}

static void ask(const struct kernel_hook *hook, uint32_t id, const char *before, const char *after,
		struct kernel_answer *answer)
{
	char text[2048];

	snprintf(text, sizeof(text), "%scall kfunc %u, 0\n%smov r0, %u\nexit\n", before, id, after,
		 hook->result);
	kernel_hook_load(hook, &(struct kernel_program){.text = text, .fds = lab.fds}, answer);
}

static bool has_it(const struct kernel_hook *hook, uint32_t id)
{
	struct kernel_answer answer;

	ask(hook, id, "", "", &answer);
	return !strstr(answer.line, "is not allowed") &&
	       !strstr(answer.line, "metadata kfuncs require");
}

/* --- names --- */

/* Attached to, never called: not for programs. */
static bool is_target(const char *name)
{
	static const char *const names[] = {"bpf_fentry_test1", "bpf_modify_return_test",
					    "bpf_modify_return_test2", "update_socket_protocol"};

	for (unsigned i = 0; i < FORT_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void source_names(const char *path)
{
	FILE *stream = fopen(path, "r");
	char line[128];
	unsigned names = 0;
	bool good = true;

	while (stream && fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = 0;
		/* Of a macro for the metadata of XDP, it is a parameter. */
		if (is_target(line) || !strcmp(line, "name"))
			continue;
		names++;
		if (!fort_kfunc_by_name(line)) {
			printf("# %s is not in the table\n", line);
			good = false;
		}
	}
	if (stream)
		fclose(stream);
	if (names)
		report(good, "kfuncs of the sources", "");
	else
		printf("ok %u - kfuncs of the sources # SKIP no sources of Linux 6.12\n", ++count);
}

static bool is_tagged(const struct btf_type *tag)
{
	return btf_is_decl_tag(tag) &&
	       !strcmp(btf__name_by_offset(kernel, tag->name_off), "bpf_kfunc");
}

static void kernel_names(void)
{
	bool good = true;
	unsigned here = 0;

	for (uint32_t i = 1; i < btf__type_cnt(kernel); i++) {
		const struct btf_type *tag = btf__type_by_id(kernel, i);
		const struct fort_kfunc_info *kfunc;
		const char *name;

		if (!is_tagged(tag))
			continue;
		name = btf__name_by_offset(kernel, btf__type_by_id(kernel, tag->type)->name_off);
		kfunc = fort_kfunc_by_name(name);
		if (kfunc) {
			ids[kfunc - fort_kfuncs] = tag->type;
			here++;
		} else if (!is_target(name)) {
			printf("# the kernel has %s, we do not\n", name);
			good = false;
		}
	}
	for (unsigned i = 0; i < FORT_KFUNCS; i++)
		if (!ids[i])
			printf("# not in this kernel: %s\n", fort_kfuncs[i].name);
	report(good && here > 100, "kfuncs of the running kernel", "");
}

/* --- programs --- */

static void sets(const struct kernel_hook *hook)
{
	bool good = true;

	for (unsigned i = 0; i < FORT_KFUNCS; i++) {
		const struct fort_kfunc_info *kfunc = &fort_kfuncs[i];
		bool ours = fort_kfunc_is_for(kfunc, &hook->hook), theirs;

		if (!ids[i] || kfunc->flags & FORT_KFUNC_DEVICE)
			continue;
		theirs = has_it(hook, ids[i]);
		if (ours != theirs)
			printf("# %s: %s\n", kfunc->name,
			       ours ? "ours alone" : "the kernel's alone");
		good &= ours == theirs;
	}
	report(good, "kfuncs of ", kernel_hook_text(hook));
}

/* --- flags --- */

static const struct kernel_hook *hook_with(const struct fort_kfunc_info *kfunc, bool sleepable)
{
	for (unsigned i = 0; i < hooks.n; i++)
		if (!hooks.all[i].err && hooks.all[i].sleepable == sleepable &&
		    fort_kfunc_is_for(kfunc, &hooks.all[i].hook))
			return &hooks.all[i];
	return NULL;
}

/* One that may call it, also if it sleeps. */
static const struct kernel_hook *caller_of(const struct fort_kfunc_info *kfunc)
{
	static struct kernel_hook iterator;
	const struct kernel_hook *hook;

	if (!(kfunc->flags & FORT_KFUNC_SLEEPABLE)) {
		hook = hook_with(kfunc, false);
		return hook ? hook : hook_with(kfunc, true);
	}
	for (unsigned i = 0; i < hooks.n; i++)
		if (!hooks.all[i].err && hooks.all[i].hook.attach == FORT_ATTACH_TRACE_ITER &&
		    hooks.all[i].hook.prog == &fort_progs[FORT_PROG_TRACING]) {
			iterator = hooks.all[i];
			iterator.sleepable = true;
			if (fort_kfunc_is_for(kfunc, &iterator.hook))
				return &iterator;
		}
	return hook_with(kfunc, true);
}

static bool differ(const struct fort_kfunc_info *kfunc, const char *what, bool ours,
		   const struct kernel_answer *answer, bool theirs)
{
	if (ours != theirs)
		printf("# %s: %s: %s; the kernel says \"%s\"\n", kfunc->name, what,
		       ours ? "ours alone" : "the kernel's alone", answer->line);
	return ours != theirs;
}

/* What a parameter is: an object that must be trusted, a number, something else. */
enum parameter { OBJECT, WORD, OTHER };

static enum parameter parameter_of(uint32_t type_id)
{
	const struct btf_type *type;
	int id = btf__resolve_type(kernel, type_id);

	type = id < 0 ? NULL : btf__type_by_id(kernel, (uint32_t)id);
	if (!type)
		return OTHER;
	if (!btf_is_ptr(type))
		return WORD;
	id = btf__resolve_type(kernel, type->type);
	type = id < 0 ? NULL : btf__type_by_id(kernel, (uint32_t)id);
	return type && btf_is_struct(type) ? OBJECT : OTHER;
}

static const struct btf_type *prototype(uint32_t id)
{
	return btf__type_by_id(kernel, btf__type_by_id(kernel, id)->type);
}

static bool takes_numbers_only(uint32_t id)
{
	const struct btf_type *proto = prototype(id);

	for (unsigned i = 0; i < btf_vlen(proto); i++)
		if (parameter_of(btf_params(proto)[i].type) != WORD)
			return false;
	return true;
}

/* All arguments 0: is the first pointer's refusal that of trusted arguments? Of arguments whose
 * type decides first (iterators, dynptrs, fields of maps), it is another, whatever the flags. */
static bool trust(const struct fort_kfunc_info *kfunc, const struct kernel_hook *hook, uint32_t id)
{
	const uint16_t trusting = FORT_KFUNC_TRUSTED | FORT_KFUNC_RCU | FORT_KFUNC_RELEASE;
	static const char *const others[] = {"iterator on stack", "struct bpf_dynptr",
					     "map value or allocated object", "pointer to ctx",
					     "must be a known constant"};
	struct kernel_answer answer;

	ask(hook, id, "mov r1, 0\nmov r2, 0\nmov r3, 0\nmov r4, 0\nmov r5, 0\n", "", &answer);
	for (unsigned i = 0; i < FORT_LEN(others); i++)
		if (strstr(answer.line, others[i]))
			return true;
	if (takes_numbers_only(id))
		return true;
	return !differ(kfunc, "trusted arguments", kfunc->flags & trusting, &answer,
		       strstr(answer.line, "passed to trusted arg"));
}

/* Of those that take numbers only: what they return. */
static bool result(const struct fort_kfunc_info *kfunc, const struct kernel_hook *hook, uint32_t id)
{
	struct kernel_answer answer;
	const char *call, *end;
	char line[256];
	bool good;

	if (!takes_numbers_only(id))
		return true;
	ask(hook, id, "mov r1, 0\nmov r2, 0\nmov r3, 0\nmov r4, 0\nmov r5, 0\n", "mov r0, r5\n",
	    &answer);
	if (strcmp(answer.line, "R5 !read_ok"))
		return true; /* a rule of its own: locks and critical sections, objects */
	call = strstr(answer.log, "(85) call");
	end = strchr(call, '\n');
	snprintf(line, sizeof(line), "%.*s", (int)(end - call), call);
	good = !differ(kfunc, "may return NULL", kfunc->flags & FORT_KFUNC_RET_NULL, &answer,
		       strstr(line, "or_null"));
	return good & !differ(kfunc, "returns a reference", kfunc->flags & FORT_KFUNC_ACQUIRE,
			      &answer, strstr(line, "ref_obj_id"));
}

static bool sleeping(const struct fort_kfunc_info *kfunc, uint32_t id)
{
	const struct kernel_hook *hook = hook_with(kfunc, false);
	struct kernel_answer answer;

	if (!hook)
		return true;
	ask(hook, id, "", "", &answer);
	return !differ(kfunc, "might sleep", kfunc->flags & FORT_KFUNC_SLEEPABLE, &answer,
		       strstr(answer.line, "must be sleepable"));
}

static bool under_lock(const struct fort_kfunc_info *kfunc, uint32_t id)
{
	const struct kernel_hook *hook = NULL;
	struct kernel_answer answer;
	char before[512];

	for (unsigned i = 0; i < hooks.n && !hook; i++)
		if (!hooks.all[i].err && fort_kfunc_is_for(kfunc, &hooks.all[i].hook) &&
		    !(fort_specials[FORT_SPECIAL_SPIN_LOCK].barred & hooks.all[i].hook.prog->bit))
			hook = &hooks.all[i];
	if (!hook || fort_target_listed(FORT_TARGETS_OPS_BARE, hook->hook.target))
		return true;
	snprintf(before, sizeof(before),
		 "stw [r10-4], 0\nlddw r1, map_idx %u\nmov r2, r10\nadd r2, -4\ncall 1\n"
		 "jne r0, 0, +2\nmov r0, %u\nexit\nmov r1, r0\ncall %u\n",
		 PROTO_FIELDS, hook->result, BPF_FUNC_spin_lock);
	ask(hook, id, before, "", &answer);
	return !differ(kfunc, "under a lock", kfunc->flags & FORT_KFUNC_UNDER_LOCK, &answer,
		       !strstr(answer.line, "not allowed while holding a lock"));
}

/* The kernel tags these itself. */
static bool is_fast(uint32_t id)
{
	for (uint32_t i = 1; i < btf__type_cnt(kernel); i++) {
		const struct btf_type *tag = btf__type_by_id(kernel, i);

		if (btf_is_decl_tag(tag) && tag->type == id &&
		    !strcmp(btf__name_by_offset(kernel, tag->name_off), "bpf_fastcall"))
			return true;
	}
	return false;
}

static void flags(const struct fort_kfunc_info *kfunc)
{
	uint32_t id = ids[kfunc - fort_kfuncs];
	const struct kernel_hook *hook = caller_of(kfunc);
	bool good = is_fast(id) == !!(kfunc->flags & FORT_KFUNC_FASTCALL);

	if (!hook || kfunc->flags & FORT_KFUNC_DEVICE) {
		printf("# skipped: no program that the kernel loads may call %s\n", kfunc->name);
		return;
	}
	good &= sleeping(kfunc, id);
	good &= trust(kfunc, hook, id);
	good &= result(kfunc, hook, id);
	good &= under_lock(kfunc, id);
	report(good, "flags of ", kfunc->name);
}

int main(int argc, char **argv)
{
	kernel = btf__load_vmlinux_btf();
	kernel_hooks_open(&hooks);
	if (argc != 2 || !kernel || hooks.all[0].err || proto_lab_open(&lab)) {
		printf("1..0 # SKIP the kernel has no BTF, or loads no programs\n");
		return 0;
	}
	source_names(argv[1]);
	kernel_names();
	for (unsigned i = 0; i < hooks.n; i++)
		if (!hooks.all[i].err)
			sets(&hooks.all[i]);
	for (unsigned i = 0; i < FORT_KFUNCS; i++)
		if (ids[i])
			flags(&fort_kfuncs[i]);
	printf("1..%u\n", count);
	proto_lab_close(&lab);
	btf__free(kernel);
	return failed != 0;
}
