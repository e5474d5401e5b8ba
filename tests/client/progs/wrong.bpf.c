// Rejected, each for one reason; and one that is fine.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("socket")
int no_null_check(struct __sk_buff *skb)
{
	__u32 key = skb->len & 3;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	*count += 1; // line 18
	return 0;
}

SEC("socket")
int endless(struct __sk_buff *skb)
{
	volatile __u64 x = skb->len;

	while (x != 7)
		x += 2;
	return 0;
}

SEC("socket")
int fine(struct __sk_buff *skb)
{
	__u32 key = skb->len & 3;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	return count ? (int)*count : -1;
}

char LICENSE[] SEC("license") = "GPL";
