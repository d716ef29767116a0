"""The program under test: a relay with its accounts, and clients of it."""

import itertools
import json
import os
import re
import socket

from .processes import Process, Scratch, binary, run

READY_SECONDS = 10


def program() -> str:
    path = binary()
    if not path:
        raise FileNotFoundError("no causeway binary: run 'make build', or set CAUSEWAY_BIN")
    return path


class Relay:
    """`causeway relay` on loopback with a data folder of its own. `port` stays the same over `restart`.

    TCP tunnels get a range of their own unless `options` or `tcp_ports=None` say otherwise: relays of tests that run
    side by side must not meet on a port.
    """

    ranges = itertools.count()

    def __init__(self, *options, data=None, listen=("127.0.0.1:0",), tcp_ports="own", json_lines=True, env=None, prefix=(), start=True):
        self.scratch = None if data else Scratch("causeway-relay")
        self.data = data or self.scratch.path
        self.listen = list(listen)
        self.options = [str(o) for o in options]
        if tcp_ports == "own" and "--tcp-ports" not in self.options:
            first = 21000 + (os.getpid() * 20 + next(Relay.ranges)) % 500 * 20
            self.options += ["--tcp-ports", f"{first}-{first + 19}"]
        self.json_lines = json_lines
        self.env = env or {}
        self.prefix = prefix
        self.process: Process | None = None
        self.url = ""
        if start:
            self.start()

    def start(self):
        arguments = [program(), "relay", "--data", self.data]
        for address in self.listen:
            arguments += ["--listen", address]
        arguments += self.options + (["--json"] if self.json_lines else [])
        self.process = Process(arguments, env=self.env, prefix=self.prefix)
        try:
            first = self.process.line(0, READY_SECONDS)
            self.url = json.loads(first)["url"] if self.json_lines else first
        except (AssertionError, ValueError, KeyError) as error:
            self.process.kill()
            raise AssertionError(f"the relay's first line is not its ready line: {error}") from error
        self.host, self.port = address_of(self.url)
        return self

    def restart(self):
        """The same relay again: same data, and the port it had."""
        self.listen[0] = re.sub(r":0$", f":{self.port}", self.listen[0])
        return self.start()

    def account(self, email: str = "someone@example.org") -> str:
        """Adds an account; its token is all that stands on standard output."""
        code, output, errors = run([program(), "relay", "account", "add", email, "--data", self.data], env=self.env)
        assert code == 0, f"account add ended with {code}: {errors}"
        return output.strip()

    def admin(self, *arguments, seconds: float = 20) -> tuple[int, str, str]:
        """`causeway relay WORDS --data DIR`."""
        return run([program(), "relay", *arguments, "--data", self.data], env=self.env, seconds=seconds)

    def token_ids(self, email: str) -> list[str]:
        """What `token revoke` takes."""
        return [line.split("\t")[0] for line in self.admin("token", "list")[1].splitlines() if line.split("\t")[1] == email]

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self):
        if self.process:
            self.process.stop()
        if self.scratch:
            self.scratch.remove()


class Client:
    """`causeway http|tcp|start …`, with a configuration folder of its own so that no user's file is met."""

    def __init__(self, *arguments, server: str, token: str | None = None, json_lines=True, env=None, prefix=(), ready=True, stdin=None):
        self.scratch = Scratch("causeway-client")
        self.json_lines = json_lines
        environment = {"XDG_CONFIG_HOME": str(self.scratch), "HOME": str(self.scratch)}
        if token is not None:
            environment["CAUSEWAY_TOKEN"] = token
        environment.update(env or {})
        words = [program(), *arguments, "--server", server] + (["--json"] if json_lines else [])
        self.process = Process(words, env=environment, prefix=prefix, stdin=stdin)
        self.url = ""
        self.urls: list[str] = []
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.stop()
                raise

    def wait_ready(self, seconds: float = READY_SECONDS):
        if self.json_lines:
            ready = self.process.event("ready", seconds)
            self.url = ready["url"]
        else:
            self.url = self.process.line(0, seconds).rpartition("=")[2]
        self.host, self.port = address_of(self.url)

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self):
        self.process.stop()
        self.scratch.remove()


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL, with the scheme's port when none stands there."""
    match = re.fullmatch(r"([a-z]+)://(\[[^\]]+\]|[^:/]+)(?::(\d+))?/?", url)
    if not match:
        raise ValueError(f"not a URL of host and port: {url!r}")
    default = {"http": 80, "https": 443}.get(match[1], 0)
    return match[2].strip("[]"), int(match[3] or default)


def connect(port: int, host: str = "127.0.0.1", seconds: float = 10) -> socket.socket:
    """A plain TCP connection with a time-out on every operation, and no delay of small writes."""
    connection = socket.create_connection((host, port), seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
