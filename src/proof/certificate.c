#include "proof/certificate.h"

#include <errno.h>
#include <string.h>

#include "proof/claim_format.h"
#include "step/kernel.h"

static void add_u32(struct fort_sha256 *hash, uint32_t value)
{
	fort_sha256_add(hash, &value, sizeof(value));
}

static void add_text(struct fort_sha256 *hash, const char *text)
{
	fort_sha256_add(hash, text, strlen(text) + 1);
}

static void add_insns(struct fort_sha256 *hash, const struct fort_program *program)
{
	struct fort_raw_insn raw[64];
	uint32_t n = 0;

	add_u32(hash, program->n_insns);
	for (uint32_t pc = 0; pc < program->n_insns;) {
		uint32_t slots = fort_insn_encode(&program->insns[pc], &raw[n]);

		n += slots;
		pc += slots;
		if (n < FORT_LEN(raw) - 1)
			continue;
		fort_sha256_add(hash, raw, n * sizeof(raw[0]));
		n = 0;
	}
	fort_sha256_add(hash, raw, n * sizeof(raw[0]));
}

static void add_prototypes(struct fort_sha256 *hash, const struct fort_env *env)
{
	const struct fort_program *program = &env->graph->program;

	add_u32(hash, env->prototypes != NULL);
	if (env->prototypes)
		fort_sha256_add(hash, env->prototypes,
				program->n_subprogs * sizeof(env->prototypes[0]));
}

static void add_map(struct fort_sha256 *hash, const struct fort_env *env, uint32_t index)
{
	const struct fort_map_shape *map = &env->maps[index];
	const struct fort_btf_record *record = fort_env_record(env, index);
	const uint8_t *constant = fort_env_constant(env, index);

	add_u32(hash, map->type);
	add_u32(hash, map->key_bytes);
	add_u32(hash, map->value_bytes);
	add_u32(hash, map->max_entries);
	add_u32(hash, map->flags);
	add_u32(hash, map->frozen);
	add_u32(hash, map->inner);
	add_u32(hash, record ? record->count + 1 : 0);
	for (uint32_t i = 0; record && i < record->count; i++)
		fort_sha256_add(hash, &record->fields[i], sizeof(record->fields[i]));
	if (constant)
		fort_sha256_add(hash, constant, map->value_bytes);
}

static void add_kernel(struct fort_sha256 *hash, const struct fort_env *env)
{
	const struct fort_btf_target *target = env->target;

	add_u32(hash, env->kernel != NULL);
	if (env->kernel)
		fort_sha256_add(hash, env->kernel->digest, sizeof(env->kernel->digest));
	add_u32(hash, target ? target->proto : 0);
	add_u32(hash, target ? target->hidden : 0);
}

void fort_binding(const struct fort_env *env, uint16_t flags, uint8_t out[FORT_SHA256_BYTES])
{
	struct fort_sha256 hash;

	fort_sha256_init(&hash);
	add_text(&hash, "bpfort proof");
	add_u32(&hash, FORT_CERT_VERSION);
	add_insns(&hash, &env->graph->program);
	add_prototypes(&hash, env);
	add_u32(&hash, env->hook.prog->number);
	add_u32(&hash, env->hook.attach);
	add_text(&hash, env->hook.target ? env->hook.target : "");
	add_u32(&hash, env->sleepable);
	add_u32(&hash, env->rights);
	add_u32(&hash, env->gpl);
	add_u32(&hash, env->cpus);
	add_u32(&hash, env->n_maps);
	add_u32(&hash, env->n_inner);
	for (uint32_t i = 0; i < env->n_maps + env->n_inner; i++)
		add_map(&hash, env, i);
	add_u32(&hash, flags);
	if (flags & FORT_CERT_KERNEL)
		add_kernel(&hash, env);
	fort_sha256_end(&hash, out);
}

/* --- reading --- */

static bool get32(struct fort_reader *reader, uint32_t limit, uint32_t *out)
{
	uint64_t value;

	if (fort_reader_varint(reader, &value) || value > limit)
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool get_edges(struct fort_reader *reader, struct fort_span *edges, uint32_t *n)
{
	const uint8_t *start;
	uint64_t edge;

	if (!get32(reader, UINT32_MAX, n) || *n > fort_reader_left(reader))
		return false;
	start = reader->at;
	for (uint32_t i = 0; i < *n; i++)
		if (fort_reader_varint(reader, &edge))
			return false;
	*edges = (struct fort_span){start, (size_t)(reader->at - start)};
	return true;
}

/* `from`: the first state that no group before has. */
static bool get_group(struct fort_reader *reader, uint32_t n_states, uint32_t from,
		      struct fort_cert_group *group)
{
	uint32_t rank;

	if (!get32(reader, n_states, &group->first) || group->first < from ||
	    !get32(reader, n_states - group->first, &group->count) || !group->count ||
	    !get32(reader, UINT16_MAX, &rank) || rank >> 1 < FORT_CODE_CELLS)
		return false;
	group->rank = fort_cell_of(rank >> 1);
	group->falls = rank & 1;
	return true;
}

static bool get_state(struct fort_reader *reader, const struct fort_env *env,
		      struct fort_cert_state *state)
{
	uint32_t bytes;

	if (!get32(reader, env->graph->program.n_insns - 1, &state->pc) ||
	    !fort_is_cut_point(env->graph, state->pc) ||
	    !get32(reader, FORT_CERT_BYTES_MAX, &bytes) ||
	    fort_reader_take(reader, bytes, &state->claim.data))
		return false;
	state->claim.bytes = bytes;
	return get_edges(reader, &state->edges, &state->n_edges);
}

static bool get_root(struct fort_reader *reader, const struct fort_env *env,
		     struct fort_cert_root *root)
{
	uint32_t kind;

	if (!get32(reader, FORT_ROOTS - 1, &kind) ||
	    !get32(reader, env->graph->program.n_subprogs - 1, &root->root.subprog) ||
	    !get32(reader, UINT32_MAX, &root->root.object))
		return false;
	root->root.kind = (uint8_t)kind;
	return get_edges(reader, &root->edges, &root->n_edges);
}

static bool get_head(struct fort_reader *reader, struct fort_certificate *out)
{
	const uint8_t *binding;
	uint16_t version;
	uint32_t magic;

	if (fort_reader_u32(reader, &magic) || magic != FORT_CERT_MAGIC ||
	    fort_reader_u16(reader, &version) || version != FORT_CERT_VERSION ||
	    fort_reader_u16(reader, &out->flags) || out->flags & ~FORT_CERT_KERNEL ||
	    fort_reader_take(reader, FORT_SHA256_BYTES, &binding))
		return false;
	memcpy(out->binding, binding, FORT_SHA256_BYTES);
	return !fort_reader_varint(reader, &out->steps) && out->steps <= FORT_BUDGET_INSNS &&
	       get32(reader, FORT_CERT_STATES_MAX, &out->n_groups) &&
	       get32(reader, FORT_CERT_STATES_MAX, &out->n_states) &&
	       get32(reader, FORT_CERT_STATES_MAX, &out->n_roots) &&
	       (size_t)out->n_groups + out->n_states + out->n_roots <= fort_reader_left(reader);
}

static bool get_parts(struct fort_reader *reader, const struct fort_env *env,
		      const struct fort_certificate *cert, struct fort_cert_group *groups,
		      struct fort_cert_state *states, struct fort_cert_root *roots)
{
	uint32_t from = 0;

	for (uint32_t i = 0; i < cert->n_groups; i++) {
		if (!get_group(reader, cert->n_states, from, &groups[i]))
			return false;
		from = groups[i].first + groups[i].count;
	}
	for (uint32_t i = 0; i < cert->n_states; i++)
		if (!get_state(reader, env, &states[i]))
			return false;
	for (uint32_t i = 0; i < cert->n_roots; i++)
		if (!get_root(reader, env, &roots[i]))
			return false;
	return !fort_reader_left(reader);
}

int fort_certificate_parse(struct fort_span bytes, const struct fort_env *env,
			   struct fort_arena *arena, struct fort_certificate *out, size_t *offset)
{
	struct fort_reader reader = fort_reader_on(bytes.data, bytes.bytes);
	struct fort_certificate cert = {0};
	struct fort_cert_group *groups;
	struct fort_cert_state *states;
	struct fort_cert_root *roots;

	*offset = 0;
	if (bytes.bytes > FORT_CERT_BYTES_MAX || !get_head(&reader, &cert)) {
		*offset = fort_reader_offset(&reader);
		return -EBADMSG;
	}
	groups = FORT_ARENA_ARRAY(arena, cert.n_groups, struct fort_cert_group);
	states = FORT_ARENA_ARRAY(arena, cert.n_states, struct fort_cert_state);
	roots = FORT_ARENA_ARRAY(arena, cert.n_roots, struct fort_cert_root);
	if (!groups || !states || !roots)
		return -ENOMEM;
	if (!get_parts(&reader, env, &cert, groups, states, roots)) {
		*offset = fort_reader_offset(&reader);
		return -EBADMSG;
	}
	cert.groups = groups;
	cert.states = states;
	cert.roots = roots;
	*out = cert;
	return 0;
}

/* The number of groups whose last state is before `index`. */
uint32_t fort_certificate_groups_below(const struct fort_certificate *cert, uint32_t index)
{
	uint32_t low = 0, high = cert->n_groups;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (cert->groups[middle].first + cert->groups[middle].count <= index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t fort_certificate_group(const struct fort_certificate *cert, uint32_t index)
{
	uint32_t group = fort_certificate_groups_below(cert, index);

	if (group < cert->n_groups && cert->groups[group].first <= index)
		return group;
	return cert->n_groups;
}

/* --- writing --- */

void fort_certificate_begin(struct fort_buf *buf, const struct fort_env *env,
			    const struct fort_cert_counts *counts)
{
	uint16_t flags = env->uses_kernel ? FORT_CERT_KERNEL : 0;
	uint8_t binding[FORT_SHA256_BYTES];

	fort_binding(env, flags, binding);
	fort_buf_u32(buf, FORT_CERT_MAGIC);
	fort_buf_u32(buf, FORT_CERT_VERSION | (uint32_t)flags << 16);
	fort_buf_put(buf, binding, sizeof(binding));
	fort_buf_varint(buf, counts->steps);
	fort_buf_varint(buf, counts->groups);
	fort_buf_varint(buf, counts->states);
	fort_buf_varint(buf, counts->roots);
}

void fort_certificate_put_group(struct fort_buf *buf, const struct fort_cert_group *group)
{
	fort_buf_varint(buf, group->first);
	fort_buf_varint(buf, group->count);
	fort_buf_varint(buf, fort_cell_code(group->rank) << 1 | group->falls);
}

void fort_certificate_put_state(struct fort_buf *buf, uint32_t pc, struct fort_span body,
				struct fort_span ghosts)
{
	fort_buf_varint(buf, pc);
	fort_buf_varint(buf, body.bytes + ghosts.bytes);
	fort_buf_put(buf, body.data, body.bytes);
	fort_buf_put(buf, ghosts.data, ghosts.bytes);
}

void fort_certificate_put_root(struct fort_buf *buf, const struct fort_root *root)
{
	fort_buf_varint(buf, root->kind);
	fort_buf_varint(buf, root->subprog);
	fort_buf_varint(buf, root->object);
}

void fort_certificate_put_edges(struct fort_buf *buf, const uint32_t *edges, uint32_t n_edges)
{
	fort_buf_varint(buf, n_edges);
	for (uint32_t i = 0; i < n_edges; i++)
		fort_buf_varint(buf, edges[i]);
}
