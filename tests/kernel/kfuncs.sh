#!/bin/sh
# The kfuncs that the sources of Linux 6.12 register, by name, and the test that wants them. The list is
# kept until the sources change. usage: kfuncs.sh PROGRAM WORKDIR
set -eu
program=$1 work=$2
version=6.12
archive=/usr/src/linux-source-$version.tar.xz
stamp=$(stat -c '%s %Y' "$archive" 2>/dev/null || echo none)

mkdir -p "$work"
if [ "$(cat "$work/stamp" 2>/dev/null)" != "$stamp" ]; then
	: >"$work/names"
	if [ "$stamp" != none ]; then
		tar -xJOf "$archive" --wildcards "linux-source-$version/kernel/*.c" \
			"linux-source-$version/net/*.c" "linux-source-$version/fs/*.c" \
			"linux-source-$version/drivers/hid/*.c" |
			sed -n 's/^BTF_ID_FLAGS(func, \([A-Za-z0-9_]*\)[,)].*/\1/p' | sort -u >"$work/names"
	fi
	echo "$stamp" >"$work/stamp"
fi
exec "$program" "$work/names"
