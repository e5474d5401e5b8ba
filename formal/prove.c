/* Asks the solver about every obligation, some at a time, each in a process of its own: a proof
 * that crashes or does not end costs itself only. One line each: verdict, seconds of processor
 * time, name and width; those that are not proven again at the end. Exits 0 if all asked about are
 * proven.
 *
 * usage: prove [--jobs N] [--timeout SECONDS] [--width BITS] [NAME[/WIDTH]]...
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "prover.h"

#define OBLIGATIONS_MAX 512u
#define JOBS_MAX        64u

static const char *const verdicts[] = {
	[VERDICT_NONE] = "CRASHED",    [VERDICT_UNSAT] = "proven",    [VERDICT_SAT] = "REFUTED",
	[VERDICT_UNKNOWN] = "GAVE UP", [VERDICT_VACUOUS] = "VACUOUS",
};

struct job {
	pid_t pid;
	unsigned row;
};

struct run {
	unsigned n_jobs, timeout_seconds;
	struct job jobs[JOBS_MAX];
	bool asked[OBLIGATIONS_MAX];
	enum verdict verdict[OBLIGATIONS_MAX];
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_of(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void ask(struct run *run, unsigned row, struct job *job)
{
	fflush(NULL);
	job->row = row;
	job->pid = fork();
	if (job->pid < 0) {
		perror("prove: fork");
		exit(2);
	}
	if (job->pid)
		return;
	setrlimit(RLIMIT_CPU, &(struct rlimit){run->timeout_seconds, run->timeout_seconds});
	prover_open();
	_exit((int)prover_ask(&obligations[row]));
}

static void collect(struct run *run)
{
	struct rusage used;
	int status;
	pid_t pid = wait4(-1, &status, 0, &used);
	double seconds = seconds_of(&used.ru_utime) + seconds_of(&used.ru_stime);

	for (unsigned i = 0; i < run->n_jobs; i++) {
		struct job *job = &run->jobs[i];
		const struct obligation *o = &obligations[job->row];
		enum verdict verdict = VERDICT_NONE;

		if (job->pid != pid)
			continue;
		if (WIFEXITED(status) && (unsigned)WEXITSTATUS(status) <= VERDICT_VACUOUS)
			verdict = (enum verdict)WEXITSTATUS(status);
		if (WIFSIGNALED(status) &&
		    (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
			verdict = VERDICT_UNKNOWN;
		run->verdict[job->row] = verdict;
		printf("%-8s %6.2f s  %s/%u: %s\n", verdicts[verdict], seconds, o->name, o->width,
		       o->property);
		job->pid = 0;
	}
}

static struct job *idle_job(struct run *run)
{
	for (unsigned i = 0; i < run->n_jobs; i++)
		if (!run->jobs[i].pid)
			return &run->jobs[i];
	return NULL;
}

static void ask_all(struct run *run)
{
	unsigned busy = 0;

	for (unsigned row = 0; row < n_obligations; row++) {
		if (!run->asked[row])
			continue;
		if (busy == run->n_jobs) {
			collect(run);
			busy--;
		}
		ask(run, row, idle_job(run));
		busy++;
	}
	for (; busy; busy--)
		collect(run);
}

/* NAME or NAME/WIDTH. */
static bool is_named(const struct obligation *o, const char *name)
{
	char full[128];

	snprintf(full, sizeof(full), "%s/%u", o->name, o->width);
	return !strcmp(o->name, name) || !strcmp(full, name);
}

/* What was named, or all. A name that there is not is an error. */
static bool choose(struct run *run, char **names, int n, int width)
{
	for (unsigned row = 0; row < n_obligations && !n; row++)
		run->asked[row] = true;
	for (int i = 0; i < n; i++) {
		bool known = false;

		for (unsigned row = 0; row < n_obligations; row++)
			if (is_named(&obligations[row], names[i]))
				known = run->asked[row] = true;
		if (!known) {
			fprintf(stderr, "prove: no obligation '%s'\n", names[i]);
			return false;
		}
	}
	for (unsigned row = 0; row < n_obligations && width >= 0; row++)
		run->asked[row] &= obligations[row].width == (unsigned)width;
	return true;
}

static int report(const struct run *run, double seconds)
{
	unsigned asked = 0, proven = 0;

	for (unsigned row = 0; row < n_obligations; row++) {
		asked += run->asked[row];
		proven += run->asked[row] && run->verdict[row] == VERDICT_UNSAT;
		if (run->asked[row] && run->verdict[row] != VERDICT_UNSAT)
			fprintf(stderr, "prove: %s/%u: %s\n", obligations[row].name,
				obligations[row].width, verdicts[run->verdict[row]]);
	}
	printf("%u of %u proven, %.0f s\n", proven, asked, seconds);
	return asked && proven == asked ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"jobs", required_argument, NULL, 'j'},
						{"timeout", required_argument, NULL, 't'},
						{"width", required_argument, NULL, 'w'},
						{0}};
	static struct run run = {.timeout_seconds = 60};
	long jobs = sysconf(_SC_NPROCESSORS_ONLN);
	double start = now();
	int option, width = -1;

	while ((option = getopt_long(argc, argv, "j:t:w:", options, NULL)) != -1)
		switch (option) {
		case 'j': jobs = atol(optarg); break;
		case 't': run.timeout_seconds = (unsigned)atoi(optarg); break;
		case 'w': width = atoi(optarg); break;
		default: return 2;
		}
	if (jobs < 1 || n_obligations > OBLIGATIONS_MAX ||
	    !choose(&run, argv + optind, argc - optind, width))
		return 2;
	run.n_jobs = jobs > (long)JOBS_MAX ? JOBS_MAX : (unsigned)jobs;
	setvbuf(stdout, NULL, _IOLBF, 0);
	ask_all(&run);
	return report(&run, now() - start);
}
