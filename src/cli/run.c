/* bpfort run: load an object, attach its probes to a process, print what they tell, and in the end
 * what their maps hold.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "abi/uapi.h"
#include "cli/crash_print.h"
#include "cli/map_print.h"
#include "cli/section.h"
#include "cli/stream.h"
#include "cli/target.h"
#include "cli/verb.h"
#include "cli/verdict.h"

struct request {
	const char *file;
	const char *crash; /* actions */
	uint64_t pid, seconds, crash_after;
	char **command;
	bool json;
};

struct session {
	const struct request *request;
	struct fort_file file;
	struct fort_front *front;
	struct fort_log_room log;
	struct bpf_object *object;
	struct fort_types types;
	struct fort_stream *stream;
	struct fort_run_target *target;
	struct bpf_link **links;
	size_t n_links;
	int epoll, signals;
	sigset_t mask; /* as we found it, and as a command gets it */
	struct fort_text *why;
	bool rejected;
	/* of the program that was loaded last */
	struct fort_loading loading;
	struct bpf_program *loaded;
};

static int fail(struct session *s, int err, const char *what)
{
	fort_text_add(s->why, "%s: %s", what, strerror(-err));
	return err;
}

/* --- loading --- */

static void keep_report(void *owner, const struct fort_attr_prog_load *attr,
			const struct fort_load_report *report)
{
	struct session *s = owner;
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, s->object) {
		if (!fort_program_is(prog, attr))
			continue;
		s->loaded = prog;
		s->loading.reached = true;
		s->loading.report = *report;
	}
}

static int load(struct session *s)
{
	struct fort_front_tap tap = {.after = keep_report, .owner = s};
	int err = fort_file_open(&s->file, s->front, &s->log, &s->object, s->why);

	if (err)
		return err;
	fort_types_open(s->object, &s->types);
	fort_front_set_tap(s->front, &tap);
	err = bpf_object__load(s->object);
	fort_front_set_tap(s->front, NULL);
	s->loading.err = err;
	if (err && s->loaded && s->loading.report.err) {
		s->rejected = true;
		fort_verdict_explain(bpf_program__name(s->loaded), &s->loading,
				     fort_front_words(s->front), true, s->why);
	} else if (err) {
		fort_text_add(s->why, "%s: cannot be loaded: %s", s->request->file,
			      fort_front_words(s->front));
	}
	return err;
}

/* --- attaching --- */

static int attach_program(struct session *s, struct bpf_program *prog,
			  const struct fort_probe_section *section)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .retprobe = section->returns,
		    .func_name = section->function);
	pid_t pid = fort_run_target_pid(s->target);
	struct bpf_link **links, *link;
	char path[PATH_MAX];
	int err = fort_section_resolve(section, pid, path, s->why);

	if (err)
		return err;
	links = realloc(s->links, (s->n_links + 1) * sizeof(*links));
	if (!links)
		return fail(s, -ENOMEM, "links");
	s->links = links;
	fort_front_forget(s->front);
	link = bpf_program__attach_uprobe_opts(prog, pid, path, section->offset, &opts);
	if (!link) {
		const char *words = fort_run_target_words(s->target);

		err = -errno;
		fort_text_add(s->why, "%s: cannot be attached to %s in %s: %s",
			      bpf_program__name(prog), section->function, path,
			      words[0] ? words : fort_front_words(s->front));
		return err;
	}
	s->links[s->n_links++] = link;
	return 0;
}

static int attach_all(struct session *s)
{
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, s->object) {
		const char *name = bpf_program__section_name(prog);
		struct fort_probe_section section;
		char words[128];
		struct fort_text wrong = fort_text_on(words, sizeof(words));
		int err;

		if (!bpf_program__autoload(prog))
			continue;
		if (!fort_section_parse(name, &section, &wrong) ||
		    (!section.has_place && !wrong.length)) {
			fprintf(stderr, "bpfort: %s: section %s names no place; not attached\n",
				bpf_program__name(prog), name);
			continue;
		}
		if (wrong.length) {
			fort_text_add(s->why, "%s: section %s: %s", bpf_program__name(prog), name,
				      words);
			return -EINVAL;
		}
		err = attach_program(s, prog, &section);
		if (err)
			return err;
	}
	if (s->n_links)
		return 0;
	fort_text_add(s->why,
		      "%s: nothing to attach: it has no program in a section uprobe/PATH:FUNC"
		      " or uretprobe/PATH:FUNC",
		      s->request->file);
	return -ENOENT;
}

static void detach_all(struct session *s)
{
	while (s->n_links)
		bpf_link__destroy(s->links[--s->n_links]);
	free(s->links);
	s->links = NULL;
	if (s->front)
		fort_store_reap(fort_front_store(s->front));
}

/* --- running --- */

static int watch(struct session *s, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	return 0;
}

/* Before the first process is started or attached to: from here on an interrupt detaches. */
static int take_signals(struct session *s)
{
	sigset_t set;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPIPE); /* seen as an error of stdout */
	sigprocmask(SIG_BLOCK, &set, &s->mask);
	sigdelset(&set, SIGPIPE);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	err = s->epoll < 0 ? -errno : watch(s, s->signals);
	return err ? fail(s, err, "signalfd") : 0;
}

static bool was_interrupted(const struct session *s)
{
	struct signalfd_siginfo info;

	return read(s->signals, &info, sizeof(info)) == sizeof(info);
}

static void print_crashes(const struct session *s)
{
	struct fort_store_crash crash;
	struct fort_text text = fort_text_new();

	while (fort_store_next_crash(fort_front_store(s->front), &crash)) {
		if (!fort_crash_is_told(&crash))
			continue;
		if (s->request->json) {
			json_t *object = fort_crash_json(&crash);

			json_dumpf(object, stdout, JSON_COMPACT);
			putchar('\n');
			fflush(stdout);
			json_decref(object);
			continue;
		}
		fort_text_clear(&text);
		fort_crash_print(&crash, &text);
		fprintf(stderr, "bpfort: %s\n", text.data);
	}
	fort_text_free(&text);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Until the time is over, an interrupt, the end of the process, or nobody reads any more. */
static int follow(struct session *s)
{
	int64_t end = now_ns() + (int64_t)s->request->seconds * 1000000000;
	struct fort_text words = fort_text_new();
	int err = 0;

	while (!err && !ferror(stdout)) {
		int64_t left = s->request->seconds ? end - now_ns() : -1;

		if ((s->request->seconds && left <= 0) || was_interrupted(s) ||
		    fort_run_target_ended(s->target, &words))
			break;
		err = fort_stream_wait(s->stream, s->epoll, left);
		err = err == -EINTR ? 0 : err;
		fort_stream_drain(s->stream);
		print_crashes(s);
	}
	if (words.length)
		fprintf(stderr, "bpfort: %s\n", words.data);
	fort_text_free(&words);
	return err ? fail(s, err, "waiting") : 0;
}

static bool is_suspect(const struct session *s, const struct bpf_map *each)
{
	struct fort_map *map;

	return !fort_store_map(fort_front_store(s->front), bpf_map__fd(each), &map) &&
	       fort_map_is_suspect(map);
}

static void print_maps(const struct session *s)
{
	struct fort_text text = fort_text_new();
	struct bpf_map *map;

	bpf_object__for_each_map (map, s->object) {
		json_t *object;

		if (!s->request->json) {
			fort_map_print(map, &s->types, is_suspect(s, map), &text);
			continue;
		}
		object = fort_map_json(map, &s->types, is_suspect(s, map));
		if (!object)
			continue;
		json_object_set_new(object, "event", json_string("map"));
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(object);
	}
	if (text.data)
		printf("\n%s", text.data);
	fflush(stdout);
	fort_text_free(&text);
}

/* Until it is opened, a process loses nothing when we are interrupted. */
static int open_target(struct session *s)
{
	sigset_t blocked;
	int err;

	sigprocmask(SIG_SETMASK, &s->mask, &blocked);
	err = fort_run_target_open(s->front, (pid_t)s->request->pid, s->request->command,
				   &s->target, s->why);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	return err;
}

static int attach_and_follow(struct session *s)
{
	int err = fort_stream_open(s->front, s->object, &s->types, s->request->json, &s->stream);

	if (err)
		return fail(s, err, "ring buffers");
	err = open_target(s);
	err = err ? err : attach_all(s);
	if (err)
		return err;
	err = watch(s, fort_run_target_fd(s->target));
	if (err)
		return fail(s, err, "watching the process");
	fprintf(stderr, "bpfort: attached %zu %s to process %d%s\n", s->n_links,
		s->n_links == 1 ? "probe" : "probes", (int)fort_run_target_pid(s->target),
		s->request->seconds || s->request->command ? "" : "; Ctrl-C ends");
	err = fort_run_target_start(s->target, s->why);
	return err ? err : follow(s);
}

static int check_request(struct session *s)
{
	const struct request *request = s->request;

	if (!request->pid == !(request->command && request->command[0])) {
		fort_text_add(s->why, "name the process to probe: --pid PID, or -- COMMAND");
		return -EINVAL;
	}
	if (request->pid && kill((pid_t)request->pid, 0) && errno == ESRCH) {
		fort_text_add(s->why, "there is no process %d", (int)request->pid);
		return -ESRCH;
	}
	return 0;
}

static int set_policy(struct session *s)
{
	const struct request *request = s->request;
	struct fort_crash_policy policy = {
		.after = request->crash_after ? (uint32_t)request->crash_after : 1};

	if (!request->crash) {
		if (request->crash_after)
			fort_text_add(s->why, "--crash-after says when, --crash has to say what");
		return request->crash_after ? -EINVAL : 0;
	}
	if (fort_crash_actions_by_name(request->crash, &policy.actions)) {
		fort_text_add(s->why, "--crash: `%s` is not keep, or some of", request->crash);
		for (uint32_t bit = 1; bit & FORT_CRASH_ALL; bit <<= 1)
			fort_text_add(s->why, " %s", fort_crash_action_name(bit));
		return -EINVAL;
	}
	fort_store_set_crash_policy(fort_front_store(s->front), &policy);
	return 0;
}

static int run_session(struct session *s)
{
	int err = check_request(s);

	err = err ? err : fort_file_read(s->request->file, &s->file, s->why);
	err = err ? err : take_signals(s);
	if (err)
		return err;
	err = fort_front_open(&s->front);
	err = err ? err : fort_log_room_open(&s->log, FORT_LOG_STATS);
	if (err)
		return fail(s, err, "bpfort");
	err = set_policy(s);
	err = err ? err : load(s);
	if (err)
		return err;
	err = attach_and_follow(s);
	if (!err && fort_run_target_missed(s->target))
		fprintf(stderr, "bpfort: %" PRIu64 " hits ran no program\n",
			fort_run_target_missed(s->target));
	detach_all(s);
	if (err)
		return err;
	fort_stream_drain(s->stream);
	print_crashes(s);
	fort_stream_losses(s->stream);
	print_maps(s);
	return 0;
}

static void end_session(struct session *s)
{
	detach_all(s);
	fort_run_target_close(s->target);
	fort_stream_close(s->stream);
	fort_types_close(&s->types);
	if (s->object)
		bpf_object__close(s->object);
	fort_front_close(s->front);
	fort_log_room_close(&s->log);
	fort_file_close(&s->file);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->signals >= 0)
		close(s->signals);
}

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct request request = {0};
	struct fort_text why = fort_text_new();
	struct session s = {
		.request = &request, .file.fd = -1, .epoll = -1, .signals = -1, .why = &why};
	int status = fort_verb_start(verb, argc, argv, &request);

	if (status >= 0)
		return status;
	status = run_session(&s) ? fort_verb_fail(request.json, "%s", why.data) : FORT_EXIT_YES;
	if (s.rejected)
		status = FORT_EXIT_NO;
	end_session(&s);
	fort_text_free(&why);
	return status;
}

#define AT(member) offsetof(struct request, member)
static const struct fort_option options[] = {
	{"--pid", "PID", "probe this process", FORT_OPTION_NUMBER, AT(pid), 1, 1u << 22},
	{"--seconds", "N", "end after N seconds", FORT_OPTION_NUMBER, AT(seconds), 1, 1000000},
	{"--crash", "ACTION",
	 "what becomes of a program whose runs end early: keep (the default),"
	 " quarantine, detach, mark; several with commas",
	 FORT_OPTION_TEXT, AT(crash)},
	{"--crash-after", "N", "at so many such runs, in all processes (1)", FORT_OPTION_NUMBER,
	 AT(crash_after), 1, UINT32_MAX - 1},
	{"--json", NULL,
	 "print one object a line: {\"event\": \"trace\"|\"record\"|\"crash\"|\"map\", ...}",
	 FORT_OPTION_FLAG, AT(json)},
};

const struct fort_verb fort_verb_run = {
	.words = {"run"},
	.summary = "Attach an object's probes to a process, and print what they tell.",
	.operand = "FILE.o",
	.operand_at = AT(file),
	.takes_command = true,
	.command_at = AT(command),
	.options = options,
	.n_options = FORT_LEN(options),
	.notes = "Attached are programs in sections uprobe/PATH:FUNCTION[+OFFSET] and"
		 " uretprobe/PATH:FUNCTION.\n"
		 "PATH is a file; or a library as the process has it mapped (libc, libssl.so.3); or"
		 " nothing,\nfor the program that the process runs: SEC(\"uprobe/:main\").\n\n"
		 "Printed are lines of bpf_trace_printk, records of ring buffers (decoded when the "
		 "map"
		 " says\n__type(value, struct X)), and in the end the maps. A map whose key is a "
		 "typedef"
		 " called\nlog2_UNIT is printed as a histogram.\n\n"
		 "A run ends early when it uses up its budget of work, or does what a proven"
		 " program does not.\nEach is told (the 1st, 2nd, 4th, 8th... of a program), with"
		 " its source line. `quarantine`: the\nprogram does not run any more; `detach`:"
		 " its probes are taken away, too; `mark`: maps that it could\nwrite are shown as"
		 " suspect.\n\n"
		 "COMMAND is started, waits until the probes are attached, and ends bpfort when it"
		 " ends.\nNeeds no rights beyond those to trace the process (ptrace).\n"
		 "Exit status: 0 it ran, 1 a program was rejected, 2 it could not be done.\n",
	.run = run,
};
