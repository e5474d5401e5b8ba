#!/usr/bin/env python3
"""Checks that the house is in order: formatting, layers, sizes, globals, opcodes.

Rules and their reasons are in HACKING.md. Prints `file:line: rule: what` per finding and exits 1
if there is one. Warnings as errors are the compilers' part (make lint builds with both).
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
FILE_LINES = 800
FUNCTION_LINES = 70
# Layers whose code lives in foreign processes and has nothing else to hang its state on.
GLOBALS_ALLOWED = {"preload", "agent"}
# Objects that have a reason of their own, by layer and name: the front that wrapped system calls of
# libbpf find (src/cli/front.h says why), what a signal handler starts from (src/isolate/signals.c),
# and what a thread's last run left in gs (src/engine/x64_run.c).
GLOBALS_NAMED = {("cli", "front_door"), ("isolate", "registry"), ("engine", "left_in_gs")}
OPCODE = re.compile(
    r"\bBPF_(ALU64|ALU|JMP32|JMP|LDX|STX|LD|ST|ADD|SUB|MUL|DIV|OR|AND|LSH|RSH|NEG|MOD|XOR|MOV|ARSH"
    r"|END|JA|JEQ|JGT|JGE|JSET|JNE|JSGT|JSGE|JLT|JLE|JSLT|JSLE|CALL|EXIT|ATOMIC|MEMSX|IMM|ABS|IND"
    r"|RAW_INSN|MOV64_IMM|EXIT_INSN|PSEUDO_CALL|PSEUDO_MAP_FD|PSEUDO_MAP_VALUE)\b"
    r"|\b(opcode|code)\s*(=|==|!=)\s*0x[0-9a-fA-F]{2}\b")

findings = []


def find(path, line, rule, what):
    findings.append(f"{path.relative_to(ROOT)}:{line}: {rule}: {what}")


def files(*suffixes):
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co",
                             "--exclude-standard"], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [ROOT / f for f in listed if f.endswith(suffixes) and (ROOT / f).is_file()]


def layers():
    text = (SRC / "meson.build").read_text()
    block = re.search(r"layers = \[(.*?)\]", text, re.S).group(1)
    return re.findall(r"'(\w+)'", block)


def check_format():
    sources = [f for f in files(".c", ".h") if not f.name.endswith(".bpf.c")]
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, sources)],
                         stderr=subprocess.PIPE, text=True)
    for line in run.stderr.splitlines():
        match = re.match(r"(.*?):(\d+):\d+: error: (.*)", line)
        if match:
            find(pathlib.Path(match.group(1)), int(match.group(2)), "format", "run clang-format -i")


def check_layers():
    order = layers()
    for path in files(".c", ".h", ".inc", ".def"):
        if SRC not in path.parents or path.parent == SRC:
            continue
        layer = path.relative_to(SRC).parts[0]
        if layer not in order:
            find(path, 1, "layer", f"'{layer}' is not in src/meson.build's list of layers")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"(\w+)/', line)
            if not match or match.group(1) == "bpfort":
                continue
            used = match.group(1)
            if used not in order:
                find(path, number, "layer", f"'{used}' is no layer")
            elif order.index(used) > order.index(layer):
                find(path, number, "layer", f"{layer} comes before {used} and may not use it")


def check_sizes():
    for path in files(".c", ".h", ".py", ".sh"):
        lines = path.read_text().splitlines()
        if len(lines) > FILE_LINES:
            find(path, len(lines), "size", f"{len(lines)} lines; split by concept at {FILE_LINES}")
        if path.suffix != ".c" or path.name.endswith(".bpf.c"):
            continue
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start:
                if number - start > FUNCTION_LINES and "dispatch:" not in lines[start]:
                    find(path, start, "size",
                         f"function of {number - start} lines; {FUNCTION_LINES} unless it is a"
                         " dispatch over a table and says so in its first line")
                start = None


def check_globals():
    objects = list((ROOT / "build/gcc-werror").rglob("*.c.o"))
    if not objects:
        find(SRC / "meson.build", 1, "global", "nothing is built: run tools/build gcc-werror first")
    for path in objects:
        match = re.search(r"lib(?:fort-|bpfort-)?(\w+)\.a\.p|src/(\w+)/", str(path))
        layer = match and (match.group(1) or match.group(2))
        if "/tests/" in str(path) or not layer or layer in GLOBALS_ALLOWED:
            continue
        table = subprocess.run(["objdump", "-t", str(path)], stdout=subprocess.PIPE, text=True)
        for line in table.stdout.splitlines():
            match = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+)\s+(\S+)$", line)
            if not match:
                continue
            section, size, name = match.group(2), int(match.group(3), 16), match.group(4)
            writable = re.match(r"\.(data|bss|tdata|tbss)\b", section)
            if (writable and not section.startswith(".data.rel.ro") and size
                    and (layer, name) not in GLOBALS_NAMED):
                find(path, 1, "global", f"mutable object '{name}' in layer {layer}")


def check_opcodes():
    for path in files(".c", ".h"):
        relative = path.relative_to(ROOT)
        isa_tests = relative.parts[:2] == ("tests", "isa") or path.name.startswith("test_isa_")
        if relative.parts[:2] == ("src", "isa") or isa_tests or path.name.endswith(".bpf.c"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if OPCODE.search(re.sub(r'"(\\.|[^"\\])*"|/\*.*?\*/|//.*', "", line)):
                find(path, number, "opcode", "opcodes are known to src/isa/isa.def only")


def check_includes():
    """A source file starts with its own header, so that headers stand alone."""
    for path in files(".c"):
        own = path.with_suffix(".h")
        if SRC not in path.parents or not own.exists():
            continue
        match = re.search(r'^#\s*include\s+(\S+)', path.read_text(), re.M)
        wanted = f'"{own.relative_to(SRC)}"'
        if match and match.group(1) != wanted:
            find(path, 1, "include", f"include {wanted} first")


def main():
    for check in (check_format, check_layers, check_sizes, check_globals, check_opcodes,
                  check_includes):
        check()
    print("\n".join(findings), file=sys.stderr) if findings else None
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
