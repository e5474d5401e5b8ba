#!/usr/bin/env python3
"""Draws bench_engines' ratios as an SVG: a row per program, a mark per side, on a logarithmic scale
on which native code is 1.

usage: plot_engines.py ENGINES.tsv OUT.svg
"""
import csv
import math
import sys
from xml.sax.saxutils import escape

COLORS = {"vector": "#999999", "x64-none": "#7fb2d6", "x64-store": "#3f8cc4", "x64-sfi": "#00639c",
          "x64-mpk": "#4b2e83", "llvm": "#2a8000", "interp": "#8a5a00", "kernel": "#b34700"}
LABELS = {"vector": "native, vectorised", "kernel": "the kernel's JIT", "interp": "interpreter"}
LEFT, RIGHT, TOP, ROW, WIDTH = 90, 20, 52, 17, 860


def read(path):
    rows, sides = {}, []
    with open(path, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            rows.setdefault(row["program"], {})[row["side"]] = float(row["ratio"])
            if row["side"] not in sides:
                sides.append(row["side"])
    rows["geomean"] = {side: math.exp(sum(math.log(r[side]) for r in rows.values()) / len(rows))
                       for side in sides}
    return rows, sides


def text(x, y, words, anchor="middle", weight="normal", fill="#444"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" '
            f'font-weight="{weight}" fill="{fill}">{escape(words)}</text>')


def legend(sides):
    x = LEFT
    for side in sides:
        label = LABELS.get(side, side)
        yield f'<circle cx="{x}" cy="16" r="4" fill="{COLORS[side]}"/>'
        yield text(x + 8, 20, label, "start")
        x += 26 + 6.3 * len(label)


def draw(rows, sides):
    values = [v for row in rows.values() for v in row.values()]
    low, high = math.log2(min(0.5, *values)), math.log2(max(2, *values))
    height = TOP + ROW * len(rows) + 12
    bottom = height - 12

    def place(ratio):
        return LEFT + (math.log2(ratio) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">')
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    yield from legend(sides)
    for power in range(math.ceil(low), math.floor(high) + 1):
        x = place(2.0 ** power)
        yield (f'<path d="M{x:.1f} {TOP - 6}V{bottom}" stroke="{"#444" if power == 0 else "#ddd"}"'
               '/>')
        yield text(x, TOP - 12, f"{2.0 ** power:g}x")
    for i, (name, row) in enumerate(rows.items()):
        y = TOP + ROW * i + ROW / 2
        yield text(LEFT - 8, y + 4, name, "end", "bold" if name == "geomean" else "normal")
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#f0f0f0"/>'
        for side in sides:
            yield (f'<circle cx="{place(row[side]):.1f}" cy="{y:.1f}" r="4" '
                   f'fill="{COLORS[side]}" fill-opacity="0.85"/>')
    yield "</svg>"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write("\n".join(draw(*read(sys.argv[1]))) + "\n")


if __name__ == "__main__":
    main()
