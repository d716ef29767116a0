"""The figures: each is a function of a started peer that returns numbers by name, and fails loudly when they lie.

A figure that answers `None` for a peer does not apply to it (a download through nothing costs no relay).
"""

import asyncio
import contextlib
import hashlib
import json

import re
import socket
import struct
import subprocess
import threading
import time

from harness.processes import Process, binary, cpu_seconds, proportional_bytes, resident_bytes, tool
from load.websockets import open_many
from peers import Causeway, Peer, with_link


class Plan:
    """How long and how much; `quick` is for finding mistakes, not figures."""

    def __init__(self, quick: bool):
        self.seconds = 1 if quick else 4
        self.ping_seconds = 1 if quick else 2
        self.bulk_mib = 256 if quick else 1024
        self.sockets = 200 if quick else 2000
        self.stalled = 64
        self.requests = 1000 if quick else 10_000


def finish(process: Process, seconds: float) -> str:
    """The output of a load program that must end well."""
    try:
        code = process.wait(seconds)
        if code != 0:
            raise AssertionError(f"ended with {code}: {process.story()}")
        return "\n".join(process.lines)
    finally:
        process.kill()


def header(peer: Peer, kind: str) -> list[str]:
    return ["-H", f"Host: {peer.host(kind)}"] if peer.host(kind) else []


def microseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if not match:
        raise ValueError(f"wrk says {text!r} where a time should stand")
    return float(match[1]) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}[match[2]]


def wrk(peer: Peer, connections: int, seconds: float, close: bool = False) -> dict:
    words = [tool("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", *header(peer, "web")]
    words += ["-H", "Connection: close"] if close else []
    before = cpu_seconds(peer.family())
    output = finish(Process([*words, f"http://127.0.0.1:{peer.ports['web']}/1k"]), seconds + 30)
    used = cpu_seconds(peer.family()) - before
    if "Non-2xx" in output:
        raise AssertionError(f"{peer.name}: answers that are not 2xx:\n{output}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    if errors and not close and sum(map(int, errors.groups())) > 0:
        raise AssertionError(f"{peer.name}: {errors[0]}")
    count = int(re.search(r"(\d+) requests in", output)[1])
    if count == 0:
        raise AssertionError(f"{peer.name}: no request was answered\n{output}")
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        "p50": microseconds(re.search(r"(?m)^\s+50%\s+(\S+)", output)[1]),
        "p99": microseconds(re.search(r"(?m)^\s+99%\s+(\S+)", output)[1]),
        "cpu": used / count * 1e6 if peer.processes else None,
    }


def one_connection(peer, plan):
    found = wrk(peer, 1, plan.seconds)
    return {"c1 rate": found["rate"], "c1 p50": found["p50"]}


def many_connections(peer, plan):
    found = wrk(peer, 64, plan.seconds)
    return {"c64 rate": found["rate"], "c64 p99": found["p99"], "c64 cpu": found["cpu"]}


def very_many_connections(peer, plan):
    found = wrk(peer, 256, plan.seconds)
    return {"c256 rate": found["rate"], "c256 cpu": found["cpu"]}


def new_connections(peer, plan):
    found = wrk(peer, 16, plan.seconds, close=True)
    return {"close rate": found["rate"], "close cpu": found["cpu"]}


def curl(peer: Peer, kind: str, words: list, path: str) -> tuple[float, float | None]:
    """Gbit/s and the CPU seconds of relay + client for one transfer of the bulk file."""
    form = "%{http_code} %{time_total} %{size_upload} %{size_download}"
    url = f"http://127.0.0.1:{peer.ports[kind]}{path}"
    before = cpu_seconds(peer.family())
    output = finish(Process([tool("curl"), "-s", "-S", "-w", form, *header(peer, kind), *words, url]), 180)
    used = cpu_seconds(peer.family()) - before
    code, seconds, up, down = output.splitlines()[-1].split()
    moved = max(int(float(up)), int(float(down)))
    if code != "200" or moved != peer.ground.bulk:
        raise AssertionError(f"{peer.name} {path}: status {code}, {moved} of {peer.ground.bulk} bytes: {output}")
    scale = (1 << 30) / moved
    return moved * 8 / float(seconds) / 1e9, used * scale if peer.processes else None


def download(peer, plan):
    rate, cpu = curl(peer, "web", ["-o", "/dev/null"], "/1g")
    return {"download rate": rate, "download cpu": cpu}


def upload(peer, plan):
    file = str(peer.ground.folder / "files" / "1g")
    rate, cpu = curl(peer, "up", ["-o", "/dev/null", "-H", "Expect:", "-T", file], "/up")
    return {"upload rate": rate, "upload cpu": cpu}


def ping(peer: Peer, seconds: float) -> dict:
    words = [peer.ground.probe, "ping", "127.0.0.1", peer.ports["tcp"], seconds, 64]
    return json.loads(finish(Process(words), seconds + 30))


def round_trip(peer, plan):
    found = ping(peer, plan.ping_seconds)
    return {"rtt p50": found["p50"], "rtt p99": found["p99"]}


def round_trip_beside_bulk(peer, plan):
    url = f"http://127.0.0.1:{peer.ports['web']}/1g"
    bulk = Process([tool("curl"), "-s", *header(peer, "web"), *(["-o", "/dev/null", url] * 64)])
    try:
        time.sleep(0.2)  # the download is under way, on any machine that can measure at all
        found = ping(peer, plan.ping_seconds)
        if not bulk.running:
            raise AssertionError(f"{peer.name}: the download beside the round trips ended: {bulk.story()}")
    finally:
        bulk.kill()
    return {"beside bulk p50": found["p50"], "beside bulk p99": found["p99"]}


def settled(measure, seconds: float = 8) -> int:
    """A figure once it stays within 1 % for a second, or at the end of the time."""
    end = time.monotonic() + seconds
    history = [measure()]
    while time.monotonic() < end:
        time.sleep(0.25)
        history.append(measure())
        last = history[-4:]
        if len(history) > 6 and max(last) - min(last) <= max(last) * 0.01:
            break
    return history[-1]


def idle_websockets(peer, plan):
    if not peer.processes:
        return {}
    empty = [proportional_bytes(half) for half in peer.halves()]

    async def measure():
        writers = await open_many(peer.ports["ws"], peer.host("ws"), plan.sockets)
        full = await asyncio.get_running_loop().run_in_executor(
            None, lambda: (settled(lambda: proportional_bytes(peer.family())), [proportional_bytes(h) for h in peer.halves()])
        )
        for writer in writers:
            writer.transport.abort()
        return full[1]

    full = asyncio.run(measure())
    each = [(f - e) / 1024 / plan.sockets for f, e in zip(full, empty)]
    return {"ws relay": each[0], "ws client": each[1]}


def request(peer: Peer, kind: str, path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {peer.host(kind) or '127.0.0.1'}\r\n{more}\r\n".encode()


def stalled_downloads(peer, plan):
    if not peer.processes:
        return {}
    empty = proportional_bytes(peer.family())
    visitors = []
    try:
        for _ in range(plan.stalled):
            visitors.append(socket.create_connection(("127.0.0.1", peer.ports["web"]), 10))
            visitors[-1].sendall(request(peer, "web", "/1g"))
        full = settled(lambda: proportional_bytes(peer.family()))
    finally:
        for visitor in visitors:
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            visitor.close()
    return {"stalled growth": (full - empty) / (1 << 20)}


def beside_stalled(peer, plan):
    """The rate at 64 connections beside a stalled download and a stalled TCP upload, as a share of the rate without."""
    free = wrk(peer, 64, plan.seconds)["rate"]
    down = socket.create_connection(("127.0.0.1", peer.ports["web"]), 10)
    up = socket.create_connection(("127.0.0.1", peer.ports["tcp"]), 10)
    try:
        down.sendall(request(peer, "web", "/1g"))
        up.setblocking(False)
        end = time.monotonic() + 1
        while time.monotonic() < end:  # the echo is never read, so the far side stops reading
            try:
                up.send(bytes(65536))
            except BlockingIOError:
                time.sleep(0.01)
        return {"beside stalled": wrk(peer, 64, plan.seconds)["rate"] / free}
    finally:
        down.close()
        up.close()


def half_close(peer, plan):
    """Sends, half-closes, and must get the echo and the line that the origin writes after it saw the end."""
    with socket.create_connection(("127.0.0.1", peer.ports["tcp"]), 10) as visitor:
        visitor.sendall(b"x" * 100_000)
        visitor.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(OSError):
            while more := visitor.recv(65536):
                answer += more
    return {"half-close": float(answer == b"x" * 100_000 + b"end 100000\n")}


def hashed_download(peer) -> tuple[str, int, float]:
    digest, count = hashlib.sha256(), 0
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", peer.ports["web"]), 20) as visitor:
        visitor.sendall(request(peer, "web", "/1g", "Connection: close\r\n"))
        head = b""
        while b"\r\n\r\n" not in head and (more := visitor.recv(4096)):
            head += more
        body = head.partition(b"\r\n\r\n")[2]
        digest.update(body)
        count = len(body)
        buffer = bytearray(1 << 18)
        view = memoryview(buffer)
        with contextlib.suppress(OSError):
            while size := visitor.recv_into(buffer):
                digest.update(view[:size])
                count += size
    return digest.hexdigest(), count, time.monotonic() - started


def cut_download(peer, plan):
    """The bulk file through a link that is cut by RST at a quarter, a half and three quarters; seconds over the uncut."""
    if not peer.processes or peer.name.endswith("-ws"):
        return {}
    linked, links = with_link(type(peer))
    other = linked(peer.ground)
    try:
        digest, count, plain = hashed_download(other)
        if digest != peer.ground.bulk_hash:
            raise AssertionError(f"{peer.name}: the uncut download has a wrong hash ({count} bytes)")
        main = max(links, key=lambda link: link.total[0] + link.total[1])
        toward_caller = main.total[1] > main.total[0]
        done = threading.Event()

        def cuts():
            for _ in range(3):
                passed = main.passed(peer.ground.bulk // 4, toward_caller)
                while not passed.wait(0.05):
                    if done.is_set():
                        return
                main.cut()

        cutter = threading.Thread(target=cuts)
        cutter.start()
        digest, count, took = hashed_download(other)
        done.set()
        cutter.join()
    finally:
        other.stop()
        for link in links:
            link.close()
    right = digest == peer.ground.bulk_hash
    return {"cut right": float(right), "cut extra": took - plain if right else None}


def idle_memory(peer, plan):
    if not isinstance(peer, Causeway):
        return {}
    relay, client = peer.halves()
    return {"idle relay": settled(lambda: resident_bytes(relay)) / (1 << 20), "idle client": resident_bytes(client) / (1 << 20)}


def version_time(peer, plan):
    if peer.name != "ours":
        return {}
    times = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run([binary(), "version"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - started)
    return {"version": min(times) * 1e3}


def keep_alive_requests(port: int, message: bytes, count: int):
    """`count` GETs of 1k one after another on one connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as visitor:
        visitor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        for _ in range(count):
            visitor.sendall(message)
            while b"\r\n\r\n" not in buffer:
                buffer += visitor.recv(65536)
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise AssertionError(f"an answer of {head[:60]!r}")
            while len(buffer) < 1024:
                buffer += visitor.recv(65536)
            buffer = buffer[1024:]


def allocations(peer, plan):
    """Calls of malloc and its kin for a 1 KiB request on a warm keep-alive connection, in relay and client."""
    if peer.name != "ours":
        return {}
    counters = {half: peer.ground.folder / f"{half}.count" for half in ("relay", "client")}
    for path in counters.values():
        path.write_bytes(bytes(8))
    hook = {half: {"LD_PRELOAD": peer.ground.alloccount, "ALLOCCOUNT": str(path)} for half, path in counters.items()}
    counted = type("Counted", (Causeway,), {"relay_environment": hook["relay"], "client_environment": hook["client"]})
    other = counted(peer.ground)
    try:
        message = request(other, "web", "/1k")
        keep_alive_requests(other.ports["web"], message, 500)

        def read():
            return {half: int.from_bytes(path.read_bytes(), "little") for half, path in counters.items()}

        before = read()
        keep_alive_requests(other.ports["web"], message, plan.requests)
        after = read()
    finally:
        other.stop()
    if after["relay"] == 0 or after["client"] == 0:
        raise AssertionError("the malloc hook counted nothing: is the binary linked statically against libc?")
    return {f"allocations {half}": (after[half] - before[half]) / plan.requests for half in counters}


# name: (function, needs a fresh peer)
FIGURES = {
    "idle": (idle_memory, True),
    "ws": (idle_websockets, True),
    "stalled": (stalled_downloads, True),
    "halfclose": (half_close, False),
    "c1": (one_connection, False),
    "c64": (many_connections, False),
    "c256": (very_many_connections, False),
    "close": (new_connections, False),
    "download": (download, False),
    "upload": (upload, False),
    "rtt": (round_trip, False),
    "bulk": (round_trip_beside_bulk, False),
    "beside": (beside_stalled, False),
    "cut": (cut_download, False),
    "version": (version_time, False),
    "allocations": (allocations, False),
}
