#!/usr/bin/env python3
"""The benchmark: ours beside direct, two nginx hops (plain, TLS 1.3), ssh -R, and chisel and frp where installed.

Every round runs every peer once, so that a slow moment of the machine hits all; medians over rounds, ratios round by round.
"""

import argparse
import json
import pathlib
import resource
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Tests" / "EndToEnd")]

import report  # noqa: E402
from figures import FIGURES, Plan  # noqa: E402
from machine import machine  # noqa: E402
from peers import PEERS, Ground  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="figures: " + " ".join(FIGURES) + "; peers: " + " ".join(PEERS))
    parser.add_argument("--quick", action="store_true", help="one short round: does everything run? Not for figures")
    parser.add_argument("--only", metavar="NAME,...", help="only these figures")
    parser.add_argument("--peers", metavar="NAME,...", help="only these peers")
    parser.add_argument("--rounds", type=int, help="rounds (5)")
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parent / "build" / "bench", help="folder for results.json, table.md, plot.svg")
    parser.add_argument("--publish", action="store_true", help="also put table and plot into docs/benchmarks.md")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.only = choose(parser, "figure", options.only, FIGURES)
    options.peers = choose(parser, "peer", options.peers, PEERS)
    return options


def choose(parser, what, text, known):
    names = text.split(",") if text else list(known)
    for name in names:
        if name not in known:
            parser.error(f"no {what} '{name}'; there are {' '.join(known)}")
    return names


def measure(peer_class, ground, names, plan, problems) -> dict:
    """All wanted figures of one peer in one round. A figure that fails is a problem that is told, not an end."""
    values, peer = {}, None
    try:
        for name in names:
            function, fresh = FIGURES[name]
            try:
                if peer and fresh:
                    peer.stop()
                    peer = None
                peer = peer or peer_class(ground)
                found = function(peer, plan)
                values.update({key: value for key, value in found.items() if value is not None})
            except Exception as error:
                problem = f"{peer_class.name} {name}: {type(error).__name__}: {str(error)[:600]}"
                problems.append(problem)
                print("  " + problem, file=sys.stderr)
                if peer:
                    peer.stop()
                    peer = None
    finally:
        if peer:
            peer.stop()
    return values


def main() -> int:
    options = arguments()
    plan = Plan(options.quick)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = {"machine": machine(), "rounds": options.rounds, "quick": options.quick, "missing": {}, "peers": {}, "problems": []}
    peers = []
    for name in options.peers:
        why = PEERS[name].missing()
        if why:
            results["missing"][name] = why
            print(f"bench: without {name}: {why}", file=sys.stderr)
        else:
            peers.append(PEERS[name])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="causeway-bench-"))
    ground = None
    try:
        ground = Ground(folder, plan.bulk_mib)
        for index in range(options.rounds):
            for peer in peers:
                started = time.monotonic()
                values = measure(peer, ground, options.only, plan, results["problems"])
                results["peers"].setdefault(peer.name, []).append(values)
                print(f"round {index + 1}/{options.rounds} {peer.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("bench: interrupted; the report has what was measured so far", file=sys.stderr)
    finally:
        if ground:
            ground.stop()
        shutil.rmtree(folder, ignore_errors=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    table = report.markdown(results)
    (options.output / "table.md").write_text(table)
    (options.output / "plot.svg").write_text(report.plot(results))
    print(table)
    print(f"written: {options.output}/results.json, table.md, plot.svg", file=sys.stderr)
    if options.publish:
        report.publish(HERE.parent / "docs", results)
    return 1 if results["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
