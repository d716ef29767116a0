"""Allocations for a message in steady state, counted by a malloc hook in both processes: none."""

import os
import pathlib
import subprocess
import unittest

from harness.cases import Case
from harness.processes import REPOSITORY, Process, Scratch, tool

FEW, MANY = 10_000, 30_000
# Of 64 KiB each.
FEW_LARGE, MANY_LARGE = 2_000, 14_000
# What lists and UCX's pools still grow by; one for each hundredth message would be more.
GROWTH = 100
PEER = pathlib.Path(os.environ.get("CAUSEWAY_PEER") or REPOSITORY / "build" / "messaging-peer")


class MessagingCosts(Case):
    needs = ("cc",)

    @classmethod
    def prepare(cls):
        if not PEER.exists():
            raise unittest.SkipTest(f"no {PEER}: run scripts/build-tools.sh messaging-peer")
        cls.folder = cls.keep(Scratch("causeway-allocations"), "remove")
        cls.hook = str(cls.folder / "alloccount.so")
        source = REPOSITORY / "Benchmarks" / "load" / "alloccount.c"
        subprocess.run([tool("cc"), "-O2", "-shared", "-fPIC", "-o", cls.hook, str(source), "-ldl"], check=True)

    def counted(self, name: str, words: list) -> tuple[Process, pathlib.Path]:
        path = self.folder / name
        path.write_bytes(bytes(8))
        return self.own(Process(words, env={"LD_PRELOAD": self.hook, "ALLOCCOUNT": str(path)}), "kill"), path

    def allocations(self, serve: str, run: str, values: list[str]) -> list[int]:
        server, its = self.counted("server", [PEER, serve, *values])
        port = server.line(0, 20)
        client, mine = self.counted("client", [PEER, run, *values, f"port={port}"])
        self.assertEqual(client.wait(120), 0, client.errors)
        counts = [int.from_bytes(path.read_bytes(), "little") for path in (its, mine)]
        server.kill()
        self.assertGreater(min(counts), 0, "the hook counts nothing")
        return counts

    def check(self, serve: str, run: str, *values: str):
        for tls in ("posix,tcp", "tcp"):
            with self.subTest(run=run, tls=tls, values=values):
                counts = (FEW_LARGE, MANY_LARGE) if "size=65536" in values else (FEW, MANY)
                few, many = (self.allocations(serve, run, [f"count={count}", f"tls={tls}", *values]) for count in counts)
                for side, before, after in zip(("server", "client"), few, many):
                    self.assertLess(after - before, GROWTH, f"{side}: {before} for {counts[0]} messages, {after} for {counts[1]}")

    def test_callbacks_allocate_nothing(self):
        self.check("serve-callback", "ping-callback")
        self.check("sink-callback", "stream-callback", "size=1024")
        self.check("sink-callback", "stream-callback", "size=65536", "window=4")

    def test_async_on_the_engine_allocates_nothing(self):
        self.check("serve-async", "ping-async")
        self.check("sink-async", "stream-async", "size=1024")
        self.check("sink-async", "stream-async", "size=65536")
