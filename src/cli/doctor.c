/* bpfort doctor: what works on this machine for this user, and what helps where something does
 * not. Everything is tried rather than looked up, where trying harms nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/front.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/target.h"
#include "cli/verb.h"
#include "isolate/keys.h"

enum state { OK, LIMITED, BROKEN };
static const char *const state_names[] = {"ok", "limited", "broken"};

struct finding {
	enum state state;
	char found[192], fix[256];
};

struct check {
	const char *name, *needed_for;
	void (*run)(struct finding *finding);
};

static void say(char *to, size_t room, const char *fmt, ...) FORT_PRINTF(3, 4);
static void say(char *to, size_t room, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(to, room, fmt, args);
	va_end(args);
}

#define FOUND(...) say(finding->found, sizeof(finding->found), __VA_ARGS__)
#define FIX(...)   say(finding->fix, sizeof(finding->fix), __VA_ARGS__)

/* First line of a small file; -1 when it cannot be read. */
static int read_line(const char *path, char *line, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, room - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -1;
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	return 0;
}

/* --- the machine --- */

static void check_kernel(struct finding *finding)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	uname(&name);
	FOUND("Linux %s, %s", name.release, name.machine);
	if (sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	    (major > 5 || (major == 5 && minor >= 10)))
		return;
	finding->state = LIMITED;
	FIX("use Linux 5.10 or newer; older ones are not tested");
}

static void check_memfd(struct finding *finding)
{
	int fd = memfd_create("bpfort-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err =
		fd < 0 || ftruncate(fd, 4096) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) ? errno : 0;

	if (fd >= 0)
		close(fd);
	FOUND(err ? "memfd_create: %s" : "sealed memory files", strerror(err));
	if (!err)
		return;
	finding->state = BROKEN;
	FIX("a seccomp filter or an old kernel forbids memfd_create; allow it");
}

static void check_window(struct finding *finding)
{
	size_t bytes = 8ull << 30; /* a 4 GiB window at any alignment */
	void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	if (at != MAP_FAILED) {
		munmap(at, bytes);
		FOUND("domain windows of 4 GiB can be reserved");
		return;
	}
	getrlimit(RLIMIT_AS, &limit);
	finding->state = BROKEN;
	FOUND("reserving 8 GiB of address space: %s", strerror(errno));
	if (limit.rlim_cur != RLIM_INFINITY)
		FIX("raise the limit of address space: ulimit -v unlimited (now %" PRIu64 " KiB)",
		    (uint64_t)limit.rlim_cur >> 10);
	else
		FIX("set vm.overcommit_memory to 0 or 1: sysctl vm.overcommit_memory=0");
}

static void check_files(struct finding *finding)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	FOUND("%" PRIu64 " descriptors a process", (uint64_t)limit.rlim_cur);
	if (limit.rlim_cur >= 256)
		return;
	finding->state = LIMITED;
	FIX("ulimit -n 1024: maps and programs are descriptors");
}

static void check_store(struct finding *finding)
{
	struct fort_front *front;
	int err = fort_front_open(&front);

	if (!err)
		fort_front_close(front);
	FOUND(err ? "an object store cannot be made: %s"
		  : "maps, programs and bpf(2) in user space",
	      strerror(-err));
	if (err) {
		finding->state = BROKEN;
		FIX("see the lines above; if all are ok this is a defect of bpfort: report it");
	}
}

static void check_engines(struct finding *finding)
{
	struct fort_text text = fort_text_on(finding->found, sizeof(finding->found));

	for (size_t i = 0; fort_engines[i]; i++) {
		fort_text_add(&text, "%s%s (isolation", i ? ", " : "", fort_engines[i]->name);
		for (unsigned mode = 0; mode < FORT_ISOLATIONS; mode++)
			if (fort_engine_has(fort_engines[i], mode))
				fort_text_add(&text, " %s", fort_isolation_name(mode));
		fort_text_add(&text, ")");
	}
}

/* What mpk needs, and nothing else: no defect where it is missing. */
static void check_keys(struct finding *finding)
{
	int err = fort_keys_probe();

	FOUND("%s%s", fort_keys_why(err), err ? ": no isolation mpk" : "");
	if (!err)
		return;
	finding->state = LIMITED;
	FIX(err == -EOPNOTSUPP ? "use isolation sfi, which confines the same accesses; keys need a"
				 " processor with PKU (Intel Skylake-SP, AMD Zen 3 or newer), also"
				 " where a virtual machine shows it"
			       : "free a key (pkey_free), or use isolation sfi");
}

/* --- probing other processes --- */

/* Attaches to a process of its own as `bpfort run` would, and leaves it again. */
static int try_attaching(pid_t pid, struct fort_text *why)
{
	struct fort_run_target *target = NULL;
	struct fort_front *front;
	int err = fort_front_open(&front);

	if (err) {
		fort_text_add(why, "no object store: %s", strerror(-err));
		return err;
	}
	err = fort_run_target_open(front, pid, NULL, &target, why);
	fort_run_target_close(target);
	fort_front_close(front);
	return err;
}

static void check_attaching(struct finding *finding)
{
	struct fort_text why = fort_text_on(finding->found, sizeof(finding->found));
	pid_t pid = fork();
	int err, status;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	err = pid < 0 ? -errno : try_attaching(pid, &why);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, __WALL);
	}
	if (!err) {
		FOUND("processes that bpfort starts can be probed (`bpfort run ... -- CMD`)");
		return;
	}
	finding->state = LIMITED;
	FIX("allow ptrace(2) and process_vm_readv(2): containers need"
	    " --cap-add=SYS_PTRACE or a seccomp profile that has them");
}

static void check_yama(struct finding *finding)
{
	char scope[16];

	if (read_line("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) ||
	    scope[0] == '0' || (scope[0] != '3' && !geteuid())) {
		FOUND("running processes of %s can be probed (--pid)",
		      geteuid() ? "this user" : "all users");
		return;
	}
	finding->state = LIMITED;
	FOUND("kernel.yama.ptrace_scope is %s: only processes that bpfort starts", scope);
	FIX("sysctl kernel.yama.ptrace_scope=0 as root%s, or start the program with"
	    " `bpfort run FILE.o -- CMD`",
	    scope[0] == '3' ? " after a restart (3 cannot be lowered)" : "");
}

static void check_seccomp(struct finding *finding)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];
	int mode = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Seccomp: %d", &mode) == 1)
			break;
	if (file)
		fclose(file);
	if (mode <= 0) {
		FOUND(mode ? "not known: /proc/self/status says nothing" : "no filter");
		return;
	}
	finding->state = LIMITED;
	FOUND("a filter is in force (mode %d)", mode);
	FIX("nothing to do while the other checks are ok");
}

/* --- building programs --- */

/* Is `clang` in the path, with BPF among its targets? */
static int find_clang(char *path, size_t room)
{
	FILE *pipe = popen("command -v clang && clang -print-targets 2>/dev/null | grep -c ' bpf '",
			   "re");
	char count[16] = "";

	path[0] = 0;
	if (!pipe)
		return -errno;
	if (fgets(path, (int)room, pipe))
		path[strcspn(path, "\n")] = 0;
	if (!fgets(count, sizeof(count), pipe))
		count[0] = 0;
	pclose(pipe);
	if (!path[0])
		return -ENOENT;
	return atoi(count) > 0 ? 0 : -ENOEXEC;
}

static void check_clang(struct finding *finding)
{
	char path[128];
	int err = find_clang(path, sizeof(path));

	if (!err) {
		FOUND("%s compiles for BPF", path);
		return;
	}
	finding->state = LIMITED;
	FOUND(err == -ENOEXEC ? "%s has no BPF target" : "no clang in the path%s", path);
	FIX("apt-get install clang; objects that are compiled already need none");
}

static void check_headers(struct finding *finding)
{
	if (!access("/usr/include/bpf/bpf_helpers.h", R_OK)) {
		FOUND("bpf/bpf_helpers.h");
		return;
	}
	finding->state = LIMITED;
	FOUND("no bpf/bpf_helpers.h");
	FIX("apt-get install libbpf-dev");
}

static void check_btf(struct finding *finding)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK)) {
		FOUND("kernel types for CO-RE");
		return;
	}
	finding->state = LIMITED;
	FOUND("/sys/kernel/btf/vmlinux: %s", strerror(errno));
	FIX("only programs that read kernel structures need it; mount /sys, or use a kernel with"
	    " CONFIG_DEBUG_INFO_BTF");
}

static const struct check checks[] = {
	{"kernel", "everything", check_kernel},
	{"memory files", "maps", check_memfd},
	{"address space", "programs", check_window},
	{"descriptors", "maps and programs", check_files},
	{"store", "everything", check_store},
	{"engines", "running programs", check_engines},
	{"protection keys", "isolation mpk", check_keys},
	{"seccomp", "attaching", check_seccomp},
	{"attaching", "run -- CMD", check_attaching},
	{"ptrace scope", "run --pid", check_yama},
	{"clang", "compiling programs", check_clang},
	{"headers", "compiling programs", check_headers},
	{"kernel BTF", "CO-RE", check_btf},
};

static json_t *finding_json(const struct check *check, const struct finding *finding)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "check", check->name, "needed_for",
			 check->needed_for, "state", state_names[finding->state], "found",
			 fort_json_text(finding->found), "fix",
			 fort_json_text(finding->fix[0] ? finding->fix : NULL));
}

static void print_findings(const struct finding *findings)
{
	static const struct fort_column columns[] = {{"CHECK"}, {"STATE"}, {"FOUND"}};
	const char *cells[FORT_LEN(checks)][FORT_LEN(columns)];
	bool fixes = false;

	for (size_t i = 0; i < FORT_LEN(checks); i++) {
		cells[i][0] = checks[i].name;
		cells[i][1] = state_names[findings[i].state];
		cells[i][2] = findings[i].found;
	}
	fort_table_print(columns, FORT_LEN(columns), &cells[0][0], FORT_LEN(checks));
	for (size_t i = 0; i < FORT_LEN(checks); i++) {
		if (!findings[i].fix[0])
			continue;
		printf("%s%s (for %s): %s\n", fixes ? "" : "\n", checks[i].name,
		       checks[i].needed_for, findings[i].fix);
		fixes = true;
	}
}

struct request {
	bool json;
};

static int run(const struct fort_verb *verb, int argc, char **argv)
{
	struct finding findings[FORT_LEN(checks)] = {0};
	struct request request = {0};
	int status = fort_verb_start(verb, argc, argv, &request);
	json_t *list;

	if (status >= 0)
		return status;
	status = FORT_EXIT_YES;
	list = json_array();
	for (size_t i = 0; i < FORT_LEN(checks); i++) {
		checks[i].run(&findings[i]);
		json_array_append_new(list, finding_json(&checks[i], &findings[i]));
		if (findings[i].state == BROKEN)
			status = FORT_EXIT_NO;
	}
	if (request.json)
		fort_json_print(
			json_pack("{s:b, s:O}", "works", status == FORT_EXIT_YES, "checks", list));
	else
		print_findings(findings);
	json_decref(list);
	return status;
}

static const struct fort_option options[] = {
	{"--json", NULL, "print {\"works\", \"checks\": [{\"check\", \"state\", \"fix\", ...}]}",
	 FORT_OPTION_FLAG, offsetof(struct request, json)},
};

const struct fort_verb fort_verb_doctor = {
	.words = {"doctor"},
	.summary = "Say what works on this machine for this user, and how to fix what does not.",
	.options = options,
	.n_options = FORT_LEN(options),
	.notes =
		"Exit status: 0 programs can be verified and run, 1 something they need is missing."
		"\n",
	.run = run,
};
