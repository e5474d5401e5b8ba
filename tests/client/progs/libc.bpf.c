// A probe of libc only: attaches to any program that is linked with it.
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>

__u64 writes;

SEC("uprobe/libc:write")
int writing(struct pt_regs *ctx)
{
	__sync_fetch_and_add(&writes, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
