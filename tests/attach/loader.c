#include "tests/attach/loader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/cmds.h"
#include "agent/image.h"
#include "attach/module.h"
#include "isa/asm.h"
#include "tests/unit/func_infos.h"

#define PTR(p) ((uint64_t)(uintptr_t)(p))

struct loader loader_open(void)
{
	return loader_open_with(fort_agent_image());
}

struct loader loader_open_with(struct fort_span agent)
{
	struct fort_attacher_options options = {.agent = agent};
	struct fort_store_attacher hooks;
	struct loader loader;

	assert_int_equal(fort_store_create(&loader.store), 0);
	options.rings = fort_store_rings(loader.store);
	assert_int_equal(fort_attacher_create(&options, &loader.attacher), 0);
	hooks = fort_attacher_hooks(loader.attacher);
	fort_store_set_attacher(loader.store, &hooks);
	return loader;
}

void loader_close(struct loader *loader)
{
	const struct fort_store_attacher none = {0};

	fort_store_reap(loader->store);
	fort_store_set_attacher(loader->store, &none);
	fort_attacher_free(loader->attacher);
	fort_store_free(loader->store);
}

static long call(const struct loader *loader, int cmd, union fort_attr *attr)
{
	return fort_store_bpf(loader->store, cmd, attr, sizeof(*attr));
}

int loader_map(const struct loader *loader, uint32_t type, uint32_t key_bytes, uint32_t value_bytes,
	       uint32_t entries)
{
	union fort_attr attr = {.map_create = {.map_type = type,
					       .key_size = key_bytes,
					       .value_size = value_bytes,
					       .max_entries = entries,
					       .map_name = "m"}};
	long fd = call(loader, FORT_CMD_MAP_CREATE, &attr);

	assert_true(fd >= 0);
	return (int)fd;
}

/* What is called back must be described. */
static void describe(const struct loader *loader, union fort_attr *attr,
		     uint32_t infos[FUNC_INFOS_MAX][2])
{
	const struct fort_raw_insn *insns = (const void *)(uintptr_t)attr->prog_load.insns;
	uint32_t n = func_infos_find(insns, attr->prog_load.insn_cnt, infos);
	static struct btf_build build;
	union fort_attr btf = {.btf_load = {.btf = PTR(build.blob)}};
	long fd;

	assert_true(n <= FUNC_INFOS_MAX);
	if (n == 1)
		return;
	build_sample(&build);
	btf.btf_load.btf_size = build.bytes;
	fd = call(loader, FORT_CMD_BTF_LOAD, &btf);
	assert_true(fd >= 0);
	attr->prog_load.prog_btf_fd = (uint32_t)fd;
	attr->prog_load.func_info = PTR(infos);
	attr->prog_load.func_info_cnt = n;
	attr->prog_load.func_info_rec_size = 8;
}

int loader_prog(const struct loader *loader, uint32_t type, const char *format, ...)
{
	union fort_attr attr = {.prog_load = {.prog_type = type, .license = PTR("GPL")}};
	struct fort_text text = fort_text_new();
	struct fort_assembly assembly;
	struct fort_asm_error error;
	uint32_t infos[FUNC_INFOS_MAX][2];
	struct fort_arena arena;
	va_list args;
	long fd;

	va_start(args, format);
	fort_text_addv(&text, format, args);
	va_end(args);
	fort_arena_init(&arena, 1 << 20);
	assert_int_equal(fort_assemble(&arena, text.data, text.length, &assembly, &error), 0);
	attr.prog_load.insns = PTR(assembly.insns);
	attr.prog_load.insn_cnt = assembly.n_insns;
	describe(loader, &attr, infos);
	fd = call(loader, FORT_CMD_PROG_LOAD, &attr);
	if (fd < 0)
		fail_msg("load: %ld %s", fd, fort_store_last_load(loader->store)->diag.message);
	if (attr.prog_load.prog_btf_fd)
		close((int)attr.prog_load.prog_btf_fd);
	fort_arena_free(&arena);
	fort_text_free(&text);
	return (int)fd;
}

uint64_t loader_offset(pid_t pid, const char *function)
{
	struct fort_text why = fort_text_new();
	struct fort_process process;
	struct fort_regions regions;
	struct fort_module module;
	struct fort_function found;
	uint64_t offset = 0;

	assert_int_equal(fort_process_open(pid, &process, &why), 0);
	assert_int_equal(fort_regions_read(&process, &regions), 0);
	assert_int_equal(fort_module_open(&process, &regions, NULL, &module, &why), 0);
	assert_int_equal(fort_module_by_name(&module, function, &found, &why), 0);
	assert_int_equal(fort_module_to_offset(&module, found.start, &offset), 0);
	fort_module_close(&module);
	fort_regions_free(&regions);
	fort_process_close(&process);
	fort_text_free(&why);
	return offset;
}

long loader_attach(const struct loader *loader, int prog, const struct loader_place *place)
{
	char path[64];
	struct perf_event_attr event = {
		.type = fort_store_uprobe_type(loader->store),
		.size = sizeof(event),
		.config = place->returns,
		.uprobe_path = PTR(path),
		.probe_offset = loader_offset(place->victim, place->function),
	};
	union fort_attr attr = {.link_create = {.prog_fd = (uint32_t)prog,
						.attach_type = BPF_PERF_EVENT,
						.bpf_cookie = place->cookie}};
	long fd, link;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)place->victim);
	fd = fort_store_perf_event_open(loader->store, &event, place->pid, place->pid < 0 ? 0 : -1,
					-1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return fd;
	attr.link_create.target_fd = (uint32_t)fd;
	link = call(loader, FORT_CMD_LINK_CREATE, &attr);
	close((int)fd);
	return link;
}

int loader_link(const struct loader *loader, int prog, const struct loader_place *place)
{
	struct fort_text why = fort_text_new();
	long fd = loader_attach(loader, prog, place);

	fort_attacher_why(loader->attacher, &why);
	if (fd < 0)
		fail_msg("attach %s: %ld %s", place->function, fd, why.data);
	assert_int_equal(why.length, 0);
	fort_text_free(&why);
	return (int)fd;
}

struct fort_map *loader_map_of(const struct loader *loader, int fd)
{
	struct fort_map *map;

	assert_int_equal(fort_store_map(loader->store, fd, &map), 0);
	return map;
}

uint64_t loader_get(const struct loader *loader, int map, uint32_t key)
{
	uint64_t value = 0;
	union fort_attr attr = {
		.elem = {.map_fd = (uint32_t)map, .key = PTR(&key), .value = PTR(&value)}};

	return call(loader, FORT_CMD_MAP_LOOKUP_ELEM, &attr) ? 0 : value;
}
