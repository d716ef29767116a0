#!/usr/bin/env python3
"""The tests of the Python package and of the C ABI beneath it. Needs `scripts/wheel.py --develop` first."""

import argparse
import pathlib
import sys
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these: test_messages, test_messages.Ends, …")
    options = parser.parse_args()
    sys.path.insert(0, str(FOLDER))
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(options.names) if options.names else loader.discover(str(FOLDER))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2 if options.names else 1).run(suite)
    bad = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
    failed = len({getattr(test, "test_case", test).id() for test in bad})  # a test may fail in several of its rows
    passed = result.testsRun - failed - len(result.skipped)
    sys.stdout.flush()
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    code = main()
    sys.exit(code)
