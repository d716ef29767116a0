"""causeway.starway is Starway 0.6.0's surface."""

import asyncio
import contextlib
import io
import json
import pathlib
import socket
import tempfile
import threading
import unittest
import unittest.mock

from support import causeway, numpy, program

import causeway.starway as starway
from causeway import bench


class Surface(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.server, self.client = starway.Server(), starway.Client()
        address = self.server.listen_address()
        self.assertEqual(self.server.get_worker_address(), address)
        await self.client.aconnect_address(address)
        (self.endpoint,) = self.server.list_clients()

    async def asyncTearDown(self):
        for each in (self.client, self.server):
            try:
                await each.aclose()
            except RuntimeError:
                pass  # the test closed it

    async def test_messages_and_flushes(self):
        received = self.server.arecv(bytearray(8), 0, 0)
        await self.client.asend(b"hello", 3)
        self.assertEqual(await received, (3, 5))
        received = self.client.arecv(bytearray(8), 4, 0xFFFF)
        await self.server.asend(self.endpoint, b"back", 4)
        self.assertEqual(await received, (4, 4))
        await asyncio.gather(self.client.aflush(), self.server.aflush(), self.server.aflush_ep(self.endpoint))

    async def test_callbacks(self):
        told, over = [], threading.Event()
        self.server.recv(bytearray(8), 1, 0xFF, lambda *values: (told.append(values), over.set()), print)
        self.client.send(b"abc", 1, lambda: None, print)
        self.assertTrue(await asyncio.to_thread(over.wait, 20))
        self.assertEqual(told, [(1, 3)])
        over.clear()
        self.server.flush_ep(self.endpoint, over.set, print)
        self.assertTrue(await asyncio.to_thread(over.wait, 20))

    async def test_a_failure_is_told_in_words(self):
        told, over = [], threading.Event()
        self.client.recv(bytearray(8), 1, 0xFF, print, lambda text: (told.append(text), over.set()))
        await self.client.aclose()
        self.assertTrue(await asyncio.to_thread(over.wait, 20))
        self.assertIn("cancel", told[0])

    async def test_a_truncated_message_is_dropped(self):
        await self.client.asend(b"too long", 1)
        with self.assertRaises(causeway.TruncatedError):
            await self.server.arecv(bytearray(2), 1, 0xFF)
        await self.client.asend(b"ok", 1)
        self.assertEqual(await self.server.arecv(bytearray(2), 1, 0xFF), (1, 2))

    async def test_a_truncated_message_fails_one_receive(self):
        receives = [self.server.arecv(bytearray(2), 0, 0) for _ in range(3)]
        # One that finds its receive, one that is there before it, and one that is fetched.
        for length in (3, 5000, 100_000):
            await self.client.asend(bytearray(length), 1)
            with self.assertRaisesRegex(causeway.TruncatedError, "dropped"):
                await asyncio.wait_for(receives.pop(0), 20)
        fetched = self.client.asend(bytearray(100_000), 1)
        await self.client.asend(bytearray(3), 2)
        await self.client.asend(b"ok", 3)
        while self.server._box.probe(3) is None:
            await asyncio.sleep(0.001)
        for _ in range(2):
            with self.assertRaisesRegex(causeway.TruncatedError, "dropped"):
                await self.server.arecv(bytearray(2), 0, 0)
        self.assertEqual(await self.server.arecv(bytearray(2), 0, 0), (3, 2))
        await fetched
        await self.client.aflush()

    async def test_addresses(self):
        self.assertEqual((self.endpoint.local_addr, self.endpoint.local_port, self.endpoint.remote_addr), ("", 0, ""))
        server, client = starway.Server(), starway.Client()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server.listen("127.0.0.1", port)
        await client.aconnect("127.0.0.1", port)
        (endpoint,) = server.list_clients()
        self.assertEqual((endpoint.local_addr, endpoint.local_port, endpoint.remote_addr), ("127.0.0.1", port, "127.0.0.1"))
        self.assertGreater(endpoint.remote_port, 0)
        await client.aclose()
        await server.aclose()

    async def test_clients_stay_listed(self):
        await self.client.aclose()
        first, second = self.server.list_clients(), self.server.list_clients()
        self.assertEqual(first, {self.endpoint})
        self.assertIsNot(first, second)

    async def test_the_newest_4096_stay_listed(self):
        self.assertEqual(starway.HISTORY_LIMIT, 4096)
        for on_accept in (None, lambda endpoint: seen.append(endpoint)):
            server, clients, seen = starway.Server(), [starway.Client() for _ in range(5)], []
            if on_accept:
                server.set_accept_cb(on_accept)
            address = server.listen_address()
            with unittest.mock.patch.object(starway, "HISTORY_LIMIT", 3):
                for client in clients:
                    await client.aconnect_address(address)
                    await client.aclose()
                    while on_accept and len(seen) <= clients.index(client):
                        await asyncio.sleep(0)
                listed = server.list_clients()
                self.assertEqual(listed, server.list_clients())
            ids = sorted(endpoint._endpoint.id for endpoint in listed)
            self.assertEqual(len(ids), 3)
            if on_accept:
                self.assertEqual(listed, set(seen[-3:]))
            await server.aclose()

    async def test_sends_with_callbacks_queue_when_the_engine_is_full(self):
        count, over, failed = 70_000, threading.Event(), []
        for number in range(count):
            self.client.send(b"x", number, lambda: None, failed.append)
        self.client.flush(over.set, failed.append)
        buffer, received = bytearray(1), []
        for number in range(count):
            received.append((await self.server.arecv(buffer, 0, 0))[0])
        self.assertEqual(received, list(range(count)))
        self.assertTrue(await asyncio.to_thread(over.wait, 20))
        self.assertEqual(failed, [])

    @unittest.skipUnless(numpy, "no NumPy")
    async def test_arrays_of_more_dimensions_and_of_what_is_no_number_are_refused(self):
        class Tensor:  # as PyTorch's: a type, but no astype
            dtype, ndim = "torch.float32", 1

        for bad in (numpy.zeros((2, 2), dtype="u1"), numpy.array(1, dtype="u1"), Tensor()):
            with self.assertRaises(TypeError):
                self.client.asend(bad, 1)
            with self.assertRaises(TypeError):
                self.server.arecv(bad, 1, 0)

    async def test_what_is_not_running_raises(self):
        await self.client.aclose()
        for refused in (self.client.aclose, starway.Client().aclose, starway.Server().aclose, lambda: starway.Client().asend(b"x", 1)):
            with self.assertRaises(RuntimeError):
                await refused()
        with self.assertRaises(RuntimeError):
            self.server.listen("127.0.0.1", 0)
        with self.assertRaisesRegex(Exception, "not connected"):
            await starway.Client().aconnect("127.0.0.1", 1)

    async def test_what_is_known_of_a_connection(self):
        self.assertGreater(self.client.evaluate_perf(1 << 20), 0)
        self.assertGreater(self.server.evaluate_perf(self.endpoint, 1), 0)
        self.assertTrue(all(len(pair) == 2 for pair in self.endpoint.view_transports()))
        self.assertIsInstance(self.client.get_worker_address(), bytes)
        self.assertIn(starway.check_sys_libs(), ("system", "wheel"))
        self.assertTrue(self.endpoint.name)

    @unittest.skipUnless(numpy, "no NumPy")
    async def test_other_arrays_are_converted_to_be_sent_and_refused_to_be_received_into(self):
        got = numpy.zeros(3, dtype=numpy.uint8)
        received = self.server.arecv(got, 0, 0)
        await self.client.asend(numpy.array([1, 2, 300]), 1)
        self.assertEqual(await received, (1, 3))
        self.assertEqual(list(got), [1, 2, 44])
        with self.assertRaises(TypeError):
            self.server.arecv(numpy.zeros(3), 0, 0)


class Benchmarks(unittest.TestCase):
    def test_the_options_are_starways(self):
        self.assertEqual([bench.parse_size(text) for text in ("512M", "1_000", "0.5GiB", "4kb")], [512 << 20, 1000, 1 << 29, 4096])
        arguments = bench.build_parser().parse_args(["--role", "loopback", "--scenarios", "large-array", "--large-bytes", "1M"])
        self.assertEqual(bench.scenario_plan(arguments), [("large-array", {"message_bytes": 1 << 20})])
        self.assertEqual(starway.list_benchmark_scenarios(), ["large-array", "small-messages", "pingpong-flag", "streaming-duplex"])

    def test_wrong_options_are_one_line(self):
        rows = [
            ("", "--role"),
            ("--role x", "--role"),
            ("--role loopback --scenarios nosuch", "no scenario 'nosuch': there are large-array, small-messages, pingpong-flag, streaming-duplex"),
            ("--role client --connect-mode worker", "--worker-address"),
            ("--role client --connect-mode worker --worker-address zz", "--worker-address"),
            ("--role loopback --large-bytes abc", "'abc' is not a size"),
            ("--role loopback --large-bytes=-5", "'-5' is not a size"),
            ("--role loopback --stream-bytes inf", "'inf' is not a size"),
            ("--role loopback --flag-iterations=-3", "'-3' is not a number"),
            ("--role loopback --small-concurrency 0", "--small-concurrency"),
            ("--role client --port 70000", "--port"),
        ]
        for words, said in rows:
            with self.subTest(words), contextlib.redirect_stderr(io.StringIO()) as error, self.assertRaises(SystemExit) as ended:
                bench.main(words.split())
            self.assertEqual(ended.exception.code, 2)
            self.assertIn(said, error.getvalue())
            self.assertEqual(error.getvalue().count("\n"), 1)

    def test_what_fails_is_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            rows = [
                (f"--role loopback --addr 127.0.0.1 --port {port}", "address"),
                ("--role client --port 1", "not connected"),
                ("--role client --connect-mode worker --worker-address 00ff", "address"),
            ]
            for words, said in rows:
                with self.subTest(words), contextlib.redirect_stderr(io.StringIO()) as error:
                    self.assertEqual(bench.main(words.split()), 1)
                self.assertRegex(error.getvalue(), rf"^python -m causeway.bench: .*{said}.*\n$")

    def test_every_scenario_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder, "results.json")
            done = program(
                "import sys, causeway.bench; sys.exit(causeway.bench.main(sys.argv[1:]))",
                *"--role loopback --listen-mode worker --large-bytes 1M --small-iterations 2 --flag-iterations 20 --flag-warmup 2".split(),
                *"--stream-bytes 64K --stream-iterations 4 --stream-warmup 1 --output".split(),
                str(output),
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            names = [scenario["name"] for scenario in json.loads(output.read_text())["scenarios"]]
        self.assertEqual(names, starway.list_benchmark_scenarios())
