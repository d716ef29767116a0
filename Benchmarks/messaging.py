#!/usr/bin/env python3
"""The benchmark of messaging: ours beside raw UCX (ucx_perftest) and Starway 0.6.0, two processes, over shared memory and TCP.

Every run starts every peer of a case once, in fresh processes, so that a slow moment of the machine hits all; medians over runs, and
ratios run by run. The processes go before other sessions' work where that is allowed (root).
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from machine import machine  # noqa: E402
from messages import report  # noqa: E402
from messages.cases import cases  # noqa: E402
from messages.peers import PEERS, install_starway  # noqa: E402
from messages.processes import Failed  # noqa: E402


def arguments():
    names = list(cases(False))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=f"cases: {' '.join(names)}; peers: {' '.join(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="one short run: does everything work? Not for figures")
    parser.add_argument("--only", metavar="CASE,...", help="only these cases; a beginning of their names is enough")
    parser.add_argument("--peers", metavar="NAME,...", help="only these peers")
    parser.add_argument("--runs", type=int, help="fresh runs of each (5)")
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parent / "build" / "bench", help="folder for messaging.json and messaging.md")
    parser.add_argument("--publish", action="store_true", help="also put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 5)
    options.cases = cases(options.quick)
    if options.only:
        wanted = options.only.split(",")
        for word in wanted:
            if not any(name.startswith(word) for name in names):
                parser.error(f"no case '{word}'; there are {' '.join(names)}")
        options.cases = {name: case for name, case in options.cases.items() if any(name.startswith(word) for word in wanted)}
    options.allowed = options.peers.split(",") if options.peers else list(PEERS)
    for name in options.allowed:
        if name not in PEERS:
            parser.error(f"no peer '{name}'; there are {' '.join(PEERS)}")
    return options


def facts() -> dict:
    try:
        text = subprocess.run(["ucx_info", "-v"], capture_output=True, text=True).stdout
    except OSError:
        text = ""
    version = re.search(r"(\d+\.\d+\.\d+)", text)
    found = machine()
    return {**found, "ucx": version.group(1) if version else "?", "time": f"{found['time']} UTC"}


def main() -> int:
    options = arguments()
    if "starway" in options.allowed:
        install_starway()
    results = {"machine": facts(), "runs": options.runs, "missing": {}, "cases": {}, "problems": []}
    try:
        for name, case in options.cases.items():
            peers = []
            for peer in (PEERS[peer] for peer in case.peers if peer in options.allowed):
                why = peer.missing()
                if why:
                    results["missing"][peer.title] = why
                else:
                    peers.append(peer)
            entry = results["cases"][name] = {peer.name: [] for peer in peers}
            for index in range(options.runs):
                for peer in peers:
                    began, figures = time.monotonic(), None
                    try:
                        figures = peer.run(case)
                    except (Failed, OSError, ValueError) as error:  # a failure is told and the others go on
                        problem = f"{name}, run {index + 1}, {peer.title}: {str(error)[:300]}"
                        results["problems"].append(problem)
                        print("  " + problem, file=sys.stderr)
                    entry[peer.name].append(figures)
                    shown = ", ".join(f"{key} {value:.4g}" for key, value in (figures or {}).items())
                    print(f"{name} {index + 1}/{options.runs} {peer.name}: {shown} ({time.monotonic() - began:.1f} s)", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("bench: interrupted; the report has what was measured so far", file=sys.stderr)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "messaging.json").write_text(json.dumps(results, indent=1) + "\n")
    table = report.markdown(results)
    (options.output / "messaging.md").write_text(table)
    print(table)
    print(f"written: {options.output}/messaging.json, messaging.md", file=sys.stderr)
    if options.publish:
        report.publish(HERE.parent / "docs" / "benchmarks.md", results)
    return 1 if results["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
