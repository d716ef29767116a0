"""Loads and measurements between two hosts of a `Network`: iperf3, echoes, and what they say."""

import bisect
import json
import statistics
import sys

from .netns import Host
from .processes import REPOSITORY, Process, tool, wait_for

ECHO = REPOSITORY / "Tests" / "EndToEnd" / "harness" / "echo.py"
STREAM = REPOSITORY / "Tests" / "EndToEnd" / "harness" / "stream.py"
SLACK_SECONDS = 15  # beyond its own length, for anything that runs


class Throughput:
    """One whole run of iperf3, as its receiver saw it."""

    def __init__(self, report: dict):
        self.report = report
        if "error" in report:
            raise RuntimeError(f"iperf3: {report['error']}")
        end = report["end"]
        whole = end.get("sum_received") or end["sum"]
        self.bits_per_second: float = whole["bits_per_second"]
        self.byte_count: int = whole["bytes"]
        self.retransmits: int | None = end.get("sum_sent", {}).get("retransmits")
        #: (start, end, bits/s) of every interval, of all flows together
        self.intervals = [(i["sum"]["start"], i["sum"]["end"], i["sum"]["bits_per_second"]) for i in report["intervals"]]

    @property
    def mbit(self) -> float:
        return self.bits_per_second / 1e6


class Iperf:
    """A server for one run on `server`, and a client on `client`; `download` sends from the server. `wrap` goes before both programs."""

    def __init__(self, client: Host, server: Host, address: str, seconds: float, flows: int = 1, download: bool = True, port: int = 5201,
                 interval: float = 1, udp: float | None = None, wrap=(), more=()):  # fmt: skip
        self.seconds = seconds
        family = ["-6"] if ":" in address else ["-4"]
        self.server = server.start([*wrap, tool("iperf3"), "-s", "-1", *family, "-p", port])
        try:
            wait_for(lambda: listens(server, port), 5, f"iperf3's server: {self.server.story()}", every=0.02)
            words = [tool("iperf3"), "-c", address, *family, "-p", port, "-t", seconds, "-P", flows, "-i", interval, "--json"]
            words += ["-R"] if download else []
            words += ["-u", "-b", str(int(udp)), "-l", "1200"] if udp else []
            words += ["--connect-timeout", "3000", *more]
            self.client = client.start([*wrap, *words])
        except BaseException:
            self.server.stop()
            raise

    def result(self) -> Throughput:
        try:
            self.client.wait(self.seconds + SLACK_SECONDS)
            text = "\n".join(self.client.lines)
            if not text:
                raise RuntimeError(f"iperf3 said nothing: {self.client.story()}")
            return Throughput(json.loads(text))
        finally:
            self.stop()

    def stop(self):
        self.client.stop(1)
        self.server.stop(1)


def listens(host: Host, port: int) -> bool:
    return bool(host.run([tool("ss"), "-Hltn", f"sport = :{port}"]).stdout.strip())


def iperf(*arguments, **options) -> Throughput:
    return Iperf(*arguments, **options).result()


class Echoes:
    """The verdict of a run of echo.py."""

    def __init__(self, report: dict):
        self.sent, self.got, self.twice = report["sent"], report["got"], report["twice"]

    @property
    def replies(self) -> int:
        return sum(1 for at in self.got if at is not None)

    def longest_gap(self) -> float:
        """Seconds between two replies that follow each other; the end without a reply counts from the last one."""
        times = sorted(at for at in self.got if at is not None)
        if not times:
            return float("inf")
        gaps = [b - a for a, b in zip(times, times[1:])]
        return max([*gaps, self.sent[-1] - times[-1], 0])

    def rtts(self, after: float = 0) -> list[float]:
        """Milliseconds, of what was sent later than `after` seconds from the start."""
        return sorted((got - sent) * 1000 for sent, got in zip(self.sent, self.got) if got is not None and sent - self.sent[0] >= after)

    def percentile(self, share: float, after: float = 0) -> float:
        values = self.rtts(after)
        return values[min(len(values) - 1, int(share * len(values)))] if values else float("inf")

    def median(self, after: float = 0) -> float:
        values = self.rtts(after)
        return statistics.median(values) if values else float("inf")


class EchoServer:
    def __init__(self, host: Host, address: str, port: int = 7007):
        self.port = port
        self.process = host.start([sys.executable, ECHO, "serve", address, port])
        self.process.line()

    def stop(self):
        self.process.stop(1)


class Pinger:
    """Echoes under way; `port` None is ICMP. `result` waits for the end."""

    def __init__(self, host: Host, address: str, count: int, every: float = 0.02, size: int = 56, port: int | None = None, wait: float = 1.5):
        self.seconds = count * every + wait
        words = [sys.executable, ECHO, "send", address, port or "icmp"]
        words += ["--count", count, "--every", every, "--size", size, "--wait", wait]
        self.process: Process = host.start(words)

    def result(self) -> Echoes:
        try:
            self.process.wait(self.seconds + SLACK_SECONDS)
            return Echoes(json.loads(self.process.line()))
        finally:
            self.process.kill()

    def stop(self):
        self.process.kill()


def ping(*arguments, **options) -> Echoes:
    return Pinger(*arguments, **options).result()


class Stream:
    """A download under way whose receiver keeps the time; `result` waits for its end."""

    def __init__(self, client: Host, server: Host, address: str, seconds: float, port: int = 7009, wrap=()):
        self.seconds = seconds
        self.server = server.start([*wrap, sys.executable, STREAM, "serve", 6 if ":" in address else 4, port])
        try:
            self.server.line()
            self.client = client.start([*wrap, sys.executable, STREAM, "receive", address, port, seconds])
            self.client.find(lambda line: line == "running", errors=True)
        except BaseException:
            self.server.stop()
            raise

    def result(self) -> "Received":
        try:
            self.client.wait(self.seconds + SLACK_SECONDS)
            return Received(json.loads(self.client.line()))
        finally:
            self.stop()

    def stop(self):
        if hasattr(self, "client"):
            self.client.stop(1)
        self.server.stop(1)


class Received:
    """Times are time.monotonic()'s."""

    def __init__(self, report: dict):
        self.at, self.bytes, self.error = report["at"], report["bytes"], report["error"]

    def bytes_until(self, time: float) -> float:
        """Between two samples it is taken as even."""
        index = bisect.bisect_right(self.at, time)
        if index == 0 or index == len(self.at):
            return self.bytes[0 if index == 0 else -1]
        before, after = self.at[index - 1], self.at[index]
        share = (time - before) / max(1e-9, after - before)
        return self.bytes[index - 1] + share * (self.bytes[index] - self.bytes[index - 1])

    def mbit(self, start: float, end: float) -> float:
        return (self.bytes_until(end) - self.bytes_until(start)) * 8e-6 / (end - start)

    def each(self, start: float, end: float, step: float = 0.1) -> list[tuple[float, float]]:
        """(start, Mbit/s) of every whole interval of `step` seconds."""
        count = int((end - start) / step + 1e-6)
        return [(start + i * step, self.mbit(start + i * step, start + (i + 1) * step)) for i in range(count)]
