#!/usr/bin/env python3
"""`make demo` shows what it promises, and ends what it starts. Speaks TAP.

usage: test_demo.py SOURCE_ROOT
"""
import os
import re
import subprocess
import sys
import time

from tap import Tap

tap = Tap()


def demo():
    return subprocess.run(["examples/demo.sh"], cwd=sys.argv[1], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120,
                          env=dict(os.environ, DEMO_SECONDS="1"))


first = demo()
start = time.monotonic()
done = demo()
seconds = time.monotonic() - start
tap.report(first.returncode == 0 and done.returncode == 0, "it succeeds, twice",
           first.stdout + done.stdout)
tap.report(seconds < 10, "the second time in less than 10 seconds", seconds)
tap.report("latency: " in done.stdout and re.search(r"256 \.\. +511 +\d+ +#+", done.stdout),
           "a histogram", done.stdout)
tap.report("protocol = ip->protocol;" in done.stdout and "[F0502]" in done.stdout
           and "to fix:" in done.stdout, "the bug: its line, its code, how to fix it", done.stdout)
tap.report(done.stdout.endswith("1 accepted, 0 rejected, 0 errors\n"), "without it the program is accepted",
           done.stdout)
victims = re.findall(r"process (\d+), user (\S+)\.", done.stdout)
tap.report(len(victims) == 1 and not os.path.exists(f"/proc/{victims[0][0]}"),
           "the process that it started is gone", victims)
tap.report(victims and victims[0][1] != "root", "it was an ordinary user's", victims)
tap.end()
