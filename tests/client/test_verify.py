#!/usr/bin/env python3
"""verify with many files: what is printed, in which order, of what; crashes; types. Speaks TAP.

usage: test_verify.py BPFORT PACKETS.o WRONG.o OTHER.o STRANGE.o MISSPELT.o MISSPELT_CALL.o
"""
import csv
import ctypes
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile

from tap import Bpfort, Tap, crashed

PATH, PACKETS, WRONG, OTHER, STRANGE, MISSPELT, MISSPELT_CALL = sys.argv[1:8]
NUMBERS = ["duration", "total_insns", "total_states", "peak_states", "prog_size", "check",
           "certificate", "memory"]
EPOLL_CREATE1, SOCKETPAIR = 291, 53

tap, bpfort = Tap(), Bpfort(PATH)
scratch = tempfile.TemporaryDirectory()
EMPTY = os.path.join(scratch.name, "empty.o")
open(EMPTY, "wb").close()


def gives(name, status, *arguments, out="", err="", without=None, **others):
    done = bpfort("verify", *arguments, **others)
    text = done.stdout.decode()
    ok = (done.returncode == status and not crashed(done) and out in text
          and err in done.stderr.decode() and (without is None or without not in text))
    tap.report(ok, name, f"{done.returncode}, not {status}\n{text[-900:]}\n"
               f"{done.stderr[-600:]!r}")
    return done


def rows_of(*arguments, status=None):
    done = bpfort("verify", "--csv", *arguments)
    if status is not None and done.returncode != status:
        tap.report(False, f"{arguments}: status", f"{done.returncode} {done.stderr}")
    return list(csv.DictReader(io.StringIO(done.stdout.decode())))


def names(rows):
    return [row["prog_name"] for row in rows]


def check_csv():
    rows = rows_of(PACKETS, WRONG, status=1)
    tap.report(names(rows) == ["swap_macs", "checksum", "count_flows", "length", "classify",
                               "no_null_check", "endless", "fine"]
               and [r["file_name"] for r in rows] == [PACKETS] * 5 + [WRONG] * 3,
               "CSV: all programs of all files, in their order", names(rows))
    tap.report(all(r[n].isdigit() for r in rows for n in NUMBERS)
               and all((int(r["certificate"]) > 0) == (r["verdict"] == "accept") for r in rows)
               and all(int(r["memory"]) > 0 for r in rows), "CSV: numbers are numbers", rows[0])
    tap.report({r["prog_name"]: r["verdict"] for r in rows}["endless"] == "reject"
               and all((r["code"] != "") == (r["verdict"] == "reject") for r in rows),
               "CSV: verdicts, and codes of rejections", rows)
    tap.report("kernel_verdict" not in rows[0], "CSV: no kernel that was not asked", rows[0])
    odd = os.path.join(scratch.name, 'a,"b".o')
    os.symlink(PACKETS, odd)
    tap.report({r["file_name"] for r in rows_of(odd, status=0)} == {odd},
               "CSV: names are quoted where they must be")


def check_json():
    status, whole = bpfort.json("verify", PACKETS, WRONG, EMPTY)
    files = (whole or {}).get("files", [])
    tap.report(status == 2 and [f["file"] for f in files] == [PACKETS, WRONG, EMPTY]
               and [len(f["programs"]) for f in files] == [5, 3, 0]
               and "ELF" in files[2].get("error", ""), "JSON: a list of files", whole)
    tap.report((whole or {}).get("accepted") == 6 and whole["rejected"] == 2
               and whole["errors"] == 1, "JSON: the counts", whole)


def check_order():
    by_insns = [int(r["total_insns"]) for r in rows_of(PACKETS, WRONG, "--sort", "total_insns")]
    tap.report(by_insns == sorted(by_insns) and len(set(by_insns)) > 3, "--sort by a number",
               by_insns)
    down = [int(r["total_insns"]) for r in rows_of(PACKETS, WRONG, "--sort", "insns:desc")]
    tap.report(down == by_insns[::-1], "--sort downward, by the short name", down)
    tap.report(names(rows_of(PACKETS, "--sort", "program")) ==
               ["checksum", "classify", "count_flows", "length", "swap_macs"], "--sort by a text")
    gives("--sort by no column", 2, PACKETS, "--sort", "beauty", err="there are file_name")
    gives("--sort in no direction", 2, PACKETS, "--sort", "insns:up", err="expected a column")
    for workers in (1, 3, 16):
        tap.report(names(rows_of(WRONG, PACKETS, WRONG, "-j", workers)) ==
                   ["no_null_check", "endless", "fine", "swap_macs", "checksum", "count_flows",
                    "length", "classify", "no_null_check", "endless", "fine"],
                   f"{workers} at a time: the order stays")


def check_filters():
    rows = [
        (["packets*"], ["swap_macs", "checksum", "count_flows", "length", "classify"]),
        (["/c*"], ["checksum", "count_flows", "classify"]),
        (["wrong*/fine", "/length"], ["length", "fine"]),
        (["!packets*"], ["no_null_check", "endless", "fine"]),
        (["!/c*", "!/e*"], ["swap_macs", "length", "no_null_check", "fine"]),
        (["packets*", "!/*s"], ["checksum", "length", "classify"]),
    ]
    for patterns, expected in rows:
        arguments = [word for p in patterns for word in ("--filter", p)]
        found = names(rows_of(PACKETS, WRONG, *arguments))
        tap.report(found == expected, f"--filter {' '.join(patterns)}", found)
    gives("a filter that lets nothing through", 2, PACKETS, "--filter", "nothing*",
          err="filters let through")
    gives("a file that is filtered out is not read", 0, PACKETS, EMPTY, "--filter", "packets*")


def check_texts():
    gives("the last line counts", 2, PACKETS, WRONG, EMPTY, out="6 accepted, 2 rejected, 1 errors\n",
          err="empty.o")
    gives("an unreadable file does not stop the others", 2, EMPTY, PACKETS, out="swap_macs")
    for head in ("File", "Program", "Verdict", "Duration (us)", "Insns", "States", "Peak states"):
        gives(f"the table has veristat's {head}", 0, PACKETS, out=head)
    done = gives("--quiet: the last line only", 1, WRONG, "--quiet", out="1 accepted, 2 rejected")
    tap.report(done.stdout.count(b"\n") == 1 and not done.stderr, "--quiet: nothing else", done)
    gives("rejections name their file", 1, PACKETS, WRONG,
          out=f"{WRONG}: no_null_check: rejected")
    gives("no two formats", 2, PACKETS, "--json", "--csv", err="do not go together")
    gives("no other kernel", 2, PACKETS, "--compare", "windows", err="only kernel")


def check_all_types():
    """What bpfort does not run is judged all the same."""
    gives("a type that does not run", 0, OTHER, "--prog", "sample", out="accept")
    gives("a map type that does not run", 0, OTHER, "--prog", "filter", out="accept")
    found = {r["prog_name"]: r for r in rows_of(STRANGE)}
    tap.report(found["lookup_inner"]["verdict"] == "accept"
               and found["beyond_inner"]["verdict"] == "reject",
               "maps in maps: the shape of the inner ones counts", found)
    tap.report(found["folded"]["verdict"] == "accept", "frozen values are constants",
               found["folded"])
    tap.report(found["to_unix"]["prog_type"] == "cgroup_sock_addr"
               and found["to_unix"]["verdict"] == "accept",
               "a section that libbpf does not know", found["to_unix"])
    tap.report(found["nameless"]["verdict"] == "error" and found["folded"]["verdict"] == "accept",
               "one that cannot be judged does not stop the others", found["nameless"])
    gives("a section that names no type: what helps", 1, STRANGE, "--prog", "nameless",
          out="names no program type: --type says one")
    gives("--type", 0, STRANGE, "--prog", "nameless", "--type", "xdp", out="accept")
    gives("--type by a section", 0, STRANGE, "--prog", "nameless", "--type", "cgroup/bind4",
          out="accept")
    gives("--type is nothing", 2, STRANGE, "--type", "nonsense", err="neither a program type")
    if not os.access("/sys/kernel/btf/vmlinux", os.R_OK):
        tap.skip("types of the kernel", "this kernel has none")
        return
    gives("a hook that may sleep", 0, STRANGE, "--prog", "sleeps", out="accept")
    gives("a function that takes an object of the kernel", 0, STRANGE, "--prog", "tells",
          out="accept")
    gives("a map is pinned nowhere", 0, STRANGE, "--prog", "pinned", out="accept")
    gives("--btf: what is none", 2, PACKETS, "--btf", PATH, err="section .BTF")
    with open("/sys/kernel/btf/vmlinux", "rb") as file:
        copy = os.path.join(scratch.name, "vmlinux")
        with open(copy, "wb") as out:
            out.write(file.read())
    gives("--btf: a copy of the kernel's", 0, PACKETS, "--btf", copy)
    gives("--btf: another kernel's, which has no such function", 1, STRANGE, "--prog", "attached",
          "--btf", other_kernel(copy), out="not verified")
    done = bpfort("verify", STRANGE, "--prog", "attached", "--btf", copy)
    tap.report(b"not verified" not in done.stdout, "--btf: a kernel that has it", done)


def other_kernel(path):
    """The same, but for the name of a function."""
    with open(path, "rb") as file:
        data = file.read()
    path = os.path.join(scratch.name, "other")
    with open(path, "wb") as out:
        out.write(data.replace(b"\0vfs_open\0", b"\0vfs_xxxx\0"))
    return path


def forbid(call):
    """From here on whoever makes this system call is killed."""
    rows = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7fff0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *r) for r in rows))
    fprog = struct.pack("<HxxxxxxQ", len(rows), ctypes.addressof(program))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, fprog, 0, 0):
        os._exit(99)


def check_names():
    for prog, says in {
            "member": "the kernel's `task_struct` has no member `tgidd`; near: tgid",
            "inner": "the kernel's `mm_struct` has no member `pgdd`; near: pgd",
            "type": "the kernel has no type `task_strukt`; near: task_struct",
            "constant": "the kernel's `pid_type` has no value `PIDTYPE_PIDD`; near: PIDTYPE_PID",
            "section": "no section begins with `xpd`; near: xdp"}.items():
        gives(f"what is misspelt: {prog}", 1, MISSPELT, "--prog", prog, out=says)
    gives("what is misspelt: function", 1, MISSPELT_CALL, "--prog", "function",
          out="the kernel has no function `bpf_task_acquir`; near: bpf_task_acquire")
    _, found = bpfort.json("verify", MISSPELT, "--prog", "member")
    tap.report("near: tgid" in found["programs"][0]["names"], "JSON: what is misspelt", found)
    _, found = bpfort.json("verify", PACKETS, "--prog", "length")
    tap.report(found["programs"][0]["names"] is None, "JSON: nothing is misspelt", found)


def check_crashes():
    """Workers make calls that the first process does not."""
    gives("a worker that crashes over a file", 2, PACKETS, preexec_fn=lambda: forbid(EPOLL_CREATE1),
          err="packets.bpf.o: damaged: libbpf")
    gives("a worker that crashes over a program", 2, PACKETS,
          preexec_fn=lambda: forbid(SOCKETPAIR),
          err="program swap_macs: the process that verified it was ended by")
    done = bpfort("verify", PACKETS, WRONG, "--json", preexec_fn=lambda: forbid(SOCKETPAIR))
    files = json.loads(done.stdout)["files"]
    tap.report(done.returncode == 2 and len(files) == 2 and all("ended by" in f["error"]
                                                                for f in files),
               "each file of a crash says so", done)


def on_terminal(*arguments):
    """What it writes to standard error when that is a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, 0x5414, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run([PATH, "verify", *arguments], stdout=subprocess.DEVNULL, stderr=theirs,
                   timeout=60, check=False)
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 4096):
            seen += data
    except OSError:
        pass
    os.close(ours)
    return seen


def check_progress():
    tap.report(b"0/2" in on_terminal(PACKETS, WRONG), "a terminal sees a bar")
    tap.report(on_terminal(PACKETS, WRONG, "--quiet") == b"", "--quiet: it does not")
    tap.report(bpfort("verify", PACKETS, WRONG).stderr == b"", "a pipe does not")


check_csv()
check_json()
check_order()
check_filters()
check_texts()
check_all_types()
check_names()
check_crashes()
check_progress()
tap.end()
