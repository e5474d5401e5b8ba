#!/usr/bin/env python3
"""Draws bench_scaling's lines as an SVG: a panel per series, time over n, both axes logarithmic.

usage: plot.py SCALING.tsv OUT.svg
"""
import csv
import math
import sys
from xml.sax.saxutils import escape

COLUMNS, WIDTH, HEIGHT = 3, 300, 220  # of panels; of one panel
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 34  # margins in it
SIDES = {"kernel": ("#b34700", "kernel"), "ours": ("#00639c", "bpfort")}
UNITS = [(1, "us"), (1e3, "ms"), (1e6, "s")]


def read(path):
    series = {}
    with open(path, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            series.setdefault(row["series"], []).append(row)
    return series


class Axis:
    """A logarithmic scale from data to pixels."""

    def __init__(self, values, start, end):
        self.low = math.floor(math.log10(max(min(values), 1)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.start, self.end = start, end

    def at(self, value):
        share = (math.log10(max(value, 1)) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        return [10 ** e for e in range(self.low, self.high + 1)]


def count_text(n):
    scale, unit = [u for u in ((1, ""), (1e3, "k"), (1e6, "M")) if n >= u[0]][-1]
    return f"{n / scale:g}{unit}"


def time_text(us):
    scale, unit = [u for u in UNITS if us >= u[0]][-1]
    return f"{us / scale:g} {unit}"


def text(x, y, words, anchor="middle", size=10, weight="normal", fill="#444"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-weight="{weight}" fill="{fill}">{escape(words)}</text>')


def grid(x_axis, y_axis, left, top):
    right, bottom = left + WIDTH - LEFT - RIGHT, top + HEIGHT - TOP - BOTTOM
    for us in y_axis.ticks():
        y = y_axis.at(us)
        yield f'<path d="M{left} {y:.1f}H{right}" stroke="#ddd"/>'
        yield text(left - 5, y + 3, time_text(us), "end")
    for n in x_axis.ticks():
        x = x_axis.at(n)
        yield f'<path d="M{x:.1f} {top}V{bottom}" stroke="#ddd"/>'
        yield text(x, bottom + 14, count_text(n))
    yield text((left + right) / 2, bottom + 28, "n")


def curve(rows, side, x_axis, y_axis):
    color = SIDES[side][0]
    points = [(x_axis.at(float(r["n"])), y_axis.at(float(r[side + "_us"])), r[side]) for r in rows]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>'
    for x, y, verdict in points:
        fill = color if verdict == "accept" else "#fff"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{fill}" stroke="{color}"/>'


def panel(name, rows, x, y):
    left, top = x + LEFT, y + TOP
    times = [float(r[side + "_us"]) for r in rows for side in SIDES]
    x_axis = Axis([float(r["n"]) for r in rows], left, x + WIDTH - RIGHT)
    y_axis = Axis(times, y + HEIGHT - BOTTOM, top)
    yield text((left + x + WIDTH - RIGHT) / 2, top - 10, name, size=12, weight="bold", fill="#222")
    yield from grid(x_axis, y_axis, left, top)
    for side in SIDES:
        yield from curve(rows, side, x_axis, y_axis)


def legend(y):
    x = LEFT
    for color, name in SIDES.values():
        yield f'<circle cx="{x}" cy="{y - 4}" r="3" fill="{color}" stroke="{color}"/>'
        yield text(x + 8, y, name, "start", 11)
        x += 70
    yield f'<circle cx="{x}" cy="{y - 4}" r="3" fill="#fff" stroke="#444"/>'
    yield text(x + 8, y, "rejected: the limit of 1,000,000 instructions walked, or of waiting jumps",
               "start", 11)


def draw(series):
    rows = -(-len(series) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT + 28
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif">')
    yield f'<rect width="{width}" height="{height}" fill="#fff"/>'
    for i, (name, points) in enumerate(series.items()):
        yield from panel(name, points, i % COLUMNS * WIDTH, i // COLUMNS * HEIGHT)
    yield from legend(height - 10)
    yield "</svg>"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write("\n".join(draw(read(sys.argv[1]))) + "\n")


if __name__ == "__main__":
    main()
