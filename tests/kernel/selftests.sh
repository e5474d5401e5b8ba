#!/bin/sh
# The kernel's own tests of its verifier (progs/verifier_*.c of Debian's linux-source-6.12), compiled
# where the build is and given to the running kernel and to ours. The objects are kept until the
# sources or the kernel change. usage: selftests.sh PROGRAM DIFFERS WORKDIR
set -eu
program=$1 differs=$2 work=$3
version=6.12
archive=/usr/src/linux-source-$version.tar.xz
btf=/sys/kernel/btf/vmlinux

skip() {
	echo "1..0 # SKIP $1"
	exit 0
}

[ -r "$archive" ] || skip "no $archive: tools/deps corpus installs it"
[ -r "$btf" ] || skip "the running kernel has no $btf"
for tool in clang-19 bpftool xz python3; do
	command -v "$tool" >/dev/null || skip "no $tool: tools/deps corpus installs it"
done

source=$work/linux-source-$version
tests=$source/tools/testing/selftests/bpf
stamp="$(stat -c '%s %Y' "$archive") $(uname -r) $(uname -v) $(cksum <"$0")"

unpack() {
	rm -rf "$work"
	mkdir -p "$work/include/bpf" "$work/objects"
	tar -xJf "$archive" -C "$work" "linux-source-$version/tools/testing/selftests/bpf" \
		"linux-source-$version/tools/include" "linux-source-$version/tools/lib/bpf" \
		"linux-source-$version/scripts/bpf_doc.py"
	cp "$source"/tools/lib/bpf/*.h "$work/include/bpf/"
	python3 "$source/scripts/bpf_doc.py" --header \
		--filename "$source/tools/include/uapi/linux/bpf.h" \
		>"$work/include/bpf/bpf_helper_defs.h" 2>/dev/null
	bpftool btf dump file "$btf" format c >"$work/include/vmlinux.h"
}

# cpu v4 where the tests are about its instructions.
compile() {
	ls "$tests"/progs/verifier_*.c | xargs -P "$(nproc)" -n 1 sh -c '
		name=$(basename "$3" .c) cpu=v3
		case $name in
		verifier_gotol | verifier_movsx | verifier_ldsx | verifier_sdiv | verifier_bswap) cpu=v4 ;;
		esac
		clang-19 -g -O2 -target bpf -mcpu=$cpu -D__TARGET_ARCH_x86 -mlittle-endian \
			-std=gnu11 -fno-strict-aliasing -w -I"$1/include" -I"$2/tools/testing/selftests/bpf" \
			-I"$2/tools/testing/selftests/bpf/progs" -I"$2/tools/include/uapi" \
			-I"$2/tools/include" -idirafter /usr/include/x86_64-linux-gnu \
			-c "$3" -o "$1/objects/$name.o" 2>"$1/objects/$name.err" || rm -f "$1/objects/$name.o"
	' compile "$work" "$source"
}

if [ "$(cat "$work/stamp" 2>/dev/null)" != "$stamp" ]; then
	unpack
	compile
	echo "$stamp" >"$work/stamp"
fi
exec "$program" "$differs" "$work"/objects/*.o
