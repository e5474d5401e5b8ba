/* Programs that ask for what nobody has, by nearly the right name. */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct mm_struct {
	__u64 pgdd;
} __attribute__((preserve_access_index));

struct task_struct {
	int tgidd;
	struct mm_struct *mm;
} __attribute__((preserve_access_index));

struct task_strukt {
	int tgid;
} __attribute__((preserve_access_index));

enum pid_type { PIDTYPE_PIDD = 77 };

SEC("tp_btf/sched_switch")
int member(__u64 *ctx)
{
	return ((struct task_struct *)ctx[1])->tgidd;
}

SEC("tp_btf/sched_switch")
int inner(__u64 *ctx)
{
	return (int)((struct task_struct *)ctx[1])->mm->pgdd;
}

SEC("tp_btf/sched_switch")
int type(__u64 *ctx)
{
	return ((struct task_strukt *)ctx[1])->tgid;
}

SEC("tp_btf/sched_switch")
int constant(__u64 *ctx)
{
	return (int)bpf_core_enum_value(enum pid_type, PIDTYPE_PIDD);
}

SEC("xpd")
int section(void *ctx)
{
	return XDP_PASS;
}

#ifdef CALLS
extern int bpf_task_acquir(struct task_struct *task) SEC(".ksyms");

SEC("tp_btf/sched_switch")
int function(__u64 *ctx)
{
	return bpf_task_acquir((struct task_struct *)ctx[1]);
}
#endif

char _license[] SEC("license") = "GPL";
