#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "base/compiler.h"
#include "base/pages.h"
#include "base/sys.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF          0
#define PR_SYS_DISPATCH_ON           1
#endif
#define DISPATCH_ALLOW 0
#define DISPATCH_BLOCK 1

/* What the kernel reads before each system call: is it let pass? */
static volatile char gate = DISPATCH_ALLOW;
static bool armed[FAULT_KINDS];
static uint32_t fail_at;
static struct fault_report report;
static int64_t allocations, pages;

/* Counts one; true if it is the one to fail. */
static bool fails(enum fault_kind kind, const char *what, int err)
{
	if (!armed[kind] || ++report.seen != fail_at)
		return false;
	report.what = what;
	report.err = err;
	return true;
}

/* --- allocations --- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
char *__real_strdup(const char *text);
void __real_free(void *block);
int __real_fort_pages_alloc(size_t bytes, void **out);
int __real_fort_pages_alloc_present(size_t bytes, void **out);
int __real_fort_pages_grow(size_t before, size_t bytes, void **pages);
void __real_fort_pages_free(void *block, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);
int __wrap_fort_pages_alloc(size_t bytes, void **out);
int __wrap_fort_pages_alloc_present(size_t bytes, void **out);
int __wrap_fort_pages_grow(size_t before, size_t bytes, void **pages);
void __wrap_fort_pages_free(void *block, size_t bytes);

/* An allocator's own system calls are its own business. */
static char let_pass(void)
{
	char before = gate;

	gate = DISPATCH_ALLOW;
	return before;
}

static bool refuse(const char *what)
{
	if (!fails(FAULT_ALLOCATION, what, -ENOMEM))
		return false;
	errno = ENOMEM;
	return true;
}

static void *counted(void *block, char before)
{
	gate = before;
	allocations += block != NULL;
	return block;
}

void *__wrap_malloc(size_t bytes)
{
	char before;

	if (refuse("malloc"))
		return NULL;
	before = let_pass();
	return counted(__real_malloc(bytes), before);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	char before;

	if (refuse("calloc"))
		return NULL;
	before = let_pass();
	return counted(__real_calloc(count, bytes), before);
}

char *__wrap_strdup(const char *text)
{
	char before;

	if (refuse("strdup"))
		return NULL;
	before = let_pass();
	return counted(__real_strdup(text), before);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	char before;
	void *block;

	if (refuse("realloc"))
		return NULL;
	before = let_pass();
	block = __real_realloc(old, bytes);
	gate = before;
	allocations += block && !old;
	return block;
}

void __wrap_free(void *block)
{
	char before = let_pass();

	allocations -= block != NULL;
	__real_free(block);
	gate = before;
}

int __wrap_fort_pages_alloc(size_t bytes, void **out)
{
	char before;
	int err;

	if (fails(FAULT_ALLOCATION, "fort_pages_alloc", -ENOMEM))
		return -ENOMEM;
	before = let_pass();
	err = __real_fort_pages_alloc(bytes, out);
	gate = before;
	pages += !err;
	return err;
}

int __wrap_fort_pages_alloc_present(size_t bytes, void **out)
{
	char before;
	int err;

	if (fails(FAULT_ALLOCATION, "fort_pages_alloc_present", -ENOMEM))
		return -ENOMEM;
	before = let_pass();
	err = __real_fort_pages_alloc_present(bytes, out);
	gate = before;
	pages += !err;
	return err;
}

int __wrap_fort_pages_grow(size_t had, size_t bytes, void **out)
{
	char before;
	int err;

	if (fails(FAULT_ALLOCATION, "fort_pages_grow", -ENOMEM))
		return -ENOMEM;
	before = let_pass();
	err = __real_fort_pages_grow(had, bytes, out);
	gate = before;
	return err;
}

void __wrap_fort_pages_free(void *block, size_t bytes)
{
	pages -= block != NULL;
	__real_fort_pages_free(block, bytes);
}

/* --- system calls --- */

/* The sanitizer's allocator maps memory anonymously too, and takes no failure. */
#if defined(__SANITIZE_ADDRESS__)
#define ALLOCATOR_MAPS true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALLOCATOR_MAPS true
#endif
#endif
#ifndef ALLOCATOR_MAPS
#define ALLOCATOR_MAPS false
#endif

/* What a system call may fail with, 0 if it is let pass. */
static const struct failing {
	long number;
	const char *name;
	int err;
} failing[] = {
	{SYS_mmap, "mmap", -ENOMEM},
	{SYS_mprotect, "mprotect", -ENOMEM},
	{SYS_memfd_create, "memfd_create", -EMFILE},
	{SYS_ftruncate, "ftruncate", -ENOSPC},
	{SYS_socketpair, "socketpair", -EMFILE},
	{SYS_eventfd2, "eventfd2", -EMFILE},
	{SYS_epoll_create1, "epoll_create1", -EMFILE},
	{SYS_epoll_ctl, "epoll_ctl", -ENOSPC},
	{SYS_openat, "openat", -EMFILE},
	{SYS_fcntl, "fcntl", -ENOMEM}, /* by command: see may_fail */
};

static const struct failing *may_fail(const greg_t *regs)
{
	bool anonymous = regs[REG_R8] == -1 && !(regs[REG_R10] & MAP_FIXED);

	for (unsigned i = 0; i < FORT_LEN(failing); i++) {
		if (failing[i].number != regs[REG_RAX])
			continue;
		if (failing[i].number == SYS_mmap && ALLOCATOR_MAPS && anonymous)
			return NULL;
		if (failing[i].number == SYS_fcntl && regs[REG_RSI] != F_DUPFD_CLOEXEC &&
		    regs[REG_RSI] != F_ADD_SEALS && regs[REG_RSI] != F_OFD_SETLK)
			return NULL;
		return &failing[i];
	}
	return NULL;
}

/* The way out of the handler: the one place that may make a system call while all others trap. */
extern const char fault_restorer[], fault_restorer_end[];
__asm__(".pushsection .text\n"
	".globl fault_restorer, fault_restorer_end\n"
	".hidden fault_restorer, fault_restorer_end\n"
	"fault_restorer: mov $15, %eax\n" /* rt_sigreturn */
	"syscall\n"
	"ud2\n" /* the kernel looks at the address behind the system call */
	"fault_restorer_end:\n"
	".popsection");

static void on_trap(int signal, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	const struct failing *one = may_fail(regs);

	gate = DISPATCH_ALLOW;
	if (one && fails(FAULT_SYSCALL, one->name, one->err))
		regs[REG_RAX] = one->err;
	else if (regs[REG_RAX] == SYS_clone3 || regs[REG_RAX] == SYS_clone)
		regs[REG_RAX] = -EAGAIN; /* a thread would start in here: none is made */
	else
		regs[REG_RAX] = fort_sys6(regs[REG_RAX], regs[REG_RDI], regs[REG_RSI],
					  regs[REG_RDX], regs[REG_R10], regs[REG_R8], regs[REG_R9]);
	gate = DISPATCH_BLOCK;
}

static bool dispatch(bool on)
{
	return !prctl(PR_SET_SYSCALL_USER_DISPATCH, on ? PR_SYS_DISPATCH_ON : PR_SYS_DISPATCH_OFF,
		      on ? fault_restorer : NULL, on ? fault_restorer_end - fault_restorer : 0,
		      on ? &gate : NULL);
}

/* Past libc, whose sigaction has a restorer of its own. */
static bool catch_traps(void)
{
	const struct {
		void (*handler)(int signal, siginfo_t *info, void *context);
		unsigned long flags;
		const char *restorer;
		uint64_t mask;
	} action = {on_trap, SA_SIGINFO | 0x04000000 /* SA_RESTORER */, fault_restorer, 0};

	return !fort_sys4(SYS_rt_sigaction, SIGSYS, (long)&action, 0, sizeof(action.mask));
}

bool fault_syscalls_work(void)
{
	return catch_traps() && dispatch(true) && dispatch(false);
}

void fault_arm(enum fault_kind kind, uint32_t n)
{
	report = (struct fault_report){0};
	fail_at = n;
	armed[kind] = true;
	if (kind == FAULT_SYSCALL && catch_traps() && dispatch(true))
		gate = DISPATCH_BLOCK;
}

struct fault_report fault_disarm(void)
{
	gate = DISPATCH_ALLOW;
	if (armed[FAULT_SYSCALL])
		dispatch(false);
	memset(armed, 0, sizeof(armed));
	return report;
}

/* --- what is held --- */

/* What is left of a window's 4 GiB; sanitizers reserve more, all else is smaller. */
#define WINDOW_BYTES_MIN (1ull << 30)
#define WINDOW_BYTES_MAX (5ull << 30)

static bool is_window(uint64_t bytes)
{
	return bytes >= WINDOW_BYTES_MIN && bytes <= WINDOW_BYTES_MAX;
}

static uint32_t count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint32_t n = 0;

	while (directory && readdir(directory))
		n++;
	if (directory)
		closedir(directory);
	return n;
}

static uint64_t count_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	uint64_t bytes = 0;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (strstr(line, "/memfd:") || is_window(end - start))
			bytes += end - start;
	}
	if (maps)
		fclose(maps);
	return bytes;
}

struct fault_held fault_held_now(void)
{
	return (struct fault_held){.descriptors = count_descriptors(),
				   .allocations = allocations,
				   .pages = pages,
				   .mapped_bytes = count_mapped()};
}
