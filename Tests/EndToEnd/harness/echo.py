#!/usr/bin/env python3
"""Echoes at a steady pace, for losses and gaps to the millisecond.

  echo.py serve ADDRESS PORT
  echo.py send ADDRESS PORT|icmp [--count N] [--every SECONDS] [--size BYTES] [--wait SECONDS]

`send` prints one JSON object: `sent` and `got`, lists of CLOCK_MONOTONIC seconds by number (null: no reply), and `twice`, replies that came
more than once. Arrival times are the kernel's. `every` is kept by a schedule made beforehand: one late packet makes no other late.
"""

import argparse
import json
import os
import select
import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35


def checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def serve(address: str, port: int):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        print("ready", flush=True)
        while True:
            data, peer = server.recvfrom(65536)
            try:
                server.sendto(data, peer)
            except OSError:
                pass  # no way back right now: that is what is being measured


class Sender:
    def __init__(self, options):
        self.icmp = options.port == "icmp"
        self.v6 = ":" in options.address
        family = socket.AF_INET6 if self.v6 else socket.AF_INET
        if self.icmp:
            self.socket = socket.socket(family, socket.SOCK_RAW, 58 if self.v6 else 1)
            self.target = (options.address, 0)
        else:
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
            self.target = (options.address, int(options.port))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.mark = os.urandom(8)  # tells our replies from anybody else's
        self.ident = struct.unpack("!H", self.mark[:2])[0]
        self.padding = bytes(max(0, options.size - 12))
        self.count, self.every, self.wait = options.count, options.every, options.wait
        self.sent: list[float | None] = [None] * self.count
        self.got: list[float | None] = [None] * self.count
        self.twice = 0

    def packet(self, number: int) -> bytes:
        body = self.mark + struct.pack("!I", number) + self.padding
        if not self.icmp:
            return body
        kind = 128 if self.v6 else 8
        head = struct.pack("!BBHHH", kind, 0, 0, self.ident, number & 0xFFFF)
        if not self.v6:  # the kernel sums ICMPv6
            head = struct.pack("!BBHHH", kind, 0, checksum(head + body), self.ident, number & 0xFFFF)
        return head + body

    def receive(self):
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(65536, 128)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of the path
            now = time.monotonic()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", value[:16])
                    now -= max(0, time.time() - (seconds + nanoseconds / 1e9))
            if self.icmp:
                if not self.v6:
                    data = data[(data[0] & 15) * 4 :]
                if not data or data[0] != (129 if self.v6 else 0):
                    continue
                data = data[8:]
            if len(data) < 12 or data[:8] != self.mark:
                continue
            number = struct.unpack_from("!I", data, 8)[0]
            if number < self.count:
                if self.got[number] is None:
                    self.got[number] = now
                else:
                    self.twice += 1

    def run(self) -> dict:
        packets = [self.packet(number) for number in range(self.count)]
        begin = time.monotonic() + 0.02
        for number in range(self.count):
            due = begin + number * self.every
            while (left := due - time.monotonic()) > 0:
                if select.select([self.socket], [], [], left)[0]:
                    self.receive()
            self.sent[number] = time.monotonic()
            try:
                self.socket.sendto(packets[number], self.target)
            except OSError:
                pass  # counts as sent and lost
        end = time.monotonic() + self.wait
        while (left := end - time.monotonic()) > 0 and None in self.got:
            if select.select([self.socket], [], [], left)[0]:
                self.receive()
        return {"sent": self.sent, "got": self.got, "twice": self.twice}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=["serve", "send"])
    parser.add_argument("address")
    parser.add_argument("port")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--every", type=float, default=0.02)
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--wait", type=float, default=1.5)
    options = parser.parse_args()
    try:  # on a machine whose cores are all busy, what measures comes first
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        pass
    if options.role == "serve":
        serve(options.address, int(options.port))
    else:
        json.dump(Sender(options).run(), sys.stdout)
        print()


if __name__ == "__main__":
    main()
