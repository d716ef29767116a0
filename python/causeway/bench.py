"""`python -m causeway.bench`: Starway's scenarios and options, on causeway.

`--role loopback` measures within one process; `--role server` and `--role client` between two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .errors import Error
from .starway import Client, Server, ServerEndpoint
from .starway.benchmarks import ScenarioResult, get_scenario, list_scenarios
from .starway.benchmarks.scenarios import CONTROL_TAG, DONE_TAG, READY_TAG, TAG_MASK

SHUTDOWN = "__shutdown__"
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

# Option, the scenario's setting, whether it is a size.
OPTIONS = {
    "large-array": (("large-bytes", "message_bytes", True), ("large-iterations", "iterations", False), ("large-warmup", "warmup", False)),
    "small-messages": (
        ("small-bytes", "message_bytes", True),
        ("small-iterations", "iterations", False),
        ("small-warmup", "warmup_batches", False),
        ("small-concurrency", "concurrency", False),
    ),
    "pingpong-flag": (("flag-iterations", "iterations", False), ("flag-warmup", "warmup", False)),
    "streaming-duplex": (
        ("stream-bytes", "message_bytes", True),
        ("stream-iterations", "iterations", False),
        ("stream-warmup", "warmup", False),
    ),
}


def parse_size(text: str) -> int:
    """"4M", "1_000" or "0.5GiB" in bytes."""
    word = text.strip().lower().replace("_", "").removesuffix("b").removesuffix("i")
    unit = UNITS.get(word[-1:], 1)
    return int(float(word[:-1] if unit > 1 else word) * unit)


def size(text: str) -> int:
    """A size, as argparse wants it."""
    try:
        value = parse_size(text)
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4096, 64K or 1.5GiB")
    return value


def number(text: str) -> int:
    """A number that is not negative, as argparse wants it."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 0 or more")
    return int(text)


def worker_address(text: str) -> str:
    """What parse_worker_address will take, as argparse wants it."""
    try:
        parse_worker_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError("it is not what a server in --listen-mode worker printed") from None
    return text


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help says more\n")


def parse_worker_address(text: str) -> bytes:
    """Hexadecimal digits, with or without colons and blanks."""
    return bytes.fromhex(text.replace(":", "").replace(" ", ""))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog="python -m causeway.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=("server", "client", "loopback"), required=True)
    parser.add_argument("--addr", default="0.0.0.0", help="where the server listens")
    parser.add_argument("--port", type=number, default=17777)
    parser.add_argument("--server-host", default="127.0.0.1", help="where the client connects to")
    parser.add_argument("--listen-mode", choices=("socket", "worker"), default="socket")
    parser.add_argument("--connect-mode", choices=("socket", "worker"), default="socket")
    parser.add_argument("--worker-address", type=worker_address, help="what a server in --listen-mode worker printed")
    parser.add_argument("--tls", help="UCX's transports, such as tcp or sm; overrides UCX_TLS")
    parser.add_argument("--scenarios", nargs="*", help=f"which (all): {', '.join(list_scenarios())}")
    for scenario, options in OPTIONS.items():
        for option, setting, is_size in options:
            parser.add_argument(f"--{option}", type=size if is_size else number, help=f"{scenario}: {setting}")
    parser.add_argument("--output", type=pathlib.Path, help="a file for the results as JSON")
    parser.add_argument("--store-trace", action="store_true", help="with every sample")
    return parser


def scenario_plan(arguments: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    """The scenarios to run, each with the settings that were given."""
    names = arguments.scenarios or ["all"]
    if [name.lower() for name in names] == ["all"]:
        names = list_scenarios()
    plan = []
    for name in names:
        get_scenario(name)
        given = {setting: getattr(arguments, option.replace("-", "_")) for option, setting, _ in OPTIONS[name]}
        plan.append((name, {setting: value for setting, value in given.items() if value is not None}))
    return plan


class ClientSide:
    """A client of a benchmark, and what a scenario sees of it."""

    def __init__(self, client: Client) -> None:
        self.client, self.tag_mask = client, TAG_MASK

    async def flush(self) -> None:
        await self.client.aflush()

    async def tell(self, message: Mapping[str, Any]) -> None:
        await self.client.asend(json.dumps(message).encode(), CONTROL_TAG)
        await self.flush()

    async def hear(self, tag: int) -> None:
        await self.client.arecv(bytearray(1), tag, TAG_MASK)


class ServerSide:
    """The server of a benchmark, and what a scenario sees of it."""

    def __init__(self, server: Server, endpoint: ServerEndpoint) -> None:
        self.server, self.endpoint, self.tag_mask = server, endpoint, TAG_MASK

    async def signal_ready(self) -> None:
        await self.server.asend(self.endpoint, b"\x01", READY_TAG)

    async def flush_endpoint(self) -> None:
        await self.server.aflush_ep(self.endpoint)

    async def hear(self) -> dict[str, Any]:
        buffer = bytearray(4096)
        _, length = await self.server.arecv(buffer, CONTROL_TAG, TAG_MASK)
        return json.loads(buffer[:length])


async def run_client(arguments: argparse.Namespace) -> list[ScenarioResult]:
    """The client's side of all scenarios."""
    client = Client()
    if arguments.connect_mode == "worker":
        await client.aconnect_address(parse_worker_address(arguments.worker_address))
    else:
        await client.aconnect(arguments.server_host, arguments.port)
    side, results = ClientSide(client), []
    try:
        for name, overrides in scenario_plan(arguments):
            print(f"[client] {name} {overrides or ''}", flush=True)
            await side.tell({"scenario": name, "config": overrides})
            await side.hear(READY_TAG)
            results.append(await get_scenario(name).client_runner(side, overrides))
            await side.hear(DONE_TAG)
        await side.tell({"scenario": SHUTDOWN})
    finally:
        await client.aclose()
    return results


async def run_server(arguments: argparse.Namespace, listening: asyncio.Event | None = None) -> None:
    """The server's side of whatever a client asks for."""
    server, loop = Server(), asyncio.get_running_loop()
    accepted: asyncio.Queue[ServerEndpoint] = asyncio.Queue()
    server.set_accept_cb(lambda endpoint: loop.call_soon_threadsafe(accepted.put_nowait, endpoint))
    if arguments.listen_mode == "worker":
        arguments.worker_address = server.listen_address().hex()
        print(f"[server] Listening via worker address: {arguments.worker_address}", flush=True)
    else:
        server.listen(arguments.addr, arguments.port)
        print(f"[server] Listening on {arguments.addr}:{arguments.port}", flush=True)
    if listening:
        listening.set()
    side = ServerSide(server, await accepted.get())
    try:
        while (order := await side.hear())["scenario"] != SHUTDOWN:
            await get_scenario(order["scenario"]).server_runner(side, order.get("config", {}))
            await server.asend(side.endpoint, b"\x01", DONE_TAG)
    finally:
        await server.aclose()


async def run_loopback(arguments: argparse.Namespace) -> list[ScenarioResult]:
    """Both sides, on one loop."""
    listening = asyncio.Event()
    server = asyncio.create_task(run_server(arguments, listening))
    await asyncio.wait([server, asyncio.create_task(listening.wait())], return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        await server  # it says why it does not listen
    if server.done():
        await server
    if arguments.listen_mode == "worker":
        arguments.connect_mode = "worker"
    results = await run_client(arguments)
    await server
    return results


def dump_results(results: Sequence[ScenarioResult], arguments: argparse.Namespace) -> None:
    """The figures for people, and for programs when asked."""
    for result in results:
        print(f"\n[{result.name}] {get_scenario(result.name).description}")
        for key, value in result.metrics.items():
            print(f"  {key}: {value:.6f}")
    if arguments.output:
        report = {
            "timestamp": time.time(),
            "transport": os.environ.get("UCX_TLS"),
            "scenarios": [result.to_dict(include_samples=arguments.store_trace) for result in results],
        }
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=2))
        print(f"\nwritten to {arguments.output}")


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends the program with a line about options that do not go together."""
    if arguments.role == "client" and arguments.connect_mode == "worker" and not arguments.worker_address:
        parser.error("--connect-mode worker needs --worker-address")
    if arguments.port > 65535:
        parser.error("argument --port: it is more than 65535")
    if arguments.small_concurrency == 0:
        parser.error("argument --small-concurrency: it is 1 or more")
    try:
        scenario_plan(arguments)
    except ValueError as error:
        parser.error(f"argument --scenarios: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """The program."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    check(parser, arguments)
    if arguments.tls:
        os.environ["UCX_TLS"] = arguments.tls
    try:
        if arguments.role == "server":
            asyncio.run(run_server(arguments))
        else:
            dump_results(asyncio.run((run_client if arguments.role == "client" else run_loopback)(arguments)), arguments)
    except (Error, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
