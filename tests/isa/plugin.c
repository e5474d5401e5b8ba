#include "plugin.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/text.h"

#define OUTPUT_BYTES 4096

static void put_hex(struct fort_text *out, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < bytes; i++)
		fort_text_add(out, i ? " %02x" : "%02x", at[i]);
}

/* The smallest object: header, program, names, three section headers. */
static void put_elf(struct fort_buf *out, const struct fort_raw_insn *insns, uint32_t n_insns)
{
	static const char names[24] = "\0.text\0.shstrtab";
	uint64_t bytes = n_insns * sizeof(*insns), names_at = sizeof(Elf64_Ehdr) + bytes;
	Elf64_Ehdr header = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_REL,
		.e_machine = EM_BPF,
		.e_version = EV_CURRENT,
		.e_shoff = names_at + sizeof(names),
		.e_ehsize = sizeof(header),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 3,
		.e_shstrndx = 2,
	};
	const Elf64_Shdr sections[3] = {
		{0},
		{.sh_name = 1,
		 .sh_type = SHT_PROGBITS,
		 .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
		 .sh_offset = sizeof(header),
		 .sh_size = bytes,
		 .sh_addralign = 8},
		{.sh_name = 7,
		 .sh_type = SHT_STRTAB,
		 .sh_offset = names_at,
		 .sh_size = sizeof(names),
		 .sh_addralign = 1},
	};

	fort_buf_put(out, &header, sizeof(header));
	fort_buf_put(out, insns, bytes);
	fort_buf_put(out, names, sizeof(names));
	fort_buf_put(out, sections, sizeof(sections));
}

/* The child's standard input: a file, so that nobody waits for anybody. */
static int input_file(const struct plugin_request *request)
{
	int fd = memfd_create("plugin-input", MFD_CLOEXEC);
	struct fort_text hex = fort_text_new();
	struct fort_buf elf;
	ssize_t written;

	if (fd < 0)
		return -errno;
	fort_buf_init(&elf, FORT_PLUGIN_INPUT_BYTES_MAX);
	if (request->elf) {
		put_elf(&elf, request->insns, request->n_insns);
		written = write(fd, elf.data, elf.bytes);
	} else {
		put_hex(&hex, request->insns, request->n_insns * sizeof(*request->insns));
		fort_text_add(&hex, "\n");
		written = write(fd, hex.data, hex.length);
	}
	fort_buf_free(&elf);
	fort_text_free(&hex);
	if (written <= 0 || lseek(fd, 0, SEEK_SET)) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static void run_child(const struct plugin_request *request, int in, int out, int err)
{
	struct fort_text mem = fort_text_new();
	union {
		const char *words[12];
		char *for_exec[12];               /* which does not write to them */
	} argv = {{"bpfort-conformance-plugin"}}; /* the name the program is told apart by */
	unsigned n = 1;

	if (request->mem_bytes) {
		put_hex(&mem, request->mem, request->mem_bytes);
		argv.words[n++] = mem.data;
	}
	argv.words[n++] = "--engine", argv.words[n++] = request->engine;
	argv.words[n++] = "--isolation", argv.words[n++] = request->isolation;
	argv.words[n++] = "--profile", argv.words[n++] = request->profile;
	if (request->elf)
		argv.words[n++] = "--elf";
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0)
		_exit(126);
	execv(request->path, argv.for_exec);
	_exit(127);
}

/* What the child wrote, without the white space at its end. */
static void collect(int fd, char out[OUTPUT_BYTES])
{
	ssize_t bytes = pread(fd, out, OUTPUT_BYTES - 1, 0);

	out[bytes > 0 ? bytes : 0] = 0;
	for (size_t n = strlen(out); n && strchr(" \t\r\n", out[n - 1]); n--)
		out[n - 1] = 0;
}

static int judge(int status, const char *out, const char *err, struct plugin_result *result)
{
	char *end;

	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		return -EPROTO;
	*result = (struct plugin_result){.failed = WEXITSTATUS(status)};
	if (result->failed) {
		snprintf(result->message, sizeof(result->message), "%.511s", err);
		return *err && !*out ? 0 : -EPROTO;
	}
	result->r0 = strtoull(out, &end, 16);
	return *out && !*end && !*err ? 0 : -EPROTO;
}

int plugin_run(const struct plugin_request *request, struct plugin_result *result)
{
	int in = input_file(request), out, err, status = 0;
	char out_text[OUTPUT_BYTES], err_text[OUTPUT_BYTES];
	pid_t child;

	if (in < 0)
		return in;
	out = memfd_create("plugin-out", MFD_CLOEXEC);
	err = memfd_create("plugin-err", MFD_CLOEXEC);
	fflush(stdout);
	child = out >= 0 && err >= 0 ? fork() : -1;
	if (child == 0)
		run_child(request, in, out, err);
	if (child > 0 && waitpid(child, &status, 0) == child) {
		collect(out, out_text);
		collect(err, err_text);
	}
	close(in);
	close(out);
	close(err);
	return child > 0 ? judge(status, out_text, err_text, result) : -EAGAIN;
}
