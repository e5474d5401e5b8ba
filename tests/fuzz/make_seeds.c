/* Writes first inputs for the fuzz targets `verify` and `certificate`: every program of
 * programs.h and every case of the given files, and the certificates of the programs, honest and
 * not.
 *
 * usage: make_seeds SEEDS-DIRECTORY CASES...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "case.h"
#include "lab.h"
#include "programs.h"

static struct lab lab;
static const char *directory;

/* Seeds are named by what they hold, so that making them again changes nothing. */
static void write_seed(const char *target, uint8_t head, int second, const void *bytes, size_t n)
{
	uint8_t digest[FORT_SHA256_BYTES];
	struct fort_sha256 hash;
	char path[512];
	FILE *out;

	fort_sha256_init(&hash);
	fort_sha256_add(&hash, &head, 1);
	fort_sha256_add(&hash, bytes, n);
	fort_sha256_end(&hash, digest);
	snprintf(path, sizeof(path), "%s/%s/%02x%02x%02x%02x%02x%02x", directory, target, digest[0],
		 digest[1], digest[2], digest[3], digest[4], digest[5]);
	out = fopen(path, "w");
	if (!out) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	fputc(head, out);
	if (second >= 0)
		fputc(second, out);
	fwrite(bytes, 1, n, out);
	fclose(out);
}

static void program_seed(const char *type)
{
	for (uint8_t i = 0; i < FORT_PROGS; i++)
		if (!strcmp(fort_progs[i].name, type))
			write_seed("verify", i, 0x80 | LAB_ALL_RIGHTS, lab.raw,
				   lab.n_insns * sizeof(lab.raw[0]));
}

static void certificate_seeds(const struct lab_program *program, uint8_t number)
{
	for (unsigned s = FORT_SABOTAGE_NONE; s < FORT_SABOTAGES; s++) {
		if (lab_open(&lab, program->type, program->code) && lab_search(&lab, s)) {
			program_seed(program->type);
			if (lab.result.verdict == FORT_ACCEPT)
				write_seed("certificate", number, -1, lab.result.certificate.data,
					   lab.result.certificate.bytes);
		}
		lab_free(&lab);
	}
}

static void case_seed(const struct lab_case *want, void *context)
{
	(void)context;
	if (lab_case_open(&lab, want))
		program_seed(want->type);
	lab_free(&lab);
}

int main(int argc, char **argv)
{
	uint8_t number = 0;
	char path[512];

	if (argc < 2)
		return 2;
	directory = argv[1];
	snprintf(path, sizeof(path), "%s/verify", directory);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/certificate", directory);
	mkdir(path, 0777);
	for (size_t i = 0; i < FORT_LEN(lab_safe); i++)
		certificate_seeds(&lab_safe[i], number++);
	for (size_t i = 0; i < FORT_LEN(lab_unsafe); i++)
		certificate_seeds(&lab_unsafe[i], number++);
	for (int i = 2; i < argc; i++)
		if (!lab_cases_read(argv[i], case_seed, NULL))
			return 1;
	return 0;
}
