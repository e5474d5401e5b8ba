#!/usr/bin/env python3
"""The ledger of obligations (ledger.tsv), held against what there is: no obligation disappears
unseen, and none is added that the ledger does not have. Solver rows are those of obligations.def;
rows of style `enumerated` name tests. Rules of src/domain that no proof mentions are found as well.

usage: ledger.py --check | --tap | --proven | --open | --write <PROVER-OUTPUT
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMAL = ROOT / "formal"
# Rules as terms. scalar.inc, widen.inc, tnum_mul.inc and pair_alu.inc are control flow over them.
RULES = ("tnum.inc", "arc.inc", "pair.inc", "compare.inc", "reduce.inc")


def ledger():
    rows = [line.split("\t") for line in (FORMAL / "ledger.tsv").read_text().splitlines()
            if line and not line.startswith("#")]
    return [dict(zip(("name", "property", "width", "style", "state"), row)) for row in rows]


def solver_rows():
    """What obligations.def expands to."""
    probe = ("#define WORDS(n, p) @ n p 64 @ n p 32\n#define SCALAR(n, p) @ n p 64\n"
             "#define INTEGERS(n, p) @ n p any\n#include \"obligations.def\"\n")
    text = subprocess.run(["cc", "-E", "-P", "-I", str(FORMAL), "-I", str(ROOT / "src"), "-xc",
                           "-"], input=probe, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {tuple(words) for words in (part.split() for part in text.split("@")) if words}


def test_rows():
    rows = set()
    for path in (ROOT / "tests/unit").glob("test_domain_*.c"):
        for name in re.findall(r"cmocka_unit_test\((\w+)\)", path.read_text()):
            rows.add((path.stem[5:] + "/" + name,))
    return rows


def rules_without_proof():
    """Functions that no proof calls, nor a function that one calls."""
    bodies = {}
    for file in RULES:
        text = (ROOT / "src/domain" / file).read_text()
        for match in re.finditer(r"^static inline \w+ (\w+)\((\w+)\)\(.*?\n\{(.*?)^\}", text,
                                 re.M | re.S):
            bodies[match.group(1) + match.group(2)] = match.group(3)
    called = re.compile(r"\bH?(TNUM_|ARC_|PAIR_|NAME|views_)\(?(\w+)\)?\(")

    def calls(text):
        for prefix, name in called.findall(text):
            yield ("NAME" if prefix == "views_" else prefix) + name

    proofs = "".join(path.read_text() for path in FORMAL.glob("*_proofs.inc"))
    proofs += (FORMAL / "mixed.c").read_text()
    reached, waiting = set(), set(calls(proofs)) | {
        "PAIR_" + op for op in re.findall(r"PAIR_(?:BITS_)?PROOF\((\w+),", proofs)} | {
        "TNUM_" + op for op in re.findall(r"TNUM_(?:SHIFT_)?PROOF\((\w+),", proofs)} | {
        "ARC_" + op for op in re.findall(r"ARC_PROOF\((\w+),", proofs)}
    while waiting:
        name = waiting.pop()
        if name in bodies and name not in reached:
            reached.add(name)
            waiting |= set(calls(bodies[name]))
    return sorted(set(bodies) - reached)


def complaints():
    rows = ledger()
    solver = {(r["name"], r["property"], r["width"]) for r in rows if r["style"] != "enumerated"}
    tests = {(r["name"],) for r in rows if r["style"] == "enumerated"}
    for what, listed, there in (("obligation", solver, solver_rows()), ("test", tests, test_rows())):
        yield from (f"{what} {' '.join(row)} is in the ledger only" for row in listed - there)
        yield from (f"{what} {' '.join(row)} is not in the ledger" for row in there - listed)
    yield from (f"no proof reaches the rule {name}" for name in rules_without_proof())


def write():
    """The ledger anew, from lines of the prover: what it proved is proven, the rest is open."""
    proven = set(re.findall(r"^proven +\S+ s +(\S+):", sys.stdin.read(), re.M))
    lines = ["# What is to be known of the domain's rules. Written by formal/ledger.py --write.",
             "# open: no proof within the time limit; enumeration and samples hold it.",
             "# name\tproperty\twidth\tstyle\tstate"]
    for name, what, width in sorted(solver_rows()):
        state = "proven" if f"{name}/{width.replace('any', '0')}" in proven else "open"
        lines.append(f"{name}\t{what}\t{width}\tsolver\t{state}")
    lines += [f"{name}\tall operands\tsmall\tenumerated\ttested" for name, in sorted(test_rows())]
    (FORMAL / "ledger.tsv").write_text("\n".join(lines) + "\n")


def names(state):
    rows = [r for r in ledger() if r["style"] != "enumerated"]
    return [f"{r['name']}/{r['width'].replace('any', '0')}" for r in rows if r["state"] == state]


def main():
    if sys.argv[1:] == ["--proven"]:
        print("\n".join(names("proven")))
        return 0
    if sys.argv[1:] == ["--open"]:
        left = names("open")
        print(f"{len(names('proven'))} proven, {len(left)} open" + "".join(f" {n}" for n in left))
        return 0
    if sys.argv[1:] == ["--write"]:
        write()
        return 0
    found = sorted(complaints())
    for line in found:
        print(f"# {line}" if sys.argv[1:] == ["--tap"] else f"formal/ledger.tsv: {line}")
    if sys.argv[1:] == ["--tap"]:
        print(f"{'not ' if found else ''}ok 1 - the ledger is complete\n1..1")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
