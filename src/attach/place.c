/* From a function to a site that the agent knows: module, plan, memory for the stub. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach/displace.h"
#include "attach/reach.h"
#include "attach/target.h"
#include "base/limits.h"

#define REACH     0x7ff00000ull /* of a 32-bit displacement, less what a site is long */
#define GAP_REACH 0x7f000000ull /* for new blocks: leave some for data behind the code */
#define MAP_TRIES 4

/* Keeps a module that was opened, or closes it when it is known already. */
static int keep_module(struct fort_target *target, struct fort_module *module,
		       struct fort_module **out)
{
	struct fort_module **more, *kept;

	for (size_t i = 0; i < target->n_modules; i++) {
		kept = target->module[i];
		if (kept->bias != module->bias || strcmp(kept->path, module->path) != 0)
			continue;
		fort_module_close(module);
		*out = kept;
		return 0;
	}
	more = reallocarray(target->module, target->n_modules + 1, sizeof(*more));
	if (more)
		target->module = more;
	kept = more ? malloc(sizeof(*kept)) : NULL;
	if (!kept) {
		fort_module_close(module);
		return -ENOMEM;
	}
	*kept = *module;
	target->module[target->n_modules++] = kept;
	*out = kept;
	return 0;
}

int fort_target_module(struct fort_target *target, const char *wanted, struct fort_module **out,
		       struct fort_text *why)
{
	struct fort_regions regions;
	struct fort_module module;
	int err = fort_regions_read(&target->process, &regions);

	if (err) {
		fort_text_add(why, "the mappings of process %d cannot be read",
			      (int)target->process.pid);
		return err;
	}
	err = fort_module_open(&target->process, &regions, wanted, &module, why);
	fort_regions_free(&regions);
	return err ? err : keep_module(target, &module, out);
}

static bool block_serves(const struct fort_target_block *block, uint64_t patch)
{
	uint64_t end = block->address + FORT_BLOCK_BYTES;
	uint64_t below = patch > block->address ? patch - block->address : 0;
	uint64_t above = end > patch ? end - patch : 0;

	return block->used + FORT_STUB_BYTES_MAX <= FORT_BLOCK_BYTES && below <= REACH &&
	       above <= REACH;
}

static int map_block(struct fort_target *target, uint64_t patch, struct fort_text *why)
{
	struct fort_map_block request;
	struct fort_regions regions;
	struct fort_answer answer;
	int err = -EEXIST;

	if (target->n_blocks == FORT_BLOCKS_MAX) {
		fort_reason_add(why, FORT_REASON_FULL, FORT_BLOCKS_MAX);
		return -ENOSPC;
	}
	for (int i = 0; i < MAP_TRIES && err == -EEXIST; i++) {
		struct fort_text ignored = fort_text_on(NULL, 0);

		err = fort_regions_read(&target->process, &regions);
		if (err)
			break;
		request.address = fort_regions_gap(&regions, patch, FORT_BLOCK_BYTES, GAP_REACH);
		fort_regions_free(&regions);
		if (!request.address) {
			fort_text_add(why,
				      "no memory is free within 2 GiB of the function at %#llx",
				      (unsigned long long)patch);
			return -ENOSPC;
		}
		err = fort_target_ask(target, FORT_MAP_BLOCK, &request, NULL, 0, &answer,
				      i + 1 < MAP_TRIES ? &ignored : why);
	}
	if (!err)
		target->block[target->n_blocks++] =
			(struct fort_target_block){request.address, FORT_STUB_HEAD_BYTES};
	return err;
}

static int find_block(struct fort_target *target, uint64_t patch, struct fort_target_block **out,
		      struct fort_text *why)
{
	int err;

	for (uint32_t i = 0; i < target->n_blocks; i++) {
		if (!block_serves(&target->block[i], patch))
			continue;
		*out = &target->block[i];
		return 0;
	}
	err = map_block(target, patch, why);
	if (!err)
		*out = &target->block[target->n_blocks - 1];
	return err;
}

/* What is at the function now, against what the file says. A jump that another tool has put there
 * may be displaced like any instruction; anything else is left alone. */
static enum fort_refusal compare_code(const struct fort_module *module, uint64_t patch,
				      const uint8_t *now, uint32_t bytes)
{
	uint8_t file[FORT_WINDOW_BYTES_MAX];

	if (fort_module_read(module, patch, file, bytes) || !memcmp(file, now, bytes))
		return FORT_REFUSAL_NONE;
	if (now[0] == 0xcc)
		return FORT_REFUSAL_BREAKPOINT;
	return now[0] == 0xe9 && memcmp(file, now, FORT_JUMP_BYTES) != 0 ? FORT_REFUSAL_NONE
									 : FORT_REFUSAL_MODIFIED;
}

/* Up to where padding behind the function may be used: the next thing that starts. */
static uint64_t room_of(const struct fort_module *module, const struct fort_function *function)
{
	uint64_t room = FORT_DISPLACE_BYTES;

	while (room && fort_module_label_inside(module, function->start + function->bytes - 1,
						function->start + room))
		room--;
	return room;
}

/* Plans the site for a stub at the free end of the block. */
static enum fort_refusal plan_site(const struct fort_target *target,
				   const struct fort_module *module,
				   const struct fort_function *function,
				   const struct fort_target_block *block,
				   struct fort_site_plan *plan)
{
	uint8_t code[FORT_DISPLACE_BYTES];
	struct fort_displace request = {
		.code = code,
		.bytes = sizeof(code),
		.address = function->start + module->bias,
		.room = room_of(module, function),
		.stub = block->address + fort_round_up(block->used, FORT_STUB_ALIGN),
		.block = block->address,
		.shadow_stack = target->shadow_stack,
	};
	enum fort_refusal refusal;
	uint64_t patch;

	while (request.bytes &&
	       fort_process_read(&target->process, request.address, code, request.bytes))
		request.bytes--;
	refusal = fort_displace_plan(&request, plan);
	if (refusal)
		return refusal;
	patch = plan->patch - module->bias;
	refusal = compare_code(module, patch, plan->original, plan->window_bytes);
	return refusal ? refusal : fort_reach_check(&target->process, module, function, patch);
}

static int make_site(struct fort_target *target, const struct fort_module *module,
		     const struct fort_function *function, enum fort_site_kind kind, uint32_t index,
		     struct fort_text *why)
{
	struct fort_site_plan *plan = &target->site[index].plan;
	struct fort_target_block *block;
	enum fort_refusal refusal;
	struct fort_answer answer;
	int err;

	err = find_block(target, function->start + module->bias, &block, why);
	if (err)
		return err;
	refusal = plan_site(target, module, function, block, plan);
	if (refusal) {
		fort_text_add(why, "%s in %s cannot be probed: %s",
			      *function->name ? function->name : "the function", module->path,
			      fort_refusal_text(refusal));
		return refusal == FORT_REFUSAL_BREAKPOINT || refusal == FORT_REFUSAL_MODIFIED
			       ? -EBUSY
			       : -EOPNOTSUPP;
	}
	plan->site = index;
	plan->kind = kind;
	err = fort_target_ask(target, FORT_SITE, plan, NULL, 0, &answer, why);
	if (err)
		return err;
	block->used = (uint32_t)(plan->stub - block->address) + FORT_STUB_BODY + plan->body_bytes;
	target->site[index].known = true;
	return 0;
}

int fort_target_site(struct fort_target *target, const struct fort_module *module,
		     const struct fort_function *function, enum fort_site_kind kind,
		     uint32_t *index, struct fort_text *why)
{
	uint64_t address = function->start + module->bias;
	int err;

	for (uint32_t i = 0; i < target->n_sites; i++) {
		const struct fort_target_site *site = &target->site[i];

		if (!site->known || site->plan.address != address || site->plan.kind != kind)
			continue;
		*index = i;
		return 0;
	}
	if (target->n_sites == target->probes) {
		fort_reason_add(why, FORT_REASON_FULL, target->probes);
		return -ENOSPC;
	}
	err = make_site(target, module, function, kind, target->n_sites, why);
	if (!err)
		*index = target->n_sites++;
	return err;
}

void fort_target_forget_site(struct fort_target *target, uint32_t index)
{
	target->site[index].known = false;
}
