/* A program for its types: every kind of BTF that clang writes, in maps, globals and function
 * prototypes. It does little; tests read, print and mutate its BTF.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "types.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct point);
	__type(value, struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

const volatile struct flags defaults = {.ready = 1, .level = -2};
static volatile struct point last;
int total __attribute__((btf_decl_tag("counted")));
long by_state[3] = {1, 2, 3};

static __attribute__((noinline)) int classify(const struct event *event, enum state wanted)
{
	return event->state == wanted ? event->word.point.x : (int)event->flags.level;
}

SEC("socket")
int count(struct __sk_buff *skb)
{
	struct point key = {.x = (short)skb->len};
	struct event *event = bpf_map_lookup_elem(&events, &key);
	__u32 index = 1;
	__u64 *slot;

	if (!event)
		return 0;
	slot = bpf_map_lookup_elem(&counts, &index);
	if (slot)
		__sync_fetch_and_add(slot, 1);
	last.x = key.x;
	total += classify(event, RUNNING);
	by_state[1] += defaults.level;
	return total;
}

char _license[] SEC("license") = "GPL";
