#include "btf/kernel.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "base/limits.h"
#include "base/pages.h"
#include "btf/blob.h"

#define MAGIC 0xeb9f

/* Where the BTF is in the file. */
struct range {
	uint64_t offset, bytes;
};

static int fail(struct fort_btf_error *error, const char *what, int err)
{
	snprintf(error->what, sizeof(error->what), "%s", what);
	return err;
}

/* All of `bytes`, or an error. */
static int read_at(int fd, uint64_t offset, void *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t more = pread(fd, (char *)data + done, bytes - done, (off_t)(offset + done));

		if (more < 0 && errno == EINTR)
			continue;
		if (more <= 0)
			return more ? -errno : -ENODATA;
		done += (size_t)more;
	}
	return 0;
}

/* The section .BTF of a 64-bit ELF file. */
static int find_section(int fd, struct range *out)
{
	static const char wanted[] = ".BTF";
	Elf64_Ehdr file;
	Elf64_Shdr names, section;
	char name[sizeof(wanted)];
	int err = read_at(fd, 0, &file, sizeof(file));

	if (err)
		return err;
	if (memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 || file.e_ident[EI_CLASS] != ELFCLASS64 ||
	    file.e_ident[EI_DATA] != ELFDATA2LSB || file.e_shentsize != sizeof(section) ||
	    file.e_shstrndx >= file.e_shnum || file.e_shoff > INT64_MAX / 2)
		return -ENODATA;
	err = read_at(fd, file.e_shoff + file.e_shstrndx * sizeof(names), &names, sizeof(names));
	for (unsigned i = 0; !err && i < file.e_shnum; i++) {
		err = read_at(fd, file.e_shoff + i * sizeof(section), &section, sizeof(section));
		if (err || section.sh_type != SHT_PROGBITS || names.sh_offset > INT64_MAX / 2)
			continue;
		err = read_at(fd, names.sh_offset + section.sh_name, name, sizeof(name));
		if (err || memcmp(name, wanted, sizeof(wanted)) != 0)
			continue;
		if (section.sh_offset > INT64_MAX / 2)
			return -ENODATA;
		*out = (struct range){section.sh_offset, section.sh_size};
		return 0;
	}
	return err ? err : -ENODATA;
}

static int find_range(int fd, const struct stat *stat, struct range *out)
{
	uint16_t magic;
	int err = read_at(fd, 0, &magic, sizeof(magic));

	if (err)
		return err;
	if (magic != MAGIC)
		return find_section(fd, out);
	*out = (struct range){0, (uint64_t)stat->st_size};
	return 0;
}

/* The kernel's own file is read-only memory of the kernel (mapped since 6.16). Others may change
 * while they are looked at, and are copied.
 */
static bool map_file(int fd, const struct range *range, struct fort_btf *btf)
{
	struct statfs fs;
	void *pages;

	if (range->offset || fstatfs(fd, &fs) || fs.f_type != SYSFS_MAGIC)
		return false;
	pages = mmap(NULL, range->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (pages == MAP_FAILED)
		return false;
	btf->pages = pages;
	return true;
}

static int load(int fd, struct fort_btf *btf, struct fort_btf_error *error)
{
	struct range range = {0};
	struct stat stat;
	int err = fstat(fd, &stat) ? -errno : find_range(fd, &stat, &range);

	if (err == -ENODATA)
		return fail(error, "neither BTF nor an ELF file with a section .BTF", err);
	if (!err && range.bytes > FORT_BTF_BYTES_MAX)
		return fail(error, "larger than 16 MiB", -E2BIG);
	if (!err && !range.bytes)
		return fail(error, "empty", -ENODATA);
	btf->pages_bytes = range.bytes;
	if (!err && !map_file(fd, &range, btf)) {
		err = fort_pages_alloc(range.bytes, &btf->pages);
		err = err ? err : read_at(fd, range.offset, btf->pages, range.bytes);
	}
	if (err)
		return fail(error, "cannot be read", err);
	btf->data = btf->pages;
	btf->bytes = (uint32_t)range.bytes;
	return fort_btf_check_all(btf, NULL, error);
}

int fort_btf_open_kernel(const char *path, struct fort_btf **out, struct fort_btf_error *error)
{
	struct fort_btf *btf;
	int fd, err = -ENOMEM;

	*error = (struct fort_btf_error){0};
	fd = open(path ? path : FORT_BTF_VMLINUX, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return fail(error, "cannot be opened", -errno);
	btf = fort_btf_new();
	if (btf) {
		btf->is_kernel = true;
		err = load(fd, btf, error);
	}
	close(fd);
	if (err) {
		fort_btf_free(btf);
		return err;
	}
	*out = btf;
	return 0;
}
