"""More operations than may be in flight: they wait in order, with their deadlines, and hear of their end where they live."""

import asyncio
import threading
import unittest

from support import causeway, program

RECEIVES = 65_536 * 15 // 16  # what receives may have of the operations in flight


class Crowded(unittest.TestCase):
    """An engine with as many receives as may be, of a tag that nobody sends."""

    def setUp(self):
        self.engine = causeway.Engine()
        self.server, self.client = causeway.Server(engine=self.engine), causeway.Client(engine=self.engine)
        self.server.listen("127.0.0.1")
        self.client.connect_sync("127.0.0.1", self.server.port, timeout=20)
        self.waiting = [self.server.post_recv(bytearray(1), tag=5) for _ in range(RECEIVES)]

    def tearDown(self):
        self.engine.close(timeout=5)

    def test_sends_have_room_that_receives_leave_to_them(self):
        async def main():
            received = self.server.recv(bytearray(1), tag=9)
            await self.client.send(b"x", tag=9, timeout=20)
            await self.client.flush(timeout=20)
            self.assertFalse(received.done())
            self.waiting[0].cancel()
            return await asyncio.wait_for(received, 20)

        self.assertEqual(asyncio.run(main()), (9, 1))

    def test_an_end_that_another_thread_finds_wakes_its_loop(self):
        for debug in (False, True):  # asyncio's debug mode refuses to be called from another thread
            begun, results = threading.Event(), []

            async def main():
                received = self.server.recv(bytearray(1), tag=9)
                asyncio.get_running_loop().call_soon(begun.set)
                return await received

            thread = threading.Thread(target=lambda main=main, debug=debug: results.append(asyncio.run(main(), debug=debug)), daemon=True)
            thread.start()
            self.assertTrue(begun.wait(20))
            self.client.send_sync(b"x", tag=9)
            self.client.flush_sync(timeout=20)
            self.waiting.append(self.server.post_recv(bytearray(1), tag=5))  # the engine stays full
            for _ in range(2):
                self.assertTrue(self.waiting.pop(0).cancel())
            thread.join(20)
            self.assertEqual(results, [(9, 1)])

    def test_one_that_is_cancelled_in_line_is_told_on_the_callbacks_thread(self):
        told, over = [], threading.Event()

        def failed(error):
            told.append((type(error), threading.current_thread().name))
            over.set()

        operation = self.server.post_recv(bytearray(1), tag=9, failed=failed)
        self.assertTrue(operation.cancel())
        self.assertTrue(over.wait(20))
        self.assertEqual(told, [(causeway.OperationCancelledError, "causeway callbacks")])
        self.assertFalse(operation.cancel())

    def test_deadlines_hold_in_line(self):
        order = []

        async def receive(timeout):
            with self.assertRaises(causeway.TimedOutError):
                await self.server.recv(bytearray(1), tag=9, timeout=timeout)
            order.append(timeout)

        async def main():
            await asyncio.wait_for(asyncio.gather(*[receive(timeout) for timeout in (0.3, 0.02, 0.2, 0.0, 0.1)]), 20)

        asyncio.run(main())
        self.assertEqual(order, [0.0, 0.02, 0.1, 0.2, 0.3])
        with self.assertRaises(causeway.TimedOutError):
            self.server.recv_sync(bytearray(1), tag=9, timeout=0.01)

    def test_the_engines_end_is_theirs(self):
        told, over = [], threading.Event()

        def failed(error):
            told.append(type(error))
            if len(told) == 2:
                over.set()

        self.waiting.pop().cancel()
        self.server.post_recv(bytearray(1), tag=5, failed=failed)  # in flight
        self.server.post_recv(bytearray(1), tag=5, failed=failed)  # in line
        self.engine.close(timeout=5)
        self.assertTrue(over.wait(20))
        self.assertEqual(told, [causeway.ClosedError] * 2)


class Batches(unittest.TestCase):
    def test_a_batch_has_half_of_what_may_be_in_flight(self):
        engine = causeway.Engine()
        self.addCleanup(engine.close, timeout=5)
        server, client = causeway.Server(engine=engine), causeway.Client(engine=engine)
        server.listen("127.0.0.1")
        client.connect_sync("127.0.0.1", server.port, timeout=20)
        buffers = [bytearray(1)] * 32_768
        told, over = [], threading.Event()
        server.post_recv_many(buffers, done=lambda messages: (told.append(len(messages)), over.set()), failed=told.append)
        client.send_many_sync(buffers, 1, timeout=20)
        self.assertTrue(over.wait(20))
        self.assertEqual(told, [len(buffers)])
        for many in (lambda: client.send_many_sync([*buffers, b""], 1), lambda: server.recv_many_sync([*buffers, bytearray(1)])):
            with self.assertRaises(causeway.InvalidError):
                many()


class Flushes(unittest.TestCase):
    """Of one process's engine, whose sends are more than may be in flight; another engine receives them."""

    def setUp(self):
        self.engines = [causeway.Engine() for _ in range(2)]
        for engine in self.engines:
            self.addCleanup(engine.close, timeout=5)
        self.server, self.client = causeway.Server(engine=self.engines[0]), causeway.Client(engine=self.engines[1])
        self.server.listen("127.0.0.1")
        self.client.connect_sync("127.0.0.1", self.server.port, timeout=20)
        self.endpoint = self.server.accept_sync(timeout=20)
        self.count = 65_536 + 64

    def fill(self, sender, ended) -> None:
        for _ in range(self.count):
            sender.post_send(b"x" * 9000, 1, lambda: ended.append(True))

    async def flush_behind(self, sender, flush, receiver) -> None:
        ended = []
        self.fill(sender, ended)
        flushed = flush()
        buffers = [bytearray(9000)] * 8191
        for _ in range(8):
            await receiver.recv_many(buffers, timeout=60)
        for _ in range(self.count - 8 * 8191 - 1):
            await receiver.recv(buffers[0], timeout=20)
        self.assertFalse(flushed.done())
        await receiver.recv(buffers[0], timeout=20)
        await asyncio.wait_for(flushed, 20)
        while len(ended) < self.count:
            await asyncio.sleep(0)

    def test_a_flush_comes_behind_the_sends_that_wait(self):
        asyncio.run(self.flush_behind(self.client, self.client.flush, self.server))

    def test_a_servers_flush_waits_for_all_its_sends(self):
        asyncio.run(self.flush_behind(self.endpoint, self.server.flush, self.client))

    async def close_behind(self, sender, closer, receiver) -> None:
        ended = []
        self.fill(sender, ended)
        closing = asyncio.ensure_future(closer.close(timeout=60))
        await asyncio.sleep(0)
        buffers = [bytearray(9000)] * (self.count // 8)
        for _ in range(8):
            self.assertEqual(len(await receiver.recv_many(buffers, timeout=60)), len(buffers))
        await asyncio.wait_for(closing, 60)
        while len(ended) < self.count:
            await asyncio.sleep(0)

    def test_a_close_comes_behind_the_sends_that_wait(self):
        asyncio.run(self.close_behind(self.client, self.client, self.server))

    def test_a_servers_close_comes_behind_them_too(self):
        asyncio.run(self.close_behind(self.endpoint, self.server, self.client))

    def test_a_close_in_line_closes_when_its_time_is_over_or_it_is_cancelled(self):
        async def late():
            with self.assertRaises(causeway.TimedOutError):
                await self.client.close(timeout=0.02)

        async def cancelled():
            task = asyncio.create_task(self.client.close())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        async def blocking():
            with self.assertRaises(causeway.TimedOutError):
                self.client.close_sync(timeout=0.02)

        for close in (late, cancelled, blocking):
            with self.subTest(close.__name__):
                self.fill(self.client, [])
                asyncio.run(close())
                with self.assertRaises(causeway.PeerLostError):
                    self.server.recv_sync(bytearray(1), tag=9, source=self.endpoint, timeout=20)
                self.client = causeway.Client(engine=self.engines[1])
                self.client.connect_sync("127.0.0.1", self.server.port, timeout=20)
                self.endpoint = self.server.accept_sync(timeout=20)

    def test_a_flush_in_line_has_its_deadline(self):
        async def main():
            with self.assertRaises(causeway.TimedOutError):
                await self.client.flush(timeout=0.02)
            self.assertTrue(self.client.flush().cancel())

        self.fill(self.client, [])
        asyncio.run(main())
        with self.assertRaises(causeway.TimedOutError):
            self.client.flush_sync(timeout=0.02)


class Line(unittest.TestCase):
    def test_a_server_may_go_while_its_line_is_still_looked_at(self):
        done = program(
            f"""
            import asyncio, causeway

            async def main():
                first, second = causeway.Server(), causeway.Server()
                full = [first.recv(bytearray(1)) for _ in range({RECEIVES})]
                second.recv(bytearray(1)).cancel()
                del second
                while full:
                    full.pop().cancel()
                await first.close()

            asyncio.run(main())
            """,
            PYTHONMALLOC="debug",
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_two_to_the_twenty_wait_and_no_more(self):
        done = program(
            f"""
            import causeway
            server = causeway.Server()
            server.listen("127.0.0.1")
            buffer, told, count = bytearray(1), [], {RECEIVES} + 2**20
            for _ in range(count):
                server.post_recv(buffer, done=lambda tag, length: told.append(tag), failed=told.append)
            for again in range(2):
                try:
                    server.post_recv(buffer)
                except causeway.QueueFullError as error:
                    print(error)
            """
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "too many operations wait for room: await some of them first\n" * 2)


if __name__ == "__main__":
    unittest.main()
