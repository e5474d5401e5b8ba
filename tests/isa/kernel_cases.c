/* Asks the running kernel about each conformance case: the same result, or the same refusal.
 *
 *     kernel_cases DIR
 *
 * A case becomes a subprogram of an XDP program, which hands it the packet as its memory and stores
 * its r0 in a map. What the kernel refuses must say so in the file (`# kernel: TEXT`), or expect
 * the error that the kernel gives.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data.h"
#include "kernel.h"

#define FILE_BYTES_MAX (1u << 20)
#define ARENA_BYTES    (64u << 20)
#define WRAPPER_SLOTS  16
#define PACKET_MIN     14 /* bytes: XDP test runs take no less */
#define PACKET_MAX     3000
#define RAN            2 /* r0 of the wrapper: XDP_PASS */

static struct kernel_load load;
static unsigned number, failed;

static void report(const char *file, const struct fort_text *why)
{
	printf("%sok %u - %s\n", why->length ? "not " : "", ++number, file);
	if (why->length)
		printf("# %s\n", why->data);
	failed += why->length != 0;
}

struct wrapper {
	struct fort_raw_insn *raw;
	uint32_t n;
};

static void put(struct wrapper *w, enum fort_row row, uint8_t dst, uint8_t src, int16_t off,
		int64_t imm)
{
	struct fort_insn insn = fort_insn_make(row, dst, src, off, imm);

	w->n += fort_insn_encode(&insn, &w->raw[w->n]);
}

/* r1 = packet, known to be long enough, r2 = length of the memory; both 0 without. */
static void put_arguments(struct wrapper *w, const struct data_case *c, uint32_t packet_bytes)
{
	if (!c->mem_bytes) {
		put(w, FORT_ROW_MOV64_K, 1, 0, 0, 0);
		put(w, FORT_ROW_MOV64_K, 2, 0, 0, 0);
		return;
	}
	put(w, FORT_ROW_MOV64_X, 6, 1, 0, 0);
	put(w, FORT_ROW_LDX32, 1, 6, 0, 0);
	put(w, FORT_ROW_LDX32, 2, 6, 4, 0);
	put(w, FORT_ROW_MOV64_X, 3, 1, 0, 0);
	put(w, FORT_ROW_ADD64_K, 3, 0, 0, packet_bytes);
	put(w, FORT_ROW_JLE64_X, 3, 2, 2, 0);
	put(w, FORT_ROW_MOV64_K, 0, 0, 0, 0);
	put(w, FORT_ROW_EXIT, 0, 0, 0, 0);
	put(w, FORT_ROW_MOV64_K, 2, 0, 0, c->mem_bytes);
}

/* The wrapper and, behind it, the case. The caller frees. */
static struct wrapper wrap(const struct data_case *c, uint32_t packet_bytes, int map_fd)
{
	struct wrapper w = {.raw = calloc(WRAPPER_SLOTS + c->n_insns, sizeof(*w.raw))};

	if (!w.raw)
		return w;
	put_arguments(&w, c, packet_bytes);
	put(&w, FORT_ROW_CALL_LOCAL, 0, 0, 0, 5);
	put(&w, FORT_ROW_LDIMM_MAP_VALUE, 1, 0, 0, (uint32_t)map_fd);
	put(&w, FORT_ROW_STX64, 1, 0, 0, 0);
	put(&w, FORT_ROW_MOV64_K, 0, 0, 0, RAN);
	put(&w, FORT_ROW_EXIT, 0, 0, 0, 0);
	memcpy(&w.raw[w.n], c->insns, c->n_insns * sizeof(*w.raw));
	w.n += c->n_insns;
	return w;
}

static void check_refusal(const struct data_case *c, struct fort_text *why)
{
	char complaint[200];

	kernel_complaint(&load, complaint, sizeof(complaint));
	if (c->kernel && !strstr(load.log, c->kernel))
		fort_text_add(why, "expected the kernel to say '%s', not '%s'", c->kernel,
			      complaint);
	else if (!c->kernel && !c->error)
		fort_text_add(why, "the kernel refuses it: %s", complaint);
	else if (!c->kernel && strcmp(c->error, complaint))
		fort_text_add(why, "expected '%s', the kernel says '%s'", c->error, complaint);
}

static void check_result(const struct data_case *c, int map_fd, const uint8_t *packet,
			 uint32_t packet_bytes, struct fort_text *why)
{
	uint32_t retval = 0;
	uint64_t r0 = 0;
	int err = kernel_run(load.fd, packet, packet_bytes, &retval);

	if (!err)
		err = kernel_map_get(map_fd, 0, &r0);
	if (err || retval != RAN)
		fort_text_add(why, "the kernel's run: %s, %u", strerror(-err), retval);
	else if (c->kernel || !c->has_result)
		fort_text_add(why, "the kernel accepts it and gives 0x%llx",
			      (unsigned long long)r0);
	else if (r0 != c->result)
		fort_text_add(why, "expected 0x%llx, the kernel gives 0x%llx",
			      (unsigned long long)c->result, (unsigned long long)r0);
}

static void run_case(const struct data_case *c, int map_fd, struct fort_text *why)
{
	static uint8_t packet[PACKET_MAX];
	uint32_t packet_bytes = c->mem_bytes > PACKET_MIN ? c->mem_bytes : PACKET_MIN;
	struct wrapper w;

	if (packet_bytes > PACKET_MAX)
		packet_bytes = PACKET_MAX; /* only programs that the kernel refuses ask for more */
	memset(packet, 0, sizeof(packet));
	memcpy(packet, c->mem, c->mem_bytes < PACKET_MAX ? c->mem_bytes : PACKET_MAX);
	w = wrap(c, packet_bytes, map_fd);
	if (!w.raw) {
		fort_text_add(why, "out of memory");
		return;
	}
	kernel_load(BPF_PROG_TYPE_XDP, w.raw, w.n, &load);
	free(w.raw);
	if (load.fd < 0) {
		check_refusal(c, why);
		return;
	}
	check_result(c, map_fd, packet, packet_bytes, why);
	close(load.fd);
}

static void run_file(const char *directory, const char *name, int map_fd)
{
	static char text[FILE_BYTES_MAX];
	char path[4096], array[1024];
	struct fort_text why = fort_text_on(array, sizeof(array));
	struct fort_arena arena;
	struct data_case c;
	FILE *file;
	size_t bytes = 0;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "r");
	if (file) {
		bytes = fread(text, 1, sizeof(text), file);
		fclose(file);
	}
	fort_arena_init(&arena, ARENA_BYTES);
	if (data_parse(&arena, text, bytes, &c, &why) && !why.length)
		fort_text_add(&why, "cannot be read");
	if (!why.length && c.kernel && !strcmp(c.kernel, "-"))
		printf("# %s: not a question for the kernel\n", name);
	else {
		if (!why.length)
			run_case(&c, map_fd, &why);
		report(name, &why);
	}
	fort_arena_free(&arena);
}

static int is_data_file(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 5 && !strcmp(entry->d_name + length - 5, ".data");
}

int main(int argc, char **argv)
{
	const char *unfit = kernel_unfit();
	struct dirent **entries;
	int n, map_fd;

	if (argc != 2) {
		fprintf(stderr, "usage: kernel_cases DIR\n");
		return 2;
	}
	if (unfit) {
		printf("1..0 # SKIP %s\n", unfit);
		return 0;
	}
	n = scandir(argv[1], &entries, is_data_file, alphasort);
	map_fd = kernel_array(sizeof(uint64_t));
	if (n <= 0 || map_fd < 0) {
		printf("Bail out! no data files in %s, or no map\n", argv[1]);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		run_file(argv[1], entries[i]->d_name, map_fd);
		free(entries[i]);
	}
	free(entries);
	close(map_fd);
	printf("1..%u\n", number);
	return failed ? 1 : 0;
}
