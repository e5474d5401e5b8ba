/* A package: a verified program on its way into another process. Bytes that name the program, the
 * shapes of its maps and its certificate; the maps' memory travels beside it as descriptors. Who
 * receives one believes nothing of it: the program is decoded again and its certificate checked
 * again before anything runs.
 *
 *   package := magic:4 version:4 type:4 rights:4 gpl:4 isolation:4 fuel:8
 *              insns:4 maps:4 certificate:4 prototypes:4 crash_after:4 crash_actions:4
 *              crash_place:4 crash_generation:4
 *              (raw instruction)*  (map shape)*  (struct fort_prototype)*  certificate bytes
 */
#pragma once

#include "base/buf.h"
#include "base/span.h"
#include "engine/engine.h"
#include "load/crash.h"
#include "load/unit.h"

#define FORT_PACKAGE_MAGIC   0x4b435046u /* "FPCK" */
#define FORT_PACKAGE_VERSION 5u

/* The descriptors that travel beside a package, in this order: the table of the epochs, the values
 * and metadata of the ring of trace lines (helper/trace.h) and of that of crashes (load/crash.h),
 * then those of each map in the package's order. What a map's metadata say of its shape must be
 * what the package says.
 */
enum fort_package_fd {
	FORT_PACKAGE_FD_SHARED,
	FORT_PACKAGE_FD_TRACE_VALUES,
	FORT_PACKAGE_FD_TRACE_META,
	FORT_PACKAGE_FD_CRASH_VALUES,
	FORT_PACKAGE_FD_CRASH_META,
	FORT_PACKAGE_FD_MAPS, /* + 2 * map: values; + 2 * map + 1: metadata */
};
#define FORT_PACKAGE_FDS_MAX (FORT_PACKAGE_FD_MAPS + 2 * FORT_MAPS_PER_PROG_MAX)

/* A package taken apart: arrays point into its bytes. */
struct fort_package_view {
	struct fort_unit_request unit;
	enum fort_isolation isolation;
	uint64_t fuel; /* of one run */
	struct fort_crash_policy crash;
	struct fort_crash_place crash_place;
	struct fort_span certificate;
};

/* Appends a package; errors stay in the buffer. */
void fort_package_write(struct fort_buf *buf, const struct fort_package_view *view);

/* Takes bytes apart. They must be aligned to 8 and outlive the view. Returns 0, or -EBADMSG with
 * *offset at the field that is wrong, or -EOPNOTSUPP for a program type this build does not know.
 */
FORT_CHECKED int fort_package_read(struct fort_span bytes, struct fort_package_view *out,
				   size_t *offset);
