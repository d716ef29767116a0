"""Tables out of results: medians over rounds."""

import math
import pathlib
import statistics

from page import replace

BEGIN, END = "<!-- bond:begin -->", "<!-- bond:end -->"


def median(rounds: list[dict], key: str):
    values = [values[key] for values in rounds if values.get(key) is not None]
    return statistics.median(values) if values else None


def number(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and math.isinf(value):
        return "∞"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def runs_table(case: dict, lengths: list[float]) -> list[str]:
    """Throughput cases: a row for each peer."""
    flows = sorted({int(key.split("f_t")[0]) for rounds in case["peers"].values() for values in rounds for key in values if "f_t" in key})
    columns = [(count, seconds) for count in flows for seconds in lengths]
    head = ["peer", *(f"{count} flow{'s' if count > 1 else ''}, {seconds:g} s" for count, seconds in columns)]
    head += ["ping p50 / p99 ms (1 flow)", "CPU s per Gbit", "idle RTT ms"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for peer, rounds in case["peers"].items():
        row = [peer]
        for count, seconds in columns:
            value = median(rounds, f"{count}f_t{seconds:g}_mbit")
            share = f" ({value / case['limit'] * 100:.0f} %)" if value and case["limit"] and peer.startswith("bond") else ""
            row.append(number(value) + share)
        first = f"{flows[0]}f_t{lengths[0]:g}" if flows else ""
        p50, p99 = median(rounds, first + "_ping_p50_ms"), median(rounds, first + "_ping_p99_ms")
        row.append(f"{number(p50)} / {number(p99)}")
        row += [number(median(rounds, first + "_cpu_s_per_gbit")), number(median(rounds, "idle_rtt_ms"))]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def plain_table(case: dict) -> list[str]:
    """Everything else: a row for each figure, a column for each peer."""
    peers = list(case["peers"])
    keys = list(dict.fromkeys(key for rounds in case["peers"].values() for values in rounds for key in values))
    lines = ["| figure | " + " | ".join(peers) + " |", "|" + " --- |" * (len(peers) + 1)]
    for key in keys:
        lines.append(f"| {key.replace('_', ' ')} | " + " | ".join(number(median(case["peers"][peer], key)) for peer in peers) + " |")
    return lines


def markdown(results: dict) -> str:
    machine = results["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, congestion control {machine['congestion']}, "
        f"commit {machine['commit']}, {machine['time']}; medians of {results['rounds']}; Mbit/s of the receiver, download.",
        "",
    ]
    for case in results["cases"].values():
        if not any(case["peers"].values()):
            continue
        limit = f"; limit through the bond {case['limit']:.1f} Mbit/s" if case["limit"] else ""
        lines += [f"**{case['title']}**{limit}", ""]
        runs = any("f_t" in key for rounds in case["peers"].values() for values in rounds for key in values)
        lines += runs_table(case, results["lengths"]) if runs else plain_table(case)
        lines.append("")
    for name, why in results["missing"].items():
        lines.append(f"- without {name}: {why}")
    for problem in results["problems"]:
        lines.append(f"- {problem}")
    return "\n".join(lines) + "\n"


def publish(page: pathlib.Path, results: dict):
    """Replaces what stands between the marks of the page."""
    replace(page, BEGIN, END, markdown(results))
