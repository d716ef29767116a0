"""Version 3 of the wire, spoken by hand: control messages, frames and proofs as docs/protocol.md has them. Shares nothing with
the program, so that it can say what the program never would."""

import hashlib
import hmac
import os
import struct
import threading
import time

from .causeway import connect
from .proxy import Pair, Proxy

PATH = "/api/v1/ws/tunnel"
DATA, ACKNOWLEDGE, RESET, PING, PONG, CONTROL, SYNCHRONIZE = range(1, 8)
END = 1


# MessagePack: what control messages need of it.


def pack(value) -> bytes:
    if isinstance(value, bool) or value is None:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return b"\xcf" + struct.pack("!Q", value) if value >= 0 else b"\xd3" + struct.pack("!q", value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xda" + struct.pack("!H", len(data))) + data
    if isinstance(value, bytes):
        return b"\xc5" + struct.pack("!H", len(value)) + value
    if isinstance(value, dict):
        return b"\xde" + struct.pack("!H", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())
    raise TypeError(type(value))


def unpack(data: bytes, at: int = 0):
    """The value at `at`, and where the next one begins."""
    kind = data[at]
    at += 1

    def take(count):
        nonlocal at
        at += count
        if at > len(data):
            raise ValueError("cut short")
        return data[at - count : at]

    def number(form):
        return struct.unpack("!" + form, take(struct.calcsize(form)))[0]

    if kind < 0x80:
        return kind, at
    if kind >= 0xE0:
        return kind - 256, at
    if 0xA0 <= kind < 0xC0:
        return take(kind & 31).decode(), at
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    if kind in (0xC4, 0xC5, 0xC6):
        return take(number("BHI"[kind - 0xC4])), at
    if 0xCC <= kind <= 0xD3:
        return number("BHIQbhiq"[kind - 0xCC]), at
    if kind in (0xD9, 0xDA, 0xDB):
        return take(number("BHI"[kind - 0xD9])).decode(), at
    if 0x80 <= kind < 0x90 or kind in (0xDE, 0xDF):
        count = kind & 15 if kind < 0x90 else number("HI"[kind - 0xDE])
        found = {}
        for _ in range(count):
            key, at = unpack(data, at)
            found[key], at = unpack(data, at)
        return found, at
    raise ValueError(f"not expected in a control message: 0x{kind:02x}")


# Frames.


def frame(kind: int, payload: bytes = b"", stream: int = 0, flags: int = 0) -> bytes:
    return struct.pack("!BBHI", kind, flags, len(payload), stream) + payload


def control(kind: str, **values) -> bytes:
    return frame(CONTROL, pack({"Type": kind, **values}))


def proof(key: bytes, relay_nonce: bytes, client_nonce: bytes, session: bytes, generation: int) -> bytes:
    return hmac.new(key, relay_nonce + client_nonce + session + struct.pack("!I", generation), hashlib.sha256).digest()


class FrameReader:
    """Frames out of bytes: (kind, flags, stream, payload)."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        self.buffer += data
        found = []
        while len(self.buffer) >= 8:
            kind, flags, size, stream = struct.unpack_from("!BBHI", self.buffer)
            if len(self.buffer) < 8 + size:
                break
            found.append((kind, flags, stream, bytes(self.buffer[8 : 8 + size])))
            del self.buffer[: 8 + size]
        return found


class Lane:
    """A connection to a relay, up to its 101; pings are answered whenever something is read."""

    def __init__(self, port: int, host: str = "127.0.0.1", seconds: float = 10):
        self.connection = connect(port, host, seconds)
        request = f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: causeway/3\r\n\r\n"
        self.connection.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.connection.recv(4096)
            if not more:
                raise AssertionError(f"no 101: {head!r}")
            head += more
        head, _, rest = head.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise AssertionError(f"no 101: {head!r}")
        self.reader = FrameReader()
        self.frames = self.reader.feed(rest)
        self.nonce = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data: bytes):
        self.connection.sendall(data)

    def say(self, kind: str, **values):
        self.send(control(kind, **values))

    def frame(self):
        """The next frame that is no ping; None at the end of the connection. Pings alone don't count as an answer for ever."""
        end = time.monotonic() + self.connection.gettimeout()
        while True:
            if time.monotonic() > end:
                raise TimeoutError("only pings")
            while self.frames:
                found = self.frames.pop(0)
                if found[0] != PING:
                    return found
                self.send(frame(PONG, found[3]))
            try:
                data = self.connection.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return None
            self.frames = self.reader.feed(data)

    def hear(self) -> dict | None:
        """The next control message; None at the end of the connection."""
        while (found := self.frame()) is not None:
            if found[0] == CONTROL:
                return unpack(found[3])[0]
        return None

    def log_in(self, token: str) -> dict | None:
        """Sends the token; afterwards `nonce` is the relay's."""
        self.say("Auth", token=token, version=3)
        answer = self.hear()
        if answer and answer["Type"] == "HeartbeatAck":
            self.nonce = answer["nonce"]
        return answer

    def start(self) -> tuple[bytes, bytes]:
        self.say("SessionStart")
        answer = self.hear()
        assert answer and answer["Type"] == "SessionStarted", answer
        return answer["session"], answer["key"]

    def resume(self, session: bytes, key: bytes, generation: int) -> dict | None:
        """Proves and asks; the relay's answer."""
        mine = os.urandom(32)
        return self.resume_with(session, generation, mine, proof(key, self.nonce, mine, session, generation))

    def resume_with(self, session: bytes, generation: int, nonce: bytes, value: bytes) -> dict | None:
        self.say("SessionResume", session=session, generation=generation, nonce=nonce, proof=value)
        return self.hear()

    def create(self, name: str | None = None, request: int = 0) -> dict | None:
        self.say("TunnelCreate", request=request, protocol="http", **({"subdomain": name} if name else {}))
        return self.hear()

    def close(self):
        self.connection.close()


class Wiretap(Proxy):
    """A proxy that understands what goes by in the clear: `heard` holds control messages as (toward the client?, message).

    With `hold` the next connection that comes so far falls silent in both directions right before the relay's message of that
    type (`upgrade`: its 101; `synchronize`: the relay's streams after a resume), and stays open. `held` is set then.
    """

    def __init__(self, *arguments, **options):
        self.heard: list[tuple[bool, dict]] = []
        self.hold: str | None = None
        self.held = threading.Event()
        super().__init__(*arguments, **options)

    def make_pair(self, near, far) -> Pair:
        return TappedPair(self, near, far)

    def said(self, kind: str) -> list[dict]:
        return [message for _, message in self.heard if message.get("Type") == kind]


class TappedPair(Pair):
    def __init__(self, proxy, near, far):
        self.readers = (FrameReader(), FrameReader())
        self.heads: list[bytearray | None] = [bytearray(), bytearray()]
        self.silent = False
        self.plain = True  # no WebSocket, whose frames are not looked into
        super().__init__(proxy, near, far)

    def filter(self, data: bytes, index: int) -> bytes:
        """What of `data` goes on: everything, or nothing once this connection has fallen silent."""
        data = bytes(data)
        if self.silent:
            return b""
        head = self.heads[index]
        rest = data
        if head is not None:
            head += data
            before, mark, rest = bytes(head).partition(b"\r\n\r\n")
            if not mark:
                return data
            if index == 1 and self.falls_silent("upgrade"):
                return b""
            self.heads[index] = None
            if b"upgrade: websocket" in before.lower():
                self.plain = False
        if not self.plain:
            return data
        for kind, _, _, payload in self.readers[index].feed(rest):
            if kind == CONTROL:
                message = unpack(payload)[0]
                self.proxy.heard.append((index == 1, message))
                if index == 1 and self.falls_silent(message.get("Type")):
                    return b""
            elif kind == SYNCHRONIZE and index == 1 and self.falls_silent("synchronize"):
                return b""
        return data

    def falls_silent(self, name) -> bool:
        if self.proxy.hold is None or self.proxy.hold != name:
            return False
        self.proxy.hold = None
        self.silent = True
        self.proxy.held.set()
        return True
