#!/usr/bin/env python3
"""`bpfort prog run` against the running kernel: the same object, program and packet. Speaks TAP.

usage: test_run_kernel.py BPFORT KERNEL_RUN PACKETS.o
"""
import os
import random
import subprocess
import sys
import tempfile

from tap import Bpfort, Tap

PATH, KERNEL_RUN, PACKETS = sys.argv[1:4]
PROGRAMS = ["swap_macs", "checksum", "count_flows", "length", "classify"]
tap, bpfort = Tap(), Bpfort(PATH)


def ipv4(chance):
    return bytes(chance.randrange(256) for _ in range(12)) + b"\x08\x00\x45" + \
        bytes(chance.randrange(256) for _ in range(chance.choice((25, 49, 200))))


def packets():
    chance = random.Random(2026)
    yield "the smallest", bytes(range(14))
    yield "one more", bytes(range(15))
    yield "zeros", bytes(64)
    for i in range(4):
        yield f"IPv4 {i}", ipv4(chance)


def compare(directory, program, name, packet):
    source, ours, theirs = (os.path.join(directory, n) for n in ("in", "ours", "theirs"))
    with open(source, "wb") as out:
        out.write(packet)
    kernel = subprocess.run([KERNEL_RUN, PACKETS, program, source, theirs],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    status, result = bpfort.json("prog", "run", "file", PACKETS, "name", program, "data_in",
                                 source, "data_out", ours)
    if kernel.returncode:
        tap.report(status == 2, f"{program}, {name}: refused by the kernel and by us",
                   f"{kernel.stderr} {status} {result}")
        return
    data = [open(path, "rb").read() if os.path.exists(path) else None for path in (ours, theirs)]
    tap.report(status == 0 and result["retval"] == int(kernel.stdout) and data[0] == data[1],
               f"{program}, {name}: the kernel's result and packet",
               f"{kernel.stdout} {result}\n{data}")


with tempfile.TemporaryDirectory() as scratch:
    for name, packet in packets():
        for program in PROGRAMS:
            compare(scratch, program, name, packet)
tap.end()
