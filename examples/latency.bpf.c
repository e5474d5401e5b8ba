// How long does a function of a process take? Entry and return of handle_request() in the traced
// program: a hash map remembers when each thread entered, an array counts calls by the power of
// two of their microseconds, a ring buffer tells of the slow ones.
//
//   bpfort run latency.bpf.o --pid PID
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define SLOTS   24
#define SLOW_US 4000

// A key type called log2_UNIT: `bpfort run` prints the map as a histogram.
typedef __u32 log2_us;

// What a ring buffer's records are: its value type. `bpfort run` prints them by it.
struct slow_call {
	__u32 tid;
	__u32 request; // the function's argument
	__u64 us;
	char comm[16];
};

struct entry {
	__u64 ns;
	__u32 request;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct entry);
} started SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, log2_us);
	__type(value, __u64);
} latency SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
	__type(value, struct slow_call);
} slow SEC(".maps");

SEC("uprobe/:handle_request")
int BPF_KPROBE(enter, unsigned int request)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct entry entry = {.ns = bpf_ktime_get_ns(), .request = request};

	bpf_map_update_elem(&started, &tid, &entry, BPF_ANY);
	return 0;
}

static __always_inline __u32 log2(__u64 value)
{
	__u32 slot = 0;

	for (int bits = 16; bits; bits >>= 1) {
		if (value >> bits) {
			value >>= bits;
			slot += bits;
		}
	}
	return slot;
}

static __always_inline void tell(__u32 tid, __u32 request, __u64 us)
{
	struct slow_call *call = bpf_ringbuf_reserve(&slow, sizeof(*call), 0);

	if (!call)
		return;
	call->tid = tid;
	call->request = request;
	call->us = us;
	bpf_get_current_comm(call->comm, sizeof(call->comm));
	bpf_ringbuf_submit(call, 0);
}

SEC("uretprobe/:handle_request")
int leave(struct pt_regs *ctx)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct entry *entry = bpf_map_lookup_elem(&started, &tid);
	__u32 slot;
	__u64 us, *count;

	if (!entry)
		return 0;
	us = (bpf_ktime_get_ns() - entry->ns) / 1000;
	slot = log2(us);
	count = bpf_map_lookup_elem(&latency, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
	if (us >= SLOW_US)
		tell(tid, entry->request, us);
	bpf_map_delete_elem(&started, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
