// Counts packets by IP protocol. It has a bug that the compiler does not see: a packet may be too
// short to have the byte that is read. `bpfort verify buggy.bpf.o --explain` finds it.
// Compiled with -DFIXED the bug is gone.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

SEC("xdp")
int count_protocols(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	__u64 *count;
	__u32 protocol;

#ifdef FIXED
	if (data + sizeof(*eth) + sizeof(*ip) > end)
		return XDP_PASS;
#else
	if (data + sizeof(*eth) > end)
		return XDP_PASS;
#endif
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	protocol = ip->protocol;
	count = bpf_map_lookup_elem(&packets, &protocol);
	if (count)
		__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
