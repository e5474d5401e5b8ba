#include "agent/notice.h"

#include <asm/signal.h>
#include <linux/signalfd.h>
#include <stdbool.h>

#include "agent/agent.h"
#include "base/sys.h"

#define NOTICE_SIGNAL SIGURG /* ignored by default */

static bool raised;

int fort_notice_open(void)
{
	uint64_t mask = 1ull << (NOTICE_SIGNAL - 1);

	return (int)fort_sys4(SYS_signalfd4, -1, (long)&mask, sizeof(mask),
			      SFD_CLOEXEC | SFD_NONBLOCK);
}

void fort_notice_raise(void)
{
	if (!__atomic_exchange_n(&raised, true, __ATOMIC_SEQ_CST))
		fort_sys3(SYS_tgkill, fort_agent.pid, fort_agent.tid, NOTICE_SIGNAL);
}

void fort_notice_take(int fd)
{
	struct signalfd_siginfo info;

	(void)!fort_sys3(SYS_read, fd, (long)&info, sizeof(info));
	__atomic_store_n(&raised, false, __ATOMIC_SEQ_CST);
}
