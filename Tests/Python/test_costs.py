"""Allocations for a message in steady state, counted by a malloc hook: none in native code. Python's own objects come from its arenas."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from support import PACKAGE, REPOSITORY

PEER = REPOSITORY / "Benchmarks" / "messages" / "peer.py"
FEW, MANY = 10_000, 30_000
# What lists, pools and arenas still grow by; one for each tenth message would be 2000.
GROWTH = 1000


@unittest.skipUnless(shutil.which("cc"), "no C compiler")
class Allocations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.hook = str(cls.folder / "alloccount.so")
        source = REPOSITORY / "Benchmarks" / "load" / "alloccount.c"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", cls.hook, str(source), "-ldl"], check=True)

    def start(self, role: str, manner: str, kind: str, count: int, *more: str) -> tuple[subprocess.Popen, pathlib.Path]:
        path = self.folder / role
        path.write_bytes(bytes(8))
        variables = {**os.environ, "PYTHONPATH": str(PACKAGE), "LD_PRELOAD": self.hook, "ALLOCCOUNT": str(path)}
        size = "1" if kind == "ping" else "1024"
        words = [sys.executable, str(PEER), "causeway", manner, kind, role, f"size={size}", f"count={count}", *more]
        child = subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.stdout.close)
        return child, path

    def allocations(self, manner: str, kind: str, count: int) -> list[int]:
        server, its = self.start("serve", manner, kind, count)
        try:
            client, mine = self.start("run", manner, kind, count, "port=" + server.stdout.readline().split()[1])
            self.assertEqual(client.wait(60), 0)
            return [int.from_bytes(path.read_bytes(), "little") for path in (its, mine)]
        finally:
            server.kill()
            server.wait()

    def test_a_message_allocates_nothing(self):
        for manner in ("sync", "asyncio"):
            for kind in ("ping", "stream"):
                with self.subTest(manner=manner, kind=kind):
                    few, many = self.allocations(manner, kind, FEW), self.allocations(manner, kind, MANY)
                    self.assertGreater(min(few), 0, "the hook counts nothing")
                    for side, before, after in zip(("server", "client"), few, many):
                        self.assertLess(after - before, GROWTH, f"{side}: {before} for {FEW} messages, {after} for {MANY}")
