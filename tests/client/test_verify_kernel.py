#!/usr/bin/env python3
"""verify --compare kernel: what is said of the running kernel is what it says, and where it says
nothing, that is said. Speaks TAP.

usage: test_verify_kernel.py BPFORT PACKETS.o WRONG.o STRANGE.o CORPUS
"""
import csv
import glob
import io
import os
import sys

from tap import Bpfort, Tap, crashed

PATH, PACKETS, WRONG, STRANGE, CORPUS = sys.argv[1:6]
# Small ones, of which neither side is known to differ (tests/kernel/differs.tsv has those).
SELFTESTS = ["verifier_and", "verifier_array_access", "verifier_basic_stack", "verifier_ctx",
             "verifier_div0", "verifier_helper_packet_access", "verifier_map_ptr_mixing",
             "verifier_masking", "verifier_stack_ptr", "verifier_xadd"]
UNKNOWN = ("unsupported", "error")

tap, bpfort = Tap(), Bpfort(PATH)


def compare(*arguments, **others):
    done = bpfort("verify", "--compare", "kernel", "--csv", *arguments, seconds=300, **others)
    return done, list(csv.DictReader(io.StringIO(done.stdout.decode())))


def check_own():
    done, rows = compare(PACKETS, WRONG, STRANGE, "--filter", "!strange*/attached",
                         "--filter", "!strange*/nameless", "--filter", "!strange*/sleeps")
    differ = [r for r in rows if r["verdict"] != r["kernel_verdict"]]
    tap.report(len(rows) == 14 and not differ and not crashed(done), "verdicts are the same",
               f"{len(rows)} {differ}")
    tap.report(all(int(r["kernel_total_insns"]) > 0 for r in rows), "the kernel counts too", rows)
    timed = [r for r in rows if r["ratio"]]
    tap.report(timed and all(abs(float(r["ratio"]) - int(r["duration"])
                                 / int(r["kernel_duration"])) < 1 for r in timed),
               "ratios are of the durations", timed)
    tap.report(not os.path.exists("/sys/fs/bpf/kept"), "nothing is pinned")
    status, whole = bpfort.json("verify", WRONG, "--prog", "endless", "--compare", "kernel")
    kernel = whole["programs"][0]["kernel"]
    tap.report(status == 1 and kernel["verdict"] == "reject" and kernel["message"],
               "JSON: the kernel's last words", kernel)
    done = bpfort("verify", PACKETS, "--compare", "kernel")
    tap.report(b"the kernel agrees on 5 of 5" in done.stdout, "the last line counts", done)


def drop_rights():
    os.setgid(65534)
    os.setuid(65534)


def check_rights():
    """Unprivileged use of bpf(2) is refused, or limited."""
    done, rows = compare("/proc/self/fd/0", stdin=open(PACKETS, "rb"), preexec_fn=drop_rights)
    tap.report(done.returncode == 0 and rows and all(r["verdict"] == "accept" for r in rows)
               and all(r["kernel_verdict"] == "error" and not r["ratio"] for r in rows),
               "without rights: our verdict, and none of the kernel's", done)
    done = bpfort("verify", "/proc/self/fd/0", "--compare", "kernel", stdin=open(PACKETS, "rb"),
                  preexec_fn=drop_rights)
    tap.report(b"kernel, error: the kernel asks for more rights (CAP_BPF" in done.stdout,
               "without rights: which are missing", done)


def check_selftests():
    objects = [path for name in SELFTESTS
               for path in glob.glob(f"{CORPUS}/objects/verifier/{name}.o")]
    if not objects:
        tap.skip("the kernel's own tests", f"none in {CORPUS}: tests/kernel/corpus.sh makes them")
        return
    _, rows = compare(*objects, "-j", 2)
    judged = [r for r in rows
              if r["verdict"] not in UNKNOWN and r["kernel_verdict"] not in UNKNOWN]
    differ = [(r["file_name"], r["prog_name"], r["verdict"], r["kernel_verdict"]) for r in judged
              if r["verdict"] != r["kernel_verdict"]]
    tap.report(not differ, f"the kernel's own tests: {len(judged)} verdicts are the same", differ)
    tap.report(len(judged) > 0.9 * len(rows) > 0, "nearly all of them are judged",
               f"{len(judged)} of {len(rows)}")


if os.geteuid():
    tap.skip("the running kernel", "it loads programs only for root")
else:
    check_own()
    check_rights()
    check_selftests()
tap.end()
