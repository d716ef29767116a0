"""An origin with many behaviours, chosen by path, and TCP services beside it. Own HTTP, so that nothing tidies up.

It runs in a thread with an event loop of its own, inside the test's process: a test asks `origin.seen` what arrived.
"""

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import json
import socket
import ssl
import struct
import threading
import time
import urllib.parse

from . import websocket


def pattern(count: int, start: int = 0) -> bytes:
    """`count` bytes of a stream in which every position has its own neighbourhood: a shift or a hole changes the hash."""
    first, skip = start // 32, start % 32
    blocks = (hashlib.sha256(index.to_bytes(8, "big")).digest() for index in range(first, (start + count + 31) // 32))
    return b"".join(blocks)[skip : skip + count]


PAGE = pattern(1 << 16)


def body_of(count: int) -> bytes:
    """A body of `count` bytes: 64 KiB pages, each with its number in front."""
    pages = (index.to_bytes(8, "big") + PAGE[8:] for index in range(count // len(PAGE) + 1))
    return b"".join(pages)[:count]


def pages_of(count: int):
    """The same in pieces, without holding it."""
    for index in range(-(-count // len(PAGE))):
        piece = index.to_bytes(8, "big") + PAGE[8:]
        yield piece[: min(len(piece), count - index * len(PAGE))]


def hash_of(count: int) -> str:
    digest = hashlib.sha256()
    for piece in pages_of(count):
        digest.update(piece)
    return digest.hexdigest()


@dataclasses.dataclass
class Request:
    raw: bytes
    method: str
    target: str
    version: str
    fields: list
    trailers: list = dataclasses.field(default_factory=list)
    body_bytes: int = 0
    ended: bool = False

    def value(self, name: str) -> str | None:
        return next((v for n, v in self.fields if n.lower() == name.lower()), None)

    @property
    def path(self) -> str:
        return urllib.parse.urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.target).query))


class Gone(Exception):
    """The other side ended the connection in the middle of a message."""


class Exchange:
    """One request and the connection it came on; behaviours write with it."""

    def __init__(self, origin: "Origin", request: Request, reader, writer):
        self.origin, self.request, self.reader, self.writer = origin, request, reader, writer
        self.keep = (request.value("connection") or "").lower() != "close" and request.version == "HTTP/1.1"
        self.body_read = False

    async def write(self, data: bytes):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int, fields=(), reason: str = "Fine"):
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{n}: {v}" for n, v in fields), "", ""]
        await self.write("\r\n".join(lines).encode("latin-1"))

    async def answer(self, body: bytes, status: int = 200, fields=(), kind: str = "text/plain"):
        await self.head(status, [("Content-Type", kind), ("Content-Length", len(body)), *fields])
        if self.request.method != "HEAD":
            await self.write(body)

    async def chunk(self, data: bytes):
        await self.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def body(self):
        """The pieces of the request's body."""
        self.body_read = True
        request = self.request
        if "chunked" in (request.value("transfer-encoding") or "").lower():
            while True:
                line = await self.line()
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    while line := await self.line():
                        name, _, value = line.decode("latin-1").partition(":")
                        request.trailers.append((name, value.strip()))
                    break
                left = size
                while left:
                    piece = await self.reader.read(min(left, 65536))
                    if not piece:
                        raise Gone
                    left -= len(piece)
                    request.body_bytes += len(piece)
                    yield piece
                if await self.line() != b"":
                    raise Gone
        else:
            left = int(request.value("content-length") or 0)
            while left:
                piece = await self.reader.read(min(left, 65536))
                if not piece:
                    raise Gone
                left -= len(piece)
                request.body_bytes += len(piece)
                yield piece
        request.ended = True

    async def line(self) -> bytes:
        line = await self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise Gone
        return line[:-2]

    def reset(self):
        """Ends the connection by RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class Behaviours:
    """One method for each path: `/NAME` or `/NAME/ARGUMENT`. Queries carry the rest."""

    async def page(self, x: Exchange, argument):
        await x.answer(b"<!doctype html><title>sample</title><p>Hello from the origin.\n", kind="text/html")

    async def echo(self, x: Exchange, argument):
        """The received head as JSON: raw bytes (base64), and fields in order."""
        request = x.request
        pieces = [piece async for piece in x.body()]
        value = {
            "method": request.method, "target": request.target, "version": request.version, "fields": request.fields,
            "raw": base64.b64encode(request.raw).decode(), "body": base64.b64encode(b"".join(pieces)).decode(), "trailers": request.trailers,
        }  # fmt: skip
        await x.answer(json.dumps(value).encode(), kind="application/json")

    async def bytes(self, x: Exchange, argument):
        """A sized body."""
        count = int(argument)
        await x.head(200, [("Content-Length", count), ("Content-Type", "application/octet-stream")])
        if x.request.method != "HEAD":
            for piece in pages_of(count):
                await x.write(piece)

    async def chunked(self, x: Exchange, argument):
        """The same, chunked; `size` is of a chunk."""
        count, size = int(argument), int(x.request.query.get("size", 65536))
        await x.head(200, [("Transfer-Encoding", "chunked")])
        if size == 65536:
            for piece in pages_of(count):
                await x.chunk(piece)
        else:
            body = body_of(count)
            for start in range(0, count, size):
                await x.chunk(body[start : start + size])
        await x.write(b"0\r\n\r\n")

    async def slow(self, x: Exchange, argument):
        """`argument` single bytes, one each `every` milliseconds."""
        count, pause = int(argument), float(x.request.query.get("every", 10)) / 1000
        await x.head(200, [("Content-Length", count)])
        for byte in body_of(count):
            await x.write(bytes([byte]))
            await asyncio.sleep(pause)

    async def untilclose(self, x: Exchange, argument):
        """A body whose only end is the connection's."""
        x.keep = False
        await x.head(200, [("Connection", "close")])
        for piece in pages_of(int(argument)):
            await x.write(piece)

    async def trailers(self, x: Exchange, argument):
        await x.head(200, [("Transfer-Encoding", "chunked"), ("Trailer", "X-Checksum, X-Last")])
        await x.chunk(b"body with trailers")
        bad = "Content-Length: 5\r\nHost: evil\r\nSet-Cookie: a=b\r\n" if x.request.query.get("bad") else ""
        await x.write(f"0\r\nX-Checksum: 1234\r\n{bad}X-Last: yes\r\n\r\n".encode())

    async def sse(self, x: Exchange, argument):
        """`argument` events, one each `every` milliseconds; data is the sender's monotonic clock."""
        pause = float(x.request.query.get("every", 100)) / 1000
        fields = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"), ("Transfer-Encoding", "chunked")]
        await x.head(200, fields)
        for index in range(int(argument)):
            await asyncio.sleep(pause)
            await x.chunk(f"id: {index}\ndata: {time.monotonic()}\n\n".encode())
        await x.write(b"0\r\n\r\n")

    async def hash(self, x: Exchange, argument):
        """SHA-256 and size of what was uploaded."""
        digest = hashlib.sha256()
        async for piece in x.body():
            digest.update(piece)
        value = {"sha256": digest.hexdigest(), "bytes": x.request.body_bytes, "trailers": x.request.trailers}
        await x.answer(json.dumps(value).encode(), kind="application/json")

    async def status(self, x: Exchange, argument):
        """Any status; 204 and 304 without a body, the others with a short one."""
        status = int(argument)
        if status == 204:
            await x.head(204, [("X-Kept", "yes")], "No Content")
        elif status == 304:
            await x.head(304, [("Content-Length", 1234), ("ETag", '"same"')], "Not Modified")
        else:
            await x.answer(b"status body", status)

    async def early(self, x: Exchange, argument):
        """A final answer at once, without reading the body, then an orderly close."""
        x.keep = False
        await x.answer(b"too much\n", int(argument or 413), [("Connection", "close")])
        x.writer.write_eof()
        with contextlib.suppress(asyncio.TimeoutError, OSError):
            await asyncio.wait_for(x.reader.read(1), 1)
        x.body_read = True

    async def expect(self, x: Exchange, argument):
        """Sends 100 after `argument` milliseconds when it was asked for, then reads and hashes."""
        if (x.request.value("expect") or "").lower() == "100-continue":
            await asyncio.sleep(float(argument or 0) / 1000)
            await x.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await self.hash(x, argument)

    async def hints(self, x: Exchange, argument):
        for index in range(int(argument or 2)):
            await x.write(f"HTTP/1.1 103 Early Hints\r\nLink: </style{index}.css>; rel=preload\r\n\r\n".encode())
            await asyncio.sleep(0.05)
        await x.answer(b"after the hints")

    async def cookies(self, x: Exchange, argument):
        fields = [("Set-Cookie", f"c{i}=v{i}; Expires=Wed, 21 Oct 2026 07:28:00 GMT") for i in range(5)]
        await x.answer(b"cookies", fields=[*fields, ("X-Order", "1"), ("x-order", "2"), ("X-Order", "3")])

    async def hop(self, x: Exchange, argument):
        """An answer full of hop-by-hop fields."""
        fields = [("Connection", "close, X-Private"), ("X-Private", "secret"), ("Keep-Alive", "timeout=1"), ("Proxy-Connection", "close")]
        x.keep = False
        await x.answer(b"hop", fields=[*fields, ("X-Public", "stays")])

    async def die(self, x: Exchange, argument):
        """Sends `argument` bytes of a bigger body and dies; `as` = length, chunked or close; `by` = fin or rst."""
        x.keep = False
        count, kind, by = int(argument), x.request.query.get("as", "length"), x.request.query.get("by", "fin")
        if kind == "length":
            await x.head(200, [("Content-Length", count + 100_000)])
        elif kind == "chunked":
            await x.head(200, [("Transfer-Encoding", "chunked")])
        else:
            await x.head(200, [("Connection", "close")])
        if kind == "chunked":
            if count:
                await x.chunk(body_of(count))
        else:
            await x.write(body_of(count))
        await asyncio.sleep(0.1)  # what was written is on its way before the RST overtakes it
        if by == "rst":
            x.reset()

    async def hang(self, x: Exchange, argument):
        """No answer, until the origin is closed or the caller goes; `origin.gone` counts the latter."""
        with contextlib.suppress(asyncio.TimeoutError, OSError):
            if not await asyncio.wait_for(x.reader.read(1), float(argument or 3600)):
                x.origin.gone += 1
        x.keep = False
        x.body_read = True

    async def stall(self, x: Exchange, argument):
        """Stops reading: neither the body nor an answer, until `origin.release` is set."""
        x.writer.transport.pause_reading()
        while not x.origin.release.is_set():
            await asyncio.sleep(0.05)
        x.writer.transport.resume_reading()
        await self.hash(x, argument)

    async def ws(self, x: Exchange, argument):
        """A WebSocket that echoes messages, fragments as fragments; `/ws/reject` answers 403, `/ws/first` speaks first."""
        request = x.request
        x.keep, x.body_read = False, True
        key = request.value("sec-websocket-key")
        if argument == "reject" or not key:
            await x.answer(b"no websocket here", 403)
            x.keep = True
            return
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", websocket.accept_of(key))]
        if request.value("sec-websocket-protocol"):
            fields.append(("Sec-WebSocket-Protocol", request.value("sec-websocket-protocol").split(",")[0].strip()))
        await x.head(101, fields, "Switching Protocols")
        if argument == "first":
            await x.write(websocket.frame(websocket.TEXT, b"hello first", mask=False))
        if argument == "raw":  # bytes, not messages: what came goes back, until the FIN
            while data := await x.reader.read(65536):
                await x.write(data)
            return
        frames = websocket.Frames()
        while data := await x.reader.read(65536):
            frames.feed(data)
            while (found := frames.next()) is not None:
                opcode, payload, final, masked = found
                if not masked:
                    return
                if opcode == websocket.CLOSE:
                    await x.write(websocket.frame(websocket.CLOSE, payload, mask=False))
                    return
                if opcode == websocket.PING:
                    opcode = websocket.PONG
                await x.write(websocket.frame(opcode, payload, final, mask=False))

    async def hostile(self, x: Exchange, argument):
        """Answers that an origin must not give; `HOSTILE` names them."""
        x.keep = False
        await x.write(HOSTILE[argument])
        await asyncio.sleep(0.1)

    async def upgrade(self, x: Exchange, argument):
        """A 101 nobody asked for."""
        x.keep = False
        await x.head(101, [("Upgrade", "something"), ("Connection", "Upgrade")], "Switching Protocols")

    async def fields(self, x: Exchange, argument):
        """`argument` KiB of fields in the answer."""
        await x.answer(b"many", fields=[(f"X-{i}", "v" * 1000) for i in range(int(argument))])


HOSTILE = {
    "te-and-cl": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "list-length": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
    "bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "not-http": b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
    "no-status": b"HTTP/1.1\r\n\r\n",
    "bad-status": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "nul-in-field": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "bare-cr": b"HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n",
    "te-in-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "huge-head": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 1000) for i in range(200)) + b"\r\n",
    "nothing": b"",
}


class Origin:
    """Serves `Behaviours` on a port of 127.0.0.1 (or `host`, a unix socket path, or with TLS)."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, unix: str | None = None, tls: ssl.SSLContext | None = None):
        self.host, self.wanted_port, self.unix, self.tls = host, port, unix, tls
        self.seen: list[Request] = []
        self.connections = 0
        self.gone = 0
        self.release = threading.Event()
        self.behaviours = Behaviours()
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self.tasks: set = set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.ready.wait(5)
        if self.failure:
            raise self.failure

    def run(self):
        asyncio.set_event_loop(self.loop)
        try:
            if self.unix:
                self.server = self.loop.run_until_complete(asyncio.start_unix_server(self.serve, self.unix, limit=1 << 20, ssl=self.tls))
                self.port = 0
            else:
                start = asyncio.start_server(self.serve, self.host, self.wanted_port, limit=1 << 20, backlog=512, ssl=self.tls)
                self.server = self.loop.run_until_complete(start)
                self.port = self.server.sockets[0].getsockname()[1]
        except OSError as error:
            self.failure = error
            self.ready.set()
            return
        self.ready.set()
        self.loop.run_forever()
        for task in list(self.tasks):
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*self.tasks, return_exceptions=True))
        self.loop.close()

    async def serve(self, reader, writer):
        self.connections += 1
        task = asyncio.current_task()
        self.tasks.add(task)
        connection = writer.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self.one(reader, writer):
                pass
        except (Gone, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def one(self, reader, writer) -> bool:
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self.seen.append(Request(error.partial, "?", "?", "?", []))
            return False
        lines = raw.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        fields = [(n, v.strip(" \t")) for n, _, v in (line.partition(":") for line in lines[1:-2])]
        request = Request(raw, method, target, version, fields)
        self.seen.append(request)
        exchange = Exchange(self, request, reader, writer)
        name, _, argument = request.path.lstrip("/").partition("/")
        behaviour = getattr(self.behaviours, name or "page", None) if not name.startswith("_") else None
        if behaviour is None:
            await exchange.answer(b"no such behaviour\n", 404)
        else:
            await behaviour(exchange, argument)
        if not exchange.body_read:
            async for _ in exchange.body():
                pass
        return exchange.keep

    def saw(self, mark: str) -> list[Request]:
        """The requests whose bytes contain `mark`."""
        return [r for r in self.seen if mark.encode() in r.raw]

    def close(self):
        self.release.set()

        def stop():
            self.server.close()
            self.loop.stop()

        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(stop)
            self.thread.join(5)


class TCPService:
    """TCP in four characters. `kind`: echo; sink (reads to the end, then says how many bytes and their hash);
    source (sends `count` bytes of the known body at once, half-closes, reads on); quiet (accepts, reads nothing)."""

    def __init__(self, kind: str = "echo", count: int = 0, port: int = 0, host: str = "127.0.0.1"):
        self.kind, self.count = kind, count
        self.listener = socket.create_server((host, port), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.accepted: list[socket.socket] = []
        self.received: list[bytes] = []
        self.resets = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            getattr(self, self.kind)(connection)
        except OSError:
            self.resets += 1
        finally:
            if self.kind != "quiet":
                connection.close()

    def echo(self, connection):
        while data := connection.recv(65536):
            connection.sendall(data)

    def sink(self, connection):
        digest, count = hashlib.sha256(), 0
        while data := connection.recv(65536):
            digest.update(data)
            count += len(data)
        time.sleep(0.05)  # the answer comes after the end, not with it
        connection.sendall(f"{count} {digest.hexdigest()}\n".encode())

    def source(self, connection):
        for piece in pages_of(self.count):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while more := connection.recv(65536):
            data += more
        self.received.append(data)

    def quiet(self, connection):
        pass

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
