"""What is measured, on either side of a connection. Names, defaults and figures are Starway's."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

TAG_MASK = (1 << 64) - 1
CONTROL_TAG, READY_TAG, DONE_TAG = 0x1AA0, 0x1AA1, 0x1AA2
LARGE_TAG, SMALL_TAG, PING_TAG, PONG_TAG, UP_TAG, DOWN_TAG = 0x2B00, 0x2B10, 0x2B20, 0x2B21, 0x2B30, 0x2B31


class ClientRuntime(Protocol):
    """What a scenario has on the client's side."""

    client: Any
    tag_mask: int

    async def flush(self) -> None:
        """Ends when all that was sent has arrived."""


class ServerRuntime(Protocol):
    """What a scenario has on the server's side."""

    server: Any
    endpoint: Any
    tag_mask: int

    async def signal_ready(self) -> None:
        """Lets the client begin."""

    async def flush_endpoint(self) -> None:
        """Ends when all that was sent to the client has arrived."""


@dataclass
class ScenarioResult:
    """A scenario's figures and, one by one, what they were made from."""

    name: str
    metrics: dict[str, float]
    samples: dict[str, list[float]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def to_dict(self, include_samples: bool = True) -> dict[str, Any]:
        """For JSON."""
        plain: dict[str, Any] = {"name": self.name, "metrics": self.metrics, "config": self.config}
        if include_samples:
            plain["samples"] = self.samples
        return plain


ClientRunner = Callable[[ClientRuntime, Mapping[str, Any]], Awaitable[ScenarioResult]]
ServerRunner = Callable[[ServerRuntime, Mapping[str, Any]], Awaitable[None]]


@dataclass
class ScenarioDefinition:
    """A scenario: what it is, its settings, and its two sides."""

    name: str
    description: str
    defaults: dict[str, Any]
    client_runner: ClientRunner
    server_runner: ServerRunner


def settings(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults and what was asked for instead."""
    return {**SCENARIOS[name].defaults, **{key: value for key, value in overrides.items() if value is not None}}


def percentile(values: list[float], part: float) -> float:
    """The value below which so many percent lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))] if ordered else 0.0


def per_second(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0


async def large_array_client(runtime: ClientRuntime, overrides: Mapping[str, Any]) -> ScenarioResult:
    config = settings("large-array", overrides)
    size, iterations = int(config["message_bytes"]), int(config["iterations"])
    payload = bytearray(b"\x5a") * size
    times = []
    for index in range(int(config["warmup"]) + iterations):
        start = time.perf_counter()
        await runtime.client.asend(payload, LARGE_TAG)
        await runtime.flush()
        if index >= int(config["warmup"]):
            times.append(time.perf_counter() - start)
    rates = [per_second(size, each) / 1e9 for each in times]
    metrics = {
        "total_seconds": sum(times),
        "avg_seconds_per_iter": sum(times) / max(1, iterations),
        "avg_gbps": per_second(size * iterations, sum(times)) / 1e9,
        "best_gbps": max(rates, default=0.0),
        "worst_gbps": min(rates, default=0.0),
    }
    return ScenarioResult("large-array", metrics, {"duration_seconds": times, "per_iter_gbps": rates}, config)


async def large_array_server(runtime: ServerRuntime, overrides: Mapping[str, Any]) -> None:
    config = settings("large-array", overrides)
    buffer = bytearray(int(config["message_bytes"]))
    await runtime.signal_ready()
    for _ in range(int(config["warmup"]) + int(config["iterations"])):
        await runtime.server.arecv(buffer, LARGE_TAG, runtime.tag_mask)
    await runtime.flush_endpoint()


async def small_messages_client(runtime: ClientRuntime, overrides: Mapping[str, Any]) -> ScenarioResult:
    config = settings("small-messages", overrides)
    size, count, iterations = int(config["message_bytes"]), int(config["concurrency"]), int(config["iterations"])
    payloads = [bytearray([index % 251]) * size for index in range(count)]
    times = []
    for index in range(int(config["warmup_batches"]) + iterations):
        start = time.perf_counter()
        await asyncio.gather(*[runtime.client.asend(payload, SMALL_TAG) for payload in payloads])
        await runtime.flush()
        if index >= int(config["warmup_batches"]):
            times.append(time.perf_counter() - start)
    each = [batch / max(1, count) for batch in times]
    metrics = {
        "total_seconds": sum(times),
        "messages_per_second": per_second(iterations * count, sum(times)),
        "bandwidth_gbps": per_second(iterations * count * size, sum(times)) / 1e9,
        "latency_p50_us": (statistics.median(each) if each else 0.0) * 1e6,
        "latency_p95_us": percentile(each, 95) * 1e6,
    }
    return ScenarioResult("small-messages", metrics, {"batch_duration_seconds": times, "avg_latency_seconds": each}, config)


async def small_messages_server(runtime: ServerRuntime, overrides: Mapping[str, Any]) -> None:
    config = settings("small-messages", overrides)
    buffers = [bytearray(int(config["message_bytes"])) for _ in range(int(config["concurrency"]))]
    await runtime.signal_ready()
    for _ in range(int(config["warmup_batches"]) + int(config["iterations"])):
        await asyncio.gather(*[runtime.server.arecv(buffer, SMALL_TAG, runtime.tag_mask) for buffer in buffers])
    await runtime.flush_endpoint()


async def pingpong_client(runtime: ClientRuntime, overrides: Mapping[str, Any]) -> ScenarioResult:
    config = settings("pingpong-flag", overrides)
    ping, pong = bytearray(b"\x01"), bytearray(1)
    times = []
    for index in range(int(config["warmup"]) + int(config["iterations"])):
        answer = runtime.client.arecv(pong, PONG_TAG, runtime.tag_mask)
        start = time.perf_counter()
        await runtime.client.asend(ping, PING_TAG)
        await answer
        if index >= int(config["warmup"]):
            times.append(time.perf_counter() - start)
    await runtime.flush()
    average = sum(times) / max(1, len(times)) * 1e6
    metrics = {
        "avg_rtt_us": average,
        "median_rtt_us": (statistics.median(times) if times else 0.0) * 1e6,
        "min_rtt_us": min(times, default=0.0) * 1e6,
        "max_rtt_us": max(times, default=0.0) * 1e6,
        "p99_rtt_us": percentile(times, 99) * 1e6,
        "avg_one_way_us": average / 2,
    }
    return ScenarioResult("pingpong-flag", metrics, {"rtt_seconds": times}, config)


async def pingpong_server(runtime: ServerRuntime, overrides: Mapping[str, Any]) -> None:
    config = settings("pingpong-flag", overrides)
    ping, pong = bytearray(1), bytearray(b"\x01")
    await runtime.signal_ready()
    for _ in range(int(config["warmup"]) + int(config["iterations"])):
        await runtime.server.arecv(ping, PING_TAG, runtime.tag_mask)
        await runtime.server.asend(runtime.endpoint, pong, PONG_TAG)
    await runtime.flush_endpoint()


async def streaming_client(runtime: ClientRuntime, overrides: Mapping[str, Any]) -> ScenarioResult:
    config = settings("streaming-duplex", overrides)
    size, iterations = int(config["message_bytes"]), int(config["iterations"])
    up, down = bytearray(b"\x7b") * size, bytearray(size)
    times = []
    for index in range(int(config["warmup"]) + iterations):
        received = runtime.client.arecv(down, DOWN_TAG, runtime.tag_mask)
        start = time.perf_counter()
        await asyncio.gather(runtime.client.asend(up, UP_TAG), received)
        if index >= int(config["warmup"]):
            times.append(time.perf_counter() - start)
    await runtime.flush()
    one_way = per_second(size * iterations, sum(times)) / 1e9
    metrics = {
        "total_seconds": sum(times),
        "avg_seconds_per_iter": sum(times) / max(1, iterations),
        "client_to_server_gbps": one_way,
        "server_to_client_gbps": one_way,
        "aggregate_gbps": 2 * one_way,
    }
    return ScenarioResult("streaming-duplex", metrics, {"iteration_seconds": times}, config)


async def streaming_server(runtime: ServerRuntime, overrides: Mapping[str, Any]) -> None:
    config = settings("streaming-duplex", overrides)
    up, down = bytearray(int(config["message_bytes"])), bytearray(b"\x3c") * int(config["message_bytes"])
    await runtime.signal_ready()
    for _ in range(int(config["warmup"]) + int(config["iterations"])):
        received = runtime.server.arecv(up, UP_TAG, runtime.tag_mask)
        await asyncio.gather(received, runtime.server.asend(runtime.endpoint, down, DOWN_TAG))
    await runtime.flush_endpoint()


SCENARIOS: dict[str, ScenarioDefinition] = {
    each.name: each
    for each in (
        ScenarioDefinition(
            "large-array",
            "One large buffer at a time, one way.",
            {"message_bytes": 1 << 30, "warmup": 1, "iterations": 3},
            large_array_client,
            large_array_server,
        ),
        ScenarioDefinition(
            "small-messages",
            "Many small messages at once.",
            {"message_bytes": 1024, "warmup_batches": 2, "iterations": 10, "concurrency": 64},
            small_messages_client,
            small_messages_server,
        ),
        ScenarioDefinition(
            "pingpong-flag",
            "One byte there and back.",
            {"warmup": 100, "iterations": 1000},
            pingpong_client,
            pingpong_server,
        ),
        ScenarioDefinition(
            "streaming-duplex",
            "Medium buffers both ways at once.",
            {"message_bytes": 4 << 20, "warmup": 8, "iterations": 64},
            streaming_client,
            streaming_server,
        ),
    )
}
