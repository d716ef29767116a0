"""WebSockets in numbers: `serve` is an echoing origin that parks them cheaply; `open_many` opens and holds them."""

import asyncio
import base64
import hashlib
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Parked(asyncio.Protocol):
    """Answers the upgrade, then echoes small unfragmented frames (unmasked), which is all the load sends."""

    def __init__(self):
        self.head = b""
        self.open = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.open:
            self.echo(data)
            return
        self.head += data
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if not end:
            return
        self.head = b""
        key = next((line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")), None)
        if key is None:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()
            return
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.open = True
        if rest:
            self.echo(rest)

    def echo(self, frame):
        size = frame[1] & 127
        if size > 125 or len(frame) != 6 + size:
            self.transport.close()
            return
        mask, body = frame[2:6], frame[6:]
        self.transport.write(bytes([frame[0], size]) + bytes(b ^ mask[i & 3] for i, b in enumerate(body)))


async def serve():
    server = await asyncio.get_running_loop().create_server(Parked, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def open_many(port: int, host: str | None, count: int, at_once: int = 64) -> list[asyncio.StreamWriter]:
    """Opens `count` WebSockets, echoes one message on each, and returns their writers."""
    gate = asyncio.Semaphore(at_once)
    request = (
        f"GET /ws HTTP/1.1\r\nHost: {host or f'127.0.0.1:{port}'}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()

    async def one():
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            if not head.startswith(b"HTTP/1.1 101"):
                raise AssertionError(f"no 101 but {head[:80]!r}")
            writer.write(b"\x81\x84abcd" + bytes(x ^ y for x, y in zip(b"ping", b"abcd")))
            frame = await asyncio.wait_for(reader.readexactly(6), 20)
            if frame != b"\x81\x04ping":
                raise AssertionError(f"the echo was {frame!r}")
            return writer

    return await asyncio.gather(*(one() for _ in range(count)))


if __name__ == "__main__":
    if sys.argv[1:] != ["serve"]:
        sys.exit("usage: websockets.py serve")
    asyncio.run(serve())
