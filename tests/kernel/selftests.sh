#!/bin/sh
# Makes the corpus (corpus.sh) and gives its objects to a program, with the corpus's own libbpf.
# usage: selftests.sh CORPUS PROGRAM ARGUMENT...
set -eu
corpus=$1
shift
reason=$("$(dirname "$0")/corpus.sh" "$corpus") || {
	[ $? -eq 77 ] || exit 1
	echo "1..0 # SKIP $reason"
	exit 0
}
LD_LIBRARY_PATH=$corpus/lib exec "$@" "$corpus"/objects/*/*.o
