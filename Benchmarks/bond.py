#!/usr/bin/env python3
"""The benchmark of the bond: ours beside direct, MPTCP and wireguard-go, in namespaces with shaped, lossy and dying links. Needs root.

Every round runs every peer of a case once, so that a slow moment of the machine hits all; medians over rounds. Downloads; rates are the
receiver's of whole runs of iperf3, 40 s and 8 s.
"""

import argparse
import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Tests" / "EndToEnd")]

from bonding import report  # noqa: E402
from bonding.cases import Plan, cases, run_case  # noqa: E402
from bonding.peers import PEERS  # noqa: E402
from machine import machine  # noqa: E402
from harness.netns import missing_for_networks  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="cases: " + " ".join(cases(0)) + "; peers: " + " ".join(PEERS))
    parser.add_argument("--quick", action="store_true", help="one round of short runs: does everything work? Not for figures")
    parser.add_argument("--only", metavar="CASE,...", help="only these cases; 'pair' means all pairs")
    parser.add_argument("--peers", metavar="NAME,...", help="only these peers")
    parser.add_argument("--rounds", type=int, help="rounds (3)")
    parser.add_argument("--seconds", metavar="LONG[,SHORT]", help="lengths of the runs (40,8)")
    parser.add_argument("--seed", type=int, default=3, help="of unequal pairs, loss and moments of faults (3)")
    parser.add_argument("--congestion", metavar="NAME", help="the inner TCP's congestion control (the system's)")
    parser.add_argument("--output", type=pathlib.Path, default=HERE.parent / "build" / "bench", help="folder for bond.json and bond.md")
    parser.add_argument("--publish", action="store_true", help="also put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    lengths = [float(part) for part in options.seconds.split(",")] if options.seconds else [5, 5] if options.quick else [40, 8]
    options.plan = Plan(options.quick, lengths[0], lengths[-1], 200 if options.quick else 600, options.congestion)
    options.cases = cases(options.seed)
    if options.only:
        wanted = options.only.split(",")
        chosen = {name: case for name, case in options.cases.items() if name in wanted or ("pair" in wanted and name.startswith("pair-"))}
        unknown = [name for name in wanted if name != "pair" and name not in options.cases]
        if unknown:
            parser.error(f"no case '{unknown[0]}'; there are {' '.join(options.cases)}")
        options.cases = chosen
    if options.peers:
        for name in options.peers.split(","):
            if name not in PEERS:
                parser.error(f"no peer '{name}'; there are {' '.join(PEERS)}")
    return options


def facts(options) -> dict:
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return {**machine(), "congestion": options.congestion or congestion}


def main() -> int:
    options = arguments()
    why = missing_for_networks()
    if why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    results = {
        "machine": facts(options), "rounds": options.rounds, "lengths": options.plan.lengths, "seed": options.seed,
        "missing": {}, "cases": {}, "problems": [],
    }  # fmt: skip
    allowed = options.peers.split(",") if options.peers else list(PEERS)
    try:
        for name, case in options.cases.items():
            entry = results["cases"][name] = {"title": case.title, "limit": case.limit, "peers": {}}
            peers = []
            for peer in (PEERS[peer] for peer in case.peers if peer in allowed):
                why = peer.missing()
                if why:
                    results["missing"][peer.name] = why
                else:
                    peers.append(peer)
            for index in range(options.rounds):
                for peer in peers:
                    began = time.monotonic()
                    try:
                        entry["peers"].setdefault(peer.name, []).append(run_case(case, peer, options.plan, options.seed + index))
                    except Exception as error:  # a failure is told and the others go on
                        problem = f"{name} {peer.name}: {type(error).__name__}: {str(error)[:600]}"
                        results["problems"].append(problem)
                        print("  " + problem, file=sys.stderr)
                    print(f"{name} round {index + 1}/{options.rounds} {peer.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("bench: interrupted; the report has what was measured so far", file=sys.stderr)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "bond.json").write_text(json.dumps(results, indent=1) + "\n")
    table = report.markdown(results)
    (options.output / "bond.md").write_text(table)
    print(table)
    print(f"written: {options.output}/bond.json, bond.md", file=sys.stderr)
    if options.publish:
        report.publish(HERE.parent / "docs" / "benchmarks.md", results)
    return 1 if results["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
