// Proven to end, which takes longer than a run may: when a request's number is odd.
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 started, ended;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u64);
} read_only SEC(".maps");

SEC("uprobe/:handle_request")
int BPF_KPROBE(slow, unsigned int request)
{
	__u32 key = 0;

	if (!bpf_map_lookup_elem(&read_only, &key))
		return 0;
	__sync_fetch_and_add(&started, 1);
	if (!(request & 1))
		return 0;
	for (__u64 i = 0; i < 1 << 20; i++) {
		__asm__ volatile("" : "+r"(i)); /* clang would count down */
		for (__u64 j = 0; j < 1 << 20; j++)
			__asm__ volatile("" : "+r"(j));
	}
	__sync_fetch_and_add(&ended, 1);
	return 0;
}

/* Beside it, to see that others go on. */
SEC("uretprobe/:handle_request")
int BPF_KRETPROBE(good)
{
	bpf_printk("returned");
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
