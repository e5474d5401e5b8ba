#include "helper/vdso.h"

#include <linux/auxvec.h>
#include <linux/elf.h>
#include <linux/fcntl.h>
#include <string.h>

#include "base/sys.h"

#define AUXV_MAX    64u
#define SYMBOLS_MAX 256u
#define DYNAMIC_MAX 64u

/* Where the kernel put the vDSO: AT_SYSINFO_EHDR. */
static const uint8_t *find_image(void)
{
	uint64_t auxv[AUXV_MAX][2];
	long fd = fort_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/auxv", O_RDONLY | O_CLOEXEC, 0);
	long bytes;

	if (fd < 0)
		return NULL;
	bytes = fort_sys3(SYS_read, fd, (long)auxv, sizeof(auxv));
	fort_sys1(SYS_close, fd);
	for (long i = 0; i < bytes / (long)sizeof(auxv[0]); i++)
		if (auxv[i][0] == AT_SYSINFO_EHDR)
			return (const uint8_t *)(uintptr_t)auxv[i][1];
	return NULL;
}

struct symbols {
	const uint8_t *base; /* what addresses in the image are relative to */
	const Elf64_Sym *table;
	const char *names;
	uint64_t names_bytes;
};

static void read_dynamic(struct symbols *symbols, const Elf64_Dyn *dynamic)
{
	for (unsigned i = 0; i < DYNAMIC_MAX && dynamic[i].d_tag != DT_NULL; i++) {
		const uint8_t *at = symbols->base + dynamic[i].d_un.d_val;

		switch (dynamic[i].d_tag) {
		case DT_SYMTAB: symbols->table = (const Elf64_Sym *)at; break;
		case DT_STRTAB: symbols->names = (const char *)at; break;
		case DT_STRSZ: symbols->names_bytes = dynamic[i].d_un.d_val; break;
		default: break;
		}
	}
}

static bool find_symbols(const uint8_t *image, struct symbols *symbols)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
	const Elf64_Phdr *parts = (const Elf64_Phdr *)(image + header->e_phoff);
	const Elf64_Dyn *dynamic = NULL;

	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return false;
	for (unsigned i = 0; i < header->e_phnum; i++) {
		if (parts[i].p_type == PT_LOAD && !symbols->base)
			symbols->base = image + parts[i].p_offset - parts[i].p_vaddr;
		else if (parts[i].p_type == PT_DYNAMIC)
			dynamic = (const Elf64_Dyn *)(image + parts[i].p_offset);
	}
	if (symbols->base && dynamic)
		read_dynamic(symbols, dynamic);
	/* Linkers put the names right behind the symbols: that is how many there are. */
	return symbols->table && symbols->names > (const char *)symbols->table;
}

fort_clock_fn *fort_vdso_clock(void)
{
	const uint8_t *image = find_image();
	struct symbols symbols = {0};
	size_t count;

	if (!image || !find_symbols(image, &symbols))
		return NULL;
	count = (size_t)(symbols.names - (const char *)symbols.table) / sizeof(Elf64_Sym);
	for (size_t i = 0; i < count && i < SYMBOLS_MAX; i++) {
		const Elf64_Sym *symbol = &symbols.table[i];

		if (symbol->st_name < symbols.names_bytes && symbol->st_value &&
		    !strcmp(symbols.names + symbol->st_name, "__vdso_clock_gettime"))
			return (fort_clock_fn *)(uintptr_t)(symbols.base + symbol->st_value);
	}
	return NULL;
}
