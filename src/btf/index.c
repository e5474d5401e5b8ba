#include "btf/index.h"

#include <stdlib.h>
#include <string.h>

#include "btf/blob.h"

/* Ids by plain name: a chain of ids for each hash, ascending, so that the first that fits is the
 * first in the BTF. A chain takes a new id in constant time, whatever the names are.
 */
struct names {
	uint32_t mask;
	uint32_t *next;   /* of each id, 0 ends */
	uint32_t first[]; /* mask + 1 of them */
};

struct tag {
	uint32_t type;
	int32_t component;
	uint32_t id;
};

struct tags {
	uint32_t count;
	struct tag list[]; /* in order */
};

struct digest {
	uint8_t bytes[FORT_SHA256_BYTES];
};

/* Each is NULL until somebody needs it. Whoever makes one too late throws it away: a lock would
 * not survive a fork.
 */
struct fort_btf_index {
	struct names *names;
	struct tags *tags;
	struct digest *digest;
};

struct fort_btf_index *fort_btf_index_new(void)
{
	return calloc(1, sizeof(struct fort_btf_index));
}

void fort_btf_index_free(struct fort_btf_index *index)
{
	if (!index)
		return;
	free(index->names);
	free(index->tags);
	free(index->digest);
	free(index);
}

/* The table that is there now: `made`, or another thread's. `place` is a pointer to a pointer. */
#define PUBLISH(place, made)                                                                    \
	({                                                                                      \
		__typeof__(made) theirs = NULL;                                                 \
		if ((made) && !__atomic_compare_exchange_n((place), &theirs, (made), 0,         \
							   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) \
			free(made);                                                             \
		theirs ? theirs : (made);                                                       \
	})

/* --- names --- */

/* K: X___Y, with neither X nor Y an underscore; the last one counts. */
static bool is_flavour(const char *at)
{
	return at[0] != '_' && at[1] == '_' && at[2] == '_' && at[3] == '_' && at[4] != '_';
}

size_t fort_btf_plain_length(const char *name)
{
	size_t length = strlen(name);

	if (length < 5 || !strstr(name, "___"))
		return length;
	for (size_t i = length - 4; i-- > 0;)
		if (is_flavour(name + i))
			return i + 1;
	return length;
}

static uint32_t hash_of(const char *name, size_t length)
{
	uint64_t hash = length, word;

	for (; length >= 8; length -= 8, name += 8) {
		memcpy(&word, name, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	word = 0;
	memcpy(&word, name, length);
	hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(hash >> 32);
}

static struct names *make_names(const struct fort_btf *btf)
{
	uint32_t slots = 1;
	struct names *names;

	while (slots < btf->n_types)
		slots *= 2;
	names = calloc(1, sizeof(*names) + ((size_t)slots + btf->n_types) * sizeof(uint32_t));
	if (!names)
		return NULL;
	names->mask = slots - 1;
	names->next = names->first + slots;
	for (uint32_t id = btf->n_types - 1; id; id--) {
		struct fort_btf_type type = fort_btf_type(btf, id);
		const char *name = fort_btf_string(btf, type.name);
		uint32_t slot;

		if (!type.name || !name)
			continue;
		slot = hash_of(name, fort_btf_plain_length(name)) & names->mask;
		names->next[id] = names->first[slot];
		names->first[slot] = id;
	}
	return names;
}

/* Types one after the other that may have a name. Without a table, all of them. */
struct candidates {
	const struct fort_btf *btf;
	const struct names *names;
	uint32_t id;
};

static struct candidates look_up(const struct fort_btf *btf, const char *name, size_t length)
{
	struct fort_btf_index *index = btf->index;
	struct names *names = __atomic_load_n(&index->names, __ATOMIC_ACQUIRE);

	if (!names) {
		names = make_names(btf);
		names = PUBLISH(&index->names, names);
	}
	if (!length) /* types without name are in no chain */
		names = NULL;
	return (struct candidates){
		.btf = btf,
		.names = names,
		.id = names ? names->first[hash_of(name, length) & names->mask] : 1,
	};
}

static void go_on(struct candidates *at)
{
	if (at->names)
		at->id = at->names->next[at->id];
	else
		at->id = at->id + 1 < at->btf->n_types ? at->id + 1 : 0;
}

/* The name of the candidate if it is of this kind, or NULL. */
static const char *name_of(const struct candidates *at, uint8_t kind)
{
	struct fort_btf_type type = fort_btf_type(at->btf, at->id);

	return type.kind == kind ? fort_btf_string(at->btf, type.name) : NULL;
}

uint32_t fort_btf_find(const struct fort_btf *btf, const char *name, uint8_t kind)
{
	struct candidates at = look_up(btf, name, fort_btf_plain_length(name));

	for (; at.id; go_on(&at)) {
		const char *other = name_of(&at, kind);

		if (other && !strcmp(other, name))
			return at.id;
	}
	return 0;
}

uint32_t fort_btf_find_flavours(const struct fort_btf *btf, const char *name, uint8_t kind,
				uint32_t *id)
{
	size_t length = fort_btf_plain_length(name);
	struct candidates at = look_up(btf, name, length);
	uint32_t found = 0;

	for (; length && at.id && found < 2; go_on(&at)) {
		const char *other = name_of(&at, kind);

		if (!other || fort_btf_plain_length(other) != length ||
		    memcmp(other, name, length) != 0)
			continue;
		if (!found++)
			*id = at.id;
	}
	return found;
}

/* --- tags --- */

static int compare_tags(const void *a, const void *b)
{
	const struct tag *left = a, *right = b;

	if (left->type != right->type)
		return left->type < right->type ? -1 : 1;
	if (left->component != right->component)
		return left->component < right->component ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

static struct tags *make_tags(const struct fort_btf *btf)
{
	struct tags *tags;
	uint32_t count = 0;

	for (uint32_t id = 1; id < btf->n_types; id++)
		count += fort_btf_type(btf, id).kind == FORT_BTF_DECL_TAG;
	tags = malloc(sizeof(*tags) + (size_t)count * sizeof(tags->list[0]));
	if (!tags)
		return NULL;
	tags->count = 0;
	for (uint32_t id = 1; id < btf->n_types; id++) {
		struct fort_btf_type type = fort_btf_type(btf, id);

		if (type.kind == FORT_BTF_DECL_TAG)
			tags->list[tags->count++] = (struct tag){
				.type = type.ref,
				.component = fort_btf_component(&type),
				.id = id,
			};
	}
	qsort(tags->list, tags->count, sizeof(tags->list[0]), compare_tags);
	return tags;
}

static bool has_prefix(const struct fort_btf *btf, uint32_t tag, const char *prefix)
{
	const char *text = fort_btf_string(btf, fort_btf_type(btf, tag).name);

	return text && !strncmp(text, prefix, strlen(prefix));
}

/* Without a table. */
static uint32_t scan_tags(const struct fort_btf *btf, const struct tag *after, const char *prefix)
{
	for (uint32_t id = after->id + 1; id < btf->n_types; id++) {
		struct fort_btf_type type = fort_btf_type(btf, id);

		if (type.kind == FORT_BTF_DECL_TAG && type.ref == after->type &&
		    fort_btf_component(&type) == after->component && has_prefix(btf, id, prefix))
			return id;
	}
	return 0;
}

uint32_t fort_btf_next_tag(const struct fort_btf *btf, uint32_t type, int32_t component,
			   const char *prefix, uint32_t after)
{
	struct fort_btf_index *index = btf->index;
	struct tags *tags = __atomic_load_n(&index->tags, __ATOMIC_ACQUIRE);
	struct tag last = {.type = type, .component = component, .id = after};
	uint32_t low = 0, high;

	if (!tags) {
		tags = make_tags(btf);
		tags = PUBLISH(&index->tags, tags);
	}
	if (!tags)
		return scan_tags(btf, &last, prefix);
	for (high = tags->count; low < high;) { /* the first behind `last` */
		uint32_t middle = low + (high - low) / 2;

		if (compare_tags(&tags->list[middle], &last) > 0)
			high = middle;
		else
			low = middle + 1;
	}
	for (; low < tags->count; low++) {
		const struct tag *tag = &tags->list[low];

		if (tag->type != type || tag->component != component)
			return 0;
		if (has_prefix(btf, tag->id, prefix))
			return tag->id;
	}
	return 0;
}

/* --- digest --- */

static void hash_blob(const struct fort_btf *btf, struct digest *digest)
{
	struct fort_sha256 hash;

	fort_sha256_init(&hash);
	fort_sha256_add(&hash, btf->data, btf->bytes);
	fort_sha256_end(&hash, digest->bytes);
}

void fort_btf_digest(const struct fort_btf *btf, uint8_t out[FORT_SHA256_BYTES])
{
	struct fort_btf_index *index = btf->index;
	struct digest *digest = __atomic_load_n(&index->digest, __ATOMIC_ACQUIRE), now;

	if (!digest) {
		hash_blob(btf, &now);
		digest = malloc(sizeof(*digest));
		if (digest)
			*digest = now;
		digest = PUBLISH(&index->digest, digest);
	}
	memcpy(out, digest ? digest->bytes : now.bytes, FORT_SHA256_BYTES);
}
