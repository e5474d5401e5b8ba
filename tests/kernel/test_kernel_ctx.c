/* Contexts, and objects behind pointers: every access to every byte - sizes, directions,
 * alignments, sign-extending loads - by every kind of program that the kernel loads: ctx.def and
 * ctx/ beside its verdicts. Then what loads give, and what packet pointers are good for.
 */
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "abi/ctx.h"
#include "abi/helpers.h"
#include "abi/uapi.h"
#include "kernel_hooks.h"

static struct kernel_hooks hooks;
static unsigned count, failed, asked;
static int key_map;

static void report(bool good, const char *what, const char *of)
{
	printf("%s %u - %s%s\n", good ? "ok" : "not ok", ++count, what, of);
	failed += !good;
}

static const char *const loads[9] = {[1] = "ldxb", [2] = "ldxh", [4] = "ldxw", [8] = "ldxdw"};
static const char *const sign_loads[9] = {[1] = "ldxsb", [2] = "ldxsh", [4] = "ldxsw"};
static const char *const stores[9] = {[1] = "stxb", [2] = "stxh", [4] = "stxw", [8] = "stxdw"};

enum way { LOAD, SIGN_LOAD, STORE, WAYS };
static const char *const way_names[] = {"load", "sign-extending load", "store"};

/* --- accesses --- */

/* A program that comes to a pointer in r1 by `before`, and accesses it. */
static bool accepted(const struct kernel_hook *hook, const char *before, enum way way, int offset,
		     unsigned bytes, struct kernel_answer *answer)
{
	char text[512];

	if (way == STORE)
		snprintf(text, sizeof(text), "%smov r2, 0\n%s [r1%+d], r2\nmov r0, %u\nexit\n",
			 before, stores[bytes], offset, hook->result);
	else
		snprintf(text, sizeof(text), "%s%s r0, [r1%+d]\nmov r0, %u\nexit\n", before,
			 (way == LOAD ? loads : sign_loads)[bytes], offset, hook->result);
	kernel_hook_load(hook, &(struct kernel_program){.text = text, .fds = &key_map}, answer);
	asked++;
	return !answer->err;
}

/* Where we refuse what the kernel accepts. */
static bool is_stricter(const struct kernel_hook *hook, enum way way, int offset)
{
	if (way == STORE)
		return false;
	switch (hook->hook.prog - fort_progs) {
	/* Bytes 1 to 7 of the pointer to a writable tracepoint's buffer: the kernel looks at the
	 * first byte of an access only; to us the others are the pointer's too. */
	case FORT_PROG_RAW_TRACEPOINT_WRITABLE: return offset > 0 && offset < 8;
	/* Before a tracepoint's record: the kernel compares the offset with an unsigned size. */
	case FORT_PROG_TRACEPOINT: return offset < 0;
	default: return false;
	}
}

static bool same(const struct kernel_hook *hook, const char *before, enum fort_regtype through,
		 enum way way, int offset, unsigned bytes)
{
	struct kernel_answer answer;
	bool ours = through == FORT_REGTYPE_CTX
			    ? fort_ctx_access(&hook->hook, offset, bytes, way == STORE,
					      way == SIGN_LOAD) != NULL
			    : fort_behind_access(through, offset, bytes, way == STORE);
	bool theirs = accepted(hook, before, way, offset, bytes, &answer);

	if (ours == theirs || (theirs && is_stricter(hook, way, offset)))
		return true;
	printf("# %s: %s of %u bytes at %d: %s\n", kernel_hook_text(hook), way_names[way], bytes,
	       offset, ours ? answer.line : "the kernel's alone");
	return false;
}

/* All accesses from before the object to behind its end; or only those that are aligned. */
static bool all_accesses(const struct kernel_hook *hook, const char *before,
			 enum fort_regtype through, int end, bool aligned)
{
	bool good = true;

	for (enum way way = LOAD; way < WAYS; way++)
		for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
			for (int offset = -8; offset < end; offset += aligned ? (int)bytes : 1)
				if (way != SIGN_LOAD || bytes != 8)
					good &= same(hook, before, through, way, offset, bytes);
	return good;
}

/* Large contexts are asked at their ends, where their rules change. What is asked for each attach
 * type of a program type that may be loaded with any is not every misaligned access. */
static void context(const struct kernel_hook *hook, bool first)
{
	const struct fort_ctx *ctx = hook->hook.prog->ctx;
	int end = (int)(ctx->bytes ? ctx->bytes : 96);
	bool good = true;

	if (ctx->fields[0].yields == FORT_YIELD_TYPED) {
		printf("# skipped: the context of %s is typed by BTF\n", kernel_hook_text(hook));
		return;
	}
	good &= all_accesses(hook, "", FORT_REGTYPE_CTX, end + 16,
			     !first && hook->hook.prog->attach == FORT_ATTACH_IS_FREE);
	for (int edge = 8192; ctx->image_bytes >= 8192 && edge > 8192 - 24; edge--)
		for (unsigned bytes = 1; bytes <= 8; bytes *= 2)
			good &= same(hook, "", FORT_REGTYPE_CTX, LOAD, edge, bytes);
	report(good, "context of ", kernel_hook_text(hook));
}

/* --- what loads give --- */

static void expected_word(const struct fort_ret_info *info, struct fort_text *out)
{
	const char *word = fort_regtype_text(info->regtype);

	fort_text_add(out, "%s%s%s", word, info->null_ok ? "_or_null" : "",
		      info->btf ? info->btf : "");
}

static bool yields(const struct kernel_hook *hook, const struct fort_ctx_field *field)
{
	unsigned bytes = field->bytes <= 8 ? field->bytes : 4;
	char text[128], ours[64], found[64] = "";
	struct fort_text expected = fort_text_on(ours, sizeof(ours));
	struct kernel_answer answer;
	const char *at;

	if (fort_ctx_access(&hook->hook, field->offset, bytes, false, false) != field)
		return true;
	/* The log stays only if the program is refused: r5 is not readable. */
	snprintf(text, sizeof(text), "%s r3, [r1+%u]\nmov r0, r5\nexit\n", loads[bytes],
		 field->offset);
	kernel_hook_load(hook, &(struct kernel_program){.text = text}, &answer);
	asked++;
	at = strstr(answer.log, "R3=");
	if (at)
		snprintf(found, sizeof(found), "%.*s", (int)strcspn(at + 3, "("), at + 3);
	expected_word(&fort_yields[field->yields], &expected);
	if (!strcmp(found, ours))
		return true;
	printf("# %s: %s is \"%s\", not \"%s\"\n", kernel_hook_text(hook),
	       fort_ctx_field_name(hook->hook.prog, field), found, ours);
	return false;
}

static void results(const struct kernel_hook *hook)
{
	const struct fort_ctx *ctx = hook->hook.prog->ctx;
	bool good = true;

	if (ctx->fields[0].yields == FORT_YIELD_TYPED)
		return;
	for (uint32_t i = 0; i < ctx->n_fields; i++)
		good &= yields(hook, &ctx->fields[i]);
	report(good, "what loads give to ", kernel_hook_text(hook));
}

/* --- packets --- */

static bool packet_allows(const struct kernel_hook *hook, const struct fort_ctx_field *data,
			  const struct fort_ctx_field *end, const char *use)
{
	char text[512];
	struct kernel_answer answer;

	snprintf(text, sizeof(text),
		 "mov r6, r1\n%s r7, [r6+%u]\n%s r2, [r6+%u]\nmov r3, r7\nadd r3, 8\n"
		 "jle r3, r2, +2\nmov r0, %u\nexit\n%smov r0, %u\nexit\n",
		 loads[data->bytes], data->offset, loads[end->bytes], end->offset, hook->result,
		 use, hook->result);
	kernel_hook_load(hook, &(struct kernel_program){.text = text, .fds = &key_map}, &answer);
	asked++;
	return !answer.err;
}

static void packets(const struct kernel_hook *hook)
{
	const struct fort_ctx_field *data = kernel_hook_field(hook, FORT_YIELD_PACKET);
	const struct fort_ctx_field *end = kernel_hook_field(hook, FORT_YIELD_PACKET_END);
	enum fort_packet_rights rights = hook->hook.prog->packet;
	bool good;

	if (!data || !end) {
		report(rights == FORT_PACKET_NONE, "no packet for ", kernel_hook_text(hook));
		return;
	}
	good = packet_allows(hook, data, end, "ldxb r0, [r7+0]\n") == (rights >= FORT_PACKET_READ);
	good &= packet_allows(hook, data, end, "stb [r7+0], 0\n") == (rights >= FORT_PACKET_RW);
	/* A helper that takes packet memory, and one that does not. */
	good &= packet_allows(hook, data, end, "lddw r1, map_idx 0\nmov r2, r7\ncall 1\n") ==
		(rights >= FORT_PACKET_RO);
	good &= packet_allows(hook, data, end, "mov r1, r7\nmov r2, 8\ncall 16\n") ==
		(rights == FORT_PACKET_BUF);
	report(good, "packet of ", kernel_hook_text(hook));
}

static void legacy_loads(const struct kernel_hook *hook)
{
	struct kernel_answer answer;

	kernel_hook_load(
		hook, &(struct kernel_program){.text = "mov r6, r1\nldabsb 0\nmov r0, 1\nexit\n"},
		&answer);
	report(!answer.err == hook->hook.prog->ld_abs, "legacy loads of ", kernel_hook_text(hook));
}

/* --- behind pointers --- */

static const struct kernel_hook *hook_of(enum fort_prog_id prog)
{
	for (unsigned i = 0; i < hooks.n; i++)
		if (hooks.all[i].hook.prog == &fort_progs[prog] && !hooks.all[i].err)
			return &hooks.all[i];
	return NULL;
}

#define NOT_NULL "jne r0, 0, +2\nmov r0, 0\nexit\nmov r1, r0\n"

static void behind(enum fort_regtype through, enum fort_prog_id prog, const char *before, int end)
{
	const struct kernel_hook *hook = hook_of(prog);

	if (hook)
		report(all_accesses(hook, before, through, end, false), "behind ",
		       fort_regtype_text(through));
	else
		printf("# skipped: no program gets at a %s\n", fort_regtype_text(through));
}

static void behind_pointers(void)
{
	behind(FORT_REGTYPE_SOCK_COMMON, FORT_PROG_SCHED_CLS, "ldxdw r0, [r1+168]\n" NOT_NULL, 96);
	behind(FORT_REGTYPE_SOCKET, FORT_PROG_SCHED_CLS,
	       "ldxdw r0, [r1+168]\n" NOT_NULL "call 95\n" NOT_NULL, 96);
	behind(FORT_REGTYPE_TCP_SOCK, FORT_PROG_SCHED_CLS,
	       "ldxdw r0, [r1+168]\n" NOT_NULL "call 96\n" NOT_NULL, 128);
	behind(FORT_REGTYPE_XDP_SOCK, FORT_PROG_XDP,
	       "stw [r10-4], 0\nlddw r1, map_idx 0\nmov r2, r10\nadd r2, -4\ncall 1\n" NOT_NULL,
	       16);
	behind(FORT_REGTYPE_FLOW_KEYS, FORT_PROG_FLOW_DISSECTOR, "ldxdw r1, [r1+144]\n", 72);
	behind(FORT_REGTYPE_TP_BUFFER, FORT_PROG_RAW_TRACEPOINT_WRITABLE, "ldxdw r1, [r1+0]\n",
	       128);
}

int main(void)
{
	kernel_hooks_open(&hooks);
	if (hooks.all[0].err) {
		printf("1..0 # SKIP the kernel loads no programs: %s\n",
		       strerror(hooks.all[0].err));
		return 0;
	}
	key_map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "lab", 4, 4, 1, NULL);
	for (unsigned i = 0; i < hooks.n; i++) {
		if (hooks.all[i].err)
			continue;
		context(&hooks.all[i], !i || hooks.all[i].hook.prog != hooks.all[i - 1].hook.prog);
		results(&hooks.all[i]);
		packets(&hooks.all[i]);
		legacy_loads(&hooks.all[i]);
	}
	behind_pointers();
	kernel_hooks_report(&hooks);
	printf("# %u programs loaded\n1..%u\n", asked, count);
	return failed != 0;
}
