"""TAP for the tests of this folder, and running bpfort."""
import json
import subprocess
import sys


class Tap:
    def __init__(self):
        self.number, self.failures = 0, 0

    def report(self, ok, name, why=""):
        self.number += 1
        self.failures += not ok
        print(f"{'' if ok else 'not '}ok {self.number} - {name}", flush=True)
        if not ok:
            for line in str(why).splitlines()[:40]:
                print(f"# {line}")

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}", flush=True)

    def end(self):
        print(f"1..{self.number}")
        sys.exit(1 if self.failures else 0)


class Bpfort:
    """Runs the program at `path`."""

    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments, seconds=60, **others):
        return subprocess.run([self.path, *map(str, arguments)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=seconds, **others)

    def json(self, *arguments, **others):
        """Exit status, and the object that --json prints (None if it is none)."""
        done = self(*arguments, "--json", **others)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, None


def crashed(done):
    """Signs of one of our own crashes, also under sanitizers."""
    text = done.stderr.decode(errors="replace")
    return done.returncode < 0 or done.returncode > 2 or "Sanitizer" in text \
        or "runtime error:" in text
