#!/bin/sh
# Makes the corpus (corpus.sh) and gives a part of it to a program, with the corpus's own libbpf.
# usage: run_corpus.sh objects|arrays CORPUS PROGRAM ARGUMENT...
set -eu
part=$1 corpus=$2
shift 2
reason=$("$(dirname "$0")/corpus.sh" "$corpus") || {
	[ $? -eq 77 ] || exit 1
	echo "1..0 # SKIP $reason"
	exit 0
}
case $part in
objects) set -- "$@" "$corpus"/objects/*/*.o ;;
arrays) set -- "$@" "$corpus"/arrays-*.so ;;
esac
LD_LIBRARY_PATH=$corpus/lib exec "$@"
