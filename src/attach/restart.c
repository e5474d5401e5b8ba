#include "attach/restart.h"

#include <errno.h>
#include <sys/syscall.h>

/* What a system call leaves in rax for the kernel's own restart logic (linux/errno.h, not part of
 * the user headers). */
enum {
	RESTART_SYS = 512,
	RESTART_NOINTR = 513,
	RESTART_NOHAND = 514,
	RESTART_BLOCK = 516,
};

static const uint16_t calls[] = {
#define FORT_RESTART(call) SYS_##call,
#include "attach/restart.def"
#undef FORT_RESTART
};

bool fort_restart_needed(const struct fort_regs *regs)
{
	if ((int64_t)regs->word[FORT_CPU_RAX] != -EINTR)
		return false;
	for (size_t i = 0; i < FORT_LEN(calls); i++)
		if (regs->word[FORT_CPU_ORIG_RAX] == calls[i])
			return true;
	return false;
}

void fort_restart_rewind(struct fort_regs *regs)
{
	regs->word[FORT_CPU_RAX] = regs->word[FORT_CPU_ORIG_RAX];
	regs->word[FORT_CPU_RIP] -= FORT_SYSCALL_BYTES;
	regs->word[FORT_CPU_ORIG_RAX] = (uint64_t)-1;
}

bool fort_restart_pending(const struct fort_regs *regs)
{
	if ((int64_t)regs->word[FORT_CPU_ORIG_RAX] < 0)
		return false;
	switch (-(int64_t)regs->word[FORT_CPU_RAX]) {
	case RESTART_SYS:
	case RESTART_NOINTR:
	case RESTART_NOHAND:
	case RESTART_BLOCK: return true;
	default: return false;
	}
}
