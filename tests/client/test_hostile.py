#!/usr/bin/env python3
"""Object files that are cut off or damaged: a message that says where, exit status 2; whatever
happens, no crash of ours. Speaks TAP.

usage: test_hostile.py BPFORT TIMES OBJECT...
"""
import random
import struct
import sys
import tempfile

from tap import Bpfort, Tap, crashed

PATH, FLIPS, OBJECTS = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
tap, bpfort = Tap(), Bpfort(PATH)
scratch = tempfile.NamedTemporaryFile(suffix=".bpf.o")


def run(data, *verb):
    scratch.seek(0)
    scratch.truncate()
    scratch.write(data)
    scratch.flush()
    return bpfort(*(verb or ("verify",)), scratch.name)


def sections(data):
    """Offset and size of each section, by name."""
    table, = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    rows = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i) for i in range(count)]
    strings = data[rows[names][4]:rows[names][4] + rows[names][5]]
    return {strings[r[0]:strings.index(b"\0", r[0])].decode(): (r[4], r[5]) for r in rows}


def damage(data, start, size, chance):
    copy = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        copy[start + chance.randrange(size)] = chance.choice((0, 1, 0x7f, 0x80, 0xff,
                                                              chance.randrange(256)))
    return bytes(copy)


def complains(done):
    """A refusal says what file, and something about it."""
    text = done.stderr.decode(errors="replace")
    return done.returncode != 2 or (scratch.name in text and len(text) > len(scratch.name) + 20)


def check_cut(name, data):
    bad = []
    for end in range(0, len(data), 64):
        done = run(data[:end])
        if crashed(done) or done.returncode != 2 or b"offset" not in done.stderr:
            bad.append((end, done.returncode, done.stderr[:200]))
    tap.report(not bad, f"{name}: cut off at every 64th byte: refused, naming an offset", bad[:5])


def check_damaged(name, data, start, size, seed):
    chance, bad, refused = random.Random(seed), [], 0
    for i in range(FLIPS):
        copy = damage(data, start, size, chance)
        for verb in (("verify",), ("prog", "dump", "file")):
            done = run(copy, *verb)
            refused += done.returncode == 2
            if crashed(done) or not complains(done):
                bad.append((i, verb, done.returncode, done.stderr[:300]))
    tap.report(not bad, f"{name}: {FLIPS} times damaged: no crash, and reasons", bad[:5])
    return refused


def check_fields():
    """Single fields, and the words that name them."""
    with open(OBJECTS[0], "rb") as file:
        data = file.read()
    btf = sections(data)[".BTF"][0]
    rows = [
        ("not ELF", 0, b"\0", "not an ELF file"),
        ("32 bits", 4, b"\1", "EI_CLASS"),
        ("big-endian", 5, b"\2", "EI_DATA"),
        ("an executable", 16, b"\2\0", "e_type 2"),
        ("for x86", 18, b"\x3e\0", "e_machine 62"),
        ("sections behind the end", 40, b"\xff" * 8, "e_shoff"),
        ("no sections", 60, b"\0\0", "e_shnum"),
        ("no section names", 62, b"\xff\xff", "e_shstrndx"),
        ("BTF of a wrong magic", btf, b"\0\0", "BTF"),
        ("BTF types behind the end", btf + 8, b"\xff\xff\xff\x7f", "BTF"),
    ]
    for name, at, value, words in rows:
        done = run(data[:at] + value + data[at + len(value):])
        text = done.stderr.decode(errors="replace")
        tap.report(done.returncode == 2 and words in text and not crashed(done),
                   f"{name}: the message names it", f"{done.returncode} {text}")


check_fields()
for number, path in enumerate(OBJECTS):
    with open(path, "rb") as source:
        whole = source.read()
    label = path.rsplit("/", 1)[-1]
    check_cut(label, whole)
    refusals = check_damaged(f"{label} anywhere", whole, 0, len(whole), number)
    tap.report(refusals > 0, f"{label}: some of that was refused", refusals)
    for section in () if number else (".BTF", ".BTF.ext", ".maps", ".symtab", ".strtab"):
        if sections(whole).get(section, (0, 0))[1]:
            check_damaged(f"{label} {section}", whole, *sections(whole)[section], number)
tap.end()
