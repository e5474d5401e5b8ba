#!/usr/bin/env python3
"""The conformance plugin against wrong and hostile input: a message that says where, exit status 1,
nothing on standard output, no crash. Speaks TAP.

usage: test_plugin.py BPFORT
"""
import struct
import subprocess
import sys

PROGRAM = sys.argv[1]
SLOTS_MAX = 1_000_000
RETURN_42 = bytes.fromhex("b70000002a000000" "9500000000000000")
number, failures = 0, 0


def run(arguments=(), data=b"", seconds=20):
    return subprocess.run(["bpfort-conformance-plugin", *arguments], executable=PROGRAM, input=data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds)


def report(ok, name, why=""):
    global number, failures
    number += 1
    failures += not ok
    print(f"{'' if ok else 'not '}ok {number} - {name}")
    if not ok:
        print(f"# {why}")


def gives(name, wanted, arguments=(), data=b""):
    done = run(arguments, data)
    report(done.returncode == 0 and done.stdout == wanted and not done.stderr, name,
           f"{done.returncode} {done.stdout!r} {done.stderr[:200]!r}")


def says(name, text, arguments=(), data=b""):
    done = run(arguments, data)
    lines = done.stderr.decode(errors="replace").splitlines()
    report(done.returncode == 1 and not done.stdout and len(lines) == 1 and text in lines[0], name,
           f"{done.returncode} {done.stdout[:80]!r} {done.stderr[:200]!r}")


def behaves(arguments, data):
    """Either a result or one line of complaint; None if neither."""
    done = run(arguments, data)
    if done.returncode == 0 and done.stdout.startswith(b"0x") and not done.stderr:
        return "result"
    if done.returncode == 1 and not done.stdout and done.stderr.count(b"\n") == 1:
        return "complaint"
    return None


def all_behave(name, inputs, arguments=()):
    bad = [where for where, data in inputs if not behaves(arguments, data)]
    report(not bad, name, f"at {bad[:20]}")


def hexed(program):
    return program.hex(" ").encode()


def elf(program, **changes):
    """Header, program, names, three section headers."""
    names = b"\0.text\0.shstrtab\0".ljust(24, b"\0")
    fields = {"bits": 2, "order": 1, "machine": 247, "flags": 6, "type": 1, "offset": 64,
              "size": len(program), "relocations": 0}
    fields.update(changes)
    header = struct.pack("<4sBBBx8xHHIQQQIHHHHHH", b"\x7fELF", fields["bits"], fields["order"], 1, 1,
                         fields["machine"], 1, 0, 0, 64 + len(program) + 24, 0, 64, 0, 0, 64,
                         4 if fields["relocations"] else 3, 2)
    section = "<IIQQQQIIQQ"
    sections = bytes(64)
    sections += struct.pack(section, 1, fields["type"], fields["flags"], 0, fields["offset"],
                            fields["size"], 0, 0, 8, 0)
    sections += struct.pack(section, 7, 3, 0, 0, 64 + len(program), 24, 0, 0, 1, 0)
    if fields["relocations"]:
        sections += struct.pack(section, 0, 9, 0, 0, 64, 16, 0, 1, 8, 16)
    return header + program + names + sections


def check_protocol():
    gives("r0 in hex", b"0x2a\n", data=hexed(RETURN_42) + b"\n")
    gives("without a line end", b"0x2a\n", data=hexed(RETURN_42))
    gives("upper case and spaces around", b"0x2a\n",
          data=b"  " + hexed(RETURN_42).upper().replace(b" ", b"   ") + b" \n")
    gives("the program as an option", b"0x2a\n", ["--program", hexed(RETURN_42).decode()])
    length = bytes.fromhex("bf20000000000000" "9500000000000000")
    gives("memory before options", b"0x3\n", ["01 02  03", "--engine", "interp"], hexed(length))
    gives("memory after options", b"0x3\n", ["--isolation", "none", "01 02 03"], hexed(length))
    gives("empty memory", b"0x0\n", [""], hexed(length))
    gives("40,000 bytes of memory", b"0x9c40\n", ["00 " * 40000], hexed(length))
    gives("an object file", b"0x2a\n", ["--elf"], elf(RETURN_42))
    done = run(["--help"])
    report(done.returncode == 0 and b"usage" in done.stdout, "help")


def check_arguments():
    says("unknown option", "--frob: unknown option", ["--frob", "1"])
    says("unknown engine", "--engine: unknown value 'x86'", ["--engine", "x86"])
    says("unknown isolation", "--isolation: unknown value 'all'", ["--isolation", "all"])
    says("unknown profile", "--profile: unknown value ''", ["--profile", ""])
    says("option without value", "--engine: expected a value", ["--engine"])
    says("two memories", "argument 2: expected an option", ["00", "00"], hexed(RETURN_42))
    says("memory that is not hex", "memory: offset 3: expected two hex digits", ["00 0g"])
    says("memory without spaces", "memory: offset 2: expected a space", ["0011"])
    says("half a byte of memory", "memory: offset 3: expected two hex digits", ["00 1"])


def check_hex():
    says("no input", "program: 0 bytes")
    says("only a line end", "program: 0 bytes", data=b"\n")
    says("not hex", "program: offset 0: expected two hex digits", data=b"hello\n")
    says("an odd digit", "program: offset 6: expected two hex digits", data=b"b7 00 0\n")
    says("no space", "program: offset 2: expected a space", data=b"b700\n")
    says("a tab", "program: offset 2: expected a space", data=b"b7\t00\n")
    says("a NUL", "program: offset 3: expected two hex digits", data=b"b7 \0\n")
    says("a sign", "program: offset 0: expected two hex digits", data=b"+1 00\n")
    says("something after the line", "program: offset 48: expected the end",
         data=hexed(RETURN_42) + b"\n\n")
    says("half a slot", "program: 12 bytes", data=hexed(RETURN_42[:12]))
    line = hexed(RETURN_42) + b"\n"
    all_behave("every beginning of a line", [(n, line[:n]) for n in range(len(line))])
    all_behave("every byte replaced",
               [(n, line[:n] + b"z" + line[n + 1:]) for n in range(len(line))])


def check_bounds():
    nothing = bytes.fromhex("bf00000000000000")
    end = bytes.fromhex("9500000000000000")
    largest = nothing * (SLOTS_MAX - 1) + end
    gives("the largest program", b"0x0\n", data=hexed(largest))
    says("one slot too many", "program: more than 8000000 bytes", data=hexed(nothing + largest))
    says("one slot too many as an object", "program: more than 8000000 bytes", ["--elf"],
         elf(nothing + largest))
    says("endless input", "standard input: more than", data=b" " * (33 << 20))
    # Each round jumps over a thousand slots and back, to use up the fuel in little time.
    loop = (bytes.fromhex("b700000000000000" "1500e80300000000") +
            bytes.fromhex("8700000000000000") * 1000 + bytes.fromhex("050016fc00000000"))
    says("an endless loop", "aborted at insn 1: fuel", data=hexed(loop))
    store = bytes.fromhex("7b1a080000000000" "9500000000000000")
    says("a fault in mode sfi", "memory, 8 bytes at window offset 0x11008", data=hexed(store))
    says("a fault in mode none", "memory fault", ["--isolation", "none"], hexed(store))


def check_elf():
    says("not an object", "ELF: offset 0", ["--elf"], hexed(RETURN_42))
    says("no object at all", "ELF: ", ["--elf"])
    says("a 32-bit object", "ELF: ", ["--elf"], elf(RETURN_42, bits=1))
    says("big-endian", "ELF: ", ["--elf"], elf(RETURN_42, order=2))
    says("another machine", "ELF: offset 18: not for BPF", ["--elf"], elf(RETURN_42, machine=62))
    says("no instructions", "ELF: no section", ["--elf"], elf(RETURN_42, flags=2))
    says("not bits of the program", "ELF: no section", ["--elf"], elf(RETURN_42, type=8))
    says("a section past the end", "ELF: offset 64: the program's 1000 bytes", ["--elf"],
         elf(RETURN_42, size=1000))
    says("a section at the end of the world", "ELF: offset 18446744073709551608", ["--elf"],
         elf(RETURN_42, offset=2**64 - 8))
    says("an endless section", "ELF: offset 64", ["--elf"], elf(RETURN_42, size=2**64 - 8))
    says("half a slot in the section", "program: 12 bytes", ["--elf"], elf(RETURN_42, size=12))
    says("relocations", "ELF: the program needs relocation", ["--elf"],
         elf(RETURN_42, relocations=1))
    whole = elf(RETURN_42)
    all_behave("every beginning of an object", [(n, whole[:n]) for n in range(len(whole))],
               ["--elf"])
    for mask in (0xFF, 0x01):
        all_behave(f"every byte of an object xor {mask:#x}",
                   [(n, whole[:n] + bytes([whole[n] ^ mask]) + whole[n + 1:])
                    for n in range(len(whole))], ["--elf"])


def main():
    check_protocol()
    check_arguments()
    check_hex()
    check_bounds()
    check_elf()
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
