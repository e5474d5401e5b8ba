/* What the kernel calls the types of values (abi/regtypes.def), which is what its tables are about:
 * prototypes of helpers, and what loads from contexts give.
 */
#pragma once

#include "abi/args.h"
#include "step/state.h"

/* The register type of a value, NULL or not; NONE for what the tables do not have: pointers that
 * are not trusted, of user space, or of a list. */
enum fort_regtype fort_value_regtype(const struct fort_value *value);

/* A fresh value of a register type, at offset 0. */
struct fort_value fort_value_of_type(enum fort_regtype type);

/* May a pointer of this type be NULL until it is tested: is there something that gives such? */
bool fort_type_is_nullable(enum fort_type type);
