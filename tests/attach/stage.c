#include "tests/attach/stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const variables[] = {"TEST_AGENT",   "BELIEVING_AGENT", "VICTIM",
					"VICTIM_ENDBR", "VICTIM_NOPIE",    "VICTIM_STATIC",
					"VICTIM_CXX"};
#define N_VARIABLES (sizeof(variables) / sizeof(variables[0]))

static char directory[] = "/tmp/bpfort-attach-XXXXXX";
static pid_t owner;

static void path_of(unsigned variable, char path[static 64])
{
	snprintf(path, 64, "%s/%s", directory, variables[variable]);
}

static void unstage(void)
{
	char path[64];

	if (getpid() != owner)
		return;
	for (unsigned i = 0; i < N_VARIABLES; i++) {
		path_of(i, path);
		unlink(path);
	}
	rmdir(directory);
}

static void give_up(const char *what)
{
	perror(what);
	exit(1);
}

static void copy_program(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat stat;
	off_t done = 0;

	if (in < 0 || out < 0 || fstat(in, &stat) || fchmod(out, 0755))
		give_up(from);
	while (done < stat.st_size)
		if (sendfile(out, in, &done, (size_t)(stat.st_size - done)) <= 0)
			give_up(to);
	close(in);
	close(out);
}

void stage_programs(uid_t uid)
{
	char path[64];

	if (!mkdtemp(directory) || chmod(directory, 0755) || chown(directory, uid, uid))
		give_up(directory);
	owner = getpid();
	atexit(unstage);
	for (unsigned i = 0; i < N_VARIABLES; i++) {
		const char *from = getenv(variables[i]);

		if (!from)
			continue;
		path_of(i, path);
		copy_program(from, path);
		if (setenv(variables[i], path, 1))
			give_up(path);
	}
}
