/* What must hold before returns are probed.
 *
 * A return probe replaces a return address on the stack. Whoever reads it there other than by
 * returning must not meet ours: unwinders are guarded (unwinders.def); functions that return twice,
 * runtimes that check or move stacks, and shadow stacks are refused.
 */
#include <errno.h>
#include <gelf.h>
#include <string.h>
#include <sys/mman.h>

#include "attach/target.h"

static const struct {
	const char *name;
	bool covers;
} unwinders[] = {
#define FORT_UNWINDER(name, covers) {name, covers},
#include "attach/unwinders.def"
#undef FORT_UNWINDER
};

/* Their return address is used again when they have long returned. */
static const char *const returning_twice[] = {
	"setjmp",     "_setjmp",     "__setjmp", "sigsetjmp", "__sigsetjmp", "__sigsetjmp_cancel",
	"getcontext", "swapcontext", "vfork",    "__vfork",   "savectx",
};

/* Files of runtimes that copy parts of a stack away and back. */
static const char *const copying[] = {"greenlet", "python", "pypy"};

static bool is_returning_twice(const struct fort_symbol *symbol, void *arg)
{
	bool *found = arg;

	for (size_t i = 0; i < FORT_LEN(returning_twice); i++)
		*found |= !strcmp(symbol->name, returning_twice[i]);
	return !*found;
}

/* Go moves stacks and checks the return addresses on them. */
static bool is_go(const struct fort_module *module)
{
	Elf_Scn *section = NULL;
	size_t names;
	GElf_Shdr header;

	if (elf_getshdrstrndx(module->elf, &names))
		return false;
	while ((section = elf_nextscn(module->elf, section))) {
		const char *name = gelf_getshdr(section, &header)
					   ? elf_strptr(module->elf, names, header.sh_name)
					   : NULL;

		if (name && (!strcmp(name, ".go.buildinfo") || !strcmp(name, ".gopclntab")))
			return true;
	}
	return false;
}

/* Guards the unwinder functions of one module; *covered when one of them covers all. */
static int guard_module(struct fort_target *target, const char *path, bool *covered,
			struct fort_text *why)
{
	char reason[256];
	struct fort_text ignored = fort_text_on(reason, sizeof(reason));
	struct fort_module *module;
	int err = fort_target_module(target, path, &module, &ignored);

	if (err)
		return err == -ENOMEM ? err : 0; /* an unreadable file: others may cover it */
	for (size_t i = 0; i < FORT_LEN(unwinders); i++) {
		struct fort_guard guard = {0};
		struct fort_function function;
		struct fort_answer answer;

		if (fort_module_by_name(module, unwinders[i].name, &function, &ignored))
			continue;
		err = fort_target_site(target, module, &function, FORT_SITE_UNWINDER, &guard.site,
				       &ignored);
		if (!err)
			err = fort_target_ask(target, FORT_GUARD, &guard, NULL, 0, &answer,
					      &ignored);
		if (!err)
			*covered |= unwinders[i].covers;
		else if (fort_target_poll(target) != FORT_TARGET_OPEN)
			return err;
	}
	return 0;
}

static bool copies_stacks(const struct fort_regions *regions)
{
	for (size_t i = 0; i < regions->n; i++)
		for (size_t n = 0; n < FORT_LEN(copying); n++)
			if (strstr(regions->region[i].path, copying[n]))
				return true;
	return false;
}

/* Guards every file of the process that holds code. */
static int guard_all(struct fort_target *target, const struct fort_regions *regions,
		     struct fort_text *why)
{
	bool covered = false;
	int err = 0;

	for (size_t i = 0; i < regions->n && !err; i++)
		if (regions->region[i].rights & PROT_EXEC && regions->region[i].inode)
			err = guard_module(target, regions->region[i].path, &covered, why);
	if (err || covered)
		return err;
	fort_text_add(why,
		      "returns cannot be probed in process %d (%s): no unwinder of it is known "
		      "by name (a stripped static program?), so exceptions could meet the probe",
		      (int)target->process.pid, target->process.name);
	return -EOPNOTSUPP;
}

static int refuse(const struct fort_function *function, const char *what, struct fort_text *why)
{
	fort_text_add(why, "the return of %s cannot be probed: %s",
		      *function->name ? function->name : "this function", what);
	return -EOPNOTSUPP;
}

int fort_target_guard(struct fort_target *target, const struct fort_module *module,
		      const struct fort_function *function, bool *keep_pending,
		      struct fort_text *why)
{
	struct fort_module *program;
	struct fort_regions regions;
	bool twice = false;
	int err;

	fort_module_aliases(module, function->start, is_returning_twice, &twice);
	if (twice)
		return refuse(function, "it may return more than once", why);
	if (target->shadow_stack)
		return refuse(function, "the processor checks returns against a shadow stack", why);
	err = fort_target_module(target, NULL, &program, why);
	if (err)
		return err;
	if (is_go(program))
		return refuse(function,
			      "the program is written in Go, whose runtime moves stacks and "
			      "checks return addresses",
			      why);
	err = fort_regions_read(&target->process, &regions);
	if (err)
		return err;
	*keep_pending = copies_stacks(&regions);
	if (!target->guarded)
		err = guard_all(target, &regions, why);
	target->guarded |= !err;
	fort_regions_free(&regions);
	return err;
}
