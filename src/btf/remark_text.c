#include <string.h>

#include "btf/remark.h"

static const char *string_of(const struct fort_btf *btf, uint32_t offset, bool anonymous)
{
	const char *string = btf ? fort_btf_string(btf, offset) : NULL;

	if (anonymous && !offset)
		return "(anon)";
	return string ? string : "(invalid-name-offset)";
}

void fort_btf_remark_print(const struct fort_btf_remark *remark, struct fort_text *out)
{
	static const char *const texts[FORT_REMARKS] = {
		[FORT_REMARK_NONE] = "",
#define FORT_REMARK(id_, errno_, text_) [FORT_REMARK_##id_] = (text_),
#include "btf/remark.def"
	};
	const char *at = texts[remark->id < FORT_REMARKS ? remark->id : FORT_REMARK_NONE];

	for (unsigned i = 0; *at;) {
		size_t length = strcspn(at, "%");
		uint32_t arg = remark->args[i < FORT_REMARK_ARGS ? i : 0];

		fort_text_put(out, at, length);
		at += length;
		if (!*at)
			return;
		i += at[1] != 'w';
		switch (at[1]) {
		case 'w': fort_text_add(out, "%s", remark->word ? remark->word : ""); break;
		case 'n': fort_text_add(out, "%s", string_of(remark->btf, arg, true)); break;
		case 's': fort_text_add(out, "%s", string_of(remark->btf, arg, false)); break;
		case 'o': fort_text_add(out, "%s", string_of(remark->other, arg, true)); break;
		case 'S': fort_text_add(out, "%s", string_of(remark->other, arg, false)); break;
		case 'k': fort_text_add(out, "%s", fort_btf_kind_name((uint8_t)arg)); break;
		case 'u': fort_text_add(out, "%u", arg); break;
		default: fort_text_add(out, "%d", (int32_t)arg); break;
		}
		at += 2;
	}
}
