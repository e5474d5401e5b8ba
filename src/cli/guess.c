#include "cli/guess.h"

#include <bpf/libbpf.h>
#include <string.h>

#include "abi/progs.h"
#include "abi/uapi.h"

struct section {
	const char *name;
	uint32_t type, attach, flags;
};

/* Numbers of the tables, which know more of them than the headers here. */
enum {
#define FORT_PROG(id, number, ...) TYPE_##id = (number),
#include "abi/progs.def"
};

enum {
#define FORT_ATTACH(id, number, ...) ATTACH_##id = (number),
#include "abi/attach.def"
};

static const struct section sections[] = {
#define FORT_SECTION(name, prog, attach, flags) {(name), TYPE_##prog, ATTACH_##attach, (flags)},
#include "cli/sections.def"
};

static bool find_section(const char *name, struct section *out)
{
	enum bpf_attach_type attach;
	enum bpf_prog_type type;

	for (size_t i = 0; i < FORT_LEN(sections); i++) {
		size_t length = strlen(sections[i].name);

		if (strncmp(name, sections[i].name, length) != 0 ||
		    (name[length] && name[length] != '/'))
			continue;
		*out = sections[i];
		return true;
	}
	if (libbpf_prog_type_by_name(name, &type, &attach))
		return false;
	*out = (struct section){name, type, attach, 0};
	return true;
}

static bool find_type(const char *name, struct section *out)
{
	const struct fort_prog_info *prog = fort_prog_by_name(name);

	if (!prog)
		return find_section(name, out);
	*out = (struct section){name, prog->number, 0, 0};
	return true;
}

bool fort_guess_knows(const char *type)
{
	struct section section;

	return find_type(type, &section);
}

void fort_guess_type(struct bpf_program *prog, const char *type)
{
	const char *name = bpf_program__section_name(prog);
	struct section section;

	if (bpf_program__type(prog) != BPF_PROG_TYPE_UNSPEC)
		return;
	/* A '?' only says that it is not loaded unless asked for. */
	if (!find_section(name + (name[0] == '?'), &section) &&
	    !(type && find_type(type, &section)))
		return;
	bpf_program__set_type(prog, (enum bpf_prog_type)section.type);
	bpf_program__set_expected_attach_type(prog, (enum bpf_attach_type)section.attach);
	bpf_program__set_flags(prog, bpf_program__flags(prog) | section.flags);
}
