#!/usr/bin/env python3
"""Runs the tests of a build directory and counts them.

Every test program speaks TAP. Tests without the suite `root` run first, in parallel; those of
`root` run after, one at a time, and only as root. Each skip is printed with its reason. The last
line is `N passed, N failed, N skipped`; the exit status is 0 if none failed.

usage: tools/check.py BUILDDIR [--suite NAME]... [--exclude NAME]... [TEST]...
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

TAP = re.compile(r"^(not )?ok\b\s*(?:\d+)?\s*(?:-\s*)?(.*?)\s*(?:#\s*(SKIP|TODO)\b\s*(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*SKIP\b\s*(.*))?$", re.I)


class Outcome:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped = name, 0, [], []
        self.seconds, self.output = 0.0, ""


def introspect(builddir):
    text = subprocess.run(["meson", "introspect", "--tests", builddir], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    tests = json.loads(text)
    for test in tests:  # as `meson test` does
        test["workdir"] = test["workdir"] or builddir
    return tests


def suites(test):
    return {s.split(":")[-1] for s in test["suite"]}


def parse(outcome, status):
    planned = None
    for line in outcome.output.splitlines():
        plan = PLAN.match(line)
        if plan:
            planned = int(plan.group(1))
            if plan.group(2):
                outcome.skipped.append(("all", plan.group(2)))
            continue
        match = TAP.match(line)
        if not match:
            continue
        bad, name, directive, reason = match.groups()
        if directive and directive.upper() == "SKIP":
            outcome.skipped.append((name, reason or "no reason given"))
        elif bad:
            outcome.failed.append(name)
        else:
            outcome.passed += 1
    seen = outcome.passed + len(outcome.failed) + len(outcome.skipped)
    if status != 0 and not outcome.failed:
        outcome.failed.append(f"exit status {status}")
    elif planned is None:
        outcome.failed.append("no TAP plan in the output")
    elif planned and seen < planned:
        outcome.failed.append(f"ended after {seen} of {planned} tests")


def run(test):
    outcome = Outcome(test["name"])
    start = time.monotonic()
    env = {**os.environ, **test.get("env", {})}
    try:
        done = subprocess.run(test["cmd"], cwd=test["workdir"], env=env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=test.get("timeout") or None)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = "timeout", late.stdout or b""
    outcome.output = output.decode(errors="replace")
    outcome.seconds = time.monotonic() - start
    parse(outcome, status)
    return outcome


def report(outcome):
    word = "FAIL" if outcome.failed else "ok"
    print(f"{word:5} {outcome.name:34} {outcome.passed:6} passed {outcome.seconds:7.1f} s", flush=True)
    for name, reason in outcome.skipped:
        print(f"      skip {outcome.name}/{name}: {reason}")
    for name in outcome.failed:
        print(f"      fail {outcome.name}/{name}")
    if outcome.failed:
        tail = outcome.output.splitlines()[-60:]
        print("\n".join("      | " + line for line in tail), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builddir")
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--exclude", action="append", default=["long"])
    parser.add_argument("tests", nargs="*")
    args = parser.parse_args()
    tests = [t for t in introspect(args.builddir)
             if (not args.suite or suites(t) & set(args.suite))
             and not suites(t) & (set(args.exclude) - set(args.suite))
             and (not args.tests or t["name"] in args.tests)]
    plain = [t for t in tests if not suites(t) & {"root", "alone"}]
    alone = [t for t in tests if suites(t) & {"root", "alone"}]
    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for outcome in pool.map(run, plain):
            report(outcome)
            outcomes.append(outcome)
    for test in alone:
        if "root" in suites(test) and os.geteuid() != 0:
            outcome = Outcome(test["name"])
            outcome.skipped.append(("all", "needs root: bpf(2) of the kernel"))
        else:
            outcome = run(test)
        report(outcome)
        outcomes.append(outcome)
    passed = sum(o.passed for o in outcomes)
    failed = sum(len(o.failed) for o in outcomes)
    skipped = sum(len(o.skipped) for o in outcomes)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
