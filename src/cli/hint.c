#include "cli/hint.h"

#include <string.h>

#include "abi/kfuncs.h"
#include "abi/progs.h"
#include "base/limits.h"
#include "cli/near.h"

/* Behind `mark` in the text, or NULL. */
static const char *behind(const char *text, const char *mark)
{
	const char *at = text ? strstr(text, mark) : NULL;

	return at ? at + strlen(mark) : NULL;
}

/* --- sections --- */

static const char *const sections[] = {
#define FORT_SECTION(name, ...) (name),
#include "cli/sections.def"
};

/* Those that libbpf knows and that are no type's name (its section_defs). */
static const char *const others[] = {
	"socket",       "sk_reuseport",  "kretprobe",   "uprobe",     "uretprobe",
	"kprobe.multi", "ksyscall",      "kretsyscall", "usdt",       "tc",
	"classifier",   "action",        "tp",          "raw_tp",     "raw_tp.w",
	"tp_btf",       "fentry",        "fmod_ret",    "fexit",      "fentry.s",
	"fmod_ret.s",   "fexit.s",       "freplace",    "lsm",        "lsm.s",
	"lsm_cgroup",   "iter",          "iter.s",      "syscall",    "xdp",
	"perf_event",   "sockops",       "sk_lookup",   "struct_ops", "cgroup/sock_create",
	"cgroup/dev",   "cgroup/sysctl",
};

static bool hint_section(const struct fort_hint_from *from, struct fort_text *out)
{
	const char *name = behind(from->words, "check ELF section name '");
	struct fort_near near;
	size_t whole, first;

	if (!name)
		return false;
	whole = strcspn(name, "'\n");
	first = strncmp(name, "cgroup/", 7) ? strcspn(name, "/'\n") : whole;
	fort_near_start(&near, name, first);
	for (size_t i = 0; i < FORT_LEN(sections); i++)
		fort_near_offer(&near, sections[i]);
	for (size_t i = 0; i < FORT_LEN(others); i++)
		fort_near_offer(&near, others[i]);
	for (size_t i = 0; i < FORT_PROGS; i++)
		fort_near_offer(&near, fort_progs[i].name);
	if (near.n)
		fort_text_add(out, "no section begins with `%.*s`", (int)first, name);
	fort_near_tell(&near, out);
	return true;
}

/* --- functions of the kernel --- */

static bool hint_kfunc(const struct fort_hint_from *from, struct fort_text *out)
{
	const char *name = behind(from->words, "extern (func ksym) '");
	struct fort_near near;
	size_t bytes;

	if (!name || !strstr(name, "not found"))
		return false;
	bytes = strcspn(name, "'\n");
	fort_near_start(&near, name, bytes);
	for (unsigned i = 0; i < FORT_KFUNCS; i++)
		fort_near_offer(&near, fort_kfuncs[i].name);
	if (near.n)
		fort_text_add(out, "the kernel has no function `%.*s`", (int)bytes, name);
	fort_near_tell(&near, out);
	return true;
}

/* --- types --- */

static struct fort_btf_type bare(const struct fort_btf *btf, uint32_t id)
{
	struct fort_btf_type type = fort_btf_type(btf, id);

	for (uint32_t i = 0; i < FORT_BTF_DEPTH_MAX; i++) {
		if (type.kind == FORT_BTF_ARRAY)
			type = fort_btf_type(btf, fort_btf_array(&type).element);
		else if (fort_btf_is_modifier(type.kind))
			type = fort_btf_type(btf, type.ref);
		else
			break;
	}
	return type;
}

/* Structs without a name whose members are those of the one around them: so many are looked into.
 */
#define NAMELESS_MAX 64u

/* Offers the members' names. Returns the type of the one that is wanted; 0: there is none. */
static uint32_t offer_members(const struct fort_btf *btf, uint32_t id, struct fort_near *near)
{
	uint32_t todo[NAMELESS_MAX] = {id}, n = 1, found = 0;

	for (uint32_t at = 0; at < n; at++) {
		struct fort_btf_type type = fort_btf_type(btf, todo[at]);

		for (uint32_t i = 0; fort_btf_is_struct(type.kind) && i < type.vlen; i++) {
			struct fort_btf_member member = fort_btf_member(&type, i);
			struct fort_btf_type inner = bare(btf, member.type);
			const char *name = fort_btf_string(btf, member.name);

			if (name && *name) {
				fort_near_offer(near, name);
				found = strcmp(name, near->wanted) ? found : inner.id;
			} else if (fort_btf_is_struct(inner.kind) && n < NAMELESS_MAX) {
				todo[n++] = inner.id;
			}
		}
	}
	return found;
}

static void offer_types(const struct fort_btf *btf, uint8_t kind, struct fort_near *near)
{
	for (uint32_t id = 1; id < fort_btf_count(btf); id++) {
		struct fort_btf_type type = fort_btf_type(btf, id);
		const char *name = type.kind == kind ? fort_btf_string(btf, type.name) : NULL;

		if (name && *name)
			fort_near_offer(near, name);
	}
}

static void offer_constants(const struct fort_btf *btf, uint32_t id, struct fort_near *near)
{
	struct fort_btf_type type = fort_btf_type(btf, id);

	for (uint32_t i = 0; i < type.vlen; i++) {
		const char *name = fort_btf_string(btf, fort_btf_constant(&type, i).name);

		if (name && *name)
			fort_near_offer(near, name);
	}
}

/* Names as libbpf writes them end here. */
#define ENDS " .:[(\n"

/* `at`: behind the type's name: ".member[0].other", "::CONSTANT". Tells the first that is missing.
 */
static void hint_part(const struct fort_btf *btf, uint32_t id, const char *name, const char *at,
		      struct fort_text *out)
{
	struct fort_near near;

	for (uint32_t i = 0; i < FORT_BTF_DEPTH_MAX && (*at == '.' || *at == '['); i++) {
		size_t bytes;

		if (*at == '[') {
			at += strcspn(at, ".(\n ");
			continue;
		}
		bytes = strcspn(++at, ENDS);
		fort_near_start(&near, at, bytes);
		id = offer_members(btf, id, &near);
		if (!id) {
			fort_text_add(out, "the kernel's `%s` has no member `%.*s`", name,
				      (int)bytes, at);
			fort_near_tell(&near, out);
			return;
		}
		at += bytes;
	}
	if (strncmp(at, "::", 2) != 0)
		return;
	fort_near_start(&near, at + 2, strcspn(at + 2, ENDS));
	offer_constants(btf, id, &near);
	fort_text_add(out, "the kernel's `%s` has no value `%s`", name, near.wanted);
	fort_near_tell(&near, out);
}

static const struct {
	const char *word;
	uint8_t kind;
} kinds[] = {
	{"struct ", FORT_BTF_STRUCT},
	{"union ", FORT_BTF_UNION},
	{"enum ", FORT_BTF_ENUM},
	{"typedef ", FORT_BTF_TYPEDEF},
};

static void hint_type(const struct fort_btf *btf, uint8_t kind, const char *at,
		      struct fort_text *out)
{
	size_t bytes = strcspn(at, ENDS);
	const char *flavour;
	struct fort_near near;
	uint32_t id;

	fort_near_start(&near, at, bytes);
	flavour = strstr(near.wanted, "___"); /* of one name with several meanings */
	if (flavour)
		near.wanted[flavour - near.wanted] = 0;
	if (!near.wanted[0])
		return;
	id = fort_btf_find(btf, near.wanted, kind);
	if (id) {
		hint_part(btf, bare(btf, id).id, near.wanted, at + bytes, out);
		return;
	}
	offer_types(btf, kind, &near);
	fort_text_add(out, "the kernel has no type `%s`", near.wanted);
	fort_near_tell(&near, out);
}

static bool hint_relocation(const struct fort_hint_from *from, struct fort_text *out)
{
	const char *at = behind(from->log, "failed to resolve CO-RE relocation ");

	at = at && from->types ? behind(at, "] ") : NULL;
	for (size_t i = 0; at && i < FORT_LEN(kinds); i++)
		if (!strncmp(at, kinds[i].word, strlen(kinds[i].word))) {
			hint_type(from->types, kinds[i].kind, at + strlen(kinds[i].word), out);
			return true;
		}
	return false;
}

void fort_hint_add(const struct fort_hint_from *from, struct fort_text *out)
{
	if (!hint_relocation(from, out) && !hint_kfunc(from, out))
		(void)hint_section(from, out);
}
