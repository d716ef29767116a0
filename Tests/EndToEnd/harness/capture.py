#!/usr/bin/env python3
"""What passes an interface, as one JSON line a packet: `capture.py INTERFACE`. Says `ready` first; ends by SIGTERM.

Keys: out (it leaves), v (4, 6), protocol (of the transport), tos, df, fragment, source, target, sport, dport, payload (hexadecimal, the
first bytes behind UDP's or TCP's header)."""

import json
import signal
import socket
import struct
import sys

from_module = __name__ != "__main__"
if from_module:
    from .processes import Process

ALL = 3  # ETH_P_ALL
OUTGOING = 4  # PACKET_OUTGOING
PAYLOAD = 32


def describe(packet: bytes) -> dict | None:
    if not packet:
        return None
    version = packet[0] >> 4
    if version == 4 and len(packet) >= 20:
        head, protocol = (packet[0] & 15) * 4, packet[9]
        flags = struct.unpack_from("!H", packet, 6)[0]
        facts = {"v": 4, "tos": packet[1], "df": bool(flags & 0x4000), "fragment": bool(flags & 0x3FFF)}
        first = not flags & 0x1FFF
        addresses = socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20])
    elif version == 6 and len(packet) >= 40:
        head, protocol = 40, packet[6]
        facts = {"v": 6, "tos": struct.unpack_from("!H", packet)[0] >> 4 & 255, "df": True, "fragment": protocol == 44}
        first = protocol != 44
        addresses = socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])
    else:
        return None
    facts |= {"protocol": protocol, "source": addresses[0], "target": addresses[1]}
    if first and protocol in (6, 17) and len(packet) >= head + 8:
        facts["sport"], facts["dport"] = struct.unpack_from("!HH", packet, head)
        start = head + (8 if protocol == 17 else packet[head + 12] >> 4 << 2)
        facts["payload"] = packet[start : start + PAYLOAD].hex()
    return facts


def run(interface: str):
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL)) as watcher:
        watcher.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        watcher.bind((interface, ALL))
        print("ready", flush=True)
        while True:
            packet, address = watcher.recvfrom(65536)
            facts = describe(packet)
            if facts:
                print(json.dumps({"out": address[2] == OUTGOING, **facts}), flush=True)


class Capture:
    """The program above on an interface of `host`; `stop` gives the packets so far."""

    def __init__(self, host, interface: str):
        self.process: Process = host.start([sys.executable, __file__, interface])
        self.process.line(0)

    @property
    def packets(self) -> list[dict]:
        return [json.loads(line) for line in list(self.process.lines)[1:]]

    def stop(self) -> list[dict]:
        self.process.stop(2)
        return self.packets


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    run(sys.argv[1])
