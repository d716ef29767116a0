"""Allocations for a 1 KiB request on a warm keep-alive connection, counted by a malloc hook; budgets.json is the law.

The client runs with -q: a line for each request costs what lines cost.
"""

import json
import pathlib
import socket
import subprocess

from harness.cases import Case
from harness.causeway import Client, Relay
from harness.origin import Origin
from harness.processes import REPOSITORY, Scratch, tool

REQUESTS = 10_000


class Allocations(Case):
    @classmethod
    def prepare(cls):
        folder = cls.keep(Scratch("causeway-allocations"), "remove")
        hook = str(folder / "alloccount.so")
        compiler = tool("cc") or tool("clang")
        source = REPOSITORY / "Benchmarks" / "load" / "alloccount.c"
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", hook, str(source), "-ldl"], check=True)
        cls.counters = {half: folder / half for half in ("relay", "client")}
        for path in cls.counters.values():
            path.write_bytes(bytes(8))
        environment = {half: {"LD_PRELOAD": hook, "ALLOCCOUNT": str(path)} for half, path in cls.counters.items()}
        cls.origin = cls.keep(Origin(), "close")
        cls.relay = cls.keep(Relay(env=environment["relay"]), "stop")
        token = cls.relay.account()
        cls.client = cls.keep(Client("http", cls.origin.port, "-q", server=cls.relay.url, token=token, env=environment["client"], json_lines=False), "stop")

    def counts(self) -> dict[str, int]:
        return {half: int.from_bytes(path.read_bytes(), "little") for half, path in self.counters.items()}

    def requests(self, count: int):
        message = f"GET /bytes/1024 HTTP/1.1\r\nHost: {self.client.host}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.relay.port), 10) as visitor:
            visitor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer = b""
            for _ in range(count):
                visitor.sendall(message)
                while b"\r\n\r\n" not in buffer:
                    buffer += visitor.recv(65536)
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                self.assertTrue(head.startswith(b"HTTP/1.1 200"))
                while len(buffer) < 1024:
                    buffer += visitor.recv(65536)
                buffer = buffer[1024:]

    def test_a_request_stays_in_its_budget(self):
        self.requests(500)
        before = self.counts()
        self.assertGreater(before["relay"] * before["client"], 0, "the hook counts nothing")
        self.requests(REQUESTS)
        each = {half: (count - before[half]) / REQUESTS for half, count in self.counts().items()}
        print(f"allocations for a request: {each}")
        for half, budget in json.loads((pathlib.Path(__file__).parent / "budgets.json").read_text()).items():
            self.assertLessEqual(each[half], budget, half)
