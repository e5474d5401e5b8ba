/* bpfort: eBPF in user space, for programs that need not be trusted.
 *
 * A store is a small kernel of its own in this process: maps, programs, links and BTF behind
 * bpf(2), perf_event_open(2) and ioctl(2), with their attributes, errors and orders of checks. It
 * needs no rights, and the kernel's bpf(2) is never called. Programs are verified, the proof is
 * checked again, and they run confined to a window of memory.
 *
 *   struct bpfort *store;
 *   union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, ...};
 *
 *   if (bpfort_open(NULL, &store))
 *           ...
 *   int map = bpfort_bpf(store, BPF_MAP_CREATE, &attr, sizeof(attr));
 *
 * Objects are file descriptors: close(2) them, pass them on, mmap(2) maps. An object ends with
 * the last of them, as in the kernel; several stores in one process do not know each other.
 *
 * Functions return a value or a negative errno, and leave errno alone. Any thread may call them.
 * The header is C99 and C++. Link with `pkg-config --cflags --libs bpfort`.
 */
#ifndef BPFORT_BPFORT_H
#define BPFORT_BPFORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BPFORT_API __attribute__((visibility("default")))
#else
#define BPFORT_API
#endif

struct bpfort;

/* "0.1.0" */
BPFORT_API const char *bpfort_version(void);

/* How programs run. Members added later are behind these; `size` says which a caller knows. */
struct bpfort_options {
	size_t size;           /* sizeof(struct bpfort_options) */
	const char *engine;    /* "interp", "x64"; NULL: the default */
	const char *isolation; /* "sfi", "sfi-store", "mpk", "none"; NULL: the default */
	/* Not 0: constants of programs are kept out of machine code as they are, for programs of
	 * those who are not trusted. */
	int hide_constants;
	/* Not 0: memory of machine code is sealed (mseal(2), Linux 6.10): nothing in this process
	 * can unmap it, map over it or change its protection. It stays when programs are unloaded,
	 * so this is for those who load what they need and keep it; at most 4096 programs. */
	uint64_t seal_code;
};

/* Opens a store. `options` may be NULL. Returns 0 and *out, which the caller closes; -ENOMEM;
 * -EINVAL for an unknown engine or isolation; -EOPNOTSUPP for one that does not have the other, or
 * that the processor does not have, or for seals that the kernel does not have; or what the system
 * refused. */
BPFORT_API int bpfort_open(const struct bpfort_options *options, struct bpfort **out);
/* Detaches what is attached and frees the store. Its descriptors stay open but mean nothing. NULL
 * is fine. */
BPFORT_API void bpfort_close(struct bpfort *store);

/* bpf(2): `attr` is a union bpf_attr of which `size` bytes are known to the caller. */
BPFORT_API long bpfort_bpf(struct bpfort *store, int cmd, void *attr, unsigned int size);

/* perf_event_open(2) for uprobes: `attr` is a struct perf_event_attr whose type is
 * bpfort_uprobe_type(); -ENOENT for other types. */
BPFORT_API long bpfort_perf_event_open(struct bpfort *store, const void *attr, int pid, int cpu,
				       int group_fd, unsigned long flags);
BPFORT_API uint32_t bpfort_uprobe_type(const struct bpfort *store);

/* ioctl(2) on a perf event of the store. Returns 1 with *result (a value or a negative errno), or
 * 0 when `fd` is none of them: the call is then the kernel's. */
BPFORT_API int bpfort_ioctl(struct bpfort *store, int fd, unsigned long request, unsigned long arg,
			    long *result);

/* Attaching: BPF_LINK_CREATE, or PERF_EVENT_IOC_SET_BPF, of a kprobe program on an event whose pid
 * is that of a process that the caller may trace. It is neither restarted nor changed beyond the
 * probe, and is as before when the last descriptor of link and event is closed. When such a call
 * failed, this says why in words: what was tried, what the system said, what helps. Writes at most
 * `room` bytes, NUL included, and returns the length of the whole text. */
BPFORT_API size_t bpfort_attach_why(struct bpfort *store, char *text, size_t room);

/* What the last BPF_PROG_LOAD of the store came to. Strings are never NULL, "" when unknown, and
 * valid until the next load or bpfort_close. */
struct bpfort_report {
	size_t size;  /* in: sizeof(struct bpfort_report) */
	int err;      /* of the load: 0 or a negative errno */
	int accepted; /* 1: proven safe, 0: not */
	const char *name, *type;
	uint32_t insns;
	uint64_t insns_processed, states, peak_states, certificate_bytes;
	uint64_t verify_ns, check_ns;
	/* Why it was rejected; code "" when the verifier was not reached. */
	const char *code; /* stable: "F0502" */
	const char *title, *message, *needed, *known, *hint;
	uint32_t insn, line; /* line 0: unknown */
	const char *file, *text;
	const char *log_tail; /* the newest 4 KiB of the verifier's log */
};

/* Fills as much of *report as its size says. Returns 0, or -EINVAL for a size that is less than
 * that of the first version. */
BPFORT_API int bpfort_last_load(const struct bpfort *store, struct bpfort_report *report);

/* Crashes: runs that end early, because they use up their budget of work, or do what a proven
 * program does not. What becomes of programs that are loaded from now on, when so many of their
 * runs (`after`, in all processes together; 0: never) ended early: "keep", nothing; or some, with
 * commas, of "quarantine": it does not run any more; "detach": nor is it attached any more,
 * anywhere; "mark": maps that it could write are suspect, and work as before. The default is
 * "keep". Returns 0 or -EINVAL. */
BPFORT_API int bpfort_set_crash_policy(struct bpfort *store, const char *actions,
				       unsigned int after);

struct bpfort_crash {
	size_t size;      /* in: sizeof(struct bpfort_crash) */
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	/* What: "" and 0 when it has been unloaded since. */
	const char *prog;
	uint32_t prog_id;
	uint32_t crashes;    /* of the program so far */
	const char *actions; /* that this one was the occasion of: "", "detach,mark" */
	const char *kind;    /* "fuel", "memory", "helper argument", ... */
	uint32_t insn, line; /* line 0: unknown */
	const char *file, *text;
	uint64_t address; /* of a "memory": offset in the program's window */
	uint32_t bytes, detail;
	uint32_t pid, tid;
	const char *comm;
};

/* Takes the next crash: 1, or 0 when there is none, or -EINVAL for a size that is less than that of
 * the first version. Strings are never NULL, and valid until the next call. Crashes that nobody
 * takes are lost after a thousand or so. */
BPFORT_API int bpfort_next_crash(struct bpfort *store, struct bpfort_crash *crash);
/* Readable when there may be a crash to take; the store's own. */
BPFORT_API int bpfort_crash_fd(const struct bpfort *store);
/* Is the map behind this descriptor marked? 1, 0, -EBADF or -EINVAL. It stays so until it is
 * cleared. */
BPFORT_API int bpfort_map_suspect(struct bpfort *store, int fd);
BPFORT_API int bpfort_map_clear_suspect(struct bpfort *store, int fd);

/* Drops objects whose last descriptor was closed. Calls do that on their own; a process that makes
 * none for long calls this when bpfort_poll_fd is readable. */
BPFORT_API void bpfort_reap(struct bpfort *store);
BPFORT_API int bpfort_poll_fd(const struct bpfort *store);

/* Around fork(2), for processes that go on with the store in the child (see pthread_atfork). */
BPFORT_API void bpfort_before_fork(struct bpfort *store);
BPFORT_API void bpfort_after_fork(struct bpfort *store, int child);

#ifdef __cplusplus
}
#endif
#endif
