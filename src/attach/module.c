#include "attach/module.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "attach/procfs.h"
#include "attach/symbols.h"
#include "base/limits.h"

#define NOTE_BYTES 256u

static bool is_file_code(const struct fort_region *region)
{
	return region->rights & PROT_EXEC && region->inode && *region->path == '/';
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "libc" names libc.so.6 and libc-2.31.so, not libcap.so.2. */
static bool stem_matches(const char *file, const char *wanted)
{
	size_t length = strlen(wanted);

	if (strncmp(file, wanted, length) != 0)
		return false;
	if (!file[length] || !strncmp(file + length, ".so", 3))
		return true;
	return file[length] == '-' && file[length + 1] >= '0' && file[length + 1] <= '9' &&
	       strstr(file + length, ".so");
}

static uint64_t device_of(const struct stat *stat)
{
	return (uint64_t)major(stat->st_dev) << 32 | minor(stat->st_dev);
}

/* A path means the file that the loader sees there, or what the target's mappings call so. */
static bool region_matches(const struct fort_region *region, const char *wanted,
			   const struct stat *file)
{
	if (!strchr(wanted, '/'))
		return stem_matches(base_name(region->path), wanted);
	if (file->st_ino)
		return region->inode == file->st_ino && region->device == device_of(file);
	return !strcmp(region->path, wanted);
}

static bool same_file(const struct fort_region *a, const struct fort_region *b)
{
	return a->inode == b->inode && a->device == b->device && !strcmp(a->path, b->path);
}

/* The first code mapping of the one file that matches. */
static int choose(const struct fort_regions *regions, const char *wanted,
		  const struct fort_region **out, struct fort_text *why)
{
	const struct fort_region *found = NULL;
	struct stat file = {0};

	if (strchr(wanted, '/') && stat(wanted, &file))
		file.st_ino = 0;
	for (size_t i = 0; i < regions->n; i++) {
		const struct fort_region *region = &regions->region[i];

		if (!is_file_code(region) || !region_matches(region, wanted, &file))
			continue;
		if (found && !same_file(found, region)) {
			fort_text_add(why, "'%s' may be %s or %s; give the path", wanted,
				      found->path, region->path);
			return -ENOTUNIQ;
		}
		if (!found)
			found = region;
	}
	if (!found) {
		fort_text_add(why,
			      "the process has no code mapped from '%s'; /proc/PID/maps lists "
			      "what it has",
			      wanted);
		return -ENOENT;
	}
	*out = found;
	return 0;
}

/* The mapping with the code of the program itself, by the file that /proc/PID/exe is. */
static int choose_program(const struct fort_process *process, const struct fort_regions *regions,
			  const struct fort_region **out, struct fort_text *why)
{
	char path[FORT_PATH_BYTES];
	struct stat file;

	fort_procfs_task_path(path, process->thread, "exe");
	if (!fstatat(process->proc_fd, path, &file, 0)) {
		for (size_t i = 0; i < regions->n; i++) {
			if (!is_file_code(&regions->region[i]) ||
			    regions->region[i].inode != file.st_ino)
				continue;
			*out = &regions->region[i];
			return 0;
		}
	}
	fort_text_add(why, "the program's own code cannot be found among its mappings");
	return -ENOENT;
}

/* Opens the file behind a mapping in one of three ways: by its path in the target's root; as the
 * program itself, even if deleted; by map_files, which needs privilege. */
static int open_file(const struct fort_process *process, const struct fort_region *region, int way)
{
	char path[4096 + 64];

	if (way == 0) {
		snprintf(path, sizeof(path), "/proc/%d/root%s", (int)process->thread, region->path);
		return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (way == 1)
		fort_procfs_task_path(path, process->thread, "exe");
	else
		snprintf(path, sizeof(path), "map_files/%llx-%llx",
			 (unsigned long long)region->start, (unsigned long long)region->end);
	return openat(process->proc_fd, path, O_RDONLY | O_CLOEXEC);
}

/* From the program header that the mapping was made from. */
static bool find_bias(Elf *elf, const struct fort_region *region, uint64_t *bias)
{
	GElf_Phdr header;
	uint64_t page;
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, (int)i, &header) || header.p_type != PT_LOAD ||
		    !(header.p_flags & PF_X))
			continue;
		page = header.p_offset & ~(uint64_t)(FORT_PAGE_BYTES - 1);
		if (region->offset < page || region->offset >= header.p_offset + header.p_filesz)
			continue;
		*bias = region->start - (region->offset - header.p_offset + header.p_vaddr);
		return true;
	}
	return false;
}

enum notes { NOTES_NONE, NOTES_SAME, NOTES_DIFFER };

/* The notes of the file, with its build id, against those in memory. */
static enum notes compare_notes(const struct fort_process *process,
				const struct fort_module *module)
{
	uint8_t theirs[NOTE_BYTES], ours[NOTE_BYTES];
	enum notes result = NOTES_NONE;
	GElf_Phdr header;
	size_t n, bytes;

	if (elf_getphdrnum(module->elf, &n))
		return NOTES_DIFFER;
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(module->elf, (int)i, &header) || header.p_type != PT_NOTE ||
		    !header.p_memsz)
			continue;
		bytes = header.p_filesz < sizeof(ours) ? header.p_filesz : sizeof(ours);
		if (fort_module_read(module, header.p_vaddr, ours, bytes) ||
		    fort_process_read(process, header.p_vaddr + module->bias, theirs, bytes))
			continue;
		if (memcmp(ours, theirs, bytes) != 0)
			return NOTES_DIFFER;
		result = NOTES_SAME;
	}
	return result;
}

/* Is the open file the mapped one? */
static bool is_mapped_file(const struct fort_process *process, const struct fort_region *region,
			   struct fort_module *module)
{
	struct stat file;
	GElf_Ehdr header;
	enum notes notes;

	if (fstat(module->fd, &file) || !S_ISREG(file.st_mode) ||
	    (uint64_t)file.st_size > FORT_MODULE_BYTES_MAX)
		return false;
	module->elf = elf_begin(module->fd, ELF_C_READ, NULL);
	if (!module->elf || !gelf_getehdr(module->elf, &header) || header.e_machine != EM_X86_64 ||
	    !find_bias(module->elf, region, &module->bias))
		return false;
	notes = compare_notes(process, module);
	/* Inode numbers differ on overlay file systems; then the build id must be there. */
	return notes == NOTES_SAME || (notes == NOTES_NONE && file.st_ino == region->inode);
}

int fort_module_open(const struct fort_process *process, const struct fort_regions *regions,
		     const char *wanted, struct fort_module *out, struct fort_text *why)
{
	struct fort_module module = {.fd = -1};
	const struct fort_region *region;
	int err;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOSYS;
	err = wanted ? choose(regions, wanted, &region, why)
		     : choose_program(process, regions, &region, why);
	if (err)
		return err;
	for (int way = 0; way < 3; way++) {
		module.fd = open_file(process, region, way);
		if (module.fd >= 0 && is_mapped_file(process, region, &module))
			break;
		fort_module_close(&module);
	}
	if (module.fd < 0) {
		fort_text_add(why,
			      "the file that is mapped as %s cannot be found: it was deleted or "
			      "replaced since; restart the program",
			      region->path);
		return -EBADMSG;
	}
	module.path = strdup(region->path);
	err = module.path ? fort_symbols_read(&module) : -ENOMEM;
	if (err)
		fort_module_close(&module);
	else
		*out = module;
	return err;
}

void fort_module_close(struct fort_module *module)
{
	if (module->elf)
		elf_end(module->elf);
	if (module->fd >= 0)
		close(module->fd);
	free(module->path);
	free(module->symbol);
	free(module->frame);
	*module = (struct fort_module){.fd = -1};
}

/* The code segment that holds a file offset (or, of_address, a link address). */
static bool code_segment(const struct fort_module *module, uint64_t value, bool of_address,
			 GElf_Phdr *header)
{
	size_t n;

	if (elf_getphdrnum(module->elf, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(module->elf, (int)i, header) && header->p_type == PT_LOAD &&
		    header->p_flags & PF_X &&
		    value - (of_address ? header->p_vaddr : header->p_offset) < header->p_filesz)
			return true;
	return false;
}

int fort_module_of_offset(const struct fort_module *module, uint64_t offset, uint64_t *out)
{
	GElf_Phdr header;

	if (!code_segment(module, offset, false, &header))
		return -EINVAL;
	*out = header.p_vaddr + (offset - header.p_offset);
	return 0;
}

int fort_module_to_offset(const struct fort_module *module, uint64_t address, uint64_t *out)
{
	GElf_Phdr header;

	if (!code_segment(module, address, true, &header))
		return -EINVAL;
	*out = header.p_offset + (address - header.p_vaddr);
	return 0;
}

int fort_module_read(const struct fort_module *module, uint64_t address, void *data, size_t bytes)
{
	GElf_Phdr header;
	size_t n;

	if (elf_getphdrnum(module->elf, &n))
		return -EFAULT;
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(module->elf, (int)i, &header) || header.p_type != PT_LOAD ||
		    address - header.p_vaddr >= header.p_filesz ||
		    bytes > header.p_filesz - (address - header.p_vaddr))
			continue;
		return pread(module->fd, data, bytes,
			     (off_t)(header.p_offset + (address - header.p_vaddr))) ==
				       (ssize_t)bytes
			       ? 0
			       : -EFAULT;
	}
	return -EFAULT;
}
