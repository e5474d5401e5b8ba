#!/usr/bin/env python3
"""Proofs that can fail: breaks one rule at a time (mutants.tsv) in a copy of the sources, builds the
prover from that, and expects the proof of the rule to be refuted, not merely to give up."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ("prove.c", "obligations.c", "prover.c", "words64.c", "words32.c", "mixed.c",
           "integers.c", "agree.c", "native.c")


def compile_one(source, out, first):
    subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O0", "-w", "-I", str(first), "-I",
                    str(ROOT / "src"), "-I", str(ROOT / "formal"), "-c",
                    str(ROOT / "formal" / source), "-o", str(out)], check=True)


def refuted(folder, objects, row):
    file, obligation, text, replacement = row
    domain = folder / "broken" / "domain"
    shutil.rmtree(domain, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "domain", domain)
    before = (domain / file).read_text()
    if before.count(text) < 1:
        return f"no such text in {file}: {text}"
    (domain / file).write_text(before.replace(text, replacement, 1))
    source = "mixed.c" if file == "reduce.inc" else "words64.c"
    broken = folder / "broken.o"
    compile_one(source, broken, folder / "broken")
    linked = [broken if name == source else path for name, path in objects.items()]
    subprocess.run(["gcc", *map(str, linked), "-lz3", "-o", str(folder / "prove")], check=True)
    run = subprocess.run([str(folder / "prove"), "--width", "64", "--timeout", "60", obligation],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return "" if run.stdout.startswith("REFUTED") else run.stdout.splitlines()[0]


def main():
    rows = [line.split("\t") for line in (ROOT / "formal/mutants.tsv").read_text().splitlines()
            if line and not line.startswith("#")]
    wanted = set(sys.argv[1:])
    rows = [row for row in rows if not wanted or row[1] in wanted]
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        objects = {source: folder / (source + ".o") for source in SOURCES}
        for source, path in objects.items():
            compile_one(source, path, ROOT / "src")
        for row in rows:
            why = refuted(folder, objects, row)
            if why:
                bad += 1
                print(f"mutants: {row[1]} does not notice: {row[2]} -> {row[3]}: {why}")
    print(f"{len(rows) - bad} of {len(rows)} broken rules refuted")
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
