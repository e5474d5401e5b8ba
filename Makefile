# bpfort: verbs. Each installs what it needs and is missing (tools/deps), as root or with sudo.
#
#   make            build; leaves build/bin and build/lib
#   make demo       run the main job on a real program and a real process
#   make check      all tests; the last line counts them
#   make lint       formatting, layers, sizes, globals, opcodes, warnings under gcc and clang
#   make check-all  sanitizers, both compilers, fault injection, long runs, fuzzers
#   make fuzz NAME=decode SECONDS=60
#   make bench      measurements, each printed with what it compares
#   make install PREFIX=/usr/local [DESTDIR=]

MAKEFLAGS += --no-builtin-rules
SHELL     := /bin/sh
PREFIX    ?= /usr/local
SECONDS   ?= 60
BUILD     := build/gcc

.PHONY: all demo check lint check-all fuzz bench install clean build-only

all: deps-build build-only

.PHONY: deps-%
deps-%:
	@tools/deps $*

build-only: | deps-build
	@tools/build gcc

demo: all
	@examples/demo.sh

check: deps-build deps-test
	@tools/build gcc
	@tools/check.py build/gcc

lint: deps-build deps-lint
	@tools/lint.py
	@tools/build gcc-werror
	@tools/build clang-werror
	@echo "lint: clean"

check-all: deps-build deps-test deps-lint deps-corpus deps-fuzz
	@tools/check-all

fuzz: deps-build deps-fuzz
	@tools/fuzz "$(NAME)" "$(SECONDS)"

bench: all
	@bench/run

install: all
	@tools/install "$(DESTDIR)" "$(PREFIX)"

clean:
	rm -rf build
