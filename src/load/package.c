#include "load/package.h"

#include <errno.h>
#include <string.h>

/* The fixed part, as it is in memory. */
struct head {
	uint32_t magic, version, type, attach, rights, gpl, sleepable, isolation;
	uint64_t fuel;
	uint32_t n_insns, n_maps, certificate_bytes, n_prototypes;
	struct fort_crash_policy crash;
	struct fort_crash_place crash_place;
};
_Static_assert(sizeof(struct head) == 72, "package layout");
_Static_assert(sizeof(struct fort_map_shape) == 28, "package layout");

void fort_package_write(struct fort_buf *buf, const struct fort_package_view *view)
{
	const struct fort_unit_request *unit = &view->unit;
	struct head head = {
		.magic = FORT_PACKAGE_MAGIC,
		.version = FORT_PACKAGE_VERSION,
		.type = unit->hook.prog->number,
		.attach = unit->hook.attach,
		.rights = unit->rights,
		.gpl = unit->gpl,
		.sleepable = unit->sleepable,
		.isolation = view->isolation,
		.fuel = view->fuel,
		.crash = view->crash,
		.crash_place = view->crash_place,
		.n_insns = unit->n_insns,
		.n_maps = unit->n_maps,
		.certificate_bytes = (uint32_t)view->certificate.bytes,
		.n_prototypes = unit->n_prototypes,
	};

	const struct fort_span parts[] = {
		{(const uint8_t *)&head, sizeof(head)},
		{(const uint8_t *)unit->insns, unit->n_insns * sizeof(unit->insns[0])},
		{(const uint8_t *)unit->maps, unit->n_maps * sizeof(unit->maps[0])},
		{(const uint8_t *)unit->prototypes,
		 unit->n_prototypes * sizeof(unit->prototypes[0])},
		view->certificate,
	};
	size_t bytes = 0;

	for (unsigned i = 0; i < FORT_LEN(parts); i++)
		bytes += parts[i].bytes;
	fort_buf_reserve(buf, bytes);
	for (unsigned i = 0; i < FORT_LEN(parts); i++)
		fort_buf_put(buf, parts[i].data, parts[i].bytes);
}

static int bad(size_t at, size_t *offset)
{
	*offset = at;
	return -EBADMSG;
}

static int check_head(const struct head *head, size_t *offset)
{
	if (head->magic != FORT_PACKAGE_MAGIC)
		return bad(offsetof(struct head, magic), offset);
	if (head->version != FORT_PACKAGE_VERSION)
		return bad(offsetof(struct head, version), offset);
	if (head->rights & ~(uint32_t)FORT_ALL_VERIFIER_RIGHTS)
		return bad(offsetof(struct head, rights), offset);
	if (head->gpl > 1)
		return bad(offsetof(struct head, gpl), offset);
	if (head->sleepable > 1)
		return bad(offsetof(struct head, sleepable), offset);
	if (head->isolation >= FORT_ISOLATIONS)
		return bad(offsetof(struct head, isolation), offset);
	if (!head->n_insns || head->n_insns > FORT_PROG_INSNS_MAX)
		return bad(offsetof(struct head, n_insns), offset);
	if (head->n_maps > FORT_MAPS_PER_PROG_MAX)
		return bad(offsetof(struct head, n_maps), offset);
	if (head->certificate_bytes > FORT_CERT_BYTES_MAX)
		return bad(offsetof(struct head, certificate_bytes), offset);
	if (head->n_prototypes > FORT_SUBPROGS_MAX)
		return bad(offsetof(struct head, n_prototypes), offset);
	if (head->crash.actions & ~(uint32_t)FORT_CRASH_ALL)
		return bad(offsetof(struct head, crash), offset);
	if (head->crash_place.index > FORT_CRASH_PLACES)
		return bad(offsetof(struct head, crash_place), offset);
	return 0;
}

int fort_package_read(struct fort_span bytes, struct fort_package_view *out, size_t *offset)
{
	struct fort_reader reader = fort_reader_on(bytes.data, bytes.bytes);
	const struct fort_prog_info *prog;
	const uint8_t *insns, *maps, *prototypes, *certificate, *at;
	struct head head;
	int err;

	if (fort_reader_take(&reader, sizeof(head), &at))
		return bad(bytes.bytes, offset);
	memcpy(&head, at, sizeof(head));
	err = check_head(&head, offset);
	if (err)
		return err;
	prog = fort_prog_runs(head.type);
	if (!prog) {
		*offset = offsetof(struct head, type);
		return -EOPNOTSUPP;
	}
	if (fort_reader_take(&reader, head.n_insns * sizeof(struct fort_raw_insn), &insns) ||
	    fort_reader_take(&reader, head.n_maps * sizeof(struct fort_map_shape), &maps) ||
	    fort_reader_take(&reader, head.n_prototypes * sizeof(struct fort_prototype),
			     &prototypes) ||
	    fort_reader_take(&reader, head.certificate_bytes, &certificate) ||
	    fort_reader_left(&reader))
		return bad(fort_reader_offset(&reader), offset);
	*out = (struct fort_package_view){
		.unit = {.insns = (const struct fort_raw_insn *)(const void *)insns,
			 .n_insns = head.n_insns,
			 .hook = {.prog = prog, .attach = head.attach},
			 .sleepable = head.sleepable,
			 .maps = (const struct fort_map_shape *)(const void *)maps,
			 .n_maps = head.n_maps,
			 .rights = head.rights,
			 .gpl = head.gpl,
			 .prototypes = head.n_prototypes ? (const void *)prototypes : NULL,
			 .n_prototypes = head.n_prototypes},
		.isolation = (enum fort_isolation)head.isolation,
		.fuel = head.fuel,
		.crash = head.crash,
		.crash_place = head.crash_place,
		.certificate = {certificate, head.certificate_bytes},
	};
	return 0;
}
