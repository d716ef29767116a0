"""A visitor that keeps what it saw: every byte of a head, interim answers, trailers, and how the body ended."""

import dataclasses
import json
import socket

from .causeway import connect


@dataclasses.dataclass
class Response:
    status: int = 0
    version: str = ""
    reason: str = ""
    fields: list = dataclasses.field(default_factory=list)
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    interim: list = dataclasses.field(default_factory=list)
    framing: str = "none"  # none, length, chunked, close
    complete: bool = False
    reset: bool = False
    chunks: list = dataclasses.field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        found = self.values(name)
        return found[0] if found else None

    def json(self):
        return json.loads(self.body)


class Closed(Exception):
    """The connection ended before the whole head of an answer. `data` is what came; `reset` how it ended."""

    def __init__(self, data: bytes, reset: bool):
        super().__init__(f"closed {'by reset ' if reset else ''}after {data[:200]!r}")
        self.data, self.reset = data, reset


class Visitor:
    """One connection to a port, with any Host. Bytes go out as given: broken requests are its purpose."""

    def __init__(self, port: int, host: str, address: str = "127.0.0.1", seconds: float = 10, source=None):
        self.host = host
        if source is not None:
            self.connection = socket.create_connection((address, port), seconds, source_address=(source, 0))
        else:
            self.connection = connect(port, address, seconds)
        self.buffer = b""
        self.reset = False
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def send(self, data: bytes):
        self.connection.sendall(data)

    def request(self, method: str, target: str, fields=(), body: bytes | None = None, version="HTTP/1.1", host=True):
        """Sends one request. A body gets its Content-Length unless a framing field stands in `fields`."""
        lines = [f"{method} {target} {version}"] + ([f"Host: {self.host}"] if host else [])
        lines += [f"{n}: {v}" for n, v in fields]
        framed = any(n.lower() in ("content-length", "transfer-encoding") for n, _ in fields)
        if body is not None and not framed:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def more(self) -> bool:
        """Reads once; False at the end, and `reset` says whether that was an RST."""
        if self.ended:
            return False
        try:
            data = self.connection.recv(262144)
        except (ConnectionResetError, BrokenPipeError):
            self.reset, data = True, b""
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def head(self) -> Response:
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                raise Closed(self.buffer, self.reset)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        version, status, *reason = lines[0].split(" ", 2)
        fields = [(n, v.strip(" \t")) for n, _, v in (line.partition(":") for line in lines[1:])]
        return Response(int(status), version, reason[0] if reason else "", fields)

    def response(self, method: str = "GET") -> Response:
        """The next final answer with its body to the end; interim answers (1xx but 101) are kept beside it."""
        interim = []
        while (answer := self.head()).status < 200 and answer.status != 101:
            interim.append(answer)
        answer.interim = interim
        self.body_of(answer, method)
        return answer

    def body_of(self, answer: Response, method: str = "GET"):
        if method == "HEAD" or answer.status in (101, 204, 304):
            answer.complete = True
        elif "chunked" in (answer.value("transfer-encoding") or "").lower():
            answer.framing = "chunked"
            self.chunked(answer)
        elif (length := answer.value("content-length")) is not None:
            answer.framing = "length"
            answer.body = self.exactly(int(length))
            answer.complete = len(answer.body) == int(length)
        else:
            answer.framing = "close"
            parts = [self.buffer]
            self.buffer = b""
            while self.more():
                parts.append(self.buffer)
                self.buffer = b""
            answer.body = b"".join(parts)
            answer.complete = not self.reset
        answer.reset = self.reset

    def exactly(self, count: int) -> bytes:
        """`count` bytes, or fewer when the connection ends before."""
        parts, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < count and self.more():
            parts.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def line(self) -> bytes | None:
        while b"\r\n" not in self.buffer:
            if not self.more():
                return None
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def chunked(self, answer: Response):
        parts = []
        while (line := self.line()) is not None:
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while line := self.line():
                    name, _, value = line.decode("latin-1").partition(":")
                    answer.trailers.append((name, value.strip()))
                answer.complete = line == b""
                break
            data = self.exactly(size)
            parts.append(data)
            answer.chunks.append(len(data))
            if len(data) < size or self.line() != b"":
                break
        answer.body = b"".join(parts)

    def at_end(self, seconds: float = 5) -> bool:
        """Whether the other side closes without another byte."""
        self.connection.settimeout(seconds)
        try:
            while self.more():
                if self.buffer:
                    return False
        except TimeoutError:
            return False
        return not self.buffer


def fetch(port: int, host: str, target: str = "/", method: str = "GET", fields=(), body: bytes | None = None, **options) -> Response:
    """One request on a connection of its own."""
    with Visitor(port, host, **options) as visitor:
        visitor.request(method, target, [*fields, ("Connection", "close")], body)
        return visitor.response(method)


def raw(port: int, data: bytes, seconds: float = 5, address: str = "127.0.0.1") -> bytes:
    """Sends bytes as they are; everything that comes back until the other side closes or stays silent for `seconds`."""
    with connect(port, address, seconds) as connection:
        answer = b""
        try:
            connection.sendall(data)
            while more := connection.recv(65536):
                answer += more
        except (TimeoutError, ConnectionError):
            pass
        return answer
