// Types of programs and maps that bpfort does not have yet.
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u64);
} stack SEC(".maps");

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	return 0;
}

SEC("socket")
int filter(struct __sk_buff *skb)
{
	__u64 value = skb->len;

	return bpf_map_push_elem(&stack, &value, BPF_ANY);
}

char LICENSE[] SEC("license") = "GPL";
