// Programs for test runs: what each gives for a packet is compared with the kernel.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 salt = 0x5bd1e995;
__u64 seen;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} flows SEC(".maps");

SEC("xdp")
int swap_macs(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;
	unsigned char *end = (void *)(long)ctx->data_end;

	if (data + 14 > end)
		return XDP_DROP;
	for (int i = 0; i < 6; i++) {
		unsigned char byte = data[i];

		data[i] = data[i + 6];
		data[i + 6] = byte;
	}
	return XDP_TX;
}

SEC("xdp")
int checksum(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;
	unsigned char *end = (void *)(long)ctx->data_end;
	__u32 sum = salt;

	for (int i = 0; i < 64; i++) {
		if (data + i + 1 > end)
			break;
		sum = (sum ^ data[i]) * 16777619u;
	}
	seen++;
	return (int)(sum & 0x7fffffff);
}

static __noinline __u32 flow_of(__u32 from, __u32 to)
{
	return (from ^ to) * salt;
}

SEC("xdp")
int count_flows(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	__u64 one = 1, *count;
	__u32 flow;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	flow = flow_of(ip->saddr, ip->daddr);
	count = bpf_map_lookup_elem(&flows, &flow);
	if (!count) {
		bpf_map_update_elem(&flows, &flow, &one, BPF_NOEXIST);
		return 1000;
	}
	__sync_fetch_and_add(count, 1);
	return 1000 + (int)*count;
}

SEC("socket")
int length(struct __sk_buff *skb)
{
	return (int)skb->len;
}

SEC("tc")
int classify(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) > end)
		return TC_ACT_SHOT;
	eth->h_dest[0] ^= 2;
	return skb->protocol == bpf_htons(ETH_P_IP) ? TC_ACT_PIPE : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
