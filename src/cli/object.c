#include "cli/object.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/maps.h"
#include "abi/progs.h"
#include "base/limits.h"
#include "cli/btf_complain.h"
#include "cli/elf_check.h"

/* --- reading --- */

static int read_all(int fd, uint8_t *data, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t n = pread(fd, data + done, bytes - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO; /* it became shorter meanwhile */
		done += (size_t)n;
	}
	return 0;
}

static int read_bytes(struct fort_file *file, struct fort_text *why)
{
	struct stat stat;
	uint8_t *data;
	int err;

	file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &stat)) {
		err = -errno;
		fort_text_add(why, "%s: %s", file->path, strerror(-err));
		return err;
	}
	if (!S_ISREG(stat.st_mode) || stat.st_size > FORT_OBJECT_BYTES_MAX) {
		fort_text_add(why, "%s: expected a file of at most %u MiB", file->path,
			      FORT_OBJECT_BYTES_MAX >> 20);
		return -EINVAL;
	}
	data = malloc((size_t)stat.st_size + 1);
	err = data ? read_all(file->fd, data, (size_t)stat.st_size) : -ENOMEM;
	file->bytes = (struct fort_span){data, (size_t)stat.st_size};
	if (err)
		fort_text_add(why, "%s: %s", file->path, strerror(-err));
	return err;
}

/* The file's name up to the first dot, as libbpf would take it. */
static void name_object(struct fort_file *file)
{
	const char *slash = strrchr(file->path, '/');
	const char *name = slash ? slash + 1 : file->path;

	snprintf(file->name, sizeof(file->name), "%.*s", (int)strcspn(name, "."), name);
}

/* --- trying --- */

struct trial {
	struct bpf_object *object;
};

static bool is_probe(void *owner, const struct fort_attr_prog_load *attr)
{
	const struct trial *trial = owner;
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, trial->object)
		if (fort_program_is(prog, attr))
			return false;
	return true;
}

/* In a process of its own: opens and relocates the object, loads nothing, and forgets it. What is
 * merely wrong with it is found out again, and said, by the process that needs it. */
static void attempt(const struct fort_file *file)
{
	struct rlimit seconds = {FORT_OBJECT_SECONDS, FORT_OBJECT_SECONDS}, none = {0, 0};
	struct trial trial = {0};
	struct fort_front_tap tap = {.before = is_probe, .owner = &trial};
	char reason[256];
	struct fort_text why = fort_text_on(reason, sizeof(reason));
	struct fort_front *front;
	struct bpf_program *prog;

	setrlimit(RLIMIT_CPU, &seconds);
	setrlimit(RLIMIT_CORE, &none);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	if (fort_front_open(&front) || fort_file_open(file, front, NULL, &trial.object, &why))
		return;
	bpf_object__for_each_program (prog, trial.object)
		bpf_program__set_autoload(prog, true);
	fort_front_set_tap(front, &tap);
	bpf_object__load(trial.object);
	bpf_object__close(trial.object);
}

static int wait_for(pid_t pid, int *status)
{
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

void fort_file_complain(const struct fort_file *file, struct fort_text *why)
{
	struct fort_text complaint = fort_text_new();

	fort_btf_complain(file->bytes, &complaint);
	if (complaint.length)
		fort_text_add(why, "; %s", complaint.data);
	fort_text_free(&complaint);
}

static int try_in_child(const struct fort_file *file, struct fort_text *why)
{
	int status, err;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		/* A crash is an answer here, nothing to be printed. */
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		attempt(file);
		_exit(0);
	}
	err = pid < 0 ? -errno : wait_for(pid, &status);
	if (err) {
		fort_text_add(why, "fork: %s", strerror(-err));
		return err;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	fort_text_add(why, "%s: damaged: libbpf %u.%u was ended by %s when it tried to read it",
		      file->path, libbpf_major_version(), libbpf_minor_version(),
		      WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a memory error");
	fort_file_complain(file, why);
	return -EBADMSG;
}

int fort_file_read_untried(const char *path, struct fort_file *out, struct fort_text *why)
{
	struct fort_file file = {.path = path, .fd = -1};
	int err = read_bytes(&file, why);

	name_object(&file);
	if (!err) {
		struct fort_text words = fort_text_new();

		err = fort_elf_check(file.bytes, &words);
		if (err)
			fort_text_add(why, "%s: %s", path, words.data ? words.data : "damaged");
		fort_text_free(&words);
	}
	if (err)
		fort_file_close(&file);
	else
		*out = file;
	return err;
}

int fort_file_read(const char *path, struct fort_file *out, struct fort_text *why)
{
	struct fort_file file = {.fd = -1};
	int err = fort_file_read_untried(path, &file, why);

	err = err ? err : try_in_child(&file, why);
	if (err)
		fort_file_close(&file);
	else
		*out = file;
	return err;
}

void fort_file_close(struct fort_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free((void *)(uintptr_t)file->bytes.data); /* ours: read_bytes made it */
	*file = (struct fort_file){.fd = -1};
}

/* --- opening --- */

int fort_log_room_open(struct fort_log_room *out, uint32_t level)
{
	/* Touched only as far as there is text. */
	void *text = mmap(NULL, FORT_CLI_LOG_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (text == MAP_FAILED)
		return -errno;
	*out = (struct fort_log_room){text, FORT_CLI_LOG_BYTES, level};
	return 0;
}

void fort_log_room_close(struct fort_log_room *room)
{
	if (room->text)
		munmap(room->text, room->bytes);
	*room = (struct fort_log_room){0};
}

/* The last complaint is the one that ended it. */
static void add_words(const struct fort_front *front, struct fort_text *why)
{
	const char *words = fort_front_words(front);
	size_t length = strlen(words);

	while (length && words[length - 1] == '\n')
		length--;
	if (length)
		fort_text_add(why, ": %.*s", (int)length, words);
}

static void forget_record_types(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, object)
		if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF && bpf_map__value_size(map))
			bpf_map__set_value_size(map, 0);
}

int fort_file_open(const struct fort_file *file, struct fort_front *front,
		   const struct fort_log_room *log, struct bpf_object **out, struct fort_text *why)
{
	char self[32];
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = file->name);
	struct bpf_object *object;

	if (log) {
		opts.kernel_log_buf = log->text;
		opts.kernel_log_size = log->bytes;
		opts.kernel_log_level = log->level;
	}
	/* CO-RE relocates against the running kernel's types. Where those cannot be read, the
	 * object's own stand in: its programs see no kernel structures but those of the ABI. */
	if (file->types) {
		opts.btf_custom_path = file->types;
	} else if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
		opts.btf_custom_path = self;
	}
	fort_front_forget(front);
	object = bpf_object__open_mem(file->bytes.data, file->bytes.bytes, &opts);
	if (!object) {
		int err = -errno;

		fort_text_add(why, "%s: cannot be opened (%s)", file->path, strerror(-err));
		add_words(front, why);
		fort_file_complain(file, why);
		return err;
	}
	forget_record_types(object);
	*out = object;
	return 0;
}

/* --- programs --- */

struct watch {
	const struct bpf_program *prog;
	struct fort_loading *out;
};

bool fort_program_is(const struct bpf_program *prog, const struct fort_attr_prog_load *attr)
{
	return attr->insns == (uintptr_t)bpf_program__insns(prog) &&
	       attr->insn_cnt == bpf_program__insn_cnt(prog);
}

static void keep_report(void *owner, const struct fort_attr_prog_load *attr,
			const struct fort_load_report *report)
{
	struct watch *watch = owner;

	if (!fort_program_is(watch->prog, attr))
		return;
	watch->out->reached = true;
	watch->out->report = *report;
}

/* `vets`: everything is known that the kernel knows. */
static void find_unknown(const struct bpf_object *object, const struct bpf_program *prog, bool vets,
			 struct fort_text *out)
{
	const char *type = libbpf_bpf_prog_type_str(bpf_program__type(prog));
	const struct bpf_map *map;

	if (bpf_program__type(prog) == BPF_PROG_TYPE_UNSPEC)
		fort_text_add(out, "section %s names no program type%s",
			      bpf_program__section_name(prog), vets ? ": --type says one" : "");
	if (vets)
		return;
	if (bpf_program__type(prog) != BPF_PROG_TYPE_UNSPEC &&
	    !fort_prog_runs(bpf_program__type(prog)))
		fort_text_add(out, "programs of type %s are not supported",
			      type ? type : "unknown");
	bpf_object__for_each_map (map, object) {
		const char *kind = libbpf_bpf_map_type_str(bpf_map__type(map));

		if (!fort_map_runs(bpf_map__type(map)))
			fort_text_add(out, "%smap %s: type %s is not supported",
				      out->length ? "; " : "", bpf_map__name(map),
				      kind ? kind : "unknown");
	}
}

void fort_program_load(struct fort_front *front, struct bpf_object *object,
		       struct bpf_program *prog, struct fort_loading *out)
{
	struct watch watch = {prog, out};
	struct fort_front_tap tap = {.after = keep_report, .owner = &watch};
	struct bpf_program *other;

	memset(out, 0, sizeof(*out));
	bpf_object__for_each_program (other, object)
		bpf_program__set_autoload(other, other == prog);
	fort_front_forget(front);
	fort_front_set_tap(front, &tap);
	out->err = bpf_object__load(object);
	fort_front_set_tap(front, NULL);
	if (out->err) {
		struct fort_text unknown = fort_text_on(out->unknown, sizeof(out->unknown));

		find_unknown(object, prog, fort_front_vets(front), &unknown);
	}
}

struct bpf_program *fort_program_find(struct bpf_object *object, const char *name,
				      struct fort_text *why)
{
	struct bpf_program *prog, *found = NULL;
	uint32_t n = 0;

	bpf_object__for_each_program (prog, object) {
		if (name && strcmp(bpf_program__name(prog), name) != 0)
			continue;
		found = prog;
		n++;
	}
	if (n == 1)
		return found;
	if (name)
		fort_text_add(why, "there is no program '%s'", name);
	else
		fort_text_add(why, n ? "there are %u programs" : "there is no program", n);
	if (bpf_object__next_program(object, NULL)) {
		fort_text_add(why, "; it has");
		bpf_object__for_each_program (prog, object)
			fort_text_add(why, " %s", bpf_program__name(prog));
	}
	return NULL;
}

uint32_t fort_program_count(const struct bpf_object *object)
{
	struct bpf_program *prog;
	uint32_t n = 0;

	bpf_object__for_each_program (prog, object)
		n++;
	return n;
}

struct bpf_program *fort_program_nth(const struct bpf_object *object, size_t index)
{
	struct bpf_program *prog = bpf_object__next_program(object, NULL);

	while (prog && index--)
		prog = bpf_object__next_program(object, prog);
	return prog;
}

int fort_file_visit(const struct fort_file *file, struct fort_front *front,
		    const struct fort_log_room *log, const char *name, fort_program_visit *visit,
		    void *owner, struct fort_text *why)
{
	bool found = false;

	for (size_t i = 0;; i++) {
		struct bpf_object *object;
		struct bpf_program *prog;
		int err = fort_file_open(file, front, log, &object, why);

		if (err)
			return err;
		prog = fort_program_nth(object, i);
		if (!prog && !found) {
			fort_text_add(why, "%s: ", file->path);
			prog = fort_program_find(object, name, why); /* says why there is none */
			err = -ENOENT;
		} else if (prog && (!name || !strcmp(bpf_program__name(prog), name))) {
			found = true;
			err = visit(owner, object, prog);
		}
		bpf_object__close(object);
		if (err || !prog)
			return err;
	}
}
