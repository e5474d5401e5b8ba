#include "notes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "abi/uapi.h"

#define PREFIX "comment:test_"

/* Values that a test cannot know. */
#define POINTER_VALUE "POINTER_VALUE"

/* The rest of `text` behind `start`, or NULL. */
static const char *behind(const char *text, const char *start)
{
	size_t length = strlen(start);

	return strncmp(text, start, length) ? NULL : text + length;
}

static bool read_int(const char *text, int32_t *out)
{
	char *end;
	long value;

	if (!strcmp(text, "INT_MIN")) {
		*out = INT_MIN;
		return true;
	}
	if (!strcmp(text, "TEST_DATA_LEN")) {
		*out = ORACLE_DATA_BYTES;
		return true;
	}
	errno = 0;
	value = strtol(text, &end, behind(text, "0x") ? 16 : 10);
	*out = (int32_t)value;
	return !errno && end != text && !*end;
}

static void add_message(struct notes_half *half, const char *numbered, struct notes *out)
{
	const char *message = strchr(numbered, '=');

	if (message && half->n_messages < NOTES_MESSAGES_MAX)
		half->messages[half->n_messages++] = message + 1;
	else
		out->strange = true;
}

static void read_value(struct notes_half *half, const char *text, struct notes *out)
{
	int32_t value;

	if (!strcmp(text, POINTER_VALUE))
		return;
	half->n_values = read_int(text, &value);
	half->values[0] = (uint32_t)value;
	out->strange |= !half->n_values;
}

static void read_flag(const char *text, struct notes *out)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
		{"BPF_F_STRICT_ALIGNMENT", BPF_F_STRICT_ALIGNMENT},
		{"BPF_F_ANY_ALIGNMENT", BPF_F_ANY_ALIGNMENT},
		{"BPF_F_TEST_RND_HI32", BPF_F_TEST_RND_HI32},
		{"BPF_F_TEST_STATE_FREQ", BPF_F_TEST_STATE_FREQ},
		{"BPF_F_SLEEPABLE", BPF_F_SLEEPABLE},
		{"BPF_F_XDP_HAS_FRAGS", BPF_F_XDP_HAS_FRAGS},
		{"BPF_F_TEST_REG_INVARIANTS", FORT_BPF_F_TEST_REG_INVARIANTS},
	};
	bool clears = *text == '!';
	int32_t number = 0;
	uint32_t flag = 0;

	text += clears;
	for (size_t i = 0; i < FORT_LEN(names); i++)
		if (!strcmp(text, names[i].name))
			flag = names[i].flag;
	if (!flag && read_int(text, &number))
		flag = (uint32_t)number;
	out->strange |= !flag;
	if (clears)
		out->cleared_flags |= flag;
	else
		out->set_flags |= flag;
}

/* Tags without a value. */
static bool read_word(const char *tag, struct notes *out)
{
	struct notes_half *priv = &out->half[HALF_PRIV], *unpriv = &out->half[HALF_UNPRIV];

	if (!strcmp(tag, "expect_success"))
		priv->expectation = EXPECT_SUCCESS;
	else if (!strcmp(tag, "expect_failure"))
		priv->expectation = EXPECT_FAILURE;
	else if (!strcmp(tag, "expect_success_unpriv"))
		unpriv->expectation = EXPECT_SUCCESS;
	else if (!strcmp(tag, "expect_failure_unpriv"))
		unpriv->expectation = EXPECT_FAILURE;
	else if (!strcmp(tag, "auxiliary") || !strcmp(tag, "auxiliary_unpriv"))
		out->auxiliary = true;
	else
		return false;
	return true;
}

/* Tags with one. Those not listed say nothing of verdicts: descriptions, rewritten and compiled
 * code, rights that we do not take. */
static void read_valued(const char *tag, struct notes *out, bool *here)
{
	struct notes_half *priv = &out->half[HALF_PRIV], *unpriv = &out->half[HALF_UNPRIV];
	const char *text;
	int32_t level;

	if ((text = behind(tag, "expect_msg=")))
		add_message(priv, text, out);
	else if ((text = behind(tag, "expect_msg_unpriv=")))
		add_message(unpriv, text, out);
	else if ((text = behind(tag, "retval=")))
		read_value(priv, text, out);
	else if ((text = behind(tag, "retval_unpriv=")))
		read_value(unpriv, text, out);
	else if ((text = behind(tag, "prog_flags=")))
		read_flag(text, out);
	else if ((text = behind(tag, "log_level=")) && read_int(text, &level))
		out->log_level = (uint32_t)level & FORT_LOG_MASK;
	else if ((text = behind(tag, "arch="))) {
		*here |= !strcmp(text, "X86_64");
		out->foreign = true; /* unless one of them is */
	}
}

/* What the unprivileged half does not say is as in the other. */
static void inherit(struct notes *out)
{
	const struct notes_half *priv = &out->half[HALF_PRIV];
	struct notes_half *unpriv = &out->half[HALF_UNPRIV];

	if (unpriv->expectation == EXPECT_NOTHING && (unpriv->n_messages || unpriv->n_values))
		unpriv->expectation = priv->expectation;
	if (unpriv->expectation == EXPECT_NOTHING)
		return;
	if (!unpriv->n_messages && unpriv->expectation == priv->expectation) {
		memcpy(unpriv->messages, priv->messages, sizeof(priv->messages));
		unpriv->n_messages = priv->n_messages;
	}
	if (!unpriv->n_values) {
		unpriv->n_values = priv->n_values;
		memcpy(unpriv->values, priv->values, sizeof(priv->values));
	}
}

void notes_read(const struct btf *btf, const char *program, struct notes *out)
{
	int function = btf__find_by_name_kind(btf, program, BTF_KIND_FUNC);
	bool here = false;

	memset(out, 0, sizeof(*out));
	for (uint32_t id = 1; function > 0 && id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const char *tag;

		if (!btf_is_decl_tag(type) || type->type != (uint32_t)function ||
		    btf_decl_tag(type)->component_idx != -1)
			continue;
		tag = behind(btf__str_by_offset(btf, type->name_off), PREFIX);
		if (tag && !read_word(tag, out))
			read_valued(tag, out, &here);
	}
	out->foreign &= !here;
	inherit(out);
}
