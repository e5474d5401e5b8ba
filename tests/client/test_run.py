#!/usr/bin/env python3
"""`bpfort run` on processes of the same, ordinary user: what it prints, how it ends, what it leaves
behind, and what it says when it cannot. Speaks TAP.

usage: test_run.py BPFORT VICTIM LATENCY.o PROBES.o PACKETS.o LIBC.o CRASHING.o
"""
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tap import Bpfort, Tap, crashed

tap = Tap()
# Ordinary users can neither read everything that root built nor trace what root runs.
scratch = tempfile.mkdtemp(prefix="bpfort-run-")
os.chmod(scratch, 0o755)
FILES = [shutil.copy(path, scratch) for path in sys.argv[1:8]]
PATH, VICTIM, LATENCY, PROBES, PACKETS, LIBC, CRASHING = FILES
USER = pwd.getpwnam("nobody") if os.getuid() == 0 else None


def become_user():
    if USER:
        os.setgroups([])
        os.setgid(USER.pw_gid)
        os.setuid(USER.pw_uid)


class User(Bpfort):
    def __call__(self, *arguments, **others):
        return super().__call__(*arguments, preexec_fn=become_user, **others)


bpfort = User(PATH)


class Victim:
    """A process that serves requests, and the bytes of the function that is probed."""

    def __init__(self, requests=0, user=become_user):
        self.process = subprocess.Popen([VICTIM, str(requests)], stdout=subprocess.PIPE,
                                        preexec_fn=user)
        self.process.stdout.readline()
        self.pid = self.process.pid
        table = subprocess.run(["nm", VICTIM], stdout=subprocess.PIPE, text=True).stdout
        symbol = next(int(line.split()[0], 16) for line in table.splitlines()
                      if line.endswith(" handle_request"))
        with open(f"/proc/{self.pid}/maps") as maps:
            base = int(maps.readline().split("-")[0], 16)
        self.address = base + symbol if symbol < base else symbol
        self.before = self.code()

    def code(self):
        with open(f"/proc/{self.pid}/mem", "rb") as memory:
            memory.seek(self.address)
            return memory.read(32)

    def is_clean(self, seconds=0.0):
        """The code is as it was, and no thread of ours is left, at the latest in so many seconds."""
        end = time.monotonic() + seconds
        while True:
            threads = len(os.listdir(f"/proc/{self.pid}/task"))
            if self.code() == self.before and threads == 1:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.05)

    def runs(self):
        return self.process.poll() is None

    def end(self):
        if self.runs():
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def events(done):
    # A command writes to the same place.
    return [json.loads(line) for line in done.stdout.decode().splitlines()
            if line.startswith("{")]


def map_of(happened, name):
    return next((e for e in happened if e.get("map") == name and e["event"] == "map"), None)


def total(happened, name):
    return sum(e["value"] if isinstance(e["value"], int) else sum(e["value"])
               for e in (map_of(happened, name) or {"entries": []})["entries"])


def check_running_process():
    victim = Victim()
    done = bpfort("run", LATENCY, "--pid", victim.pid, "--seconds", 2, "--json")
    happened = events(done)
    tap.report(done.returncode == 0 and total(happened, "latency") > 100,
               "--pid: calls are counted", f"{done.returncode} {done.stderr} {happened[-3:]}")
    records = [e["value"] for e in happened if e["event"] == "record"]
    tap.report(bool(records) and all(r["comm"] == "client-victim" and r["tid"] == victim.pid
                                     and r["us"] >= 4000 for r in records),
               "ring buffer records are decoded by the map's value type", records[:3])
    tap.report(victim.runs() and victim.is_clean(), "detached: the process is as it was")
    done = bpfort("run", LATENCY, "--pid", victim.pid, "--seconds", 1)
    text = done.stdout.decode()
    tap.report(done.returncode == 0 and "latency: " in text and "..        511" in text
               and "####" in text and "slow: {.tid = " in text, "as text: records and a histogram",
               text)
    victim.end()


def check_command():
    done = bpfort("run", PROBES, "--json", "--", VICTIM, 20)
    happened = events(done)
    data = next((e for e in happened if str(e.get("map", "")).endswith(".bss")), None)
    tap.report(done.returncode == 0 and data is not None
               and data["entries"] == [{"key": 0, "value": {"calls": 20}}],
               "-- COMMAND: every call is seen, from the first to the last",
               f"{done.returncode} {done.stderr} {happened}")
    counts = {e["key"]: sum(e["value"]) for e in (map_of(happened, "per_cpu") or
                                                  {"entries": []})["entries"]}
    tap.report(counts == {1: 20, 2: 20}, "a library's function, and per-CPU counts", counts)
    lines = [e["text"] for e in happened if e["event"] == "trace"]
    tap.report(lines == ["request 5"], "trace_printk", lines)
    records = [e["value"] for e in happened if e["event"] == "record"]
    tap.report(records == ["01 02 03 04"], "records without a type are bytes", records)
    tap.report(b"nowhere" in done.stderr, "a program without a place is named", done.stderr)
    done = bpfort("run", LIBC, "--", "grep", "Sig[BI]", "/proc/self/status")
    text = done.stdout.decode()
    # What is inherited stays: make's children ignore signal 32. Python ignores two on its own.
    with open("/proc/self/status", encoding="utf-8") as status:
        ignored = next(int(line.split()[1], 16) for line in status if "SigIgn" in line)
    ignored &= ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
    tap.report(done.returncode == 0 and "SigBlk:\t0000000000000000" in text
               and f"SigIgn:\t{ignored:016x}" in text and ".writes = " in text,
               "a command gets the signals as they were", f"{text} {done.stderr}")
    done = bpfort("run", PROBES, "--", "/bin/false/no")
    tap.report(done.returncode == 2 and b"/bin/false/no" in done.stderr, "no such command",
               done.stderr)


def start(*arguments):
    process = subprocess.Popen([PATH, "run", *map(str, arguments)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, preexec_fn=become_user)
    line = process.stderr.readline()
    return process, line


def check_endings():
    victim = Victim()
    for number, name in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")):
        process, line = start(LATENCY, "--pid", victim.pid)
        time.sleep(0.3)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        tap.report(process.returncode == 0 and b"latency: " in out and b"attached 2" in line,
                   f"{name}: maps are printed, exit status 0", f"{process.returncode} {err}")
        tap.report(victim.runs() and victim.is_clean(), f"{name}: detached")
    for delay in (0.0, 0.01, 0.05, 0.3):
        process = subprocess.Popen([PATH, "run", LATENCY, "--pid", str(victim.pid)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   preexec_fn=become_user)
        time.sleep(delay)
        process.kill()
        process.wait()
        tap.report(victim.runs() and victim.is_clean(5),
                   f"bpfort killed after {delay} s: the process is as it was")
    process, _ = start(LATENCY, "--pid", victim.pid)
    time.sleep(0.3)
    victim.process.kill()
    out, err = process.communicate(timeout=20)
    tap.report(process.returncode == 0 and b"latency: " in out and b"has ended" in err,
               "the process is killed: bpfort prints the maps and ends",
               f"{process.returncode} {err}")
    victim.end()


def says(name, status, words, *arguments):
    done = bpfort("run", *arguments)
    text = done.stderr.decode(errors="replace")
    tap.report(done.returncode == status and words in text and not crashed(done), name,
               f"{done.returncode} {text}")


def check_errors():
    victim = Victim()
    says("no process", 2, "--pid PID, or -- COMMAND", LATENCY)
    says("two processes", 2, "--pid PID, or -- COMMAND", LATENCY, "--pid", victim.pid, "--",
         VICTIM)
    says("a process that does not exist", 2, "no process 4194300", LATENCY, "--pid", 4194300)
    says("an object without probes", 2, "nothing to attach", PACKETS, "--pid", victim.pid)
    says("a function that does not exist", 2, "handle_request", LATENCY, "--", "/bin/sleep", 1)
    tap.report(victim.runs() and victim.is_clean(), "nothing is left of that")
    victim.end()
    if not USER:
        tap.skip("a process of another user", "needs root to start one")
        return
    foreign = Victim(user=None)
    says("a process of another user", 2, str(foreign.pid), LATENCY, "--pid", foreign.pid)
    tap.report(foreign.runs() and foreign.is_clean(), "and it is not touched")
    foreign.end()


def check_crashes():
    """Each odd request runs out of work; beside it another program counts all returns."""
    done = bpfort("run", CRASHING, "--crash", "detach,mark", "--crash-after", 2, "--json", "--",
                  VICTIM, 9)
    happened = events(done)
    crashes = [e for e in happened if e["event"] == "crash"]
    tap.report([(e["prog"], e["kind"], e["crashes"], e["actions"]) for e in crashes] ==
               [("slow", "fuel", 1, []), ("slow", "fuel", 2, ["detach", "mark"])],
               "crashes are told, and which of them the policy acted at", crashes)
    tap.report(bool(crashes) and crashes[0]["file"].endswith("crashing.bpf.c")
               and crashes[0]["text"].startswith("for (__u64 j") and crashes[0]["line"] > 20
               and crashes[0]["comm"] == "client-victim", "with the source line", crashes[:1])
    marks = {e["map"]: e["suspect"] for e in happened if e["event"] == "map"}
    tap.report(marks == {"read_only": False, "crashing.bss": True},
               "maps that the program could write are suspect", marks)
    data = (map_of(happened, "crashing.bss") or {"entries": [{}]})["entries"]
    tap.report(data == [{"key": 0, "value": {"started": 3, "ended": 0}}],
               "it ran three times", data)
    tap.report(sum(e["event"] == "trace" for e in happened) == 9,
               "another program at the same function goes on", happened)
    victim = Victim()
    process, _ = start(CRASHING, "--pid", victim.pid, "--crash", "quarantine", "--seconds", 1)
    _, err = process.communicate(timeout=30)
    lines = [line for line in err.decode().splitlines() if "crashed" in line]
    tap.report(len(lines) == 1 and lines[0].startswith("bpfort: slow crashed (fuel) at instruction")
               and "crashing.bpf.c:" in lines[0]
               and f"in process {victim.pid} (client-victim, thread {victim.pid}); 1 run ended "
               "early; it does not run any more" in lines[0], "as text: one line", err.decode())
    tap.report(victim.runs() and victim.is_clean(5), "and nothing is left")
    says("a policy without a number's meaning", 2, "--crash has to say what", CRASHING,
         "--crash-after", 2, "--pid", victim.pid)
    says("an unknown action", 2, "quarantine detach mark", CRASHING, "--crash", "detach,shout",
         "--pid", victim.pid)
    victim.end()


try:
    check_running_process()
    check_command()
    check_endings()
    check_errors()
    check_crashes()
finally:
    shutil.rmtree(scratch)
tap.end()
