/* Programs that bpfort judges and does not run, and sections that libbpf 1.1.2 does not know. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} kept SEC(".maps");

const volatile __u32 limit = 3;

static __u64 *find_inner(void)
{
	__u32 key = 1;
	void *map = bpf_map_lookup_elem(&outer, &key);

	return map ? bpf_map_lookup_elem(map, &key) : 0;
}

SEC("tc")
int lookup_inner(struct __sk_buff *skb)
{
	__u64 *value = find_inner();

	return value ? (int)*value : 0;
}

SEC("tc")
int beyond_inner(struct __sk_buff *skb)
{
	__u64 *value = find_inner();

	return value ? (int)value[1] : 0;
}

/* Safe because of the constant only. */
SEC("socket")
int folded(struct __sk_buff *skb)
{
	__u64 bytes[4] = {};

	return (int)*(volatile __u64 *)&bytes[limit];
}

SEC("tc")
int pinned(struct __sk_buff *skb)
{
	__u32 key = 1;
	__u64 *value = bpf_map_lookup_elem(&kept, &key);

	return value ? 1 : 0;
}

SEC("cgroup/connect_unix")
int to_unix(void *ctx)
{
	return 1;
}

SEC("my/own")
int nameless(void *ctx)
{
	return 1;
}

SEC("fentry/vfs_open")
int attached(void *ctx)
{
	return 0;
}

SEC("lsm.s/file_open")
int sleeps(void *ctx)
{
	return 0;
}

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

/* Global functions are told of the kernel's types. */
__attribute__((noinline)) int
id_of(struct task_struct *task __attribute__((btf_decl_tag("arg:trusted"))))
{
	return task ? task->pid : 0;
}

SEC("kprobe")
int tells(void *ctx)
{
	return id_of((struct task_struct *)bpf_get_current_task_btf());
}

char _license[] SEC("license") = "GPL";
