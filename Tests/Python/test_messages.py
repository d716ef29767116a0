"""Messages on an event loop: what goes in comes out, and what does not is said."""

import array
import asyncio
import inspect
import os
import pathlib
import re
import unittest
import urllib.request

from support import Pair, causeway, numpy


class Messages(Pair):
    async def test_a_message_comes_with_its_tag_and_length(self):
        buffer = bytearray(8)
        received = self.server.recv(buffer, tag=7)
        await self.client.send(b"hello", tag=7)
        self.assertEqual(await received, (7, 5))
        self.assertEqual(buffer[:5], b"hello")

    async def test_a_mask_says_which_bits_count(self):
        await self.client.send(b"a", tag=0x1234)
        self.assertIsNone(self.server.probe(0x34))
        self.assertEqual(await self.server.recv(bytearray(1), 0x34, 0xFF, timeout=20), (0x1234, 1))

    async def test_tags_have_64_bits(self):
        await self.client.send(b"", tag=2**64 - 1)
        self.assertEqual(await self.server.recv(bytearray(0), 2**64 - 1, timeout=20), (2**64 - 1, 0))
        for bad in (-1, 2**64):
            with self.assertRaises(OverflowError):
                self.client.send(b"", tag=bad)

    async def test_sizes_of_every_protocol_arrive_whole(self):
        for size in (0, 1, 4095, 8192, 8193, 70_000, 3_000_000):
            payload = bytes(range(256)) * (size // 256 + 1)
            sent = self.client.send(memoryview(payload)[:size], tag=size)
            message = await self.server.recv_message(tag=size, timeout=30)
            await sent
            self.assertEqual((message.tag, len(message)), (size, size))
            self.assertEqual(bytes(message), payload[:size])

    async def test_messages_of_one_sender_match_in_order(self):
        for index in range(200):
            await self.client.send(bytes([index]), tag=1)
        values = []
        for _ in range(200):
            buffer = bytearray(1)
            await self.server.recv(buffer, timeout=20)
            values.append(buffer[0])
        self.assertEqual(values, list(range(200)))

    async def test_a_message_too_long_waits_for_a_larger_buffer(self):
        await self.client.send(b"twelve bytes", tag=1)
        with self.assertRaises(causeway.TruncatedError) as caught:
            await self.server.recv(bytearray(4), tag=1, timeout=20)
        self.assertEqual(caught.exception.length, 12)
        self.assertEqual(await self.server.recv(bytearray(12), tag=1, timeout=20), (1, 12))

    async def test_a_receive_may_be_tied_to_an_endpoint(self):
        other = causeway.Client()
        await other.connect("127.0.0.1", self.server.port, timeout=20)
        theirs = await self.server.accept(timeout=20)
        await other.send(b"other", tag=1)
        await other.flush(timeout=20)
        with self.assertRaises(causeway.TimedOutError):
            await self.server.recv(bytearray(8), tag=1, source=self.endpoint, timeout=0.05)
        self.assertEqual(await theirs.recv(bytearray(8), tag=1, timeout=20), (1, 5))
        self.assertEqual({self.endpoint, theirs}, set(self.server.clients))
        await other.close()

    async def test_batches_have_one_future(self):
        buffers = [bytearray(4) for _ in range(64)]
        received = self.server.recv_many(buffers)
        await self.client.send_many([bytes([index]) * 4 for index in range(64)], list(range(64)), timeout=20)
        self.assertEqual(await received, [(index, 4) for index in range(64)])
        self.assertEqual(buffers[63], b"\x3f" * 4)

    async def test_the_tags_of_a_batch_are_one_or_one_for_each(self):
        class Number:  # as NumPy's integers
            def __index__(self):
                return 5

        for tags, expected in ((5, [5, 5]), (Number(), [5, 5]), ((6, 7), [6, 7]), (iter([6, 7]), [6, 7]), (array.array("Q", [6, 7]), [6, 7])):
            await self.client.send_many([b"a", b"b"], tags, timeout=20)
            self.assertEqual([tag for tag, _ in await self.server.recv_many([bytearray(1), bytearray(1)], timeout=20)], expected)
        if numpy:
            await self.client.send_many([b"a", b"b"], numpy.array([6, 7]), timeout=20)
            self.assertEqual(await self.server.recv_many([bytearray(1)] * 2, numpy.array([6, 7]), timeout=20), [(6, 1), (7, 1)])
        for tags in (5, Number(), iter([5, 5])):
            await self.client.send_many([b"x", b"a", b"b"], [0, 5, 5], timeout=20)
            self.assertEqual(await self.server.recv_many([bytearray(1), bytearray(1)], tags, timeout=20), [(5, 1), (5, 1)])
            self.assertEqual(await self.server.recv(bytearray(1), timeout=20), (0, 1))
        for bad, error in ((None, TypeError), (1.5, TypeError), ("ab", TypeError), ([1], ValueError), ([1, -1], OverflowError)):
            with self.assertRaises(error):
                self.client.send_many([b"a", b"b"], bad)

    async def test_a_batch_that_fails_tells_what_arrived(self):
        await self.client.send_many([b"ok", b"much too long"], [1, 2])
        with self.assertRaises(causeway.TruncatedError) as caught:
            await self.server.recv_many([bytearray(4), bytearray(4)], [1, 2], timeout=20)
        self.assertEqual(caught.exception.results, [(1, 2), None])

    async def test_flush_and_synchronous_sends_end_when_matched(self):
        sent = self.client.send(b"x", tag=1, synchronous=True)
        await asyncio.sleep(0)
        self.assertFalse(sent.done())
        await self.server.recv(bytearray(1), tag=1, timeout=20)
        await sent
        await self.client.flush(timeout=20)
        await self.server.flush(timeout=20)

    async def test_what_an_endpoint_tells(self):
        client, endpoint = self.client.endpoint, self.endpoint
        for _ in range(3):
            await self.client.send(b"12345", tag=1)
        await self.server.recv(bytearray(5), timeout=20)
        late = self.client.send(bytearray(1 << 20), tag=2)
        while not self.server.probe(2):
            await asyncio.sleep(0.001)
        theirs, ours = endpoint.counters(), client.counters()
        self.assertEqual((theirs["received_messages"], theirs["received_bytes"]), (4, 15 + (1 << 20)))
        self.assertEqual((theirs["unreceived_messages"], theirs["unreceived_bytes"]), (3, 2 * 192 + 1280))
        self.assertEqual((ours["sent_messages"], ours["in_flight"], ours["queued"]), (4, 1, 0))
        self.assertTrue(endpoint.is_connected and client.is_connected)
        self.assertEqual((endpoint.local_host, endpoint.local_port), ("127.0.0.1", self.server.port))
        self.assertEqual((client.local_host, client.local_port), (endpoint.remote_host, endpoint.remote_port))
        self.assertEqual((client.remote_host, client.remote_port), ("127.0.0.1", self.server.port))
        self.assertTrue(endpoint.transports())
        self.assertGreater(client.evaluate_performance(1 << 20), 0)
        await self.server.recv_message(tag=2, timeout=20)
        await late
        await self.client.close()
        while self.server.clients:
            await asyncio.sleep(0.001)
        self.assertFalse(endpoint.is_connected)
        self.assertEqual(endpoint.counters()["received_messages"], 4)
        with self.assertRaises(causeway.ClosedError):
            endpoint.transports()

    async def test_what_the_library_tells(self):
        info = causeway.info()
        self.assertIn(info["source"], ("system", "wheel"))
        self.assertIn({"name": "tcp", "device": "lo"}, info["transports"])
        self.assertRegex(info["version"], r"^1\.\d+\.\d+$")
        self.assertTrue(pathlib.Path(info["path"]).exists())

    async def test_figures_for_prometheus(self):
        await self.client.send(b"12345", tag=1)
        await self.client.flush(timeout=20)
        engine = causeway.Engine.shared()
        sample = re.compile(r'causeway_messaging_endpoint_bytes_total\{engine="messaging",endpoint="\d+",peer="%s:%d",direction="received"\} 5\n'
                            % (re.escape(self.endpoint.remote_host), self.endpoint.remote_port))
        self.assertRegex(engine.metrics(), sample)
        port = engine.serve_metrics("127.0.0.1")
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read().decode())
        self.assertRegex(page, sample)
        with self.assertRaises(causeway.AddressInUseError):
            engine.serve_metrics("127.0.0.1", port)


class Ends(Pair):
    async def test_deadlines_on_everything(self):
        for start in (
            lambda: self.server.recv(bytearray(1), timeout=0.01),
            lambda: self.server.recv_message(timeout=0.01),
            lambda: self.server.recv_many([bytearray(1)], timeout=0.01),
            lambda: self.client.send(bytearray(1 << 20), tag=1, timeout=0.01),
            lambda: self.client.flush(timeout=0.01),
            lambda: self.server.accept(timeout=0.01),
        ):
            with self.assertRaises(TimeoutError):
                await start()

    async def test_a_cancelled_receive_takes_no_message(self):
        received = self.server.recv(bytearray(8), tag=1)
        self.assertTrue(received.cancel())
        with self.assertRaises(asyncio.CancelledError):
            await received
        await self.client.send(b"later", tag=1)
        self.assertEqual(await self.server.recv(bytearray(8), tag=1, timeout=20), (1, 5))

    async def test_a_cancelled_task_cancels_its_operation(self):
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(self.server.recv(bytearray(8), tag=1), 0.01)
        task = asyncio.create_task(self.server.accept())
        await asyncio.sleep(0)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await self.client.send(b"later", tag=1)
        self.assertEqual(await self.server.recv(bytearray(8), tag=1, timeout=20), (1, 5))

    async def test_cancels_that_race_completions(self):
        cancelled = 0
        for _ in range(2000):
            received = self.server.recv(bytearray(1), tag=1)
            await self.client.send(b"x", tag=1)
            was_taken_back = received.cancel()
            try:
                self.assertEqual(await asyncio.wait_for(received, 20), (1, 1))
                self.assertFalse(was_taken_back)
            except asyncio.CancelledError:
                cancelled += 1
        await self.client.flush(timeout=20)
        left = 0
        while self.server.probe(1):
            await self.server.recv(bytearray(1), tag=1, timeout=20)
            left += 1
        self.assertLessEqual(left, cancelled)

    async def test_more_than_may_be_in_flight_queue_in_order(self):
        asyncio.get_running_loop().set_debug(False)
        count, buffer = 70_000, bytearray(4)
        received = [self.server.recv(buffer, timeout=60) for _ in range(count)]
        for index in range(0, count, 1000):
            await asyncio.gather(*[self.client.send(b"x", tag=tag) for tag in range(index, index + 1000)])
        self.assertEqual([tag for tag, _ in await asyncio.gather(*received)], list(range(count)))

    async def test_closed_objects_say_so(self):
        waiting = self.client.recv(bytearray(1))
        await self.client.close()
        with self.assertRaises(causeway.ClosedError):
            await waiting
        for again in (
            self.client.close,
            lambda: self.client.recv(bytearray(1)),
            lambda: self.client.send(b"x", 1),
            lambda: self.client.flush(),
            lambda: self.client.connect("127.0.0.1", 1),
        ):
            with self.assertRaises(causeway.ClosedError):
                await again()
        with self.assertRaises(causeway.ClosedError):
            self.client.probe()
        await self.server.close()
        for again in (
            self.server.close,
            lambda: self.server.recv(bytearray(1)),
            lambda: self.server.flush(),
            lambda: self.endpoint.send(b"x", 1),
            lambda: self.endpoint.recv(bytearray(1)),
            lambda: self.endpoint.flush(),
            self.server.accept,
        ):
            with self.assertRaises(causeway.ClosedError):
                await again()
        with self.assertRaises(causeway.ClosedError):
            self.server.listen("127.0.0.1")

    async def test_a_close_that_cannot_flush_in_time_says_so_and_closes(self):
        waiting = self.server.recv(bytearray(1), tag=9, source=self.endpoint)
        late = self.client.send(bytearray(1 << 20), tag=1)
        with self.assertRaises(causeway.TimedOutError):
            await self.client.close(timeout=0.02)
        self.assertTrue(self.client.is_closed)
        with self.assertRaises(causeway.PeerLostError):
            await asyncio.wait_for(waiting, 20)
        with self.assertRaises(causeway.Error):
            await asyncio.wait_for(late, 20)
        self.assertEqual(inspect.signature(self.client.close).parameters["timeout"].default, 5)
        self.assertEqual(inspect.signature(self.server.close_sync).parameters["timeout"].default, 5)

    async def test_no_deadline_is_too_soon_or_too_late(self):
        await self.client.send(b"x", tag=1, timeout=0)
        await self.client.flush(timeout=float("inf"))
        self.assertEqual(await self.server.recv(bytearray(1), timeout=0), (1, 1))
        with self.assertRaises(causeway.TimedOutError):
            await self.server.recv(bytearray(1), timeout=0)
        for forever in (1e300, 2**63, 10**10):
            received = self.server.recv(bytearray(1), timeout=forever)
            await self.client.send(b"x", tag=1)
            self.assertEqual(await asyncio.wait_for(received, 20), (1, 1))
        for bad in (-1, -1e-9, float("nan")):
            with self.assertRaises(ValueError):
                self.server.recv(bytearray(1), timeout=bad)
        with self.assertRaises(TypeError):
            self.server.recv(bytearray(1), timeout="1")

    async def test_objects_have_no_threads(self):
        before = len(os.listdir("/proc/self/task"))
        for _ in range(8):
            server, client = causeway.Server(), causeway.Client()
            server.listen("127.0.0.1")
            await client.connect("127.0.0.1", server.port, timeout=20)
            await client.send(b"x", tag=1)
            await server.recv(bytearray(1), timeout=20)
            await client.close()
            await server.close()
        self.assertEqual(len(os.listdir("/proc/self/task")), before)

    async def test_the_other_side_of_a_close_hears_of_it(self):
        waiting = self.server.recv(bytearray(1), source=self.endpoint)
        await self.client.close()
        with self.assertRaises(causeway.PeerLostError):
            await asyncio.wait_for(waiting, 20)
        with self.assertRaises(causeway.Error):
            await self.endpoint.send(b"x", tag=1)

    async def test_refusals_have_types(self):
        with self.assertRaisesRegex(causeway.NotConnectedError, "not connected"):
            await causeway.Client().connect("127.0.0.1", 1, timeout=20)
        with self.assertRaises(causeway.NotConnectedError):
            causeway.Client().send(b"x", tag=1)
        with self.assertRaises(causeway.AddressInUseError):
            causeway.Server().listen("127.0.0.1", self.server.port)
        locked = causeway.Server()
        locked.listen("127.0.0.1", key=b"0123456789abcdef")
        for key in (None, b"fedcba9876543210"):
            with self.assertRaises(causeway.KeyRefusedError):
                await causeway.Client().connect("127.0.0.1", locked.port, key=key, timeout=20)
        await causeway.Client().connect("127.0.0.1", locked.port, key=b"0123456789abcdef", timeout=20)

    async def test_endpoints_come_as_they_are_accepted(self):
        server, seen = causeway.Server(), []
        address = server.listen_address(tcp=False)
        clients = [causeway.Client() for _ in range(3)]
        await asyncio.gather(*[client.connect_address(address, timeout=20) for client in clients])
        async for endpoint in server:
            seen.append(endpoint)
            if len(seen) == 3:
                break
        self.assertEqual(len(set(seen)), 3)
        await server.close()
