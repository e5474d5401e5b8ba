/* The first process of the guest: runs the commands of /tests, a line each, prints what they print
 * between two lines of its own, and turns the machine off. Statically linked.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 16

static int run(char *line)
{
	char *words[WORDS_MAX + 1] = {0};
	int status = -1;
	pid_t pid;

	for (unsigned i = 0; i < WORDS_MAX; i++)
		words[i] = strtok(i ? NULL : line, " ");
	pid = fork();
	if (!pid) {
		dup2(1, 2);
		execv(words[0], words);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void mount_one(const char *type, const char *at)
{
	mkdir(at, 0755);
	if (mount(type, at, type, 0, NULL))
		perror(at);
}

int main(void)
{
	char line[512], command[512];
	FILE *list;

	mount_one("proc", "/proc");
	mount_one("devtmpfs", "/dev");
	mount_one("sysfs", "/sys");
	mkdir("/tmp", 01777); /* tests may lie in there: nothing is mounted over it */
	setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1);
	list = fopen("/tests", "r");
	while (list && fgets(line, sizeof(line), list)) {
		int status;

		line[strcspn(line, "\n")] = 0;
		strcpy(command, line);
		printf("@begin %s\n", line);
		fflush(stdout);
		status = run(command);
		printf("\n@end %d\n", status);
		fflush(stdout);
	}
	puts("@off");
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	return 1;
}
