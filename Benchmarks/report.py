"""From rounds to a table, verdicts and a plot. Reads nothing but the results; `report.py results.json DOCS` publishes."""

import html
import json
import pathlib
import statistics
import sys

from page import replace

TITLES = {
    "direct": "direct",
    "nginx2": "2 nginx hops",
    "nginx2tls": "2 nginx hops, TLS",
    "ssh": "ssh -R",
    "chisel": "chisel",
    "frp": "frp",
    "ours": "causeway",
    "ours-tls": "causeway, TLS",
    "ours-ws": "causeway, WebSocket",
}

# key, title, unit, digits, more is better
ROWS = [
    ("c64 cpu", "CPU for a 1 KiB request, 64 connections", "µs", 1, False),
    ("c64 rate", "requests a second, 1 KiB, 64 connections", "1/s", 0, True),
    ("c256 rate", "requests a second, 1 KiB, 256 connections", "1/s", 0, True),
    ("c64 p99", "p99, 64 connections", "µs", 0, False),
    ("c1 p50", "p50, one connection", "µs", 0, False),
    ("c1 rate", "requests a second, one connection", "1/s", 0, True),
    ("close rate", "new connections a second (16)", "1/s", 0, True),
    ("close cpu", "CPU for a request on a new connection", "µs", 1, False),
    ("download rate", "1 GiB down", "Gbit/s", 2, True),
    ("download cpu", "CPU for 1 GiB down", "s", 2, False),
    ("upload rate", "1 GiB up", "Gbit/s", 2, True),
    ("upload cpu", "CPU for 1 GiB up", "s", 2, False),
    ("rtt p50", "TCP, 64-byte round trip, p50", "µs", 1, False),
    ("beside bulk p50", "TCP round trip beside a bulk download, p50", "µs", 1, False),
    ("beside bulk p99", "TCP round trip beside a bulk download, p99", "µs", 0, False),
    ("beside stalled", "rate kept beside stalled streams", "x", 2, True),
    ("ws relay", "memory for an idle WebSocket, relay", "KiB", 1, False),
    ("ws client", "memory for an idle WebSocket, client", "KiB", 1, False),
    ("stalled growth", "growth by 64 stalled downloads", "MiB", 1, False),
    ("half-close", "half-close passes", "yes/no", 0, True),
    ("cut right", "1 GiB through three cuts: right hash", "yes/no", 0, True),
    ("cut extra", "the cuts' extra time", "s", 2, False),
    ("allocations relay", "allocations for a request, relay", "", 2, False),
    ("allocations client", "allocations for a request, client", "", 2, False),
    ("idle relay", "idle relay, resident", "MiB", 1, False),
    ("idle client", "idle client, resident", "MiB", 1, False),
    ("version", "causeway version", "ms", 1, False),
]

# key, peer, beside (another peer, or None for an absolute figure), "<=" or ">=", bound
GOALS = [
    ("c64 cpu", "ours", "nginx2", "<=", 0.88),
    ("c64 cpu", "ours-tls", "nginx2tls", "<=", 0.88),
    ("c64 rate", "ours", "nginx2", ">=", 1.15),
    ("c64 rate", "ours-tls", "nginx2tls", ">=", 1.15),
    ("c256 rate", "ours", "nginx2", ">=", 1.15),
    ("c256 rate", "ours-tls", "nginx2tls", ">=", 1.15),
    ("c1 p50", "ours", "nginx2", "<=", 1.0),
    ("c1 p50", "ours-tls", "nginx2tls", "<=", 1.0),
    ("close rate", "ours", "nginx2", ">=", 1.0),
    ("close rate", "ours-tls", "nginx2tls", ">=", 1.0),
    ("download rate", "ours", "nginx2", ">=", 1.0),
    ("download rate", "ours-tls", "nginx2tls", ">=", 1.0),
    ("download cpu", "ours", "nginx2", "<=", 0.96),
    ("download cpu", "ours-tls", "nginx2tls", "<=", 0.83),
    ("upload rate", "ours", "nginx2", ">=", 1.3),
    ("upload rate", "ours-tls", "nginx2tls", ">=", 1.3),
    ("upload cpu", "ours", "nginx2", "<=", 0.70),
    ("upload cpu", "ours-tls", "nginx2tls", "<=", 0.72),
    ("rtt p50", "ours", "nginx2", "<=", 1.0),
    ("rtt p50", "ours-tls", "nginx2tls", "<=", 1.0),
    *((key, peer, None, "<=", bound) for peer in ("ours", "ours-tls") for key, bound in (
        ("beside bulk p99", 2000), ("ws relay", 8), ("ws client", 8), ("stalled growth", 20), ("cut extra", 1.5),
        ("idle relay", 24), ("idle client", 16), ("version", 20), ("allocations relay", 4), ("allocations client", 4),
    )),
    *((key, peer, None, ">=", bound) for peer in ("ours", "ours-tls") for key, bound in (
        ("beside stalled", 0.8), ("half-close", 1), ("cut right", 1),
    )),
]  # fmt: skip


def series(results, peer, key) -> list:
    return [values.get(key) for values in results["peers"].get(peer, [])]


def median(results, peer, key):
    found = [v for v in series(results, peer, key) if v is not None]
    return statistics.median(found) if found else None


def ratio(results, key, peer, beside):
    """The median of the ratios of each round."""
    pairs = zip(series(results, peer, key), series(results, beside, key))
    found = [a / b for a, b in pairs if a is not None and b]
    return statistics.median(found) if found else None


def show(value, unit, digits) -> str:
    if value is None:
        return "-"
    if unit == "yes/no":
        return "yes" if value == 1 else "no"
    return f"{value:,.{digits}f}"


def verdicts(results) -> list[tuple[str, str, str, str, bool]]:
    """(figure, peer, goal, found, met) for every goal whose figures were measured."""
    titles = {key: (title, unit, digits) for key, title, unit, digits, _ in ROWS}
    rows = []
    for key, peer, beside, sign, bound in GOALS:
        value = ratio(results, key, peer, beside) if beside else median(results, peer, key)
        if value is None:
            continue
        title, unit, digits = titles[key]
        met = value <= bound if sign == "<=" else value >= bound
        goal = f"{sign} {bound:.2f} x {TITLES[beside]}" if beside else "yes" if unit == "yes/no" else f"{sign} {show(bound, unit, digits)} {unit}".strip()
        rows.append((title, TITLES[peer], goal, f"{value:.2f} x" if beside else show(value, unit, digits), met))
    for peer in ("ours", "ours-tls"):
        value = ratio_of_keys(results, peer, "beside bulk p50", "rtt p50")
        if value is not None:
            rows.append(("round trip beside bulk, p50", TITLES[peer], "<= 2.00 x its idle figure", f"{value:.2f} x", value <= 2))
    return rows


def ratio_of_keys(results, peer, key, base):
    pairs = zip(series(results, peer, key), series(results, peer, base))
    found = [a / b for a, b in pairs if a is not None and b]
    return statistics.median(found) if found else None


def markdown(results) -> str:
    peers = [p for p in TITLES if p in results["peers"]]
    machine = results["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['time']} UTC, commit {machine['commit']}, "
        f"load before {machine['load before']:.1f}; {results['rounds']} rounds, medians" + (" (quick: not for figures)." if results["quick"] else "."),
        "",
        "| figure | unit | " + " | ".join(TITLES[p] for p in peers) + " |",
        "| --- | --- |" + " ---: |" * len(peers),
    ]
    for key, title, unit, digits, _ in ROWS:
        cells = [median(results, p, key) for p in peers]
        if any(c is not None for c in cells):
            lines.append(f"| {title} | {unit} | " + " | ".join(show(c, unit, digits) for c in cells) + " |")
    found = verdicts(results)
    if found:
        lines += ["", "| goal | for | wanted | found | |", "| --- | --- | --- | ---: | --- |"]
        lines += [f"| {title} | {peer} | {goal} | {value} | {'met' if met else '**missed**'} |" for title, peer, goal, value, met in found]
    for name, why in results["missing"].items():
        lines += ["", f"Not measured: {TITLES[name]} ({why})."]
    for problem in results["problems"]:
        lines += ["", f"Problem: {problem.splitlines()[0]}"]
    return "\n".join(lines) + "\n"


COLORS = {
    "direct": "#b8bec6", "nginx2": "#5b8c5a", "nginx2tls": "#9bbf9a", "ssh": "#8a7fa8", "chisel": "#b09a6d", "frp": "#a8706d",
    "ours": "#1f5fa8", "ours-tls": "#5a95d6", "ours-ws": "#a3c6ee",
}  # fmt: skip
PLOTTED = [
    "c64 cpu", "c64 rate", "c1 p50", "close rate", "download rate", "download cpu", "upload rate", "upload cpu", "rtt p50", "beside bulk p50",
    "ws relay", "stalled growth",
]  # fmt: skip


def plot(results) -> str:
    """Small bar charts, three in a row, each with its own scale from zero; the longest bars are cut and say so."""
    peers = [p for p in TITLES if p in results["peers"] and p != "direct"]
    rows = {key: (title, unit, digits, more) for key, title, unit, digits, more in ROWS}
    charts = [key for key in PLOTTED if any(median(results, p, key) is not None for p in peers)]
    bar, gap, width, label = 16, 4, 330, 118
    height = 44 + len(peers) * (bar + gap) + 14
    columns = 3
    total = (columns * width + 20, 30 + -(-len(charts) // columns) * height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" font-family="system-ui, sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for index, key in enumerate(charts):
        title, unit, digits, more = rows[key]
        left, top = 10 + index % columns * width, 14 + index // columns * height
        values = {p: median(results, p, key) for p in peers}
        known = sorted(v for v in values.values() if v is not None)
        # One peer that needs ten times as much must not flatten the others: cut at 2.5 times the middle one.
        scale = max(min(known[-1], 2.5 * known[len(known) // 2]), 1e-9)
        room = width - label - 74
        parts.append(f'<text x="{left}" y="{top + 12}" font-weight="600" fill="#222">{html.escape(title)}</text>')
        direction = "more is better" if more else "less is better"
        parts.append(f'<text x="{left}" y="{top + 26}" fill="#777" font-size="10">{html.escape(unit)}, {direction}</text>')
        for row, peer in enumerate(peers):
            y, value = top + 36 + row * (bar + gap), values[peer]
            parts.append(f'<text x="{left + label - 6}" y="{y + 12}" text-anchor="end" fill="#333">{html.escape(TITLES[peer])}</text>')
            if value is None:
                parts.append(f'<text x="{left + label}" y="{y + 12}" fill="#999">-</text>')
                continue
            length = max(1.0, room * min(value / scale, 1))
            parts.append(f'<rect x="{left + label}" y="{y}" width="{length:.1f}" height="{bar}" rx="2" fill="{COLORS[peer]}"/>')
            end = left + label + length
            if value > scale * 1.001:
                parts.append(f'<path d="M{end - 9:.1f} {y + bar} l5 -{bar} h3 l-5 {bar} z" fill="#ffffff"/>')
            parts.append(f'<text x="{end + 5:.1f}" y="{y + 12}" fill="#333">{show(value, unit, digits)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def publish(docs: pathlib.Path, results):
    """Replaces what stands between the marks of docs/benchmarks.md, and docs/benchmarks.svg."""
    replace(docs / "benchmarks.md", BEGIN, END, markdown(results))
    (docs / "benchmarks.svg").write_text(plot(results))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: report.py RESULTS.json DOCS-FOLDER")
    publish(pathlib.Path(sys.argv[2]), json.loads(pathlib.Path(sys.argv[1]).read_text()))
