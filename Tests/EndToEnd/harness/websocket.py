"""RFC 6455 as an observer needs it: frames by hand, for client and origin, broken ones on purpose too."""

import base64
import hashlib
import os
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def accept_of(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def masked(payload: bytes, key: bytes) -> bytes:
    if not payload:
        return b""
    pattern = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(len(payload), "big")


def frame(opcode: int, payload: bytes = b"", final: bool = True, mask: bool = True, reserved: int = 0) -> bytes:
    size = len(payload)
    first = (0x80 if final else 0) | reserved << 4 | opcode
    bit = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + masked(payload, key)


def handshake(host: str, path: str = "/ws", fields=()) -> tuple[bytes, str]:
    """A client's request, and the accept value that must come back."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *fields, "", ""]
    return "\r\n".join(lines).encode(), accept_of(key)


class Frames:
    """Frames out of bytes: `feed` bytes in, `next` gives (opcode, payload, final, masked) or None."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data: bytes):
        self.buffer += data

    def next(self):
        data = self.buffer
        if len(data) < 2:
            return None
        size, offset = data[1] & 127, 2
        if size == 126:
            if len(data) < 4:
                return None
            size, offset = struct.unpack_from("!H", data, 2)[0], 4
        elif size == 127:
            if len(data) < 10:
                return None
            size, offset = struct.unpack_from("!Q", data, 2)[0], 10
        has_mask = bool(data[1] & 128)
        end = offset + (4 if has_mask else 0) + size
        if len(data) < end:
            return None
        payload = bytes(data[end - size : end])
        if has_mask:
            payload = masked(payload, bytes(data[offset : offset + 4]))
        opcode, final = data[0] & 15, bool(data[0] & 128)
        del data[:end]
        return opcode, payload, final, has_mask


class WebSocket:
    """A client on a connected socket. Messages are whole; control frames between fragments are answered or kept."""

    def __init__(self, connection, host: str, path: str = "/ws", fields=()):
        self.connection = connection
        self.frames = Frames()
        self.pongs: list[bytes] = []
        request, accept = handshake(host, path, fields)
        connection.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(4096)
            if not more:
                raise AssertionError(f"closed in the handshake after {head!r}")
            head += more
        head, _, rest = head.partition(b"\r\n\r\n")
        self.head = head.decode("latin-1")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(f"no 101: {self.head!r}")
        if accept.lower() not in self.head.lower():
            raise AssertionError(f"the accept value {accept} is not in {self.head!r}")
        self.frames.feed(rest)

    def send(self, payload: bytes, opcode: int = BINARY, final: bool = True):
        self.connection.sendall(frame(opcode, payload, final))

    def receive_frame(self):
        while (found := self.frames.next()) is None:
            data = self.connection.recv(65536)
            if not data:
                return None
            self.frames.feed(data)
        return found

    def receive(self) -> tuple[int, bytes] | None:
        """(opcode, payload) of the next message or Close; None when the connection ended."""
        message, kind = b"", None
        while True:
            found = self.receive_frame()
            if found is None:
                return None
            opcode, payload, final, _ = found
            if opcode == PONG:
                self.pongs.append(payload)
            elif opcode == PING:
                self.connection.sendall(frame(PONG, payload))
            elif opcode == CLOSE:
                return CLOSE, payload
            else:
                kind = opcode if kind is None else kind
                message += payload
                if final:
                    return kind, message

    def close(self):
        self.connection.close()
