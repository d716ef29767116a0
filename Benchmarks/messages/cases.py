"""The cases, and what is wanted of them."""

import dataclasses
import statistics

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SWIFT = ["callback", "async"]


@dataclasses.dataclass
class Case:
    """`kind` says what two processes do, and which figure is compared."""

    name: str
    title: str
    kind: str
    tls: str
    peers: list[str]
    size: int = 1
    #: operations of Swift, of raw UCX, of Python
    count: int = 0
    raw_count: int = 0
    python_count: int = 0
    window: int = 64
    #: to which the serving side and the other one are bound
    cores: tuple[int, int] | None = None

    @property
    def one_core(self) -> bool:
        return self.cores is not None and self.cores[0] == self.cores[1]

    @property
    def figure(self) -> str:
        return {"ping": "rtt_ns", "stream": "rate" if self.size < MIB else "gigabytes", "duplex": "gigabytes"}.get(self.kind, "")


@dataclasses.dataclass
class Goal:
    """`figure` of `peer` against `limit`, times that of `of` when that is given, in the same run."""

    case: str
    peer: str
    figure: str
    sign: str
    limit: float
    of: str | None = None
    unit: str = ""
    scale: float = 1

    def found(self, rounds: dict[str, list[dict | None]]) -> float | None:
        values = []
        for index, mine in enumerate(rounds.get(self.peer, [])):
            if not mine or mine.get(self.figure) is None:
                continue
            if self.of is None:
                values.append(mine[self.figure] / self.scale)
            else:
                others = rounds.get(self.of, [])
                if index < len(others) and others[index] and others[index].get(self.figure):
                    values.append(mine[self.figure] / others[index][self.figure])
        return statistics.median(values) if values else None

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.sign == "<=" else value >= self.limit


def cases(quick: bool) -> dict[str, Case]:
    part = 0.1 if quick else 1

    def some(count: float) -> int:
        return max(2, int(count * part))

    everybody = ["raw", "starway", *SWIFT]
    trips = [*everybody, "asyncio", "asyncio-asleep", "sync"]
    streams = [*everybody, "batches", "asyncio", "asyncio-batches", "sync", "sync-batches"]
    large = [*everybody, "asyncio"]
    found = []
    for name, tls, where in (("shm", "all", "shared memory"), ("tcp", "tcp", "TCP")):
        fast = name == "shm"
        found += [
            Case(f"pingpong-{name}", f"1 B round trip, {where}", "ping", tls, trips, 1, some(300e3 if fast else 40e3),
                 some(300e3 if fast else 30e3), some(30e3)),
            Case(f"one-core-{name}", f"1 B round trip, {where}, all on one core", "ping", tls, [*everybody, "asyncio", "sync"], 1,
                 some(6e3), some(60), some(6e3), cores=(0, 0)),
            Case(f"own-core-{name}", f"1 B round trip, {where}, each bound to a core", "ping", tls, [*everybody, "asyncio", "sync"], 1,
                 some(300e3 if fast else 40e3), some(300e3 if fast else 30e3), some(30e3), cores=(0, 1)),
            Case(f"stream-{name}", f"1 KiB stream, {where}", "stream", tls, streams, KIB, some(2e6 if fast else 200e3),
                 some(2e6 if fast else 200e3), some(320e3 if fast else 100e3)),
            Case(f"4m-{name}", f"4 MiB one way, {where}", "stream", tls, large, 4 * MIB, some(1200 if fast else 400),
                 some(1200 if fast else 400), some(1200 if fast else 400), 4),
            Case(f"1g-{name}", f"1 GiB one way, {where}", "stream", tls, large, GIB, 3, 3, 3, 1),
            Case(f"duplex-{name}", f"4 MiB both ways, {where}", "duplex", tls, large, 4 * MIB, some(600 if fast else 200),
                 some(600 if fast else 200), some(600 if fast else 200), 4),
        ]  # fmt: skip
    found += [
        Case("idle", "an idle, connected process", "idle", "all", ["starway", "callback", "blocking-engine", "asyncio"]),
        Case("crowd-shm", "1,000 endpoints on one engine, shared memory", "crowd", "all", ["callback"], count=1000, raw_count=some(200e3)),
        Case("crowd-tcp", "1,000 endpoints on one engine, TCP (UCX 1.14 or later)", "crowd", "tcp", ["callback"], count=1000, raw_count=some(40e3)),
    ]
    return {case.name: case for case in found}


def goals() -> list[Goal]:
    def us(case, peer, figure, limit):
        return Goal(case, peer, figure, "<=", limit, unit="µs", scale=1000)

    found = [
        Goal("pingpong-shm", "callback", "rtt_ns", "<=", 1.5, "raw"),
        Goal("pingpong-shm", "async", "rtt_ns", "<=", 4, "raw"),
        us("pingpong-shm", "asyncio", "rtt_ns", 15),
        us("pingpong-shm", "asyncio-asleep", "rtt_ns", 120),
        us("pingpong-shm", "sync", "rtt_ns", 3),
        Goal("pingpong-tcp", "callback", "rtt_ns", "<=", 1.1, "raw"),
        Goal("pingpong-tcp", "async", "rtt_ns", "<=", 1.2, "raw"),
        Goal("pingpong-tcp", "asyncio", "rtt_ns", "<=", 3, "raw"),
        Goal("pingpong-tcp", "sync", "rtt_ns", "<=", 1.5, "raw"),
        Goal("stream-shm", "callback", "rate", ">=", 0.6, "raw"),
        Goal("stream-shm", "async", "rate", ">=", 1, unit="M/s", scale=1e6),
        Goal("stream-shm", "batches", "rate", ">=", 2, unit="M/s", scale=1e6),
        Goal("stream-shm", "asyncio", "rate", ">=", 300, unit="k/s", scale=1e3),
        Goal("stream-shm", "sync-batches", "rate", ">=", 1.5, unit="M/s", scale=1e6),
        Goal("stream-shm", "asyncio-batches", "rate", ">=", 1, unit="M/s", scale=1e6),
        Goal("stream-tcp", "callback", "rate", ">=", 0.95, "raw"),
        Goal("stream-tcp", "async", "rate", ">=", 0.9, "raw"),
        Goal("stream-tcp", "batches", "rate", ">=", 0.9, "raw"),
        *(Goal("stream-tcp", peer, "rate", ">=", 0.8, "raw") for peer in ("asyncio", "asyncio-batches", "sync", "sync-batches")),
    ]
    for where in ("shm", "tcp"):
        for peer in ("callback", "async", "asyncio"):
            for size in ("4m", "1g"):
                found.append(Goal(f"{size}-{where}", peer, "gigabytes", ">=", 0.95, "raw"))
                if where == "shm":
                    found.append(Goal(f"{size}-{where}", peer, "gigabytes", ">=", 1, "starway"))
            found.append(Goal(f"duplex-{where}", peer, "gigabytes", ">=", 0.9, "raw"))
        for peer in ("callback", "async", "asyncio", "sync"):
            found += [us(f"one-core-{where}", peer, "rtt_ns", 150), us(f"one-core-{where}", peer, "p99_ns", 1000)]
        found.append(Goal(f"crowd-{where}", "callback", "slower", "<=", 1.5))
    found += [Goal("idle", peer, "idle_percent", "<=", 0.5, unit="% of a core") for peer in ("callback", "blocking-engine")]
    return found
