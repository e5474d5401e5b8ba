#!/usr/bin/env python3
"""Tests that need a processor which this machine may not have, in a guest that qemu computes (TCG,
-cpu max: protection keys among others). The guest has Debian's kernel, an initramfs that is made
here of the tests and the libraries that they need, and no disk. Time means nothing in it.

usage: boot.py SCRATCH KERNEL.sh INIT [--data DIR] COMMAND...

A command is a program and its arguments in one word; what it is given in DIR is at DIR in the guest
too. Speaks TAP: what the tests say, with the program's name before. Skipped where there is no qemu
or kernel.
"""
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

BOOT_SECONDS = 280
LINE = re.compile(r"^(not )?ok\b\s*\d*\s*(?:-\s*)?(.*)$")


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


class Initramfs:
    """An archive in cpio's `newc` form."""

    def __init__(self):
        self.data, self.seen = bytearray(), set()

    def add(self, name, mode, content=b""):
        head = [len(self.seen) + 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        self.seen.add(name)
        self.data += b"070701" + b"".join(b"%08x" % n for n in head) + name.encode() + b"\0"
        self.data += bytes(-len(self.data) % 4) + content
        self.data += bytes(-len(self.data) % 4)

    def folder(self, name):
        parts = name.split("/")
        for n in range(1, len(parts) + 1):
            path = "/".join(parts[:n])
            if path and path not in self.seen:
                self.add(path, 0o40755)

    def file(self, path, target=None):
        name = str(target or path).lstrip("/")
        if name not in self.seen:
            self.folder(os.path.dirname(name))
            executable = os.access(path, os.X_OK)
            self.add(name, 0o100755 if executable else 0o100644, pathlib.Path(path).read_bytes())

    def finish(self):
        self.add("TRAILER!!!", 0)
        return gzip.compress(bytes(self.data), 1)


def libraries(program):
    listing = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True)
    return re.findall(r"(/\S+) \(0x", listing.stdout)


def make_initramfs(init, data, commands):
    archive = Initramfs()
    archive.folder("dev")
    archive.add("dev/console", 0o20600)
    archive.file(init, "init")
    for command in commands:
        program = command.split()[0]
        for path in [program, *libraries(program)]:
            archive.file(path)
    for directory in data:
        for path in sorted(pathlib.Path(directory).iterdir()):
            if path.is_file():
                archive.file(path)
    archive.add("tests", 0o100644, "".join(c + "\n" for c in commands).encode())
    return archive.finish()


def boot(kernel, initramfs):
    with tempfile.NamedTemporaryFile() as archive:
        archive.write(initramfs)
        archive.flush()
        qemu = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-smp", "1",
                "-no-reboot", "-nodefaults", "-serial", "stdio", "-display", "none", "-kernel",
                kernel, "-initrd", archive.name, "-append",
                "console=ttyS0 panic=-1 quiet mitigations=off"]
        try:
            done = subprocess.run(qemu, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=BOOT_SECONDS)
            return done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as late:
            return (late.stdout or b"").decode(errors="replace") + "\n(out of time)\n"


class Report:
    def __init__(self):
        self.number, self.failed, self.told = 0, 0, []

    def line(self, ok, name):
        self.number += 1
        self.failed += not ok
        print(f"{'' if ok else 'not '}ok {self.number} - {name}")

    def command(self, command, status, lines):
        name = os.path.basename(command.split()[0])
        before, failed = self.number, self.failed
        for line in lines:
            match = LINE.match(line)
            if match:
                self.line(not match.group(1), f"{name}: {match.group(2)}")
            elif line.startswith("1..0"):  # what is skipped here is not tested anywhere
                self.line(False, f"{name}: {line}")
        if status != "0" or self.number == before or self.failed > failed:
            if self.failed == failed:
                self.line(False, f"{name}: status {status}")
            self.told += [f"{name}:"] + [line for line in lines if not line.startswith("ok ")]

    def end(self):
        print("\n".join("# " + line for line in self.told[-50:]))
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def main():
    scratch, find_kernel, init, *rest = sys.argv[1:]
    data = []
    while rest[0] == "--data":
        data, rest = data + [rest[1]], rest[2:]
    if not shutil.which("qemu-system-x86_64"):
        skip("there is no qemu-system-x86_64: tools/deps guest installs it")
    found = subprocess.run([find_kernel, scratch], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        skip(f"no kernel for the guest: {found.stdout.strip()}")
    output = boot(found.stdout.strip(), make_initramfs(init, data, rest)).replace("\r", "")
    report = Report()
    for command, body, status in re.findall(r"^@begin (.*)\n((?:.*\n)*?)@end (-?\d+)$", output,
                                            re.M):
        report.command(command, status, body.splitlines())
    ended = "@off" in output.splitlines()
    report.line(ended, "the guest ran all of them")
    if not ended:
        report.told += output.splitlines()[-40:]
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
