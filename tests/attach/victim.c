/* A process to attach to. `victim MODE [N]`: each mode calls the functions below in its own way and
 * checks what they return. Built several times: with endbr64, without frame pointers, static.
 */
#include <errno.h>
#include <execinfo.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "victim.h"

#define NOINLINE static __attribute__((noinline, used))

static struct victim_control *control;
static int threads = 1;

/* Six arguments in registers, two on the stack. */
NOINLINE long victim_work(long a, long b, long c, long d, long e, long f, long g, long h)
{
	__asm__ volatile("" : "+r"(a));
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
}

NOINLINE long victim_recurse(long depth)
{
	long below;

	if (depth <= 0)
		return 1;
	below = victim_recurse(depth - 1);
	__asm__ volatile("" : "+r"(below));
	return below + 1;
}

static __thread jmp_buf back;

NOINLINE void victim_jump(long depth)
{
	if (depth <= 0)
		longjmp(back, 1);
	victim_jump(depth - 1);
	control->wrong++;
}

NOINLINE long victim_tail_inner(long a)
{
	__asm__ volatile("" : "+r"(a));
	return a * 3;
}

NOINLINE long victim_tail(long a)
{
	__asm__ volatile("" : "+r"(a));
	return victim_tail_inner(a + 1); /* a jump: -foptimize-sibling-calls */
}

NOINLINE void victim_exit_thread(long depth)
{
	if (depth <= 0)
		pthread_exit((void *)7);
	victim_exit_thread(depth - 1);
	control->wrong++;
}

NOINLINE long victim_fork(void)
{
	return fork();
}

NOINLINE long victim_leaf(long a)
{
	__asm__ volatile("" : "+r"(a));
	return a ^ 0x5555;
}

/* No place for a jump: too short; a branch into its own start; a loop to it, behind endbr64. */
__asm__(".text\n"
	".globl victim_short, victim_knot, victim_round\n"
	".type victim_short, @function\n.type victim_knot, @function\n"
	".type victim_round, @function\n"
	"victim_short: xor %eax, %eax\n ret\n .size victim_short, . - victim_short\n"
	"victim_knot: nop\n1: dec %edi\n test %edi, %edi\n jnz 1b\n xor %eax, %eax\n ret\n"
	".size victim_knot, . - victim_knot\n"
	"victim_round: endbr64\n1: dec %edi\n test %edi, %edi\n nop\n jnz 1b\n ret\n"
	".size victim_round, . - victim_round\n");

static void check(bool good)
{
	if (!good)
		__atomic_fetch_add(&control->wrong, 1, __ATOMIC_RELAXED);
}

static void hold(void)
{
	if (!control->hold)
		return;
	__atomic_fetch_add(&control->held, 1, __ATOMIC_SEQ_CST);
	while (control->hold && !control->stop)
		usleep(100);
	__atomic_fetch_sub(&control->held, 1, __ATOMIC_SEQ_CST);
}

static void *call_work(void *arg)
{
	long self = (long)arg;

	for (long i = 0; !control->stop; i++) {
		hold();
		check(victim_work(i, 1, 2, 3, 4, 5, 6, 7) == i + 2 + 6 + 12 + 20 + 30 + 42 + 56);
		control->thread[self].calls++;
	}
	return NULL;
}

static void on_threads(void *(*work)(void *))
{
	pthread_t thread[VICTIM_THREADS];

	for (long i = 1; i < threads; i++)
		pthread_create(&thread[i], NULL, work, (void *)i);
	control->ready = 1;
	work(NULL);
	for (long i = 1; i < threads; i++)
		pthread_join(thread[i], NULL);
}

static void mode_work(void)
{
	on_threads(call_work);
}

/* Calls once for each step that the test asks for by `events`. */
static void mode_step(void)
{
	control->ready = 1;
	for (volatile uint64_t done = 0; !control->stop;) {
		if (control->events == done) {
			usleep(50);
			continue;
		}
		check(victim_work(11, 12, 13, 14, 15, 16, 17, 18) ==
		      11 + 24 + 39 + 56 + 75 + 96 + 119 + 144);
		check(victim_recurse(40) == 41);
		check(victim_tail(4) == 15);
		check(victim_leaf(1) == 0x5554);
		if (!setjmp(back))
			victim_jump(5);
		control->thread[0].calls = ++done;
	}
}

static void mode_deep(void)
{
	control->ready = 1;
	while (!control->stop) {
		hold();
		check(victim_recurse(6000) == 6001);
		control->thread[0].calls += 6001;
	}
}

static void *call_jump(void *arg)
{
	long self = (long)arg;

	while (!control->stop) {
		hold();
		for (volatile long depth = 0; depth < 20; depth++) {
			if (!setjmp(back))
				victim_jump(depth);
			control->thread[self].calls += (uint64_t)depth + 1;
		}
		check(victim_recurse(10) == 11);
	}
	return NULL;
}

static void mode_jump(void)
{
	on_threads(call_jump);
}

static void *end_by_exit(void *arg)
{
	victim_exit_thread((long)arg);
	return NULL;
}

static void *wait_for_cancel(void *arg)
{
	for (;;)
		check(victim_recurse(3) == 4 && !usleep(100));
	return NULL;
}

/* Threads that come and go, by pthread_exit inside a probed function and by cancellation. */
static void mode_churn(void)
{
	control->ready = 1;
	while (!control->stop) {
		pthread_t thread[4];
		void *result;

		hold();
		for (long i = 0; i < 4; i++)
			pthread_create(&thread[i], NULL, i < 2 ? end_by_exit : wait_for_cancel,
				       (void *)(i * 3));
		for (int i = 0; i < 4; i++) {
			if (i >= 2)
				pthread_cancel(thread[i]);
			pthread_join(thread[i], &result);
			check(result == (i < 2 ? (void *)7 : PTHREAD_CANCELED));
		}
		control->thread[0].calls += 4;
	}
}

static void handler(int signal)
{
	check(victim_work(signal, 0, 0, 0, 0, 0, 0, 0) == signal);
	__atomic_fetch_add(&control->signals, 1, __ATOMIC_RELAXED);
}

static sigjmp_buf out;
static volatile sig_atomic_t armed;

static void jumping_handler(int signal)
{
	__atomic_fetch_add(&control->signals, 1, __ATOMIC_RELAXED);
	if (armed)
		siglongjmp(out, 1);
}

static void start_timer(void (*run)(int), int flags, long us)
{
	struct sigaction action = {.sa_handler = run, .sa_flags = flags};
	struct itimerval timer = {{0, us}, {0, us}};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Calls while signals come, whose handlers call too. */
static void mode_signals(void)
{
	start_timer(handler, SA_RESTART, 300);
	on_threads(call_work);
}

static void mode_altstack(void)
{
	stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};

	sigaltstack(&stack, NULL);
	start_timer(handler, SA_RESTART | SA_ONSTACK, 300);
	control->ready = 1;
	call_work(NULL);
}

/* Handlers that jump out of whatever they interrupt. */
static void mode_sigjump(void)
{
	start_timer(jumping_handler, 0, 500);
	control->ready = 1;
	while (!control->stop) {
		if (!sigsetjmp(out, 1)) {
			armed = 1;
			for (long i = 0; !control->stop; i++)
				check(victim_work(i, 0, 0, 0, 0, 0, 0, 0) == i);
		}
		armed = 0;
		check(victim_recurse(30) == 31);
		control->thread[0].calls++;
	}
}

/* Forks while calling; the children call on, and one in two runs another program. */
static void mode_fork(void)
{
	extern char **environ;

	control->ready = 1;
	while (!control->stop) {
		static char name[] = "true";
		char *arguments[] = {name, NULL};
		int status = -1;
		pid_t pid;

		hold();
		check(victim_work(1, 0, 0, 0, 0, 0, 0, 0) == 1);
		control->thread[0].calls++;
		pid = (pid_t)victim_fork();
		if (!pid) {
			for (long i = 0; i < 1000; i++)
				if (victim_work(i, 0, 0, 0, 0, 0, 0, 0) != i ||
				    victim_recurse(5) != 6)
					_exit(1);
			if (control->events & 1)
				execl("/bin/true", "true", (char *)NULL);
			_exit(0);
		}
		check(waitpid(pid, &status, 0) == pid && status == 0);
		check(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) == 0 &&
		      waitpid(pid, &status, 0) == pid && status == 0);
		pid = vfork();
		if (!pid) {
			victim_work(1, 0, 0, 0, 0, 0, 0, 0);
			control->thread[0].calls++;
			_exit(victim_recurse(3) == 4 ? 0 : 1);
		}
		check(waitpid(pid, &status, 0) == pid && status == 0);
		control->events++;
	}
}

static void mode_exec(void)
{
	control->ready = 1;
	while (!control->events) {
		check(victim_work(1, 0, 0, 0, 0, 0, 0, 0) == 1);
		control->thread[0].calls++;
	}
	execl("/proc/self/exe", "victim", "work", (char *)NULL);
	check(false);
}

static int pair[2], words[2], epoll_fd, semaphores;
static sem_t never;

static void *block_nanosleep(void *arg)
{
	struct timespec pause = {0, 300000000}, left = {0, 0};

	while (!control->stop) {
		check(nanosleep(&pause, &left) == 0);
		control->thread[1].calls++;
	}
	return NULL;
}

static void *block_epoll(void *arg)
{
	struct epoll_event event;

	while (!control->stop) {
		check(epoll_wait(epoll_fd, &event, 1, 300) == 0);
		control->thread[2].calls++;
	}
	return NULL;
}

static void *block_read(void *arg)
{
	char byte;

	while (read(words[0], &byte, 1) == 1)
		control->thread[3].calls++;
	check(errno != EINTR);
	return NULL;
}

static void *block_futex(void *arg)
{
	while (!control->stop) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 300000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		check(sem_timedwait(&never, &until) == -1 && errno == ETIMEDOUT);
		control->thread[4].calls++;
	}
	return NULL;
}

/* SO_RCVTIMEO makes an interrupted recv fail with EINTR instead of being restarted. */
static void *block_recv(void *arg)
{
	struct timeval timeout = {0, 300000};
	char byte;

	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	while (!control->stop) {
		check(recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN);
		control->thread[5].calls++;
	}
	return NULL;
}

static void *block_semop(void *arg)
{
	struct timespec timeout = {0, 300000000};

	while (!control->stop) {
		struct sembuf wait = {0, -1, 0};

		check(semtimedop(semaphores, &wait, 1, &timeout) == -1 && errno == EAGAIN);
		control->thread[6].calls++;
	}
	return NULL;
}

static void *block_poll(void *arg)
{
	while (!control->stop) {
		check(poll(NULL, 0, 300) == 0);
		control->thread[7].calls++;
	}
	return NULL;
}

static void *block_sigtimedwait(void *arg)
{
	struct timespec timeout = {0, 300000000};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	while (!control->stop) {
		check(sigtimedwait(&set, NULL, &timeout) == -1 && errno == EAGAIN);
		control->thread[8].calls++;
	}
	return NULL;
}

/* Threads that wait in the kernel in all ways; none may see that it was interrupted. */
static void mode_block(void)
{
	static void *(*const works[])(void *) = {
		block_nanosleep, block_epoll, block_read, block_futex,
		block_recv,      block_semop, block_poll, block_sigtimedwait,
	};
	pthread_t thread[8];

	sem_init(&never, 0, 0);
	epoll_fd = epoll_create1(0);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || pipe(words))
		abort();
	for (int i = 0; i < 8; i++)
		pthread_create(&thread[i], NULL, works[i], NULL);
	control->ready = 1;
	while (!control->stop) {
		check(victim_work(1, 0, 0, 0, 0, 0, 0, 0) == 1);
		check(write(words[1], "", 1) == 1);
		check(usleep(20000) == 0);
		control->thread[0].calls++;
	}
	close(words[1]);
	for (int i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	semctl(semaphores, 0, IPC_RMID);
}

/* A signal handler that stays, while what it interrupted waits. */
static void long_handler(int signal)
{
	control->signals = 1;
	while (control->hold)
		usleep(1000);
	control->signals = 2;
}

static void mode_handler(void)
{
	struct sigaction action = {.sa_handler = long_handler};

	sigaction(SIGUSR1, &action, NULL);
	call_work((control->ready = 1, NULL));
}

/* The main thread ends, the process lives on. */
static void mode_headless(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, call_work, NULL);
	control->ready = 1;
	pthread_exit(NULL);
}

/* How far below its caller's frame a call of victim_leaf writes to the stack. */
NOINLINE void paint(void)
{
	volatile uint8_t area[16384];

	for (size_t i = 0; i < sizeof(area); i++)
		area[i] = 0xa5;
}

NOINLINE uint64_t measure(void)
{
	volatile uint8_t *low = __builtin_frame_address(0);
	uint64_t used = 0;

	__asm__ volatile("" : "+r"(low));
	low -= 14000;
	paint();
	check(victim_leaf(1) == 0x5554);
	for (uint64_t i = 0; i < 14000 && !used; i++)
		if (low[i] != 0xa5)
			used = 14000 - i;
	return used;
}

static void mode_stack(void)
{
	control->ready = 1;
	while (!control->stop) {
		control->events = measure();
		control->thread[0].calls++;
		usleep(100);
	}
}

/* Nothing but the time of calls: events is picoseconds each, the least since `signals` changed.
 * Rounds are short, so that some are not interrupted. */
static void mode_time(void)
{
	enum { CALLS = 1000 };
	uint64_t asked = 0, least = UINT64_MAX;

	control->ready = 1;
	while (!control->stop) {
		struct timespec start, end;
		uint64_t ps;

		if (control->signals != asked) {
			asked = control->signals;
			least = UINT64_MAX;
			control->thread[0].calls = 0;
			control->held = (uint32_t)asked;
		}
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (long i = 0; i < CALLS; i++)
			victim_leaf(i);
		clock_gettime(CLOCK_MONOTONIC, &end);
		ps = (uint64_t)((end.tv_sec - start.tv_sec) * 1000000000 +
				(end.tv_nsec - start.tv_nsec)) *
		     1000 / CALLS;
		least = ps < least ? ps : least;
		control->events = least;
		control->thread[0].calls++;
	}
}

/* Under a filter that allows everything. */
static void mode_seccomp(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog filter = {1, &allow};

	check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	      !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	mode_step();
}

static void mode_undumpable(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	mode_step();
}

/* Only the agent's thread would be left. */
static void mode_vanish(void)
{
	control->ready = 1;
	while (!control->events)
		check(victim_work(1, 0, 0, 0, 0, 0, 0, 0) == 1);
	syscall(SYS_exit, 0);
}

/* Alone in its section, whose borders tell its frames from those of its callers. */
extern const char __start_trace_code[], __stop_trace_code[];

/* The unwinder (libgcc_s) is loaded by the first call, when probes are there already. */
__attribute__((section("trace_code"))) NOINLINE long victim_trace(long depth)
{
	void *frames[64];
	long inside = 0, n;

	if (depth > 0) {
		inside = victim_trace(depth - 1);
		__asm__ volatile("" : "+r"(inside));
		return inside;
	}
	n = backtrace(frames, 64);
	for (long i = 0; i < n; i++)
		inside += (const char *)frames[i] >= __start_trace_code &&
			  (const char *)frames[i] < __stop_trace_code;
	return inside;
}

static void mode_trace(void)
{
	control->ready = 1;
	while (!control->stop) {
		if (control->events == control->thread[0].calls) {
			usleep(100);
			continue;
		}
		check(victim_trace(10) == 11);
		control->thread[0].calls++;
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
	{"work", mode_work},
	{"step", mode_step},
	{"deep", mode_deep},
	{"jump", mode_jump},
	{"churn", mode_churn},
	{"signals", mode_signals},
	{"altstack", mode_altstack},
	{"sigjump", mode_sigjump},
	{"fork", mode_fork},
	{"exec", mode_exec},
	{"block", mode_block},
	{"handler", mode_handler},
	{"headless", mode_headless},
	{"stack", mode_stack},
	{"time", mode_time},
	{"vanish", mode_vanish},
	{"trace", mode_trace},
	{"seccomp", mode_seccomp},
	{"undumpable", mode_undumpable},
};

int main(int argc, char **argv)
{
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, VICTIM_FD, 0);
	if (control == MAP_FAILED || argc < 2)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc > 2)
		threads = atoi(argv[2]);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[1]) != 0)
			continue;
		modes[i].run();
		return control->wrong ? 3 : 0;
	}
	return 2;
}
