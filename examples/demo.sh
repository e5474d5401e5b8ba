#!/bin/sh
# The main job on a real program and a real process: `make demo`. Takes a few seconds, needs no
# rights (as root it becomes nobody), and leaves nothing behind but build/demo.
set -eu
cd "$(dirname "$0")/.."
bpfort=build/bin/bpfort
out=build/demo
seconds=${DEMO_SECONDS:-2}
victim_pid=
scratch=

finish() {
	status=$?
	trap - EXIT INT TERM
	if [ -n "$victim_pid" ]; then
		kill "$victim_pid" 2>/dev/null || :
		wait "$victim_pid" 2>/dev/null || :
	fi
	[ -z "$scratch" ] || rm -rf "$scratch"
	exit "$status"
}
trap finish EXIT INT TERM

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# Compiles $1 to $2 unless that is newer.
bpf() {
	from=$1 to=$2
	shift 2
	[ "$to" -nt "$from" ] || clang -g -O2 -Wall -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 \
		-idirafter "/usr/include/$(uname -m)-linux-gnu" "$@" -c "$from" -o "$to"
}

mkdir -p "$out"
bpf examples/latency.bpf.c "$out/latency.bpf.o"
bpf examples/buggy.bpf.c "$out/buggy.bpf.o"
bpf examples/buggy.bpf.c "$out/fixed.bpf.o" -DFIXED
[ "$out/victim" -nt examples/victim.c ] || cc -O2 -g -o "$out/victim" examples/victim.c

# What runs below runs as an ordinary user. Root's files may lie where others cannot read.
user=
if [ "$(id -u)" -eq 0 ]; then
	scratch=$(mktemp -d)
	chmod 755 "$scratch"
	cp -L "$bpfort" "$out"/*.bpf.o "$out/victim" "$scratch/"
	bpfort=$scratch/bpfort out=$scratch
	user="setpriv --reuid nobody --regid nogroup --clear-groups --"
fi

say "1. How long does a function of a running program take?"
$user "$out/victim" >"/dev/null" &
victim_pid=$!
sleep 0.2
echo "examples/victim.c runs as process $victim_pid, user $(stat -c %U "/proc/$victim_pid")."
echo "examples/latency.bpf.c is attached to the entry and return of its handle_request()"
echo "for $seconds seconds, by the same user:"
say "\$ bpfort run latency.bpf.o --pid $victim_pid --seconds $seconds"
{
	status=0
	$user "$bpfort" run "$out/latency.bpf.o" --pid "$victim_pid" --seconds "$seconds" ||
		status=$?
	echo "exit status $status"
} | awk '
	/^exit status / { exit $3 }
	/^slow: / { if (++slow <= 5) print; else if (slow == 6) print "slow: ..."; next }
	{ print }'
kill -0 "$victim_pid"
echo
echo "Each line \"slow\" is one call of 4 ms or more; the histogram has them all. The program"
echo "was not restarted, and runs on as it was."

say "2. A program that is not safe: \$ bpfort verify buggy.bpf.o --explain"
if $user "$bpfort" verify "$out/buggy.bpf.o" --explain; then
	echo "demo: the bug was not found" >&2
	exit 1
fi

say "3. The same with the length checked: \$ bpfort verify fixed.bpf.o"
sed -n '/^#ifdef FIXED/,/^#else/ { /^#/d; p }' examples/buggy.bpf.c
$user "$bpfort" verify "$out/fixed.bpf.o"
