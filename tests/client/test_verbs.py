#!/usr/bin/env python3
"""Verbs, their help, exit statuses and JSON. Speaks TAP.

usage: test_verbs.py BPFORT PACKETS.o WRONG.o OTHER.o LATENCY.o BUGGY.o FIXED.o
"""
import ctypes
import errno
import itertools
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile

from tap import Bpfort, Tap, crashed

PATH, PACKETS, WRONG, OTHER, LATENCY, BUGGY, FIXED = sys.argv[1:8]
VERBS = ["run", "verify", "explain", "prog run file", "prog dump file", "prog profile file",
         "prog show file", "doctor"]
PROGRAM_KEYS = ["name", "section", "type", "verdict", "insns", "insns_processed", "states",
                "peak_states", "verify_us", "check_us", "certificate_bytes", "memory_bytes",
                "log_tail", "diag", "names"]
DIAG_KEYS = {"code", "insn", "line", "message", "needed", "known", "hint"}
RUN_KEYS = ["retval", "ns_per_run", "repeat", "engine", "isolation", "aborted"]

tap, bpfort = Tap(), Bpfort(PATH)
scratch = tempfile.TemporaryDirectory()


def file_of(name, data):
    path = os.path.join(scratch.name, name)
    with open(path, "wb") as out:
        out.write(data)
    return path


PACKET = file_of("packet", bytes(range(6)) + bytes(range(6, 12)) + b"\x08\x00" + bytes(50))


def gives(name, status, *arguments, out="", err=""):
    done = bpfort(*arguments)
    ok = (done.returncode == status and not crashed(done) and out in done.stdout.decode()
          and err in done.stderr.decode())
    tap.report(ok, name, f"{done.returncode}, not {status}\n{done.stdout[-600:]!r}\n"
               f"{done.stderr[-600:]!r}")


def check_help():
    overview = bpfort("--help")
    for verb in VERBS:
        words = verb.split()
        done = bpfort(*words, "--help")
        text = done.stdout.decode()
        tap.report(done.returncode == 0 and text.startswith(f"usage: bpfort {verb}")
                   and "--json" in text and not done.stderr and verb in overview.stdout.decode(),
                   f"{verb}: has help, and is in the overview", text)
        if verb not in ("doctor", "explain"):
            gives(f"{verb}: without its file is a usage error", 2, *words, err="is missing")
        gives(f"{verb}: an unknown option is a usage error", 2, *words, "x.o", "--bogus",
              err="not understood")
    gives("no verb: a usage error", 2, err="bpfort verify")
    gives("an unknown verb: a usage error", 2, "frobnicate", err="'frobnicate' is no verb")
    gives("the version", 0, "--version", out="bpfort 0.")


def check_verify():
    gives("verify: all accepted", 0, "verify", PACKETS, out="swap_macs")
    gives("verify: a table says what was rejected", 1, "verify", WRONG, out="reject")
    gives("verify: one program that is fine", 0, "verify", WRONG, "--prog", "fine", out="accept")
    gives("verify: no such program", 2, "verify", WRONG, "--prog", "none", err="no_null_check")
    gives("verify: no such file", 2, "verify", scratch.name + "/none.o", err="No such file")
    gives("verify: a directory", 2, "verify", scratch.name, err="expected a file")
    gives("verify: a number out of range", 2, "verify", WRONG, "--log-level", "9", err="from 0 to 2")
    gives("verify: the log of level 2", 0, "verify", WRONG, "--prog", "fine", "--log-level", "2",
          out="R10=fp0")
    for word in ("no_null_check", "required:", "known:", "to fix:", "wrong.bpf.c:18",
                 "18 | *count += 1; // line 18\n         |        ^\n", "before that:",
                 "is the result of bpf_map_lookup_elem: a value of map `counts`, or NULL",
                 "nothing on this path tests it", "the kernel's words: R0 invalid mem access"):
        gives(f"verify --explain says {word}", 1, "verify", WRONG, "--prog", "no_null_check",
              "--explain", out=word)
    gives("verify --explain: a loop's decisions are counted", 1, "verify", WRONG, "--prog", "endless",
          "--explain", out="jumped 16 times at instruction")
    for words in ("where the work went:\n    100 %  loop at ", "rounds that differ in fp-8\n",
                  "nothing that only rises or falls shows that this loop ends [F0902]"):
        gives(f"verify --explain of what is too complex: {words.strip()}", 1, "verify", WRONG,
              "--prog", "endless", "--explain", out=words)
    gives("verify --explain: numbers with which it happens", 1, "verify", WRONG, "--prog",
          "no_null_check", "--explain", out="  example:  r0 = 0\n")
    gives("run: a type that is not there yet", 2, "prog", "run", "file", OTHER, "name", "sample",
          "data_in", PACKET, err="programs of type perf_event are not supported")
    gives("run: a map type that is not there yet", 2, "prog", "run", "file", OTHER, "name",
          "filter", "data_in", PACKET, err="map stack: type stack is not supported")
    gives("verify: the example's bug", 1, "verify", BUGGY, "--explain",
          out="protocol = ip->protocol;")
    gives("verify: the example without it", 0, "verify", FIXED)
    gives("verify: the other example", 0, "verify", LATENCY)


def check_log():
    """The explanation is told in remarks, right before the kernel's words."""
    for level in ("1", "2"):
        done = bpfort("verify", WRONG, "--prog", "no_null_check", "--log-level", level)
        lines = done.stdout.decode().splitlines()
        at = next((i for i, line in enumerate(lines) if line.startswith("; error[F0211]: ")), 0)
        told = list(itertools.takewhile(lambda line: line.startswith("; "), lines[at:]))
        tap.report(at > 0 and "at wrong.bpf.c:18 (instruction " in told[0]
                   and any(line.startswith(";   why: r0 is the result of") for line in told)
                   and ";   required: r0 != NULL" in told and ";   known: r0 may be NULL" in told
                   and any(line.startswith(";   before: wrong.bpf.c:16 ") for line in told)
                   and any(line.startswith(";   to fix: ") for line in told)
                   and lines[at + len(told)] == "R0 invalid mem access 'map_value_or_null'",
                   f"the log of level {level} explains, before the kernel's words", lines)
    done = bpfort("verify", WRONG, "--prog", "fine", "--log-level", "2")
    tap.report(b"; error[" not in done.stdout, "the log of what is accepted explains nothing", done)
    done = bpfort("verify", WRONG, "--prog", "no_null_check", "--json")
    tap.report(b"; error[" not in done.stdout, "without a log level nothing is in the log", done)


def check_cost(program):
    """The loop and what keeps its rounds apart: `x` has a slot of the stack."""
    diag = program["diag"]
    cost = diag.get("cost") or {}
    places = cost.get("places") or [{}]
    tap.report(diag["code"] == "F0901" and diag["errno"] == errno.E2BIG
               and cost["processed"] > 1000000 and cost["states"] == program["states"]
               and cost["peak"] > 0 and cost["usec"] == program["verify_us"],
               "too complex: what it took", diag)
    tap.report(len(places) == 1 and places[0]["kind"] == "loop" and places[0]["percent"] == 100
               and places[0]["line"]["number"] in (27, 28) and places[0]["apart"] == ["fp-8"]
               and 900000 < places[0]["processed"] < cost["processed"]
               and places[0]["rounds"] > 100000, "too complex: where the work went", places)
    tap.report((cost.get("doubt") or {}).get("code") == "F0902"
               and cost["doubt"]["line"]["number"] in (27, 28),
               "too complex: why states were kept apart", cost)


def check_verify_json():
    status, whole = bpfort.json("verify", WRONG)
    programs = {p["name"]: p for p in (whole or {}).get("programs", [])}
    tap.report(status == 1 and whole and list(whole) == ["file", "programs"]
               and whole["file"] == WRONG, "verify --json: one object", whole)
    tap.report(set(programs) == {"no_null_check", "endless", "fine"},
               "verify --json: all programs", list(programs))
    for name, program in programs.items():
        tap.report(list(program) == PROGRAM_KEYS, f"{name}: has the keys of the format",
                   list(program))
        accepted = name == "fine"
        tap.report(program["verdict"] == ("accept" if accepted else "reject")
                   and program["section"] == "socket" and program["type"] == "socket_filter"
                   and program["insns"] > 0 and (program["certificate_bytes"] > 0) == accepted
                   and program["log_tail"].splitlines()[-1].startswith("processed "),
                   f"{name}: its verdict and figures", program)
    diag = programs.get("no_null_check", {}).get("diag") or {}
    tap.report(DIAG_KEYS <= set(diag) and diag["code"].startswith("F")
               and diag["line"]["number"] == 18 and diag["line"]["file"].endswith("wrong.bpf.c")
               and diag["line"]["text"].startswith("*count += 1;")
               and all(diag[k] for k in ("message", "needed", "known", "hint")),
               "the diagnostic: code, line, words", diag)
    tap.report(diag.get("class") == "source_bug" and diag["pattern"] == "null_untested"
               and diag["kernel_line"] == "R0 invalid mem access 'map_value_or_null'"
               and diag["registers"].get("r0", "").startswith("map_value_or_null(")
               and diag["line"]["column"] > 1 and diag["fix"][0] == diag["hint"],
               "the diagnostic: kind, registers, the kernel's words", diag)
    tap.report(diag["counterexample"] == {"ctx": None, "packet": None, "maps": None,
                                          "helper_results": None, "registers": {"r0": 0},
                                          "confirmed": False},
               "verify --json: numbers with which it happens", diag["counterexample"])
    tap.report(diag.get("errno") == errno.EACCES and diag["required"] == diag["needed"]
               and diag["cost"]["places"] == [] and diag["cost"]["doubt"] is None
               and diag["cost"]["processed"]
               == programs["no_null_check"]["insns_processed"],
               "the diagnostic: errno, what was required, what it took", diag)
    page, anchor = diag.get("docs", "#").split("#")
    with open(os.path.join(os.path.dirname(__file__), "../..", page)) as text:
        tap.report(f"\n### {anchor.upper()}\n\n**{diag['title']}**\n" in text.read(),
                   "the diagnostic: its entry in the documentation", diag.get("docs"))
    check_cost(programs["endless"])
    spans = diag.get("spans", [])
    tap.report(any(s["role"] == "origin" and s["line"]["number"] == 16
                   and "bpf_map_lookup_elem" in s["text"] for s in spans)
               and all(set(s) == {"insn", "line", "role", "text"} for s in spans),
               "the diagnostic: earlier events", spans)
    tap.report(programs.get("fine", {}).get("diag", 0) is None, "accepted: no diagnostic")
    status, whole = bpfort.json("verify", file_of("empty.o", b""))
    tap.report(status == 2 and list(whole or {}) == ["error"], "an error is an object too", whole)


def check_explain():
    status, whole = bpfort.json("explain")
    every = (whole or {}).get("diagnostics", [])
    tap.report(status == 0 and len(every) > 100
               and all(d["title"] and d["why"] and d["hint"] and d["class"] for d in every)
               and len({d["code"] for d in every}) == len(every),
               "explain: each code is there once, with all its words", [d for d in every if not d["why"]])
    listed = bpfort("explain").stdout.decode()
    tap.report(all(d["code"] in listed for d in every), "explain: lists all codes", listed)
    wrong = [d["code"] for d in every if bpfort.json("explain", d["code"].lower()) != (0, d)]
    tap.report(not wrong, "explain: each code alone, in lower case, is the same", wrong)
    _, verified = bpfort.json("verify", WRONG)
    code = next(p["diag"]["code"] for p in verified["programs"] if p["name"] == "no_null_check")
    text = bpfort("explain", code)
    one = next(d for d in every if d["code"] == code)
    tap.report(text.returncode == 0 and text.stdout.decode().startswith(f"{code}: {one['title']}")
               and " ".join(one["why"].split()) in " ".join(text.stdout.decode().split())
               and max(map(len, text.stdout.decode().splitlines()[:4])) <= 78,
               "explain: the code of a rejection, in lines", text)
    for word in ("F9999", "x", "F", ""):
        gives(f"explain: {word!r} is no code", 2, "explain", word, err="is no code")


def check_run():
    run = ["prog", "run", "file", PACKETS]
    status, result = bpfort.json(*run, "name", "length", "data_in", PACKET, "repeat", 50)
    tap.report(status == 0 and list(result or {}) == RUN_KEYS and result["retval"] == 50
               and result["repeat"] == 50 and result["engine"] == "interp"
               and result["isolation"] == "sfi" and result["aborted"] is None,
               "prog run --json: the keys of the format", result)
    results = set()
    engines = ["interp", "x64"]
    os.environ["XDG_CACHE_HOME"] = scratch.name
    if b"without LLVM" in bpfort("doctor").stdout:
        tap.report(True, "engine llvm # SKIP built without LLVM 19")
    else:
        engines += ["llvm", "llvm"]  # the second time, from its cache
    for engine, isolation in itertools.product(engines, ("none", "sfi-store", "sfi")):
        status, result = bpfort.json(*run, "name", "checksum", "data_in", PACKET, "engine",
                                     engine, "isolation", isolation)
        tap.report(status == 0 and result["engine"] == engine
                   and result["isolation"] == isolation and result["aborted"] is None,
                   f"engine {engine}, isolation {isolation}", result)
        results.add((result or {}).get("retval"))
    tap.report(len(results) == 1, "all engines give the same", results)
    out = os.path.join(scratch.name, "out")
    done = bpfort(*run, "name", "swap_macs", "data_in", PACKET, "data_out", out)
    data = open(out, "rb").read() if os.path.exists(out) else b""
    tap.report(done.returncode == 0 and data[:12] == bytes(range(6, 12)) + bytes(range(6))
               and len(data) == 64, "data_out: the packet as the program left it", data)
    gives("a program must be named if there are several", 2, *run, "data_in", PACKET,
          err="there are 5 programs")
    gives("no packet", 2, *run, "name", "length", err="Invalid argument")
    gives("a missing packet file", 2, *run, "name", "length", "data_in", "/none",
          err="No such file")
    gives("an unknown engine", 2, *run, "name", "length", "engine", "warp",
          err="there is interp x64 llvm")
    gives("an unknown isolation", 2, *run, "name", "length", "isolation", "x", err="none sfi-store sfi")
    gives("a rejected program is not run", 1, "prog", "run", "file", WRONG, "name",
          "no_null_check", "data_in", PACKET, err="required:")
    big = file_of("big", bytes(2 << 20))
    gives("a packet that is too large", 2, *run, "name", "length", "data_in", big, err="too large")


def check_dump():
    dump = ["prog", "dump", "file", PACKETS]
    gives("dump: instructions in the kernel's form", 0, *dump, "name", "length", out="(95) exit")
    gives("dump: source lines", 0, *dump, "name", "count_flows",
          out="; count = bpf_map_lookup_elem(&flows, &flow);")
    gives("dump: maps by name", 0, *dump, "name", "count_flows", out="map[flows]")
    gives("dump: helpers by name", 0, *dump, "name", "count_flows",
          out="call bpf_map_lookup_elem#1")
    gives("dump: functions", 0, *dump, "name", "count_flows", out="flow_of:")
    gives("dump: rejected programs too", 0, "prog", "dump", "file", WRONG, out="endless:")
    status, whole = bpfort.json(*dump)
    names = [p["name"] for p in (whole or {}).get("programs", [])]
    tap.report(status == 0 and names == ["swap_macs", "checksum", "count_flows", "length",
                                         "classify"], "dump --json: all programs", names)
    insns = whole["programs"][3]["insns"]
    tap.report(insns[-1]["text"] == "(95) exit" and insns[0]["line"]["file"].endswith(".bpf.c"),
               "dump --json: text and line of each instruction", insns)


def boundaries(code):
    """Where binutils sees instructions, and their mnemonics."""
    path = file_of("code", code)
    listing = subprocess.run(["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel",
                              "--no-show-raw-insn", path], stdout=subprocess.PIPE, check=True)
    found = re.findall(rb"^ *([0-9a-f]+):\t(?:(?:cs|ds|gs|fs|addr32|lock|rex\S*) )*(\w+)",
                       listing.stdout, re.M)
    return {int(at, 16): word.decode() for at, word in found}


def check_dump_machine():
    dump = ["prog", "dump", "file", PACKETS, "name", "count_flows"]
    for isolation in ("none", "sfi-store", "sfi"):
        status, whole = bpfort.json(*dump, "isolation", isolation, "jited")
        program = (whole or {"programs": [{}]})["programs"][0]
        machine = [m for insn in program.get("insns", []) for m in insn["machine"]]
        machine = sorted(program.get("enter", []) + machine + program.get("leave", []),
                         key=lambda m: m["at"])
        code = bytes.fromhex("".join(m["bytes"] for m in machine))
        ends = [m["at"] + len(m["bytes"]) // 2 for m in machine]
        tap.report(status == 0 and program["engine"] == "x64"
                   and program["isolation"] == isolation
                   and [m["at"] for m in machine] == [0] + ends[:-1]
                   and ends[-1] == program["machine_bytes"] == len(code),
                   f"dump jited, {isolation}: every byte is there once", machine[:5])
        other = boundaries(code)
        # Conditions have several names.
        differ = [m for m in machine if m["text"][0] not in "jsc"
                  and other.get(m["at"], "").replace("movabs", "mov")
                  != m["text"].replace("lock ", "").split()[0]]
        tap.report(set(other) == {m["at"] for m in machine} and not differ,
                   f"dump jited, {isolation}: binutils reads the same", differ[:5])
        tap.report(any("gs:" in m["text"] for m in machine) == (isolation != "none"),
                   f"dump jited, {isolation}: accesses to the window", machine)
    gives("dump jited: a source line, its instruction and a helper by name", 0, *dump, "jited",
          out="; bpf_map_update_elem")
    gives("dump jited: source lines", 0, *dump, "jited",
          out="; count = bpf_map_lookup_elem(&flows, &flow);")
    gives("dump jited: an engine without machine code", 2, *dump, "jited", "engine", "interp",
          err="makes no machine code")
    gives("dump jited: a program that is not safe", 1, "prog", "dump", "file", WRONG, "jited",
          err="no_null_check")


def check_profile():
    profile = ["prog", "profile", "file", PACKETS, "name", "checksum", "data_in", PACKET,
               "repeat", 7]
    for engine in ("interp", "x64"):
        status, whole = bpfort.json(*profile, "engine", engine)
        whole = whole or {}
        of_line = {}
        for insn in whole.get("insns", []):
            of_line.setdefault(insn["line"]["text"], []).append(insn["count"])
        loop = of_line.get("sum = (sum ^ data[i]) * 16777619u;", [])
        tap.report(status == 0 and whole["engine"] == engine and whole["runs"] == 7
                   and whole["counted_runs"] == 7 and whole["total_ns"] > 0
                   and whole["insns_executed"] == sum(i["count"] for i in whole["insns"]),
                   f"profile: runs and time of {engine}", whole)
        tap.report(loop and set(loop) == {64 * 7} and set(of_line["seen++;"]) == {7},
                   f"profile: as often as the packet has bytes ({engine})", of_line)
    gives("profile: as text", 0, *profile, out="counted by the interpreter")
    gives("profile: a rejected program", 1, "prog", "profile", "file", WRONG, "name", "endless",
          err="endless")


def check_show():
    show = ["prog", "show", "file", PACKETS]
    for engine, isolation in (("interp", "sfi"), ("x64", "sfi-store"), ("x64", "none")):
        status, whole = bpfort.json(*show, "engine", engine, "isolation", isolation)
        programs = (whole or {}).get("programs", [])
        tap.report(status == 0 and len(programs) == 5
                   and all(p["engine"] == engine and p["isolation"] == isolation
                           and (p["machine_bytes"] > 0) == (engine == "x64")
                           and len(p["tag"]) == 16 for p in programs),
                   f"show: engine {engine}, isolation {isolation}", whole)
    tap.report("flows" in programs[2]["maps"], "show: maps by name", programs[2])
    gives("show: as a table", 0, *show, out="ISOLATION")
    gives("show: rejected programs", 1, "prog", "show", "file", WRONG, err="not loaded", out="fine")
    gives("show: no such isolation", 2, *show, "isolation", "walls", err="there is none")


def forbid_bpf():
    """From here on the kernel kills whoever calls bpf(2) or perf_event_open(2)."""
    load, equal, end = 0x20, 0x15, 0x06
    rows = [(load, 0, 0, 0), (equal, 2, 0, 321), (equal, 1, 0, 298), (end, 0, 0, 0x7fff0000),
            (end, 0, 0, 0x80000000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *r) for r in rows))
    fprog = struct.pack("<HxxxxxxQ", len(rows), ctypes.addressof(program))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, fprog, 0, 0):
        os._exit(99)


def check_kernel_is_left_alone():
    """What is wrapped is all that libbpf calls."""
    probe = bpfort("verify", PACKETS, preexec_fn=forbid_bpf)
    tap.report(probe.returncode == 0, "verify never calls the kernel's bpf(2)", probe)
    done = bpfort("prog", "run", "file", PACKETS, "name", "count_flows", "data_in", PACKET,
                  preexec_fn=forbid_bpf)
    tap.report(done.returncode == 0, "prog run never calls the kernel's bpf(2)", done)
    calls = "import ctypes; ctypes.CDLL(None).syscall(321, 0, 0, 0)"
    caller = subprocess.run([sys.executable, "-c", calls], preexec_fn=forbid_bpf)
    tap.report(caller.returncode == -signal.SIGSYS, "and that would have been noticed", caller)


def check_doctor():
    status, whole = bpfort.json("doctor")
    tap.report(status == 0 and whole["works"] is True and len(whole["checks"]) >= 10
               and all(c["state"] == "ok" or c["fix"] for c in whole["checks"]),
               "doctor: each check that is not ok says what helps", whole)
    done = bpfort("doctor", preexec_fn=lambda: __import__("resource").setrlimit(
        __import__("resource").RLIMIT_AS, (2 << 30, 2 << 30)))
    if b"Sanitizer" in done.stderr:
        tap.skip("doctor: too little address space", "sanitizers need it themselves")
    else:
        tap.report(done.returncode == 1 and b"ulimit -v unlimited" in done.stdout,
                   "doctor: too little address space is found, and how to fix it", done)


check_help()
check_verify()
check_verify_json()
check_log()
check_explain()
check_run()
check_dump()
check_dump_machine()
check_profile()
check_show()
check_kernel_is_left_alone()
check_doctor()
tap.end()
