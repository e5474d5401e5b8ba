/* Any bytes as a certificate, for a few programs: the checker ends, and for those of the programs
 * that are unsafe it never says yes.
 *
 * An input is a byte for the program and the certificate; its binding is made to fit, so that the
 * rest is looked at. The mutator takes certificates apart and puts them together differently.
 */
#include "fuzz.h"

#include <string.h>

#include "lab.h"
#include "programs.h"

#define PROGRAMS       (FORT_LEN(lab_safe) + FORT_LEN(lab_unsafe))
#define BINDING_OFFSET 8u
#define EDGES_MAX      64u
#define STATES_MAX     64u

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed);

/* Programs are opened once. */
static struct lab labs[PROGRAMS];
static bool ready[PROGRAMS];

static struct lab *lab_of(unsigned number)
{
	const struct lab_program *program = number < FORT_LEN(lab_safe)
						    ? &lab_safe[number]
						    : &lab_unsafe[number - FORT_LEN(lab_safe)];

	if (!ready[number])
		FUZZ_ASSERT(lab_open(&labs[number], program->type, program->code));
	ready[number] = true;
	return &labs[number];
}

static void bind(const struct lab *lab, uint8_t *data, size_t bytes)
{
	if (bytes >= BINDING_OFFSET + FORT_SHA256_BYTES)
		fort_binding(&lab->env, 0, data + BINDING_OFFSET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static uint8_t copy[1u << 16];
	unsigned number;
	struct lab *lab;
	bool proven;

	if (!bytes || bytes > sizeof(copy))
		return 0;
	number = data[0] % PROGRAMS;
	lab = lab_of(number);
	memcpy(copy, data + 1, bytes - 1);
	bind(lab, copy, bytes - 1);
	proven = lab_check(lab, copy, bytes - 1);
	FUZZ_ASSERT(!proven || number < FORT_LEN(lab_safe));
	FUZZ_ASSERT(proven || lab->check.fault != FORT_CHECK_OK);
	return 0;
}

/* --- mutation --- */

static unsigned pick(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return n ? (*seed >> 8) % n : 0;
}

/* A state of a certificate, to be written again. */
struct part {
	uint32_t pc, n_edges, edges[EDGES_MAX];
	size_t claim_bytes;
	uint8_t claim[4096];
};

/* The states, then the roots. */
static struct part parts[STATES_MAX + 1];
static struct fort_cert_group groups[STATES_MAX];
static uint32_t n_groups;

static bool take_edges(struct part *part, struct fort_span edges, uint32_t n_edges)
{
	struct fort_reader reader = fort_reader_on(edges.data, edges.bytes);
	uint64_t edge;

	if (n_edges > EDGES_MAX)
		return false;
	part->n_edges = 0;
	while (part->n_edges < n_edges && !fort_reader_varint(&reader, &edge))
		part->edges[part->n_edges++] = (uint32_t)edge;
	return true;
}

static bool take_apart(const struct fort_certificate *cert)
{
	if (cert->n_states > STATES_MAX - 1 || cert->n_groups > STATES_MAX || cert->n_roots != 1)
		return false;
	n_groups = cert->n_groups;
	if (n_groups)
		memcpy(groups, cert->groups, n_groups * sizeof(groups[0]));
	for (uint32_t i = 0; i < cert->n_states; i++) {
		const struct fort_cert_state *state = &cert->states[i];

		if (state->claim.bytes > sizeof(parts[i].claim))
			return false;
		parts[i].pc = state->pc;
		parts[i].claim_bytes = state->claim.bytes;
		memcpy(parts[i].claim, state->claim.data, state->claim.bytes);
		if (!take_edges(&parts[i], state->edges, state->n_edges))
			return false;
	}
	return take_edges(&parts[cert->n_states], cert->roots[0].edges, cert->roots[0].n_edges);
}

static void change_claim(struct part *part, unsigned *seed)
{
	size_t at = pick(seed, (unsigned)part->claim_bytes);

	switch (pick(seed, 5)) {
	case 0: part->claim[at]++; break;
	case 1: part->claim[at]--; break;
	case 2: part->claim[at] ^= (uint8_t)(1u << pick(seed, 8)); break;
	default:
		part->claim_bytes =
			LLVMFuzzerMutate(part->claim, part->claim_bytes, sizeof(part->claim));
	}
}

static void change_edges(struct part *part, uint32_t n, unsigned *seed)
{
	unsigned at = pick(seed, part->n_edges);

	switch (pick(seed, 3)) {
	case 0: part->edges[at] = pick(seed, n + 2); break;
	case 1: part->n_edges -= part->n_edges > 0; break;
	default:
		if (part->n_edges < EDGES_MAX)
			part->edges[part->n_edges++] = pick(seed, n + 2);
	}
}

static void change_group(uint32_t n, unsigned *seed)
{
	struct fort_cert_group *group = &groups[pick(seed, n_groups)];

	switch (n_groups ? pick(seed, 5) : 4) {
	case 0: group->first = pick(seed, n + 1); break;
	case 1: group->count = pick(seed, n + 1); break;
	case 2: group->falls = !group->falls; break;
	case 3: group->rank.index = (uint8_t)pick(seed, 12); break;
	default:
		if (n_groups < STATES_MAX)
			groups[n_groups++] = (struct fort_cert_group){pick(seed, n + 1),
								      1,
								      {FORT_CELL_REG, 0,
								       (uint8_t)pick(seed, 10)},
								      pick(seed, 2)};
	}
}

static uint32_t change(uint32_t n, const struct lab *lab, unsigned *seed)
{
	uint32_t i = pick(seed, n), j = pick(seed, n);

	switch (n ? pick(seed, 8) : 6) {
	case 0: parts[i].pc = pick(seed, lab->n_insns); break;
	case 1: change_claim(&parts[i], seed); break;
	case 2: parts[i] = parts[j]; break;
	case 3: /* remove a state */
		memmove(&parts[i], &parts[i + 1], (n - i) * sizeof(parts[0]));
		return n - 1;
	case 4: /* repeat a state */
		memmove(&parts[i + 1], &parts[i], (n + 1 - i) * sizeof(parts[0]));
		return n + 1;
	case 5: change_group(n, seed); break;
	default: change_edges(&parts[pick(seed, n + 1)], n, seed);
	}
	return n;
}

static size_t put_together(const struct lab *lab, uint64_t steps, uint32_t n, uint8_t *out,
			   size_t room)
{
	struct fort_buf buf;
	size_t bytes = 0;

	const struct fort_cert_counts counts = {steps, n_groups, n, 1};
	const struct fort_root root = {.kind = FORT_ROOT_MAIN};

	fort_buf_init(&buf, room);
	fort_certificate_begin(&buf, &lab->env, &counts);
	for (uint32_t i = 0; i < n_groups; i++)
		fort_certificate_put_group(&buf, &groups[i]);
	for (uint32_t i = 0; i <= n; i++) {
		if (i < n)
			fort_certificate_put_state(&buf, parts[i].pc,
						   (struct fort_span){parts[i].claim,
								      parts[i].claim_bytes},
						   (struct fort_span){NULL, 0});
		else
			fort_certificate_put_root(&buf, &root);
		fort_certificate_put_edges(&buf, parts[i].edges, parts[i].n_edges);
	}
	if (!buf.err) {
		bytes = buf.bytes;
		memcpy(out, buf.data, bytes);
	}
	fort_buf_free(&buf);
	return bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t room, unsigned seed)
{
	struct fort_certificate cert;
	struct fort_arena arena;
	struct lab *lab;
	size_t made = 0, offset;
	uint64_t steps;
	uint32_t n;

	if (bytes < 2 || !pick(&seed, 5))
		return LLVMFuzzerMutate(data, bytes, room);
	lab = lab_of(data[0] % PROGRAMS);
	bind(lab, data + 1, bytes - 1);
	fort_arena_init(&arena, FORT_SEARCH_BYTES_MAX);
	if (!fort_certificate_parse((struct fort_span){data + 1, bytes - 1}, &lab->env, &arena,
				    &cert, &offset) &&
	    take_apart(&cert)) {
		n = cert.n_states;
		steps = pick(&seed, 8) ? FORT_BUDGET_INSNS : cert.steps;
		fort_arena_free(&arena);
		n = change(n, lab, &seed);
		made = put_together(lab, steps, n, data + 1, room - 1);
	}
	fort_arena_free(&arena);
	return made ? made + 1 : LLVMFuzzerMutate(data, bytes, room);
}
