#!/usr/bin/env python3
"""Every test, with one number at the end: lint, unit and simulated (swift test), end to end (Tests/EndToEnd), the Python
package and the C ABI (Tests/Python).

One debug build for the unit tests and one release build for the end-to-end tests; then one suite after the other. The last
line stands alone and counts all: `N passed, N failed`. With CI=true a skipped test is a failure.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
STRICT = os.environ.get("CI") == "true"


class Suite:
    """A command whose output is told when it ends, as counts and what failed."""

    def __init__(self, name: str, words: list, count):
        self.name, self.words, self.count = name, [str(w) for w in words], count
        self.passed = self.failed = 0

    def run(self):
        started = time.monotonic()
        done = subprocess.run(self.words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.passed, self.failed, story = self.count(done.stdout)
        if done.returncode != 0 and self.failed == 0:  # it broke instead of failing
            self.failed, story = 1, done.stdout[-6000:]
        print(f"── {self.name}: {self.passed} passed, {self.failed} failed ({time.monotonic() - started:.0f} s)")
        if story.strip():
            print(story.rstrip())
        sys.stdout.flush()


def of_swift(output: str) -> tuple[int, int, str]:
    """Swift Testing's lines: a symbol, then `Test NAME passed after` and its kin."""
    passed = len(re.findall(r"(?m)^\S+ +Test (?!run with |case ).*? passed after ", output))
    failed = len(re.findall(r"(?m)^\S+ +Test (?!run with |case ).*? failed after ", output))
    skipped = re.findall(r"(?m)^\S+ +Test (?!run with |case ).*? skipped.*$", output)
    lines = [line for line in output.splitlines() if re.search(r"recorded an issue|failed after|Fatal error|error:|^\s*↳(?! T\w+ (Library|Platform))|◇.*\bcrash", line)]
    if skipped:
        lines += [f"{'FAIL' if STRICT else 'skip'}  {line}" for line in skipped]
    return passed, failed + (len(skipped) if STRICT else 0), "\n".join(lines[:400])


def of_end_to_end(output: str) -> tuple[int, int, str]:
    found = re.findall(r"(?m)^(\d+) passed, (\d+) failed$", output)
    if not found:
        return 0, 1, output[-6000:]
    return int(found[-1][0]), int(found[-1][1]), "\n".join(output.splitlines()[:-1])


def step(name: str, words: list) -> bool:
    """A build or check that everything after it needs."""
    started = time.monotonic()
    print(f"── {name}", flush=True)
    done = subprocess.run([str(w) for w in words], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        errors = [line for line in lines if re.search(r"error:|lint:|: warning:", line)]
        print("\n".join((errors or lines)[-120:]), flush=True)
    else:
        print(f"   {lines[-1] if lines else 'done'} ({time.monotonic() - started:.0f} s)", flush=True)
    return done.returncode == 0


def python_of_the_system() -> str:
    """The interpreter that `make setup` installs NumPy and uvloop for; another one first in PATH has its own packages, or none."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def other_ucx() -> None:
    """The oldest and the newest UCX of PyPI, beside the system's, in the build folder: engines run on them too, and refuse to mix."""
    libraries = []
    for name, version in (("ucx-wheel-oldest", "1.14.1.post1"), ("ucx-wheel", "1.22.0")):
        folder = REPOSITORY / ".build" / name
        library = folder / "libucx" / "lib"
        if not (library / "libucp.so.0").exists():
            words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, f"libucx-cu12=={version}"]
            if not step(f"UCX {version}", words):
                return  # its tests tell that they were skipped
        libraries.append(str(library))
    os.environ["CAUSEWAY_TEST_UCX"] = ":".join(libraries)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="FILE[.CLASS[.TEST]]", help="only these end-to-end tests, and no unit tests")
    parser.add_argument("--filter", metavar="REGEX", help="only these unit tests, and no end-to-end tests")
    parser.add_argument("--python", action="store_true", help="only the tests of the Python package and the C ABI")
    options = parser.parse_args()
    want_unit = not options.only and not options.python
    want_end = not options.filter and not options.python
    want_python = not options.only and not options.filter
    everything = want_unit and want_end
    suites, broken = [], 0
    if everything and not step("lint", ["scripts/lint.sh"]):
        broken += 1
    if want_unit:
        if "CAUSEWAY_TEST_UCX" not in os.environ:
            other_ucx()
        if step("debug build with tests", ["swift", "build", "--build-tests"]):
            words = ["swift", "test", "--skip-build", *(["--filter", options.filter] if options.filter else [])]
            suites.append(Suite("unit and simulated", words, of_swift))
        else:
            broken += 1
    if want_end:
        built = os.environ.get("CAUSEWAY_BIN") or step("release build", ["scripts/build.sh"])
        if built and (os.environ.get("CAUSEWAY_EMULATOR") or step("tools", ["scripts/build-tools.sh", "link-emulator", "messaging-peer"])):
            words = [sys.executable, "Tests/EndToEnd/run.py", *(["--only", options.only] if options.only else [])]
            suites.append(Suite("end to end", words, of_end_to_end))
        else:
            broken += 1
    if want_python:
        if step("Python package", [sys.executable, "scripts/wheel.py", "--develop"]):
            suites.append(Suite("python", [python_of_the_system(), "Tests/Python/run.py"], of_end_to_end))
        else:
            broken += 1
    # One after the other: unit tests take every core, and end-to-end tests wait for real time.
    for suite in suites:
        suite.run()
    passed, failed = sum(s.passed for s in suites), sum(s.failed for s in suites) + broken
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
