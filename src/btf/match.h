/* Is a pointer to one struct good where another is wanted? (btf_struct_ids_match and its neighbours
 * in kernel/bpf/btf.c.)
 */
#pragma once

#include "btf/walk.h"

/* Does struct `id` have struct `need_id` at `offset`: is it one, or does one start there, however
 * deep? `strict`: only the struct itself will do. When a walk ends badly, *remark says how; when it
 * only ends elsewhere, *remark is empty.
 */
bool fort_btf_has_struct(const struct fort_btf *btf, uint32_t id, uint32_t offset,
			 const struct fort_btf *need, uint32_t need_id, bool strict,
			 enum fort_btf_view view, struct fort_btf_remark *remark);

/* Is one name the other with "___init" behind it? Then the two are told apart strictly: a
 * nf_conn___init is not yet a nf_conn. */
bool fort_btf_is_uncast_alias(const char *name, const char *other);

/* Does the kernel take a `kernel` where its function says `context`, the type of programs? */
bool fort_btf_is_projection(const char *context, const char *kernel);
