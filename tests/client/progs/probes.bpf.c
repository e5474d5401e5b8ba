// Probes of a function of the program, of a library's, and what they tell: counters in global
// data, per-CPU counts, lines of trace_printk, records with and without a type.
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

__u64 calls;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} untyped SEC(".maps");

SEC("uprobe/:handle_request")
int BPF_KPROBE(enter, unsigned int request)
{
	__u32 slot = 1;
	__u64 *count = bpf_map_lookup_elem(&per_cpu, &slot);

	__sync_fetch_and_add(&calls, 1);
	if (count)
		*count += 1;
	if (request == 5) {
		__u32 word = 0x04030201;

		bpf_printk("request %d", request);
		bpf_ringbuf_output(&untyped, &word, sizeof(word), 0);
	}
	return 0;
}

SEC("uprobe/libc:nanosleep")
int asleep(struct pt_regs *ctx)
{
	__u32 slot = 2;
	__u64 *count = bpf_map_lookup_elem(&per_cpu, &slot);

	if (count)
		*count += 1;
	return 0;
}

SEC("uprobe")
int nowhere(struct pt_regs *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
