"""Tables out of results: medians over runs, ratios run by run."""

import pathlib
import statistics

from page import replace

from .cases import MIB, cases, goals
from .peers import PEERS

BEGIN, END = "<!-- messaging:begin -->", "<!-- messaging:end -->"


def middle(runs, key):
    values = [figures[key] for figures in runs if figures and figures.get(key) is not None]
    return statistics.median(values) if values else None


def number(value) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(rounds, peer, key):
    """The median of the paired ratios to raw UCX."""
    if peer == "raw" or "raw" not in rounds:
        return None
    pairs = [(mine, raw) for mine, raw in zip(rounds.get(peer, []), rounds["raw"]) if mine and raw and mine.get(key) and raw.get(key)]
    return statistics.median(mine[key] / raw[key] for mine, raw in pairs) if pairs else None


def row(case, rounds, peer) -> list[str]:
    runs = rounds[peer]
    if case.kind == "ping":
        cells = [f"{number(middle(runs, key) / 1000 if middle(runs, key) else None)} µs" for key in ("rtt_ns", "p99_ns")]
    elif case.kind in ("stream", "duplex") and case.size < MIB:
        rate = middle(runs, "rate")
        cells = [f"{number(rate / 1e6 if rate else None)} M/s", f"{number(1e6 / rate if rate else None)} µs each"]
    elif case.kind in ("stream", "duplex"):
        cells = [f"{number(middle(runs, 'gigabytes'))} GB/s", ""]
    elif case.kind == "idle":
        cells = [f"{number(middle(runs, 'idle_percent'))} % of a core", ""]
    else:
        times = [middle(runs, key) for key in ("rtt_one_ns", "rtt_many_ns", "p99_many_ns")]
        cells = [
            " / ".join(number(value / 1000 if value else None) for value in times[:2]) + " µs alone / among them",
            f"{number(times[2] / 1000 if times[2] else None)} µs; each {number(middle(runs, 'server_kib'))} / {number(middle(runs, 'client_kib'))} KiB"
            " server / client",
        ]
    times_raw = ratio(rounds, peer, case.figure)
    return [case.title, PEERS[peer].title, *cells, f"{times_raw:.2f} x" if times_raw else ""]


def markdown(results: dict) -> str:
    machine, known = results["machine"], cases(False)
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, UCX {machine['ucx']}, commit {machine['commit']}, "
        f"{machine['time']}, load before {machine['load before']:.1f}; {results['runs']} runs, medians.",
        "",
        "| case | who | median | p99, or each | of raw UCX |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, rounds in results["cases"].items():
        for peer in rounds:
            lines.append("| " + " | ".join(row(known[name], rounds, peer)) + " |")
    lines += ["", "| goal | for | wanted | found | |", "| --- | --- | --- | ---: | --- |"]
    for goal in goals():
        rounds = results["cases"].get(goal.case, {})
        value = goal.found(rounds)
        if value is None:
            continue
        what = {"p99_ns": ", p99", "slower": ": round trip among them"}.get(goal.figure, "")
        unit = f" x {PEERS[goal.of].title}" if goal.of else f" {goal.unit}" if goal.unit else " x alone"
        met = "met" if goal.is_met(value) else "**missed**"
        found = f"{value:.2f} x" if not goal.unit else f"{number(value)} {goal.unit}"
        lines.append(f"| {known[goal.case].title}{what} | {PEERS[goal.peer].title} | {goal.sign} {goal.limit:g}{unit} | {found} | {met} |")
    lines.append("")
    lines += [f"- without {name}: {why}" for name, why in results["missing"].items()]
    lines += [f"- {problem}" for problem in results["problems"]]
    return "\n".join(lines).rstrip() + "\n"


def publish(page: pathlib.Path, results: dict):
    """Replaces what stands between the marks of the page."""
    replace(page, BEGIN, END, markdown(results))
