#include "cli/jobs.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/progress.h"

/* --- the worker --- */

static void become_worker(pid_t parent, const sigset_t *mask)
{
	struct rlimit seconds = {FORT_VERIFY_SECONDS, FORT_VERIFY_SECONDS}, none = {0, 0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Who is stopped, is stopped as a whole. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setrlimit(RLIMIT_CPU, &seconds);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	/* A crash is an answer here, nothing to be printed. */
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
}

static int start(const struct fort_vet_request *request, struct fort_job *job, const sigset_t *mask)
{
	pid_t parent = getpid();
	void *page = mmap(NULL, sizeof(*job->page), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	job->page = page;
	job->fd = memfd_create("bpfort-results", MFD_CLOEXEC);
	if (job->fd < 0)
		return -errno;
	fflush(NULL);
	job->pid = fork();
	if (job->pid < 0)
		return -errno;
	if (job->pid)
		return 0;
	become_worker(parent, mask);
	_exit(fort_vet_file(request, job->path, job->fd, job->page) ? 1 : 0);
}

/* --- what it left --- */

static void terminate_place(struct fort_load_place *place)
{
	place->file[sizeof(place->file) - 1] = 0;
	place->text[sizeof(place->text) - 1] = 0;
}

static void terminate_report(struct fort_load_report *report)
{
	struct fort_load_diag *diag = &report->diag;

	report->name[sizeof(report->name) - 1] = 0;
	report->log_tail[sizeof(report->log_tail) - 1] = 0;
	diag->code[sizeof(diag->code) - 1] = 0;
	diag->title[sizeof(diag->title) - 1] = 0;
	diag->message[sizeof(diag->message) - 1] = 0;
	diag->needed[sizeof(diag->needed) - 1] = 0;
	diag->known[sizeof(diag->known) - 1] = 0;
	diag->hint[sizeof(diag->hint) - 1] = 0;
	terminate_place(&diag->place);
	for (size_t i = 0; i < FORT_LEN(diag->path); i++)
		terminate_place(&diag->path[i].place);
}

/* It was written by a process that may have been about to crash. False: it makes no sense. */
static bool terminate(struct fort_vetted *vetted)
{
	vetted->name[sizeof(vetted->name) - 1] = 0;
	vetted->section[sizeof(vetted->section) - 1] = 0;
	vetted->type[sizeof(vetted->type) - 1] = 0;
	vetted->words[sizeof(vetted->words) - 1] = 0;
	vetted->kernel.words[sizeof(vetted->kernel.words) - 1] = 0;
	vetted->loading.unknown[sizeof(vetted->loading.unknown) - 1] = 0;
	vetted->loading.report.type = NULL;
	terminate_report(&vetted->loading.report);
	return vetted->verdict <= FORT_VET_ERROR && vetted->kernel.verdict <= FORT_VET_ERROR;
}

static int keep(struct fort_job *job, struct fort_vetted *vetted, char *log)
{
	size_t n = job->n_programs + 1;
	struct fort_vetted **programs = realloc(job->programs, n * sizeof(*programs));
	char **logs;

	if (!programs)
		return -ENOMEM;
	job->programs = programs;
	logs = realloc(job->logs, n * sizeof(*logs));
	if (!logs)
		return -ENOMEM;
	job->logs = logs;
	programs[n - 1] = vetted;
	logs[n - 1] = log;
	job->n_programs = n;
	return 0;
}

/* One result at *offset. 0; 1 at the end, or what is not whole; or -ENOMEM. */
static int read_one(struct fort_job *job, uint64_t bytes, uint64_t *offset)
{
	struct fort_vetted *vetted = malloc(sizeof(*vetted));
	char *log = NULL;
	int err = vetted ? 1 : -ENOMEM;

	if (!err || *offset + sizeof(*vetted) > bytes)
		goto out;
	if (pread(job->fd, vetted, sizeof(*vetted), (off_t)*offset) != sizeof(*vetted) ||
	    !terminate(vetted) || vetted->log_bytes > bytes - *offset - sizeof(*vetted))
		goto out;
	*offset += sizeof(*vetted);
	if (vetted->log_bytes) {
		log = calloc(1, vetted->log_bytes + 1);
		if (log && pread(job->fd, log, vetted->log_bytes, (off_t)*offset) < 0)
			log[0] = 0;
		*offset += vetted->log_bytes;
	}
	err = keep(job, vetted, log);
	if (!err)
		return 0;
out:
	free(vetted);
	free(log);
	return err;
}

static int read_results(struct fort_job *job)
{
	uint64_t offset = 0;
	struct stat stat;
	int err = fstat(job->fd, &stat) ? -errno : 0;

	while (!err)
		err = read_one(job, (uint64_t)stat.st_size, &offset);
	return err < 0 ? err : 0;
}

static void add_crash(const struct fort_job *job, int status, struct fort_text *why)
{
	const char *how = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a memory error";
	struct fort_file file;
	struct fort_text words = fort_text_new();

	if (job->page->now[0]) {
		fort_text_add(why, "%s: program %s: the process that verified it was ended by %s",
			      job->path, job->page->now, how);
	} else {
		fort_text_add(why,
			      "%s: damaged: libbpf %u.%u was ended by %s when it tried to read it",
			      job->path, libbpf_major_version(), libbpf_minor_version(), how);
	}
	if (!fort_file_read_untried(job->path, &file, &words)) {
		fort_file_complain(&file, why);
		fort_file_close(&file);
	}
	fort_text_free(&words);
}

static int finish(struct fort_job *job, int status)
{
	struct fort_text why = fort_text_new();
	int err = read_results(job);

	job->page->now[sizeof(job->page->now) - 1] = 0;
	job->page->why[sizeof(job->page->why) - 1] = 0;
	if (job->page->why[0])
		fort_text_add(&why, "%s", job->page->why);
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		add_crash(job, status, &why);
	job->error = why.length ? strdup(why.data) : NULL;
	if (why.length && !job->error)
		err = -ENOMEM;
	fort_text_free(&why);
	close(job->fd);
	munmap(job->page, sizeof(*job->page));
	job->page = NULL;
	job->pid = 0;
	return err;
}

/* --- all of them --- */

struct crew {
	struct fort_job *jobs;
	size_t n_jobs, next, n_done, n_running;
	bool progress;
};

static int collect(struct crew *crew)
{
	int err = 0;

	for (size_t i = 0; !err && i < crew->next; i++) {
		struct fort_job *job = &crew->jobs[i];
		int status;

		if (!job->pid || waitpid(job->pid, &status, WNOHANG) != job->pid)
			continue;
		err = finish(job, status);
		crew->n_running--;
		crew->n_done++;
	}
	return err;
}

/* A file that is half done counts for half. */
static void draw(const struct crew *crew)
{
	double done = (double)crew->n_done;
	const struct fort_job *shown = NULL;

	if (!crew->progress)
		return;
	for (size_t i = 0; i < crew->next; i++) {
		const struct fort_job *job = &crew->jobs[i];

		if (!job->pid)
			continue;
		shown = job;
		if (job->page->n_programs)
			done += (double)job->page->n_done / job->page->n_programs;
	}
	fort_progress_draw(done / (double)crew->n_jobs, crew->n_done, crew->n_jobs,
			   shown ? shown->path : "");
}

/* Until a worker ends, or it is time to draw again. */
static void wait_for_news(const sigset_t *child)
{
	const struct timespec period = {.tv_nsec = 100000000};

	(void)!sigtimedwait(child, NULL, &period);
}

int fort_jobs_run(const struct fort_vet_request *request, struct fort_job *jobs, size_t n_jobs,
		  uint32_t n_workers, bool progress)
{
	struct crew crew = {.jobs = jobs, .n_jobs = n_jobs, .progress = progress};
	sigset_t child, before;
	int err = 0;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	while (!err && crew.n_done < n_jobs) {
		if (crew.n_running < n_workers && crew.next < n_jobs) {
			err = start(request, &jobs[crew.next++], &before);
			crew.n_running++;
			continue;
		}
		draw(&crew);
		wait_for_news(&child);
		err = collect(&crew);
	}
	if (progress)
		fort_progress_end();
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}

void fort_jobs_free(struct fort_job *jobs, size_t n_jobs)
{
	for (size_t i = 0; i < n_jobs; i++) {
		struct fort_job *job = &jobs[i];

		for (size_t j = 0; j < job->n_programs; j++) {
			free(job->programs[j]);
			free(job->logs[j]);
		}
		free(job->programs);
		free(job->logs);
		free(job->error);
	}
	free(jobs);
}
