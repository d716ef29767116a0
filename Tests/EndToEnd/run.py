#!/usr/bin/env python3
"""Runs the end-to-end tests: every class in a process of its own, several side by side, `patient` ones (that mostly
wait) beside them, `exclusive` ones alone at the end.

  run.py                          all
  run.py --only http              one file (test_http.py); also http.Bodies and http.Bodies.test_sizes
  run.py --list                   what there is
  CAUSEWAY_BIN=PATH run.py …      another binary than build/causeway

The last line is alone on its line: `N passed, N failed`. With CI=true a skip is a failure.
"""

import argparse
import concurrent.futures
import importlib
import inspect
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness.cases import Case  # noqa: E402

CLASS_SECONDS = 420
PATIENT_JOBS = 4


def classes() -> dict[str, type]:
    """`file.Class` for every test class, file by file."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, value in vars(module).items():
            if inspect.isclass(value) and issubclass(value, Case) and value.__module__ == path.stem:
                if unittest.defaultTestLoader.getTestCaseNames(value):
                    found[f"{path.stem.removeprefix('test_')}.{name}"] = value
    return found


def chosen(all_classes, only: list[str]) -> dict[str, list[str]]:
    """Class name to its wanted tests."""
    plan: dict[str, list[str]] = {}
    for name, value in all_classes.items():
        for test in unittest.defaultTestLoader.getTestCaseNames(value):
            full = f"{name}.{test}"
            if not only or any(full == word or full.startswith(word + ".") for word in only):
                plan.setdefault(name, []).append(test)
    return plan


class Result(unittest.TestResult):
    """Collects verdicts; a test with failing rows fails once, with every row's message."""

    def __init__(self):
        super().__init__()
        self.messages: dict[str, list[str]] = {}
        self.passed: list[str] = []
        self.skips: list[tuple[str, str]] = []
        self.times: dict[str, float] = {}

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        name = test._testMethodName
        self.times[name] = time.monotonic() - self.began
        skipped = any(name == n for n, _ in self.skips)
        if name not in self.messages and not skipped:
            self.passed.append(name)

    def note(self, test, error, row=""):
        text = self._exc_info_to_string(error, test)
        self.messages.setdefault(getattr(test, "_testMethodName", str(test)), []).append(row + text)

    def addError(self, test, error):
        self.note(test, error)

    def addFailure(self, test, error):
        self.note(test, error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.note(test, error, f"[{subtest._subDescription()}] ")

    def addSkip(self, test, reason):
        self.skips.append((getattr(test, "_testMethodName", str(test)), reason))


def run_class(name: str, tests: list[str]):
    """In the child: one class, its verdicts as JSON on file descriptor 3."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    value = classes()[name]
    result = Result()
    unittest.TestSuite(value(test) for test in tests).run(result)
    whole_class_skipped = not result.testsRun and result.skips
    skips = [(test, result.skips[0][1]) for test in tests] if whole_class_skipped else result.skips
    verdict = {"passed": result.passed, "failed": result.messages, "skipped": skips, "times": result.times}
    with os.fdopen(3, "w") as out:
        json.dump(verdict, out)


def spawn(name: str, tests: list[str]) -> dict:
    """A child for one class, in a session of its own; what it leaves behind is ended with it."""
    read, write = os.pipe()
    words = [sys.executable, str(HERE / "run.py"), "--run-class", name, *tests]

    def give_descriptor():
        os.dup2(write, 3)
        os.set_inheritable(3, True)

    child = subprocess.Popen(words, preexec_fn=give_descriptor, close_fds=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(write)
    try:
        noise, _ = child.communicate(timeout=CLASS_SECONDS)
        with os.fdopen(read) as stream:
            verdict = json.loads(stream.read() or "null")
    except subprocess.TimeoutExpired:
        child.kill()
        noise, _ = child.communicate()
        verdict = {"passed": [], "failed": {"the class": [f"took longer than {CLASS_SECONDS} s"]}, "skipped": [], "times": {}}
    if verdict is None:
        verdict = {"passed": [], "failed": {"the class": [noise.decode("utf-8", "replace")[-4000:]]}, "skipped": [], "times": {}}
    verdict["noise"] = noise.decode("utf-8", "replace")
    return verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="FILE[.CLASS[.TEST]]", help="repeat or separate by commas")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-j", "--jobs", type=int, default=max(2, os.cpu_count() or 1))
    parser.add_argument("-v", "--verbose", action="store_true", help="name every test with its time, and what it printed")
    parser.add_argument("--run-class", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run_class:
        run_class(options.run_class[0], options.run_class[1:])
        return 0
    everything = classes()
    only = [word for words in options.only for word in words.split(",")]
    plan = chosen(everything, only)
    if options.list:
        for name, tests in plan.items():
            for test in tests:
                print(f"{name}.{test}")
        return 0
    if not plan:
        print(f"nothing is called {', '.join(only)}; see --list", file=sys.stderr)
        return 2
    strict = os.environ.get("CI") == "true"
    passed = failed = skipped = 0
    shared = [n for n in plan if not everything[n].exclusive]
    alone = [n for n in plan if everything[n].exclusive]

    def tell(name, verdict):
        nonlocal passed, failed, skipped
        passed += len(verdict["passed"])
        failed += len(verdict["failed"])
        skipped += len(verdict["skipped"])
        if options.verbose:
            for test in verdict["passed"]:
                print(f"ok    {name}.{test} ({verdict['times'].get(test, 0):.1f} s)")
            if verdict["noise"]:
                print(verdict["noise"])
        for test, messages in verdict["failed"].items():
            print(f"FAIL  {name}.{test}")
            for message in messages:
                print("      " + message.rstrip().replace("\n", "\n      "))
        for reason in sorted({reason for _, reason in verdict["skipped"]}):
            count = sum(1 for _, r in verdict["skipped"] if r == reason)
            print(f"{'FAIL' if strict else 'skip'}  {name}: {count} skipped: {reason}")
        sys.stdout.flush()

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool, concurrent.futures.ThreadPoolExecutor(PATIENT_JOBS) as waiting:
        futures = {(waiting if everything[n].patient else pool).submit(spawn, n, plan[n]): n for n in shared}
        for future in concurrent.futures.as_completed(futures):
            tell(futures[future], future.result())
    for name in alone:
        tell(name, spawn(name, plan[name]))
    if skipped and not strict:
        print(f"{skipped} skipped")
    failed += skipped if strict else 0
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
