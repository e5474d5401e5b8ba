#!/bin/sh
# Compiles the kernel's own programs that make tail calls, from the sources that corpus.sh unpacks,
# and gives them to a program.
# usage: tails.sh CORPUS DIR PROGRAM
set -eu
corpus=$1 work=$2 program=$3
reason=$("$(dirname "$0")/corpus.sh" "$corpus") || {
	[ $? -eq 77 ] || exit 1
	echo "1..0 # SKIP $reason"
	exit 0
}
source=$corpus/linux-source-6.12
tests=$source/tools/testing/selftests/bpf
mkdir -p "$work"
objects=
# Those that trace or replace others (fentry, fexit, freplace) need programs that do not run here.
for name in tailcall1 tailcall2 tailcall3 tailcall4 tailcall5 tailcall6 tailcall_bpf2bpf1 \
	tailcall_bpf2bpf2 tailcall_bpf2bpf3 tailcall_bpf2bpf4 tailcall_bpf2bpf6 \
	tailcall_bpf2bpf_hierarchy1 tailcall_bpf2bpf_hierarchy2 tailcall_bpf2bpf_hierarchy3; do
	clang-19 -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -std=gnu11 -fno-strict-aliasing -w \
		-I"$corpus/include" -I"$tests" -I"$tests/progs" -I"$source/tools/include/uapi" \
		-I"$source/tools/include" -idirafter /usr/include/x86_64-linux-gnu \
		-c "$tests/progs/$name.c" -o "$work/$name.o"
	objects="$objects $work/$name.o"
done
# shellcheck disable=SC2086
exec "$program" $objects
