#!/usr/bin/env python3
"""Writes the tabular part of tests/isa/cases: one file for each instruction row with its edges.

What an instruction must give is computed here, from RFC 9669's text, on Python's integers; neither
isa.def nor an engine is asked. Files of other names in that folder are written by hand. Each check
has a number; a program returns the number of the first that fails, or 0.

usage: tests/isa/make_cases.py [--check]

Rewrites the files in place; with --check, says in TAP whether they are what it would write.
"""
import pathlib
import sys

CASES = pathlib.Path(__file__).parent / "cases"
CHECK = sys.argv[1:] == ["--check"]
differing = []
M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def signed(x, bits):
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


def quotient(a, b):
    """Truncated toward zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


# RFC 9669, section 4.1. Operands are unsigned words of the width.
ALU = {
    "add": lambda a, b, w: a + b,
    "sub": lambda a, b, w: a - b,
    "mul": lambda a, b, w: a * b,
    "div": lambda a, b, w: a // b if b else 0,
    "sdiv": lambda a, b, w: quotient(signed(a, w), signed(b, w)) if b else 0,
    "or": lambda a, b, w: a | b,
    "and": lambda a, b, w: a & b,
    "lsh": lambda a, b, w: a << (b % w),
    "rsh": lambda a, b, w: a >> (b % w),
    "mod": lambda a, b, w: a % b if b else a,
    "smod": lambda a, b, w: (signed(a, w) - signed(b, w) * quotient(signed(a, w), signed(b, w)))
    if b else a,
    "xor": lambda a, b, w: a ^ b,
    "arsh": lambda a, b, w: signed(a, w) >> (b % w),
}
# Section 4.3.
JUMPS = {
    "jeq": lambda a, b, w: a == b,
    "jgt": lambda a, b, w: a > b,
    "jge": lambda a, b, w: a >= b,
    "jset": lambda a, b, w: a & b != 0,
    "jne": lambda a, b, w: a != b,
    "jsgt": lambda a, b, w: signed(a, w) > signed(b, w),
    "jsge": lambda a, b, w: signed(a, w) >= signed(b, w),
    "jlt": lambda a, b, w: a < b,
    "jle": lambda a, b, w: a <= b,
    "jslt": lambda a, b, w: signed(a, w) < signed(b, w),
    "jsle": lambda a, b, w: signed(a, w) <= signed(b, w),
}

BIG = 0x123456789ABCDEF0
INT64_MIN, INT32_MIN = 1 << 63, 1 << 31

GENERAL = [
    (12, 5, "small numbers"),
    (M64, 2, "all ones"),
    (INT64_MIN, 1, "the sign bit alone"),
    (INT64_MIN - 1, 3, "the largest positive number"),
    (INT32_MIN, 1, "the sign bit of the lower half"),
    (0xFFFFFFFF, 1, "the lower half all ones"),
    (BIG, -1, "minus one as operand"),
    (BIG, 0x7FFFFFFF, "the largest immediate"),
    (0xFEDCBA9800000003, -0x80000000, "the smallest immediate"),
    (0xFEDCBA9800000003, 7, "something in the upper half"),
    (0, 0, "nothing"),
]
NEUTRAL = [(BIG, 0, "an operand that changes nothing")]
DIVISIONS = GENERAL[:-1] + [
    (7, 2, "positive by positive"),
    (-7, 2, "negative by positive"),
    (7, -2, "positive by negative"),
    (-7, -2, "negative by negative"),
    (INT64_MIN, -1, "the smallest number by minus one"),
    (INT32_MIN, -1, "the smallest 32-bit number by minus one"),
    (0xFFFFFFFF80000000, -1, "the same, sign-extended"),
    (3, 10, "by a larger number"),
]
BY_ZERO = [
    (BIG, 0, "by zero"),
    (0xFFFFFFFF00000000, 0, "by zero, lower half zero"),
    (INT64_MIN, 0, "the smallest number by zero"),
    (0, 0, "zero by zero"),
]
BY_LOW_ZERO = [(BIG, 0x500000000, "by a number whose lower half is zero")]
SHIFT_VALUE = 0xFEDCBA98F6543210
SHIFTS = [(SHIFT_VALUE, n, f"by {n}") for n in (0, 1, 7, 16, 31)]
SHIFTS64 = [(SHIFT_VALUE, n, f"by {n}") for n in (32, 33, 63)]
MASKED = [(SHIFT_VALUE, n, f"by {n}: the count is masked")
          for n in (32, 33, 63, 64, 65, 95, 96, 127, 128, 255, -1, -2, -31, -32, -33, -64)]
MASKED_WIDE = [(SHIFT_VALUE, 0x100000000, "by 2^32: only the low bits count"),
               (SHIFT_VALUE, INT64_MIN | 3, "by 2^63 + 3")]
SHIFT_OPS, DIV_OPS = ("lsh", "rsh", "arsh"), ("div", "mod", "sdiv", "smod")


def number(x):
    return f"{x & M64:#x}" if abs(x) > 9 else str(x)


class Case:
    """One file: checks one after the other, each returning its number when it fails."""

    def __init__(self, title, header=()):
        self.title, self.header, self.lines, self.checks = title, list(header), [], 0

    def begin(self, why):
        self.checks += 1
        self.lines.append(f"# {self.checks}: {why}")

    def add(self, *lines):
        self.lines += lines

    def load(self, reg, value):
        value &= M64
        short = signed(value, 64)
        self.add(f"mov {reg}, {short}" if -0x80000000 <= short < 0x80000000
                 else f"lddw {reg}, {value:#x}")

    def expect(self, reg, value):
        """`reg` must hold `value`; r5 is clobbered."""
        self.load("r5", value)
        self.add(f"mov r0, {self.checks}", f"jne {reg}, r5, exit")

    def write(self, name):
        assert self.checks, name
        text = "".join(f"# {line}\n" for line in [self.title, *self.header])
        text += "-- asm\n" + "\n".join(self.lines) + "\nmov r0, 0\nexit\n-- result\n0\n"
        path = CASES / f"{name}.data"
        if not CHECK:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            differing.append(name)


def operand_text(form, b):
    return str(b) if form == "imm" else "r2"


def alu_edges(op, width, form):
    if op in SHIFT_OPS:
        edges = SHIFTS + (SHIFTS64 if width == 64 else [])
        return edges + (MASKED + MASKED_WIDE if form == "reg" else [])
    if op in DIV_OPS:
        return DIVISIONS + (BY_ZERO + (BY_LOW_ZERO if form == "reg" else [])
                            if form == "reg" else [])
    return GENERAL + NEUTRAL


def alu_case(op, width, form, edges, header=(), suffix=""):
    name = op + ("32" if width == 32 else "")
    word = (1 << width) - 1
    case = Case(f"{name} {'dst, imm' if form == 'imm' else 'dst, src'}{suffix}", header)
    for a, b, why in edges:
        case.begin(why)
        case.load("r1", a)
        if form == "reg":
            case.load("r2", b)
        case.add(f"{name} r1, {operand_text(form, b)}")
        case.expect("r1", ALU[op](a & word, b & word, width) & word)
    return case


def write_alu():
    for op in ALU:
        for width in (32, 64):
            for form in ("imm", "reg"):
                edges = alu_edges(op, width, form)
                case = alu_case(op, width, form, edges)
                if form == "reg":
                    case.begin("a register with itself")
                    case.load("r1", BIG)
                    name = op + ("32" if width == 32 else "")
                    word = (1 << width) - 1
                    case.add(f"{name} r1, r1")
                    case.expect("r1", ALU[op](BIG & word, BIG & word, width) & word)
                case.write(f"alu_{op}{width}_{form}")
            if op in SHIFT_OPS:
                outside = [e for e in MASKED if not 0 <= e[1] < width]
                alu_case(op, width, "imm", outside,
                         [f"kernel: invalid shift {outside[0][1]}"],
                         ", counts that the kernel refuses").write(f"alu_{op}{width}_imm_masked")
            if op in DIV_OPS:
                alu_case(op, width, "imm", BY_ZERO, ["kernel: div by zero"],
                         ", which the kernel refuses for zero").write(f"alu_{op}{width}_imm_zero")


def write_unary():
    values = [0, 1, -1, BIG, INT64_MIN, INT32_MIN, 0xFFFFFFFF, 0x80, 0x8000, 0x7F, 0x7FFF,
              0xFFFFFFFF7FFFFFFF, 0x00FF00FF80FF80FF, 0x1122334455667788]

    def unary(mnemonic, function, name, form="r1"):
        case = Case(f"{mnemonic} {'dst' if form == 'r1' else form}")
        for value in values:
            case.begin(f"of {value & M64:#018x}")
            if form == "r1":
                case.load("r1", value)
                case.add(f"{mnemonic} r1")
            else:
                case.load("r1", 0x5555555555555555)
                case.load("r2", value)
                case.add(f"{mnemonic} r1, r2")
            case.expect("r1", function(value & M64))
        if form != "r1":
            case.begin("a register to itself")
            case.load("r1", 0xFFFFFFFFFFFFFF80)
            case.add(f"{mnemonic} r1, r1")
            case.expect("r1", function(0xFFFFFFFFFFFFFF80))
        case.write(name)

    unary("neg", lambda x: -x & M64, "alu_neg64")
    unary("neg32", lambda x: -x & M32, "alu_neg32")
    for bits in (16, 32, 64):
        mask = (1 << bits) - 1
        swap = lambda x, n=bits // 8, m=mask: int.from_bytes((x & m).to_bytes(n, "little"), "big")
        unary(f"le{bits}", lambda x, m=mask: x & m, f"end_le{bits}")
        unary(f"be{bits}", swap, f"end_be{bits}")
        unary(f"swap{bits}", swap, f"end_swap{bits}")
    moves = "dst, src"
    unary("mov", lambda x: x, "mov64_reg", moves)
    unary("mov32", lambda x: x & M32, "mov32_reg", moves)
    for bits in (8, 16):
        unary(f"movsx{bits}32", lambda x, n=bits: signed(x, n) & M32, f"movsx{bits}_32", moves)
    for bits in (8, 16, 32):
        unary(f"movsx{bits}64", lambda x, n=bits: signed(x, n) & M64, f"movsx{bits}_64", moves)
    for width in (32, 64):
        case = Case(f"mov{'32' if width == 32 else ''} dst, imm")
        for imm in (0, 1, -1, 0x7FFFFFFF, -0x80000000, -2):
            case.begin(f"of {imm}")
            case.load("r1", 0x5555555555555555)
            case.add(f"mov{'32' if width == 32 else ''} r1, {imm}")
            case.expect("r1", imm & ((1 << width) - 1))
        case.write(f"mov{width}_imm")


def write_jumps():
    edges = GENERAL + [
        (5, 5, "equal"), (-5, -5, "equal and negative"), (5, 6, "less by one"),
        (6, 5, "more by one"), (-1, 1, "negative against positive"),
        (1, -1, "positive against negative"), (INT64_MIN, -1, "smallest against minus one"),
        (0x100000005, 5, "equal lower halves"), (0x80000000, -0x80000000, "bit 31 alone"),
        (0x7FFFFFFFFFFFFFFF, -1, "largest against minus one"),
        (0xAAAAAAAA55555555, 0x2AAAAAAA, "no bit in common below")]
    for op in JUMPS:
        for width in (32, 64):
            word = (1 << width) - 1
            name = op + ("32" if width == 32 else "")
            for form in ("imm", "reg"):
                case = Case(f"{name} dst, {'imm' if form == 'imm' else 'src'}, target")
                for a, b, why in edges:
                    case.begin(why)
                    case.load("r1", a)
                    if form == "reg":
                        case.load("r2", b)
                    case.add(f"mov r0, {case.checks}")
                    other = operand_text(form, b)
                    if JUMPS[op](a & word, b & word, width):
                        case.add(f"{name} r1, {other}, L{case.checks}", "exit",
                                 f"L{case.checks}:")
                    else:
                        case.add(f"{name} r1, {other}, exit")
                if "exit" not in case.lines:
                    raise AssertionError(name)
                case.write(f"jmp_{op}{width}_{form}")


SIZES = {"b": 8, "h": 16, "w": 32, "dw": 64}
PATTERN = 0x8899AABB7CDD6EFF


def write_memory():
    for suffix, bits in SIZES.items():
        size, mask = bits // 8, (1 << bits) - 1
        loads = [("ldx", False)] + ([("ldxs", True)] if bits < 64 else [])
        for mnemonic, extend in loads:
            case = Case(f"{mnemonic}{suffix} dst, [src+off]")
            for at in range(0, 8, size):
                part = PATTERN >> (8 * at) & mask
                case.begin(f"byte {at} of a word on the stack")
                case.load("r1", PATTERN)
                case.add("stxdw [r10-8], r1", "mov r3, -1", f"{mnemonic}{suffix} r3, [r10{at - 8:+d}]")
                case.expect("r3", signed(part, bits) & M64 if extend else part)
                case.begin(f"byte {at} through a register that the load overwrites")
                case.add("mov r3, r10", f"add r3, -{8 - at}", f"{mnemonic}{suffix} r3, [r3]")
                case.expect("r3", signed(part, bits) & M64 if extend else part)
            case.write(f"mem_{mnemonic}{bits}")
        for form in ("st", "stx"):
            case = Case(f"{form}{suffix} [dst+off], {'imm' if form == 'st' else 'src'}")
            for value in (0, 1, -1, 0x7FFFFFFF, -0x80000000, 0x12345678, -2):
                wide = value if form == "st" else value & M64 ^ 0x5A5A5A5A00000000
                for at in range(0, 8, size):
                    case.begin(f"{number(wide)} at byte {at}")
                    case.load("r1", PATTERN)
                    case.add("stxdw [r10-8], r1")
                    if form == "stx":
                        case.load("r2", wide)
                    case.add(f"{form}{suffix} [r10{at - 8:+d}], {value if form == 'st' else 'r2'}",
                             "ldxdw r3, [r10-8]")
                    case.expect("r3", PATTERN & ~(mask << (8 * at)) | (wide & mask) << (8 * at))
            case.write(f"mem_{form}{bits}")


ATOMICS = {
    "add": lambda a, b: a + b,
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "xor": lambda a, b: a ^ b,
}
ATOMIC_EDGES = [
    (PATTERN, 0x1122334455667788, "two patterns"),
    (M64, 1, "around the end"),
    (0, 0, "nothing"),
    (INT64_MIN | 0x80000000, INT64_MIN | 0x80000000, "the sign bits"),
    (BIG, 0, "a zero operand"),
]


def atomic_checks(case, name, width, old, b, new, fetched):
    """Memory, its neighbour, the operand and r0 after one operation on the lower part."""
    word = (1 << width) - 1
    case.load("r1", old)
    case.add("stxdw [r10-8], r1")
    case.load("r2", b)
    case.load("r0", 0x7777777777777777)
    case.add(f"lock {name} [r10-8], r2", "mov r4, r0", "ldxdw r3, [r10-8]")
    case.expect("r3", old & ~word | new & word)
    case.expect("r2", old & word if fetched else b)
    case.expect("r4", 0x7777777777777777)


def write_atomics():
    for width in (32, 64):
        tail = "32" if width == 32 else ""
        word = (1 << width) - 1
        rows = [(op, f, fetch) for op, f in ATOMICS.items() for fetch in (False, True)]
        rows.append(("xchg", lambda a, b: b, True))
        for op, function, fetch in rows:
            spelled = f"fetch_{op}" if fetch and op != "xchg" else op
            case = Case(f"lock {spelled}{tail} [dst+off], src")
            for old, b, why in ATOMIC_EDGES:
                case.begin(why)
                atomic_checks(case, spelled + tail, width, old, b,
                              function(old & word, b & word), fetch)
            case.write(f"atomic_{spelled}{width}")
        case = Case(f"lock cmpxchg{tail} [dst+off], src")
        same = PATTERN & word
        for r0, b, why in [(same, BIG, "equal: stored"), (same ^ 1, BIG, "not equal: kept"),
                           (same ^ 1 << (width - 1), BIG, "the top bit differs"),
                           (same | (0x5A << 56 if width == 32 else 0), BIG,
                            "above the width nothing counts"),
                           (PATTERN, PATTERN, "equal, and the same is stored")]:
            equal = r0 & word == same
            case.begin(why)
            case.load("r1", PATTERN)
            case.add("stxdw [r10-8], r1")
            case.load("r2", b)
            case.load("r0", r0)
            case.add(f"lock cmpxchg{tail} [r10-8], r2", "mov r4, r0", "ldxdw r3, [r10-8]")
            case.expect("r4", same)
            case.expect("r2", b)
            case.expect("r3", PATTERN & ~word | (b if equal else same) & word)
        for r0, why in [(same, "equal"), (same ^ 2, "not equal")]:
            case.begin(f"r0 is the operand too; {why}")
            case.load("r1", PATTERN)
            case.add("stxdw [r10-8], r1")
            case.load("r0", r0)
            case.add(f"lock cmpxchg{tail} [r10-8], r0", "mov r4, r0", "ldxdw r3, [r10-8]")
            case.expect("r4", same)
            case.expect("r3", PATTERN)
        case.write(f"atomic_cmpxchg{width}")
    for bits in (8, 16, 32, 64):
        tail, mask, size = "" if bits == 64 else str(bits), (1 << bits) - 1, bits // 8
        load, store = Case(f"load_acquire{tail} dst, [src+off]"), Case(
            f"store_release{tail} [dst+off], src")
        for at in range(0, 8, size):
            load.begin(f"byte {at}, zero-extended")
            load.load("r1", PATTERN)
            load.add("stxdw [r10-8], r1", "mov r3, -1", f"load_acquire{tail} r3, [r10{at - 8:+d}]")
            load.expect("r3", PATTERN >> (8 * at) & mask)
            for value in (BIG, -1):
                store.begin(f"{number(value)} at byte {at}")
                store.load("r1", PATTERN)
                store.add("stxdw [r10-8], r1")
                store.load("r2", value)
                store.add(f"store_release{tail} [r10{at - 8:+d}], r2", "ldxdw r3, [r10-8]")
                store.expect("r3", PATTERN & ~(mask << 8 * at) | (value & mask) << 8 * at)
                store.expect("r2", value)
        load.write(f"atomic_load_acquire{bits}")
        store.write(f"atomic_store_release{bits}")


if __name__ == "__main__":
    write_alu()
    write_unary()
    write_jumps()
    write_memory()
    write_atomics()
    if CHECK:
        print("1..1")
        print(f"{'not ' if differing else ''}ok 1 - the tabular cases are what make_cases.py writes")
        print(f"# differing: {differing}" if differing else "# none differs")
        sys.exit(1 if differing else 0)
