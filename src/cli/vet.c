#include "cli/vet.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/guess.h"
#include "cli/hint.h"
#include "cli/vet_kernel.h"
#include "step/kernel.h"
#include "verify/render.h"

struct session {
	const struct fort_vet_request *request;
	const char *path;
	int fd;
	struct fort_vet_page *page;
	struct fort_file file;
	struct fort_front *front;
	struct fort_log_room log;
	struct fort_vetted *vetted; /* the program at work */
	bool found;
};

const char *fort_vet_verdict_name(uint8_t verdict)
{
	static const char *const names[] = {[FORT_VET_ACCEPT] = "accept",
					    [FORT_VET_REJECT] = "reject",
					    [FORT_VET_UNSUPPORTED] = "unsupported",
					    [FORT_VET_ERROR] = "error"};

	return names[verdict];
}

static void copy(char *to, size_t room, const char *from)
{
	snprintf(to, room, "%s", from ? from : "");
}

static uint8_t verdict_of(const struct fort_loading *loading)
{
	const struct fort_load_report *report = &loading->report;

	if (!loading->err && loading->reached)
		return FORT_VET_ACCEPT;
	if (loading->err == -ENOMEM || !loading->reached)
		return FORT_VET_ERROR;
	return report->verdict == FORT_LOAD_REJECTED && report->diag.is_later ? FORT_VET_UNSUPPORTED
									      : FORT_VET_REJECT;
}

static int append(int fd, const void *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = write(fd, (const char *)data + done, bytes - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static void describe(const struct bpf_program *prog, struct fort_vetted *out)
{
	const char *type = libbpf_bpf_prog_type_str(bpf_program__type(prog));

	memset(out, 0, sizeof(*out));
	copy(out->name, sizeof(out->name), bpf_program__name(prog));
	copy(out->section, sizeof(out->section), bpf_program__section_name(prog));
	copy(out->type, sizeof(out->type), type);
	out->insns = bpf_program__insn_cnt(prog);
}

/* Nothing of the file system is changed, and what is there has no say. */
static void forget_pins(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, object)
		bpf_map__set_pin_path(map, NULL);
}

static void add_hint(struct session *s)
{
	const struct fort_kernel *kernel = s->request->types->kernel;
	struct fort_hint_from from = {.words = fort_front_words(s->front),
				      .log = s->log.text,
				      .types = kernel ? kernel->btf : NULL};
	struct fort_text out = fort_text_on(s->vetted->hint, sizeof(s->vetted->hint));

	fort_hint_add(&from, &out);
}

/* What libbpf puts in place of an instruction whose relocation failed; it says which one that was
 * where the log has the instructions before it. */
#define UNRELOCATED "invalid func unknown#195896080"

/* Once more, with a log that has them; what it comes to is known. */
static int name_missing(struct session *s, size_t index)
{
	uint32_t level = s->log.level;
	char reason[256];
	struct fort_text why = fort_text_on(reason, sizeof(reason));
	struct fort_loading *loading;
	struct bpf_object *object;
	int err;

	if (s->vetted->verdict == FORT_VET_ACCEPT || level & (FORT_LOG_PATH | FORT_LOG_STATES) ||
	    !strstr(s->log.text, UNRELOCATED))
		return 0;
	loading = malloc(sizeof(*loading));
	s->log.level = level | FORT_LOG_PATH;
	err = loading ? fort_file_open(&s->file, s->front, &s->log, &object, &why) : -ENOMEM;
	if (!err) {
		struct bpf_program *prog = fort_program_nth(object, index);

		fort_guess_type(prog, s->request->type);
		forget_pins(object);
		fort_program_load(s->front, object, prog, loading);
		add_hint(s);
		bpf_object__close(object);
	}
	s->log.level = level;
	free(loading);
	return err;
}

static void judge(struct session *s, struct bpf_object *object, struct bpf_program *prog)
{
	struct fort_vetted *vetted = s->vetted;
	struct fort_loading *loading = &vetted->loading;

	fort_guess_type(prog, s->request->type);
	describe(prog, vetted);
	forget_pins(object);
	s->log.text[0] = 0;
	fort_program_load(s->front, object, prog, loading);
	loading->report.type = NULL; /* a pointer */
	vetted->verdict = verdict_of(loading);
	if (loading->reached)
		vetted->insns = loading->report.insns;
	copy(vetted->words, sizeof(vetted->words), fort_front_words(s->front));
	if (vetted->verdict != FORT_VET_ACCEPT)
		add_hint(s);
	if (s->request->log_level)
		vetted->log_bytes = strlen(s->log.text);
}

/* What the kernel thinks of it needs an object of its own: this one is loaded. */
static int ask_kernel(struct session *s, size_t index)
{
	struct fort_text why =
		fort_text_on(s->vetted->kernel.words, sizeof(s->vetted->kernel.words));
	struct bpf_object *object;
	struct bpf_program *prog;
	int err = fort_file_open(&s->file, s->front, NULL, &object, &why);

	s->vetted->kernel.asked = true;
	s->vetted->kernel.verdict = FORT_VET_ERROR;
	if (err)
		return err == -ENOMEM ? err : 0;
	prog = fort_program_nth(object, index);
	fort_guess_type(prog, s->request->type);
	forget_pins(object);
	err = fort_vet_ask_kernel(s->front, object, prog, &s->vetted->kernel);
	bpf_object__close(object);
	return err;
}

static bool wants(const struct session *s, const char *name)
{
	const struct fort_vet_request *request = s->request;

	return (!request->prog || !strcmp(request->prog, name)) &&
	       request->wants(request->owner, s->path, name);
}

static int visit_program(struct session *s, struct bpf_object *object, size_t index)
{
	struct bpf_program *prog = fort_program_nth(object, index);
	struct fort_vetted *vetted = s->vetted;
	int err = 0;

	if (!wants(s, bpf_program__name(prog)))
		return 0;
	s->found = true;
	copy(s->page->now, sizeof(s->page->now), bpf_program__name(prog));
	judge(s, object, prog);
	err = name_missing(s, index);
	if (!err && s->request->kernel)
		err = ask_kernel(s, index);
	err = err ? err : append(s->fd, vetted, sizeof(*vetted));
	err = err ? err : append(s->fd, s->log.text, vetted->log_bytes);
	s->page->now[0] = 0;
	return err;
}

/* Each program has an object of its own, as nothing loads into one twice. */
static int visit_all(struct session *s, struct fort_text *why)
{
	for (size_t i = 0;; i++) {
		struct bpf_object *object;
		bool more;
		int err = fort_file_open(&s->file, s->front, &s->log, &object, why);

		if (err)
			return err;
		if (!i)
			s->page->n_programs = fort_program_count(object);
		more = i < s->page->n_programs;
		if (more) {
			err = visit_program(s, object, i);
		} else if (s->request->prog && !s->found) {
			fort_text_add(why, "%s: ", s->path);
			if (!fort_program_find(object, s->request->prog, why))
				err = -ENOENT;
		}
		bpf_object__close(object);
		if (err || !more)
			return err;
		s->page->n_done++;
	}
}

static int run(struct session *s, struct fort_text *why)
{
	const struct fort_kernel_types *types = s->request->types;
	int err = fort_file_read_untried(s->path, &s->file, why);

	if (err)
		return err;
	if (types->fd >= 0)
		s->file.types = types->path;
	s->vetted = malloc(sizeof(*s->vetted));
	err = s->vetted ? fort_front_open(&s->front) : -ENOMEM;
	if (err)
		return err;
	fort_front_vet(s->front, types);
	err = fort_log_room_open(&s->log, FORT_LOG_STATS | s->request->log_level);
	return err ? err : visit_all(s, why);
}

int fort_vet_file(const struct fort_vet_request *request, const char *path, int fd,
		  struct fort_vet_page *page)
{
	struct session s = {
		.request = request, .path = path, .fd = fd, .page = page, .file.fd = -1};
	struct fort_text why = fort_text_on(page->why, sizeof(page->why));
	int err = run(&s, &why);

	if (err && !why.length)
		fort_text_add(&why, "%s: %s", path, strerror(-err));
	fort_front_close(s.front);
	fort_log_room_close(&s.log);
	fort_file_close(&s.file);
	free(s.vetted);
	return err;
}
