#include "cli/kernel_types.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "btf/kernel.h"

/* libbpf wants a file, and does not look into every kind of ELF file. */
static int make_file(struct fort_kernel_types *types)
{
	size_t bytes, done = 0;
	const char *data = fort_btf_data(types->btf, &bytes);

	types->fd = memfd_create("bpfort-types", MFD_CLOEXEC);
	if (types->fd < 0)
		return -errno;
	while (done < bytes) {
		ssize_t n = write(types->fd, data + done, bytes - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	snprintf(types->path, sizeof(types->path), "/proc/self/fd/%d", types->fd);
	return 0;
}

int fort_kernel_types_open(const char *path, struct fort_kernel_types *out, struct fort_text *why)
{
	struct fort_kernel_types types = {.fd = -1};
	struct fort_btf_error error;
	int err = fort_btf_open_kernel(path, &types.btf, &error);

	if (!path) {
		*out = types;
		return 0;
	}
	if (err) {
		fort_text_add(why, "%s: %s (%s)", path, error.what, strerror(-err));
		return err;
	}
	err = make_file(&types);
	if (err) {
		fort_text_add(why, "%s: %s", path, strerror(-err));
		fort_kernel_types_close(&types);
		return err;
	}
	*out = types;
	return 0;
}

void fort_kernel_types_close(struct fort_kernel_types *types)
{
	fort_btf_free(types->btf);
	if (types->fd >= 0)
		close(types->fd);
	*types = (struct fort_kernel_types){.fd = -1};
}
