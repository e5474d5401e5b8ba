/* Links, events and loads of the embedded store: what is attached when, what the road is asked,
 * what is reported. No kernel bpf(2) is needed.
 */
#include "store_test.h"

#include <sys/ioctl.h>

static struct attached {
	unsigned attached, detached;
	struct fort_attach_request last;
	char path[200];
	int result;
} attached;

static int attach(void *owner, const struct fort_attach_request *request, void **attachment)
{
	struct attached *a = owner;

	if (a->result)
		return a->result;
	a->attached++;
	a->last = *request;
	snprintf(a->path, sizeof(a->path), "%s", request->path);
	*attachment = a;
	return 0;
}

static void detach(void *owner, void *attachment)
{
	struct attached *a = owner;

	assert_ptr_equal(attachment, a);
	a->detached++;
}

static int open_probe(uint64_t offset, bool returns, bool disabled)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = fort_store_uprobe_type(store),
		.config = returns | 0x55ull << 32,
		.uprobe_path = PTR("/proc/self/exe"),
		.probe_offset = offset,
		.disabled = disabled,
	};
	long fd = fort_store_perf_event_open(store, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	assert_true(fd >= 0);
	return (int)fd;
}

static long link_create(int prog, int event, uint64_t cookie)
{
	union fort_attr attr = {.link_create = {.prog_fd = (uint32_t)prog,
						.target_fd = (uint32_t)event,
						.attach_type = BPF_PERF_EVENT,
						.bpf_cookie = cookie}};

	return bpf_in(store, FORT_CMD_LINK_CREATE, &attr);
}

static long control(int event, unsigned long request, unsigned long arg)
{
	long result = -1;

	assert_true(fort_store_ioctl(store, event, request, arg, &result));
	return result;
}

static void use_recorder(void)
{
	const struct fort_store_attacher attacher = {attach, detach, &attached};

	memset(&attached, 0, sizeof(attached));
	fort_store_set_attacher(store, &attacher);
}

static void a_link_lives_as_its_descriptor(void **state)
{
	int prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"),
	    event = open_probe(0x1234, true, true);
	long link;

	(void)state;
	use_recorder();
	link = link_create(prog, event, 99);
	assert_true(link >= 0);
	assert_int_equal(attached.attached, 0); /* not before it is enabled */
	assert_int_equal(control(event, PERF_EVENT_IOC_ENABLE, 0), 0);
	assert_int_equal(attached.attached, 1);
	assert_string_equal(attached.path, "/proc/self/exe");
	assert_int_equal(attached.last.offset, 0x1234);
	assert_int_equal(attached.last.ref_ctr_offset, 0x55);
	assert_true(attached.last.returns);
	assert_int_equal(attached.last.cookie, 99);
	assert_int_equal(attached.last.pid, getpid());
	close(event);
	close(prog);
	assert_int_equal(links() + progs(), 2);
	assert_int_equal(attached.detached, 0);
	close((int)link);
	assert_int_equal(links(), 0);
	assert_int_equal(progs(), 0);
	assert_int_equal(attached.detached, 1);
}

static void events_switch_on_and_off(void **state)
{
	int prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"),
	    event = open_probe(1, false, false);

	(void)state;
	use_recorder();
	assert_int_equal(control(event, PERF_EVENT_IOC_SET_BPF, (unsigned long)prog), 0);
	assert_int_equal(attached.attached, 1); /* it was enabled */
	assert_int_equal(control(event, PERF_EVENT_IOC_ENABLE, 0), 0);
	assert_int_equal(attached.attached, 1);
	assert_int_equal(control(event, PERF_EVENT_IOC_DISABLE, 0), 0);
	assert_int_equal(control(event, PERF_EVENT_IOC_DISABLE, 0), 0);
	assert_int_equal(attached.detached, 1);
	assert_int_equal(control(event, PERF_EVENT_IOC_ENABLE, 0), 0);
	assert_int_equal(attached.attached, 2);
	close(prog);
	assert_int_equal(progs(), 1);
	close(event);
	assert_int_equal(progs(), 0);
	assert_int_equal(attached.detached, 2);
}

static void a_refused_attachment_changes_nothing(void **state)
{
	int prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit"),
	    event = open_probe(1, false, false);
	long link;

	(void)state;
	assert_int_equal(link_create(prog, event, 0), -EOPNOTSUPP); /* nothing attaches */
	use_recorder();
	attached.result = -EPERM;
	assert_int_equal(link_create(prog, event, 0), -EPERM);
	assert_int_equal(links(), 0);
	attached.result = 0;
	link = link_create(prog, event, 0);
	assert_true(link >= 0);
	assert_int_equal(control(event, PERF_EVENT_IOC_DISABLE, 0), 0);
	attached.result = -ENOMEM;
	assert_int_equal(control(event, PERF_EVENT_IOC_ENABLE, 0), -ENOMEM);
	close((int)link);
	close(event);
	close(prog);
	assert_int_equal(links() + progs(), 0);
}

static void ioctls_on_other_things_are_not_ours(void **state)
{
	int map = make_map(), prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");
	long result;

	(void)state;
	assert_false(fort_store_ioctl(store, map, PERF_EVENT_IOC_ENABLE, 0, &result));
	assert_false(fort_store_ioctl(store, prog, PERF_EVENT_IOC_ENABLE, 0, &result));
	assert_false(fort_store_ioctl(store, 0, FIONREAD, 0, &result));
	assert_false(fort_store_ioctl(store, -1, FIONREAD, 0, &result));
	close(map);
	close(prog);
}

static void poll_fd_tells_of_closed_descriptors(void **state)
{
	int prog = make_prog(BPF_PROG_TYPE_KPROBE, "mov r0, 0\nexit");

	(void)state;
	close(prog);
	assert_int_equal(recording.unloads, 0);
	fort_store_reap(store);
	assert_int_equal(recording.unloads, 1);
	assert_true(fort_store_poll_fd(store) >= 0);
}

/* --- loads --- */

static void hear(void *owner, const struct fort_load_report *report)
{
	++*(int *)owner;
	assert_string_equal(report->log_tail, "because\n");
	assert_int_equal(report->err, -EACCES);
	assert_int_equal(report->verdict, FORT_LOAD_REJECTED);
}

static void reports(void **state)
{
	struct fort_raw_insn insns[2] = {{0}};
	union fort_attr attr = {.prog_load = {.prog_type = BPF_PROG_TYPE_KPROBE,
					      .insn_cnt = 2,
					      .insns = PTR(insns),
					      .license = PTR(""),
					      .log_level = 1,
					      .prog_name = "named"}};
	int heard = 0;

	(void)state;
	fort_store_set_listener(store, hear, &heard);
	recording.load_result = -EACCES;
	recording.say = "because\n";
	assert_int_equal(bpf_in(store, FORT_CMD_PROG_LOAD, &attr), -EACCES);
	assert_int_equal(heard, 1);
	assert_string_equal(fort_store_last_load(store)->name, "named");
	assert_string_equal(fort_store_last_load(store)->type->name, "kprobe");
	assert_int_equal(fort_store_last_load(store)->insns, 2);
	assert_int_equal(attr.prog_load.log_true_size, strlen("because\n") + 1);
}

/* What the road gets: indices where descriptors were, the maps, the flags. */
static void requests(void **state)
{
	int a = make_map(), b = make_map(), prog;
	char text[200];

	(void)state;
	snprintf(text, sizeof(text),
		 "lddw r1, map_fd %d\nlddw r2, map_fd %d\nlddw r3, map_fd %d\nmov r0, 0\nexit", b,
		 a, b);
	prog = make_prog(BPF_PROG_TYPE_XDP, text);
	assert_int_equal(recording.request.n_maps, 2);
	assert_int_equal(recording.insns[0].imm, 0);
	assert_int_equal(recording.insns[2].imm, 1);
	assert_int_equal(recording.insns[4].imm, 0);
	assert_int_equal(recording.insns[0].src, fort_rows[FORT_ROW_LDIMM_MAP_IDX].value);
	assert_string_equal(recording.request.type->name, "xdp");
	assert_true(recording.request.gpl);
	close(a);
	close(b);
	close(prog);
	assert_int_equal(progs() + maps(), 0);
}

/* Closed on purpose, unlike the kernel: a read-only descriptor is not enough for a program. */
static void programs_need_whole_descriptors(void **state)
{
	static const uint32_t modes[] = {BPF_F_RDONLY, BPF_F_WRONLY};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		int map = make_map_in(store, BPF_MAP_TYPE_HASH, modes[i]);
		struct fort_raw_insn insns[4] = {{0}};
		union fort_attr attr = {.prog_load = {.prog_type = BPF_PROG_TYPE_KPROBE,
						      .insn_cnt = 4,
						      .insns = PTR(insns),
						      .license = PTR("")}};
		struct fort_insn insn = fort_insn_make(FORT_ROW_LDIMM_MAP_FD, 1, 0, 0, map);

		fort_insn_encode(&insn, insns);
		assert_int_equal(bpf_in(store, FORT_CMD_PROG_LOAD, &attr), -EPERM);
		close(map);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_link_lives_as_its_descriptor),
		TEST(events_switch_on_and_off),
		TEST(a_refused_attachment_changes_nothing),
		TEST(ioctls_on_other_things_are_not_ours),
		TEST(poll_fd_tells_of_closed_descriptors),
		TEST(reports),
		TEST(requests),
		TEST(programs_need_whole_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
