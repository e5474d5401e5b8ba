/* Prototypes of helpers: args.def, returns.def and helpers.def beside the running kernel.
 *
 * For every row, and every argument of it: the arguments before are good, those after are not
 * there, and the argument itself is nothing, a number, the context, read-only memory, ... What the
 * kernel says first must be what the row predicts. Then with good arguments: what r0 is, whether a
 * reference is held, whether packet pointers live on.
 */
#include <stdio.h>
#include <string.h>

#include "abi/uapi.h"
#include "proto_lab.h"

static struct kernel_hooks hooks;
static struct proto_lab lab;
static unsigned count, failed, asked;

/* One question: a row and the kind of program that asks. */
struct question {
	const struct kernel_hook *hook;
	const struct fort_helper_info *helper;
	unsigned arg; /* in question, from 0 */
	bool good;
	bool made; /* some program had all arguments good */
};

static const char *name_of(const struct question *q)
{
	return fort_helper_kernel_name(q->helper->number);
}

/* --- programs --- */

struct text {
	char array[2048];
	struct fort_text text;
};

/* A call after which r1 to r5 are not there. */
#define NO_ARGUMENTS "call 7\n"

static struct fort_text *start(struct text *text)
{
	text->text = fort_text_on(text->array, sizeof(text->array));
	fort_text_add(&text->text, "mov r6, r1\n" NO_ARGUMENTS);
	return &text->text;
}

static bool has_callback(const struct fort_helper_info *helper, unsigned args)
{
	for (unsigned i = 0; i < args; i++)
		if (fort_args[helper->args[i]].base == FORT_BASE_FUNC)
			return true;
	return false;
}

/* Arguments 0 to n-1, good. */
static bool add_arguments(const struct question *q, unsigned n, struct fort_text *out)
{
	char array[256];
	struct fort_text at = fort_text_on(array, sizeof(array));

	for (unsigned i = 0; i < n; i++)
		if (!proto_argument(&lab, q->hook, q->helper, i, out, &at))
			return false;
	if (q->helper->number == BPF_FUNC_spin_unlock && n)
		fort_text_add(out, "mov r1, r8\ncall %u\n", BPF_FUNC_spin_lock);
	fort_text_add(out, "%s", array);
	return true;
}

static void ask(const struct question *q, struct text *text, unsigned args, bool as_net_admin,
		struct kernel_answer *answer)
{
	struct kernel_program program = {.text = text->array,
					 .fds = lab.fds,
					 .as_net_admin = as_net_admin,
					 .has_callback = has_callback(q->helper, args)};

	if (program.has_callback)
		fort_text_add(&text->text, "callback: mov r0, 0\nexit\n");
	kernel_hook_load(q->hook, &program, answer);
	asked++;
}

/* --- arguments --- */

enum value { NOTHING, NUMBER, ZERO, CONTEXT, CONSTANT_MEM, PACKET_MEM, FRESH_STACK, VALUES };

static const char *const value_names[VALUES] = {
	"nothing",
	"a number",
	"0",
	"the context",
	"memory that may not be written",
	"packet memory",
	"stack that was never written",
};

static bool is_memory(enum fort_arg_base base)
{
	return base == FORT_BASE_KEY || base == FORT_BASE_VALUE || base == FORT_BASE_MEM;
}

/* How many bytes the memory argument has with the labs' maps, and 8 as its size. */
static unsigned memory_bytes(const struct question *q, const struct fort_arg_info *info)
{
	enum proto_map map = proto_map_of(q->helper);

	if (info->base == FORT_BASE_MEM)
		return info->bytes ? info->bytes : 8;
	return map == PROTO_HASH || map == PROTO_QUEUE || map == PROTO_CG_STORAGE ? 8 : 4;
}

/* Must the kernel take a value of this sort for the argument? If not, how its complaint begins. */
static bool takes(const struct question *q, enum value value, struct fort_text *complaint)
{
	enum fort_arg kind = q->helper->args[q->arg];
	const struct fort_arg_info *info = &fort_args[kind];
	unsigned reg = q->arg + 1;

	if (info->base == FORT_BASE_NONE || info->base == FORT_BASE_ANY_OPT)
		return true;
	if (value == NOTHING) {
		fort_text_add(complaint, "R%u !read_ok", reg);
		return false;
	}
	if (info->base == FORT_BASE_ANY || (value == CONTEXT && info->base == FORT_BASE_CTX))
		return true;
	if (value == ZERO && info->flags & FORT_ARG_NULL_OK)
		return true;
	if (info->fits == FORT_FITS_NUM && value != CONTEXT) {
		if (value == NUMBER || info->flags & FORT_ARG_ZERO_OK)
			return true;
		fort_text_add(complaint, "R%u invalid zero-sized read: u64=[0,0]", reg);
		return false;
	}
	if (value == CONSTANT_MEM) {
		if (!(info->flags & FORT_ARG_WRITE))
			return true;
		fort_text_add(complaint, "write into map forbidden, value_size=64 off=0 size=%u",
			      memory_bytes(q, info));
		return false;
	}
	if (value == PACKET_MEM) {
		enum fort_packet_rights rights = q->hook->hook.prog->packet;

		if (rights == FORT_PACKET_BUF ||
		    (rights != FORT_PACKET_READ && q->helper->flags & FORT_HELPER_PACKET))
			return true;
		fort_text_add(complaint, "helper access to the packet is not allowed");
		return false;
	}
	if (value == FRESH_STACK) {
		if (info->flags & FORT_ARG_UNINIT)
			return true;
		fort_text_add(complaint,
			      info->flags & FORT_ARG_WRITE
				      ? "invalid read from stack R%u off -256+0 size %u"
				      : "invalid read from stack R%u off=-256 size=%u",
			      reg, memory_bytes(q, info));
		return false;
	}
	fort_text_add(complaint, "R%u type=%s expected=", reg, value == CONTEXT ? "ctx" : "scalar");
	fort_fits_text(info->fits, complaint);
	return false;
}

/* What the kernel complains of when this argument is good and those after it are not there: the
 * first of them that is read; nothing when there is none. */
static void next_complaint(const struct question *q, unsigned from, struct fort_text *complaint)
{
	for (unsigned i = from; i < FORT_HELPER_ARGS; i++) {
		enum fort_arg_base base = fort_args[q->helper->args[i]].base;

		if (base == FORT_BASE_NONE || base == FORT_BASE_ANY_OPT)
			continue;
		fort_text_add(complaint, "R%u !read_ok", i + 1);
		return;
	}
}

/* Programs of this type may not use the lab's map: said before the call is looked at. */
static bool is_map_complaint(const char *line)
{
	return strstr(line, "progs cannot use bpf_") || strstr(line, "Sleepable programs can only");
}

static bool is_argument_complaint(const char *line)
{
	unsigned reg;

	return sscanf(line, "R%u ", &reg) == 1 && reg >= 1 && reg <= 5;
}

/* r9: packet memory, 64 bytes of it. False for programs that have none. */
static bool add_packet(const struct kernel_hook *hook, struct fort_text *out)
{
	const struct fort_ctx_field *data = kernel_hook_field(hook, FORT_YIELD_PACKET);
	const struct fort_ctx_field *end = kernel_hook_field(hook, FORT_YIELD_PACKET_END);
	const char *load = data && data->bytes == 8 ? "ldxdw" : "ldxw";

	if (!data || !end)
		return false;
	fort_text_add(out,
		      "%s r9, [r6+%u]\n%s r2, [r6+%u]\nmov r3, r9\nadd r3, 64\n"
		      "jle r3, r2, +2\nmov r0, 0\nexit\n" NO_ARGUMENTS,
		      load, data->offset, load, end->offset);
	return true;
}

/* Puts the value into its register, and whatever is needed to have its memory looked at. Returns
 * how many arguments there are then; 0: cannot be asked. */
static unsigned add_value(const struct question *q, enum value value, struct fort_text *out)
{
	unsigned reg = q->arg + 1, next = q->arg + 1;
	const struct fort_arg_info *info = &fort_args[q->helper->args[q->arg]];

	switch (value) {
	case NOTHING: return next;
	case NUMBER: fort_text_add(out, "mov r%u, 1\n", reg); return next;
	case ZERO: fort_text_add(out, "mov r%u, 0\n", reg); return next;
	case CONTEXT: fort_text_add(out, "mov r%u, r6\n", reg); return next;
	case CONSTANT_MEM:
		fort_text_add(out, "lddw r%u, map_idx_value %u, 0\n", reg, PROTO_TEXT);
		break;
	case PACKET_MEM: fort_text_add(out, "mov r%u, r9\n", reg); break;
	default: fort_text_add(out, "mov r%u, r10\nadd r%u, -256\n", reg, reg); break;
	}
	if (info->base == FORT_BASE_MEM && !info->bytes) {
		fort_text_add(out, "mov r%u, 8\n", reg + 1);
		next++;
	}
	return next;
}

static bool can_ask(const struct question *q, enum value value)
{
	enum fort_arg_base base = fort_args[q->helper->args[q->arg]].base;

	if (value <= CONTEXT)
		return true;
	if (!is_memory(base))
		return false;
	if (value == PACKET_MEM)
		return kernel_hook_field(q->hook, FORT_YIELD_PACKET);
	if (value == FRESH_STACK) /* who has CAP_PERFMON may read it */
		return q->helper->right != FORT_RIGHT_PERF && q->hook->net_admin;
	return true;
}

static void ask_value(struct question *q, enum value value)
{
	char array[512] = "";
	struct fort_text expected = fort_text_on(array, sizeof(array));
	struct text text;
	struct fort_text *out = start(&text);
	struct kernel_answer answer;
	unsigned next;
	bool same;

	if (value == PACKET_MEM)
		add_packet(q->hook, out);
	if (!add_arguments(q, q->arg, out))
		return;
	next = add_value(q, value, out);
	fort_text_add(out, "call %u\nmov r0, 0\nexit\n", q->helper->number);
	if (takes(q, value, &expected))
		next_complaint(q, next, &expected);
	ask(q, &text, q->arg, value == FRESH_STACK, &answer);
	if (value == FRESH_STACK && strstr(answer.line, "cannot use helper"))
		return; /* that of an argument before it asks for CAP_PERFMON */
	if (is_map_complaint(answer.line))
		return;
	same = array[0] ? !strncmp(answer.line, array, strlen(array))
			: !is_argument_complaint(answer.line);
	if (same)
		return;
	printf("# %s in %s, argument %u: %s: the kernel says \"%s\", we \"%s\"\n", name_of(q),
	       kernel_hook_text(q->hook), q->arg + 1, value_names[value], answer.line, array);
	q->good = false;
}

static void ask_arguments(struct question *q)
{
	for (q->arg = 0; q->arg < FORT_HELPER_ARGS; q->arg++) {
		struct text text;

		if (!add_arguments(q, q->arg, start(&text)))
			return;
		for (enum value value = NOTHING; value < VALUES; value++)
			if (can_ask(q, value))
				ask_value(q, value);
	}
}

/* --- what the call leaves --- */

/* The kernel's word for r0, without what is known about it. */
static void returned(const struct fort_ret_info *info, struct fort_text *out)
{
	const char *word = fort_regtype_text(info->regtype);
	bool btf = word[strlen(word) - 1] == '_';

	fort_text_add(out, "%s", word);
	if (info->null_ok)
		fort_text_add(out, btf ? "or_null_" : "_or_null");
	if (info->btf)
		fort_text_add(out, "%s", info->btf);
}

static void differs(struct question *q, const char *what, const char *ours, const char *theirs)
{
	printf("# %s in %s: %s: the kernel says \"%s\", we \"%s\"\n", name_of(q),
	       kernel_hook_text(q->hook), what, theirs, ours);
	q->good = false;
}

/* "R0=scalar(...)" behind the call in the log, in *out; false when it is not there. */
static bool find_r0(const char *log, uint32_t number, char *out, size_t room)
{
	char call[64];
	const char *at = log, *found = NULL, *end;

	snprintf(call, sizeof(call), "(85) call %s#%u", fort_helper_kernel_name(number), number);
	while ((at = strstr(at, call)) != NULL)
		found = at++;
	end = found ? strchr(found, '\n') : NULL;
	at = end ? strstr(found, "R0=") : NULL;
	if (!at || at > end)
		return false;
	snprintf(out, room, "%.*s", (int)(end - at - 3), at + 3);
	return true;
}

static void ask_result(struct question *q)
{
	const struct fort_ret_info *info = &fort_rets[q->helper->returns];
	char ours[64], theirs[256] = "nothing";
	struct fort_text expected = fort_text_on(ours, sizeof(ours));
	struct text text;
	struct fort_text *out = start(&text);
	struct kernel_answer answer;
	size_t length;

	if (!add_arguments(q, FORT_HELPER_ARGS, out))
		return;
	q->made = true;
	/* The log stays only if the program is refused: r5 is not readable. */
	fort_text_add(out, "call %u\nmov r0, r5\nexit\n", q->helper->number);
	ask(q, &text, FORT_HELPER_ARGS, false, &answer);
	if (is_map_complaint(answer.line))
		return;
	if (q->helper->flags & FORT_HELPER_PROBES && !fort_hook_is_probe(&q->hook->hook)) {
		if (!strstr(answer.line, "bpf_get_func_ip#173 "))
			differs(q, "outside of probes", "not supported", answer.line);
		return;
	}
	if (strcmp(answer.line, "R5 !read_ok")) {
		differs(q, "with good arguments", "", answer.line);
		return;
	}
	find_r0(answer.log, q->helper->number, theirs, sizeof(theirs));
	if (info->regtype == FORT_REGTYPE_NONE)
		fort_text_add(&expected, "nothing");
	else
		returned(info, &expected);
	length = strlen(ours);
	if (strncmp(theirs, ours, length) ||
	    (theirs[length] && theirs[length] != '(' && ours[length - 1] != '_'))
		differs(q, "result", ours, theirs);
	if (!(q->helper->flags & FORT_HELPER_ACQUIRES) != !strstr(theirs, "ref_obj_id="))
		differs(q, "holds a reference",
			q->helper->flags & FORT_HELPER_ACQUIRES ? "yes" : "no", theirs);
	if (q->helper->returns == FORT_RET_LENGTH && !strstr(theirs, "smin=smin32=-4095"))
		differs(q, "length", "smin=smin32=-4095", theirs);
	if (q->helper->returns == FORT_RET_CPU && !strstr(theirs, "smin=smin32=0"))
		differs(q, "processor", "smin=smin32=0", theirs);
}

/* Do pointers into the packet, and a lock, bear the call? */
static void ask_packet(struct question *q)
{
	struct text text;
	struct fort_text *out = start(&text);
	struct kernel_answer answer;
	bool moves = q->helper->flags & FORT_HELPER_MOVES, dead;

	if (!add_packet(q->hook, out) || !add_arguments(q, FORT_HELPER_ARGS, out))
		return;
	fort_text_add(out, "call %u\nldxb r0, [r9+0]\nmov r0, r5\nexit\n", q->helper->number);
	ask(q, &text, FORT_HELPER_ARGS, false, &answer);
	dead = !strcmp(answer.line, "R9 invalid mem access 'scalar'");
	if (dead != moves)
		differs(q, "moves the packet", moves ? "yes" : "no", answer.line);
}

static void ask_lock(struct question *q)
{
	static const char lock_first[] =
		"stw [r10-4], 0\nlddw r1, map_idx %u\nmov r2, r10\nadd r2, -4\ncall %u\n"
		"jne r0, 0, +2\nmov r0, 0\nexit\nmov r8, r0\nmov r1, r8\ncall %u\nmov r1, r8\n"
		"call %u\nmov r0, 0\nexit\n";
	struct text text;
	struct fort_text *out = start(&text);
	struct kernel_answer answer;
	bool may = q->helper->flags & FORT_HELPER_UNDER_LOCK, refused;

	fort_text_add(out, lock_first, PROTO_FIELDS, BPF_FUNC_map_lookup_elem, BPF_FUNC_spin_lock,
		      q->helper->number);
	ask(q, &text, 0, false, &answer);
	if (is_map_complaint(answer.line))
		return;
	refused = !strcmp(answer.line, "function calls are not allowed while holding a lock");
	if (refused == may)
		differs(q, "while a lock is held", may ? "allowed" : "refused", answer.line);
}

/* --- rows --- */

/* The kinds of programs that are asked about a row: one of each type that has it. Of tracing
 * programs, those that get at the objects it takes. */
static bool is_better(const struct fort_helper_info *helper, const struct kernel_hook *hook)
{
	const char *wanted = NULL;

	for (unsigned i = 0; i < FORT_HELPER_ARGS; i++)
		switch ((enum fort_arg)helper->args[i]) {
		case FORT_ARG_BTF_FILE:
		case FORT_ARG_BTF_PATH: wanted = "bpf_iter_task_file"; break;
		case FORT_ARG_BTF_SK_BUFF: wanted = "kfree_skb"; break;
		default: break;
		}
	return wanted && hook->hook.target && !strcmp(hook->hook.target, wanted);
}

static const struct kernel_hook *hook_for(const struct fort_helper_info *helper,
					  const struct fort_prog_info *prog)
{
	const struct kernel_hook *found = NULL;

	for (unsigned i = 0; i < hooks.n; i++) {
		const struct kernel_hook *hook = &hooks.all[i];

		if (hook->hook.prog != prog || hook->err ||
		    fort_helper_for(helper->number, &hook->hook) != helper ||
		    !fort_helper_is_listed(helper, &hook->hook))
			continue;
		if (!found || is_better(helper, hook))
			found = hook;
	}
	return found;
}

/* Some helpers are not in every kernel of this version (test_kernel_helpers.c tells which). */
static bool has_it(const struct question *q)
{
	struct text text;
	struct kernel_answer answer;

	fort_text_add(start(&text), "call %u\nexit\n", q->helper->number);
	ask(q, &text, 0, false, &answer);
	return !strstr(answer.line, "cannot use helper");
}

static bool ask_hook(struct question *q)
{
	struct kernel_hook sleeping = *q->hook;

	if (q->helper->flags & FORT_HELPER_SLEEPS && !q->hook->sleepable) {
		if (q->hook->hook.prog->sleepable == FORT_SLEEP_NEVER ||
		    q->hook->hook.attach == FORT_ATTACH_TRACE_RAW_TP)
			return false;
		sleeping.sleepable = true;
		q->hook = &sleeping;
	}
	if (!has_it(q))
		return false;
	ask_arguments(q);
	ask_result(q);
	ask_packet(q);
	ask_lock(q);
	return true;
}

static void one_row(const struct fort_helper_info *helper)
{
	struct question q = {.helper = helper, .good = true};
	unsigned types = 0;

	for (unsigned i = 0; i < FORT_PROGS; i++) {
		q.hook = hook_for(helper, &fort_progs[i]);
		types += q.hook && ask_hook(&q);
	}
	if (!types) {
		printf("# skipped: no kind of program that the kernel loads has this %s\n",
		       name_of(&q));
		return;
	}
	printf("%s %u - %s, as %u program types have it\n", q.good ? "ok" : "not ok", ++count,
	       name_of(&q), types);
	if (!q.made)
		printf("# %s: not every argument can be made\n", name_of(&q));
	failed += !q.good;
}

int main(void)
{
	int err = proto_lab_open(&lab);

	if (err) {
		printf("1..0 # SKIP the kernel makes no maps: %s\n", strerror(-err));
		return 0;
	}
	kernel_hooks_open(&hooks);
	for (unsigned i = 0; i < FORT_HELPERS; i++)
		one_row(&fort_helpers[i]);
	printf("# %u programs loaded\n1..%u\n", asked, count);
	proto_lab_close(&lab);
	return failed != 0;
}
