#!/usr/bin/env python3
"""Hostile packets: a flood of handshake initiations from spoofed addresses, and garbage. As a program it floods until SIGTERM:

  floods.py TARGET PORT PUBLIC-KEY NETWORK PER-SECOND

and prints a line `running` after the first thousand, and how many it sent at the end.
"""

import base64
import contextlib
import hashlib
import ipaddress
import os
import random
import signal
import socket
import struct
import sys
import time

INITIATION, RESPONSE, COOKIE, TRANSPORT = 148, 92, 64, 32


def mac1_key(public_key: str) -> bytes:
    return hashlib.blake2s(b"mac1----" + base64.b64decode(public_key)).digest()


def initiation(key: bytes) -> bytes:
    """Nonsense with a right mac1: what a flooder can make who knows the public key."""
    body = struct.pack("<II", 1, random.getrandbits(32)) + os.urandom(108)
    return body + hashlib.blake2s(body, digest_size=16, key=key).digest() + bytes(16)


def spoofed(source: str, target: str, port: int, payload: bytes) -> bytes:
    """An IPv4 packet; the kernel fills in its checksum, UDP's is left out as the standard allows."""
    length = 28 + len(payload)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
    return head + struct.pack("!HHHH", random.randint(1024, 65535), port, 8 + len(payload), 0) + payload


def flood(target: str, port: int, public_key: str, network: str, per_second: int):
    addresses = [str(address) for address in ipaddress.ip_network(network).hosts() if str(address) != target]
    key = mac1_key(public_key)
    packets = [spoofed(random.choice(addresses), target, port, initiation(key)) for _ in range(2000)]
    sent, stopped = 0, False

    def stop(*_):
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setblocking(False)
        began = time.monotonic()
        while not stopped:
            due = int((time.monotonic() - began) * per_second)
            while sent < due and not stopped:
                with contextlib.suppress(OSError):
                    raw.sendto(packets[random.randrange(len(packets))], (target, 0))
                sent += 1
                if sent == 1000:
                    print("running", flush=True)
            time.sleep(0.001)
    print(sent, flush=True)


class Flood:
    """The program above on the client of `network`, from addresses that the server routes to link 0 (answers to addresses on the link
    itself would wait for neighbours that don't exist, and fill the socket of whoever answers)."""

    SOURCES = "198.18.0.0/20"

    def __init__(self, network, target: str, port: int, public_key: str, per_second: int = 5000):
        network.server.ip(f"route replace {self.SOURCES} via 10.77.0.1 dev p0")
        self.process = network.client.start([sys.executable, __file__, target, port, public_key, self.SOURCES, per_second])

    def wait_running(self):
        self.process.line(0)

    def stop(self) -> int:
        """Ends it; how many initiations it sent."""
        self.process.stop(3)
        return int(self.process.lines[-1]) if len(self.process.lines) > 1 else 0


def garbage(seed: int, count: int, indices=(0,)) -> list[bytes]:
    """Datagrams that look like every message and are none: random bodies, cut and overlong ones, right types with wrong sizes, bit flips
    of a right header, and transport messages for `indices`."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        kind = chance.randrange(8)
        size = chance.choice([0, 1, 3, 4, 16, 31, 32, 63, 64, 91, 92, 93, 147, 148, 149, 512, 1200, 1400])
        if kind == 0:
            found.append(chance.randbytes(size))
        elif kind <= 4:
            found.append((struct.pack("<I", kind) + chance.randbytes(max(0, size - 4)))[:size])
        elif kind == 5:
            found.append(struct.pack("<IIQ", 4, chance.choice(indices), chance.getrandbits(64)) + chance.randbytes(chance.randrange(16, 1400)))
        elif kind == 6:
            found.append(struct.pack("<I", chance.choice([1, 2, 3, 4]) | 1 << chance.randrange(8, 32)) + chance.randbytes(144))
        else:
            found.append(bytes([chance.randrange(256)]) * size)
    return found


if __name__ == "__main__":
    flood(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
