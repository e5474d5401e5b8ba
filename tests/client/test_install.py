#!/usr/bin/env python3
"""What `make install` leaves: programs link with it by pkg-config, as C99 and as C++, shared and
static; nothing but the public names is visible. Speaks TAP.

usage: test_install.py SOURCE_ROOT USE_LIBRARY.c
"""
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

from tap import Tap

ROOT, USER = sys.argv[1:3]
tap = Tap()


def run(*command, **others):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **others)


def pkg_config(destdir, *options):
    environment = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=destdir,
                       PKG_CONFIG_PATH=f"{destdir}/opt/bpfort/lib/pkgconfig")
    return shlex.split(run("pkg-config", *options, "bpfort", env=environment).stdout)


def check_user(destdir, name, compiler, static):
    if not shutil.which(compiler[0]):
        tap.skip(name, f"no {compiler[0]}")
        return
    program = f"{destdir}/user"
    flags = pkg_config(destdir, "--cflags", "--libs", *(["--static"] if static else []))
    if static:
        flags = [f"-l:lib{f[2:]}.a" if f == "-lbpfort" else f for f in flags]
    built = run(*compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                USER, "-o", program, "-x", "none", *flags)
    if built.returncode:
        tap.report(False, name, built.stdout)
        return
    library = "" if static else f"{destdir}/opt/bpfort/lib"
    done = run(program, env=dict(os.environ, LD_LIBRARY_PATH=library))
    tap.report(done.returncode == 0 and "F0201: " in done.stdout and "bpfort " in done.stdout, name,
               f"{done.returncode} {done.stdout}")


def check_names(destdir):
    table = run("nm", "-D", "--defined-only", f"{destdir}/opt/bpfort/lib/libbpfort.so").stdout
    names = [line.split()[-1].split("@")[0] for line in table.splitlines()]
    foreign = [n for n in names if not n.startswith(("bpfort_", "BPFORT_"))]
    tap.report("bpfort_open" in names and not foreign, "only public names are visible", foreign)


with tempfile.TemporaryDirectory() as destdir:
    done = run("tools/install", destdir, "/opt/bpfort", cwd=ROOT)
    files = [os.path.relpath(os.path.join(d, f), destdir) for d, _, fs in os.walk(destdir)
             for f in fs]
    tap.report(done.returncode == 0 and all(f.startswith("opt/bpfort/") for f in files),
               "installs below DESTDIR and PREFIX only", f"{done.stdout}\n{files}")
    version = run(f"{destdir}/opt/bpfort/bin/bpfort", "--version")
    tap.report(version.returncode == 0, "the program runs from there", version.stdout)
    check_user(destdir, "C99, shared", ["gcc", "-std=c99", "-D_DEFAULT_SOURCE"], False)
    check_user(destdir, "C99, static", ["gcc", "-std=c99", "-D_DEFAULT_SOURCE"], True)
    check_user(destdir, "C++, shared", ["g++", "-x", "c++", "-std=c++17"], False)
    check_names(destdir)
    refused = run("tools/install", destdir, "relative", cwd=ROOT)
    tap.report(refused.returncode == 2, "a relative PREFIX is refused", refused.stdout)
tap.end()
