#!/usr/bin/env python3
"""Brings differs.tsv and differs.most in line with what the tests of this folder printed.

Reads their output: rows that no longer differ ("# - ") go; differences without a row ("# + ") become
rows if what the kernel says is enough to know why, by the rules below; the others are printed, for
somebody to find out. Numbers in differs.most are lowered. They are raised with --grow only: for the
first list of a new corpus, not for verdicts that got worse.

usage: relist.py [--grow] LOG...
"""
import argparse
import collections
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROWS, MOST = HERE / "differs.tsv", HERE / "differs.most"

# (half, who, what the kernel says, kind, reason); a half of None is any.
RULES = [(half, who, re.compile(text), kind, reason) for half, who, text, kind, reason in [
    (None, "kernel", r"for !root|has pointer with unsupported alu operation",
     "guarded", "what a processor guesses cannot leave the window"),
    ("unpriv", "kernel", r"program is too large|jumps is too complex|^old state:",
     "no-limit", "the kernel also walks what a processor may guess, and does not get out of the loop"),
    (None, "kernel", r"^math between|be out of bounds$",
     "access-only", "the pointer is moved far away: only its accesses are checked"),
    (None, "kernel", r"offset is outside of the packet",
     "no-limit", "packet offsets have no limit of 65,535 here: what was compared is proven"),
    (None, "kernel", r"combined stack size|tail_calls are not allowed when call stack",
     "no-limit", "every frame has its own 512 bytes"),
    (None, "kernel", r"^Caller passes invalid args",
     "not-global", "global functions are verified where they are called, with what they are given"),
    (None, "kernel", r"^misaligned", "alignment", "memory is accessed at any alignment on x86"),
    (None, "kernel", r"same insn cannot be used with different pointers",
     "more-precise", "the context pointer is not NULL, so only one of the pointers gets there"),
    (None, "kernel", r"^the call stack of",
     "more-precise", "the call that would be too deep is on no path"),
    (None, "words", r"^last insn",
     "words", "what is wrong with an instruction alone is said before what is wrong with functions"),
    (None, "words", r"^invalid bpf_ld_imm64 insn",
     "words", "the reserved fields of its second half are looked at first"),
    (None, "words", r"^\d+: R\d=",
     "words", "states are printed where a search resumes, and this one resumes elsewhere"),
    (None, "words", r"^R\d pointer arithmetic on map_value_or_null",
     "words", "the operator is refused before what is unknown of the pointer"),
    (None, "words", r"^invalid read from stack R\d off=",
     "words", "the kernel names the register of the helper's argument"),
    ("unpriv", "words",
     r"leaks addr|pointer comparison|leaking pointer|attempt to corrupt spilled|sign-extension part"
     r"|partial copy of pointer"
     r"|pointer arithmetic prohibited|pointer -= pointer prohibited",
     "words", "two paths are wrong, and another one is named"),
    (None, "words", r"global and assumed valid|is safe for any args|Caller passes invalid args",
     "not-global", "global functions are verified where they are called"),
]]


def reason_for(half, who, text):
    for want_half, want_who, regex, kind, reason in RULES:
        if want_half in (None, half) and want_who == who and regex.search(text):
            return kind, reason
    return None


def read(logs):
    gone, new, later = set(), [], {}
    for path in logs:
        for line in open(path, encoding="utf-8", errors="replace"):
            line = line.rstrip("\n")
            if line.startswith("# - "):
                gone.add(tuple(line[4:].split("\t")))
            elif line.startswith("# + "):
                new.append(line[4:].split("\t"))
            elif match := re.match(r"# (later \S+ \S+): (\d+), differs.most says", line):
                later[match.group(1)] = int(match.group(2))
    return gone, new, later


def rewrite_rows(gone, new):
    """Returns how many rows there are of each kind."""
    lines, unknown = [], 0
    for line in ROWS.read_text().splitlines():
        if line.startswith("#") or tuple(line.split("\t")[:4]) not in gone:
            lines.append(line)
    for file, program, half, who, _, text in new:
        known = reason_for(half, who, text)
        if known:
            lines.append("\t".join((file, program, half, who, *known)))
        else:
            unknown += 1
            print("\t".join((file, program, half, who, "?", text)))
    ROWS.write_text("\n".join(lines) + "\n")
    if unknown:
        print(f"{unknown} differences have no reason yet", file=sys.stderr)
    return collections.Counter(line.split("\t")[4] for line in lines
                               if line and not line.startswith("#"))


def rewrite_most(counts, grow):
    lines = MOST.read_text().splitlines()
    seen = {line.split("\t")[0]: int(line.split("\t")[1]) for line in lines
            if line and not line.startswith("#")}
    for kind, count in counts.items():
        if count < seen.get(kind, 0) or grow:
            seen[kind] = count
        elif count > seen.get(kind, 0):
            print(f"{kind}: {count}, and only {seen.get(kind, 0)} are allowed", file=sys.stderr)
    for kind in [k for k in seen if not k.startswith("later ") and k not in counts]:
        del seen[kind]
    head = [line for line in lines if line.startswith("#")]
    MOST.write_text("\n".join(head + [f"{k}\t{seen[k]}" for k in sorted(seen)]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grow", action="store_true")
    parser.add_argument("logs", nargs="+")
    args = parser.parse_args()
    gone, new, later = read(args.logs)
    rewrite_most({**rewrite_rows(gone, new), **later}, args.grow)


if __name__ == "__main__":
    main()
