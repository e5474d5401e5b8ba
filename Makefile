# bpfort: verbs. Each installs what it needs and is missing (tools/deps), as root or with sudo.
#
#   make            build; leaves build/bin and build/lib
#   make demo       run the main job on a real program and a real process
#   make check      all tests; the last line counts them
#   make lint       formatting, layers, sizes, globals, opcodes, warnings under gcc and clang
#   make check-all  everything: sanitizers, both compilers, long runs, fuzzers (SECONDS=60 each)
#   make fuzz NAME=decode SECONDS=60
#   make prove      proves the rules of the abstract domain with a solver, and breaks some
#   make bench      measurements, each printed with what it compares and how to repeat it
#   make install PREFIX=/usr/local [DESTDIR=]

MAKEFLAGS += --no-builtin-rules
SHELL     := /bin/sh
PREFIX    ?= /usr/local
SECONDS   ?= 60
BUILD     := build/gcc

.PHONY: all demo check lint check-all fuzz prove bench install clean build-only

all: deps-build build-only

.PHONY: deps-%
deps-%:
	@tools/deps $*

# Without LLVM the engine on it is not there, and says so.
build-only: | deps-build
	@tools/deps llvm || :
	@tools/build gcc

demo: all
	@examples/demo.sh

# Without the corpus or a guest, what needs them is skipped and says so.
check: deps-build deps-test
	@tools/deps corpus || :
	@tools/deps corpus-older || :
	@tools/deps guest || :
	@tools/build gcc
	@tools/check.py build/gcc

lint: deps-build deps-lint
	@tools/build gcc-werror
	@tools/build clang-werror
	@tools/lint.py
	@echo "lint: clean"

check-all: deps-build deps-test deps-lint deps-corpus deps-fuzz
	@tools/deps corpus-older || :
	@tools/deps guest || :
	@tools/check-all --seconds "$(SECONDS)"

fuzz: deps-build deps-fuzz
	@tools/fuzz "$(NAME)" "$(SECONDS)"

prove: deps-build deps-prove
	@tools/prove

bench: all deps-test
	@bench/run

install: all
	@tools/install "$(DESTDIR)" "$(PREFIX)"

clean:
	rm -rf build
