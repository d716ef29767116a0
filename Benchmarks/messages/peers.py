"""Who is measured: raw UCX, Starway, and causeway from Swift and Python. Each runs a case and returns figures by name."""

import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

from .processes import Child, Failed, children, wait_listening

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20
STARWAY = REPOSITORY / ".build" / "starway"
PEER = pathlib.Path(__file__).with_name("peer.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pair(start, serve: list, run: list, announced: str, environment=None, cores=None) -> tuple[Child, Child]:
    """The serving side, which says its port, and the other one."""
    serving, running = cores or (None, None)
    server = start(serve, environment=environment, core=serving)
    port = server.line(announced).group(1)
    return server, start([*run, f"port={port}"], environment=environment, core=running)


class Raw:
    """ucx_perftest with the error handling that causeway uses, on two cores of its own."""

    name, title = "raw", "raw UCX"

    def missing(self):
        return None if subprocess.run(["which", "ucx_perftest"], capture_output=True).returncode == 0 else "no ucx_perftest: scripts/setup.sh bench"

    def run(self, case) -> dict:
        return getattr(self, case.kind)(case)

    def perftest(self, start, test, case, count, warmup, *more, swapped=False):
        words = ["ucx_perftest", "-e", *more]
        port = free_port()
        environment = {"UCX_TLS": case.tls, "UCX_MM_ERROR_HANDLING": "y", "UCX_WARN_UNUSED_ENV_VARS": "n"}
        if not any(transport not in ("tcp", "self") for transport in case.tls.split(",")):
            del environment["UCX_MM_ERROR_HANDLING"]
        cores = [0, 0] if case.one_core or (os.cpu_count() or 1) < 2 else [1, 0] if swapped else [0, 1]
        start([*words, "-p", port], environment=environment, core=cores[0])
        wait_listening(port)
        words += ["-p", port, "127.0.0.1", "-t", test, "-s", case.size, "-n", count, "-w", warmup, "-f"]
        return start(words, environment=environment, core=cores[1])

    @staticmethod
    def columns(child: Child) -> list[float]:
        found = child.line(r"^ +\d+ +[\d.]+ +[\d.]+ +[\d.]+ ")
        return [float(word) for word in found.string.split()]

    def ping(self, case) -> dict:
        figures = {}
        warmup = max(2, case.raw_count // 20)
        for key, rank in (("rtt_ns", "50"), ("p99_ns", "99")):
            with children() as start:
                figures[key] = 2000 * self.columns(self.perftest(start, "tag_lat", case, case.raw_count, warmup, "-R", rank))[1]
        return figures

    def stream(self, case) -> dict:
        with children() as start:
            row = self.columns(self.perftest(start, "tag_bw", case, case.raw_count, max(1, case.raw_count // 4)))
        return {"rate": row[-1], "gigabytes": row[-3] * MIB / 1e9}

    def duplex(self, case) -> dict:
        with children() as start:
            both = [self.perftest(start, "tag_bw", case, case.raw_count, case.raw_count // 4, swapped=swapped) for swapped in (False, True)]
            rows = [self.columns(child) for child in both]
        return {"rate": sum(row[-1] for row in rows), "gigabytes": sum(row[-3] for row in rows) * MIB / 1e9}


@dataclasses.dataclass
class Swift:
    """`messaging-peer` in one of its manners."""

    name: str
    title: str
    #: commands by kind of case: the serving side, the other one
    commands: dict
    mode: str = "adaptive"

    def missing(self):
        return None if self.program.exists() else "no build/messaging-peer: scripts/build-tools.sh messaging-peer"

    program = REPOSITORY / "build" / "messaging-peer"

    def run(self, case) -> dict:
        if case.kind == "idle":
            return idle(lambda start: self.idle(start))
        if case.kind == "crowd":
            return self.crowd(case)
        serve, run = self.commands[case.kind]
        values = [f"tls={case.tls}", f"size={case.size}", f"window={case.window}", f"mode={self.mode}"]
        if case.kind != "ping":
            return self.once(serve, run, [*values, f"count={case.count}"], case, r"^rate (\d+) messages/s, ([\d.e-]+) GB/s", ("rate", "gigabytes"))
        counts = [(f"count={case.count}", "trips=1" if case.one_core else "trips=32"), (f"count={case.count // 5}", "trips=1")]
        pattern = r"median (\d+) ns, p99 (\d+) ns"
        figures = self.once(serve, run, [*values, *counts[0]], case, pattern, ("rtt_ns", "p99_ns"))
        if not case.one_core:  # outliers of single round trips
            figures["p99_ns"] = self.once(serve, run, [*values, *counts[1]], case, pattern, ("rtt_ns", "p99_ns"))["p99_ns"]
        return figures

    def once(self, serve, run, values, case, pattern, keys) -> dict:
        with children() as start:
            _, client = pair(start, [self.program, serve, *values], [self.program, run, *values], r"^(\d+)$", cores=case.cores)
            found = client.line(pattern)
            return {key: float(found.group(index + 1)) for index, key in enumerate(keys)}

    def idle(self, start):
        values = [f"mode={self.mode}", "tls=all"]
        server, client = pair(start, [self.program, "serve-callback", *values], [self.program, "idle", *values], r"^(\d+)$")
        client.line("connected")
        return server, client

    def crowd(self, case) -> dict:
        values = [f"tls={case.tls}", "size=1", f"peers={case.count}", f"count={case.raw_count}"]
        figures, memory = {}, {}
        with children() as start:
            server, client = pair(start, [self.program, "serve-crowd", *values], [self.program, "crowd", *values], r"^(\d+)$")
            for stage in ("one", "many"):
                connected = int(client.line(r"connected (\d+)").group(1))
                memory[stage] = connected, server.memory(), client.memory()
                client.say()
                found = client.line(r"median (\d+) ns, p99 (\d+) ns")
                figures[f"rtt_{stage}_ns"], figures[f"p99_{stage}_ns"] = float(found.group(1)), float(found.group(2))
        more = memory["many"][0] - memory["one"][0]
        figures["server_kib"], figures["client_kib"] = ((memory["many"][index] - memory["one"][index]) / more / 1024 for index in (1, 2))
        figures["slower"] = figures["rtt_many_ns"] / figures["rtt_one_ns"]
        return figures


@dataclasses.dataclass
class Python:
    """`peer.py` on causeway or on Starway."""

    name: str
    title: str
    library: str
    manner: str
    mode: str = "adaptive"
    share: float = 1.0

    def missing(self):
        if self.library == "starway":
            return None if (STARWAY / "starway").is_dir() else "pip could not install it"
        folder = REPOSITORY / "python" / "causeway"
        return None if (folder / "_native.abi3.so").exists() else "python/causeway is not built: scripts/wheel.py --develop"

    @property
    def environment(self) -> dict:
        # Starway's folder has NumPy, too.
        return {"PYTHONPATH": str(STARWAY) if self.library == "starway" else f"{REPOSITORY / 'python'}:{STARWAY}"}

    def words(self, role, case) -> list:
        # Starway's shared memory is what UCX takes by itself: it has no error handling.
        tls = ("tcp" if case.tls == "tcp" else "") if self.library == "starway" else case.tls
        count = max(case.window, int(case.python_count * self.share_of(case)))
        values = [f"tls={tls}", f"size={case.size}", f"count={count}", f"window={case.window}", f"mode={self.mode}"]
        return [sys.executable, PEER, self.library, self.manner, case.kind, role, *values]

    def share_of(self, case) -> float:
        """Starway needs milliseconds for small messages where others need microseconds."""
        if self.library != "starway":
            return self.share
        return 0.02 if case.kind == "ping" else 0.005 if case.size < MIB else 1

    def run(self, case) -> dict:
        if case.kind == "idle":
            return idle(lambda start: self.idle(start, case))
        with children() as start:
            _, client = self.pair(start, case)
            return json.loads(client.line(r"^RESULT (.*)").group(1))

    def pair(self, start, case):
        return pair(start, self.words("serve", case), self.words("run", case), r"^PORT (\d+)", self.environment, case.cores)

    def idle(self, start, case):
        server, client = self.pair(start, case)
        client.line("RESULT")
        return server, client


def idle(connect) -> dict:
    """Percent of a core that each of two connected processes takes, the mean."""
    with children() as start:
        both = connect(start)
        time.sleep(0.5)
        before, began = sum(child.cpu_seconds() for child in both), time.monotonic()
        time.sleep(4)
        used = sum(child.cpu_seconds() for child in both) - before
        return {"idle_percent": 100 * used / 2 / (time.monotonic() - began)}


def commands(manner: str, stream: str | None = None) -> dict:
    stream = stream or manner
    return {
        "ping": (f"serve-{manner}", f"ping-{manner}"), "stream": (f"sink-{stream}", f"stream-{stream}"),
        "duplex": (f"serve-duplex-{manner}", f"duplex-{manner}"),
    }  # fmt: skip


PEERS = {
    peer.name: peer
    for peer in (
        Raw(),
        Python("starway", "Starway 0.6.0", "starway", "asyncio"),
        Swift("callback", "Swift callback", commands("callback")),
        Swift("async", "Swift async", commands("async")),
        Swift("batches", "Swift async, batches", commands("async", "batches")),
        Swift("blocking-engine", "Swift callback, engine blocking", commands("callback"), "blocking"),
        Python("asyncio", "Python asyncio", "causeway", "asyncio"),
        Python("asyncio-asleep", "Python asyncio, all asleep", "causeway", "asyncio", "blocking", share=0.25),
        Python("asyncio-batches", "Python asyncio, batches", "causeway", "batches"),
        Python("sync", "Python sync", "causeway", "sync"),
        Python("sync-batches", "Python sync, batches", "causeway", "sync-batches"),
    )
}


def install_starway():
    """Starway and its NumPy in a folder of their own."""
    if (STARWAY / "starway").is_dir():
        return
    words = [sys.executable, "-m", "pip", "install", "-q", "--root-user-action=ignore", "--target", str(STARWAY), "starway==0.6.0"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        print(f"bench: without Starway: {done.stderr.strip()[-200:]}", file=sys.stderr)
