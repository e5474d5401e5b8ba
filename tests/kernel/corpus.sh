#!/bin/sh
# The kernel's own tests of its verifier, made usable where the build is: nothing of them is kept in
# this repository. Unpacks Debian's linux-source-6.12 and compiles, once per kernel and sources:
#
#   objects/verifier/    progs/verifier_*.c: small programs with their expected verdicts
#   objects/annotated/   all others with expectations, and the iterators, dynptrs, global functions
#   objects/large/       large programs: veristat.cfg, and what else takes the kernel long
#   lib/libbpf.so.1      the libbpf of the same sources, which can load them all (Debian's cannot)
#   arrays-6.12.so       verifier/*.c: tests that are lists of instructions (arrays.inc)
#   arrays-6.1.so        those of linux-source-6.1, if it is installed: there are three times as many
#
# usage: corpus.sh DIR
# Exits with 77 and the reason on stdout where that is not possible.
set -eu
work=$1
version=6.12
archive=/usr/src/linux-source-$version.tar.xz
btf=/sys/kernel/btf/vmlinux

skip() {
	echo "$1"
	exit 77
}

[ -r "$archive" ] || skip "no $archive: tools/deps corpus installs it"
[ -r "$btf" ] || skip "the running kernel has no $btf"
for tool in clang-19 gcc bpftool xz python3; do
	command -v "$tool" >/dev/null || skip "no $tool: tools/deps corpus installs it"
done

here=$(cd "$(dirname "$0")" && pwd)
older=/usr/src/linux-source-6.1.tar.xz
mkdir -p "$work"
work=$(cd "$work" && pwd)
source=$work/linux-source-$version
tests=$source/tools/testing/selftests/bpf

unpack() {
	rm -rf "$work/objects" "$work/include" "$work/lib" "$source"
	mkdir -p "$work/include/bpf" "$work/lib" "$work/objects/verifier" \
		"$work/objects/annotated" "$work/objects/large"
	tar -xJf "$archive" -C "$work" "linux-source-$version/tools/testing/selftests/bpf" \
		"linux-source-$version/tools/include" "linux-source-$version/tools/lib/bpf" \
		"linux-source-$version/tools/arch/x86/include" \
		"linux-source-$version/scripts/bpf_doc.py"
	rm -rf "$work/linux-source-6.1"
	if [ -r "$older" ]; then
		tar -xJf "$older" -C "$work" linux-source-6.1/tools/testing/selftests/bpf/verifier \
			linux-source-6.1/tools/testing/selftests/bpf/test_btf.h \
			linux-source-6.1/tools/include linux-source-6.1/tools/arch/x86/include
	fi
	cp "$source"/tools/lib/bpf/*.h "$work/include/bpf/"
	python3 "$source/scripts/bpf_doc.py" --header \
		--filename "$source/tools/include/uapi/linux/bpf.h" \
		>"$work/include/bpf/bpf_helper_defs.h" 2>/dev/null
	bpftool btf dump file "$btf" format c >"$work/include/vmlinux.h"
	follow_the_kernel
}

# Fields that the running kernel names otherwise than 6.12.
follow_the_kernel() {
	if grep -q 'struct kernfs_node \*__parent;' "$work/include/vmlinux.h"; then
		sed -i 's/(cgroup_node, parent)/(cgroup_node, __parent)/' \
			"$tests/progs/profiler.inc.h"
	fi
}

# "GROUP SOURCE" a line, those first that take the compiler long.
sources() {
	cd "$tests/progs"
	for name in pyperf600 pyperf180 pyperf100 test_verif_scale2 pyperf* strobemeta* xdp_synproxy* \
		bpf_flow* bpf_loop_bench* loop* netif_receive_skb* profiler* test_cls_redirect* \
		test_l4lb* test_sysctl* test_tcp_hdr_* test_usdt* test_verif_scale* \
		test_xdp_noinline* xdping* test_seg6_loop*; do
		echo "large ${name%.c}.c"
	done | grep -v '\.h\.c$'
	printf 'verifier %s\n' verifier_*.c
	printf 'annotated %s\n' $(grep -lE '\b__(success|failure|retval|msg)' -- *.c) iters*.c \
		dynptr_*.c test_global_func*.c
}

# cpu v4 where the tests are about its instructions.
compile() {
	sources | awk '!seen[$2]++' | xargs -P "$(nproc)" -L 1 sh -c '
		work=$1 source=$2 group=$3 name=${4%.c} cpu=v3
		tests=$source/tools/testing/selftests/bpf
		object=$work/objects/$group/$name.o
		case $name in
		verifier_gotol | verifier_movsx | verifier_ldsx | verifier_sdiv | verifier_bswap) cpu=v4 ;;
		esac
		clang-19 -g -O2 -target bpf -mcpu=$cpu -D__TARGET_ARCH_x86 -mlittle-endian \
			-std=gnu11 -fno-strict-aliasing -w -I"$work/include" -I"$tests" \
			-I"$tests/progs" -I"$source/tools/include/uapi" -I"$source/tools/include" \
			-idirafter /usr/include/x86_64-linux-gnu \
			-c "$tests/progs/$name.c" -o "$object" 2>"$object.err" &&
			rm -f "$object.err" || rm -f "$object"
	' compile "$work" "$source"
}

# Objects that the kernel's tests link from two sources.
link_objects() {
	large=$work/objects/large
	if [ -f "$large/test_usdt.o" ] && [ -f "$large/test_usdt_multispec.o" ]; then
		bpftool gen object "$large/linked.o" "$large/test_usdt.o" \
			"$large/test_usdt_multispec.o"
		mv "$large/linked.o" "$large/test_usdt.o"
		rm "$large/test_usdt_multispec.o"
	fi
}

link_libbpf() {
	ls "$source"/tools/lib/bpf/*.c | xargs -P "$(nproc)" -n 1 sh -c '
		gcc -O1 -fPIC -w -D_GNU_SOURCE -D_LARGEFILE64_SOURCE -D_FILE_OFFSET_BITS=64 \
			-I"$2/tools/include" -I"$2/tools/include/uapi" -I"$2/tools/lib/bpf" \
			-c "$3" -o "$1/lib/$(basename "$3" .c).o"
	' compile "$work" "$source"
	gcc -shared -Wl,-soname,libbpf.so.1 \
		-Wl,--version-script="$source/tools/lib/bpf/libbpf.map" \
		-o "$work/lib/libbpf.so.1" "$work"/lib/*.o -lelf -lz
	rm -f "$work"/lib/*.o
}

# The lists of instructions of one version, each file an array with its name.
arrays() {
	version_tests=$work/linux-source-$1/tools/testing/selftests/bpf
	list=$work/arrays-$1.list
	rm -f "$work/arrays-$1.so"
	[ -d "$version_tests" ] || return 0
	for path in "$version_tests"/verifier/*.c; do
		name=$(basename "$path" .c)
		printf 'static struct bpf_test tests_%s[] = {\n#include "%s"\n};\n' "$name" "$path"
	done >"$list"
	printf 'static const struct tests_file files[] = {\n' >>"$list"
	for path in "$version_tests"/verifier/*.c; do
		name=$(basename "$path" .c)
		printf 'FILE_OF("%s/%s", tests_%s),\n' "$1" "$name" "$name"
	done >>"$list"
	echo '};' >>"$list"
	gcc -shared -fPIC -O0 -w -DARRAYS_LIST="\"$list\"" -I"$here" -I"$version_tests" \
		-I"$work/linux-source-$1/tools/include/uapi" \
		-I"$work/linux-source-$1/tools/include" -x c "$here/arrays.inc" \
		-o "$work/arrays-$1.so"
}

exec 9>"$work/lock"
flock 9
stamp="$(stat -c '%n %s %Y' "$archive" "$older" 2>/dev/null) $(uname -r) $(uname -v) $(cat "$0" \
	"$here/arrays.inc" "$here/array_test.h" | cksum)"
if [ "$(cat "$work/stamp" 2>/dev/null)" != "$stamp" ]; then
	rm -f "$work/stamp"
	unpack
	link_libbpf
	arrays 6.12
	arrays 6.1
	compile
	link_objects
	echo "$stamp" >"$work/stamp"
fi
